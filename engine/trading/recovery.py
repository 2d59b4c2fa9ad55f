"""Start and crash recovery, one path: fold the journal, ask every venue, compare the books, only then trade."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, localcontext

from engine.domain.codec import plain
from engine.domain.commands import TradingState
from engine.domain.errors import VenueError
from engine.domain.facts import StateChanged
from engine.domain.instruments import InstrumentKey, Kind
from engine.domain.ports import Clock
from engine.domain.positions import CENT, Booked
from engine.ledger.ledger import EXACT, FLAT
from engine.trading.book import Book
from engine.trading.loop import TradingLoop

ZERO = Decimal(0)
_FLAT = (ZERO, ZERO)
RECONCILE_EVERY_S = 10.0
"""Wall seconds between two comparisons of books and venues."""


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
    try:
        loop.pull()
        differences = compare(loop)
        if differences:
            wait(0.05)
            differences = compare(loop)  # nothing is concluded from one odd answer
    except VenueError as error:
        differences = [f"a venue did not answer: {error}"]
    if differences:
        halt(loop, differences)
    loop.core.look_at_all()
    loop.protect()
    return Recovered(loop.sequence, asked, tuple(differences), loop.book.ledger.fills - fills)


def halt(loop: TradingLoop, differences: Sequence[str]) -> None:
    """Stop a book whose record is not the venue's truth, until a person has looked; a latched one stays latched."""
    at, reason = loop.market_time(), f"books and venues differ: {differences[0]}"
    if not loop.book.latched:
        loop.take([StateChanged(TradingState.HALTED, False, reason, at)], at)
    loop.alarm("reconcile", "Books and venues differ", "; ".join(differences))


class Reconciler:
    """Compares books and venues over and over while the engine runs; one odd answer is looked at again first."""

    def __init__(self, loop: TradingLoop, clock: Clock, every_s: float = RECONCILE_EVERY_S) -> None:
        self._loop = loop
        self._clock = clock
        self._every_s = every_s
        self._due = clock.monotonic() + every_s
        self._doubt: list[str] = []
        self._told: list[str] = []

    def drive(self) -> None:
        """Look if it is time; a venue that does not answer proves nothing."""
        now = self._clock.monotonic()
        if now < self._due:
            return
        self._due = now + self._every_s
        try:
            self._loop.pull()
            self._loop.resolve(everything=True)
            found = compare(self._loop)
        except VenueError:
            return
        self._loop.protect()
        if found and not self._doubt:
            self._due = now + self._loop.book.config.look_gap_s
        elif found and (found != self._told or self._loop.book.state is TradingState.ACTIVE):
            halt(self._loop, found)
            self._told = found
        elif not found:
            self._told = []
        self._doubt = found


def compare(loop: TradingLoop) -> list[str]:
    """Every difference between books and venues, in words; the trader's own coins are the baseline."""
    with localcontext(EXACT):
        return [*_compare_money(loop), *_unknown_orders(loop)]


def _unknown_orders(loop: TradingLoop) -> list[str]:
    """Orders in our name that the books do not know: of a record that was lost, or of another engine."""
    book, found = loop.book, []
    for name, venue in loop.venues.items():
        for update in venue.open_orders():
            known = book.tracker.get(update.client_id)
            if not book.ids.owns(update.client_id) or (known is not None and not known.state.is_final):
                continue
            if known is not None:
                found.append(f"{name} works order {update.client_id}, which the books believe {known.state.value}")
                continue
            newer = book.ids.epoch_of(update.client_id) > book.ids.epoch
            whose = "another engine that trades this account" if newer else "a record that was lost"
            found.append(f"{name} works order {update.client_id} of {whose}")
    return found


def _compare_money(loop: TradingLoop) -> list[str]:
    found = []
    for name, venue in loop.venues.items():
        totals = {balance.currency: balance.total for balance in venue.balances()}
        reported = {p.instrument: (p.quantity, p.entry_price) for p in venue.positions()}
        for key, ours in _perpetuals(loop.book, name):
            quantity, _ = reported.get(key, _FLAT)
            if quantity != ours.quantity:
                found.append(f"{key}: the venue has {quantity}, the books say {ours.quantity}")
        found += _compare_coins(loop.book, name, totals, _Open.at(loop.book, name, reported))
    return found


@dataclass(frozen=True, slots=True)
class _Open:
    """Derivative positions by quote coin: their cost in the books less that at the venue, and how exact it can be.

    Which part of a result is realised depends on the order of the executions, and so does the balance. Balance less
    cost does not: it is what every execution, fee and payment has moved, whatever came first.
    """

    ahead: Mapping[str, Decimal]
    rounding: Mapping[str, Decimal]

    @classmethod
    def at(cls, book: Book, venue: str, reported: Mapping[InstrumentKey, tuple[Decimal, Decimal]]) -> _Open:
        ahead, rounding = dict[str, Decimal](), dict[str, Decimal]()
        for key, ours in _perpetuals(book, venue):
            coin, (quantity, entry_price) = book.ledger.instruments[key].quote, reported.get(key, _FLAT)
            ahead[coin] = ahead.get(coin, ZERO) + ours.cost - quantity * entry_price
            rounding[coin] = rounding.get(coin, ZERO) + abs(quantity) * CENT
        return cls(ahead, rounding)


def _perpetuals(book: Book, venue: str) -> list[tuple[InstrumentKey, Booked]]:
    """The account's position in every derivative of a venue."""
    accounts = dict(book.ledger.accounts())
    perpetuals = (i for i in book.ledger.instruments.values() if i.venue == venue and i.kind is Kind.PERPETUAL)
    return [(one.key, accounts.get(one.key, FLAT)) for one in perpetuals]


def _compare_coins(book: Book, name: str, totals: Mapping[str, Decimal], open_: _Open) -> list[str]:
    found = []
    coins = {c for (v, c) in book.ledger.balances if v == name} | {c for (v, c) in book.external if v == name}
    for coin in sorted(coins):
        own = book.ledger.balances.get((name, coin), ZERO) + book.external.get((name, coin), ZERO)
        total, expected = totals.get(coin, ZERO), own - open_.ahead.get(coin, ZERO)
        if abs(total - expected) > open_.rounding.get(coin, ZERO):
            ours = str(own) if expected == own else _shown(expected)
            found.append(f"{name} holds {total} {coin}, the books say {ours}")
    return found


def _shown(expected: Decimal) -> str:
    return f"{plain(expected.quantize(CENT))}, given what its open positions cost there"


def take_baseline(loop: TradingLoop) -> None:
    """Note what the accounts hold beyond the book's own, and what they did before it began.

    Those are the trader's coins and executions: the engine neither touches nor books them.
    """
    book: Book = loop.book
    for name, venue in loop.venues.items():
        _, book.cursors[name] = venue.executions_since("")
        for balance in venue.balances():
            rest = balance.total - book.ledger.balances.get((name, balance.currency), ZERO)
            if rest:
                book.external[(name, balance.currency)] = rest
