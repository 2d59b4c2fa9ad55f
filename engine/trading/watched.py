"""What the watch beside each venue has found, taken over on the book's own thread.

Entries wait where it is not known what happens; new rules of an instrument count from the next order on; one that is
halted, taken off the list or set up in another way is closed to entries. Exits pass in every case.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.domain.codec import plain
from engine.domain.conditions import MarketNews, VenueHearing
from engine.domain.facts import Notice, Severity
from engine.domain.instruments import InstrumentKey, venue_of
from engine.domain.ports import Clock, Relisting, Watching
from engine.trading.resolving import Taking

TOLD_AFTER_S = 15.0
"""Entries that wait so long are told; a stream that connects anew takes a few seconds now and then."""
TROUBLE_S = 120.0
"""Questions that fail for so long are told and shown."""
ASK_AGAIN_S = 60.0
"""Least pause between two looks at a venue's rules because it refused orders: its list is long."""


@dataclass(slots=True)
class _Attended:
    """A watch, and what was made of it so far; times are monotonic."""

    watch: Watching
    refusals: int
    waits_since: float | None = None
    told: set[str] = field(default_factory=set)
    asked_at: float = float("-inf")


class Watched:
    """Of one book; used by its thread. A venue without a watch is left as it is.

    Parameters
    ----------
    loop : Taking
    clock : Clock
    """

    def __init__(self, loop: Taking, clock: Clock) -> None:
        self._loop = loop
        self._book = loop.book
        self._clock = clock
        self._attended: dict[str, _Attended] = {}

    def attend(self, venue: str, watch: Watching) -> None:
        """Heed a watch that begins now: entries wait until it says that the venue is known."""
        self._attended[venue] = _Attended(watch, self._book.outside.refusals.get(venue, 0))
        self.look()

    def look(self) -> None:
        """Take over what was found since the last time; asks nobody."""
        for venue, attended in self._attended.items():
            for news in attended.watch.market_news():
                self._take(news)
            self._hear(venue, attended)
            self._ask_for_rules(venue, attended)

    def _hear(self, venue: str, attended: _Attended) -> None:
        hearing, now, outside = attended.watch.hearing, self._clock.monotonic(), self._book.outside
        if hearing.waits:
            outside.unheard[venue] = hearing.waits
            attended.waits_since = now if attended.waits_since is None else attended.waits_since
        else:
            outside.unheard.pop(venue, None)
            attended.waits_since = None
        outside.instead[venue] = hearing.instead
        outside.troubles[venue] = hearing.trouble if hearing.trouble_s >= TROUBLE_S else ""
        self._tell_of_hearing(venue, attended, hearing, now)

    def _tell_of_hearing(self, venue: str, attended: _Attended, hearing: VenueHearing, now: float) -> None:
        waits_long = attended.waits_since is not None and now - attended.waits_since >= TOLD_AFTER_S
        key, title = f"hearing-{venue}", f"Entries wait at {venue}"
        self._tell_once(attended, key, waits_long, title, f"{hearing.waits}; exits and stops go on")
        if attended.waits_since is None and key in attended.told:
            attended.told.discard(key)
            how = hearing.instead or "its streams tell what happens"
            self._tell(key, Severity.INFO, f"{venue} is known again", f"{how}; entries go on")
        trouble = self._book.outside.troubles.get(venue, "")
        key, title = f"looks-{venue}", f"Questions to {venue} bring no usable answer"
        self._tell_once(attended, key, bool(trouble), title, f"for {hearing.trouble_s:.0f} s: {trouble}")
        if not hearing.trouble:
            attended.told.discard(key)

    def _tell_once(self, attended: _Attended, key: str, is_due: bool, title: str, detail: str) -> None:
        if is_due and key not in attended.told:
            attended.told.add(key)
            self._tell(key, Severity.WARNING, title, detail)

    def _ask_for_rules(self, venue: str, attended: _Attended) -> None:
        refusals, now = self._book.outside.refusals.get(venue, 0), self._clock.monotonic()
        if refusals != attended.refusals and now - attended.asked_at >= ASK_AGAIN_S:
            attended.refusals, attended.asked_at = refusals, now
            attended.watch.ask_markets_soon()

    # -- rules ----------------------------------------------------------------------------------------------------

    def _take(self, news: MarketNews) -> None:
        key, outside = news.instrument.key, self._book.outside
        venue = self._loop.venues.get(venue_of(key))
        if isinstance(venue, Relisting):
            venue.relist(news.instrument, news.contract_size)
        self._book.add_instrument(news.instrument)
        severity = Severity.CRITICAL if self._is_at_stake(key) else Severity.WARNING
        if news.changed:
            detail = f"{news.changed}. The next orders keep to it{self._held(key)}"
            self._tell(f"rules-{key}", severity, f"The rules of {key} have changed", detail)
        before = outside.closed.pop(key, "")
        if news.closed:
            outside.closed[key] = news.closed
            detail = f"{news.closed}. Exits stay possible as far as the exchange takes them{self._held(key)}"
            self._tell(f"closed-{key}", severity, f"Nothing is opened on {key}", detail)
        elif before:
            self._tell(f"closed-{key}", Severity.INFO, f"{key} may be traded again", f"it was closed: {before}")

    def _is_at_stake(self, key: InstrumentKey) -> bool:
        book = self._book
        works = any(not order.state.is_final for order in book.tracker.open_on(key))
        return (
            works or bool(book.ledger.account_position(key)) or any(k == key for _, k, _ in book.ledger.open_holdings())
        )

    def _held(self, key: InstrumentKey) -> str:
        rows = [f"{plain(h.quantity)} of {sleeve}" for sleeve, k, h in self._book.ledger.open_holdings() if k == key]
        return f". Held: {', '.join(rows)}" if rows else ""

    def _tell(self, key: str, severity: Severity, title: str, detail: str) -> None:
        book = self._book.config.name
        self._loop.tell(Notice(f"{book}:{key}", severity, title, detail, book, self._loop.market_time()))
