"""Random entries and reordered trades: skill is found, its absence too, and costs hit both alike."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.quant import luck
from engine.quant.arrays import FloatArray
from engine.quant.luck import HeldTrades, NullPlan, Reorder


def _prices(count: int = 1_000, seed: int = 1) -> FloatArray:
    return np.asarray(100.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0, 0.02, count))))


def _foresight(prices: FloatArray, holding: int = 3) -> HeldTrades:
    """Long before each rise, one trade after the other."""
    entries, bar = [], 0
    while bar + holding < len(prices):
        if prices[bar + holding] > prices[bar] * 1.01:
            entries.append(bar)
            bar += holding
        else:
            bar += 1
    return HeldTrades.of(entries, [holding] * len(entries), [1.0] * len(entries))


def _random_trades(seed: int, count: int = 40) -> HeldTrades:
    generator = np.random.default_rng(seed)
    return HeldTrades.of(np.arange(count) * 20, generator.integers(1, 15, count), generator.choice([-1.0, 1.0], count))


def test_null_when_entries_know_the_future_then_better_than_all_draws() -> None:
    prices = _prices()
    found = luck.random_entry_null(prices, _foresight(prices))
    assert found.percentile == 1.0
    assert found.p_value == pytest.approx(1 / 1001)
    assert len(found.draws) == 1_000


def test_null_when_entries_are_random_then_the_percentile_is_spread_evenly() -> None:
    plan = NullPlan(draws=100)
    percentiles = [
        luck.random_entry_null(_prices(seed=seed), _random_trades(seed + 500), plan).percentile for seed in range(100)
    ]
    assert np.mean(percentiles) == pytest.approx(0.5, abs=0.1)
    assert np.quantile(percentiles, 0.1) < 0.25
    assert np.quantile(percentiles, 0.9) > 0.75


def test_null_when_draws_are_few_then_the_percentile_has_an_interval_that_holds_the_one_of_many() -> None:
    prices, trades = _prices(seed=3), _random_trades(503)
    true = luck.random_entry_null(prices, trades, NullPlan(draws=10_000, seed=99)).percentile
    found = [luck.random_entry_null(prices, trades, NullPlan(draws=200, seed=seed)) for seed in range(20)]
    assert sum(one.low <= true <= one.high for one in found) >= 17
    assert all(0.0 <= one.low <= one.percentile <= one.high <= 1.0 for one in found)
    assert math.isnan(luck.random_entry_null(prices, HeldTrades.of([], [], [])).low)


def test_null_when_the_market_only_rises_then_being_long_is_no_skill() -> None:
    prices = 100.0 * 1.01 ** np.arange(300)
    found = luck.random_entry_null(prices, HeldTrades.of([5, 60, 200], [10, 4, 30], [1, 1, 1]))
    assert found.actual > 0.0
    np.testing.assert_allclose(found.draws, found.actual)


def test_null_when_costs_double_then_real_and_random_lose_the_same() -> None:
    prices, trades = np.full(200, 50.0), _random_trades(1, 9)
    found = luck.random_entry_null(prices, trades, NullPlan(cost_bps=10.0))
    assert found.actual == pytest.approx(-9 * 2 * 10e-4)
    np.testing.assert_allclose(found.draws, found.actual)


def test_null_when_a_short_is_computed_by_hand_then_equal() -> None:
    trades = HeldTrades.of([1], [2], [-1.0], [0.5])
    found = luck.random_entry_null([10.0, 20.0, 18.0, 15.0], trades, NullPlan(cost_bps=100.0))
    assert found.actual == pytest.approx(0.5 * (0.25 - 0.01 * (1.0 + 0.75)))


def test_null_when_the_real_result_is_given_then_it_is_ranked() -> None:
    prices, trades = _prices(), _random_trades(3)
    assert luck.random_entry_null(prices, trades, actual=1e6).percentile == 1.0
    worst = luck.random_entry_null(prices, trades, actual=-1e6)
    assert worst.percentile == 0.0
    assert worst.p_value == 1.0


def test_null_when_all_draws_tie_then_the_percentile_is_the_middle() -> None:
    trades = HeldTrades.of([0], [3], [1.0])
    assert luck.random_entry_null([1.0, 2.0, 3.0, 4.0], trades).percentile == 0.5


def test_null_when_seed_is_the_same_then_the_same() -> None:
    prices, trades = _prices(), _random_trades(3)
    first, again, other = (
        luck.random_entry_null(prices, trades, NullPlan(draws=100, seed=seed)).draws for seed in (4, 4, 5)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@settings(max_examples=40, deadline=None)
@given(holdings=st.lists(st.integers(1, 9), min_size=1, max_size=12), idle=st.integers(0, 30), seed=st.integers(0, 99))
def test_placed_when_trades_were_apart_then_they_stay_apart_and_inside(
    holdings: list[int], idle: int, seed: int
) -> None:
    starts = np.cumsum([0, *holdings[:-1]])
    trades = HeldTrades.of(starts, holdings, np.ones(len(holdings)), np.arange(1.0, len(holdings) + 1.0))
    last = sum(holdings) + idle
    entries, mixed = luck._placed(np.random.default_rng(seed), last, trades)
    exits = entries + mixed.holding_bars
    assert entries[0] >= 0
    assert (entries[1:] >= exits[:-1]).all()
    assert exits[-1] <= last
    pairs = zip(trades.stakes, trades.holding_bars, strict=True)
    assert sorted(zip(mixed.stakes, mixed.holding_bars, strict=True)) == sorted(pairs)


def test_null_when_trades_overlapped_then_drawn_independently() -> None:
    trades = HeldTrades.of([0, 1, 2], [90, 90, 90], [1, 1, 1])
    assert trades.overlap()
    found = luck.random_entry_null(_prices(100), trades)
    assert len(np.unique(found.draws)) > 100


def test_overlap_when_a_long_trade_spans_several_then_seen() -> None:
    assert HeldTrades.of([0, 1, 5], [10, 2, 2], [1, 1, 1]).overlap()
    assert not HeldTrades.of([5, 0], [1, 5], [1, -1]).overlap()


def test_null_when_there_are_no_trades_then_nan_with_a_reason() -> None:
    found = luck.random_entry_null(_prices(10), HeldTrades.of([], [], []))
    assert math.isnan(found.percentile)
    assert found.reason == "there are no trades"
    assert luck.pooled([found]).reason == "there are no trades"


def test_pooled_when_instruments_are_joined_then_sums_are_ranked() -> None:
    nulls = [
        luck.random_entry_null(_prices(seed=seed), _random_trades(seed), NullPlan(draws=200, seed=seed))
        for seed in (1, 2)
    ]
    empty = luck.random_entry_null(_prices(10), HeldTrades.of([], [], []))
    found = luck.pooled([*nulls, empty])
    assert found.trades == 80
    assert found.actual == pytest.approx(nulls[0].actual + nulls[1].actual)
    np.testing.assert_allclose(found.draws, nulls[0].draws + nulls[1].draws)
    short = luck.random_entry_null(_prices(), _random_trades(1), NullPlan(draws=100))
    with pytest.raises(ValueError, match="different numbers of draws"):
        luck.pooled([nulls[0], short])


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_null_when_a_price_is_impossible_then_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="price"):
        luck.random_entry_null([10.0, bad, 10.0], HeldTrades.of([0], [1], [1]))


def test_null_when_a_trade_ends_beyond_the_prices_then_refused() -> None:
    with pytest.raises(ValueError, match="left at bar 3, but there are 3 prices"):
        luck.random_entry_null([10.0] * 3, HeldTrades.of([1], [2], [1]))
    with pytest.raises(ValueError, match="actual result"):
        luck.random_entry_null([10.0] * 3, HeldTrades.of([0], [1], [1]), actual=math.nan)


@pytest.mark.parametrize(
    "arguments",
    [
        ([0, 1], [1], [1, 1]),
        ([-1], [1], [1]),
        ([0], [0], [1]),
        ([0.5], [1], [1]),
        ([math.nan], [1], [1]),
        ([0], [1], [0.5]),
        ([0], [1], [1], [0.0]),
        ([0], [1], [1], [math.inf]),
        ([0], [1], [1], [1.0, 1.0]),
    ],
)
def test_trades_when_impossible_then_refused(arguments: tuple[list[float], ...]) -> None:
    with pytest.raises(ValueError, match=r"trade|length"):
        HeldTrades.of(*arguments)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"draws": 99}, "draws"),
        ({"seed": -1}, "seed"),
        ({"cost_bps": -1.0}, "cost_bps"),
        ({"cost_bps": math.nan}, "cost_bps"),
    ],
)
def test_plan_of_the_null_when_impossible_then_refused_by_name(arguments: dict[str, int], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        NullPlan(**arguments)


@settings(max_examples=25, deadline=None)
@given(returns=st.lists(st.floats(-0.3, 0.3), min_size=2, max_size=40), seed=st.integers(0, 99))
def test_order_when_shuffled_then_wealth_stays_and_drawdowns_spread(returns: list[float], seed: int) -> None:
    found = luck.trade_order(returns, draws=100, seed=seed)
    np.testing.assert_allclose(found.wealths, found.actual_wealth, rtol=1e-9)
    assert found.actual_wealth == pytest.approx(float(np.prod(1.0 + np.array(returns))))
    worst = float(np.prod(1.0 + np.minimum(returns, 0.0))) - 1.0
    assert (found.drawdowns >= worst - 1e-9).all()
    assert (found.drawdowns <= min(0.0, min(returns)) + 1e-9).all()
    assert worst - 1e-9 <= found.drawdown_at(0.95) <= found.drawdown_at(0.5) <= 0.0


def test_order_when_losses_came_last_then_the_real_drawdown_is_the_worst() -> None:
    found = luck.trade_order([0.05] * 20 + [-0.05] * 20)
    assert found.actual_drawdown == pytest.approx(0.95**20 - 1.0)
    assert found.drawdowns.min() >= found.actual_drawdown - 1e-12
    assert found.drawdown_at(0.95) > found.actual_drawdown


def test_order_when_drawn_with_replacement_then_final_wealth_varies() -> None:
    returns = np.random.default_rng(1).normal(0.01, 0.05, 60)
    found = luck.trade_order(returns, Reorder.WITH_REPLACEMENT)
    assert found.wealth_at(0.05) < found.wealth_at(0.5) < found.wealth_at(0.95)
    assert found.wealth_at(0.5) == pytest.approx(found.actual_wealth, rel=0.2)


def test_order_when_one_trade_ruins_then_wealth_stays_at_nothing() -> None:
    found = luck.trade_order([0.5, -1.2, 3.0])
    assert found.actual_wealth == 0.0
    assert found.actual_drawdown == -1.0
    assert (found.drawdowns == -1.0).all()


@pytest.mark.parametrize("returns", [[], [0.1], [0.1, math.nan], [0.1, math.inf]])
def test_order_when_trades_are_too_few_or_not_finite_then_refused(returns: list[float]) -> None:
    with pytest.raises(ValueError, match="trade returns"):
        luck.trade_order(returns)


def test_order_when_draws_are_too_few_then_refused() -> None:
    with pytest.raises(ValueError, match="draws"):
        luck.trade_order([0.1, 0.2], draws=10)
