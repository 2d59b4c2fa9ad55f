"""Faults a person can inject into the simulated venues: when they begin, what they silence, when they end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from threading import Lock

from engine.domain.errors import BadInput, CommandRefused
from engine.domain.market import FeedStatus, from_ms
from engine.simulation.demo_listings import DEMO_VENUES
from engine.simulation.market_day import MINUTE

MAX_FAULT_MINUTES = 1440


class FaultKind(Enum):
    """What can be done to a simulated venue: silence it and say so, or lose its bars and say nothing."""

    OUTAGE = "outage"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class _Fault:
    kind: FaultKind
    from_ms: int
    until_ms: int


class VenueFaults:
    """At most one running fault a venue. `inject` may come from any thread, the rest from the feed's."""

    def __init__(self) -> None:
        self._running: dict[str, _Fault] = {}
        self._announcements: deque[tuple[str, str]] = deque()
        self._lock = Lock()

    def inject(self, venue: str, fault: str, minutes: int, now_ms: int) -> None:
        """Make ``venue`` fail for the next ``minutes`` closes after ``now_ms``.

        Raises
        ------
        BadInput
            For an unknown venue or fault, or minutes outside 1 to 1440.
        CommandRefused
            While another fault of this venue is running.
        """
        kind = _checked(venue, fault, minutes)
        with self._lock:
            running = self._running.get(venue)
            if running is not None:
                until = from_ms(running.until_ms).isoformat()
                raise CommandRefused(f"{venue} has a fault ({running.kind.value}) until {until}; wait for its end")
            until_ms = now_ms - now_ms % MINUTE.ms + minutes * MINUTE.ms
            self._running[venue] = _Fault(kind, now_ms, until_ms)
            if kind is FaultKind.OUTAGE:
                self._announcements.append((venue, f"simulated outage of {minutes} minutes"))

    def announcements(self, at: datetime) -> Iterator[FeedStatus]:
        """Outages not told yet, told at market time ``at``."""
        while self._announcements:
            venue, detail = self._announcements.popleft()
            yield FeedStatus(venue, at, False, detail)

    def silenced(self, venue: str, at_ms: int) -> FaultKind | None:
        """The fault that swallows what ``venue`` would say at ``at_ms``, or None."""
        fault = self._running.get(venue)
        return fault.kind if fault is not None and fault.from_ms < at_ms <= fault.until_ms else None

    def known_until(self, venue: str, now_ms: int) -> int:
        """Up to when the venue answers questions about the past: the start of a running outage, else ``now_ms``."""
        fault = self._running.get(venue)
        return fault.from_ms if fault is not None and fault.kind is FaultKind.OUTAGE else now_ms

    def end(self, at_ms: int) -> tuple[FeedStatus, ...]:
        """Forget the faults that last until ``at_ms``; the venues that are back."""
        with self._lock:
            ended = [(venue, fault) for venue, fault in sorted(self._running.items()) if fault.until_ms <= at_ms]
            for venue, _ in ended:
                del self._running[venue]
        return tuple(
            FeedStatus(venue, from_ms(at_ms), True, "simulated outage is over")
            for venue, fault in ended
            if fault.kind is FaultKind.OUTAGE
        )

    def clear(self) -> None:
        """Forget everything, after a restart."""
        with self._lock:
            self._running.clear()
            self._announcements.clear()


def _checked(venue: str, fault: str, minutes: int) -> FaultKind:
    if venue not in DEMO_VENUES:
        raise BadInput(f"{venue!r} is not a simulated venue; there are {', '.join(DEMO_VENUES)}")
    if not 1 <= minutes <= MAX_FAULT_MINUTES:
        raise BadInput(f"a fault of {minutes} minutes: choose 1 to {MAX_FAULT_MINUTES}")
    try:
        return FaultKind(fault)
    except ValueError as error:
        raise BadInput(f"fault {fault!r} is unknown; choose outage or gap") from error
