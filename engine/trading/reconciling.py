"""Every difference of a book and its venues, row by row, with what explains it; for people who ask for a comparison."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

from engine.domain.codec import plain
from engine.domain.errors import VenueError
from engine.domain.instruments import venue_of
from engine.domain.orders import OrderState
from engine.trading.comparing import Difference, Told, ask, differences
from engine.trading.external import EXTERNAL
from engine.trading.loop import TradingLoop

ZERO = Decimal(0)
NOTHING = "-"
_NO_PROOF = (OrderState.INTENT, OrderState.SENT, OrderState.UNKNOWN)


class Kind(Enum):
    """What differs."""

    ORDER = "order"
    POSITION = "position"
    BALANCE = "balance"
    FILL = "fill"
    EXECUTION = "execution"


@dataclass(frozen=True, slots=True)
class Row:
    """One difference between the engine's books and a venue.

    Attributes
    ----------
    venue : str
    kind : Kind
    what : str
        Coin, symbol, client order id, trade number or the name of a row that cannot be read.
    books, exchange : str
        What the engine's own books say, and what the exchange says; "-" where one of them knows nothing of it.
    explanation : str
        What explains it, or what follows from it where nothing does.
    equal : bool
        Whether it is explained, so that books and exchange agree.
    """

    venue: str
    kind: Kind
    what: str
    books: str
    exchange: str
    explanation: str
    equal: bool


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A comparison of one book; ``silent`` are venues that gave no answer, and why: nothing is known of them."""

    book: str
    rows: tuple[Row, ...]
    silent: tuple[tuple[str, str], ...] = ()
    unexplained: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether every venue answered and every difference is explained."""
        return not self.silent and all(row.equal for row in self.rows)


@dataclass(slots=True)
class _Look:
    rows: list[Row] = field(default_factory=list)
    silent: dict[str, str] = field(default_factory=dict)
    unexplained: list[str] = field(default_factory=list)


def reconcile(loop: TradingLoop) -> Reconciliation:
    """Ask every venue of a book now, book what it had not told, and say what is left.

    Nothing is halted here: one odd answer is no proof. Ask a second time before believing a row that nothing explains.
    """
    look, book = _Look(), loop.book
    filled = {order.intent.client_id: order.filled for order in book.tracker.open_orders()}
    known = set(book.payments)
    for name in loop.venues:
        try:
            loop.pull_from(name)
        except VenueError as error:
            look.silent[name] = str(error)
    loop.price_owed_fees()
    loop.resolve(everything=True)
    look.rows += _booked_now(loop, filled, known)
    for name in loop.venues:
        look.rows += _unread(loop, name)
        if name not in look.silent:
            _compare(loop, name, look)
    return Reconciliation(book.config.name, tuple(look.rows), tuple(look.silent.items()), tuple(look.unexplained))


def _booked_now(loop: TradingLoop, filled: dict[str, Decimal], known: set[str]) -> Iterator[Row]:
    """What the exchange had executed or paid and the books learned by this look."""
    for client_id, before in filled.items():
        order = loop.book.tracker.get(client_id)
        if order is not None and order.filled != before:
            name, symbol = _parts(order.intent.instrument)
            what = f"{symbol}, order {client_id}"
            words = "executed since the last look, booked now"
            yield Row(name, Kind.FILL, what, plain(before), plain(order.filled), words, True)
    for key in loop.book.payments:
        if key not in known:
            name, _, number = key.partition("|")
            kind, words = Kind.FILL, "an execution that no order of the engine explains: booked now as external"
            if "|" not in number:
                kind, words = Kind.BALANCE, "a payment, deposit or withdrawal that the exchange tells: booked now"
            yield Row(name, kind, number.replace("|", " "), NOTHING, "booked", words, True)


def _unread(loop: TradingLoop, name: str) -> Iterator[Row]:
    """Rows of the exchange's list that nobody can read: those that entries wait for, and those set aside."""
    outside = loop.book.outside
    for row in outside.unreadable.get(name, ()):
        way_out = f"reconcile --set-aside {shlex.quote(row.name)} lets entries go on without it"
        yield Row(
            name, Kind.EXECUTION, row.name, NOTHING, "cannot be read", f"not booked: {row.words}; {way_out}", False
        )
    for aside in outside.aside.get(name, ()):
        yield Row(name, Kind.EXECUTION, aside.row.name, "set aside", "cannot be read", aside.words, True)


