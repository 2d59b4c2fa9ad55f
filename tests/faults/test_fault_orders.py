"""Faults of orders: what a crash, a lost answer or a race does to them, judged by the venue's own journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.domain.commands import CancelOrder, ClosePosition, PlaceOrder, SetTrading, TradingState
from engine.domain.errors import CannotRecord
from engine.domain.instruments import Instrument, Kind
from engine.domain.orders import OrderState, OrderType, OrderUpdate, Side
from engine.exchanges.paper.faults import Call, Fault
from engine.risk.limits import RiskConfig
from tests.faults.judged import judged
from tests.trading.harness import PERP, SPOT, D, Desk

BUY, SELL, MARKET, LIMIT = Side.BUY, Side.SELL, OrderType.MARKET, OrderType.LIMIT


class Killed(BaseException):
    """The process is gone at this very line."""


def hold(desk: Desk) -> None:
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    assert desk.held() > 0


def states(desk: Desk) -> set[OrderState]:
    return {order.state for order in desk.book.tracker.open_orders()}


def entry(desk: Desk) -> str:
    rows = [row for row in desk.journal.rows if row["type"] == "OrderIntent" and row["purpose"] == "entry"]
    return str(rows[-1]["client_id"])


def test_fault_01_kill_after_the_intent_and_before_the_send_then_abandoned_and_never_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with judged(tmp_path) as desk:
        with monkeypatch.context() as patch:
            patch.setattr(desk.venue, "submit", lambda approved: (_ for _ in ()).throw(Killed()))
            desk.want(1.0)
            with pytest.raises(Killed):
                desk.bar("100")
        killed = entry(desk)
        assert desk.restart() == ()
        ends = {row["client_id"]: row["state"] for row in desk.journal.rows if row["type"] == "OrderUpdate"}
        assert ends[killed] == "abandoned"
        desk.bar("100")
        assert killed not in {update.client_id for update in desk.venue.open_orders()}


def test_fault_02_kill_between_send_and_answer_then_adopted_with_its_strategy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with judged(tmp_path) as desk:
        submit = desk.venue.submit

        def sent_then_killed(approved: object) -> OrderUpdate:
            submit(approved)  # type: ignore[arg-type]
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(desk.venue, "submit", sent_then_killed)
            desk.want(1.0)
            with pytest.raises(Killed):
                desk.bar("100")
        assert desk.restart() == ()
        order = desk.book.tracker.get(entry(desk))
        assert order is not None
        assert (order.state, order.intent.sleeve) == (OrderState.WORKING, "momentum")
        desk.bar("100")
        assert desk.held() == order.quantity
        assert [s.quantity for s in desk.book.tracker.stops("momentum", desk.key)] == [desk.held()]


@pytest.mark.parametrize("lost", [Fault.LOST_AFTER, Fault.LOST_BEFORE])
def test_fault_03_answer_lost_then_counted_at_its_worst_and_nothing_new_beside_it(tmp_path: Path, lost: Fault) -> None:
    with judged(tmp_path, SPOT, ("momentum", "breakout")) as desk:
        desk.venue.faults.plan(Call.SUBMIT, lost)
        desk.venue.faults.plan(Call.ORDER, *[Fault.UNREACHABLE] * 40)
        desk.want(1.0, sleeve="breakout")
        desk.bar("100")
        assert states(desk) == {OrderState.UNKNOWN}
        unknown = next(desk.book.tracker.open_orders())
        assert desk.book.tracker.working("breakout", desk.key) == unknown.quantity
        desk.want(1.0)
        for _ in range(3):
            desk.loop.resolve()
        desk.venue.faults.plan(Call.OBSERVE, *[Fault.WITHHELD] * 3)
        desk.bar("100")
        assert [row["sleeve"] for row in desk.journal.rows if row["type"] == "OrderIntent"] == ["breakout"] * 2
        assert unknown.state is OrderState.UNKNOWN
        desk.want(0.0)
        desk.want(0.0, sleeve="breakout")
        for _ in range(40):
            desk.loop.resolve()


def test_fault_04_answer_that_says_nothing_then_treated_as_lost(tmp_path: Path) -> None:
    with judged(tmp_path) as desk:
        desk.venue.faults.plan(Call.SUBMIT, Fault.LOST_AFTER, Fault.LOST_AFTER)
        desk.bar("100")
        desk.command(PlaceOrder("test", desk.key, BUY, D(1), MARKET))
        assert states(desk) == {OrderState.UNKNOWN}
        assert desk.loop.resolve()
        desk.bar("100")
        assert desk.held("manual") == 1


def test_fault_06_every_event_twice_then_booked_once(tmp_path: Path) -> None:
    with judged(tmp_path, PERP) as desk:
        desk.venue.faults.plan(Call.OBSERVE, *[Fault.DUPLICATED] * 10)
        hold(desk)
        desk.want(0.0)
        desk.bar("100")
        desk.bar("100")
        assert len(desk.booked_fills()) == len(set(desk.booked_fills())) == 2


def test_fault_06_executions_asked_for_from_the_beginning_then_nothing_is_doubled(tmp_path: Path) -> None:
    with judged(tmp_path) as desk:
        hold(desk)
        desk.book.cursors.clear()
        rows = len(desk.journal.rows)
        desk.loop.pull()
        assert len(desk.journal.rows) == rows


def test_fault_08_events_in_reverse_order_then_the_same_books(tmp_path: Path) -> None:
    with judged(tmp_path) as desk:
        desk.venue.faults.plan(Call.OBSERVE, *[Fault.REVERSED] * 10)
        hold(desk)
        desk.bar("100", low="80", close="85")
        desk.bar("85")
        assert desk.held() == 0


def test_fault_08_fill_before_its_answer_then_accepted(tmp_path: Path) -> None:
    with judged(tmp_path) as desk:
        desk.venue.faults.plan(Call.SUBMIT, Fault.LOST_AFTER)
        desk.want(1.0)
        desk.bar("100")
        assert states(desk) == {OrderState.UNKNOWN}
        desk.bar("100")
        assert desk.held() > 0
        assert [s.quantity for s in desk.book.tracker.stops("momentum", desk.key)] == [desk.held()]


def test_fault_09_late_open_after_filled_then_ignored(tmp_path: Path) -> None:
    with judged(tmp_path) as desk:
        hold(desk)
        client_id = entry(desk)
        late = OrderUpdate(client_id, "v", desk.key, OrderState.WORKING, D(0), desk.at)
        rows = len(desk.journal.rows)
        desk.loop.take([late], desk.at)
        order = desk.book.tracker.get(client_id)
        assert order is not None
        assert order.state is OrderState.FILLED
        assert len(desk.journal.rows) == rows


@pytest.mark.parametrize("lost", [None, Fault.LOST_AFTER])
def test_fault_10_partial_fill_against_cancel_then_what_filled_is_booked(tmp_path: Path, lost: Fault | None) -> None:
    with judged(tmp_path) as desk:
        desk.bar("100")
        desk.command(PlaceOrder("test", desk.key, BUY, D(50), MARKET), "c-1")
        desk.venue.faults.plan(Call.OBSERVE, Fault.WITHHELD)
        desk.bar("100", volume="200")
        client_id = entry(desk)
        assert desk.held("manual") == 0
        if lost is not None:
            desk.venue.faults.plan(Call.CANCEL, lost)
        desk.command(CancelOrder("test", client_id), "c-2")
        desk.loop.resolve()
        assert desk.held("manual") == D(10)
        order = desk.book.tracker.get(client_id)
        assert order is not None
        assert order.state is OrderState.CANCELLED
        assert order.is_settled


def test_fault_11_cancel_answered_with_unknown_order_then_asked_before_anything_is_believed(tmp_path: Path) -> None:
    with judged(tmp_path) as desk:
        desk.bar("100")
        desk.command(PlaceOrder("test", desk.key, BUY, D(1), LIMIT, D(98)), "c-1")
        desk.venue.faults.plan(Call.CANCEL, Fault.NOT_FOUND)
        desk.command(CancelOrder("test", entry(desk)), "c-2")
        assert states(desk) == {OrderState.WORKING}
        desk.command(CancelOrder("test", entry(desk)), "c-3")
        assert states(desk) == set()


@pytest.mark.parametrize("lost", [Fault.LOST_BEFORE, Fault.LOST_AFTER])
def test_fault_12_answer_to_a_cancel_lost_then_pending_until_proof_whichever_way_it_went(
    tmp_path: Path, lost: Fault
) -> None:
    with judged(tmp_path) as desk:
        desk.bar("100")
        desk.command(PlaceOrder("test", desk.key, BUY, D(1), LIMIT, D(98)), "c-1")
        desk.venue.faults.plan(Call.CANCEL, lost)
        desk.command(CancelOrder("test", entry(desk)), "c-2")
        assert states(desk) == {OrderState.PENDING_CANCEL}
        for _ in range(3):
            desk.pass_time(3)
            desk.loop.resolve()
        assert states(desk) == set()
        assert desk.venue.open_orders() == ()


def test_fault_12_cancel_of_an_order_that_never_arrived_then_both_doubts_end(tmp_path: Path) -> None:
    with judged(tmp_path) as desk:
        desk.bar("100")
        desk.venue.faults.plan(Call.SUBMIT, Fault.LOST_BEFORE)
        desk.command(PlaceOrder("test", desk.key, BUY, D(1), LIMIT, D(98)), "c-1")
        desk.venue.faults.plan(Call.CANCEL, Fault.LOST_BEFORE)
        desk.command(CancelOrder("test", entry(desk)), "c-2")
        assert states(desk) == {OrderState.PENDING_CANCEL}
        for _ in range(3):
            desk.pass_time(3)
            desk.loop.resolve()
        order = desk.book.tracker.get(entry(desk))
        assert order is not None
        assert order.state is OrderState.ABANDONED


def test_fault_38_working_order_denied_twice_but_listed_then_still_works(tmp_path: Path) -> None:
    with judged(tmp_path) as desk:
        desk.bar("100")
        desk.command(PlaceOrder("test", desk.key, BUY, D(1), LIMIT, D(98)), "c-1")
        desk.venue.faults.plan(Call.ORDER, *[Fault.NOT_FOUND] * 6)
        for _ in range(3):
            desk.pass_time(3)
            desk.loop.resolve(everything=True)
        assert states(desk) == {OrderState.WORKING}


@pytest.mark.parametrize("lost", [Fault.LOST_BEFORE, Fault.LOST_AFTER, Fault.UNREACHABLE])
def test_fault_13_stop_that_should_shrink_without_an_answer_then_the_exit_waits_and_the_size_is_learned(
    tmp_path: Path, lost: Fault
) -> None:
    with judged(tmp_path, PERP) as desk:
        hold(desk)
        desk.book.sleeves["momentum"].running = False
        held = desk.held()
        desk.venue.faults.plan(Call.AMEND, lost)
        desk.command(ClosePosition("test", "momentum", desk.key, D("0.5")), "c-1")
        desk.loop.resolve(everything=True)
        desk.bar("100")
        assert desk.held() == held
        assert sum(desk.book.tracker.covered(s) for s in desk.book.tracker.stops("momentum", desk.key)) == held
        desk.command(ClosePosition("test", "momentum", desk.key, D("0.5")), "c-2")
        desk.bar("100")
        assert desk.held() == held / 2
        assert sum(desk.book.tracker.covered(s) for s in desk.book.tracker.stops("momentum", desk.key)) == held / 2


def test_fault_17_every_order_then_is_on_the_grid_and_above_the_least_value(tmp_path: Path) -> None:
    coarse = Instrument("v", "BTC", "USDT", Kind.SPOT, D("0.5"), D("0.3"), D(50))
    with judged(tmp_path, coarse) as desk:
        for number, conviction in enumerate([1.0, 0.37, 0.9, 0.01, 0.51, 0.0, 0.003, 1.0, 0.0]):
            desk.want(conviction, "7.77")
            desk.bar(str(100 + number * 1.31), volume="8000")
        rejected = [r for r in desk.journal.rows if r["type"] == "OrderUpdate" and r["state"] == "rejected"]
        intents = [r for r in desk.journal.rows if r["type"] == "OrderIntent"]
        assert rejected == []
        assert len(intents) > 6
        assert all(D(r["quantity"]) % D("0.3") == 0 for r in intents)


def test_fault_17_dust_when_a_close_leaves_some_then_no_loop(tmp_path: Path) -> None:
    dear = Instrument("v", "BTC", "USDT", Kind.SPOT, D("0.01"), D("0.0001"), D(600))
    with judged(tmp_path, dear) as desk:
        desk.want(1.0)
        desk.bar("100")
        desk.bar("100", volume="2100")
        desk.bar("100", volume="2100")
        desk.book.sleeves["momentum"].running = True
        desk.want(0.0)
        for _ in range(3):
            desk.bar("100", volume="1960")
        sent = len([r for r in desk.journal.rows if r["type"] == "OrderIntent"])
        for _ in range(10):
            desk.bar("5")
            desk.bar("100")
        assert len([r for r in desk.journal.rows if r["type"] == "OrderIntent"]) - sent <= 6


def test_fault_18_strategies_together_then_never_promise_more_than_there_is(tmp_path: Path) -> None:
    with judged(tmp_path, SPOT, ("momentum", "breakout", "mean_reversion"), cash="3000") as desk:
        wide = {"max_position_share": D(10), "max_concentration": D(10), "max_exposure": D(10)}
        desk.book.set_risk(RiskConfig.model_validate({**desk.book.risk.model_dump(), **wide}))
        for sleeve in desk.book.sleeves.values():
            sleeve.weight = D(1)
        for name in desk.book.sleeves:
            desk.want(1.0, "0.5", name)
        desk.bar("100")
        desk.bar("100")
        reasons = [row["reason"] for row in desk.journal.rows if row["type"] == "OrderUpdate"]
        assert not any("insufficient" in reason for reason in reasons)
        assert desk.book.ledger.cash() >= 0


def test_fault_18_venue_refuses_for_want_of_balance_then_counted_and_close_only_after_three(tmp_path: Path) -> None:
    with judged(tmp_path) as desk:
        desk.venue.faults.plan(Call.SUBMIT, *[Fault.REJECTED] * 3)
        desk.want(1.0)
        for _ in range(4):
            desk.bar("100")
        assert desk.book.state is TradingState.CLOSE_ONLY
        assert desk.venue.open_orders() == ()


@pytest.mark.parametrize("instrument", [SPOT, PERP])
def test_fault_19_exit_needed_while_halted_then_passes(tmp_path: Path, instrument: Instrument) -> None:
    with judged(tmp_path, instrument) as desk:
        hold(desk)
        desk.command(SetTrading("test", TradingState.HALTED), "c-1")
        done = desk.command(ClosePosition("test", "momentum", desk.key, D(1)), "c-2")
        assert done is not None
        assert done.status == "done", done.detail
        desk.bar("100")
        assert desk.held() == 0
        assert desk.venue.open_orders() == ()


def test_fault_20_exits_together_then_never_exceed_the_position(tmp_path: Path) -> None:
    with judged(tmp_path, PERP) as desk:
        hold(desk)
        desk.want(0.0)
        desk.bar("100")
        for number in range(3):
            desk.command(ClosePosition("test", "momentum", desk.key, D(1)), f"c-{number}")
        desk.bar("100", low="80", close="82")
        desk.bar("82")
        assert desk.held() == desk.book.ledger.account_position(desk.key) == 0


def test_fault_20_stop_and_exit_of_one_candle_then_sell_once(tmp_path: Path) -> None:
    with judged(tmp_path, PERP) as desk:
        hold(desk)
        desk.want(0.0)
        desk.bar("100", low="95")
        desk.bar("85", low="80", close="82", volume="900")
        for _ in range(5):
            desk.bar("82", volume="900")
        assert desk.book.ledger.account_position(desk.key) == 0


@pytest.mark.parametrize("step", range(12))
def test_fault_01_to_03_record_fails_at_any_instant_then_nothing_is_lost_or_doubled(tmp_path: Path, step: int) -> None:
    with judged(tmp_path) as desk:
        desk.journal.refuse_after = len(desk.journal.rows) + step
        for number, conviction in enumerate([1.0, 1.0, 0.5, 0.0, 1.0]):
            desk.want(conviction)
            try:
                desk.bar(str(100 + number), volume="4000")
            except CannotRecord:
                desk.journal.refuse_after = None
                assert desk.restart() == ()
