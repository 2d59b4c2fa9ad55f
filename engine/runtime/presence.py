"""Watches over an engine in another process, so that somebody is told when nobody trades any more."""

from __future__ import annotations

import threading

import structlog

from engine.domain.errors import QuarterdeckError, StorageError
from engine.domain.facts import Notice, Severity
from engine.exchanges.steady import Steady
from engine.runtime.services import Services

LOOK_EVERY_S = 0.5
ALERT_AFTER_S = 5.0
"""Pages say at once that the engine does not answer; people are alerted where it stays away longer than a restart of
its loop takes, as when a book is added."""
_KEY = "engine-gone"
_log = structlog.get_logger(__name__)


class Presence:
    """One thread that raises an alert while the engine does not answer, and delivers it in the engine's place.

    Parameters
    ----------
    services : Services
    ending : threading.Event
        Set when the console ends.
    """

    def __init__(self, services: Services, ending: threading.Event) -> None:
        self._services = services
        self._ending = ending
        self._gone = False
        self._missed_at: float | None = None
        self._steady = Steady("presence", self._watch, ending)

    def start(self) -> None:
        """Begin."""
        self._steady.start()

    def finish(self) -> None:
        """Wait for the thread; ``ending`` is set."""
        self._steady.join(5)

    def _watch(self) -> None:
        if self._ending.wait(LOOK_EVERY_S):
            return
        try:
            self.look()
        except (QuarterdeckError, OSError) as error:
            _log.error("absence of the engine could not be told", error=str(error))

    def look(self) -> None:
        """Tell once that it is gone, and once that it is back; deliver while it cannot do so itself."""
        why = self._services.supervisor.absence()
        now = self._services.clock.monotonic()
        self._missed_at = (self._missed_at if self._missed_at is not None else now) if why else None
        if self._missed_at is not None and now - self._missed_at < ALERT_AFTER_S:
            return
        if why and not self._gone:
            self._say("The engine does not answer", f"{why}. Nothing is decided; orders at the venues stay as they are")
            _log.error("engine does not answer", why=why)
        elif not why and self._gone:
            self._services.alerts.clear(_KEY, "The engine answers again", "")
            _log.info("engine answers again")
        self._gone = bool(why)
        if self._gone:
            self._services.alerts.deliver_due()

    def _say(self, title: str, detail: str) -> None:
        notice = Notice(_KEY, Severity.CRITICAL, title, detail, "engine", self._services.clock.now())
        try:
            self._services.alerts.raise_notice(notice)
        except StorageError as error:
            _log.error("alert could not be stored", error=str(error))
