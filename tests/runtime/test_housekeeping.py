"""Housekeeping: what fails is said and tried again, and holds up nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from running_engine import until

from engine.domain.errors import CannotRecord
from engine.domain.facts import Notice, Severity
from engine.runtime import housekeeping
from engine.runtime.housekeeping import Housekeeper
from engine.runtime.observing import Observations
from engine.storage.rows import Decision, EquitySample
from tests.trading.harness import D

AT = datetime(2026, 1, 1, tzinfo=UTC)
BRAKE = Notice("demo:brake", Severity.CRITICAL, "Emergency brake", "drawdown 10 %", "demo", AT)
SAMPLE = EquitySample("demo", AT, AT, D(1), D(1), D(0), D(0), {})
DECISION = Decision("demo", AT, "momentum", "demo-a:BTC/USDT", "brake", "latched")


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def now(self) -> datetime:
        return AT

    def monotonic(self) -> float:
        return self.now_s


class House:
    """A housekeeper over stores that a test breaks by name."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[Any] = []
        self.broken: dict[str, Exception] = {}
        self.clock, self.ending = Clock(), threading.Event()
        self.observations = Observations(self.clock)
        monkeypatch.setattr(housekeeping, "write_status", self.does("status"))
        monkeypatch.setattr(housekeeping, "backup_if_due", self.does("backup"))
        monkeypatch.setattr(housekeeping, "engine_figures", lambda services: None)
        part = SimpleNamespace
        settings = part(health=part(sample_every_s=5.0), backup=part(every_hours=24, keep=3))
        self.services: Any = part(
            folder=folder,
            clock=self.clock,
            settings=part(settings=settings),
            supervisor=part(snapshot=lambda: None),
            observations=self.observations,
            monitor=part(sample=self.does("health"), is_settling=False),
            telemetry=part(
                equity=part(add=self.keeps("equity")), log_decisions=self.keeps("decisions"), thin=self.does("thin")
            ),
            alerts=part(
                raise_notice=lambda notice: self._act("alerts", notice.key),
                clear=lambda key, title, detail: self._act("alerts", f"over {key}"),
                thin=self.does("thin-alerts"),
                deliver_due=self.does("delivery"),
            ),
        )
        self.keeper = Housekeeper(self.services, self.ending)

    def _act(self, name: str, what: Any) -> None:
        if name in self.broken:
            raise self.broken[name]
        self.done.append(what)

    def does(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: self._act(name, name)

    def keeps(self, name: str) -> Callable[[list[Any]], None]:
        return lambda items: self._act(name, (name, len(items))) if items else None

    def round(self) -> list[Any]:
        """What one more second of housekeeping did."""
        self.clock.now_s += 1.0
        self.done.clear()
        self.keeper.round()
        return list(self.done)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    return House(tmp_path, monkeypatch)


ERRORS = [CannotRecord("telemetry.sqlite: malformed"), ValueError("a fault of ours"), OSError(5, "Input/output error")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_telemetry_when_broken_then_people_are_told_and_all_else_is_done(house: House, error: Exception) -> None:
    house.broken = dict.fromkeys(("equity", "decisions", "thin"), error)
    for item in (SAMPLE, DECISION, BRAKE):
        house.observations._put(item)
    assert house.round() == ["demo:brake", "status", "health", "thin-alerts", "backup"]
    told = house.round()
    assert told[:2] == ["housekeeping:equity", "housekeeping:decisions"]
    assert "status" in told
    if not isinstance(error, ValueError):
        assert house.round() == ["status"], "a failure is told once, not every second"


def test_telemetry_when_it_works_again_then_what_waited_is_stored_and_the_alert_ends(house: House) -> None:
    house.broken["equity"] = CannotRecord("telemetry.sqlite: the disk is full")
    for _ in range(3):
        house.observations._put(SAMPLE)
        house.round()
    house.broken.clear()
    house.observations._put(SAMPLE)
    assert ("equity", 4) in house.round()
    assert "over housekeeping:equity" in house.round()
    assert not any("housekeeping" in str(what) for what in house.round())


def test_telemetry_when_broken_for_long_then_the_newest_are_kept(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "MOST_KEPT", 5)
    house.broken["equity"] = CannotRecord("telemetry.sqlite: the disk is full")
    for _ in range(20):
        house.observations._put(SAMPLE)
        house.round()
    house.broken.clear()
    assert ("equity", 5) in house.round()


def test_samples_that_no_store_takes_then_do_not_hold_up_the_next(house: House) -> None:
    house.broken["equity"] = ValueError("a fault of ours")
    house.observations._put(SAMPLE)
    house.round()
    house.broken.clear()
    house.observations._put(SAMPLE)
    assert ("equity", 1) in house.round()


def test_notice_that_cannot_be_raised_then_the_others_are_and_it_is_tried_again(house: House) -> None:
    other = Notice("demo:stop", Severity.CRITICAL, "Stop", "", "demo", AT)
    act = house._act

    def only_brake_fails(name: str, what: Any) -> None:
        if what == "demo:brake" and "poison" in house.broken:
            raise house.broken["poison"]
        act(name, what)

    house._act = only_brake_fails  # type: ignore[method-assign]
    house.broken["poison"] = RuntimeError("a fault of ours")
    house.observations.tell(BRAKE)
    house.observations.tell(other)
    assert house.round()[0] == "demo:stop"
    house.broken.clear()
    assert "demo:brake" in house.round()


def test_end_then_what_was_observed_last_is_told_and_stored(house: House) -> None:
    house.observations.tell(BRAKE)
    house.observations._put(SAMPLE)
    house.broken["decisions"] = ValueError("a fault of ours")
    house.keeper.store()
    assert house.done == ["demo:brake", ("equity", 1)]


def test_threads_when_every_duty_raises_then_both_live_until_they_are_told_to_end(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "EVERY_S", 0.005)
    house.broken = dict.fromkeys(("status", "health", "delivery", "alerts", "backup"), ValueError("a fault of ours"))
    house.observations.tell(BRAKE)
    house.keeper.start()
    until(lambda: house.keeper._failing.keys() >= {"status", "delivery", "alerts"}, "the duties to fail")
    house.clock.now_s += 1.0
    house.broken.clear()
    until(lambda: {"status", "delivery", "demo:brake"} <= set(house.done), "the same threads to go on")
    house.ending.set()
    house.keeper.finish()
    assert not any(thread.is_alive() for thread in house.keeper._threads)


def test_first_minute_when_it_is_over_then_its_steps_leave_the_percentiles(house: House) -> None:
    monitor = house.services.monitor
    monitor.is_settling = True
    house.observations.step_s.extend([0.9] * 10)
    house.keeper._sample()
    assert len(house.observations.step_s) == 10

    def settled(figures: Any) -> None:
        monitor.is_settling = False

    monitor.sample = settled
    house.keeper._sample()
    assert len(house.observations.step_s) == 0
    house.observations.step_s.append(0.001)
    house.keeper._sample()
    assert len(house.observations.step_s) == 1
