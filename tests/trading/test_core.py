"""The core: one event in, the whole outcome out, and what a crash may make it forget (nothing that was a fact)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from engine.domain.commands import (
    ClosePosition,
    EmergencyStop,
    PlaceOrder,
    Rearm,
    SetStrategy,
    SetTrading,
    TradingState,
)
from engine.domain.facts import SleeveConfigured
from engine.domain.instruments import Instrument, Kind
from engine.domain.market import Bars, FundingRate
from engine.domain.orders import (
    Approved,
    CashFlow,
    Fill,
    Liquidity,
    OrderIntent,
    OrderState,
    OrderType,
    OrderUpdate,
    Purpose,
    Side,
)
from engine.exchanges.paper.faults import Call, Fault
from engine.risk.allocation import AllocationMethod
from engine.trading.records import DayStart
from engine.trading.recovery import compare
from engine.trading.report import report
from tests.trading.harness import PERP, SPOT, START, D, Desk

ETH = Instrument("v", "ETH", "USDT", Kind.SPOT, D("0.01"), D("0.0001"), D(5))


def holding(instrument: Instrument = SPOT, **more: object) -> Desk:
    desk = Desk(instrument, **more)  # type: ignore[arg-type]
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    assert desk.held() > 0
    return desk


def stop_sizes(desk: Desk) -> list[Decimal]:
    return [stop.quantity for stop in desk.book.tracker.stops("momentum", desk.key)]


def on_the_venue(desk: Desk, side: Side, quantity: str) -> None:
    """The trader's own order, placed past the engine."""
    intent = OrderIntent(
        "byhand1", desk.key, side, D(quantity), OrderType.MARKET, Purpose.ENTRY, "external", desk.at, D(100)
    )
    desk.venue.submit(Approved(intent))


# -- prices ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("close", ["1000", "10"])
def test_bar_when_its_price_jumps_tenfold_then_neither_marks_nor_decides(close: str) -> None:
    desk = Desk()
    desk.bar("100")
    desk.want(1.0)
    desk.bar(close)
    assert desk.book.price(desk.key) == D(100)
    assert len(desk.book.windows[desk.key]) == 1
    assert desk.venue.open_orders() == ()


def test_bar_when_older_than_the_last_then_decides_nothing_and_turns_no_day() -> None:
    desk = Desk()
    desk.bar("100")
    desk.loop.step(Bars(START + timedelta(days=1), ()))
    before = desk.book.units.state()
    desk.loop.step(Bars(START + timedelta(hours=1), ()))
    assert desk.book.units.state() == before
    assert desk.book.now == START + timedelta(days=1)


def test_fault_67_mark_of_a_holding_goes_stale_then_close_only_until_it_is_back() -> None:
    desk = holding(others=(ETH,))
    desk.silent = {ETH.key}
    for _ in range(6):
        desk.bar("100")
    assert desk.book.state is TradingState.CLOSE_ONLY
    assert not desk.book.latched
    assert "Entries are allowed again" not in desk.notices
    desk.silent = set()
    desk.bar("100")
    assert desk.book.state is TradingState.ACTIVE
    assert "Entries are allowed again" in desk.notices  # which ends the alert of its key


def test_fault_67_one_bad_mark_when_confirmation_is_asked_for_then_nothing_is_sold() -> None:
    desk = Desk(PERP, cash="10000")
    wide = {"max_position_share": D(1), "max_concentration": D(1), "brake_confirm_s": 120}
    desk.book.set_risk(desk.book.risk.model_copy(update=wide))
    desk.want(1.0, "1")
    desk.bar("100")
    desk.bar("100")
    for stop in desk.book.tracker.stops("momentum", desk.key):
        desk.venue.cancel(stop.intent.client_id)
    desk.bar("88")
    assert desk.book.state is TradingState.CLOSE_ONLY
    desk.bar("100")
    assert desk.book.state is TradingState.ACTIVE
    assert desk.held() > 0
    assert not any(row.get("purpose") == "flatten" for row in desk.journal.rows)


