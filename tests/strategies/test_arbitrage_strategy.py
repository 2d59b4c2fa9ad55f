"""What the arbitrage strategy sees in quotes: ways, sizes, reasons; it wishes nothing that fees eat or nobody holds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.baskets import MarketView, Opportunity, Route
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import BookTop
from engine.domain.orders import Side
from engine.strategies import BASKETS, TRADED, basket_strategy, why_not_backtested, why_not_traded
from engine.strategies.arbitrage import Arbitrage, ArbitrageConfig

D = Decimal
NOW = datetime(2026, 1, 5, tzinfo=UTC)
LOT, TICK = D("0.0001"), D("0.01")
HERE = Instrument("a", "BTC", "USDT", Kind.SPOT, TICK, LOT, D(5))
THERE = Instrument("b", "BTC", "USDT", Kind.SPOT, TICK, LOT, D(5))
PERP = Instrument("b", "BTC", "USDT", Kind.PERPETUAL, TICK, LOT, D(5), D(10))


def top(instrument: Instrument, bid: Any, ask: Any, size: Any = 5, age_s: int = 0) -> BookTop:
    return BookTop(instrument.key, NOW - timedelta(seconds=age_s), D(bid), D(ask), D(size), D(size))


def view(*tops: BookTop, known: tuple[Instrument, ...] = (HERE, THERE, PERP), **changes: Any) -> MarketView:
    fields: dict[str, Any] = {
        "money": {"a": D(1000), "b": D(1000)},
        "coins": {HERE.key: D(3), THERE.key: D(3)},
        "capital": D(500),
        "taker_fee": D("0.001"),
    }
    by_key: Mapping[InstrumentKey, BookTop] = {one.instrument: one for one in tops}
    instruments = {item.key: item for item in known}
    return MarketView(NOW, "USDT", instruments, by_key, frozenset(by_key), **(fields | changes))


def seen(where: MarketView, **values: Any) -> list[Opportunity]:
    return list(Arbitrage(ArbitrageConfig(**values)).baskets(where))


def test_baskets_when_a_coin_is_dearer_there_then_bought_here_and_sold_there_within_every_limit() -> None:
    apart = (top(HERE, 99, 100), top(THERE, 101, 102))
    (found,) = seen(view(*apart))
    assert [(one.instrument, one.side, one.quantity) for one in found.steps] == [
        (HERE.key, Side.BUY, D("3")), (THERE.key, Side.SELL, D("3")),
    ]  # fmt: skip
    assert found.why_not == ""
    assert found.net == D("3") * (D(101) * D("0.999") - D(100) * D("1.001"))
    assert seen(view(*apart, capital=D(200)))[0].steps[0].quantity == 2
    assert seen(view(*apart), most_notional="150")[0].steps[0].quantity == D("1.5")
    assert seen(view(*apart, money={"a": D("100.1001")}))[0].steps[0].quantity == 1


@pytest.mark.parametrize(
    ("quotes", "changes", "words"),
    [
        ((top(HERE, 99, 100), top(PERP, 102, 103)), {}, "a perpetual leg would stay open"),
        ((top(HERE, 99, 100, age_s=6), top(THERE, 101, 102)), {}, "a quote is 6 s old, 5 s are allowed"),
        ((top(HERE, 99, 100), top(THERE, 101, 102)), {"coins": {}}, "limited by the coins at hand to sell"),
        ((top(HERE, 99, 100), top(THERE, 101, 102)), {"money": {}}, "limited by the money at hand to buy"),
        ((top(HERE, 99, 100), top(THERE, 101, 102)), {"capital": D(0)}, "limited by the most that may be spent"),
        ((top(HERE, 99, 100), top(THERE, 101, 102, size=0)), {}, "fees are more than the gap"),
    ],
)
def test_baskets_when_something_stands_against_it_then_shown_with_the_reason(
    quotes: tuple[BookTop, ...], changes: dict[str, Any], words: str
) -> None:
    (found,) = seen(view(*quotes, **changes))
    assert words in found.why_not
    assert found.gap_bps > 0


def test_baskets_when_nothing_lies_apart_or_nothing_is_news_then_nothing_is_seen() -> None:
    assert not seen(view(top(HERE, 99, 100), top(THERE, 99, 100)))
    still = view(top(HERE, 99, 100), top(THERE, 101, 102))
    assert not Arbitrage(ArbitrageConfig()).baskets(
        MarketView(
            still.at, still.currency, still.instruments, still.tops, frozenset(), still.taker_fee, still.money,
            still.coins, still.capital,
        )
    )  # fmt: skip


def test_baskets_when_three_pairs_do_not_agree_then_the_triangle_is_shown_and_never_wished() -> None:
    ether = InstrumentKey("a:ETH/USDT")
    cross = InstrumentKey("a:ETH/BTC")
    tops = (
        top(HERE, 60000, 60006),
        BookTop(ether, NOW, D(2520), D("2520.3"), D(50), D(50)),
        BookTop(cross, NOW, D("0.0416"), D("0.04161"), D(50), D(50)),
    )
    found = [one for one in seen(view(*tops)) if one.route is Route.TRIANGLE]
    assert [one.steps[1].side for one in found] == [Side.BUY]
    assert D("62") < found[0].net_bps < D("62.5")
    assert "cannot trade it" in found[0].why_not


def test_registry_when_asked_then_arbitrage_is_traded_and_not_backtested() -> None:
    assert why_not_traded("arbitrage") == ""
    assert "cannot be backtested" in why_not_backtested("arbitrage")
    assert "no strategy 'nobody'" in why_not_backtested("nobody")
    assert set(BASKETS) < set(TRADED)
    assert basket_strategy("arbitrage", '{"most_baskets": 3}').terms.most_baskets == 3


PRICE = st.integers(9_900, 10_100).map(lambda cents: D(cents) / 100)
SIZE = st.integers(0, 40_000).map(lambda lots: lots * LOT)


@settings(max_examples=100, deadline=None)
@given(PRICE, PRICE, SIZE, SIZE, SIZE, SIZE)
def test_baskets_when_wished_then_within_depth_money_and_coins_and_never_at_a_loss(
    here: Decimal, there: Decimal, offered: Decimal, wanted: Decimal, money: Decimal, coins: Decimal
) -> None:
    where = view(
        top(HERE, here - TICK, here, offered), top(THERE, there, there + TICK, wanted),
        money={"a": money * 100, "b": D(0)}, coins={THERE.key: coins}, capital=D(1000),
    )  # fmt: skip
    for found in seen(where, least_net_bps="0"):
        if found.why_not:
            continue
        buy, sell = found.steps
        assert buy.quantity == sell.quantity <= min(offered, wanted, coins)
        spent = buy.quantity * buy.price
        assert spent * D("1.001") <= money * 100
        assert 0 < found.net <= sell.quantity * sell.price * D("0.999") - spent * D("1.001")
