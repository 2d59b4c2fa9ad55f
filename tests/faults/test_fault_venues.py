"""Faults of venues and of the way to them: silence, lies, bad prices, missing candles."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from engine.domain.commands import ClosePosition, PlaceOrder, TradingState
from engine.domain.instruments import Instrument, Kind
from engine.domain.market import BookTop, FeedStatus, Quotes
from engine.domain.orders import OrderState, OrderType, Purpose, Side
from engine.exchanges.paper.faults import Call, Fault, OutageMode
from engine.trading.recovery import Reconciler, compare
from tests.faults.judged import judged
from tests.trading.harness import PERP, D, Desk

OTHER = Instrument("w", "BTC", "USDT", Kind.SPOT, D("0.01"), D("0.0001"), D(5))


def entries(desk: Desk) -> list[str]:
    rows = [r for r in desk.journal.rows if r["type"] == "OrderIntent" and r["purpose"] == Purpose.ENTRY.value]
    return [r["instrument"] for r in rows]


def test_fault_24_venue_errors_ten_times_then_entries_stop_there_and_exits_stay_allowed(tmp_path: Path) -> None:
    with judged(tmp_path, others=(OTHER,)) as desk:
        desk.want(1.0)
        desk.bar("100")
        desk.bar("100")
        for _ in range(10):
            desk.book.venue_failed("v", desk.at)
        desk.want(0.2)
        desk.bar("100")
        assert desk.book.venue_state(desk.key) is TradingState.CLOSE_ONLY
        assert desk.book.venue_state(OTHER.key) is desk.book.state is TradingState.ACTIVE
        desk.bar("100")
        desk.want(1.0)
        before = len(entries(desk))
        desk.bar("100")
        assert OTHER.key in entries(desk)[before:]
        assert desk.key not in entries(desk)[before:]
        assert any("close-only" in title for title in desk.notices)
        done = desk.command(ClosePosition("test", "momentum", desk.key, D(1)))
        assert done is not None
        assert done.status == "done"
        desk.bar("100")
        assert desk.held() == 0


@pytest.mark.parametrize("mode", list(OutageMode))
def test_fault_25_venue_out_of_reach_then_no_order_changes_its_state_without_proof(
    tmp_path: Path, mode: OutageMode
) -> None:
    with judged(tmp_path, PERP) as desk:
        desk.want(1.0)
        desk.bar("100")
        desk.bar("100")
        held = desk.held()
        stop = desk.book.tracker.stops("momentum", desk.key)[0]
        desk.venue.set_outage(desk.at + timedelta(minutes=6), mode, seed=3)
        desk.want(0.0)
        for _ in range(4):
            desk.bar("100")
            desk.pass_time(3)
            desk.loop.resolve(everything=True)
        assert desk.held() == held, "what the venue did meanwhile is not known yet"
        assert stop.state in (OrderState.WORKING, OrderState.PENDING_CANCEL)
        for _ in range(8):
            desk.bar("100")
            desk.pass_time(3)
            desk.loop.resolve()
        assert desk.held() == desk.book.ledger.account_position(desk.key) == 0
        assert compare(desk.loop) == []


def test_fault_25_stop_fills_while_the_venue_is_out_of_reach_then_is_booked_on_return(tmp_path: Path) -> None:
    with judged(tmp_path) as desk:
        desk.want(1.0)
        desk.bar("100")
        desk.bar("100")
        desk.venue.set_outage(desk.at + timedelta(minutes=3))
        desk.bar("100", low="80", close="85")
        assert desk.held() > 0
        for _ in range(4):
            desk.bar("85")
        assert desk.held() == 0
        assert [r["purpose"] for r in desk.journal.rows if r["type"] == "OrderIntent"][2:] == []


def test_fault_28_stale_price_then_no_entry_rests_on_it_and_exits_do(tmp_path: Path) -> None:
    with judged(tmp_path, others=(OTHER,)) as desk:
        desk.bar("100")
        desk.command(PlaceOrder("test", desk.key, Side.BUY, D(1), OrderType.MARKET), "c-1")
        desk.bar("100")
        desk.silent = {desk.key}
        for _ in range(3):
            desk.bar("100")
        refused = desk.command(PlaceOrder("test", desk.key, Side.BUY, D(1), OrderType.MARKET), "c-2")
        assert refused is not None
        assert refused.detail.startswith(("price age", "state"))
        closed = desk.command(ClosePosition("test", "manual", desk.key, D(1)), "c-3")
        assert closed is not None
        assert closed.status == "done"
        desk.silent = set()
        desk.bar("100")


def test_fault_28_price_age_alone_then_is_the_rule_that_refuses(tmp_path: Path) -> None:
    with judged(tmp_path, others=(OTHER,)) as desk:
        desk.bar("100")
        desk.silent = {desk.key}
        for _ in range(3):
            desk.bar("100")
        refused = desk.command(PlaceOrder("test", desk.key, Side.BUY, D(1), OrderType.MARKET))
        assert refused is not None
        assert refused.detail.startswith("price age")


def test_fault_30_events_lost_in_a_reconnect_then_fetched_before_they_matter(tmp_path: Path) -> None:
    with judged(tmp_path) as desk:
        watch = Reconciler(desk.loop, desk.clock)
        desk.want(1.0)
        desk.venue.faults.plan(Call.OBSERVE, *[Fault.WITHHELD] * 3)
        for _ in range(3):
            desk.bar("100")
            desk.pass_time(11)
            watch.drive()
        assert desk.booked_fills() == desk.venue_fills() != []
        assert [s.quantity for s in desk.book.tracker.stops("momentum", desk.key)] == [desk.held()]


def test_fault_31_candle_missing_then_no_decision_on_what_did_not_come(tmp_path: Path) -> None:
    with judged(tmp_path) as desk:
        desk.bar("100")
        desk.want(1.0)
        desk.silent = {desk.key}
        desk.bar("100")
        desk.bar("100")
        assert entries(desk) == []
        desk.silent = set()
        desk.bar("100")
        assert entries(desk) == [desk.key]


@pytest.mark.parametrize("price", ["1000", "10"])
def test_fault_32_price_tenfold_for_one_bar_then_neither_bought_nor_valued_at(tmp_path: Path, price: str) -> None:
    with judged(tmp_path, PERP) as desk:
        desk.bar("100")
        desk.want(1.0)
        desk.bar(price)
        assert entries(desk) == []
        assert desk.book.price(desk.key) == D(100)
        assert desk.book.rejected_prices == 1
        desk.bar("100")
        assert entries(desk) == [desk.key]


@pytest.mark.parametrize("bad", ["NaN", "0", "-5", "Infinity", "1E+40"])
def test_fault_32_quote_that_is_no_price_then_refused_and_survived(tmp_path: Path, bad: str) -> None:
    with judged(tmp_path) as desk:
        desk.bar("100")
        at = desk.at + timedelta(seconds=10)
        top = BookTop(desk.key, at, Decimal(bad), Decimal(bad), D(1), D(1))
        desk.loop.step(Quotes(at, (top,)))
        assert desk.book.price(desk.key) == D(100)
        assert desk.book.rejected_prices == 1


def test_fault_32_real_crash_then_believed_once_it_has_been_seen_often_enough(tmp_path: Path) -> None:
    with judged(tmp_path) as desk:
        desk.bar("100")
        for _ in range(4):
            desk.bar("20")
        assert desk.book.price(desk.key) == D(20)


def test_fault_33_no_price_at_all_then_nothing_is_opened(tmp_path: Path) -> None:
    with judged(tmp_path) as desk:
        refused = desk.command(PlaceOrder("test", desk.key, Side.BUY, D(1), OrderType.MARKET))
        assert refused is not None
        assert refused.status == "refused"
        assert desk.venue.open_orders() == ()


def test_fault_34_feed_offline_then_no_entries_there_until_it_is_back(tmp_path: Path) -> None:
    with judged(tmp_path, others=(OTHER,)) as desk:
        desk.bar("100")
        desk.loop.step(FeedStatus("v", desk.at, False, "maintenance"))
        desk.want(1.0)
        desk.bar("100")
        assert entries(desk) == [OTHER.key]
        assert "v is OFFLINE" in desk.notices
        desk.loop.step(FeedStatus("v", desk.at, True, "back"))
        desk.bar("100")
        assert desk.key in entries(desk)


@pytest.mark.parametrize("call", [Call.BALANCES, Call.OPEN_ORDERS, Call.EXECUTIONS])
def test_fault_38_empty_list_as_if_it_were_true_then_nothing_is_concluded_from_it(tmp_path: Path, call: Call) -> None:
    with judged(tmp_path) as desk:
        desk.want(1.0)
        desk.bar("100")
        desk.bar("100")
        held, orders = desk.held(), len(desk.venue.open_orders())
        watch = Reconciler(desk.loop, desk.clock)
        desk.venue.faults.plan(call, Fault.EMPTY)
        for _ in range(3):
            desk.pass_time(11)
            watch.drive()
        assert (desk.held(), len(desk.venue.open_orders())) == (held, orders)
        assert desk.book.state is TradingState.ACTIVE


def test_fault_38_positions_empty_once_then_two_looks_disagree_and_nothing_happens(tmp_path: Path) -> None:
    with judged(tmp_path, PERP) as desk:
        desk.want(1.0)
        desk.bar("100")
        desk.bar("100")
        desk.venue.faults.plan(Call.POSITIONS, Fault.EMPTY)
        assert desk.restart() == ()
        assert desk.book.state is TradingState.ACTIVE
