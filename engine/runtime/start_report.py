"""How a start went: whether the end before it was orderly, and what recovery found and did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from engine.domain.codec import utc_text
from engine.domain.facts import Notice, Severity
from engine.storage.lock import Holder
from engine.trading.recovery import Recovered

_log = structlog.get_logger(__name__)


class Told(Protocol):
    """Where people are told: `engine.monitoring.alerts.AlertCentre`."""

    def raise_notice(self, notice: Notice) -> None:
        """Record a notice."""


@dataclass(frozen=True, slots=True)
class StartReport:
    """What the start found.

    ``died`` is the engine that ended without giving the folder back (killed, power cut), None after an orderly end;
    ``books`` says what recovery found, by book; ``is_first`` whether this is the first engine of the data folder.
    """

    died: Holder | None
    books: Mapping[str, Recovered]
    is_first: bool = False

    @property
    def asked(self) -> int:
        """Open orders that the venues were asked about."""
        return sum(found.asked for found in self.books.values())

    @property
    def booked(self) -> int:
        """Fills that had happened meanwhile and were booked."""
        return sum(found.booked for found in self.books.values())

    @property
    def verdict(self) -> str:
        """Whether books and venues agree now."""
        apart = [f"{name}: {text}" for name, found in self.books.items() for text in found.differences]
        return f"books and venues DIFFER: {'; '.join(apart)}" if apart else "books and venues equal"

    def figures(self) -> str:
        """What was done, as one sentence."""
        orders = f"{self.asked} order{'' if self.asked == 1 else 's'} asked about"
        fills = f"{self.booked} fill{'' if self.booked == 1 else 's'} booked"
        return f"{orders}, {fills}, {self.verdict}"


def tell_of_start(report: StartReport, alerts: Told, at: datetime) -> None:
    """Log how the start went; an unclean end before it is an alert too, so that nobody has to look for it.

    Parameters
    ----------
    report : StartReport
    alerts : Told
    at : datetime
        Wall time.
    """
    counts = {
        "orders_asked": report.asked,
        "fills_booked": report.booked,
        "verdict": report.verdict,
        "journal_rows": sum(found.facts for found in report.books.values()),
    }
    if report.died is None:
        _log.info("started for the first time" if report.is_first else "started after an orderly end", **counts)
        return
    since = utc_text(report.died.started_at)
    died = f"process {report.died.pid}, started {since}, ended without stopping: killed, or the computer failed"
    _log.warning("recovered from an unclean end", **counts, died=died)
    title = f"Recovered from an unclean end: {report.figures()}"
    alerts.raise_notice(Notice("recovered", Severity.INFO, title, died, "engine", at))
