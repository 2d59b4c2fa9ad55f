"""Orders by hand as a person should read them: what one is worth, what it does to stops, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from engine.domain.codec import plain
from engine.domain.commands import PlaceOrder
from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.orders import Purpose
from engine.domain.portfolio import BookSnapshot, Position, WorkingOrder

LIMIT, STOP, MARKET = "limit price", "stop price", "present market price"
MANUAL = "manual"
"""The sleeve of orders by hand."""
_LOOK = "Sent. What was filled stands under Fills, what was not under Working orders."


@dataclass(frozen=True, slots=True)
class OrderReview:
    """What a manual order would be.

    ``price`` and ``value`` are in ``currency``, the quote coin, None while the market has no trusted price; ``market``
    is the book's present price, ``market_at`` wall time of the venue's last data. ``problems`` say why the order would
    be refused as it stands.
    """

    instrument: Instrument
    price: Decimal | None
    price_source: str
    market: Decimal | None
    market_at: datetime | None
    value: Decimal | None
    currency: str
    problems: tuple[str, ...]


def review_order(book: BookSnapshot, body: PlaceOrder) -> OrderReview:
    """Review an order against the newest snapshot of its book; changes nothing.

    Raises
    ------
    BadInput
        The book does not trade the instrument.
    """
    instrument = next((one for one in book.instruments if one.key == body.instrument), None)
    if instrument is None:
        raise BadInput(f"the book {book.name} does not trade {body.instrument}; choose an instrument of its list")
    market = dict(book.marks).get(body.instrument)
    price, source = _price(body, market)
    value = None if price is None else price * body.quantity
    feed = next((one for one in book.feeds if one.venue == instrument.venue), None)
    return OrderReview(
        instrument=instrument,
        price=price,
        price_source=source,
        market=market,
        market_at=feed.last_wall_time if feed is not None else None,
        value=value,
        currency=instrument.quote,
        problems=_problems(instrument, body, value),
    )


def _price(body: PlaceOrder, market: Decimal | None) -> tuple[Decimal | None, str]:
    if body.limit_price is not None:
        return body.limit_price, LIMIT
    return (body.stop_price, STOP) if body.stop_price is not None else (market, MARKET)


def _problems(instrument: Instrument, body: PlaceOrder, value: Decimal | None) -> tuple[str, ...]:
    found = []
    down = instrument.round_quantity(body.quantity)
    if down != body.quantity:
        nearest = f"; the next lower one is {plain(down)}" if down > 0 else ""
        step = f"{plain(instrument.lot_size)} {instrument.base}"
        found.append(f"The amount {plain(body.quantity)} is not a multiple of the step {step}{nearest}.")
    for name, price in (("limit", body.limit_price), ("stop", body.stop_price)):
        if price is not None and instrument.round_price(price) != price:
            near = plain(instrument.round_price(price))
            step = f"{plain(instrument.tick_size)} {instrument.quote}"
            found.append(
                f"The {name} price {plain(price)} is not a multiple of the step {step}; the nearest is {near}."
            )
    if value is not None and value < instrument.min_notional:
        least = f"{plain(instrument.min_notional)} {instrument.quote}"
        found.append(f"The order is worth {value:.2f} {instrument.quote}, below the least order of {least}.")
    return tuple(found)


def why_not_cancelled(book: BookSnapshot, client_id: str) -> str:
    """Why the engine would refuse to cancel this order as the book stands; empty where it would not.

    A stop stands as long as what it protects: an open position, or an entry that may still fill.
    """
    order = next((one for one in book.orders if one.client_id == client_id), None)
    if order is None:
        return "It is not working any more"
    if order.purpose is not Purpose.STOP:
        return ""
    own = (order.sleeve, order.instrument)
    if any((held.sleeve, held.instrument) == own and held.quantity for held in book.positions):
        return "It protects an open position and is never cancelled alone: close the position, its stop goes with it"
    if any((one.sleeve, one.instrument) == own and one.purpose is Purpose.ENTRY for one in book.orders):
        return "It protects an entry that may still fill: cancel that entry, its stop goes with it"
    return ""


def close_words(book: BookSnapshot, position: Position, whole: bool) -> tuple[str, ...]:
    """What closing a position, whole or in part, does to its stop, and whether its strategy may open it again."""
    lines = []
    if position.stop_price is None:
        lines.append("It has no stop; what is left of it has none either." if not whole else "It has no stop.")
    elif position.target_price is None:
        lines.append("Its stop is cancelled with it." if whole else "Its stop shrinks with it.")
    else:
        lines.append("Its stop and target are cancelled with it." if whole else "Its stop and target shrink with it.")
    running = any(sleeve.strategy == position.sleeve and sleeve.running for sleeve in book.sleeves)
    if running:
        lines.append("Its strategy is running and may open it again; pause it first if it should not.")
    return tuple(lines)


def after_close(book: BookSnapshot, sleeve: str, instrument: InstrumentKey) -> str:
    """What has become so far of an order that closes a position of a sleeve."""
    working = [
        order
        for order in book.orders
        if (order.sleeve, order.instrument, order.purpose) == (sleeve, instrument, Purpose.EXIT)
    ]
    if working:
        return _not_filled(working)
    held = any((one.sleeve, one.instrument) == (sleeve, instrument) and one.quantity for one in book.positions)
    return _LOOK if held else "Sent and filled: the position is closed."


def after_order(book: BookSnapshot, body: PlaceOrder) -> str:
    """What has become so far of an order by hand."""
    asked = (body.instrument, body.side, body.order_type, body.quantity, body.limit_price, body.stop_price)
    working = [
        one
        for one in book.orders
        if one.sleeve == MANUAL
        and (one.instrument, one.side, one.order_type, one.quantity, one.limit_price, one.stop_price) == asked
    ]
    return _not_filled(working[-1:]) if working else _LOOK


def _not_filled(working: Sequence[WorkingOrder]) -> str:
    rest = plain(sum((order.quantity - order.filled for order in working), Decimal(0)))
    coin = working[0].instrument.partition(":")[2].partition("/")[0]
    return f"Sent; not filled yet: {rest} {coin} still working."
