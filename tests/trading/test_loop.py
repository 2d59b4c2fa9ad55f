"""The loop: durable before sent, believed only with evidence, nothing lost and nothing doubled."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.commands import SetTrading, TradingState
from engine.domain.errors import CannotRecord
from engine.domain.orders import OrderState, Purpose
from engine.exchanges.paper.faults import Call, Fault
from engine.trading.recovery import compare
from tests.trading.harness import PERP, SPOT, D, Desk


def test_entry_when_wanted_then_fills_at_the_next_open_with_its_stop() -> None:
    desk = Desk()
    desk.want(1.0)
    desk.bar("100")
    assert desk.held() == 0
    desk.bar("101")
    assert desk.held() > 0
    stops = desk.book.tracker.stops("momentum", desk.key)
    assert [s.intent.stop_price for s in stops] == [D(90)]
    assert desk.book.tracker.covered(stops[0]) == desk.held()


def test_intent_when_submitted_then_was_durable_before(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    submit = desk.venue.submit
    durable: list[bool] = []

    def watched(approved):  # type: ignore[no-untyped-def]
        rows = [r for r in desk.journal.rows if r["type"] == "OrderIntent"]
        durable.append(any(r["client_id"] == approved.intent.client_id for r in rows))
        return submit(approved)

    monkeypatch.setattr(desk.venue, "submit", watched)
    desk.want(1.0)
    desk.bar("100")
    assert durable == [True, True]


def test_intent_when_it_cannot_be_recorded_then_nothing_is_sent() -> None:
    desk = Desk()
    desk.want(1.0)
    desk.journal.refuse_after = 0
    with pytest.raises(CannotRecord):
        desk.bar("100")
    assert desk.venue.open_orders() == ()


def test_fault_03_ack_lost_then_unknown_until_found_and_never_doubled() -> None:
    desk = Desk()
    desk.venue.faults.plan(Call.SUBMIT, Fault.LOST_AFTER)
    desk.want(1.0)
    desk.bar("100")
    assert desk.book.tracker.has_unknown(desk.key)
    desk.bar("100")
    assert desk.loop.resolve()
    desk.bar("100")
    desk.bar("100")
    assert sorted(desk.booked_fills()) == sorted(desk.venue_fills())
    assert desk.held() > 0
    assert desk.book.tracker.stops("momentum", desk.key), "the position got a stop although its child was never sent"
    assert compare(desk.loop) == []


def test_fault_01_never_arrived_then_abandoned_only_after_two_looks_apart() -> None:
    desk = Desk()
    desk.venue.faults.plan(Call.SUBMIT, Fault.LOST_BEFORE)
    desk.want(1.0)
    desk.bar("100")
    (order,) = [o for o in desk.book.tracker.open_orders() if o.state is OrderState.UNKNOWN]
    desk.want(0.0)
    assert not desk.loop.resolve()
    desk.pass_time(1)
    assert not desk.loop.resolve()
    desk.pass_time(2)
    desk.loop.resolve()
    assert order.state is OrderState.ABANDONED
    assert desk.venue_fills() == []


def test_fault_06_duplicate_fill_event_then_booked_once() -> None:
    desk = Desk()
    desk.want(1.0)
    desk.bar("100")
    desk.venue.faults.plan(Call.OBSERVE, Fault.DUPLICATED)
    desk.bar("100")
    assert sorted(desk.booked_fills()) == sorted(desk.venue_fills())
    assert compare(desk.loop) == []


def test_rejection_three_in_a_row_then_close_only_and_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    desk.venue.faults.plan(Call.SUBMIT, Fault.REJECTED, Fault.REJECTED, Fault.REJECTED, Fault.REJECTED)
    desk.want(1.0)
    for _ in range(5):
        desk.bar("100")
    assert desk.book.state.value == "CLOSE_ONLY"
    assert any("failed trades" in title for title in desk.notices)
    desk.command(SetTrading("test", TradingState.ACTIVE))
    assert "Entries are allowed again" in desk.notices
    desk.bar("100")
    assert desk.book.state is TradingState.ACTIVE


def test_stopped_out_then_waits_until_the_conviction_has_gone() -> None:
    desk = Desk()
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    desk.bar("100", low="80", close="85")
    assert desk.held() == 0
    desk.bar("85")
    desk.bar("85")
    assert desk.held() == 0
    desk.want(0.0)
    desk.bar("85")
    desk.want(1.0)
    desk.bar("85")
    desk.bar("85")
    assert desk.held() > 0


def test_flip_then_goes_to_zero_before_the_other_side() -> None:
    desk = Desk(PERP)
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    assert desk.held() > 0
    desk.want(-1.0)
    desk.bar("100")
    desk.bar("100")
    assert desk.held() == 0
    desk.bar("100")
    assert desk.held() < 0
    assert compare(desk.loop) == []


def test_spot_when_conviction_is_negative_then_holds_nothing() -> None:
    desk = Desk(SPOT)
    desk.want(-1.0)
    desk.bar("100")
    desk.bar("100")
    assert desk.held() == 0


def test_exit_when_the_target_falls_then_stop_and_position_end_together() -> None:
    desk = Desk()
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    desk.want(0.0)
    desk.bar("100")
    desk.bar("100")
    assert desk.held() == 0
    assert desk.venue.open_orders() == ()
    balances = {b.currency: b.total for b in desk.venue.balances()}
    assert balances["BTC"] == D("0.5"), "the trader's own coins are never sold"


def test_opposite_sleeves_then_their_sum_is_the_account() -> None:
    desk = Desk(PERP, ("momentum", "breakout"))
    desk.want(1.0)
    desk.want(-0.5, sleeve="breakout")
    desk.bar("100")
    desk.bar("100")
    assert desk.held("momentum") > 0 > desk.held("breakout")
    assert desk.held("momentum") + desk.held("breakout") == desk.venue.positions()[0].quantity
    assert compare(desk.loop) == []


def test_strategy_when_it_keeps_failing_then_is_quarantined_and_its_position_keeps_its_stop() -> None:
    desk = Desk()
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    desk.script.error = ValueError("broken")
    for _ in range(4):
        desk.bar("100")
    assert desk.book.sleeves["momentum"].quarantined.startswith("ValueError")
    assert desk.held() > 0
    assert desk.book.tracker.stops("momentum", desk.key)
    assert any("quarantined" in title for title in desk.notices)


STEPS = st.lists(
    st.tuples(st.sampled_from([1.0, 0.5, 0.0, -1.0]), st.integers(80, 125), st.integers(0, 12), st.booleans()),
    min_size=4,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.sampled_from([SPOT, PERP]))
def test_crash_at_any_step_then_nothing_is_lost_or_doubled(steps: list, instrument) -> None:  # type: ignore[no-untyped-def]
    desk = Desk(instrument, ("momentum", "breakout"))
    for number, (conviction, price, wick, crash) in enumerate(steps):
        desk.want(conviction, "5", "momentum" if number % 3 else "breakout")
        desk.bar(str(price), high=str(price + wick), low=str(price - wick), close=str(price), volume="40000")
        if crash:
            assert desk.restart() == ()
    desk.bar("100")
    assert sorted(desk.booked_fills()) == sorted(desk.venue_fills())
    assert compare(desk.loop) == []
    sleeves = desk.book.ledger.sleeves.values()
    made = sum((t.realised - t.fees + t.funding for t in sleeves), Decimal(0))
    price = desk.book.price(desk.key)
    assert price is not None
    equity = desk.book.ledger.equity(desk.book.price)
    assert equity == desk.book.ledger.capital + made + desk.book.ledger.unrealised(desk.book.price)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 60), st.sampled_from([SPOT, PERP]))
def test_crash_between_any_two_records_then_books_and_venue_agree(cut: int, instrument) -> None:  # type: ignore[no-untyped-def]
    desk = Desk(instrument)
    desk.journal.refuse_after = len(desk.journal.rows) + cut
    views = [1.0, 1.0, 0.5, 1.0, 0.0, 1.0, -1.0, -1.0, 0.0, 1.0]
    for number, conviction in enumerate(views):
        desk.want(conviction, "5")
        try:
            desk.bar(str(100 + number), low=str(96 + number), close=str(100 + number), volume="40000")
        except CannotRecord:
            desk.journal.refuse_after = None
            assert desk.restart() == ()
    desk.journal.refuse_after = None
    desk.bar("100")
    assert sorted(desk.booked_fills()) == sorted(desk.venue_fills())
    assert compare(desk.loop) == []
    for order in desk.book.tracker.open_orders():
        assert order.intent.purpose is not Purpose.ENTRY or order.state is OrderState.WORKING
