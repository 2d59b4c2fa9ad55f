"""Looking at a real venue: one call for all orders, two looks before a conclusion, entries only after a comparison."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from engine.domain.commands import SetTrading, TradingState
from engine.domain.conditions import VenueState
from engine.domain.orders import OrderState
from engine.exchanges.paper.faults import Call, Fault
from engine.trading.report import report
from engine.trading.sending import report_on
from tests.trading.harness import PERP, SPOT, D
from tests.trading.real_desk import RealDesk


def started(instrument=SPOT) -> RealDesk:  # type: ignore[no-untyped-def]
    desk = RealDesk(instrument)
    desk.bar("100")
    desk.turn(31)
    return desk


def holding(instrument=SPOT) -> RealDesk:  # type: ignore[no-untyped-def]
    desk = started(instrument)
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    assert desk.held() > 0
    return desk


# -- how often ---------------------------------------------------------------------------------------------------------


def test_looks_when_a_minute_passes_then_orders_six_times_and_money_twice() -> None:
    desk = holding()
    desk.turn(31)
    desk.wire.asked.clear()
    desk.turn(1, times=60)
    asked = desk.wire.asked
    assert 5 <= asked["open_orders"] <= 7
    assert asked["order"] == 0
    assert [asked[what] for what in ("balances", "positions", "executions")] == [2, 2, 2]


def test_order_missing_in_the_list_then_it_alone_is_asked_for_and_nothing_is_concluded() -> None:
    desk = holding()
    stop = desk.book.tracker.stops("momentum", desk.key)[0]
    desk.wire.missing.add(stop.intent.client_id)
    desk.wire.asked.clear()
    desk.turn(11)
    assert desk.wire.asked["order"] == 1
    assert stop.state is OrderState.WORKING
    assert desk.book.state is TradingState.ACTIVE


def test_fault_38_order_neither_listed_nor_found_then_abandoned_only_after_two_looks_and_a_second_way() -> None:
    desk = started()
    desk.wire.inner.faults.plan(Call.SUBMIT, Fault.LOST_BEFORE)
    desk.order_by_hand()
    order = next(o for o in desk.book.tracker.open_orders())
    assert order.state is OrderState.UNKNOWN
    desk.turn(1)
    assert order.state is OrderState.UNKNOWN
    desk.wire.asked.clear()
    desk.turn(3)
    assert order.state is OrderState.ABANDONED
    assert desk.wire.asked["open_orders"] >= 1
    assert desk.wire.asked["executions"] >= 1


def test_fault_38_second_way_of_asking_without_an_answer_then_the_order_stays_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = started()
    desk.wire.inner.faults.plan(Call.SUBMIT, Fault.LOST_BEFORE)
    desk.order_by_hand()
    order = next(o for o in desk.book.tracker.open_orders())
    listed = desk.wire.open_orders
    monkeypatch.setattr(desk.wire, "open_orders", lambda: desk.wire._line("open_orders") or listed())
    for _ in range(4):
        desk.wire.inner.faults.plan(Call.OPEN_ORDERS, Fault.UNREACHABLE)
        desk.turn(3)
        assert order.state is OrderState.UNKNOWN


def test_order_without_proof_then_asked_about_no_more_than_once_a_second() -> None:
    desk = started()
    desk.wire.inner.faults.plan(Call.SUBMIT, Fault.LOST_BEFORE)
    desk.order_by_hand()
    desk.wire.asked.clear()
    for _ in range(9):
        desk.turn(0.1)
    assert desk.wire.asked["order"] == 1


# -- two looks ---------------------------------------------------------------------------------------------------------


def test_difference_of_one_look_then_forgotten() -> None:
    desk = holding()
    desk.turn(31)
    desk.wire.moved["USDT"] = D(5)
    desk.turn(31)
    assert desk.book.state is TradingState.ACTIVE
    desk.wire.moved.clear()
    desk.turn(3, times=5)
    assert desk.book.state is TradingState.ACTIVE


def test_difference_that_moves_between_two_looks_then_the_next_one_decides() -> None:
    desk = holding()
    for amount in ("5", "-3", "0"):
        desk.wire.moved["USDT"] = D(amount)
        desk.turn(31)
    assert desk.book.state is TradingState.ACTIVE


@pytest.mark.parametrize("amounts", [["5"] * 2, ["1", "2", "3", "4", "5"]], ids=["the same twice", "for five looks"])
def test_fault_38_difference_that_stays_then_halted_and_named(amounts: list[str]) -> None:
    desk = holding()
    desk.turn(31)
    for amount in amounts:
        assert desk.book.state is TradingState.ACTIVE
        desk.wire.moved["USDT"] = D(amount)
        desk.turn(151)
    assert desk.book.state is TradingState.HALTED
    assert "v holds" in desk.book.state_reason


def test_rounding_of_a_real_venue_then_no_difference_but_a_real_one_is() -> None:
    desk = holding(PERP)
    desk.turn(31)
    desk.wire.moved["USDT"] = D("0.00000001")
    desk.turn(31, times=3)
    assert desk.book.state is TradingState.ACTIVE
    desk.wire.moved["USDT"] = D("0.01")
    desk.turn(31, times=7)
    assert desk.book.state is TradingState.HALTED


def test_deposit_that_is_told_two_minutes_late_then_nothing_is_opened_meanwhile_and_nothing_halted() -> None:
    desk = started()
    desk.wire.moved["USDT"] = D(500)
    desk.turn(10, times=12)
    assert desk.book.state is TradingState.ACTIVE
    assert "waits for its explanation" in desk.order_by_hand().detail
    desk.wire.moved.clear()
    desk.wire.flow("USDT", "500")
    desk.turn(10, times=3)
    assert desk.order_by_hand(command_id="again").status == "done"


def test_position_that_differs_then_halted_at_the_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = holding(PERP)
    desk.turn(31)
    monkeypatch.setattr(desk.wire, "positions", tuple)
    desk.turn(31)
    assert desk.book.state is TradingState.ACTIVE
    desk.turn(3)
    assert desk.book.state is TradingState.HALTED


# -- resync ------------------------------------------------------------------------------------------------------------


def test_start_then_nothing_is_opened_before_books_and_venue_are_compared() -> None:
    desk = started()
    desk.wire.is_down = True
    assert "did not answer" in desk.restart()[0]
    assert desk.book.state is TradingState.ACTIVE
    assert "the engine has just started" in desk.order_by_hand().detail
    desk.wire.is_down = False
    desk.turn(3)
    desk.bar("100")
    assert desk.order_by_hand(command_id="again").status == "done"


@pytest.mark.parametrize("reason", ["the stream was interrupted", "the ban has ended"])
def test_fault_30_resync_asked_for_then_entries_wait_until_it_has_passed(reason: str) -> None:
    desk = started()
    desk.wire.resync = reason
    desk.wire.is_down = True
    desk.turn(3)
    assert reason in desk.order_by_hand().detail
    assert report(desk.book, (), desk.clock.now(), 1).feeds[0].awaits == reason
    desk.wire.is_down = False
    desk.turn(3, times=3)
    assert desk.order_by_hand(command_id="again").status == "done"
    assert report(desk.book, (), desk.clock.now(), 1).feeds[0].awaits == ""


def test_resync_asked_for_while_it_is_under_way_then_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = started()
    balances = desk.wire.balances

    def interrupted() -> Any:
        desk.wire.resync = "interrupted again"
        monkeypatch.setattr(desk.wire, "balances", balances)
        return balances()

    desk.wire.resync = "interrupted"
    monkeypatch.setattr(desk.wire, "balances", interrupted)
    desk.turn(3)
    assert desk.book.outside.awaiting == {"v": "interrupted again"}
    desk.turn(3)
    assert desk.book.outside.awaiting == {}


def test_resync_when_a_difference_is_found_then_nothing_is_opened() -> None:
    desk = started()
    desk.wire.moved["USDT"] = D(5)
    desk.wire.resync = "interrupted"
    desk.turn(3)
    assert "waits for its explanation" in desk.book.outside.awaiting["v"]
    desk.turn(10, times=18)
    assert desk.book.state is TradingState.HALTED
    assert "v" in desk.book.outside.awaiting


def test_fault_45_computer_that_slept_then_books_and_venue_are_compared_first(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = started()
    slept, now = timedelta(hours=1), desk.clock.now

    def later() -> datetime:
        return now() + slept

    desk.turn(1)
    desk.wire.is_down = True
    monkeypatch.setattr(desk.clock, "now", later)
    desk.turn(1)
    assert "the computer slept" in desk.book.outside.why_closed(desk.key, desk.at)
    desk.wire.is_down = False
    desk.turn(3, times=3)
    assert desk.book.outside.why_closed(desk.key, desk.at) == ""


# -- conditions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        (VenueState.DEGRADED, 24),
        (VenueState.OFFLINE, 25),
        (VenueState.MAINTENANCE, 34),
        (VenueState.BANNED, 23),
    ],
)
def test_fault_23_25_34_venue_not_online_then_no_entries_but_exits(state: VenueState, fault: int) -> None:
    desk = holding()
    desk.turn(31)
    desk.wire.state = state
    desk.turn(1)
    assert f"v is {state.value}" in desk.order_by_hand("0.5", "entry").detail
    desk.want(0.0)
    desk.bar("100")
    desk.bar("100")
    assert desk.held() == 0
    assert f"v is {state.value}" in desk.notices
    view = report(desk.book, (), desk.clock.now(), 1).feeds[0].condition
    assert view is not None
    assert view.state is state
    desk.wire.state = VenueState.ONLINE
    desk.turn(3, times=2)
    assert desk.order_by_hand(command_id=f"back-{fault}").status == "done"


def test_fault_35_key_refused_then_locked_shown_unmanaged_and_back_close_only_after_a_comparison() -> None:
    desk = holding()
    desk.turn(31)
    desk.wire.state, desk.wire.is_down = VenueState.LOCKED, True
    desk.turn(1)
    assert desk.book.state is TradingState.LOCKED
    assert "v is LOCKED" in desk.notices
    position = report(desk.book, (), desk.clock.now(), 1).positions[0]
    assert not position.managed
    assert "UNMANAGED" in position.warnings[0]
    desk.wire.asked.clear()
    desk.want(0.0)
    desk.bar("100")
    assert desk.wire.asked["submit"] == 0
    desk.wire.state = VenueState.DEGRADED
    desk.turn(3)
    assert desk.book.state is TradingState.LOCKED
    desk.wire.state, desk.wire.is_down = VenueState.ONLINE, False
    desk.turn(3, times=4)
    assert desk.book.state is TradingState.CLOSE_ONLY
    assert report(desk.book, (), desk.clock.now(), 1).positions[0].managed
    desk.command(SetTrading("test", TradingState.ACTIVE), "on")
    assert desk.book.state is TradingState.ACTIVE


def test_fault_35_locked_when_a_person_sets_it_active_then_refused_with_what_happens_next() -> None:
    desk = started()
    desk.wire.state = VenueState.LOCKED
    desk.turn(1)
    done = desk.command(SetTrading("test", TradingState.ACTIVE), "on")
    assert done is not None
    assert done.status == "refused"
    assert "tried again every half minute" in done.detail
    desk.turn(1)
    assert desk.book.state is TradingState.LOCKED
    assert desk.order_by_hand().status == "refused"


# -- UNKNOWN and other engines -----------------------------------------------------------------------------------------


def test_fault_03_unknown_order_then_counted_at_worst_and_nothing_more_on_its_side() -> None:
    desk = started()
    desk.wire.inner.faults.plan(Call.SUBMIT, Fault.LOST_AFTER)
    desk.order_by_hand("2")
    limits = {use.name: use.used for use in report(desk.book, (), desk.clock.now(), 1).limits}
    assert limits["max_exposure"] == D(200) / D(100_000)
    assert "is UNKNOWN" in desk.order_by_hand("2", "second").detail
    desk.turn(3)
    assert desk.order_by_hand("2", "third").status == "done"


def test_fault_43_execution_of_a_newer_epoch_then_halted(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = holding()
    desk.turn(31)
    fill = desk.venue.executions_since("")[0][0]
    strange = replace(fill, client_id="t0abcde00090000001", trade_id="v-other", at=desk.at)
    there = desk.wire.executions_since

    def with_strange(cursor: str) -> Any:
        found, following = there(cursor)
        return (*found, strange), following

    monkeypatch.setattr(desk.wire, "executions_since", with_strange)
    desk.turn(31)
    assert desk.book.state is TradingState.HALTED
    assert "another engine" in desk.book.state_reason


def test_start_when_a_deposit_is_not_told_yet_then_not_halted_but_nothing_is_opened_before_it_is() -> None:
    desk = started()
    desk.wire.moved["USDT"] = D(500)
    assert "v holds" in desk.restart()[0]
    desk.bar("100")
    assert desk.book.state is TradingState.ACTIVE
    assert "waits for its explanation" in desk.order_by_hand().detail
    desk.wire.moved.clear()
    desk.wire.flow("USDT", "500")
    desk.turn(10, times=2)
    assert desk.order_by_hand(command_id="again").status == "done"


def test_cancel_answered_with_not_found_then_the_stop_still_counts_until_its_end_is_told() -> None:
    desk = holding()
    stop = desk.book.tracker.stops("momentum", desk.key)[0]
    desk.wire.missing.add(stop.intent.client_id)
    desk.wire.inner.faults.plan(Call.CANCEL, Fault.NOT_FOUND)
    desk.wire.inner.faults.plan(Call.ORDER, Fault.NOT_FOUND)
    desk.want(0.0)
    desk.bar("100")

    assert stop.state is OrderState.PENDING_CANCEL
    desk.bar("100")
    assert desk.held() > 0  # no exit went out beside a stop that may still sell

    desk.wire.missing.clear()
    desk.turn(3, times=5)
    for _ in range(3):
        desk.bar("100")
    assert stop.state is OrderState.CANCELLED
    assert desk.held() == desk.book.ledger.account_position(desk.key) == 0


def test_order_not_found_once_whose_end_is_told_then_that_look_is_forgotten() -> None:
    desk = started()
    desk.wire.inner.faults.plan(Call.SUBMIT, Fault.LOST_BEFORE)
    desk.order_by_hand()
    order = next(o for o in desk.book.tracker.open_orders())
    desk.turn(1)
    assert list(desk.loop.resolver._not_found) == [order.intent.client_id]
    desk.loop.take(
        [report_on(order, OrderState.CANCELLED, desk.loop.market_time(), "told late")], desk.loop.market_time()
    )
    desk.turn(1)
    assert desk.loop.resolver._not_found == {}
