"""Thresholds with hysteresis: an alert after three samples past, over below 95 %, and no flapping in between."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from alert_fakes import START, Desk

from config.settings import HealthSettings
from engine.domain.errors import BadInput, CannotRecord
from engine.domain.facts import Severity
from engine.domain.operations_views import HealthFigure
from engine.monitoring import computer
from engine.monitoring.computer import Reading
from engine.monitoring.config import HealthConfig
from engine.monitoring.monitor import REPEAT_S, Monitor
from engine.monitoring.probes import PROBES, EngineFigures, ProbeRow, Settling
from engine.storage.base import Database
from engine.storage.migrate import migrate_file
from engine.storage.telemetry import TelemetryStore


@pytest.fixture
def telemetry(tmp_path: Path) -> Iterator[TelemetryStore]:
    """The store of samples."""
    migrate_file(Database.TELEMETRY, tmp_path)
    store = TelemetryStore(tmp_path / "telemetry.sqlite")
    yield store
    store.close()


class Watch:
    """A monitor whose exchange latency and disk tests choose."""

    def __init__(self, desk: Desk, telemetry: TelemetryStore, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.desk, self.telemetry, self.folder = desk, telemetry, folder
        self.disk: float | None = 10.0
        patch.setattr(computer, "disk_used", lambda _folder: Reading(self.disk, "made up"))
        for name in ("cpu_percent", "process_cpu_percent", "memory_percent", "process_memory_mb"):
            idle = PROBES[name]
            patch.setitem(PROBES, name, type(idle)(idle.title, idle.unit, lambda _c, _f: lambda _l: Reading(1.0)))  # type: ignore[arg-type]
        self.monitor = self.started()

    def started(self) -> Monitor:
        return Monitor(self.telemetry, self.desk.centre, HealthConfig(), self.desk.clock, self.folder)

    def take(self, *latencies: float | None) -> tuple[HealthFigure, ...]:
        figures: tuple[HealthFigure, ...] = ()
        for latency in latencies:
            figures = self.monitor.sample(EngineFigures(exchange_latency_s=latency, snapshot_at=self.desk.clock.now()))
            self.desk.clock.move(seconds=5)
        return figures

    def alerts(self) -> list[tuple[str, Severity, int]]:
        return [(row.key, row.severity, row.count) for row in self.desk.open()]


@pytest.fixture
def watch(desk: Desk, telemetry: TelemetryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """A monitor under control."""
    return Watch(desk, telemetry, tmp_path, monkeypatch)


LATENCY = "health:exchange_latency_s"


@pytest.mark.parametrize(
    ("latencies", "open_alerts"),
    [
        ((6, 6), []),
        ((6, 6, 6), [(LATENCY, Severity.WARNING, 1)]),
        ((5, 5, 5), [(LATENCY, Severity.WARNING, 1)]),
        ((6, 6, 4.9, 6, 6), []),
        ((6, 6, None, 6), [(LATENCY, Severity.WARNING, 1)]),
        ((6, 6, 6, 4.9, 4.8, 6, 6, 6), [(LATENCY, Severity.WARNING, 1)]),
        ((6, 6, 6, 4.7), []),
        ((6, 6, 6, 4.7, 6, 6), []),
        ((6, 6, 6, None, None), [(LATENCY, Severity.WARNING, 1)]),
    ],
)
def test_alert_when_samples_pass_the_threshold_then_raised_and_closed_with_hysteresis(
    watch: Watch, latencies: tuple[float | None, ...], open_alerts: list[tuple[str, Severity, int]]
) -> None:
    watch.take(*latencies)
    assert watch.alerts() == open_alerts


def test_alert_when_the_breach_lasts_then_counted_every_ten_minutes_not_every_sample(watch: Watch) -> None:
    watch.take(*[6.0] * int(REPEAT_S / 5 + 3))
    assert watch.alerts() == [(LATENCY, Severity.WARNING, 2)]


def test_alert_when_raised_then_says_value_threshold_and_how_long(watch: Watch) -> None:
    watch.take(6.25, 6.25, 6.25)
    (row,) = watch.desk.open()
    assert row.title == "Exchange latency at 6.25 s"
    assert row.detail == "Past the threshold of 5 s for 3 samples in a row."
    watch.take(1)
    assert watch.desk.all()[0].acknowledged_by == "engine: over"


def test_fault_48_disk_when_it_fills_then_a_warning_at_85_and_critical_at_95_percent(watch: Watch) -> None:
    watch.disk = 86
    watch.take(1, 1, 1)
    assert watch.alerts() == [("health:disk_percent", Severity.WARNING, 1)]
    watch.disk = 96
    figures = {figure.name: figure for figure in watch.take(1, 1, 1)}
    assert watch.alerts() == [("health:disk_percent", Severity.CRITICAL, 2)]
    assert (figures["disk_percent"].ok, figures["disk_percent"].threshold) == (False, 95.0)
    watch.disk = 90
    watch.take(1, 1, 1)
    assert len(watch.alerts()) == 1
    watch.disk = 80
    watch.take(1)
    assert watch.alerts() == []


def test_alert_when_left_open_by_an_earlier_run_then_closed_by_the_first_good_sample(watch: Watch) -> None:
    watch.take(6, 6, 6)
    watch.monitor = watch.started()
    watch.take(None)
    assert len(watch.alerts()) == 1
    watch.take(1)
    assert watch.alerts() == []


def test_sample_when_taken_then_every_probe_has_a_figure_and_values_are_stored(watch: Watch) -> None:
    figures = watch.take(0.5)
    assert [figure.name for figure in figures] == list(PROBES)
    by_name = {figure.name: figure for figure in figures}
    assert (by_name["exchange_latency_s"].value, by_name["exchange_latency_s"].ok) == (0.5, True)
    assert by_name["exchange_latency_s"].at == START
    assert (by_name["loop_p99_s"].value, by_name["loop_p99_s"].ok) == (None, None)
    assert by_name["loop_p99_s"].note
    assert (by_name["open_alerts"].threshold, by_name["open_alerts"].ok) == (0.0, None)
    assert watch.monitor.newest() == figures
    assert watch.telemetry.newest()["exchange_latency_s"] == (START, 0.5)
    assert "loop_p99_s" not in watch.telemetry.newest()


def test_newest_when_nothing_was_sampled_yet_then_what_an_earlier_run_stored_with_its_time(watch: Watch) -> None:
    watch.take(0.5)
    (figure,) = [item for item in watch.started().newest() if item.name == "exchange_latency_s"]
    assert (figure.value, figure.at, figure.note) == (0.5, START, "before this start")


def test_series_when_asked_then_stored_samples_with_unit_and_source(watch: Watch) -> None:
    watch.take(0.5, 0.7, 0.9)
    series = watch.monitor.series("exchange_latency_s", START - timedelta(minutes=1), 400)
    assert list(series.values) == [0.5, 0.7, 0.9]
    assert (series.unit, series.source) == ("s", "sampled on this computer every 5 s")
    month = watch.monitor.series("exchange_latency_s", START - timedelta(days=30), 100)
    assert list(month.values) == pytest.approx([0.7])
    assert month.source.startswith("sampled on this computer every 5 s, averaged over 25920 s")


def test_series_when_the_probe_is_unknown_then_named(watch: Watch) -> None:
    with pytest.raises(BadInput, match="'humidity'"):
        watch.monitor.series("humidity", START)


def test_sample_when_the_store_cannot_be_written_then_measured_all_the_same_and_an_alert(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: object, _rows: object) -> None:
        raise CannotRecord("telemetry.sqlite could not be written: the disk is full")

    monkeypatch.setattr(TelemetryStore, "add_samples", full)
    assert {figure.name: figure.value for figure in watch.take(0.5)}["exchange_latency_s"] == 0.5
    assert watch.alerts() == [("health:telemetry", Severity.WARNING, 1)]


def test_monitor_when_given_the_settings_section_then_its_thresholds_count(watch: Watch) -> None:
    settings = HealthSettings(exchange_latency_s=2.0)
    monitor = Monitor(watch.telemetry, watch.desk.centre, settings, watch.desk.clock, watch.folder)
    figures = {figure.name: figure for figure in monitor.sample(EngineFigures(exchange_latency_s=3.0))}
    assert (figures["exchange_latency_s"].threshold, figures["exchange_latency_s"].ok) == (2.0, False)
    assert set(HealthSettings.model_fields) <= set(HealthConfig.model_fields)


# --- the first minute


class Busy:
    """A computer at full load, and a loop whose steps take long."""

    def __init__(self, watch: Watch, patch: pytest.MonkeyPatch) -> None:
        self.watch, self.events = watch, 0
        row = ProbeRow(
            "CPU", "%", lambda _c, _f: lambda _l: Reading(99.0), lambda c: ((c.cpu_percent, Severity.WARNING),),
            Settling.LATER,
        )  # fmt: skip
        patch.setitem(PROBES, "cpu_percent", row)
        watch.monitor = watch.started()

    def take(self, samples: int, steps: int = 4000) -> dict[str, HealthFigure]:
        figures: tuple[HealthFigure, ...] = ()
        for _ in range(samples):
            self.events += 10
            now = self.watch.desk.clock.now()
            figures = self.watch.monitor.sample(
                EngineFigures(loop_p99_s=0.9, loop_steps=steps, events=self.events, snapshot_at=now)
            )
            self.watch.desk.clock.move(seconds=5)
        return {figure.name: figure for figure in figures}


@pytest.fixture
def busy(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> Busy:
    return Busy(watch, monkeypatch)


def test_load_when_the_engine_starts_then_shown_and_not_judged_for_a_minute(busy: Busy) -> None:
    figures = busy.take(12)
    assert busy.watch.alerts() == []
    assert busy.watch.monitor.is_settling
    for name in ("cpu_percent", "loop_p99_s"):
        assert (figures[name].value is not None, figures[name].ok) == (True, None)
        assert figures[name].note == "not judged in the first 60 s after a start"


def test_load_when_it_lasts_beyond_the_first_minute_then_an_alert(busy: Busy) -> None:
    figures = busy.take(15)
    assert not busy.watch.monitor.is_settling
    assert {key for key, _, _ in busy.watch.alerts()} == {"health:cpu_percent", "health:loop_p99_s"}
    assert figures["loop_p99_s"].ok is False


def test_load_when_the_loop_was_started_again_then_another_minute(busy: Busy) -> None:
    busy.take(13)
    assert not busy.watch.monitor.is_settling
    busy.events = 0
    busy.take(12)
    assert busy.watch.alerts() == []
    assert busy.watch.monitor.is_settling


def test_p99_when_it_rests_on_few_steps_then_not_judged(busy: Busy) -> None:
    figures = busy.take(20, steps=99)
    assert {key for key, _, _ in busy.watch.alerts()} == {"health:cpu_percent"}
    assert figures["loop_p99_s"].note == "not judged before 100 steps, 99 so far"


def test_disk_when_it_fills_then_judged_from_the_first_sample_on_by_the_level_it_has_passed(watch: Watch) -> None:
    watch.disk = 86
    figures = {figure.name: figure for figure in watch.take(1)}
    assert (figures["disk_percent"].ok, figures["disk_percent"].threshold) == (False, 85.0)
    watch.disk = 10
    figures = {figure.name: figure for figure in watch.take(1)}
    assert (figures["disk_percent"].ok, figures["disk_percent"].threshold) == (True, 85.0)


def test_newest_when_it_is_of_an_earlier_run_then_not_judged(watch: Watch) -> None:
    watch.take(6.0)
    (figure,) = [item for item in watch.started().newest() if item.name == "exchange_latency_s"]
    assert (figure.value, figure.ok) == (6.0, None)
