"""A small market for the simulated venue: instruments, candles and orders in a line each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import Bars, Candle, FundingRate, Timeframe
from engine.domain.orders import Approved, Fill, OrderIntent, OrderType, OrderUpdate, Purpose, Side
from engine.exchanges.paper import MemoryVenueJournal, PaperCosts, PaperVenue, VenueJournal

T0 = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = Timeframe(60)
SPOT = Instrument("demo", "BTC", "USDT", Kind.SPOT, Decimal("0.1"), Decimal("0.001"), Decimal(10))
ETH = Instrument("demo", "ETH", "USDT", Kind.SPOT, Decimal("0.01"), Decimal("0.01"), Decimal(10))
PERP = Instrument(
    "demo", "BTC", "USDT", Kind.PERPETUAL, Decimal("0.1"), Decimal("0.001"), Decimal(10), max_leverage=Decimal(10)
)
INSTRUMENTS = (SPOT, ETH, PERP)
FREE = PaperCosts.plain(Decimal(0))
BUY, SELL = Side.BUY, Side.SELL
MARKET, LIMIT, STOP = OrderType.MARKET, OrderType.LIMIT, OrderType.STOP


def dec(text: str | int) -> Decimal:
    return Decimal(text)


def at(minute: int, seconds: int = 0) -> datetime:
    """Market time so many minutes after the start."""
    return T0 + timedelta(minutes=minute, seconds=seconds)


def open_venue(
    costs: PaperCosts = FREE,
    journal: VenueJournal | None = None,
    *,
    usdt: str = "10000",
    btc: str = "0",
) -> PaperVenue:
    """A new venue with some money."""
    balances = {"USDT": Decimal(usdt), "BTC": Decimal(btc)}
    return PaperVenue("demo", INSTRUMENTS, costs, journal or MemoryVenueJournal(), balances)


def order(
    client_id: str,
    side: Side,
    quantity: str,
    order_type: OrderType = MARKET,
    price: str | None = None,
    *,
    minute: int = 0,
    instrument: Instrument = SPOT,
    reduce_only: bool = False,
    parent: str | None = None,
    reference: str = "100",
    seconds: int = 0,
) -> Approved:
    """An approved order; ``price`` is the limit or stop price."""
    number = None if price is None else Decimal(price)
    return Approved(
        OrderIntent(
            client_id,
            instrument.key,
            side,
            Decimal(quantity),
            order_type,
            Purpose.EXIT if reduce_only else Purpose.ENTRY,
            "trend",
            at(minute, seconds),
            Decimal(reference),
            limit_price=number if order_type is LIMIT else None,
            stop_price=number if order_type is STOP else None,
            reduce_only=reduce_only,
            parent_id=parent,
        )
    )


def candle(
    minute: int, prices: Sequence[str | int], volume: str | int = 1_000_000, key: InstrumentKey = SPOT.key
) -> Candle:
    """The candle that opens ``minute`` minutes after the start: open, high, low, close."""
    open_, high, low, close = (Decimal(price) for price in prices)
    return Candle(key, MINUTE, at(minute), open_, high, low, close, Decimal(volume))


def bar(minute: int, *prices: str | int, volume: str | int = 1_000_000, instrument: Instrument = SPOT) -> Bars:
    """A close with one candle."""
    return Bars(at(minute + 1), (candle(minute, prices, volume, instrument.key),))


def funding(minute: int, rate: str, mark: str) -> FundingRate:
    return FundingRate(PERP.key, at(minute), Decimal(rate), Decimal(mark))


def fills(messages: Sequence[object]) -> list[Fill]:
    return [message for message in messages if isinstance(message, Fill)]


def updates(messages: Sequence[object]) -> list[OrderUpdate]:
    return [message for message in messages if isinstance(message, OrderUpdate)]


def prices(messages: Sequence[object]) -> list[str]:
    """``client quantity@price`` of every fill, in order."""
    return [f"{fill.client_id} {fill.quantity.normalize():f}@{fill.price.normalize():f}" for fill in fills(messages)]


def total(venue: PaperVenue, coin: str) -> Decimal:
    return next(balance.total for balance in venue.balances() if balance.currency == coin)


def free(venue: PaperVenue, coin: str) -> Decimal:
    return next(balance.free for balance in venue.balances() if balance.currency == coin)


def state_of(venue: PaperVenue) -> dict[str, Any]:
    """Everything the venue knows, as it would write it into a checkpoint."""
    return venue._exchange._recorder.state.dump()


def state_without_time(venue: PaperVenue) -> dict[str, Any]:
    """The same without market time, which the clock file carries on its own."""
    return {key: value for key, value in state_of(venue).items() if key not in ("at", "bars_at")}
