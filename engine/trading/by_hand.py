"""Stop orders that people placed: what of each position they cover. They are counted, never managed."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from engine.domain.instruments import InstrumentKey
from engine.domain.orders import OrderType, Side
from engine.domain.portfolio import HandStop
from engine.ledger.holdings import Holding
from engine.risk.sizing import is_dust
from engine.trading.book import Book
from engine.trading.external import EXTERNAL

ZERO = Decimal(0)
MANUAL = "manual"
"""The sleeve of orders by hand."""
_Where = tuple[str, InstrumentKey]
_Stops = list[tuple[Decimal, Decimal]]
"""Stop price (quote) and quantity (base) of each, the one that triggers first in front."""


def hand_stops(book: Book) -> dict[_Where, HandStop]:
    """What stop orders by hand cover, by sleeve and instrument.

    A reduce-only stop order given here belongs to the manual sleeve and covers what that holds. One placed at the
    exchange covers the account's position, in the order in which its execution would be charged: what the trader opened
    himself first, then the strategies. Spot exchanges know no reduce-only, so that a stop placed there covers nothing
    of the engine's for certain and is not counted.
    """
    covered: dict[_Where, _Stops] = {}
    for key in {key for _, key, _ in book.ledger.open_holdings()}:
        rows = sorted(_rows(book, key), key=lambda row: row[0] != EXTERNAL)
        _cover(covered, key, [row for row in rows if row[0] == MANUAL], _given_here(book, key))
        for side in Side:
            against = [row for row in rows if row[1].quantity * side.sign < 0]
            _cover(covered, key, against, _placed_there(book, key, side))
    held = {(sleeve, key): holding for sleeve, key, holding in book.ledger.open_holdings()}
    return {where: _stop(book, where[1], held[where], stops) for where, stops in covered.items()}


def _rows(book: Book, key: InstrumentKey) -> list[tuple[str, Holding]]:
    return [(sleeve, holding) for sleeve, other, holding in book.ledger.open_holdings() if other == key]


def _given_here(book: Book, key: InstrumentKey) -> _Stops:
    held = book.ledger.held(MANUAL, key)
    return _in_order(
        (order.stop_price, order.remaining, order.intent.side)
        for order in book.tracker.open_on(key)
        if order.intent.sleeve == MANUAL
        and order.intent.order_type is OrderType.STOP
        and order.intent.reduce_only
        and held * order.intent.side.sign < 0
    )


def _placed_there(book: Book, key: InstrumentKey, side: Side) -> _Stops:
    mine = (order for order in book.outside.orders_on(key) if order.reduce_only and order.side is side)
    return _in_order((order.stop_price, order.remaining, order.side) for order in mine)


def _in_order(orders: Iterable[tuple[Decimal | None, Decimal, Side]]) -> _Stops:
    """Those with a stop price and something left, the nearest to the market first."""
    known = [(price, quantity, side) for price, quantity, side in orders if price is not None and quantity]
    return [(price, quantity) for price, quantity, side in sorted(known, key=lambda row: row[0] * row[2].sign)]


def _cover(covered: dict[_Where, _Stops], key: InstrumentKey, rows: list[tuple[str, Holding]], stops: _Stops) -> None:
    """Share stops out among holdings, each up to what is held and not covered yet."""
    left = list(stops)
    for sleeve, holding in rows:
        mine = covered.get((sleeve, key), [])
        bare = abs(holding.quantity) - sum((quantity for _, quantity in mine), ZERO)
        while left and bare > 0:
            price, quantity = left.pop(0)
            taken = min(quantity, bare)
            bare -= taken
            mine = [*mine, (price, taken)]
            if quantity > taken:
                left.insert(0, (price, quantity - taken))
        if mine:
            covered[(sleeve, key)] = mine


def _stop(book: Book, key: InstrumentKey, holding: Holding, stops: _Stops) -> HandStop:
    quantity = sum((each for _, each in stops), ZERO)
    bare, price = abs(holding.quantity) - quantity, book.price(key)
    prices = [each for each, _ in stops]
    nearest = max(prices) if holding.quantity > 0 else min(prices)
    is_small = price is not None and is_dust(bare, book.ledger.instruments[key], price)
    return HandStop(nearest, quantity, ZERO if is_small else bare)
