"""Faults around the emergency stop and the brake: flat is claimed on proof alone, and only one stop runs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import venue_judge

from engine.domain.commands import EmergencyStop, PlaceOrder, Rearm, TradingState
from engine.domain.facts import StopStep
from engine.domain.instruments import Instrument, Kind
from engine.domain.orders import Approved, OrderIntent, OrderType, Purpose, Side
from engine.exchanges.paper.faults import Call, Fault
from tests.faults.judged import judged
from tests.trading.harness import PERP, SPOT, D, Desk

OTHER = Instrument("w", "BTC", "USDT", Kind.PERPETUAL, D("0.01"), D("0.0001"), D(5), D(10))


def trade(desk: Desk) -> None:
    desk.want(1.0)
    if "breakout" in desk.book.sleeves:
        desk.want(-0.5 if desk.instrument.kind is Kind.PERPETUAL else 0.5, sleeve="breakout")
    desk.bar("100")
    desk.bar("100")
    assert desk.held() > 0


def is_flat(desk: Desk) -> bool:
    return desk.book.stop is not None and desk.book.stop.is_flat


def carry(desk: Desk, most: int = 40) -> int:
    """Bars until VERIFIED FLAT."""
    for number in range(most):
        if is_flat(desk):
            return number
        desk.pass_time(1.5)
        desk.bar("100")
    raise AssertionError(f"not flat: {desk.book.stop.waiting_for if desk.book.stop else 'no stop'}")


def assert_truly_flat(desk: Desk, folder: Path) -> None:
    for venue in desk.venues:
        verdict = venue_judge.judge(folder / f"{venue}.jsonl")
        assert verdict.open_orders == []
        assert all(quantity == 0 for quantity, _ in verdict.positions.values())
        assert verdict.balances["BTC"] == D("0.5")


def steps(desk: Desk) -> list[str]:
    return [row["step"] for row in desk.journal.rows if row["type"] == "StopProgress"]


@pytest.mark.parametrize("instrument", [SPOT, PERP])
@pytest.mark.parametrize("lost", [Fault.LOST_AFTER, Fault.LOST_BEFORE])
def test_fault_60_stop_with_orders_in_flight_then_resolved_first_and_flat(
    tmp_path: Path, instrument: Instrument, lost: Fault
) -> None:
    with judged(tmp_path, instrument, ("momentum", "breakout")) as desk:
        trade(desk)
        desk.venue.faults.plan(Call.SUBMIT, lost)
        desk.command(PlaceOrder("test", desk.key, Side.BUY, D(1), OrderType.MARKET), "c-0")
        desk.command(EmergencyStop(None), "c-1")
        carry(desk)
        assert_truly_flat(desk, tmp_path)
        assert steps(desk) == [step.value for step in StopStep]


@pytest.mark.parametrize("call", [Call.CANCEL, Call.SUBMIT])
@pytest.mark.parametrize("lost", [Fault.LOST_AFTER, Fault.LOST_BEFORE, Fault.UNREACHABLE, Fault.REJECTED])
def test_fault_60_stop_when_every_second_answer_fails_then_still_ends_flat(
    tmp_path: Path, call: Call, lost: Fault
) -> None:
    with judged(tmp_path, PERP, ("momentum", "breakout")) as desk:
        trade(desk)
        desk.command(EmergencyStop(None))
        for _ in range(4):
            desk.venue.faults.plan(call, lost)
            desk.pass_time(1.5)
            desk.bar("100")
        carry(desk)
        assert_truly_flat(desk, tmp_path)


@pytest.mark.parametrize("call", [Call.OPEN_ORDERS, Call.POSITIONS, Call.EXECUTIONS])
def test_fault_60_stop_when_a_list_lies_once_then_flat_is_not_claimed_too_early(tmp_path: Path, call: Call) -> None:
    with judged(tmp_path, PERP) as desk:
        trade(desk)
        desk.venue.faults.plan(call, Fault.EMPTY)
        desk.command(EmergencyStop(None))
        for _ in range(30):
            desk.pass_time(1.5)
            desk.bar("100")
            if is_flat(desk):
                assert_truly_flat(desk, tmp_path)
        assert is_flat(desk)


def test_fault_61_one_venue_down_then_the_others_are_flattened_and_flat_is_not_claimed(tmp_path: Path) -> None:
    with judged(tmp_path, PERP, others=(OTHER,)) as desk:
        trade(desk)
        desk.venues["v"].set_outage(desk.at + timedelta(minutes=20))
        desk.command(EmergencyStop(None))
        for _ in range(5):
            desk.pass_time(1.5)
            desk.bar("100")
        assert desk.book.ledger.account_position(OTHER.key) == 0
        assert desk.book.ledger.account_position(desk.key) > 0
        assert not is_flat(desk)
        assert desk.book.stop is not None
        assert "does not answer" in desk.book.stop.view().waiting_for
        carry(desk)
        assert_truly_flat(desk, tmp_path)


def test_fault_61_latch_when_the_venue_is_down_then_outlives_a_restart_and_blocks_rearming(tmp_path: Path) -> None:
    with judged(tmp_path) as desk:
        trade(desk)
        desk.venue.set_outage(desk.at + timedelta(minutes=10))
        desk.command(EmergencyStop(None), "c-1")
        desk.restart()
        assert desk.book.latched
        done = desk.command(Rearm("test"), "c-2")
        assert done is not None
        assert done.detail.startswith("NOT FLAT")
        carry(desk)


@pytest.mark.parametrize("crash_after", range(12))
def test_fault_62_crash_after_any_record_of_a_stop_then_carried_to_the_end(tmp_path: Path, crash_after: int) -> None:
    with judged(tmp_path, PERP, ("momentum", "breakout")) as desk:
        trade(desk)
        desk.command(EmergencyStop(None))
        for number in range(60):
            if is_flat(desk):
                break
            if number == crash_after:
                desk.restart()
                assert desk.book.latched
                assert desk.book.stop is not None
            desk.pass_time(0.7)
            desk.bar("100")
        assert is_flat(desk)
        assert steps(desk) == [step.value for step in StopStep]
        assert_truly_flat(desk, tmp_path)


def test_fault_63_pressed_in_two_tabs_then_one_stop_and_both_are_answered(tmp_path: Path) -> None:
    with judged(tmp_path) as desk:
        trade(desk)
        answers = [desk.command(EmergencyStop(None), f"c-{tab}") for tab in range(3)]
        assert [done.status for done in answers if done is not None] == ["done"] * 3
        assert all("already under way" in done.detail for done in answers[1:] if done is not None)
        carry(desk)
        again = desk.command(EmergencyStop(None), "c-9")
        assert again is not None
        assert "VERIFIED FLAT" in again.detail
        assert steps(desk).count(StopStep.LATCHED.value) == 1


def test_fault_66_drawdown_and_peak_then_outlive_a_restart_without_a_checkpoint(tmp_path: Path) -> None:
    with judged(tmp_path, PERP) as desk:
        trade(desk)
        for price in ("110", "120", "130"):
            desk.bar(price)
        desk.want(1.0)
        desk.bar("125")
        peak, drawdown = desk.book.units.peak, desk.book.units.drawdown
        assert drawdown > 0
        desk.journal.checkpoints = desk.journal.checkpoints[:1]
        desk.restart()
        desk.bar("125")
        assert desk.book.units.peak == pytest.approx(peak, rel=D("0.0005"))
        assert desk.book.units.drawdown == pytest.approx(drawdown, abs=D("0.001"))


def test_fault_68_dust_then_recorded_and_reported_as_flat_except_dust(tmp_path: Path) -> None:
    dear = Instrument("v", "BTC", "USDT", Kind.SPOT, D("0.01"), D("0.0001"), D(600))
    desk = Desk(dear, folder=tmp_path)
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100", volume="2100")
    for _ in range(4):
        desk.bar("100", volume="0.001")
    assert 0 < desk.held() * 100 < 20_000
    desk.book.sleeves["momentum"].running = False
    desk.command(EmergencyStop(None))
    for _ in range(10):
        desk.pass_time(1.5)
        desk.bar("100", volume="2040")
    rest = desk.held()
    if rest:
        assert desk.book.stop is not None
        assert desk.book.stop.steps[-1][1].startswith("flat except dust")
    assert is_flat(desk)


def test_fault_68_dust_of_a_small_position_then_no_order_is_sent_for_it(tmp_path: Path) -> None:
    with judged(tmp_path) as desk:
        trade(desk)
        desk.want(0.0)
        desk.bar("100")
        desk.bar("100")
        holding = desk.book.ledger.holdings[("momentum", desk.key)]
        assert holding.quantity == 0
        desk.command(EmergencyStop(None))
        carry(desk)
        assert not any(row.get("purpose") == "flatten" for row in desk.journal.rows)


def test_flatten_when_the_venue_keeps_refusing_then_asks_ever_less_often(tmp_path: Path) -> None:
    with judged(tmp_path) as desk:
        trade(desk)
        desk.venue.faults.plan(Call.SUBMIT, *[Fault.REJECTED] * 500)
        desk.command(EmergencyStop(None))
        for _ in range(600):
            desk.pass_time(0.5)
            desk.stop.drive()
        flattening = [row for row in desk.journal.rows if row.get("purpose") == "flatten"]
        assert 5 < len(flattening) < 25
        assert not is_flat(desk)
        while desk.venue.faults.take(Call.SUBMIT) is not None:
            pass
        desk.pass_time(40)
        carry(desk)
        assert_truly_flat(desk, tmp_path)


def test_order_that_comes_to_light_after_flat_then_reopens_the_stop_and_is_cancelled(tmp_path: Path) -> None:
    desk = Desk(folder=tmp_path)
    trade(desk)
    desk.command(EmergencyStop(None))
    carry(desk)
    late = OrderIntent(
        "t0abcde00010000999", desk.key, Side.BUY, D(1), OrderType.LIMIT, Purpose.ENTRY, "momentum", desk.at, D(100),
        D(90),
    )  # fmt: skip
    desk.venue.submit(Approved(late))
    desk.pass_time(3)
    desk.stop.drive()
    assert not is_flat(desk)
    assert desk.venue.open_orders() == ()
    carry(desk)
    assert steps(desk).count(StopStep.VERIFIED_FLAT.value) == 2


@pytest.mark.parametrize("instrument", [SPOT, PERP])
def test_execution_that_comes_to_light_after_flat_then_reopens_the_stop(tmp_path: Path, instrument: Instrument) -> None:
    with judged(tmp_path, instrument) as desk:
        trade(desk)
        desk.command(EmergencyStop(None))
        carry(desk)
        by_hand = OrderIntent(
            "byhand1", desk.key, Side.BUY, D(2), OrderType.MARKET, Purpose.ENTRY, "external", desk.at, D(100)
        )
        desk.venue.submit(Approved(by_hand))
        desk.bar("100")
        assert not is_flat(desk)
        carry(desk)
        if instrument is PERP:
            assert desk.venue.positions() == ()


def test_brake_when_it_trips_then_is_the_same_stop_as_the_red_button(tmp_path: Path) -> None:
    with judged(tmp_path, PERP, cash="10000") as desk:
        wide = {"max_position_share": D(1), "max_concentration": D(1)}
        desk.book.set_risk(desk.book.risk.model_copy(update=wide))
        desk.want(1.0, "1")
        desk.bar("100")
        desk.bar("100")
        desk.bar("88", high="88", low="88", volume="1200")
        desk.bar("88", volume="1200")
        for _ in range(25):
            desk.pass_time(1.5)
            desk.bar("88")
        if desk.book.latched:
            assert is_flat(desk)
            assert desk.book.state is TradingState.HALTED
        assert desk.book.units.drawdown < D("0.2")


def test_stop_when_prices_are_unknown_after_a_restart_then_flattens_without_them(tmp_path: Path) -> None:
    with judged(tmp_path) as desk:
        trade(desk)
        desk.restart()
        assert desk.book.price(desk.key) is None
        desk.command(EmergencyStop(None))
        for _ in range(5):
            desk.pass_time(1.5)
            desk.stop.drive()
        sent = [row for row in desk.journal.rows if row.get("purpose") == "flatten"]
        assert len(sent) == 1
        assert D(sent[0]["reference_price"]) > 0
        carry(desk)
