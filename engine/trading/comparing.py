"""Books against venues: every difference of money, positions and orders, named so that it is known again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

from engine.domain.codec import plain
from engine.domain.instruments import InstrumentKey, Kind, venue_of
from engine.domain.orders import OrderUpdate
from engine.domain.portfolio import Balance, VenuePosition
from engine.domain.positions import CENT, Booked
from engine.ledger.ledger import EXACT, FLAT
from engine.trading.book import Book
from engine.trading.external import coins_of
from engine.trading.loop import TradingLoop
from engine.trading.sending import MarketVenue

ZERO = Decimal(0)
_FLAT = (ZERO, ZERO)
_Reported = Mapping[InstrumentKey, tuple[Decimal, Decimal]]


@dataclass(frozen=True, slots=True)
class Difference:
    """Something at a venue that the books do not explain.

    ``subject`` names it, ``gap`` is the venue's figure less the books' (0 for an order): the same twice is no accident
    of asking. A difference of coins ``may_be_flow``: deposits and withdrawals are told later than balances.
    """

    venue: str
    subject: str
    gap: Decimal
    text: str
    may_be_flow: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What a venue has just said it holds."""

    balances: Sequence[Balance]
    positions: Sequence[VenuePosition]


def ask(venue: MarketVenue) -> Told:
    """Ask a venue what it holds; raises `VenueError` where it does not answer."""
    return Told(venue.balances(), venue.positions())


def compare(loop: TradingLoop) -> list[str]:
    """Every difference between books and venues, in words; the trader's own coins are the baseline.

    Raises
    ------
    VenueError
        A venue does not answer.
    """
    return [each.text for name in loop.venues for each in differences(loop, name)]


def differences(loop: TradingLoop, name: str, told: Told | None = None) -> list[Difference]:
    """Every difference between the books and one venue, which is asked unless it has just ``told``.

    Raises `VenueError` where it does not answer.
    """
    told = told or ask(loop.venues[name])
    with localcontext(EXACT):
        return [*_compare_money(loop.book, name, told), *_unknown_orders(loop.book, name, _open_orders(loop, name))]


def _open_orders(loop: TradingLoop, name: str) -> Iterable[OrderUpdate]:
    """As the last look listed them, where one call lists all: asking twice for the same is not free."""
    if loop.book.config.looks.lists_orders and name in loop.resolver.listed:
        return loop.resolver.listed[name]
    return loop.venues[name].open_orders()


def _unknown_orders(book: Book, name: str, listed: Iterable[OrderUpdate]) -> Iterator[Difference]:
    """Orders in our name that the books do not know: of a record that was lost, or of another engine."""
    for update in listed:
        client_id = update.client_id
        known = book.tracker.get(client_id)
        if not book.ids.owns(client_id) or (known is not None and not known.state.is_final):
            continue
        if known is not None:
            text = f"{name} works order {client_id}, which the books believe {known.state.value}"
        else:
            newer = book.ids.is_of_newer_engine(client_id)
            whose = "another engine that trades this account" if newer else "a record that was lost"
            text = f"{name} works order {client_id} of {whose}"
        yield Difference(name, f"order {client_id}", ZERO, text)


def _compare_money(book: Book, name: str, told: Told) -> Iterator[Difference]:
    totals = {balance.currency: balance.total for balance in told.balances}
    reported = {p.instrument: (p.quantity, p.entry_price) for p in told.positions}
    for key, ours in _perpetuals(book, name):
        quantity, _ = reported.get(key, _FLAT)
        if quantity != ours.quantity:
            text = f"{key}: the venue has {quantity}, the books say {ours.quantity}"
            yield Difference(name, key, quantity - ours.quantity, text)
    yield from _compare_coins(book, name, totals, _Open.at(book, name, reported))


@dataclass(frozen=True, slots=True)
class _Open:
    """Derivative positions by quote coin: their cost in the books less that at the venue, and how exact it can be.

    Which part of a result is realised depends on the order of the executions, and so does the balance. Balance less
    cost does not: it is what every execution, fee and payment has moved, whatever came first.
    """

    ahead: Mapping[str, Decimal]
    rounding: Mapping[str, Decimal]

    @classmethod
    def at(cls, book: Book, venue: str, reported: _Reported) -> _Open:
        ahead, rounding = dict[str, Decimal](), dict[str, Decimal]()
        rounded = CENT * book.ledger.fills if book.config.looks.settles_rounded else ZERO
        for key, ours in (*_perpetuals(book, venue), *_elsewhere(book, venue)):
            coin, (quantity, entry_price) = coins_of(key)[1], reported.get(key, _FLAT)
            ahead[coin] = ahead.get(coin, ZERO) + ours.cost - quantity * entry_price
            rounding[coin] = rounding.get(coin, rounded) + abs(quantity) * CENT
        return cls(ahead, rounding)


def _perpetuals(book: Book, venue: str) -> list[tuple[InstrumentKey, Booked]]:
    """The account's position in every derivative of a venue."""
    accounts = dict(book.ledger.accounts())
    perpetuals = (i for i in book.ledger.instruments.values() if i.venue == venue and i.kind is Kind.PERPETUAL)
    return [(one.key, accounts.get(one.key, FLAT)) for one in perpetuals]


def _elsewhere(book: Book, venue: str) -> list[tuple[InstrumentKey, Booked]]:
    """The trader's own positions in derivatives that the book does not trade."""
    return [(key, own) for key, own in book.outside.positions.items() if venue_of(key) == venue]


def _compare_coins(book: Book, name: str, totals: Mapping[str, Decimal], open_: _Open) -> Iterator[Difference]:
    coins = {c for (v, c) in book.ledger.balances if v == name} | {c for (v, c) in book.external if v == name}
    for coin in sorted(coins):
        own = book.ledger.balances.get((name, coin), ZERO) + book.external.get((name, coin), ZERO)
        total, expected = totals.get(coin, ZERO), own - open_.ahead.get(coin, ZERO)
        if abs(total - expected) > open_.rounding.get(coin, ZERO):
            ours = str(own) if expected == own else _shown(expected)
            text = f"{name} holds {total} {coin}, the books say {ours}"
            yield Difference(name, coin, total - expected, text, may_be_flow=True)


def _shown(expected: Decimal) -> str:
    return f"{plain(expected.quantize(CENT))}, given what its open positions cost there"
