"""Start and crash recovery, one path: fold the journal, ask every venue, compare the books, only then trade."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from engine.domain.commands import TradingState
from engine.domain.errors import VenueError
from engine.domain.facts import StateChanged
from engine.domain.instruments import Kind
from engine.trading.book import Book
from engine.trading.loop import TradingLoop

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What recovery found: facts folded, orders asked about, and every difference between books and venues."""

    facts: int
    asked: int
    differences: tuple[str, ...]


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
    try:
        loop.pull()
        done = loop.resolve(everything=True)
        waited = 0.0
        while not done and waited < patience_s:
            wait(0.05)
            waited += 0.05
            done = loop.resolve()
        loop.pull()
        differences = compare(loop)
    except VenueError as error:
        differences = [f"a venue did not answer: {error}"]
    if differences and not loop.book.latched:
        reason = f"books and venues differ: {differences[0]}"
        loop.take([StateChanged(TradingState.HALTED, False, reason, loop.market_time())], loop.market_time())
        loop.alarm("reconcile", "Books and venues differ", "; ".join(differences))
    return Recovered(loop.sequence, asked, tuple(differences))


def compare(loop: TradingLoop) -> list[str]:
    """Every difference between ledger and venues, in words; the trader's own coins are the baseline."""
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
    """Note what the accounts hold beyond the book's own: the trader's coins, which the engine never touches."""
    book: Book = loop.book
    for name, venue in loop.venues.items():
        for balance in venue.balances():
            rest = balance.total - book.ledger.balances.get((name, balance.currency), ZERO)
            if rest:
                book.external[(name, balance.currency)] = rest
