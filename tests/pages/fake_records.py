"""Deterministic, varied rows for the stand-in console of the page tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from engine.domain.facts import StopStep
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.orders import OrderState, OrderType, Purpose, Refused, Side
from engine.domain.portfolio import (
    Balance,
    FeedView,
    Idea,
    LimitUse,
    Position,
    QuoteView,
    SleeveView,
    StopView,
    WorkingOrder,
)

MARKET_NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
USDT = "USDT"
PRICES = {
    "demo-a:BTC/USDT": "64012.50",
    "demo-a:ETH/USDT": "3120.44",
    "demo-a:SOL/USDT": "142.118",
    "demo-a:XRP/USDT": "0.61240",
    "demo-b:BTC/USDT:USDT": "64020.1",
    "demo-b:ETH/USDT:USDT": "3121.02",
    "demo-b:DOGE/USDT:USDT": "0.158210",
    "demo-b:LINK/USDT:USDT": "18.4410",
}
STRATEGIES = ("momentum", "mean_reversion", "breakout")


def instruments() -> tuple[Instrument, ...]:
    """Eight instruments on two venues."""
    made = []
    for key, price in PRICES.items():
        venue, _, symbol = key.partition(":")
        base = symbol.split("/")[0]
        kind = Kind.PERPETUAL if symbol.count(":") else Kind.SPOT
        tick = Decimal(1).scaleb(int(Decimal(price).as_tuple().exponent))
        made.append(Instrument(venue, base, USDT, kind, tick, Decimal("0.001"), Decimal(5), Decimal(10)))
    return tuple(made)


def positions() -> tuple[Position, ...]:
    """Four positions: long, short, without a stop, and one without a trusted price."""
    rows = (
        ("momentum", "demo-a:BTC/USDT", "0.0421", "62880.10", "47.67", "61420.00"),
        ("breakout", "demo-b:ETH/USDT:USDT", "-0.62", "3098.55", "-13.93", "3171.20"),
        ("mean_reversion", "demo-a:SOL/USDT", "5.5", "143.020", "-4.96", None),
    )
    held = [
        Position(
            sleeve,
            InstrumentKey(key),
            Decimal(quantity),
            Decimal(entry),
            Decimal(PRICES[key]),
            "mid",
            MARKET_NOW,
            Decimal(unrealised),
            Decimal("12.40"),
            Decimal("1.82"),
            MARKET_NOW - timedelta(hours=7),
            None if stop is None else Decimal(stop),
            abs(Decimal(quantity) * Decimal(PRICES[key])),
        )
        for sleeve, key, quantity, entry, unrealised, stop in rows
    ]
    unpriced = Position(
        "momentum",
        InstrumentKey("demo-b:LINK/USDT:USDT"),
        Decimal(12),
        Decimal("18.2000"),
        None,
        "",
        None,
        None,
        Decimal(0),
        Decimal("0.22"),
        MARKET_NOW - timedelta(minutes=40),
        Decimal("17.5000"),
        None,
    )
    return (*held, unpriced)


_ORDERS = (
    ("d1k7m000121", "BTC/USDT", Side.SELL, "0.0421", "0", OrderType.STOP, OrderState.WORKING, Purpose.STOP, "momentum"),
    ("d1k7m000124", "XRP/USDT", Side.BUY, "410", "160", OrderType.LIMIT, OrderState.PARTIAL, Purpose.ENTRY, "breakout"),
    ("d1k7m000125", "DOGE/USDT", Side.SELL, "900", "0", OrderType.MARKET, OrderState.UNKNOWN, Purpose.EXIT, "manual"),
)


def working_orders() -> tuple[WorkingOrder, ...]:
    """A stop, a limit partly filled and one in state UNKNOWN."""
    return tuple(
        WorkingOrder(
            client_id,
            f"v-{client_id}",
            InstrumentKey(f"demo-a:{symbol}"),
            side,
            Decimal(quantity),
            Decimal(filled),
            kind,
            Decimal("0.61240") if kind is OrderType.LIMIT else None,
            Decimal("61420.00") if kind is OrderType.STOP else None,
            state,
            purpose,
            sleeve,
            MARKET_NOW - timedelta(minutes=index * 13),
        )
        for index, (client_id, symbol, side, quantity, filled, kind, state, purpose, sleeve) in enumerate(_ORDERS)
    )


def refusals() -> tuple[Refused, ...]:
    """Two refusals that name rule, value and limit."""
    return (
        Refused(
            InstrumentKey("demo-a:ETH/USDT"),
            "momentum",
            Side.BUY,
            Decimal("1.9"),
            "concentration",
            "31.2 %",
            "25 %",
            "ETH would be 31.2 % of equity, over the limit of 25 %",
            MARKET_NOW - timedelta(minutes=3),
        ),
        Refused(
            InstrumentKey("demo-a:XRP/USDT"),
            "breakout",
            Side.BUY,
            Decimal("4"),
            "min notional",
            "2.45 USDT",
            "5 USDT",
            "the order is worth 2.45 USDT, the venue takes 5 USDT at least",
            MARKET_NOW - timedelta(minutes=19),
        ),
    )


def sleeves() -> tuple[SleeveView, ...]:
    """Three strategies with ideas, two running and one paused, and the orders by hand."""
    made = []
    figures = (
        ("momentum", True, "0.4", "182.40", "44.20", 61, 44, 27),
        ("mean_reversion", True, "0.3", "-36.12", "-4.96", 48, 30, 13),
    )
    for index, (name, running, weight, realised, unrealised, fills, trades, wins) in enumerate(
        (*figures, ("breakout", False, "0.3", "21.90", "-13.93", 22, 11, 6))
    ):
        keys = tuple(InstrumentKey(key) for key in list(PRICES)[index * 2 : index * 2 + 3])
        ideas = tuple(
            Idea(
                name,
                key,
                (-1) ** place * (0.82 - 0.2 * place),
                Decimal("1450.5"),
                Decimal("0.05"),
                Decimal("0.0421"),
                (
                    "target reached, nothing to do",
                    "refused by concentration: 31.2 % over 25 %",
                    "order d1k7m000124 sent",
                )[place],
                MARKET_NOW - timedelta(minutes=place),
            )
            for place, key in enumerate(keys)
        )
        made.append(
            SleeveView(
                name,
                running,
                "",
                '{"fast_bars": 20}',
                keys,
                Decimal(weight),
                Decimal("10432.18") * Decimal(weight),
                Decimal(realised),
                Decimal(unrealised),
                Decimal("14.02"),
                Decimal("-0.84"),
                fills,
                trades,
                wins,
                ideas,
            )
        )
    return (*made, _by_hand())


def _by_hand() -> SleeveView:
    """What was ordered by hand: no strategy, so no state, no weight and no ideas."""
    zero = Decimal(0)
    return SleeveView(
        "manual", False, "", "{}", (), zero, zero, Decimal("3.10"), zero, Decimal("0.40"), zero, 2, 1, 1, ()
    )


def limits() -> tuple[LimitUse, ...]:
    """Limits in use, near the end, unknown, and in money."""
    rows = (
        ("drawdown brake", "0.021", "0.10", "share", "since peak", "flatten and latch", "HALTED"),
        ("daily loss", "0.004", "0.05", "share", "UTC day", "CLOSE_ONLY", "refuse entries"),
        ("gross exposure", "0.83", "1", "share", "now", "refuse entries", "refuse entries"),
        ("concentration", "0.258", "0.25", "share", "now", "refuse entries", "refuse entries"),
        ("leverage", "1.4", "3", "x", "now", "refuse entries", "refuse entries"),
        (
            "daily VaR 95 %",
            None,
            "0.03",
            "share",
            "250 days, at least 60",
            "refuse entries",
            "shown as unknown, blocks nothing",
        ),
        ("orders a minute", "7", "30", "orders", "60 s", "refuse orders", "refuse orders"),
        ("position value", "2694.93", "4000", "USDT", "now", "refuse entries", "refuse entries"),
    )
    return tuple(
        LimitUse(name, None if used is None else Decimal(used), Decimal(limit), unit, window, breach, unknown)
        for name, used, limit, unit, window, breach, unknown in rows
    )


def balances() -> tuple[Balance, ...]:
    """Coins on both venues."""
    return (
        Balance("demo-a", "spot", "USDT", Decimal("5210.42"), Decimal("4100.10")),
        Balance("demo-a", "spot", "BTC", Decimal("0.0421"), Decimal("0.0421"), Decimal("0.0421")),
        Balance("demo-b", "margin", "USDT", Decimal("2410.00"), Decimal("1810.00")),
    )


def quotes() -> tuple[QuoteView, ...]:
    """Closes, and a top of the book for Bitcoin at the first venue."""
    closes = {key: QuoteView(InstrumentKey(key), Decimal(price), "close", MARKET_NOW) for key, price in PRICES.items()}
    first = closes["demo-a:BTC/USDT"]
    best = replace(first, source="mid", bid=first.price - 1, ask=first.price + 1, top_at=MARKET_NOW)
    return tuple({**closes, "demo-a:BTC/USDT": best}.values())


def feeds(now: datetime, *, online: bool) -> tuple[FeedView, ...]:
    """Two sources, both online or the second silent."""
    return (
        FeedView("demo-a", True, True, "streaming", MARKET_NOW, now, 0.004),
        FeedView(
            "demo-b", True, online, "streaming" if online else "OFFLINE: no answer for 42 s", MARKET_NOW, now, 0.006
        ),
    )


def stop_view(now: datetime, *, flat: bool) -> StopView:
    """A stop half way, or proven flat."""
    steps = list(StopStep) if flat else list(StopStep)[:4]
    proven = tuple((step, "evidence of the venue", now + timedelta(seconds=place)) for place, step in enumerate(steps))
    waiting = "" if flat else "demo-b to confirm that ETH/USDT:USDT is flat"
    return StopView("s-1", "red button", "sam", now, proven, flat, waiting)
