"""An order of the trader's own at the stand-in exchange, taken over: managed, restarted with, filled, stopped."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from connected_book import Engine, engine_at

from engine.domain.commands import AdoptOrder, CancelOrder, EmergencyStop
from engine.domain.facts import StopStep
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import OrderState
from engine.execution.identity import ClientIds
from engine.execution.tracker import TrackedOrder
from tests.standin.client import StandIn, running

PERP = InstrumentKey("bybit:BTC/USDT:USDT")
D = Decimal


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in exchange minds no haste."""
    monkeypatch.setattr("engine.exchanges.connected.lanes.Budget.take", lambda *_: 0.0)
    monkeypatch.setattr("ccxt.Exchange.throttle", lambda *_: None)


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[StandIn]:
    with running(tmp_path, funds="USDT=10000,BTC=0.5") as process:
        yield process


@pytest.fixture
def engine(exchange: StandIn, tmp_path: Path) -> Iterator[Engine]:
    with engine_at(exchange, tmp_path / "data") as made:
        made.connect()
        made.start("testnet")
        made.candle({"BTC/USDT:USDT": "50000"})
        yield made


def settle(engine: Engine) -> None:
    assert engine.book is not None
    engine.book.loop.resolve(everything=True)
    engine.book.loop.pull()


def by_hand(engine: Engine, **more: object) -> str:
    """An order placed at the exchange; its number there."""
    wish = {"side": "buy", "quantity": "0.01", "price": "49000", "perpetual": True, **more}
    placed = engine.exchange.call("order", venue="bybit", symbol="BTCUSDT", **wish)
    settle(engine)
    return str(placed["order_id"])


def own_orders(engine: Engine) -> list[str]:
    assert engine.book is not None
    return [order.venue_order_id for order in engine.book.loop.book.outside.orders.get("bybit", ())]


def tracked(engine: Engine) -> list[TrackedOrder]:
    assert engine.book is not None
    return [order for order in engine.book.loop.book.tracker.open_orders() if not order.state.is_final]


def adopt(engine: Engine, number: str) -> str:
    done = engine.command(AdoptOrder("testnet", number))
    return f"{done.status}: {done.detail}"


def test_own_order_when_adopted_then_managed_by_hand_also_after_a_crash_and_its_fill_is_the_engines(
    engine: Engine,
) -> None:
    number = by_hand(engine)
    assert own_orders(engine) == [number]
    assert adopt(engine, number).startswith("done: ")
    settle(engine)
    for with_checkpoint in (False, True):
        assert engine.book is not None
        engine.book.loop.maybe_checkpoint(force=with_checkpoint)
        engine.crash()
        engine.start("testnet")
        settle(engine)
    (order,) = tracked(engine)
    assert (order.intent.sleeve, order.venue_order_id, order.state) == ("manual", number, OrderState.WORKING)
    assert own_orders(engine) == []
    engine.exchange.call("fill", venue="bybit", order_id=number, quantity="0.01")
    settle(engine)
    assert engine.book is not None
    book = engine.book.loop.book
    assert tracked(engine) == []
    assert (book.ledger.held("manual", PERP), book.ledger.held("external", PERP)) == (D("0.01"), D(0))


def test_own_order_when_adopted_then_a_stop_cancels_it_although_it_spares_the_traders_own(engine: Engine) -> None:
    mine, adopted = by_hand(engine, price="48000"), by_hand(engine)
    assert adopt(engine, adopted).startswith("done: ")
    engine.command(EmergencyStop("testnet"))
    assert engine.book is not None
    engine.book.stop.drive()
    left = [order["order_id"] for order in engine.exchange.state("bybit")["open_orders"]]
    assert left == [mine]
    assert tracked(engine) == []


def test_own_order_when_adopted_then_it_can_be_cancelled_like_any_order_by_hand(engine: Engine) -> None:
    number = by_hand(engine)
    (order,) = engine.book.loop.book.outside.orders["bybit"] if engine.book is not None else ()
    assert engine.command(CancelOrder("testnet", order.client_id)).status == "refused"
    adopt(engine, number)
    assert engine.command(CancelOrder("testnet", order.client_id)).status == "done"
    settle(engine)
    assert engine.exchange.state("bybit")["open_orders"] == []
    assert tracked(engine) == []