# -- protection --------------------------------------------------------------------------------------------------------


def test_stop_when_lost_while_halted_then_is_sent_again() -> None:
    desk = holding()
    desk.command(SetTrading("test", TradingState.HALTED))
    for stop in desk.book.tracker.stops("momentum", desk.key):
        desk.loop.take([desk.venue.cancel(stop.intent.client_id)], desk.at)
    desk.bar("100")
    assert stop_sizes(desk) == [desk.held()]


def test_stop_when_the_venue_refuses_it_then_is_tried_again_until_it_stands() -> None:
    desk = holding()
    desk.venue.faults.plan(Call.SUBMIT, Fault.UNREACHABLE, Fault.REJECTED)
    for stop in desk.book.tracker.stops("momentum", desk.key):
        desk.loop.take([desk.venue.cancel(stop.intent.client_id)], desk.at)
    desk.loop.protect()
    assert stop_sizes(desk) == []
    desk.loop.protect()
    desk.loop.protect()
    assert stop_sizes(desk) == [desk.held()]


def test_stop_when_left_over_from_the_other_direction_then_protects_nothing_and_goes() -> None:
    desk = Desk(PERP)
    desk.want(-1.0)
    desk.bar("100")
    desk.bar("100")
    old = OrderIntent(
        "t0abcde00010000900", desk.key, Side.SELL, D(5), OrderType.STOP, Purpose.STOP, "momentum", desk.at, D(100),
        stop_price=D(80),
    )  # fmt: skip
    desk.loop.take([old, desk.venue.submit(Approved(old))], desk.at)
    desk.book.stop_prices[("momentum", desk.key)] = D(110)
    desk.loop.protect()
    left = {update.client_id for update in desk.venue.open_orders()}
    assert old.client_id not in left
    assert stop_sizes(desk) == [-desk.held()]


@pytest.mark.parametrize("instrument", [SPOT, PERP])
@pytest.mark.parametrize("lost", [Fault.LOST_BEFORE, Fault.LOST_AFTER, Fault.UNREACHABLE])
def test_fault_20_exit_when_its_stop_cannot_be_withdrawn_then_is_not_sent_beside_it(
    instrument: Instrument, lost: Fault
) -> None:
    desk = holding(instrument)
    held = desk.held()
    desk.venue.faults.plan(Call.CANCEL, lost)
    desk.want(0.0)
    desk.bar("100")
    exits = [row for row in desk.journal.rows if row["type"] == "OrderUpdate" and row["state"] == "abandoned"]
    assert [row["reason"] for row in exits] == ["not sent: its stop may still sell the same"]
    desk.bar("100", low="85", close="88")
    for _ in range(4):
        desk.pass_time(3)
        desk.loop.resolve()
        desk.bar("88")
    assert desk.held() == desk.book.ledger.account_position(desk.key) == 0
    sold = sum(D(row["quantity"]) for row in desk.journal.rows if row["type"] == "Fill" and row["side"] == "sell")
    assert sold == held
    assert {b.currency: b.total for b in desk.venue.balances()}["BTC"] == D("0.5")


def test_fault_11_stop_when_the_venue_knows_it_no_more_then_the_exit_is_not_held_up() -> None:
    desk = holding()
    stop = desk.book.tracker.stops("momentum", desk.key)[0]
    desk.venue.cancel(stop.intent.client_id)
    desk.venue.faults.plan(Call.CANCEL, Fault.NOT_FOUND)
    desk.venue.faults.plan(Call.ORDER, Fault.NOT_FOUND)
    desk.want(0.0)
    desk.bar("100")
    desk.bar("100")
    assert stop.state is OrderState.CANCELLED
    assert desk.held() == 0


def test_position_that_no_decision_opened_then_is_closed_because_no_stop_is_known() -> None:
    desk = holding(PERP)
    desk.book.sleeves["momentum"].running = False
    for stop in desk.book.tracker.stops("momentum", desk.key):
        desk.loop.take([desk.venue.cancel(stop.intent.client_id)], desk.at)
    desk.book.stop_prices.clear()
    desk.bar("100")
    desk.bar("100")
    assert desk.held() == 0


