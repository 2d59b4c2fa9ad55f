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
from engine.domain.orders import Purpose, Side
from engine.domain.portfolio import BookSnapshot, Position, QuoteView, WorkingOrder

LIMIT, STOP, MARKET = "limit price", "stop price", "present market price"
BEST = {Side.BUY: "best ask", Side.SELL: "best bid"}
_SOURCES = {"mid": "middle of bid and ask", "close": "close of the last candle"}
_BASIS_POINT = Decimal("0.0001")
MANUAL = "manual"
"""The sleeve of orders by hand."""
_LOOK = (
    "Sent. What was filled stands under Fills, what works on under Working orders, what the venue refused or ended at "
    "once under Orders."
)


@dataclass(frozen=True, slots=True)
class OrderReview:
    """What a manual order would be.

    ``price`` and ``value`` are in ``currency``, the quote coin, None while the market has no trusted price; ``market``
    is the book's present price, ``market_at`` wall time of the venue's last data. ``worth`` and ``fee`` are estimates
    in ``base``, the base currency of the book, the fee that of an order that takes; None while a price is missing.
    ``problems`` say why the order would be refused as it stands.
    """

    instrument: Instrument
    price: Decimal | None
    price_source: str
    market: Decimal | None
    market_at: datetime | None
    value: Decimal | None
    currency: str
    problems: tuple[str, ...]
    worth: Decimal | None
    fee: Decimal | None
    base: str


@dataclass(frozen=True, slots=True)
class MarketLook:
    """The market of an instrument now: the last trusted price, best bid and ask where known, in ``currency``.

    Ages are in seconds of the book's own time: market time of a simulated market, wall time of a real one; None where
    there is nothing whose age it could be.
    """

    price: Decimal | None
    source: str
    age_s: float | None
    bid: Decimal | None
    ask: Decimal | None
    top_age_s: float | None
    currency: str


def look_at_market(book: BookSnapshot, instrument: Instrument, now: datetime) -> MarketLook:
    """What an order by hand on an instrument would meet; ``now`` is wall time."""
    quote = next((one for one in book.quotes if one.instrument == instrument.key), None)
    if quote is None:
        return MarketLook(None, "", None, None, None, None, instrument.quote)
    at = book.market_time if book.simulated and book.market_time is not None else now
    source = _SOURCES.get(quote.source, quote.source)
    top_age_s = None if quote.top_at is None else _age_s(quote.top_at, at)
    return MarketLook(
        quote.price, source, _age_s(quote.at, at), quote.bid, quote.ask, top_age_s, instrument.quote
    )  # fmt: skip


def _age_s(since: datetime, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds())


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
    price, source = _price(body, market, next((one for one in book.quotes if one.instrument == body.instrument), None))
    value = None if price is None else price * body.quantity
    worth = None if value is None else _in_base(book, instrument, value)
    feed = next((one for one in book.feeds if one.venue == instrument.venue), None)
    return OrderReview(
        instrument=instrument,
        price=price,
        price_source=source,
        market=market,
        market_at=feed.last_wall_time if feed is not None else None,
        value=value,
        currency=instrument.quote,
        problems=problems_of(instrument, body, value),
        worth=worth,
        fee=None if worth is None else worth * book.fee_bps * _BASIS_POINT,
        base=book.base_currency,
    )


def why_it_would_take(book: BookSnapshot, body: PlaceOrder) -> str:
    """That a post-only order reaches the other side of the market as last seen; empty where it would wait."""
    quote = next((one for one in book.quotes if one.instrument == body.instrument), None)
    best = None if quote is None else quote.ask if body.side is Side.BUY else quote.bid
    if not body.post_only or body.limit_price is None or best is None:
        return ""
    if body.limit_price < best if body.side is Side.BUY else body.limit_price > best:
        return ""
    reached = f"the {BEST[body.side]} of {plain(best)}"
    return f"Post-only at {plain(body.limit_price)} reaches {reached}: the venue would end it."


def _price(body: PlaceOrder, market: Decimal | None, quote: QuoteView | None) -> tuple[Decimal | None, str]:
    if body.limit_price is not None:
        return body.limit_price, LIMIT
    if body.stop_price is not None:
        return body.stop_price, STOP
    best = None if quote is None else quote.ask if body.side is Side.BUY else quote.bid
    if best is not None:
        return best, BEST[body.side]
    return market, MARKET


def _in_base(book: BookSnapshot, instrument: Instrument, value: Decimal) -> Decimal | None:
    """Quote coin to base currency over one market of the book; None where none leads there."""
    if instrument.quote == book.base_currency:
        return value
    ways = (one for one in book.instruments if (one.base, one.quote) == (instrument.quote, book.base_currency))
    prices = dict(book.marks)
    price = next((prices[way.key] for way in ways if way.key in prices), None)
    return None if price is None else value * price


def problems_of(instrument: Instrument, body: PlaceOrder, value: Decimal | None) -> tuple[str, ...]:
    """Why an order of this ``value`` (quote, None unknown) cannot be expressed at its venue; () where it can."""
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
    if position.by_hand is not None:
        lines.append("Stop orders by hand are not cancelled with it: cancel them where they were placed.")
    if position.stop_price is None and position.by_hand is None:
        lines.append("It has no stop; what is left of it has none either." if not whole else "It has no stop.")
    elif position.stop_price is not None and position.target_price is None:
        lines.append("Its stop is cancelled with it." if whole else "Its stop shrinks with it.")
    elif position.stop_price is not None:
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
