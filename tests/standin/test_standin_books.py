"""Whole testnet books at Binance's two wallets: from settings to trades, a kill and a restart; the journal judges."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from connected_book import Engine, engine_at

from engine.domain.commands import ClosePosition, PlaceOrder, TradingState
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import OrderType, Purpose, Side
from engine.execution.tracker import TrackedOrder
from tests.faults.connected_compared import booked_fills, instrument_there, order_differences, rows_of
from tests.standin.client import StandIn, running
from tests.standin.judge import differences, judge
from tests.trading.harness import Script

D = Decimal
WALLETS = [("usdm", "binance-perp", "BTC/USDT:USDT"), ("binance", "binance", "BTC/USDT")]


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[StandIn]:
    """A fresh account for each book."""
    with running(tmp_path, funds="USDT=10000,BTC=0.5") as started:
        yield started


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in exchange minds no haste."""
    monkeypatch.setattr("engine.exchanges.connected.lanes.Budget.take", lambda *_: 0.0)
    monkeypatch.setattr("ccxt.Exchange.throttle", lambda *_: None)


def settle(engine: Engine) -> None:
    """Let the book ask the exchange about everything, as it does while it runs."""
    assert engine.book is not None
    engine.book.loop.resolve(everything=True)
    engine.book.loop.pull()


def wrong(engine: Engine, where: str) -> list[str]:
    """Everything in which the money file and the exchange's own journal disagree."""
    assert engine.book is not None
    book, rows = engine.book.loop.book, rows_of(engine.folder / "money.sqlite", "testnet")
    balances: dict[str, Decimal] = {}
    for parts in (book.ledger.balances, book.external):
        for (_, coin), amount in parts.items():
            balances[coin] = balances.get(coin, D(0)) + amount
    positions = {instrument_there(key): held.quantity for key, held in book.ledger.accounts() if held.quantity}
    verdict = judge(engine.exchange.journal, where)
    positions = positions if where == "usdm" else {}
    ids = [row["client_id"] for row in rows if row["type"] == "OrderIntent"]
    orders: list[TrackedOrder] = [order for each in ids if (order := book.tracker.get(each)) is not None]
    states = {each.intent.client_id: each.state for each in orders}
    found = differences(verdict, None, booked_fills(rows), {c: a for c, a in balances.items() if a}, positions)
    return found + order_differences(rows, verdict, states, [])


@pytest.mark.parametrize(("where", "venue", "symbol"), WALLETS)
def test_testnet_book_at_binance_when_it_trades_is_paid_into_and_killed_then_the_books_are_the_exchanges(
    exchange: StandIn, tmp_path: Path, where: str, venue: str, symbol: str
) -> None:
    key = InstrumentKey(f"{venue}:{symbol}")
    with engine_at(
        exchange, tmp_path / "data", "binance", testnet__symbols=[symbol], testnet__strategies=["momentum"]
    ) as engine:
        engine.connect()
        running_book = engine.start("testnet")
        engine.candle({symbol: "50000"})
        done = engine.command(PlaceOrder("testnet", key, Side.BUY, D("0.01"), OrderType.MARKET))
        assert done.status == "done", done.detail
        settle(engine)
        running_book.loop.core._opinions = Script({("momentum", key): (1.0, "2000")})
        engine.candle({symbol: "50000"})
        settle(engine)
        [stop] = [o for o in running_book.loop.book.tracker.open_orders() if o.intent.purpose is Purpose.STOP]
        assert stop.venue_order_id is not None
        if where == "usdm":  # the sandbox of spot tells of no deposits
            exchange.call("transfer", venue=where, coin="USDT", amount="100")
            exchange.call("transfer", venue=where, coin="USDT", amount="-30")
            exchange.call("funding", venue=where, symbol="BTCUSDT", rate="0.0001")
        settle(engine)
        engine.crash()
        again = engine.start("testnet")
        assert again.recovered.differences == ()
        assert again.loop.book.state is TradingState.ACTIVE
        assert wrong(engine, where) == []
        engine.candle({symbol: "50500"})
        for sleeve in ("momentum", "manual"):
            engine.command(ClosePosition("testnet", sleeve, key, D(1)))
            settle(engine)
        assert wrong(engine, where) == []
        assert again.loop.book.ledger.held("momentum", key) < D("0.001")