def test_close_when_its_entry_still_fills_then_withdraws_the_entry_first() -> None:
    desk = Desk()
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100", volume="400")
    held = desk.held()
    assert 0 < held < 100
    desk.want(0.0)
    done = desk.command(ClosePosition("test", "momentum", desk.key, D(1)))
    assert done is not None
    assert done.status == "done", done.detail
    desk.bar("100", volume="100000")
    assert desk.held() == 0
    assert desk.venue.open_orders() == ()


def test_stop_price_when_the_entry_is_refused_then_is_the_old_one() -> None:
    desk = holding()
    before = dict(desk.book.stop_prices)
    desk.book.set_risk(desk.book.risk.model_copy(update={"max_orders_per_minute": 1}))
    desk.book.entry_times.append(desk.at + timedelta(seconds=60))
    desk.book.sleeves["momentum"].weight = D(3)
    desk.want(1.0, "1")
    desk.bar("100")
    assert [refused.rule for refused in desk.book.refused] == ["order rate"]
    assert desk.book.stop_prices == before


# -- states ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [TradingState.CLOSE_ONLY, TradingState.HALTED])
def test_entry_when_working_as_the_book_stops_opening_then_is_withdrawn(state: TradingState) -> None:
    desk = Desk()
    desk.want(1.0)
    desk.bar("100")
    desk.command(PlaceOrder("test", desk.key, Side.BUY, D(1), OrderType.LIMIT, D(98)), "c-1")
    desk.command(SetTrading("test", state), "c-2")
    desk.bar("100", low="90", close="95")
    desk.bar("95")
    assert desk.booked_fills() == desk.venue_fills() == []
    assert desk.venue.open_orders() == ()


def test_entry_when_its_cancellation_is_lost_then_is_asked_for_again_while_halted() -> None:
    desk = Desk()
    desk.bar("100")
    desk.command(PlaceOrder("test", desk.key, Side.BUY, D(1), OrderType.LIMIT, D(98)), "c-1")
    desk.venue.faults.plan(Call.CANCEL, Fault.LOST_BEFORE)
    desk.command(SetTrading("test", TradingState.HALTED), "c-2")
    desk.bar("100")
    desk.bar("97", low="90", close="95")
    assert desk.held("manual") == 0
    assert desk.venue.open_orders() == ()


def test_entry_of_a_strategy_when_paused_then_is_withdrawn() -> None:
    desk = Desk()
    desk.want(1.0)
    desk.bar("100")
    desk.command(SetStrategy("test", "momentum", False))
    desk.bar("100")
    assert desk.venue_fills() == []


def test_late_bars_when_catching_up_then_stops_fill_and_nothing_is_opened() -> None:
    desk = holding()
    desk.book.catching_up = True
    desk.bar("100", low="85", close="88")
    desk.want(0.0)
    desk.bar("88")
    desk.want(1.0)
    desk.bar("88")
    assert desk.held() == 0
    assert [r["purpose"] for r in desk.journal.rows if r["type"] == "OrderIntent"] == ["entry", "stop"]


def test_fault_55_strategy_when_quarantined_then_stays_so_after_a_crash_and_a_new_allocation() -> None:
    desk = holding()
    desk.script.error = AttributeError("broken")
    for _ in range(3):
        desk.bar("100")
    desk.script.error = None
    desk.restart()
    assert not desk.book.sleeves["momentum"].running
    desk.want(0.0)
    desk.bar("100")
    desk.bar("100")
    assert desk.held() > 0
    desk.command(SetStrategy("test", "momentum", True))
    desk.bar("100")
    desk.bar("100")
    assert desk.held() == 0


