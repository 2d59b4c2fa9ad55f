"""How a book's venues stand, looked at before every decision: what is refused until when, and what people are told."""

from __future__ import annotations

from datetime import datetime

from engine.domain.codec import plain
from engine.domain.commands import TradingState
from engine.domain.conditions import VenueCondition, VenueState
from engine.domain.facts import Notice, Severity, StateChanged
from engine.domain.instruments import venue_of
from engine.domain.ports import Clock, Connected
from engine.trading.resolving import Taking
from engine.trading.watched import Watched

CLOCK_JUMP_S = 30.0
"""Wall time that has passed beyond what the monotonic clock counted: the computer slept, or its clock was set."""
UNLOCKED = "the key works again and books and venues are equal"
_AWAY = (VenueState.OFFLINE, VenueState.MAINTENANCE, VenueState.BANNED, VenueState.LOCKED)
_LOUD = {
    VenueState.ONLINE: Severity.INFO,
    VenueState.DEGRADED: Severity.WARNING,
    VenueState.OFFLINE: Severity.WARNING,
    VenueState.MAINTENANCE: Severity.WARNING,
    VenueState.BANNED: Severity.CRITICAL,
    VenueState.LOCKED: Severity.CRITICAL,
}


class VenueWatch:
    """Watches the connected venues of one book; simulated ones have no condition.

    Attributes
    ----------
    venues : dict
        The connected ones by name.
    watched : Watched
        What is found beside the book, where somebody watches.
    returns : int
        How often one of them has come back: what waits for an answer need not wait longer.
    """

    def __init__(self, loop: Taking, clock: Clock) -> None:
        self._loop = loop
        self._book = loop.book
        self._clock = clock
        self._wall, self._monotonic = clock.now(), clock.monotonic()
        self.returns = 0
        self.watched = Watched(loop, clock)
        self.venues: dict[str, Connected] = {n: v for n, v in loop.venues.items() if isinstance(v, Connected)}
        self._is_lock_told = bool(self.venues)  # before the last start, for all that is known

    def await_all(self, reason: str) -> None:
        """Let nothing be opened at connected venues until books and venues have been compared."""
        for name in self.venues:
            self._book.outside.awaiting[name] = reason

    def doubt(self, name: str, what: str) -> None:
        """Let nothing be opened at a connected venue while a difference waits for its explanation."""
        if name in self.venues:
            self._book.outside.awaiting[name] = f"a difference waits for its explanation: {what}"

    def look(self) -> None:
        """Take over how the venues stand; asks none of them."""
        self._look_at_clocks()
        for name, venue in self.venues.items():
            self._see(name, venue.condition)
            reason = venue.needs_resync
            if reason:
                self._book.outside.awaiting[name] = reason
        self.watched.look()
        self._lock_or_unlock()

    @property
    def is_awaiting(self) -> bool:
        """Whether a comparison is awaited."""
        return bool(self._book.outside.awaiting)

    def begin(self) -> None:
        """A comparison begins."""
        for venue in self.venues.values():
            venue.resync_begins()

    def passed(self, name: str) -> None:
        """Books and venue are equal, unless something has happened there since the comparison began."""
        venue = self.venues.get(name)
        if venue is not None and not venue.needs_resync and venue.condition.state not in _AWAY:
            self._book.outside.awaiting.pop(name, None)

    def _look_at_clocks(self) -> None:
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        jumped_s = abs((wall - self._wall).total_seconds() - (monotonic - self._monotonic))
        self._wall, self._monotonic = wall, monotonic
        if jumped_s > CLOCK_JUMP_S:
            self.await_all(f"the computer slept, or its clock was set, by {jumped_s:.0f} s")

    def _see(self, name: str, now: VenueCondition) -> None:
        outside = self._book.outside
        before = outside.conditions.get(name)
        outside.conditions[name] = now
        was = before.state if before is not None else VenueState.ONLINE
        if was is now.state:
            return
        if was in _AWAY and now.state not in _AWAY:
            outside.awaiting[name] = f"it was {was.value}"
            self.returns += 1
        self._loop.tell(self._notice_of(name, now))

    def _notice_of(self, name: str, now: VenueCondition) -> Notice:
        book = self._book.config.name
        detail = f"It {now.state.words}{f' ({now.detail})' if now.detail else ''}"
        if now.state is VenueState.LOCKED:
            detail = f"{detail}. UNMANAGED: {self._held_at(name)}"
        title = f"{name} is {now.state.value}"
        return Notice(f"{book}:venue-{name}", _LOUD[now.state], title, detail, book, self._at())

    def _held_at(self, name: str) -> str:
        rows = [
            f"{plain(holding.quantity)} {key} of {sleeve}"
            for sleeve, key, holding in self._book.ledger.open_holdings()
            if venue_of(key) == name
        ]
        return ", ".join(rows) or "no position"

    def _lock_or_unlock(self) -> None:
        """A book none of whose venues accepts its key is LOCKED; it comes back close-only, once all is compared."""
        book, outside = self._book, self._book.outside
        locked = [name for name in self.venues if outside.is_locked(name)]
        if locked and len(locked) == len(self._loop.venues) and book.state in _UNLOCKED:
            self._move(TradingState.LOCKED, f"{', '.join(locked)} does not accept the key: give it a working one")
        elif book.state is TradingState.LOCKED and not locked and not outside.awaiting and not book.latched:
            self._move(TradingState.CLOSE_ONLY, f"{UNLOCKED}; look at it, then set the book ACTIVE")
        elif self._is_lock_told and not locked and book.state is not TradingState.LOCKED:
            self._tell_lock(Severity.INFO, f"the key works again; the book is {book.state.value}: {book.state_reason}")

    def _move(self, state: TradingState, reason: str) -> None:
        at = self._at()
        self._loop.take([StateChanged(state, False, reason, at)], at)
        self._tell_lock(Severity.CRITICAL if state is TradingState.LOCKED else Severity.INFO, reason)

    def _tell_lock(self, severity: Severity, reason: str) -> None:
        """That the book is LOCKED, or that this is over, also where a stop has taken its place meanwhile."""
        self._is_lock_told = severity is Severity.CRITICAL
        book = self._book.config.name
        title = f"{book} is {self._book.state.value}"
        self._loop.tell(Notice(f"{book}:locked", severity, title, reason, book, self._at()))

    def _at(self) -> datetime:
        return self._loop.market_time()


_UNLOCKED = (TradingState.ACTIVE, TradingState.CLOSE_ONLY)
