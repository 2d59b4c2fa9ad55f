"""A probe gives a value or says why it has none."""

from __future__ import annotations

from collections import namedtuple
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from alert_fakes import START

from engine.domain.facts import Severity
from engine.monitoring import PROBES
from engine.monitoring.computer import FIRST, HostProcessor, OwnProcessor, disk_free, disk_used
from engine.monitoring.config import HealthConfig
from engine.monitoring.probes import NOT_REPORTED, EngineFigures, ErrorRate, EventRate, Look

CONFIG = HealthConfig()
Times = namedtuple("Times", "user system idle iowait guest")


def look(tick_s: float = 0.0, **figures: object) -> Look:
    return Look(EngineFigures(**figures), START, tick_s, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(PROBES))
def test_probe_when_the_engine_says_nothing_then_a_value_or_a_reason(name: str, tmp_path: Path) -> None:
    row = PROBES[name]
    value, note = row.make(CONFIG, tmp_path)(Look(EngineFigures(), START, 0.0, None))
    assert value is not None or note
    assert row.title
    levels = row.levels(CONFIG)
    assert list(levels) == sorted(levels, key=lambda level: level[0])


@pytest.mark.parametrize(
    "name", ["loop_p50_s", "loop_p99_s", "queue_length", "exchange_latency_s", "error_rate_percent", "events_per_s"]
)
def test_probe_when_not_measured_then_none_and_never_zero(name: str, tmp_path: Path) -> None:
    reading = PROBES[name].make(CONFIG, tmp_path)(look())
    assert reading.value is None
    assert reading.note


def test_probe_when_the_engine_reports_then_its_figures_are_passed_on(tmp_path: Path) -> None:
    figures = look(
        loop_p50_s=0.0004, loop_p99_s=0.002, queue_length=7, exchange_latency_s=0.0,
        snapshot_at=START - timedelta(seconds=3),
    )  # fmt: skip
    expected = {
        "loop_p50_s": 0.0004, "loop_p99_s": 0.002, "queue_length": 7.0, "exchange_latency_s": 0.0,
        "snapshot_age_s": 3.0, "open_alerts": 0.0,
    }  # fmt: skip
    assert {name: PROBES[name].make(CONFIG, tmp_path)(figures).value for name in expected} == expected


def test_thresholds_when_default_then_those_of_the_product() -> None:
    levels = {name: PROBES[name].levels(CONFIG) for name in PROBES}
    assert levels["cpu_percent"] == ((85.0, Severity.WARNING),)
    assert levels["memory_percent"] == ((90.0, Severity.CRITICAL),)
    assert levels["disk_percent"] == ((85.0, Severity.WARNING), (95.0, Severity.CRITICAL))
    assert levels["exchange_latency_s"] == ((5.0, Severity.WARNING),)
    assert levels["error_rate_percent"] == ((5.0, Severity.WARNING),)
    assert PROBES["disk_percent"].levels(HealthConfig(disk_percent=80)) == ((80.0, Severity.CRITICAL),)


def test_error_rate_when_few_calls_then_none_then_a_share_of_the_window() -> None:
    rate = ErrorRate(window_s=60, min_calls=20)
    assert rate(look(0, venue_calls=100, venue_errors=50)).value is None
    assert rate(look(10, venue_calls=110, venue_errors=51)).note == "10 calls in 60 s, 20 are needed"
    assert rate(look(20, venue_calls=140, venue_errors=52)) == (5.0, "2 of 40 calls in 60 s")
    assert rate(look(80, venue_calls=160, venue_errors=52)).value == 0.0


def test_error_rate_when_the_engine_restarts_then_counts_begin_anew() -> None:
    rate = ErrorRate(window_s=60, min_calls=1)
    rate(look(0, venue_calls=100, venue_errors=9))
    assert rate(look(5, venue_calls=3, venue_errors=0)).value is None
    assert rate(look(10, venue_calls=13, venue_errors=1)).value == 10.0


def test_event_rate_when_sampled_then_events_a_second_since_the_last() -> None:
    rate = EventRate()
    assert rate(look(0)).note == NOT_REPORTED
    assert rate(look(0, events=100)).value is None
    assert rate(look(4, events=300)).value == 50.0
    assert rate(look(8, events=10)).value is None
    assert rate(look(8, events=20)).value is None


def test_processor_when_measured_then_the_busy_share_between_two_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [Times(10, 5, 80, 5, 1), Times(10, 5, 80, 5, 1), Times(16, 8, 90, 6, 2)]
    monkeypatch.setattr(psutil, "cpu_times", lambda: samples.pop(0))
    processor = HostProcessor()
    assert processor.read() == (None, FIRST)
    assert processor.read().value is None
    assert processor.read().value == pytest.approx(100 * 9 / 20)


def test_own_processor_when_measured_then_a_share_of_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [Times(1, 1, 0, 0, 0), Times(1, 1, 0, 0, 0), Times(4, 2, 0, 0, 0)]
    monkeypatch.setattr(psutil.Process, "cpu_times", lambda _self: samples.pop(0))
    monkeypatch.setattr(psutil, "cpu_count", lambda: 4)
    processor = OwnProcessor()
    assert processor.read(0.0).value is None
    assert processor.read(0.1).value is None
    assert processor.read(10.0) == (10.0, "of 4 cores")


def test_disk_when_the_folder_is_gone_then_none_and_the_reason(tmp_path: Path) -> None:
    for probe in (disk_used, disk_free):
        value, note = probe(tmp_path / "gone")
        assert value is None
        assert "gone cannot be read" in note
    assert 0 <= (disk_used(tmp_path).value or 0) <= 100
    assert (disk_free(tmp_path).value or 0) > 0
