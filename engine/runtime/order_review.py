"""A manual order as a person should read it before sending: its price, its worth, and what the venue demands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from engine.domain.codec import plain
from engine.domain.commands import PlaceOrder
from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument
from engine.domain.portfolio import BookSnapshot

LIMIT, STOP, MARKET = "limit price", "stop price", "present market price"


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
    if value is not None and value < instrument.min_notional and not body.reduce_only:
        least = f"{plain(instrument.min_notional)} {instrument.quote}"
        found.append(f"The order is worth {value:.2f} {instrument.quote}, below the least order of {least}.")
    return tuple(found)
