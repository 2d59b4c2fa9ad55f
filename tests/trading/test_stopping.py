"""The emergency stop: exactly one, through every crash and outage, to VERIFIED FLAT and no sooner."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from engine.domain.commands import ClosePosition, EmergencyStop, Rearm, SetTrading, TradingState
from engine.domain.facts import StopStep
from engine.domain.instruments import Instrument, Kind
from engine.market.marks import Marks
from engine.trading.recovery import compare
from engine.trading.remainders import dust
from engine.trading.report import report
from tests.trading.harness import PERP, SPOT, D, Desk


def trading(instrument=SPOT) -> Desk:  # type: ignore[no-untyped-def]
    desk = Desk(instrument, ("momentum", "breakout"))
    desk.want(1.0)
    desk.want(-0.5 if instrument is PERP else 0.5, sleeve="breakout")
    desk.bar("100")
    desk.bar("100")
    assert desk.held() > 0
    return desk


def carry_on(desk: Desk, bars: int = 12) -> None:
    for _ in range(bars):
        desk.pass_time(1.5)
        desk.bar("100")


@pytest.mark.parametrize("instrument", [SPOT, PERP])
def test_stop_when_pressed_then_carried_to_verified_flat(instrument) -> None:  # type: ignore[no-untyped-def]
    desk = trading(instrument)
    done = desk.command(EmergencyStop(None))
    assert done is not None
    assert done.status == "done"
    assert desk.book.state is TradingState.HALTED
    carry_on(desk)
    assert desk.book.stop is not None
    assert [step for step, _, _ in desk.book.stop.steps] == list(StopStep)
    assert desk.venue.open_orders() == ()
    assert desk.venue.positions() == ()
    assert {b.currency: b.total for b in desk.venue.balances()}["BTC"] == D("0.5")
    assert desk.held() == desk.held("breakout") == 0
    assert compare(desk.loop) == []


def test_fault_63_stop_pressed_twice_then_runs_once() -> None:
    desk = trading()
    desk.command(EmergencyStop(None), "c-1")
    second = desk.command(EmergencyStop(None), "c-2")
    again = desk.command(EmergencyStop(None), "c-1")
    assert second is not None
    assert "already under way" in second.detail
    assert again is not None
    carry_on(desk)
    latched = [r for r in desk.journal.rows if r["type"] == "StopProgress" and r["step"] == StopStep.LATCHED.value]
    assert len(latched) == 1


@pytest.mark.parametrize("crash_after", range(1, 11))
def test_fault_62_crash_in_the_middle_then_resumes_to_flat(crash_after: int) -> None:
    desk = trading(PERP)
    desk.command(EmergencyStop(None))
    for number in range(20):
        desk.pass_time(1.5)
        desk.bar("100")
        if number == crash_after:
            assert desk.restart() == ()
            assert desk.book.latched
    assert desk.book.stop is not None
    assert desk.book.stop.is_flat
    steps = [r["step"] for r in desk.journal.rows if r["type"] == "StopProgress"]
    assert steps == [step.value for step in StopStep]


def test_fault_61_venue_down_then_not_flat_until_it_answers() -> None:
    desk = trading()
    desk.venue.set_outage(desk.at + timedelta(minutes=10))
    desk.command(EmergencyStop(None))
    carry_on(desk, 5)
    assert desk.book.stop is not None
    assert not desk.book.stop.is_flat
    assert "does not answer" in desk.book.stop.view().waiting_for
    refusal = desk.command(Rearm("test"), "c-9")
    assert refusal is not None
    assert refusal.status == "refused"
    assert "NOT FLAT" in refusal.detail
    carry_on(desk, 20)
    assert desk.book.stop.is_flat


def test_flat_when_looks_are_too_close_then_not_yet() -> None:
    desk = trading()
    desk.command(EmergencyStop(None))
    for _ in range(6):
        desk.clock.seconds -= 1
        desk.bar("100")
    assert desk.book.stop is not None
    assert StopStep.NO_OPEN_ORDERS not in desk.book.stop.done


def test_halted_then_no_strategy_trades_and_rearm_is_needed() -> None:
    desk = trading()
    desk.command(EmergencyStop(None))
    carry_on(desk)
    fills = len(desk.booked_fills())
    carry_on(desk, 4)
    assert len(desk.booked_fills()) == fills
    assert desk.command(SetTrading("test", TradingState.ACTIVE), "c-2").status == "refused"  # type: ignore[union-attr]
    done = desk.command(Rearm("test"), "c-3")
    assert done is not None
    assert done.status == "done"
    carry_on(desk, 3)
    assert desk.held() > 0


def test_brake_when_drawdown_reaches_ten_percent_then_flattens_latches_and_survives_a_restart() -> None:
    desk = Desk(PERP, cash="10000")
    desk.book.set_risk(desk.book.risk.model_copy(update={"max_position_share": D(1), "max_concentration": D(1)}))
    desk.want(1.0, "60")
    desk.script.views[("momentum", desk.key)] = (1.0, "1")
    desk.bar("100")
    desk.bar("100")
    assert desk.held() > 0
    for stop in list(desk.book.tracker.stops("momentum", desk.key)):
        desk.venue.cancel(stop.intent.client_id)
    desk.bar("88", low="88", close="88")
    assert desk.book.latched
    assert "emergency brake" in desk.book.state_reason
    desk.restart()
    assert desk.book.latched
    for _ in range(10):
        desk.pass_time(2)
        desk.bar("88")
    assert desk.book.stop is not None
    assert desk.book.stop.is_flat
    desk.command(Rearm("test"), "c-4")
    desk.want(0.0)
    desk.bar("88")
    assert desk.book.state is TradingState.ACTIVE


def test_close_only_then_exits_pass_and_entries_do_not() -> None:
    desk = trading()
    desk.command(SetTrading("test", TradingState.CLOSE_ONLY))
    done = desk.command(ClosePosition("test", "momentum", desk.key, D("0.5")), "c-2")
    assert done is not None
    assert done.status == "done"
    before = desk.held()
    desk.want(0.5)
    desk.bar("100")
    assert 0 < desk.held() < before
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    assert desk.held() < before


def test_half_closed_by_hand_then_is_sold_and_not_bought_again() -> None:
    desk = trading()
    before = desk.held()
    done = desk.command(ClosePosition("test", "momentum", desk.key, D("0.5")), "c-half")
    assert done is not None
    assert done.status == "done"
    for _ in range(4):
        desk.bar("100")
    assert desk.held() < before * D("0.6")
    left = desk.held()
    assert desk.restart() == ()
    desk.bar("100")
    assert desk.held() == left
    desk.want(0.0)
    for _ in range(3):
        desk.bar("100")
    assert desk.held() == 0
    desk.want(1.0)
    for _ in range(2):
        desk.bar("100")
    assert desk.held() > 0


def test_stop_when_opposite_strategies_leave_only_dust_then_flat_and_rearmed() -> None:
    desk = Desk(PERP, ("momentum", "mean_reversion"))
    desk.want(1.0, "10", "momentum")
    desk.bar("100")
    desk.want(-1.0, "10", "mean_reversion")
    desk.bar("100.02")
    desk.bar("100.02")
    assert 0 < desk.book.ledger.account_position(desk.key) < D("0.01")
    desk.command(EmergencyStop("test"), "stop")
    carry_on(desk, 40)
    assert desk.book.stop is not None
    assert desk.book.stop.is_flat
    assert max(abs(h.quantity) for _, _, h in desk.book.ledger.open_holdings()) < D("0.01")
    view = report(desk.book, (), desk.clock.now(), 1).stop
    assert view is not None
    assert view.dust == view.steps[-1][1]
    assert re.fullmatch(
        r"flat except dust: (-?0\.\d+ BTC \(\d\.\d\d USDT\), below the least order of 5 USDT(, )?)+", view.dust
    )
    elsewhere = Instrument("w", "BTC", "USDT", Kind.PERPETUAL, D("0.01"), D("0.0001"), D(5), D(10))
    desk.book.ledger.instruments[elsewhere.key] = elsewhere
    assert re.search(r"BTC at v \(", dust(desk.book)), "of several venues the one that holds it is named"
    del desk.book.ledger.instruments[elsewhere.key]
    desk.book.marks = Marks()  # as right after a start
    for _ in range(3):
        desk.pass_time(2.5)
        desk.stop.drive()
    assert desk.book.stop.is_flat, "dust that was proven such reopens nothing while it has no price"
    done = desk.command(Rearm("test"), "rearm")
    assert done is not None
    assert done.status == "done"
