"""What must not be believed, forgotten or carried out late: old commands, failures, differences, numbers used twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from engine.domain.commands import (
    Actor,
    CancelOrder,
    ClosePosition,
    Command,
    CommandBody,
    CommandStatus,
    EmergencyStop,
    PlaceOrder,
    Rearm,
    Role,
    SetStrategy,
    SetTrading,
    TradingState,
)
from engine.domain.facts import CommandDone, Fact
from engine.domain.instruments import Instrument, Kind
from engine.domain.orders import Fill, Liquidity, OrderState, OrderType, Side
from engine.domain.ports import Appended
from engine.exchanges.paper.faults import Call, Fault
from engine.trading.core import BRAKE_WAIT
from engine.trading.recovery import Reconciler
from tests.trading.harness import SPOT, D, Desk

ETH = Instrument(SPOT.venue, "ETH", "USDT", Kind.SPOT, D("0.01"), D("0.001"), D(5))

SOMEBODY = Actor("somebody", Role.OPERATOR, "console")


def bought(desk: Desk, quantity: str = "1") -> Desk:
    """A position by hand."""
    desk.bar("100")
    desk.command(PlaceOrder("test", desk.key, Side.BUY, D(quantity), OrderType.MARKET), "buy")
    desk.bar("100")
    desk.bar("100")
    assert desk.book.ledger.held("manual", desk.key) == D(quantity)
    return desk


def given_before(desk: Desk, body: CommandBody, seconds: float, command_id: str = "old") -> CommandDone:
    done = desk.loop.command(Command(command_id, SOMEBODY, desk.clock.now() - timedelta(seconds=seconds), "test", body))
    assert done is not None
    return done


# --- commands that waited


@pytest.mark.parametrize("seconds", [61, 12 * 3600, -3600])
def test_command_when_it_waited_and_could_add_risk_then_refused_with_its_age(seconds: float) -> None:
    desk = bought(Desk(SPOT))
    fills = desk.book.ledger.fills
    bodies = (
        PlaceOrder("test", desk.key, Side.BUY, D(1), OrderType.MARKET),
        SetTrading("test", TradingState.ACTIVE),
        SetStrategy("test", "momentum", True),
        Rearm("test"),
    )
    for number, body in enumerate(bodies):
        done = given_before(desk, body, seconds, f"old-{number}")
        assert (done.status, f"{seconds:.0f} s ago" in done.detail) == (CommandStatus.REFUSED.value, True), done
    desk.bar("100")
    assert desk.book.ledger.fills == fills


def test_command_when_it_waited_and_only_makes_smaller_then_carried_out() -> None:
    desk = bought(Desk(SPOT))
    close = ClosePosition("test", "manual", desk.key, D("0.5"))
    assert given_before(desk, close, 3600, "close").status == CommandStatus.DONE.value
    assert given_before(desk, SetTrading("test", TradingState.CLOSE_ONLY), 3600, "set").status == "done"
    assert given_before(desk, EmergencyStop(None), 3600, "stop").status == CommandStatus.DONE.value


@pytest.mark.parametrize(("heard_before_s", "status"), [(100.0, "done"), (301.0, "refused"), (None, "refused")])
def test_order_by_hand_when_no_data_came_for_as_long_as_an_entry_may_rest_on_then_refused(
    heard_before_s: float | None, status: str
) -> None:
    desk = Desk(SPOT)
    desk.bar("100")
    desk.book.config = replace(desk.book.config, simulated=False)
    desk.book.set_risk(desk.book.risk.model_copy(update={"max_price_age_bars": 5}))
    now = desk.clock.now()
    heard = None if heard_before_s is None else now - timedelta(seconds=heard_before_s)
    desk.book.feeds[desk.venue.venue].last_wall_time = heard
    done = desk.command(PlaceOrder("test", desk.key, Side.BUY, D(1), OrderType.MARKET), "buy")
    assert done is not None
    assert done.status == status
    assert ("last heard" in done.detail) is (status == "refused")


# --- failures


def test_failed_trades_when_they_happen_while_the_brake_waits_then_still_close_only_at_its_end() -> None:
    desk = bought(Desk(SPOT))
    desk.loop.core.move_state(TradingState.CLOSE_ONLY, BRAKE_WAIT, desk.at)
    desk.venue.faults.plan(Call.SUBMIT, *[Fault.REJECTED] * 3)
    for number in range(3):
        desk.command(PlaceOrder("test", desk.key, Side.SELL, D(1), OrderType.MARKET), f"exit-{number}")
    desk.bar("100")
    assert (desk.book.state, desk.book.state_reason) == (TradingState.CLOSE_ONLY, "3 failed trades in a row")
    assert "Close-only: failed trades" in desk.notices
    desk.bar("100")
    assert desk.book.failed_trades.in_a_row == 3
    assert desk.notices.count("Close-only: failed trades") == 1
    desk.command(SetTrading("test", TradingState.ACTIVE), "on")
    desk.bar("100")
    assert (desk.book.state, desk.book.failed_trades.in_a_row) == (TradingState.ACTIVE, 0)


def test_exits_when_a_person_cancels_them_then_none_has_failed() -> None:
    desk = bought(Desk(SPOT))
    for number in range(4):
        limit = PlaceOrder("test", desk.key, Side.SELL, D(1), OrderType.LIMIT, D(104))
        desk.command(limit, f"sell-{number}")
        order = list(desk.book.tracker.open_orders())[-1]
        desk.command(CancelOrder("test", order.intent.client_id), f"cancel-{number}")
        assert order.state is OrderState.CANCELLED
    desk.bar("100")
    assert (desk.book.state, desk.book.failed_trades.in_a_row) == (TradingState.ACTIVE, 0)


def test_exits_when_the_engine_cancels_them_itself_then_none_has_failed() -> None:
    desk = bought(Desk(SPOT))
    for number in range(4):
        desk.command(ClosePosition("test", "manual", desk.key, D(1)), f"close-{number}")
        order = list(desk.book.tracker.open_orders())[-1]
        assert order.intent.order_type is OrderType.MARKET
        desk.command(CancelOrder("test", order.intent.client_id), f"cancel-{number}")
    desk.bar("100")
    assert (desk.book.state, desk.book.failed_trades.in_a_row) == (TradingState.ACTIVE, 0)


def test_close_when_by_hand_then_the_traders_other_orders_stay() -> None:
    desk = bought(Desk(SPOT))
    desk.command(PlaceOrder("test", desk.key, Side.BUY, D(1), OrderType.LIMIT, D(97)), "rest")
    resting = list(desk.book.tracker.open_orders())[-1]
    desk.command(ClosePosition("test", "manual", desk.key, D("0.5")), "close")
    desk.bar("100")
    assert resting.state is OrderState.WORKING
    assert desk.book.ledger.held("manual", desk.key) == D("0.5")


# --- alerts that end


def test_rearm_when_the_book_had_been_restricted_then_its_alerts_end() -> None:
    desk = Desk(SPOT)
    desk.bar("100")
    desk.command(EmergencyStop(None), "stop")
    for _ in range(12):
        desk.pass_time(3)
        desk.stop.drive()
    done = desk.command(Rearm("test"), "rearm")
    assert done is not None
    assert done.status == CommandStatus.DONE.value
    assert desk.notices.count("Entries are allowed again") == 4  # one for each alert that this may end


# --- differences


def test_reconciler_when_a_difference_comes_again_then_halted_and_told_again() -> None:
    desk = Desk(SPOT)
    desk.bar("100")
    reconciler = Reconciler(desk.loop, desk.clock)

    def look(times: int = 4) -> None:
        for _ in range(times):
            desk.pass_time(10)
            reconciler.drive()

    def differ(by: int) -> None:
        desk.book.external["v", "BTC"] += by

    differ(1)

    look(8)
    assert (desk.book.state, desk.notices.count("Books and venues differ")) == (TradingState.HALTED, 1)
    differ(-1)
    look()
    desk.command(SetTrading("test", TradingState.ACTIVE), "on")
    differ(1)
    look()
    assert (desk.book.state, desk.notices.count("Books and venues differ")) == (TradingState.HALTED, 2)
    desk.command(SetTrading("test", TradingState.ACTIVE), "on-2")  # while the difference is still there
    look()
    assert (desk.book.state, desk.notices.count("Books and venues differ")) == (TradingState.HALTED, 3)
    desk.command(SetTrading("test", TradingState.CLOSE_ONLY), "close-only")
    look()
    assert desk.book.state is TradingState.CLOSE_ONLY  # a person may still close


# --- numbers used twice


def test_fill_when_the_record_leaves_it_out_then_memory_does_not_believe_it_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = bought(Desk(SPOT, others=(ETH,)))
    append = desk.journal.append
    fill = Fill(
        desk.venue.venue, "main", "same", "nobody", "o-1", ETH.key, Side.BUY, D(1), D(50), D(0), "USDT",
        Liquidity.TAKER, desk.at,
    )  # fmt: skip

    def leaving_out(facts: Sequence[Fact], at: datetime) -> Any:
        kept = [fact for fact in facts if not (isinstance(fact, Fill) and fact.trade_id == "same")]
        return Appended(append(kept, at).sequence, tuple(fact for fact in facts if fact not in kept))

    monkeypatch.setattr(desk.journal, "append", leaving_out)
    before = desk.book.ledger.account_position(ETH.key)
    desk.loop.take([fill], desk.at)
    assert desk.book.ledger.account_position(ETH.key) == before
    assert "An execution number came twice; it was booked once" in desk.notices
