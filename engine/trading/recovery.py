"""Start and crash recovery, one path: fold the journal, ask every venue, compare the books, only then trade."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import NamedTuple

from engine.domain.commands import TradingState
from engine.domain.errors import VenueError, VenueUnreachable
from engine.domain.facts import StateChanged
from engine.domain.portfolio import Balance, VenuePosition
from engine.domain.ports import Clock, ReadInParts
from engine.domain.positions import Booked
from engine.ledger.ledger import EXACT
from engine.trading.book import Book
from engine.trading.comparing import Difference, compare, differences
from engine.trading.external import EXTERNAL, coins_of
from engine.trading.loop import TradingLoop
from engine.trading.sending import MarketVenue

__all__ = ["Reconciler", "Recovered", "compare", "halt", "recover", "take_baseline"]

ZERO = Decimal(0)
MOST_DOUBTS = 4
"""Looks at something that changes each time, before it is believed."""
MOST_READINGS = 100
"""Looks at a list of executions that is longer than what is read at a time, before a start is given up."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What recovery found: facts folded, orders asked about, fills booked, and every difference of books and venues."""

    facts: int
    asked: int
    differences: tuple[str, ...]
    booked: int = 0


def recover(loop: TradingLoop, wait: Callable[[float], None], patience_s: float = 10.0) -> Recovered:
    """Bring a loaded book up to the venues' evidence.

    Parameters
    ----------
    loop : TradingLoop
        `TradingLoop.load` has been called.
    wait : callable
        Sleeps so many seconds between looks.
    patience_s : float
        Wall seconds to wait for proof; orders still in doubt stay UNKNOWN and block their instrument.
    """
    loop.watch.await_all("the engine has just started")
    loop.watch.begin()
    asked = sum(1 for _ in loop.book.tracker.open_orders())
    fills = loop.book.ledger.fills
    with suppress(VenueError):  # asked again below, where silence is told
        loop.pull()
    done = loop.resolve(everything=True)
    waited = 0.0
    while not done and waited < patience_s:
        wait(0.05)
        waited += 0.05
        done = loop.resolve()
    found = _compare_twice(loop, wait)
    loop.core.look_at_all()
    loop.protect()
    loop.drive_baskets()
    return Recovered(loop.sequence, asked, tuple(found), loop.book.ledger.fills - fills)


def _compare_twice(loop: TradingLoop, wait: Callable[[float], None]) -> list[str]:
    """Every difference that two looks find; the book is halted for it. Nothing is concluded from one odd answer.

    A connected venue that does not answer, or holds coins that a deposit may explain yet, halts nothing: nothing is
    opened there until a comparison has passed.
    """
    looks = loop.book.config.looks
    try:
        loop.pull()
        found = _all_differences(loop)
        if found:
            wait(looks.second_look_s)
            if looks.lists_orders:
                loop.pull()
                loop.resolve(everything=True)
            found = _all_differences(loop)
    except VenueError as error:
        silence = f"a venue did not answer: {error}"
        if not looks.lists_orders:
            halt(loop, [silence])
        return [silence]
    if sure := [each.text for each in found if not (each.may_be_flow and looks.explain_s)]:
        halt(loop, sure)
    for each in found:
        loop.watch.doubt(each.venue, each.text)
    for name in loop.venues if not found and not loop.resolver.silent else ():
        loop.watch.passed(name)
    return [each.text for each in found]


def _all_differences(loop: TradingLoop) -> list[Difference]:
    return [each for name in loop.venues for each in differences(loop, name)]


def halt(loop: TradingLoop, differences: Sequence[str]) -> None:
    """Stop a book whose record is not the venue's truth, until a person has looked; a latched one stays latched."""
    at, reason = loop.market_time(), f"books and venues differ: {differences[0]}"
    if not loop.book.latched:
        loop.take([StateChanged(TradingState.HALTED, False, reason, at)], at)
    loop.alarm("reconcile", "Books and venues differ", "; ".join(differences))


class _Doubt(NamedTuple):
    """A difference as the last look found it, how many looks in a row did, and when (monotonic) the first of them."""

    gap: Decimal
    looks: int
    since: float