def test_own_order_when_it_cannot_be_managed_then_refused_with_the_reason_and_left_alone(engine: Engine) -> None:
    assert "not among your own open orders" in adopt(engine, "no-such-number")
    begun = by_hand(engine)
    engine.exchange.call("fill", venue="bybit", order_id=begun, quantity="0.004")
    settle(engine)
    assert "0.004 of 0.01 has filled already" in adopt(engine, begun)
    far = by_hand(engine, price="40000")
    assert adopt(engine, far).startswith("refused: ")
    assert sorted(own_orders(engine)) == sorted([begun, far])
    assert tracked(engine) == []


def test_own_spot_order_when_it_buys_then_adopted_with_the_engines_money_and_one_that_sells_his_coins_is_not(
    exchange: StandIn, tmp_path: Path
) -> None:
    with engine_at(exchange, tmp_path / "data", testnet__symbols=["BTC/USDT"]) as engine:
        engine.connect()
        engine.start("testnet")
        engine.candle({"BTC/USDT": "50000"})
        sells = by_hand(engine, perpetual=False, side="sell", price="51000")
        assert adopt(engine, sells).startswith("refused: ")
        assert own_orders(engine) == [sells]
        buys = by_hand(engine, perpetual=False)
        assert adopt(engine, buys).startswith("done: ")
        exchange.call("fill", venue="bybit", order_id=buys, quantity="0.01")
        settle(engine)
        assert engine.book is not None
        book, spot = engine.book.loop.book, InstrumentKey("bybit:BTC/USDT")
        assert D("0.0099") < book.ledger.held("manual", spot) <= D("0.01")
        assert own_orders(engine) == [sells]
        assert book.external["bybit", "BTC"] == D("0.5")


@pytest.mark.parametrize("quantity", ["0.004", "0.01"])
def test_own_order_when_an_execution_of_it_was_booked_after_it_was_listed_then_not_taken_over_and_a_stop_ends(
    engine: Engine, quantity: str
) -> None:
    number = by_hand(engine)
    engine.exchange.call("fill", venue="bybit", order_id=number, quantity=quantity)
    assert engine.book is not None
    engine.book.loop.pull()
    assert "has filled already" in adopt(engine, number)
    assert tracked(engine) == []
    settle(engine)
    engine.command(EmergencyStop("testnet"))
    engine.book.stop.drive()
    run = engine.book.loop.book.stop
    assert run is not None
    assert StopStep.IN_FLIGHT_SETTLED in [step for step, _, _ in run.steps]


def test_own_order_when_another_engine_placed_it_in_the_books_name_then_not_taken_over(engine: Engine) -> None:
    assert engine.book is not None
    ids = engine.book.loop.book.ids
    later = ClientIds("t0", ids.installation, ids.epoch + 5).next()
    number = by_hand(engine, client_id=later)
    assert own_orders(engine) == [number]
    assert "by another engine" in adopt(engine, number)
    assert tracked(engine) == []


def test_own_order_when_made_larger_at_the_exchange_after_it_was_adopted_then_all_of_it_is_counted_to_its_end(
    engine: Engine,
) -> None:
    number = by_hand(engine)
    assert adopt(engine, number).startswith("done: ")
    settle(engine)
    engine.exchange.client("bybit", "swap").edit_order(number, "BTC/USDT:USDT", "limit", "buy", "0.03", "49000")
    settle(engine)
    assert [order.remaining for order in tracked(engine)] == [D("0.03")]
    engine.exchange.call("fill", venue="bybit", order_id=number, quantity="0.011")
    settle(engine)
    assert [order.remaining for order in tracked(engine)] == [D("0.019")]
    assert engine.book is not None
    engine.book.loop.maybe_checkpoint(force=True)
    engine.crash()
    engine.start("testnet")
    settle(engine)
    assert [order.remaining for order in tracked(engine)] == [D("0.019")]