def test_failed_trades_when_tripped_then_the_count_stays_over_a_crash_until_the_book_is_active() -> None:
    desk = Desk()
    desk.venue.faults.plan(Call.SUBMIT, *[Fault.REJECTED] * 3)
    desk.want(1.0)
    for _ in range(5):
        desk.bar("100")
    assert desk.book.state is TradingState.CLOSE_ONLY
    desk.restart()
    assert desk.book.failed_trades.in_a_row == 3
    desk.command(SetTrading("test", TradingState.ACTIVE))
    assert desk.book.failed_trades.in_a_row == 0
    desk.restart()
    assert desk.book.failed_trades.in_a_row == 0


def test_stop_out_when_left_behind_before_a_crash_then_the_new_position_is_kept() -> None:
    desk = holding()
    desk.bar("100", low="80", close="85")
    desk.want(0.0)
    desk.bar("85")
    desk.want(1.0)
    desk.bar("85")
    desk.bar("85")
    held = desk.held()
    assert held > 0
    assert desk.restart() == ()
    for _ in range(3):
        desk.bar("85")
    assert desk.held() == held


# -- what others do ----------------------------------------------------------------------------------------------------


def test_fault_16_liquidated_position_then_the_loss_is_its_strategys_and_no_stop_is_left() -> None:
    desk = holding(PERP)
    held = desk.held()
    fill = Fill(
        "v", "main", "v-liq", "liq9", "v-o9", desk.key, Side.SELL, held, D(95), D(1), "USDT", Liquidity.TAKER, desk.at
    )
    desk.loop.take([fill], desk.at)
    desk.loop.protect()
    assert desk.held() == desk.held("external") == desk.book.ledger.account_position(desk.key) == 0
    assert desk.book.ledger.sleeves["momentum"].realised < -4 * held
    assert stop_sizes(desk) == []
    desk.want(0.0)
    desk.bar("95")
    assert "An execution that is not ours" in desk.notices


def test_fault_15_manual_trade_in_a_derivative_then_reduces_who_held_it() -> None:
    desk = holding(PERP)
    held = desk.held()
    on_the_venue(desk, Side.SELL, "1")
    desk.bar("100")
    assert desk.held() == held - 1
    assert stop_sizes(desk) == [held - 1]
    assert compare(desk.loop) == []


def test_fault_15_manual_sale_of_the_traders_own_coins_then_touches_no_strategy_and_the_stop_ends_flat() -> None:
    desk = holding()
    held = desk.held()
    on_the_venue(desk, Side.SELL, "0.2")
    desk.bar("100")
    assert desk.held() == held
    assert desk.book.external[("v", "BTC")] == D("0.3")
    assert compare(desk.loop) == []
    desk.command(EmergencyStop(None))
    for _ in range(12):
        desk.pass_time(1.5)
        desk.bar("100")
    assert desk.book.stop is not None
    assert desk.book.stop.is_flat
    assert {b.currency: b.total for b in desk.venue.balances()}["BTC"] == D("0.3")


def test_fault_15_manual_sale_of_the_engines_coins_then_is_charged_to_who_held_them() -> None:
    desk = holding()
    held = desk.held()
    on_the_venue(desk, Side.SELL, "1.5")
    desk.bar("100")
    assert desk.held() == held - 1
    assert stop_sizes(desk) == [held - 1]
    assert compare(desk.loop) == []


def test_fault_14_overfill_then_is_booked_told_and_covered() -> None:
    desk = Desk(PERP)
    desk.want(1.0)
    desk.bar("100")
    entry = next(o for o in desk.book.tracker.open_orders() if o.intent.purpose is Purpose.ENTRY)
    size = entry.quantity + 3
    client_id = entry.intent.client_id
    fill = Fill(
        "v", "main", "v-77", client_id, "v-o1", desk.key, Side.BUY, size, D(100), D(0), "USDT", Liquidity.TAKER, desk.at
    )
    desk.venue.faults.plan(Call.OBSERVE, Fault.WITHHELD)
    desk.loop.take([fill], desk.at)
    desk.bar("100")
    assert desk.held() == size
    assert sum(stop_sizes(desk)) == size
    assert "A venue filled too much" in desk.notices


