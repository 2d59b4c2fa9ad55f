"""Start and crash recovery, one path: fold the journal, ask every venue, compare the books, only then trade."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, localcontext

from engine.domain.commands import TradingState
from engine.domain.errors import VenueError
from engine.domain.facts import StateChanged
from engine.domain.instruments import Kind
from engine.domain.ports import Clock
from engine.ledger.ledger import EXACT
from engine.trading.book import Book
from engine.trading.loop import TradingLoop

ZERO = Decimal(0)
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
    book, found = loop.book, []
    for name, venue in loop.venues.items():
        totals = {balance.currency: balance.total for balance in venue.balances()}
        coins = {c for (v, c) in book.ledger.balances if v == name} | {c for (v, c) in book.external if v == name}
        for coin in sorted(coins):
            own = book.ledger.balances.get((name, coin), ZERO) + book.external.get((name, coin), ZERO)
            if totals.get(coin, ZERO) != own:
                found.append(f"{name} holds {totals.get(coin, ZERO)} {coin}, the books say {own}")
        positions = {p.instrument: p.quantity for p in venue.positions()}
        for key, instrument in book.ledger.instruments.items():
            if instrument.venue == name and instrument.kind is Kind.PERPETUAL:
                ours = book.ledger.account_position(key)
                if positions.get(key, ZERO) != ours:
                    found.append(f"{key}: the venue has {positions.get(key, ZERO)}, the books say {ours}")
    return found


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
