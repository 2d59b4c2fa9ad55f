"""Takes the samples, keeps them for charts, and raises an alert where a threshold is passed for more than a moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from engine.domain.errors import BadInput, StorageError
from engine.domain.facts import Notice, Severity
from engine.domain.operations_views import HealthFigure
from engine.domain.ports import Clock
from engine.domain.views import Series
from engine.monitoring.config import HealthConfig, HealthLimits
from engine.monitoring.ports import AlertSink, SampleStore
from engine.monitoring.probes import PROBES, EngineFigures, Levels, Look, Probe, ProbeRow, Sample, Settling

REPEAT_S = 600.0
"""A lasting breach is raised again this often: counted while its alert is open, a new one once that was closed."""
STORE_KEY = "health:telemetry"


@dataclass(frozen=True, slots=True)
class StoredSample:
    """A row for the telemetry store."""

    name: str
    at: datetime
    value: float


@dataclass(slots=True)
class _Gauge:
    """A running probe and what it is near to raise.

    ``past`` counts samples in a row past each level; ``raised`` is the highest level an alert was raised for, 0 none
    (counted from 1), None before the first measurement: an alert of an earlier run may still be open.
    """

    name: str
    row: ProbeRow
    read: Probe
    levels: Levels
    past: list[int]
    raised: int | None = None
    raised_at_s: float = 0.0

    def threshold(self, value: float | None) -> float:
        """The level a value is judged by: the highest it has passed, else the first; 0 where there is none."""
        passed = [limit for limit, _ in self.levels if value is not None and value >= limit]
        return max(passed, default=self.levels[0][0] if self.levels else 0.0)


@dataclass(slots=True)
class _Start:
    """The present start of the engine: when it was first looked at, and the events it had counted since."""

    at_s: float | None = None
    events: int = 0

    def seen(self, look: Look) -> None:
        """Take in a look; a count that has fallen belongs to a loop that was started again."""
        events = look.figures.events or 0
        if self.at_s is None or events < self.events:
            self.at_s = look.tick_s
        self.events = events


class Monitor:
    """Samples every probe of `PROBES`; has no thread of its own.

    Parameters
    ----------
    telemetry : SampleStore
        `engine.storage.telemetry.TelemetryStore`.
    alerts : AlertSink
        `AlertCentre`.
    config : HealthLimits
        The thresholds; a `HealthConfig` sets the finer points too.
    clock : Clock
    folder : Path
        Data folder, whose disk is watched.
    """

    def __init__(
        self, telemetry: SampleStore, alerts: AlertSink, config: HealthLimits, clock: Clock, folder: Path
    ) -> None:
        self._telemetry = telemetry
        self._alerts = alerts
        self._config = HealthConfig.model_validate(config)
        self._clock = clock
        self._gauges = {name: _gauge(name, row, self._config, folder) for name, row in PROBES.items()}
        self._newest: tuple[HealthFigure, ...] = ()
        self._start = _Start()
        self._is_settling = True

    @property
    def is_settling(self) -> bool:
        """Whether the engine had only just started at the last sample: its own start-up work is no alarm."""
        return self._is_settling

    def sample(self, figures: EngineFigures) -> tuple[HealthFigure, ...]:
        """Measure everything once, store it, and raise or close alerts.

        An alert is raised after ``breach_samples`` samples in a row past a threshold and closed by the first below
        95 % of it. A sample that was not measured changes nothing, nor does one that is not judged yet: the load of the
        first ``settle_s`` after a start, and a p99 of fewer than ``settle_steps`` steps. Call it every
        ``sample_every_s`` from one thread.
        Never raises for storage: a failure is an alert.
        """
        look = Look(figures, self._clock.now(), self._clock.monotonic(), self._open_alerts())
        self._settle(look)
        taken = [self._take(gauge, look) for gauge in self._gauges.values()]
        self._store(taken, look)
        told = []
        for gauge, sample in zip(self._gauges.values(), taken, strict=True):
            waits = self._waits(gauge, look)
            if sample.value is not None and gauge.levels and not waits:
                self._judge(gauge, sample.value, look)
            told.append(_figure(gauge, sample.value, look.at, sample.note, waits))
        self._newest = tuple(told)
        return self._newest

    def _settle(self, look: Look) -> None:
        self._start.seen(look)
        assert self._start.at_s is not None
        self._is_settling = look.tick_s - self._start.at_s < self._config.settle_s

    def _waits(self, gauge: _Gauge, look: Look) -> str:
        """Why a figure is not judged yet; empty where it is."""
        settling = gauge.row.settling
        if settling is not Settling.AT_ONCE and self._is_settling:
            return f"not judged in the first {self._config.settle_s:.0f} s after a start"
        steps = look.figures.loop_steps
        if settling is Settling.MEASURED and steps is not None and steps < self._config.settle_steps:
            return f"not judged before {self._config.settle_steps} steps, {steps} so far"
        return ""

    def newest(self) -> tuple[HealthFigure, ...]:
        """The last measurement of every probe; before the first one, what an earlier run had stored.

        Raises
        ------
        StorageError
            Nothing was measured yet and the store cannot be read.
        """
        if self._newest:
            return self._newest
        stored = self._telemetry.newest()
        return tuple(
            _figure(gauge, stored[name][1], stored[name][0], "", "before this start")
            for name, gauge in self._gauges.items()
            if name in stored
        )

    def series(self, name: str, since: datetime, points: int = 400) -> Series:
        """Stored samples of one probe from ``since`` to now, averaged into at most ``points``.

        Raises
        ------
        BadInput
            Unknown probe, or an impossible span.
        StorageError
            The store cannot be read.
        """
        if name not in PROBES:
            raise BadInput(f"there is no probe {name[:40]!r}; there are {', '.join(PROBES)}")
        now = self._clock.now()
        stored = self._telemetry.samples(name, since, now, points)
        width_s = (now - since).total_seconds() / points
        every_s = self._config.sample_every_s
        averaged = f", averaged over {width_s:.0f} s" if width_s > every_s else ""
        source = f"sampled on this computer every {every_s:g} s{averaged}"
        return Series(name, stored.at_ms, stored.average, PROBES[name].unit, source)

    def _take(self, gauge: _Gauge, look: Look) -> Sample:
        value, note = gauge.read(look)
        return Sample(gauge.name, value, gauge.row.unit, note)

    def _open_alerts(self) -> int | None:
        try:
            return self._alerts.open_count()
        except StorageError:
            return None

    def _store(self, taken: list[Sample], look: Look) -> None:
        rows = [StoredSample(item.name, look.at, item.value) for item in taken if item.value is not None]
        try:
            self._telemetry.add_samples(rows)
        except StorageError as error:
            title = "Health samples cannot be stored"
            self._alerts.raise_notice(Notice(STORE_KEY, Severity.WARNING, title, str(error), "", look.at))

    def _judge(self, gauge: _Gauge, value: float, look: Look) -> None:
        for index, (limit, _) in enumerate(gauge.levels):
            gauge.past[index] = gauge.past[index] + 1 if value >= limit else 0
        held = [index + 1 for index, count in enumerate(gauge.past) if count >= self._config.breach_samples]
        level = max(held, default=0)
        lasts = look.tick_s - gauge.raised_at_s >= REPEAT_S
        if level and (level > (gauge.raised or 0) or lasts):
            self._raise(gauge, level, value, look)
        elif gauge.raised != 0 and value < self._config.recover_share * gauge.levels[0][0]:
            title = f"{gauge.row.title} is back to {_text(value, gauge.row.unit)}"
            self._alerts.clear(
                f"health:{gauge.name}", title, f"The threshold is {_text(gauge.levels[0][0], gauge.row.unit)}."
            )
            gauge.raised = 0

    def _raise(self, gauge: _Gauge, level: int, value: float, look: Look) -> None:
        limit, severity = gauge.levels[level - 1]
        gauge.raised, gauge.raised_at_s = level, look.tick_s
        title = f"{gauge.row.title} at {_text(value, gauge.row.unit)}"
        detail = f"Past the threshold of {_text(limit, gauge.row.unit)} for {gauge.past[level - 1]} samples in a row."
        self._alerts.raise_notice(Notice(f"health:{gauge.name}", severity, title, detail, "", look.at))


def _gauge(name: str, row: ProbeRow, config: HealthConfig, folder: Path) -> _Gauge:
    levels = row.levels(config)
    return _Gauge(name, row, row.make(config, folder), levels, [0] * len(levels))


def _figure(gauge: _Gauge, value: float | None, at: datetime, note: str, waits: str = "") -> HealthFigure:
    ok = None if value is None or not gauge.levels or waits else value < gauge.levels[0][0]
    threshold, note = gauge.threshold(value), (waits or note) if value is not None else note
    return HealthFigure(gauge.name, gauge.row.title, value, gauge.row.unit, threshold, ok, at, note)


def _text(value: float, unit: str) -> str:
    return f"{value:.3g} {unit}" if unit == "s" else f"{value:,.1f} {unit}".rstrip()
