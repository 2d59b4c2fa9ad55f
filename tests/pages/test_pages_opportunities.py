"""The panel of opportunities and baskets: legs, gap, result, and why one was not traded."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from engine.domain.baskets import (
    Basket,
    BasketState,
    BasketView,
    Leg,
    Opportunity,
    Route,
    Step,
    UnwindRule,
)
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import Side
from engine.domain.portfolio import BookSnapshot, EngineSnapshot
from tests.pages.fake_console import FakeConsole
from tests.pages.page_runner import opened, problems, text

D = Decimal
HERE, THERE = InstrumentKey("demo-a:BTC/USDT"), InstrumentKey("demo-b:BTC/USDT")


class Seen(FakeConsole):
    """A console whose first book has seen prices apart and sent a basket that was unwound."""

    def snapshot(self) -> EngineSnapshot:
        snapshot = super().snapshot()
        first: BookSnapshot = snapshot.books[0]
        at = first.market_time or first.published_at
        steps = (Step(HERE, Side.BUY, D("0.5"), D(60000)), Step(THERE, Side.SELL, D("0.5"), D(60030)))
        seen = Opportunity(
            Route.TWO_VENUES, steps, D(5), D("-45.01"), D("-15.00"), "USDT", at - timedelta(seconds=90),
            "fees are more than the gap between the prices",
        )  # fmt: skip
        legs = tuple(Leg(f"d{n}", one.instrument, one.side, one.quantity, one.price) for n, one in enumerate(steps))
        basket = Basket("b-77", "arbitrage", legs, 180, UnwindRule.UNWIND, D(10), D("12.5"), at)
        ended = BasketView(basket, BasketState.UNWOUND, "the leg timer of 180 s has run out", D("-3.25"), at)
        traded = replace(seen, steps=tuple(reversed(steps)), net=D("12.5"), net_bps=D("4.17"), why_not="")
        return replace(
            snapshot, books=(replace(first, opportunities=(seen, traded), baskets=(ended,)), *snapshot.books[1:])
        )


def test_strategies_page_when_prices_lay_apart_then_legs_net_age_and_why_not_traded() -> None:
    at = opened("strategies", Seen())
    assert problems(at) == ""
    page = text(at)
    assert "buy 0.5 BTC/USDT · demo-a at 60,000" in page
    assert "Fees are more than the gap between the prices" in page
    assert "−15.00" in page
    assert "−45.01 USDT" in page
    assert "b-77" in page
    assert "unwound" in page
    assert "−3.25 USDT" in page


def test_strategies_page_when_nothing_was_seen_then_it_says_where_it_looks() -> None:
    page = text(opened("strategies", FakeConsole()))
    assert "No prices lay apart" in page
