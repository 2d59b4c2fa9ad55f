"""Baskets from quotes to their end: what is sent, what is shown, and what becomes of half a success."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from engine.domain.baskets import BasketState, MarketView, Opportunity, Route
from engine.domain.commands import ClosePosition, EmergencyStop, SetAllocation, SetStrategy, SetTrading, TradingState
from engine.domain.instruments import InstrumentKey
from engine.domain.market import BookTop, Quotes
from engine.exchanges.paper.faults import Call, Fault
from engine.risk.limits import RiskConfig
from engine.strategies.arbitrage import Arbitrage, ArbitrageConfig
from engine.trading import basket_look
from tests.trading.basket_case import (
    HERE,
    THERE,
    apart,
    bars,
    basket_desk,
    baskets,
    coins,
    done,
    drive,
    good_bars,
    opportunities,
    state,
    top,
)
from tests.trading.harness import D, Desk


def kinds(desk: Desk) -> list[str]:
    return [row["type"] for row in desk.journal.rows]


def test_quotes_when_they_lie_apart_then_both_legs_are_sent_as_one_record() -> None:
    desk = basket_desk()
    before = len(desk.journal.rows)
    apart(desk)
    rows = desk.journal.rows[before:]
    assert [row["type"] for row in rows][:4] == ["Netted", "Basket", "OrderIntent", "OrderIntent"]
    sell, buy = rows[2:4]
    assert (sell["instrument"], sell["side"], sell["purpose"], sell["limit_price"]) == (
        THERE.key,
        "sell",
        "exit",
        "101",
    )
    assert (buy["instrument"], buy["side"], buy["purpose"], buy["limit_price"]) == (HERE.key, "buy", "entry", "100")
    assert sell["quantity"] == buy["quantity"] == "2"
    assert sell["basket_id"] == buy["basket_id"] == rows[1]["basket_id"]
    (found,) = opportunities(desk)
    assert (found.route, found.why_not, found.gap_bps) == (Route.TWO_VENUES, "", D(100))


def test_basket_when_both_legs_fill_then_completed_with_its_result() -> None:
    desk = basket_desk()
    apart(desk)
    good_bars(desk)
    (basket,) = baskets(desk)
    assert basket.state is BasketState.COMPLETED
    assert coins(desk) == (2, 0)
    fills = [row for row in desk.journal.rows if row["type"] == "Fill"][-2:]
    value = {row["side"]: D(row["quantity"]) * D(row["price"]) for row in fills}
    fees = sum((D(row["fee"]) for row in fills), Decimal(0))
    assert basket.result == value["sell"] - value["buy"] - fees
    assert basket.result >= basket.basket.expected_net > 0
    bars(desk, {HERE: "99.9", THERE: "101.2"})
    assert coins(desk) == (2, 0)  # no stop is known for it, and none is needed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"use_coins_by_hand": False}, "limited by the coins at hand to sell"),
        ({"least_net_bps": "90"}, "at least 90 are asked for"),
        ({"most_notional": "4"}, "below a venue's minimum of 5"),
    ],
)
def test_opportunity_when_not_traded_then_it_is_shown_with_the_reason(change: dict[str, Any], words: str) -> None:
    desk = basket_desk(**change)
    apart(desk)
    (found,) = opportunities(desk)
    assert words in found.why_not
    assert found.net_bps > 0
    assert not baskets(desk)


def test_opportunity_when_fees_are_more_than_the_gap_then_shown_as_a_loss() -> None:
    desk = basket_desk()
    desk.loop.step(Quotes(desk.at, (top(HERE, desk, "99.9", "100"), top(THERE, desk, "100.1", "100.2"))))
    (found,) = opportunities(desk)
    assert found.why_not == "fees are more than the gap between the prices"
    assert (found.gap_bps, found.net_bps) == (D("10"), D("-10.01"))
    assert found.net < 0


def test_opportunity_when_the_strategy_is_paused_or_the_book_is_not_active_then_not_traded() -> None:
    desk = basket_desk()
    done(desk, SetStrategy("test", "arbitrage", False))
    apart(desk)
    assert opportunities(desk)[0].why_not == "arbitrage does not run in this book"
    done(desk, SetStrategy("test", "arbitrage", True))
    done(desk, SetTrading("test", TradingState.CLOSE_ONLY))
    apart(desk)
    assert opportunities(desk)[0].why_not == "the book is CLOSE_ONLY"
    assert not baskets(desk)


def test_opportunity_when_the_gate_refuses_a_leg_then_none_is_sent_and_it_waits_a_minute() -> None:
    desk = basket_desk()
    desk.book.set_risk(RiskConfig(max_exposure=D("0.0011")))
    apart(desk)
    assert opportunities(desk)[0].why_not.startswith("refused by the risk gate: all positions together")
    assert not baskets(desk)
    assert "Basket" not in kinds(desk)
    assert not [order for order in desk.book.tracker.open_orders() if order.intent.sleeve == "arbitrage"]
    refused = len(desk.book.refused)
    apart(desk)
    assert len(desk.book.refused) == refused


def test_opportunity_when_a_basket_is_under_way_there_then_no_second() -> None:
    desk = basket_desk(most_notional="100")
    apart(desk)
    apart(desk)
    assert "under way" in opportunities(desk)[0].why_not
    assert kinds(desk).count("Basket") == 1


def test_quotes_when_refused_as_a_price_then_no_opportunity() -> None:
    desk = basket_desk()
    desk.loop.step(Quotes(desk.at, (top(HERE, desk, "9.99", "10"), top(THERE, desk, "101", "101.1"))))
    assert not opportunities(desk)


def test_triangle_when_the_middle_pair_is_quoted_in_a_coin_then_shown_and_not_traded() -> None:
    desk = basket_desk()
    ether, cross = InstrumentKey("v:ETH/USDT"), InstrumentKey("v:ETH/BTC")

    def at(key: InstrumentKey, bid: str, ask: str) -> BookTop:
        return BookTop(key, desk.at, D(bid), D(ask), D(50), D(50))

    desk.loop.step(
        Quotes(desk.at, (at(HERE.key, "99.9", "100"), at(ether, "3.6", "3.601"), at(cross, "0.034", "0.035")))
    )
    (found,) = opportunities(desk)
    assert found.route is Route.TRIANGLE
    assert found.why_not == "ETH/BTC is quoted in BTC; this book counts in USDT and cannot trade it"
    assert found.net > 0
    assert [(step.instrument, step.side.value) for step in found.steps] == [
        (HERE.key, "buy"), (cross, "buy"), (ether, "sell"),
    ]  # fmt: skip


def test_basket_when_a_leg_does_not_fill_in_time_then_taken_back_with_its_loss() -> None:
    desk = basket_desk()
    apart(desk)
    bars(desk, {HERE: "99.9", THERE: "100.5"})  # the buy fills, the sell waits for 101
    assert coins(desk) == (2, 2)
    assert state(desk) is BasketState.OPEN
    bars(desk, {HERE: "99.9", THERE: "100.5"})
    bars(desk, {HERE: "99.9", THERE: "100.5"})
    assert state(desk) is BasketState.UNWINDING
    assert "the leg timer of 150 s has run out" in baskets(desk)[0].reason
    bars(desk, {HERE: "99.9", THERE: "100.5"})
    (basket,) = baskets(desk)
    assert basket.state is BasketState.UNWOUND
    assert coins(desk) == (0, 2)
    assert basket.result is not None
    assert basket.result < 0
    assert "Basket of arbitrage unwound" in desk.notices


def test_basket_when_the_market_is_silent_then_the_machines_clock_ends_the_leg_timer() -> None:
    desk = basket_desk()
    apart(desk)
    drive(desk)
    assert state(desk) is BasketState.OPEN
    drive(desk, 150)
    assert state(desk) is BasketState.UNWOUND
    assert coins(desk) == (0, 2)


def test_basket_when_hedging_is_cheap_then_the_missing_leg_is_completed() -> None:
    desk = basket_desk(unwind="hedge", hedge_loss_bps="60")
    apart(desk)
    for _ in range(2):
        bars(desk, {HERE: "99.9", THERE: "100.5"})
    desk.loop.step(Quotes(desk.at, (top(THERE, desk, "100.4", "100.6"),)))
    bars(desk, {HERE: "99.9", THERE: "100.5"})
    bars(desk, {HERE: "99.9", THERE: "100.5"})
    (basket,) = baskets(desk)
    assert basket.state is BasketState.COMPLETED
    assert coins(desk) == (2, 0)


def test_basket_when_hedging_costs_too_much_then_unwound() -> None:
    desk = basket_desk(unwind="hedge", hedge_loss_bps="0")
    apart(desk)
    for _ in range(2):
        bars(desk, {HERE: "99.9", THERE: "99"})
    desk.loop.step(Quotes(desk.at, (top(THERE, desk, "99", "99.1"),)))
    bars(desk, {HERE: "99.9", THERE: "99"})
    bars(desk, {HERE: "99.9", THERE: "99"})
    assert state(desk) is BasketState.UNWOUND
    assert coins(desk) == (0, 2)


def test_basket_when_coins_were_sold_and_not_bought_then_bought_back() -> None:
    desk = basket_desk()
    apart(desk)
    for _ in range(4):
        bars(desk, {HERE: "100.5", THERE: "101.2"})
    assert state(desk) is BasketState.UNWOUND
    assert coins(desk) == (0, 2)


def test_basket_when_the_gate_refuses_to_take_it_back_then_failed_and_told() -> None:
    desk = basket_desk()
    apart(desk)
    bars(desk, {HERE: "100.5", THERE: "101.2"})
    done(desk, SetTrading("test", TradingState.CLOSE_ONLY))
    bars(desk, {HERE: "100.5", THERE: "101.2"})
    assert state(desk) is BasketState.FAILED
    assert "close-only" in baskets(desk)[0].reason
    assert coins(desk) == (0, 0)
    assert "Basket of arbitrage failed" in desk.notices


def test_basket_when_the_emergency_stop_comes_then_it_ends_with_it() -> None:
    desk = basket_desk()
    apart(desk)
    done(desk, EmergencyStop("test"))
    drive(desk)
    assert state(desk) is BasketState.FAILED
    assert "emergency stop" in baskets(desk)[0].reason


def test_basket_when_read_back_from_a_checkpoint_or_from_facts_then_the_same() -> None:
    desk = basket_desk()
    apart(desk)
    bars(desk, {HERE: "99.9", THERE: "100.5"})
    before = [(run.basket, run.state, run.traded) for run in desk.book.baskets.running.values()]
    assert desk.restart() == ()
    assert [(run.basket, run.state, run.traded) for run in desk.book.baskets.running.values()] == before
    desk.loop.maybe_checkpoint(force=True)
    desk.restart()
    assert [(run.basket, run.state, run.traded) for run in desk.book.baskets.running.values()] == before


def test_basket_when_the_first_leg_is_refused_then_the_second_is_never_sent() -> None:
    desk = basket_desk()
    desk.venues["w"].faults.plan(Call.SUBMIT, Fault.REJECTED)
    apart(desk)
    drive(desk)
    assert state(desk) is BasketState.UNWOUND
    ends = [row["reason"] for row in desk.journal.rows if row["type"] == "OrderUpdate"]
    assert "not sent: another leg was not placed" in ends
    assert not list(desk.venues["v"].open_orders())


def test_strategy_when_the_book_had_no_place_for_it_then_it_gets_one_without_capital() -> None:
    desk = Desk(HERE, ("momentum",), others=(THERE,))
    done(desk, SetStrategy("test", "arbitrage", True))
    sleeve = desk.book.sleeves["arbitrage"]
    assert (sleeve.running, sleeve.weight, sleeve.instruments) == (True, D(0), (HERE.key, THERE.key))
    done(desk, SetAllocation("test", "fixed", (("momentum", D("0.5")), ("arbitrage", D("0.2")))))
    desk.restart()
    assert (desk.book.sleeves["arbitrage"].running, desk.book.sleeves["arbitrage"].weight) == (True, D("0.2"))
    bars(desk, {HERE: "100", THERE: "101"})
    assert not desk.book.sleeves["arbitrage"].ideas


def test_position_of_a_basket_when_closed_by_hand_then_sold_once() -> None:
    desk = basket_desk()
    apart(desk)
    good_bars(desk)
    done(desk, ClosePosition("test", "arbitrage", HERE.key, D("0.5")))
    orders = [order for order in desk.book.tracker.open_orders() if order.remaining]
    assert [(order.intent.side.value, order.quantity) for order in orders] == [("sell", D(1))]
    good_bars(desk)
    assert coins(desk) == (1, 0)


def test_strategy_when_it_fails_again_and_again_then_quarantined_and_the_engine_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken:
        terms = Arbitrage(ArbitrageConfig()).terms

        def baskets(self, view: MarketView) -> Sequence[Opportunity]:
            raise ValueError("no such level")

    desk = basket_desk()
    monkeypatch.setattr(basket_look, "basket_strategy", lambda name, values: Broken())
    for _ in range(4):
        apart(desk)
    assert desk.book.sleeves["arbitrage"].quarantined == "ValueError: no such level"
    assert desk.notices.count("strategy arbitrage quarantined after repeated errors") == 1


def test_basket_when_repairs_do_not_fill_then_failed_after_three() -> None:
    desk = basket_desk(leg_timer_s=1)
    apart(desk)
    desk.venues["v"].faults.plan(Call.SUBMIT, *[Fault.REJECTED] * 3)
    bars(desk, {HERE: "99.9", THERE: "100.5"})
    for _ in range(3):
        drive(desk)
    assert state(desk) is BasketState.FAILED
    assert "3 repairs did not fill" in baskets(desk)[0].reason
    assert desk.restart() == ()
    assert state(desk) is BasketState.FAILED
    assert coins(desk) == (2, 2)