def _compare(loop: TradingLoop, name: str, look: _Look) -> None:
    try:
        told = ask(loop.venues[name])
        found = {each.subject: each for each in differences(loop, name, told)}
    except VenueError as error:
        look.silent[name] = str(error)
        return
    look.rows += _orders(loop, name, found)
    look.rows += _positions(loop, name, told, found)
    look.rows += _balances(loop, name, told, found)
    look.unexplained += [each.text for each in found.values()]


def _orders(loop: TradingLoop, name: str, found: dict[str, Difference]) -> Iterator[Row]:
    book = loop.book
    for own in book.outside.orders.get(name, ()):
        at = own.limit_price or own.stop_price
        exchange = f"{own.side.value} {plain(own.remaining)} {_symbol(own.instrument)}"
        exchange += f" at {plain(at)}" if at is not None else ""
        number = own.client_id or own.venue_order_id
        words = "an order of your own: counted in risk, never managed"
        yield Row(name, Kind.ORDER, number, NOTHING, exchange, words, True)
    for order in book.tracker.open_orders():
        if venue_of(order.intent.instrument) == name and order.state in _NO_PROOF:
            words = "the exchange has given no proof of it yet: counted at its worst, asked about until there is"
            what = order.intent.client_id
            yield Row(name, Kind.ORDER, what, order.state.value.upper(), "no proof", words, False)
    for subject, each in found.items():
        if subject.startswith("order "):
            known = book.tracker.get(subject.removeprefix("order "))
            books = known.state.value if known is not None else NOTHING
            what = subject.removeprefix("order ")
            yield Row(name, Kind.ORDER, what, books, "working", f"not explained: {each.text}", False)


def _positions(loop: TradingLoop, name: str, told: Told, found: dict[str, Difference]) -> Iterator[Row]:
    book = loop.book
    reported = {str(each.instrument): each.quantity for each in told.positions}
    traded = {str(i.key) for i in book.ledger.instruments.values() if i.venue == name}
    for key in sorted(reported.keys() | (found.keys() & traded)):
        quantity = reported.get(key, ZERO)
        own, external = _held(loop, key)
        if key in found:
            gap = plain(own + external)
            yield Row(name, Kind.POSITION, _symbol(key), gap, plain(quantity), f"not explained: {_end(loop)}", False)
        elif quantity != own:
            words = "opened by you or by the exchange: counted in risk, never managed"
            yield Row(name, Kind.POSITION, _symbol(key), plain(own), plain(quantity), words, True)


def _held(loop: TradingLoop, key: str) -> tuple[Decimal, Decimal]:
    """What the engine and what others hold of an instrument, by the books."""
    own = external = ZERO
    for sleeve, held_key, holding in loop.book.ledger.open_holdings():
        if held_key == key and sleeve == EXTERNAL:
            external += holding.quantity
        elif held_key == key:
            own += holding.quantity
    return own, external


def _balances(loop: TradingLoop, name: str, told: Told, found: dict[str, Difference]) -> Iterator[Row]:
    book = loop.book
    totals = {each.currency: each.total for each in told.balances}
    coins = {coin for venue, coin in (*book.ledger.balances, *book.external) if venue == name} | totals.keys()
    for coin in sorted(coins):
        total, own = totals.get(coin, ZERO), book.ledger.balances.get((name, coin), ZERO)
        his = book.external.get((name, coin), ZERO)
        if coin in found:
            each = found[coin]
            later = "a deposit or withdrawal may explain it and is not told yet; " if each.may_be_flow else ""
            words = f"not explained: {plain(each.gap)} {coin}; {later}{_end(loop)}"
            yield Row(name, Kind.BALANCE, coin, plain(own + his), plain(total), words, False)
        elif total != own:
            yield Row(name, Kind.BALANCE, coin, plain(own), plain(total), _whose(coin, his, total - own), True)


def _whose(coin: str, his: Decimal, gap: Decimal) -> str:
    if not his:
        return (
            "a coin the book has never had: your own, not counted" if gap > 0 else "settled as its positions are closed"
        )
    words = f"{plain(his)} {coin} of it are your own: there before the book began, or moved by you since"
    return words if his == gap else f"{words}; the rest is the result and rounding of open positions"


def _end(loop: TradingLoop) -> str:
    return f"the book is {loop.book.state.value}; one that lasts halts it until a person has looked"


def _parts(key: str) -> tuple[str, str]:
    name, _, symbol = key.partition(":")
    return name, symbol


def _symbol(key: str) -> str:
    return _parts(key)[1]
