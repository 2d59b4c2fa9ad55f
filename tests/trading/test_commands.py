"""Every command: done, refused with its reason, once by its id, and whole or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from engine.domain.commands import (
    CancelOrder,
    ClosePosition,
    CommandBody,
    ConfigureRisk,
    ConfigureStrategy,
    EmergencyStop,
    InjectFault,
    PlaceOrder,
    Rearm,
    SetAllocation,
    SetSpeed,
    SetStrategy,
    SetTrading,
    TradingState,
)
from engine.domain.errors import CannotRecord
from engine.domain.instruments import InstrumentKey
from engine.domain.market import BookTop, Quotes
from engine.domain.orders import OrderState, OrderType, Purpose, Side
from engine.exchanges.paper.faults import Call, Fault
from engine.risk.allocation import AllocationMethod
from engine.risk.limits import RiskConfig
from engine.trading.recovery import compare
from tests.trading.harness import PERP, SPOT, D, Desk

BUY, SELL, MARKET, LIMIT, STOP = Side.BUY, Side.SELL, OrderType.MARKET, OrderType.LIMIT, OrderType.STOP
KEY = SPOT.key


def holding() -> Desk:
    desk = Desk(SPOT, ("momentum", "breakout"))
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    assert desk.held() > 0
    return desk


def buy(quantity: str = "1", kind: OrderType = MARKET, limit: str | None = None, stop: str | None = None) -> PlaceOrder:
    prices = [D(text) if text is not None else None for text in (limit, stop)]
    return PlaceOrder("test", KEY, BUY, D(quantity), kind, *prices)


def answer(desk: Desk, body: CommandBody, command_id: str = "c-1") -> tuple[str, str]:
    done = desk.command(body, command_id)
    assert done is not None
    return done.status, done.detail


def risk(**changes: Any) -> ConfigureRisk:
    return ConfigureRisk("test", json.dumps({**RiskConfig().model_dump(mode="json"), **changes}))


DONE: list[tuple[CommandBody, str]] = [
    (EmergencyStop(None), "latched; cancelling and flattening"),
    (SetTrading("test", TradingState.HALTED), "now HALTED"),
    (ClosePosition("test", "momentum", KEY, D("0.5")), "to close"),
    (buy(), "buy 1 BTC sent"),
    (buy("1", LIMIT, "99"), "buy 1 BTC sent"),
    (buy("1", STOP, None, "101"), "buy 1 BTC sent"),
    (SetStrategy("test", "momentum", False), "paused"),
    (SetStrategy("test", "breakout", True), "running"),
    (ConfigureStrategy("test", "momentum", '{"fast_ema_bars": 5, "slow_ema_bars": 20}'), "configured"),
    (ConfigureStrategy("test", "momentum", "{}", (KEY,)), "configured"),
    (SetAllocation("test", "performance", (("momentum", D("0.2")), ("breakout", D("0.8")))), "allocation set"),
    (risk(brake_drawdown="0.05"), "limits set"),
]

REFUSED: list[tuple[CommandBody, str]] = [
    (Rearm("test"), "nothing is latched"),
    (SetTrading("test", TradingState.LOCKED), "by the engine alone"),
    (ClosePosition("test", "breakout", KEY, D(1)), "breakout holds no"),
    (ClosePosition("test", "momentum", KEY, D(0)), "must be above 0"),
    (ClosePosition("test", "momentum", KEY, D("1.01")), "at most 1"),
    (ClosePosition("test", "momentum", InstrumentKey("v:NO/USDT"), D(1)), "is not an instrument"),
    (CancelOrder("test", "nothing"), "is not working"),
    (buy("0"), "positive multiple"),
    (buy("-1"), "positive multiple"),
    (buy("0.00001"), "positive multiple"),
    (buy("1", LIMIT), "needs a limit price"),
    (buy("1", MARKET, "99"), "only a limit order has one"),
    (buy("1", STOP), "needs a stop price"),
    (buy("1", MARKET, None, "99"), "only a stop order has one"),
    (buy("1", LIMIT, "50"), "price band"),
    (buy("1", LIMIT, "99.001"), "precision"),
    (buy("0.0001"), "min notional"),
    (buy("900"), "position"),
    (PlaceOrder("test", KEY, SELL, D(1), MARKET), "coins"),
    (PlaceOrder("test", KEY, BUY, D(1), MARKET, reduce_only=True), "position"),
    (PlaceOrder("test", KEY, BUY, D(1), MARKET, post_only=True), "post-only is for limit orders"),
    (PlaceOrder("test", InstrumentKey("v:NO/USDT"), BUY, D(1), MARKET), "is not an instrument"),
    (SetStrategy("test", "nobody", True), "no strategy 'nobody'"),
    (SetStrategy("test", "sma_cross", True), "has no stop and can only be backtested"),
    (ConfigureStrategy("test", "sma_cross", "{}"), "has no stop and can only be backtested"),
    (ConfigureStrategy("test", "nobody", "{}"), "no strategy 'nobody'"),
    (ConfigureStrategy("test", "momentum", '{"fast_ema_bars": -1}'), "fast_ema_bars"),
    (ConfigureStrategy("test", "momentum", '{"unknown": 1}'), "unknown"),
    (ConfigureStrategy("test", "momentum", "not json"), "momentum"),
    (ConfigureStrategy("test", "momentum", "{}", (InstrumentKey("v:NO/USDT"),)), "is not an instrument"),
    (SetAllocation("test", "luck", (("momentum", D("0.2")),)), "neither fixed nor performance"),
    (SetAllocation("test", "fixed", (("momentum", D("0.6")),)), "lower them to 1 or less"),
    (SetAllocation("test", "fixed", (("momentum", D("-0.1")),)), "must be a number from 0 to 1"),
    (SetAllocation("test", "fixed", (("momentum", D("0.1")), ("momentum", D("0.2")))), "named twice"),
    (SetAllocation("test", "fixed", (("momentum", D("0.1")), ("nobody", D("0.1")))), "no strategy 'nobody'"),
    (risk(brake_drawdown="0.9"), "brake_drawdown"),
    (risk(unknown=1), "unknown"),
    (risk(sizer="weights"), "replays only"),
    (ConfigureRisk("test", "not json"), "risk limits refused"),
    (SetSpeed("test", 10), "is not for the book"),
    (InjectFault("test", "v", "outage", 5), "is not for the book"),
    (PlaceOrder("test", KEY, BUY, D("1E+999990"), MARKET), "beyond every market"),
    (buy("1", LIMIT, "1E-999990"), "beyond every market"),
]


def name_of(case: tuple[CommandBody, str]) -> str:
    return f"{type(case[0]).__name__}-{case[1]}".replace(" ", "_")


@pytest.mark.parametrize("case", DONE, ids=name_of)
def test_command_when_it_can_be_done_then_is_done_and_says_what(case: tuple[CommandBody, str]) -> None:
    desk = holding()
    status, detail = answer(desk, case[0])
    assert (status, case[1] in detail) == ("done", True), detail


@pytest.mark.parametrize("case", REFUSED, ids=name_of)
def test_command_when_it_cannot_be_done_then_is_refused_with_the_reason_and_changes_nothing(
    case: tuple[CommandBody, str],
) -> None:
    desk = holding()
    before = desk.book.dump()
    status, detail = answer(desk, case[0])
    assert (status, case[1] in detail) == ("refused", True), detail
    after = desk.book.dump()
    assert {name for name in before if before[name] != after[name]} - {"entry_times"} == {"commands"}


@pytest.mark.parametrize("case", [*DONE, *REFUSED[:3]], ids=name_of)
def test_command_when_sent_again_with_its_id_then_is_answered_and_not_repeated(case: tuple[CommandBody, str]) -> None:
    desk = holding()
    first = answer(desk, case[0])
    rows, orders = len(desk.journal.rows), len(desk.venue.open_orders())
    assert answer(desk, case[0]) == first
    assert (len(desk.journal.rows), len(desk.venue.open_orders())) == (rows, orders)
    desk.restart()
    assert answer(desk, case[0]) == first


@pytest.mark.parametrize("case", DONE, ids=name_of)
def test_command_when_the_record_fails_then_leaves_neither_itself_nor_its_end(case: tuple[CommandBody, str]) -> None:
    desk = holding()
    desk.journal.refuse_after = len(desk.journal.rows)
    with pytest.raises(CannotRecord):
        desk.command(case[0])
    desk.journal.refuse_after = None
    assert "Command" not in desk.journal.kinds()
    assert "CommandDone" not in desk.journal.kinds()
    assert desk.restart() == ()
    desk.want(0.0)
    desk.book.sleeves["momentum"].running = desk.book.sleeves["breakout"].running = False
    desk.bar("100")
    assert answer(desk, case[0])[0] == "done"
    assert desk.journal.kinds().count("Command") == desk.journal.kinds().count("CommandDone") == 1


def test_command_when_done_then_its_facts_stand_between_it_and_its_end() -> None:
    desk = holding()
    start = len(desk.journal.rows)
    answer(desk, ClosePosition("test", "momentum", KEY, D("0.5")))
    kinds = desk.journal.kinds()[start:]
    assert kinds[:3] == ["Command", "OrderIntent", "CommandDone"]
    assert set(kinds[3:]) == {"OrderUpdate"}


# -- one by one --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", ["0.5", "1"])
def test_close_position_then_sells_the_share_and_the_stop_covers_the_rest(share: str) -> None:
    desk = holding()
    held = desk.held()
    desk.script.views.clear()
    desk.book.sleeves["momentum"].running = False
    answer(desk, ClosePosition("test", "momentum", KEY, D(share)))
    desk.bar("100")
    rest = held - SPOT.round_quantity(held * D(share))
    assert desk.held() == rest
    assert sum(s.quantity for s in desk.book.tracker.stops("momentum", KEY)) == rest
    assert compare(desk.loop) == []


@pytest.mark.parametrize("state", [TradingState.CLOSE_ONLY, TradingState.HALTED])
def test_close_position_when_the_book_opens_nothing_then_still_closes(state: TradingState) -> None:
    desk = holding()
    answer(desk, SetTrading("test", state), "c-0")
    assert answer(desk, ClosePosition("test", "momentum", KEY, D(1)))[0] == "done"
    desk.bar("100")
    assert desk.held() == 0


def test_close_position_when_venue_and_price_are_gone_then_passes_the_gate_all_the_same() -> None:
    desk = holding()
    desk.restart()
    desk.book.feeds["v"].online = False
    assert desk.book.price(KEY) is None
    assert answer(desk, ClosePosition("test", "momentum", KEY, D(1)))[0] == "done"
    intent = next(o.intent for o in desk.book.tracker.open_orders() if o.intent.purpose is Purpose.EXIT)
    assert intent.reference_price > 0
    desk.bar("100")
    assert desk.held() == 0


def test_close_position_when_a_resting_order_would_close_it_then_says_which() -> None:
    desk = holding()
    answer(desk, buy(), "c-0")
    desk.bar("100")
    answer(desk, PlaceOrder("test", KEY, SELL, D(1), LIMIT, D(104)), "c-1")
    resting = next(o.intent.client_id for o in desk.book.tracker.open_orders() if o.intent.order_type is LIMIT)
    status, detail = answer(desk, ClosePosition("test", "manual", KEY, D(1)), "c-2")
    assert (status, resting in detail) == ("refused", True)
    answer(desk, CancelOrder("test", resting), "c-3")
    assert answer(desk, ClosePosition("test", "manual", KEY, D(1)), "c-4")[0] == "done"
    desk.bar("100")
    assert desk.held("manual") == 0


def test_fault_17_close_position_when_it_is_dust_then_says_so_and_loops_nowhere() -> None:
    desk = holding()
    desk.book.sleeves["momentum"].running = False
    for number in range(14):
        answer(desk, ClosePosition("test", "momentum", KEY, D("0.6")), f"c-{number}")
        desk.bar("100")
    last = answer(desk, ClosePosition("test", "momentum", KEY, D(1)), "c-last")
    assert last[0] == "done" or "dust" in last[1]
    sent = len(desk.journal.rows)
    desk.bar("100")
    desk.bar("100")
    assert [row["type"] for row in desk.journal.rows[sent:] if row["type"] == "OrderIntent"] == []


def test_cancel_order_when_it_protects_a_position_then_is_refused() -> None:
    desk = holding()
    stop = desk.book.tracker.stops("momentum", KEY)[0].intent.client_id
    assert "protects an open position" in answer(desk, CancelOrder("test", stop))[1]


def test_cancel_order_when_it_protects_an_entry_on_its_way_then_is_refused() -> None:
    desk = Desk()
    desk.want(1.0)
    desk.bar("100")
    stop = desk.book.tracker.stops("momentum", KEY)[0].intent.client_id
    assert "may fill yet" in answer(desk, CancelOrder("test", stop))[1]


def test_fault_12_cancel_when_its_answer_is_lost_then_pending_until_proof_and_never_taken_for_done() -> None:
    desk = holding()
    answer(desk, buy("1", LIMIT, "98"), "c-0")
    order = next(o for o in desk.book.tracker.open_orders() if o.intent.order_type is LIMIT)
    desk.venue.faults.plan(Call.CANCEL, Fault.LOST_AFTER)
    answer(desk, CancelOrder("test", order.intent.client_id))
    assert order.state is OrderState.PENDING_CANCEL
    assert order.remaining == 1
    desk.loop.resolve()
    assert order.state is OrderState.CANCELLED


def test_cancel_when_it_never_left_then_the_order_is_shown_as_it_is() -> None:
    desk = holding()
    answer(desk, buy("1", LIMIT, "98"), "c-0")
    order = next(o for o in desk.book.tracker.open_orders() if o.intent.order_type is LIMIT)
    desk.venue.faults.plan(Call.CANCEL, Fault.UNREACHABLE)
    answer(desk, CancelOrder("test", order.intent.client_id))
    assert order.state is OrderState.WORKING


def test_manual_orders_when_resting_then_reserve_what_they_need() -> None:
    desk = Desk(cash="1000")
    wide = {"max_position_share": D(10), "max_concentration": D(10), "max_exposure": D(10)}
    desk.book.set_risk(desk.book.risk.model_copy(update=wide))
    desk.bar("99")
    assert answer(desk, buy("6", LIMIT, "99"), "c-1")[0] == "done"
    status, detail = answer(desk, buy("4.1", LIMIT, "99"), "c-2")
    assert (status, "free balance" in detail) == ("refused", True), detail
    resting = next(o.intent.client_id for o in desk.book.tracker.open_orders())
    answer(desk, CancelOrder("test", resting), "c-3")
    assert answer(desk, buy("6", LIMIT, "99"), "c-4")[0] == "done"


def test_manual_stop_order_when_it_closes_then_reserves_the_coins_and_fills() -> None:
    desk = Desk()
    desk.bar("100")
    answer(desk, buy("2"), "c-1")
    desk.bar("100")
    assert answer(desk, PlaceOrder("test", KEY, SELL, D(2), STOP, None, D(96)), "c-2")[0] == "done"
    status, detail = answer(desk, PlaceOrder("test", KEY, SELL, D(1), MARKET), "c-3")
    assert (status, "position" in detail) == ("refused", True)
    desk.bar("100", low="95", close="95")
    assert desk.held("manual") == 0
    assert compare(desk.loop) == []


def test_manual_orders_when_too_many_in_a_minute_then_the_rate_counts_them() -> None:
    desk = Desk()
    desk.book.set_risk(desk.book.risk.model_copy(update={"max_orders_per_minute": 2}))
    desk.bar("100")
    assert [answer(desk, buy(), f"c-{number}")[0] for number in range(3)] == ["done", "done", "refused"]
    desk.restart()
    desk.bar("100")
    assert answer(desk, buy(), "c-9")[0] == "done"


def test_manual_order_when_quotes_came_since_the_close_then_their_price_is_not_from_the_future() -> None:
    desk = Desk()
    desk.bar("100")
    at = desk.at + timedelta(seconds=20)
    desk.loop.step(Quotes(at, (BookTop(KEY, at, D("100.4"), D("100.6"), D(5), D(5)),)))
    assert answer(desk, buy())[0] == "done"
    desk.bar("100")
    desk.bar("100")
    assert desk.held("manual") == 1


def test_manual_short_then_is_possible_only_on_a_derivative() -> None:
    desk = Desk(PERP)
    desk.bar("100")
    assert answer(desk, PlaceOrder("test", PERP.key, SELL, D(1), MARKET))[0] == "done"
    desk.bar("100")
    assert desk.held("manual") == -1


def test_set_allocation_then_method_and_weights_survive_a_crash() -> None:
    desk = holding()
    answer(desk, SetAllocation("test", "performance", (("momentum", D("0.25")), ("breakout", D("0.5")))))
    desk.restart()
    assert desk.book.allocation is AllocationMethod.PERFORMANCE
    assert {name: s.weight for name, s in desk.book.sleeves.items()} == {"momentum": D("0.25"), "breakout": D("0.5")}


def test_fault_57_limits_when_tightened_while_an_order_works_then_count_from_the_next_order_on() -> None:
    desk = Desk()
    desk.want(1.0)
    desk.bar("100")
    answer(desk, risk(max_position_share="0.01"))
    desk.bar("100")
    assert desk.held() == D(100)
    status, detail = answer(desk, buy("50"), "c-2")
    assert (status, "position" in detail) == ("refused", True)
    desk.restart()
    assert desk.book.risk.max_position_share == D("0.01")


def test_configure_strategy_then_keeps_position_and_stop() -> None:
    desk = holding()
    held = desk.held()
    answer(desk, ConfigureStrategy("test", "momentum", '{"fast_ema_bars": 5, "slow_ema_bars": 20}'))
    desk.bar("100")
    assert desk.held() == held
    assert sum(s.quantity for s in desk.book.tracker.stops("momentum", KEY)) == held


@pytest.mark.parametrize("body", [EmergencyStop(None), EmergencyStop("test")])
def test_emergency_stop_in_every_state_then_latches(body: EmergencyStop) -> None:
    for state in (TradingState.ACTIVE, TradingState.CLOSE_ONLY, TradingState.HALTED):
        desk = holding()
        answer(desk, SetTrading("test", state), "c-0")
        assert answer(desk, body)[0] == "done"
        assert desk.book.latched


def test_latched_book_then_only_stop_rearm_and_ways_out_are_left() -> None:
    desk = holding()
    answer(desk, EmergencyStop(None), "c-0")
    assert answer(desk, SetTrading("test", TradingState.ACTIVE), "c-1")[0] == "refused"
    assert "state" in answer(desk, buy(), "c-2")[1]
    assert "NOT FLAT" in answer(desk, Rearm("test"), "c-3")[1]
    assert desk.book.state is TradingState.HALTED


def test_sums_of_weights_then_never_exceed_the_capital() -> None:
    desk = holding()
    for number, weight in enumerate(["0.9", "0.4", "0.5", "1"]):
        answer(desk, SetAllocation("test", "fixed", (("momentum", D(weight)),)), f"c-{number}")
        assert sum((s.weight for s in desk.book.sleeves.values()), Decimal(0)) <= 1


def test_reduce_only_manual_order_when_larger_than_held_then_is_refused() -> None:
    desk = Desk(PERP)
    desk.bar("100")
    answer(desk, PlaceOrder("test", PERP.key, BUY, D(1), MARKET), "c-1")
    desk.bar("100")
    larger = PlaceOrder("test", PERP.key, SELL, D(3), MARKET, reduce_only=True)
    assert "position" in answer(desk, larger, "c-2")[1]
    assert answer(desk, replace(larger, quantity=D(1)), "c-3")[0] == "done"