@pytest.mark.parametrize("ended", [OrderState.REJECTED, OrderState.ABANDONED])
def test_fill_when_its_order_was_believed_never_placed_then_the_order_lives(ended: OrderState) -> None:
    desk = Desk(PERP)
    desk.want(1.0)
    desk.bar("100")
    entry = next(o for o in desk.book.tracker.open_orders() if o.intent.purpose is Purpose.ENTRY)
    client_id = entry.intent.client_id
    entry.state = OrderState.UNKNOWN
    desk.loop.take([OrderUpdate(client_id, "v", desk.key, ended, D(0), desk.at)], desk.at)
    assert entry.state is ended
    fill = Fill(
        "v", "main", "v-77", client_id, "v-o1", desk.key, Side.BUY, D(1), D(100), D(0), "USDT", Liquidity.TAKER, desk.at
    )
    desk.loop.take([fill], desk.at)
    assert not entry.state.is_final
    assert entry.remaining == entry.quantity - 1
    assert desk.held() == 1


# -- money -------------------------------------------------------------------------------------------------------------


def test_capital_when_given_then_neither_peak_nor_profit_sees_it() -> None:
    desk = holding(PERP)
    desk.bar("101")
    before = (desk.book.units.value, desk.book.units.peak, desk.book.units.pnl())
    desk.loop.fund([CashFlow("v", "more", "USDT", D(50_000), desk.at, "more capital")])
    assert (desk.book.units.value, desk.book.units.peak) == pytest.approx(before[:2], rel=D("1e-20"))
    assert desk.book.equity == pytest.approx(D(150_000), rel=D("0.02"))
    desk.restart()
    desk.bar("101")
    assert desk.book.units.value == pytest.approx(before[0], rel=D("0.001"))


def test_capital_when_the_crash_follows_its_record_then_the_brake_still_has_its_units() -> None:
    desk = Desk()
    desk.journal.rows = desk.journal.rows[: desk.journal.kinds().index("EquityMark") + 1]
    desk.journal.checkpoints = []
    desk.restart()
    desk.bar("100")
    assert desk.book.units.units == D(100_000)
    assert desk.book.units.value == 1


def test_funding_when_longer_than_ordinary_arithmetic_then_books_and_venue_agree_to_the_last_digit() -> None:
    desk = holding(PERP)
    desk.loop.step(FundingRate(desk.key, desk.at, D("0.00012345678901234567891"), D("100.0123456789")))
    desk.bar("100")
    assert compare(desk.loop) == []


def test_funding_when_thousands_were_paid_then_asking_again_books_none_twice() -> None:
    desk = holding(PERP)
    for number in range(2100):
        desk.loop.step(FundingRate(desk.key, desk.at + timedelta(milliseconds=number), D("0.0001"), D(100)))
    booked = desk.book.ledger.sleeves["momentum"].funding
    desk.loop.pull()
    assert desk.book.ledger.sleeves["momentum"].funding == booked
    assert compare(desk.loop) == []
    assert len(desk.book.payments) <= 2000


def test_snapshot_when_just_restarted_then_shows_the_last_equity_and_not_zero() -> None:
    desk = holding()
    equity = desk.book.equity
    assert equity is not None
    desk.restart()
    shown = report(desk.book, (), desk.at, 1)
    assert shown.equity == pytest.approx(equity, rel=D("0.01"))
    assert shown.unpriced == (desk.key,)


def test_rearm_when_equity_is_unknown_then_the_new_peak_survives_a_crash() -> None:
    desk = holding()
    desk.book.units.peak = D(2)
    desk.command(EmergencyStop(None))
    for _ in range(12):
        desk.pass_time(1.5)
        desk.bar("100")
    desk.book.equity = None
    done = desk.command(Rearm("test"), "c-2")
    assert done is not None
    assert done.status == "done"
    desk.restart()
    assert desk.book.units.drawdown == 0
    assert not desk.book.latched


# -- shares of the capital ---------------------------------------------------------------------------------------------


