"""What is measured: one row a probe. What could not be measured is None and says why, never 0."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path

from engine.domain.facts import Severity
from engine.monitoring import computer
from engine.monitoring.computer import Reading
from engine.monitoring.config import HealthConfig

NOT_REPORTED = "the engine has not reported it yet"


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement; ``value`` None was not measured, and ``note`` says why."""

    name: str
    value: float | None
    unit: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """What the engine says about itself; counts are since its start, latencies in seconds, None is unknown.

    ``loop_steps`` is how many steps the two percentiles rest on; a count of ``events`` that falls is a new start.
    """

    loop_p50_s: float | None = None
    loop_p99_s: float | None = None
    loop_steps: int | None = None
    queue_length: int | None = None
    events: int | None = None
    exchange_latency_s: float | None = None
    venue_calls: int | None = None
    venue_errors: int | None = None
    snapshot_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What a probe may look at. ``at`` is wall time, ``tick_s`` seconds that never go back."""

    figures: EngineFigures
    at: datetime
    tick_s: float
    open_alerts: int | None


class Settling(Enum):
    """When a threshold begins to count after a start, whose own work would pass it."""

    AT_ONCE = "at once"
    LATER = "after the start"
    MEASURED = "after the start, and enough steps"


Probe = Callable[[Look], Reading]
Levels = tuple[tuple[float, Severity], ...]


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """A row of `PROBES`.

    ``make`` builds the probe for a configuration and data folder; ``levels`` are its thresholds, rising, each with the
    severity of the alert past it; none where the figure is only shown. ``settling`` is when they begin to count.
    """

    title: str
    unit: str
    make: Callable[[HealthConfig, Path], Probe]
    levels: Callable[[HealthConfig], Levels] = lambda _config: ()
    settling: Settling = Settling.AT_ONCE


@dataclass(slots=True)
class ErrorRate:
    """Share of venue calls that failed within a window; with few calls one error would look like an outage."""

    window_s: float
    min_calls: int
    _seen: deque[tuple[float, int, int]] = field(default_factory=deque)

    def __call__(self, look: Look) -> Reading:
        calls, errors = look.figures.venue_calls, look.figures.venue_errors
        if calls is None or errors is None:
            return Reading(None, NOT_REPORTED)
        if self._seen and (calls < self._seen[-1][1] or errors < self._seen[-1][2]):
            self._seen.clear()
        self._seen.append((look.tick_s, calls, errors))
        while len(self._seen) > 1 and self._seen[1][0] <= look.tick_s - self.window_s:
            self._seen.popleft()
        _, first_calls, first_errors = self._seen[0]
        made, failed = calls - first_calls, errors - first_errors
        if made < self.min_calls:
            return Reading(None, f"{made} calls in {self.window_s:g} s, {self.min_calls} are needed")
        return Reading(100 * failed / made, f"{failed} of {made} calls in {self.window_s:g} s")


@dataclass(slots=True)
class EventRate:
    """Events a second since the sample before."""

    _before: tuple[float, int] | None = None

    def __call__(self, look: Look) -> Reading:
        events, before = look.figures.events, self._before
        if events is None:
            return Reading(None, NOT_REPORTED)
        self._before = (look.tick_s, events)
        if before is None or events < before[1] or look.tick_s <= before[0]:
            return Reading(None, "the first sample only starts the count")
        return Reading((events - before[1]) / (look.tick_s - before[0]))


def _snapshot_age(look: Look) -> Reading:
    if look.figures.snapshot_at is None:
        return Reading(None, "no snapshot was published yet")
    return Reading(max(0.0, (look.at - look.figures.snapshot_at).total_seconds()))


def _open_alerts(look: Look) -> Reading:
    return Reading(None, "alerts could not be read") if look.open_alerts is None else Reading(float(look.open_alerts))


def _reported(pick: Callable[[EngineFigures], float | None], why: str = NOT_REPORTED) -> Probe:
    """A probe of a figure that the engine hands over."""

    def probe(look: Look) -> Reading:
        value = pick(look.figures)
        return Reading(None, why) if value is None else Reading(float(value))

    return probe


def _host_cpu(_config: HealthConfig, _folder: Path) -> Probe:
    processor = computer.HostProcessor()
    return lambda _look: processor.read()


def _own_cpu(_config: HealthConfig, _folder: Path) -> Probe:
    processor = computer.OwnProcessor()
    return lambda look: processor.read(look.tick_s)


def _level(limit: float, severity: Severity = Severity.WARNING) -> Levels:
    return ((limit, severity),) if limit else ()


def _disk_levels(config: HealthConfig) -> Levels:
    critical = (config.disk_percent, Severity.CRITICAL)
    if config.disk_warning_percent >= config.disk_percent:
        return (critical,)
    return ((config.disk_warning_percent, Severity.WARNING), critical)


PROBES: Mapping[str, ProbeRow] = {
    "cpu_percent": ProbeRow("CPU", "%", _host_cpu, lambda config: _level(config.cpu_percent), Settling.LATER),
    "process_cpu_percent": ProbeRow(
        "CPU of this process", "%", _own_cpu, lambda config: _level(config.cpu_percent), Settling.LATER
    ),
    "memory_percent": ProbeRow(
        "Memory",
        "%",
        lambda _config, _folder: lambda _look: computer.host_memory(),
        lambda config: _level(config.memory_percent, Severity.CRITICAL),
    ),
    "process_memory_mb": ProbeRow(
        "Memory of this process",
        "MB",
        lambda _config, _folder: lambda _look: computer.own_memory(),
        lambda config: _level(config.process_memory_mb),
    ),
    "disk_percent": ProbeRow(
        "Disk", "%", lambda _config, folder: lambda _look: computer.disk_used(folder), _disk_levels
    ),
    "disk_free_gb": ProbeRow("Disk space left", "GB", lambda _config, folder: lambda _look: computer.disk_free(folder)),
    "loop_p50_s": ProbeRow(
        "Engine loop, median", "s", lambda _config, _folder: _reported(lambda figures: figures.loop_p50_s)
    ),
    "loop_p99_s": ProbeRow(
        "Engine loop, p99",
        "s",
        lambda _config, _folder: _reported(lambda figures: figures.loop_p99_s),
        lambda config: _level(config.loop_latency_s),
        Settling.MEASURED,
    ),
    "queue_length": ProbeRow(
        "Events waiting",
        "",
        lambda _config, _folder: _reported(lambda figures: figures.queue_length),
        lambda config: _level(config.queue_length, Severity.CRITICAL),
    ),
    "events_per_s": ProbeRow("Events per second", "/s", lambda _config, _folder: EventRate()),
    "exchange_latency_s": ProbeRow(
        "Exchange latency",
        "s",
        lambda _config, _folder: _reported(lambda figures: figures.exchange_latency_s, "no exchange was asked yet"),
        lambda config: _level(config.exchange_latency_s),
    ),
    "error_rate_percent": ProbeRow(
        "Exchange error rate",
        "%",
        lambda config, _folder: ErrorRate(config.error_window_s, config.error_min_calls),
        lambda config: _level(config.error_rate_percent),
    ),
    "snapshot_age_s": ProbeRow(
        "Age of the snapshot",
        "s",
        lambda _config, _folder: _snapshot_age,
        lambda config: _level(config.snapshot_age_s, Severity.CRITICAL),
    ),
    "open_alerts": ProbeRow("Open alerts", "", lambda _config, _folder: _open_alerts),
}
"""Everything that is measured; a new figure is one row."""
