"""Two venues with the same coin, quotes that lie apart, and coins at hand at the dearer one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.domain.baskets import BasketState, BasketView, Opportunity
from engine.domain.commands import ConfigureStrategy, PlaceOrder
from engine.domain.facts import CommandDone
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import Bars, BookTop, Candle, Quotes
from engine.domain.orders import OrderType, Side
from engine.trading.report import report
from tests.trading.harness import MINUTE, SPOT, D, Desk

HERE = SPOT
THERE = Instrument("w", "BTC", "USDT", Kind.SPOT, D("0.01"), D("0.0001"), D(5))
VALUES: dict[str, Any] = {"use_coins_by_hand": True, "leg_timer_s": 150}


def top(instrument: Instrument, desk: Desk, bid: str, ask: str, size: str = "5") -> BookTop:
    return BookTop(instrument.key, desk.at, D(bid), D(ask), D(size), D(size))


def apart(desk: Desk, size: str = "5") -> None:
    """The coin costs 100 here and 101 there."""
    desk.loop.step(Quotes(desk.at, (top(HERE, desk, "99.9", "100", size), top(THERE, desk, "101", "101.1", size))))


def bars(desk: Desk, opens: Mapping[Instrument, str]) -> None:
    """One closed candle each that never moved, at its own price."""
    at, desk.at = desk.at, desk.at + MINUTE.delta
    desk.pass_time(1)
    candles = tuple(
        Candle(item.key, MINUTE, at, *(D(price),) * 4, D(100000)) for item, price in sorted(opens.items(), key=_key)
    )
    desk.loop.step(Bars(desk.at, candles))
    desk.stop.drive()


def _key(row: tuple[Instrument, str]) -> InstrumentKey:
    return row[0].key


def good_bars(desk: Desk) -> None:
    """Both limits are marketable at these opens."""
    bars(desk, {HERE: "99.9", THERE: "101.2"})


def stock(desk: Desk, **values: Any) -> Desk:
    """Two coins bought by hand there, which the strategy may use, and prices known."""
    done(desk, ConfigureStrategy("test", "arbitrage", json.dumps(VALUES | values), None))
    bars(desk, {HERE: "100", THERE: "100"})
    done(desk, PlaceOrder("test", THERE.key, Side.BUY, D(2), OrderType.MARKET, None, None, False))
    bars(desk, {HERE: "100", THERE: "100"})
    bars(desk, {HERE: "100", THERE: "100"})
    assert desk.book.ledger.held("manual", THERE.key) == 2
    return desk


def basket_desk(folder: Path | None = None, **values: Any) -> Desk:
    return stock(Desk(HERE, ("arbitrage",), others=(THERE,), folder=folder), **values)


def done(desk: Desk, body: Any) -> CommandDone:
    found = desk.command(body, f"c-{desk.journal.rows.__len__()}")
    assert found is not None
    assert found.status == "done", found.detail
    return found


def drive(desk: Desk, seconds: float = 3) -> None:
    """What the engine does between events."""
    desk.pass_time(seconds)
    desk.loop.resolve()
    desk.loop.drive_baskets()


def baskets(desk: Desk) -> tuple[BasketView, ...]:
    return report(desk.book, (), desk.clock.now(), 0).baskets


def state(desk: Desk) -> BasketState:
    return baskets(desk)[0].state


def opportunities(desk: Desk) -> tuple[Opportunity, ...]:
    return report(desk.book, (), desk.clock.now(), 0).opportunities


def coins(desk: Desk, sleeve: str = "arbitrage") -> tuple[Decimal | int, Decimal | int]:
    """What a sleeve holds here and there."""
    return desk.book.ledger.held(sleeve, HERE.key), desk.book.ledger.held(sleeve, THERE.key)