class Reconciler:
    """Compares books and venues over and over while the engine runs; one odd answer is looked at again first."""

    def __init__(self, loop: TradingLoop, clock: Clock) -> None:
        self._loop = loop
        self._clock = clock
        self._looks = loop.book.config.looks
        now = clock.monotonic()
        self._due, self._orders_due = now + self._looks.money_s, now + self._looks.orders_s
        self._again_due, self._pause_s = now, loop.book.config.look_gap_s
        self._doubts: dict[tuple[str, str], _Doubt] = {}
        self._told: set[tuple[str, str]] = set()
        self._returns = loop.watch.returns

    def drive(self) -> None:
        """Look if it is time, or if something asks for it; a venue that does not answer proves nothing."""
        now = self._clock.monotonic()
        self._loop.watch.look()
        if self._returns != self._loop.watch.returns:
            self._returns, self._again_due = self._loop.watch.returns, now
        if now >= self._due or (self._loop.watch.is_awaiting and now >= self._again_due):
            self._look(now)
            self._loop.watch.look()
        elif now >= self._orders_due:
            self._orders_due = now + self._looks.orders_s
            self._loop.resolve(everything=True)
            self._loop.protect()

    def _look(self, now: float) -> None:
        self._due, self._orders_due = now + self._looks.money_s, now + self._looks.orders_s
        self._loop.watch.begin()
        silent = set()
        for name in self._loop.venues:
            try:
                self._loop.pull_from(name)
            except VenueError:
                silent.add(name)
        if not silent:
            self._loop.book.forget_payments()
        self._loop.price_owed_fees()
        self._loop.resolve(everything=True)
        silent |= self._loop.resolver.silent
        found: list[Difference] = []
        for name in sorted(self._loop.venues.keys() - silent):
            try:
                found += differences(self._loop, name)
            except VenueError:
                silent.add(name)
        self._loop.protect()
        self._conclude(now, found, silent)

    def _conclude(self, now: float, found: list[Difference], silent: set[str]) -> None:
        differing = {each.venue for each in found}
        for name in self._loop.venues.keys() - silent - differing:
            self._loop.watch.passed(name)
        self._again_due = now + self._pause_s
        lasting = [each for each in found if self._is_lasting(each, now)]
        for each in found:
            self._loop.watch.doubt(each.venue, each.text)
        self._doubts = {key: doubt for key, doubt in self._doubts.items() if key[0] in silent} | {
            (each.venue, each.subject): self._doubt_of(each, now) for each in found
        }
        if len(lasting) < len(found):
            self._due = now + self._pause_s
        again = bool(silent) or len(lasting) < len(found)
        self._pause_s = min(2 * self._pause_s, self._looks.orders_s) if again else self._loop.book.config.look_gap_s
        names = {(each.venue, each.subject) for each in lasting}
        if lasting and (not names <= self._told or self._loop.book.state is TradingState.ACTIVE):
            halt(self._loop, [each.text for each in lasting])
            self._told = names
        elif not found and not silent:
            self._told = set()

    def _doubt_of(self, found: Difference, now: float) -> _Doubt:
        before = self._doubts.get((found.venue, found.subject), _Doubt(ZERO, 0, now))
        return _Doubt(found.gap, before.looks + 1, before.since)

    def _is_lasting(self, found: Difference, now: float) -> bool:
        """Whether the last look found the same; one that changes from look to look is believed at the fifth.

        What may be a deposit that is not told yet has some time to be.
        """
        before = self._doubts.get((found.venue, found.subject))
        if before is None or (found.may_be_flow and now - before.since < self._looks.explain_s):
            return False
        return before.gap == found.gap or before.looks >= MOST_DOUBTS


def take_baseline(loop: TradingLoop, names: Collection[str] = ()) -> None:
    """Note what the accounts hold beyond the book's own, and what they did before it began.

    Those are the trader's coins and executions: the engine neither touches nor books them. A derivative position is the
    account's; one in an instrument of the book is taken over at its mark, under the name of nobody's strategy.

    Raises
    ------
    VenueError
        A venue does not answer.
    """
    for name, venue in loop.venues.items():
        if names and name not in names:
            continue
        for _ in range(MOST_DOUBTS):
            _, cursor = _read_to_the_end(venue, "")
            balances, positions = venue.balances(), venue.positions()
            meanwhile, _ = _read_to_the_end(venue, cursor)
            if not meanwhile:
                break
        loop.book.cursors[name] = cursor
        with localcontext(EXACT):
            _note_own(loop.book, name, balances, positions)


def _read_to_the_end(venue: MarketVenue, cursor: str) -> tuple[int, str]:
    """How many executions there are after a cursor, and the cursor after them; raises `VenueError`.

    What is not read here would be booked later, as something that has happened since.
    """
    count, unread = 0, ""
    for _ in range(MOST_READINGS):
        if not isinstance(venue, ReadInParts):
            rows, cursor = venue.executions_since(cursor)
            return len(rows), cursor
        more, cursor = venue.pass_over(cursor)
        count, unread = count + more, venue.unread
        if not unread:
            return count, cursor
    raise VenueUnreachable(f"the executions of the last day were not read: {unread}")


def _note_own(book: Book, name: str, balances: Sequence[Balance], positions: Sequence[VenuePosition]) -> None:
    own = {b.currency: b.total - book.ledger.balances.get((name, b.currency), ZERO) for b in balances}
    for position in positions:
        key, quote = position.instrument, coins_of(position.instrument)[1]
        if key not in book.ledger.instruments:
            book.outside.positions[key] = Booked(position.quantity, position.quantity * position.entry_price, ZERO)
            continue
        price = position.mark_price or position.entry_price
        book.ledger.take_over(EXTERNAL, key, position.quantity, price)
        own[quote] = own.get(quote, ZERO) + position.quantity * (price - position.entry_price)
    for coin, amount in own.items():
        if amount:
            book.external[(name, coin)] = amount