def performing(method: AllocationMethod) -> Desk:
    desk = Desk(sleeves=("momentum", "breakout"))
    desk.book.allocation = method
    for sleeve in desk.book.sleeves.values():
        sleeve.weight = D("0.30")
    desk.bar("100")
    for day in range(1, 41):
        up, down = (D("0.01"), D("-0.01")) if day % 3 else (D("-0.002"), D("0.002"))
        at = START.date() + timedelta(days=day)
        ends = {"momentum": (D(day), up), "breakout": (D(day), down)}
        desk.book.records.starts = {name: DayStart(pnl, D(100)) for name, (pnl, _) in ends.items()}
        desk.book.records.turn(at, {name: DayStart(pnl + r * 100, D(100)) for name, (pnl, r) in ends.items()})
    desk.book.records.starts = {name: DayStart(D(0), D(100)) for name in desk.book.sleeves}
    return desk


def test_day_when_it_turns_then_weights_follow_the_record_and_deploy_as_much_as_before() -> None:
    desk = performing(AllocationMethod.PERFORMANCE)
    desk.loop.step(Bars(START + timedelta(days=41), ()))
    weights = {name: sleeve.weight for name, sleeve in desk.book.sleeves.items()}
    assert weights["momentum"] > D("0.30") > weights["breakout"] > 0
    assert sum(weights.values()) == D("0.60")
    rows = [row for row in desk.journal.rows if row["type"] == "SleeveConfigured"][-2:]
    assert {row["strategy"]: D(row["weight"]) for row in rows} == weights
    desk.restart()
    assert {name: sleeve.weight for name, sleeve in desk.book.sleeves.items()} == weights


def test_day_when_it_turns_with_fixed_weights_then_only_the_record_grows() -> None:
    desk = performing(AllocationMethod.FIXED)
    days, rows = len(desk.book.records.returns["momentum"]), len(desk.journal.rows)
    desk.loop.step(Bars(START + timedelta(days=41), ()))
    assert [sleeve.weight for sleeve in desk.book.sleeves.values()] == [D("0.30"), D("0.30")]
    assert len(desk.book.records.returns["momentum"]) == days + 1
    assert desk.journal.kinds()[rows:] == ["EquityMark"]


def test_day_when_it_turned_then_the_next_checkpoint_is_due_at_once() -> None:
    desk = Desk()
    desk.bar("100")
    desk.loop.maybe_checkpoint()
    before = len(desk.journal.checkpoints)
    desk.loop.step(Bars(START + timedelta(days=2), ()))
    desk.loop.maybe_checkpoint()
    assert len(desk.journal.checkpoints) == before + 1


def test_strategy_when_past_its_drawdown_then_opens_nothing_and_the_other_one_does() -> None:
    desk = Desk(PERP, ("momentum", "breakout"))
    desk.bar("100")
    desk.book.sleeve_peaks["momentum"] = D(20_000)
    desk.want(1.0)
    desk.want(0.5, sleeve="breakout")
    desk.bar("100")
    desk.bar("100")
    assert desk.held() == 0
    assert desk.held("breakout") > 0
    assert {(r.sleeve, r.rule) for r in desk.book.refused} == {("momentum", "drawdown")}


def test_sleeve_when_configured_for_another_universe_then_keeps_its_ideas() -> None:
    desk = holding()
    sleeve = desk.book.sleeves["momentum"]
    desk.loop.take([SleeveConfigured("momentum", True, sleeve.values, (), D(1), desk.at)], desk.at)
    assert desk.book.sleeves["momentum"].ideas is sleeve.ideas


def test_exit_when_a_stop_is_told_filled_before_its_first_execution_then_nothing_is_sold_twice() -> None:
    desk = Desk(SPOT)
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    own = _coins(desk) - desk.held()
    desk.venue.faults.plan(Call.OBSERVE, Fault.WITHHELD)
    desk.bar("100", low="85", close="88", volume="40")  # the stop sells a part, and nobody is told
    desk.want(0.0)
    for _ in range(5):
        desk.bar("88")
    assert _coins(desk) == own > 0


def _coins(desk: Desk) -> Decimal:
    return next(b.total for b in desk.venue.balances() if b.currency == "BTC")
