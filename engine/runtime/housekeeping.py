"""What is done beside trading: telling people, storing samples, status, thinning, backups; each on its own account."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog

from engine.domain.errors import StorageError
from engine.domain.facts import Notice, Severity
from engine.monitoring.probes import EngineFigures
from engine.runtime import collector
from engine.runtime.services import Services
from engine.runtime.status import write_status
from engine.storage.backup import backup_if_due
from engine.storage.rows import Decision, EquitySample

EVERY_S = 1.0
THIN_EVERY_S = 6 * 3600.0
BACKUP_EVERY_S = 600.0
MOST_KEPT = 20_000
"""Items of one kind that wait to be stored while they cannot be; the oldest give way."""
MOST_TRIES = 60
"""How often a notice is tried; `AlertCentre` itself keeps what only the disk refuses."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Duty:
    """Something to do again and again, ``due_s`` next on the monotonic clock."""

    name: str
    every_s: float
    act: Callable[[], object]
    due_s: float = 0.0


class Housekeeper:
    """Two threads that end when they are told to and by nothing else.

    A duty that fails is logged, told of once, and due again as usual; it holds up no other.

    Parameters
    ----------
    services : Services
    ending : threading.Event
        Set when the process ends.
    """

    def __init__(self, services: Services, ending: threading.Event) -> None:
        self._services = services
        self._ending = ending
        self._failing: dict[str, str] = {}
        self._threads: list[threading.Thread] = []
        self._notices: list[tuple[int, Notice]] = []
        self._samples: list[EquitySample] = []
        self._decisions: list[Decision] = []
        self._duties = self._storing() + self._regular()

    def start(self) -> None:
        """Begin both threads."""
        for name, act in (("housekeeper", self.round), ("alerts", self.deliver)):
            thread = threading.Thread(target=self._repeat, args=(act,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def finish(self) -> None:
        """Wait for both threads; ``ending`` is set."""
        for thread in self._threads:
            thread.join(timeout=5)

    def round(self) -> None:
        """Do what is due."""
        now = self._services.clock.monotonic()
        for duty in self._duties:
            if now >= duty.due_s:
                duty.due_s = now + duty.every_s
                self._attempt(duty.name, duty.act)

    def store(self) -> None:
        """Tell and store what was observed; people first."""
        for duty in self._storing():
            self._attempt(duty.name, duty.act)

    def deliver(self) -> None:
        """Alerts go out on a thread of their own: a channel that does not answer must hold nothing up."""
        self._attempt("delivery", self._services.alerts.deliver_due)

    def _storing(self) -> list[Duty]:
        return [
            Duty("notices", EVERY_S, self._tell_people),
            Duty("equity", EVERY_S, self._store_samples),
            Duty("decisions", EVERY_S, self._store_decisions),
        ]

    def _regular(self) -> list[Duty]:
        services, now = self._services, self._services.clock.monotonic()
        return [
            Duty("status", EVERY_S, lambda: write_status(services.folder, services.supervisor.snapshot())),
            Duty("health", services.settings.settings.health.sample_every_s, self._sample),
            Duty("thin-alerts", THIN_EVERY_S, services.alerts.thin),
            Duty("thin-telemetry", THIN_EVERY_S, lambda: services.telemetry.thin(services.clock.now())),
            Duty("new-memory", math.inf, collector.set_aside_new, now + collector.FIRST_AGAIN_S),
            Duty("memory", collector.AGAIN_EVERY_S, collector.set_aside, now + collector.AGAIN_EVERY_S),
            Duty("backup", BACKUP_EVERY_S, self._back_up),
        ]

    def _repeat(self, act: Callable[[], None]) -> None:
        while not self._ending.wait(EVERY_S):
            act()

    def _attempt(self, name: str, act: Callable[[], object]) -> bool:
        """The frame of both threads: whatever a duty raises ends that duty alone, until it is due again."""
        try:
            act()
        except Exception as error:
            self._failed(name, error)
            return False
        if self._failing.pop(name, None) is not None:
            self._say(name, Severity.INFO, "Housekeeping works again", "")
        return True

    def _failed(self, name: str, error: Exception) -> None:
        """Log and tell once: what fails every second must not fill the log."""
        text, before = f"{type(error).__name__}: {error}", self._failing.get(name)
        self._failing[name] = text
        if text != before:
            _log.error("housekeeping failed", duty=name, exc_info=error)
        if before is None:
            self._say(name, Severity.WARNING, "Housekeeping fails", text)

    def _say(self, name: str, severity: Severity, title: str, detail: str) -> None:
        now = self._services.clock.now()
        notice = Notice(f"housekeeping:{name}", severity, f"{title}: {name}", detail, "engine", now)
        self._services.observations.tell(notice)

    # -- what was observed ---------------------------------------------------------------------------------------

    def _collect(self) -> None:
        """Take over what the loop observed; from here it is kept until it is stored."""
        for item in self._services.observations.drain():
            if isinstance(item, Notice):
                self._notices.append((0, item))
            elif isinstance(item, EquitySample):
                self._samples.append(item)
            else:
                self._decisions.append(item)
        for kept in (self._notices, self._samples, self._decisions):
            del kept[:-MOST_KEPT]

    def _tell_people(self) -> None:
        self._collect()
        waiting, self._notices = self._notices, []
        for tries, notice in waiting:
            if self._attempt("alerts", partial(self._tell, notice)):
                continue
            if tries < MOST_TRIES:
                self._notices.append((tries + 1, notice))
            else:
                _log.critical("alert given up", key=notice.key, title=notice.title, detail=notice.detail)

    def _tell(self, notice: Notice) -> None:
        if notice.severity is Severity.INFO:
            self._services.alerts.clear(notice.key, notice.title, notice.detail)  # good news ends the matter of its key
        else:
            self._services.alerts.raise_notice(notice)

    def _store_samples(self) -> None:
        waiting, self._samples = self._samples, []
        try:
            self._services.telemetry.equity.add(waiting)
        except (StorageError, OSError):
            self._samples = waiting
            raise

    def _store_decisions(self) -> None:
        waiting, self._decisions = self._decisions, []
        try:
            self._services.telemetry.log_decisions(waiting)
        except (StorageError, OSError):
            self._decisions = waiting
            raise

    # -- the rest ------------------------------------------------------------------------------------------------

    def _sample(self) -> None:
        services, monitor = self._services, self._services.monitor
        settling = monitor.is_settling
        monitor.sample(engine_figures(services))
        if settling and not monitor.is_settling:
            services.observations.forget_steps()

    def _back_up(self) -> None:
        backup = self._services.settings.settings.backup
        if backup.every_hours:
            backup_if_due(self._services.folder, every=timedelta(hours=backup.every_hours), keep=backup.keep)


def engine_figures(services: Services) -> EngineFigures:
    """What the engine tells the probes about itself."""
    snapshot = services.supervisor.snapshot()
    feeds = [feed for book in snapshot.books for feed in book.feeds]
    latencies = [feed.latency_s for feed in feeds if feed.latency_s is not None]
    return EngineFigures(
        loop_p50_s=snapshot.loop_p50_s,
        loop_p99_s=snapshot.loop_p99_s,
        loop_steps=len(services.observations.step_s),
        queue_length=snapshot.queue_length,
        events=snapshot.events,
        exchange_latency_s=max(latencies, default=None),
        venue_calls=sum(feed.calls for feed in feeds),
        venue_errors=sum(feed.failures for feed in feeds),
        snapshot_at=snapshot.published_at,
    )
