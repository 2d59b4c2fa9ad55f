"""What the trader, or the venue itself, does at a real account: his money, his orders, liquidations."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.commands import CancelOrder, EmergencyStop, PlaceOrder, SetTrading, TradingState
from engine.domain.facts import StateChanged
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import (
    CashFlow,
    Fill,
    FillCause,
    FundingPaid,
    Liquidity,
    OrderIntent,
    OrderType,
    Purpose,
    Side,
)
from engine.domain.portfolio import VenuePosition
from engine.trading.config import StopScope
from engine.trading.core import BRAKE_WAIT
from engine.trading.exposure import coin_exposure, free_quote, gross_exposure
from engine.trading.external import TAKEN_FROM_ENGINE
from engine.trading.recovery import compare, take_baseline
from engine.trading.report import report
from tests.trading.harness import PERP, SPOT, D, Desk
from tests.trading.real_desk import RealDesk

ETH_PERP = InstrumentKey("v:ETH/USDT:USDT")


def fill_of(desk: Desk, key: InstrumentKey, side: Side, quantity: str, price: str, number: str = "x1") -> Fill:
    return Fill(
        "v", "main", number, f"mine-{number}", f"o-{number}", key, side, D(quantity), D(price), D(0), "USDT",
        Liquidity.TAKER, desk.at,
    )  # fmt: skip


def holding(instrument=SPOT) -> RealDesk:  # type: ignore[no-untyped-def]
    desk = RealDesk(instrument)
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    desk.turn(31)
    assert desk.held() > 0
    return desk


# -- deposits and withdrawals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("coin", "amount"), [("USDT", "500"), ("BTC", "0.25"), ("DOGE", "1000"), ("BTC", "-0.25")])
def test_flow_when_the_venue_tells_it_then_it_is_the_traders_own_and_booked_once(coin: str, amount: str) -> None:
    desk = holding()
    equity, capital = desk.book.ledger.equity(desk.book.price), desk.book.ledger.capital
    before = desk.book.external.get(("v", coin), D(0))
    desk.wire.flow(coin, amount)
    desk.turn(31, times=3)
    assert desk.book.external["v", coin] == before + D(amount)
    assert (desk.book.ledger.equity(desk.book.price), desk.book.ledger.capital) == (equity, capital)
    assert desk.journal.kinds().count("CashFlow") == 2
    assert desk.notices.count("Money of your own moved") == 1
    assert compare(desk.loop) == []
    assert desk.book.state is TradingState.ACTIVE


def test_flow_when_read_back_after_a_crash_then_booked_once() -> None:
    desk = holding()
    desk.wire.flow("USDT", "500")
    desk.turn(31)
    assert desk.restart() == ()
    assert desk.book.external["v", "USDT"] == 500


def test_withdrawal_when_it_takes_the_engines_money_then_told_critically_and_nothing_is_opened() -> None:
    desk = holding()
    equity, capital = desk.book.ledger.equity(desk.book.price), desk.book.ledger.capital
    desk.wire.flow("USDT", "-1000")
    desk.turn(31)
    assert desk.book.state is TradingState.CLOSE_ONLY
    assert "Money of the engine was withdrawn" in desk.notices
    assert (desk.book.ledger.equity(desk.book.price), desk.book.ledger.capital) == (equity, capital)
    cash = desk.book.ledger.balances["v", "USDT"]
    assert free_quote(desk.book, SPOT) <= cash - 1000
    assert compare(desk.loop) == []
    assert desk.restart() == ()
    assert desk.book.state is TradingState.CLOSE_ONLY


def test_withdrawal_when_the_book_waited_for_what_ends_by_itself_then_a_person_has_to_look() -> None:
    desk = holding()
    desk.loop.take([StateChanged(TradingState.CLOSE_ONLY, False, BRAKE_WAIT, desk.at)], desk.at)
    desk.wire.flow("USDT", "-1000")
    desk.turn(31)
    assert TAKEN_FROM_ENGINE in desk.book.state_reason
    desk.bar("100")
    desk.turn(31)
    assert desk.book.state is TradingState.CLOSE_ONLY


def test_capital_when_given_then_it_is_none_of_the_traders_own() -> None:
    desk = Desk()
    desk.loop.fund([CashFlow("v", "more", "USDT", D(5), desk.at, "capital")])
    assert desk.book.ledger.capital == 100_005
    assert ("v", "USDT") not in desk.book.external


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["flow", "his", "engine"]),
            st.sampled_from(["USDT", "BTC", "BNB"]),
            st.integers(-500, 500).filter(bool),
        ),
        max_size=12,
    )
)
def test_own_money_whatever_moves_then_books_are_the_venue_and_flows_no_result(
    steps: list[tuple[str, str, int]],
) -> None:
    desk = Desk(PERP, others=(SPOT,))
    there = {coin: total(desk, coin) for coin in ("USDT", "BTC", "BNB")}
    for number, (what, coin, size) in enumerate(steps):
        equity = desk.book.ledger.equity(lambda _: D(100))
        amount = D(size) / 100
        if what == "flow":
            desk.loop.take([CashFlow("v", f"f{number}", coin, amount, desk.at, "by hand", own=True)], desk.at)
            there[coin] += amount
            assert desk.book.ledger.equity(lambda _: D(100)) == equity
            continue
        side = Side.BUY if size > 0 else Side.SELL
        fill = fill_of(desk, SPOT.key, side, str(abs(amount)), "100", f"n{number}")
        if what == "engine":
            client_id = desk.book.ids.next()
            intent = OrderIntent(
                client_id, SPOT.key, side, abs(amount), OrderType.MARKET, Purpose.ENTRY, "manual", desk.at, D(100)
            )
            desk.loop.take([intent], desk.at)
            fill = replace(fill, client_id=client_id)
        desk.loop.take([fill], desk.at)
        there["BTC"] += amount
        there["USDT"] -= amount * 100
    assert {coin: total(desk, coin) for coin in there} == there
    assert desk.book.ledger.capital == 100_000


def total(desk: Desk, coin: str) -> Decimal:
    """What the books say the venue holds."""
    return desk.book.ledger.balances.get(("v", coin), D(0)) + desk.book.external.get(("v", coin), D(0))


# -- what the venue does by itself -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", [FillCause.LIQUIDATION, FillCause.DELEVERAGING])
def test_fault_16_liquidation_then_booked_with_its_reason_and_nothing_is_opened_for_a_day(cause: FillCause) -> None:
    desk = holding(PERP)
    held = desk.held()
    forced = replace(fill_of(desk, desk.key, Side.SELL, str(held), "80"), cause=cause)
    desk.loop.take([forced], desk.at)
    desk.loop.protect()
    desk.loop.tell_news()
    assert desk.held() == 0
    assert f"v closed a position: {cause.value}" in desk.notices
    assert desk.book.tracker.stops("momentum", desk.key) == []
    refused = desk.order_by_hand()
    assert "was liquidated" in refused.detail
    desk.at += timedelta(hours=24)
    desk.book.reach(desk.at)
    assert desk.book.outside.why_closed(desk.key, desk.at) == ""


def test_fault_16_cool_down_when_the_engine_restarts_then_lasts_on() -> None:
    desk = holding(PERP)
    forced = replace(fill_of(desk, desk.key, Side.SELL, str(desk.held()), "80"), cause=FillCause.LIQUIDATION)
    desk.loop.take([forced], desk.at)
    desk._build()
    desk.loop.load()
    assert "was liquidated" in desk.book.outside.why_closed(desk.key, desk.at)
    desk.loop.maybe_checkpoint(force=True)
    desk._build()
    desk.loop.load()
    assert "was liquidated" in desk.book.outside.why_closed(desk.key, desk.at)


def test_settlement_then_booked_and_told_but_nothing_cools_down() -> None:
    desk = holding(PERP)
    settled = replace(fill_of(desk, desk.key, Side.SELL, str(desk.held()), "100"), cause=FillCause.SETTLEMENT)
    desk.loop.take([settled], desk.at)
    desk.loop.tell_news()
    assert "v closed a position: settlement" in desk.notices
    assert desk.book.outside.cooling == {}


# -- derivatives that the book does not trade --------------------------------------------------------------------------


def test_trade_in_a_foreign_derivative_then_its_result_and_funding_are_the_traders_own() -> None:
    desk = holding(PERP)
    own, equity = desk.book.external.get(("v", "USDT"), D(0)), desk.book.ledger.equity(desk.book.price)
    for number, (side, price) in enumerate([(Side.BUY, "100"), (Side.SELL, "90")]):
        desk.loop.take([fill_of(desk, ETH_PERP, side, "2", price, f"e{number}")], desk.at)
    desk.loop.take([FundingPaid("v", "main", "p1", ETH_PERP, D(0), D(0), D(-1), "USDT", desk.at)], desk.at)
    assert desk.book.external["v", "USDT"] == own - 21
    assert desk.book.ledger.equity(desk.book.price) == equity
    assert "external" not in desk.book.ledger.sleeves


def test_baseline_when_the_trader_holds_a_derivative_then_taken_over_at_its_mark_and_equal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = RealDesk(PERP)
    there = (
        VenuePosition("v", "main", PERP.key, D(2), D(90), D(100)),
        VenuePosition("v", "main", ETH_PERP, D(-3), D(50)),
    )
    monkeypatch.setattr(desk.wire, "positions", lambda: there)
    equity = desk.book.ledger.equity(lambda _: D(100))
    take_baseline(desk.loop)
    assert desk.book.ledger.account_position(PERP.key) == 2
    assert desk.book.ledger.equity(lambda _: D(100)) == equity
    assert compare(desk.loop) == []
    monkeypatch.setattr(desk.wire, "positions", lambda: there[:1])
    desk.loop.take([fill_of(desk, ETH_PERP, Side.BUY, "3", "40")], desk.at)
    desk.wire.moved["USDT"] = D(30)
    assert compare(desk.loop) == []


# -- the trader's own orders -------------------------------------------------------------------------------------------


def test_fault_15_own_order_then_shown_counted_and_left_alone() -> None:
    desk = holding(PERP)
    before, coin = gross_exposure(desk.book), coin_exposure(desk.book, "BTC")
    assert before is not None
    assert coin is not None
    desk.own_order(Side.BUY, "3", "90")
    desk.turn(11, times=3)
    shown = [o for o in report(desk.book, (), desk.clock.now(), 1).orders if o.sleeve == "external"]
    assert [(o.client_id, o.quantity, o.limit_price) for o in shown] == [("mine-1", D(3), D(90))]
    assert gross_exposure(desk.book) == before + 300
    assert coin_exposure(desk.book, "BTC") == coin + 300
    assert desk.notices.count("Orders of your own at v") == 1
    refused = desk.command(CancelOrder("test", "mine-1"), "cancel")
    assert refused is not None
    assert "is your own" in refused.detail
    assert desk.wire.asked["cancel"] == 0
    assert desk.book.state is TradingState.ACTIVE
    desk.wire.own_orders.clear()
    desk.turn(11)
    assert gross_exposure(desk.book) == before


def test_own_order_on_spot_then_what_it_needs_beyond_his_own_is_not_free() -> None:
    desk = holding()
    free = free_quote(desk.book, SPOT)
    desk.own_order(Side.BUY, "3", "90")
    desk.own_order(Side.SELL, "0.1", "120", "mine-2")
    desk.turn(11)
    assert free_quote(desk.book, SPOT) == free - 270
    desk.wire.flow("USDT", "200")
    desk.turn(31)
    assert free_quote(desk.book, SPOT) == free - 70


@pytest.mark.parametrize(("scope", "left"), [(StopScope.ACCOUNT, 0), (StopScope.ENGINE, 1)])
def test_fault_15_stop_when_its_scope_was_chosen_then_the_traders_order_goes_or_stays(
    scope: StopScope, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RealDesk, "scope", scope)
    desk = holding(PERP)
    desk.own_order(Side.BUY, "3", "90")
    desk.command(EmergencyStop(None))
    for _ in range(8):
        desk.bar("100")
        desk.turn(3)
    assert desk.book.stop is not None
    assert desk.book.stop.is_flat
    assert desk.held() == 0
    assert len(desk.wire.own_orders) == left


@pytest.mark.parametrize(("scope", "his"), [(StopScope.ACCOUNT, "0"), (StopScope.ENGINE, "2")])
def test_stop_when_it_spares_the_traders_own_then_his_position_stays(
    scope: StopScope, his: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RealDesk, "scope", scope)
    desk = holding(PERP)
    desk.command(PlaceOrder("test", desk.key, Side.BUY, D(2), OrderType.MARKET), "two")
    desk.bar("100")
    manual = desk.book.ledger.holdings[("manual", desk.key)]
    desk.book.ledger.holdings[("external", desk.key)] = replace(manual)
    del desk.book.ledger.holdings[("manual", desk.key)]
    desk.book.ledger._in_order = []
    desk.command(EmergencyStop(None))
    for _ in range(10):
        desk.bar("100")
        desk.turn(3)
    assert desk.book.stop is not None
    assert desk.book.stop.is_flat
    assert desk.book.ledger.account_position(desk.key) == Decimal(his)


def test_set_active_when_the_engines_money_was_paid_back_then_it_trades_on() -> None:
    desk = holding()
    desk.wire.flow("USDT", "-1000")
    desk.turn(31)
    desk.wire.flow("USDT", "1000", "f2")
    desk.turn(31)
    desk.command(SetTrading("test", TradingState.ACTIVE), "on")
    assert desk.book.state is TradingState.ACTIVE
    assert desk.book.external["v", "USDT"] == 0
