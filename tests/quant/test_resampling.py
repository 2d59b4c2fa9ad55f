"""The stationary bootstrap: reproducible, block lengths of the paper, intervals that cover what they claim."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.quant import performance, resampling
from engine.quant.arrays import FloatArray
from engine.quant.resampling import Resampling


def _mean(returns: FloatArray) -> float:
    return float(returns.mean())


def _noise(count: int, seed: int = 1) -> FloatArray:
    return np.random.default_rng(seed).normal(0.0, 0.02, count)


def _autoregressive(count: int, coefficient: float, seed: int = 1) -> FloatArray:
    shocks = _noise(count, seed)
    for t in range(1, count):
        shocks[t] += coefficient * shocks[t - 1]
    return shocks


def test_block_length_when_returns_are_independent_then_about_one_bar() -> None:
    lengths = [resampling.automatic_block_length(_noise(1_000, seed)) for seed in range(20)]
    assert np.median(lengths) < 4.0


@pytest.mark.parametrize("coefficient", [0.3, 0.6])
def test_block_length_when_returns_are_autoregressive_then_near_the_optimum_of_the_paper(coefficient: float) -> None:
    count = 5_000
    # G = 2 rho s / (1 - rho)**2 and the spectrum (1 + rho) s / (1 - rho) of an AR(1), put into the formula
    optimum = (2.0 * coefficient / (1.0 - coefficient**2)) ** (2.0 / 3.0) * count ** (1.0 / 3.0)
    lengths = [resampling.automatic_block_length(_autoregressive(count, coefficient, seed)) for seed in range(10)]
    assert np.median(lengths) == pytest.approx(optimum, rel=0.15)


@settings(max_examples=40, deadline=None)
@given(returns=st.lists(st.floats(-0.5, 0.5), min_size=0, max_size=80))
def test_block_length_when_defined_then_from_one_to_the_longest_allowed(returns: list[float]) -> None:
    length = resampling.automatic_block_length(returns)
    longest = math.ceil(min(3.0 * math.sqrt(len(returns)), len(returns) / 3.0))
    assert math.isnan(length) or 1.0 <= length <= longest


@pytest.mark.parametrize("returns", [[], [0.01] * 9, [0.01] * 50, [0.0] * 50])
def test_block_length_when_nothing_can_be_learned_then_nan(returns: list[float]) -> None:
    assert math.isnan(resampling.automatic_block_length(returns))


def test_block_length_when_everything_is_negatively_correlated_then_capped() -> None:
    assert 1.0 <= resampling.automatic_block_length([0.01, -0.01] * 30) <= math.ceil(60 / 3)


def test_draws_when_seed_is_the_same_then_the_same() -> None:
    plan = Resampling(resamples=100, seed=7)
    first, again = (list(resampling.stationary_draws(50, 5.0, plan)) for _ in range(2))
    other = list(resampling.stationary_draws(50, 5.0, Resampling(resamples=100, seed=8)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@settings(max_examples=20, deadline=None)
@given(block=st.floats(1.0, 50.0), observations=st.integers(1, 60), length=st.integers(2, 90))
def test_draws_when_made_then_indices_lie_in_the_series(block: float, observations: int, length: int) -> None:
    plan = Resampling(resamples=100, length_bars=length)
    drawn = np.array(list(resampling.stationary_draws(observations, block, plan)))
    assert drawn.shape == (100, length)
    assert drawn.min() >= 0
    assert drawn.max() < observations


def test_draws_when_blocks_are_long_then_their_mean_length_is_as_asked() -> None:
    drawn = np.array(list(resampling.stationary_draws(100_000, 20.0, Resampling(resamples=100, length_bars=2_000))))
    breaks = int((np.diff(drawn, axis=1) % 100_000 != 1).sum())
    assert drawn.size / (breaks + 100) == pytest.approx(20.0, rel=0.05)


def test_draws_when_many_then_every_return_is_drawn_equally_often() -> None:
    counts = np.bincount(np.concatenate(list(resampling.stationary_draws(50, 8.0, Resampling(resamples=2_000)))))
    assert counts / 2_000 == pytest.approx(np.ones(50), abs=0.2)


def test_interval_when_the_mean_is_estimated_then_as_wide_as_theory_says() -> None:
    returns = _noise(2_000)
    plan = Resampling(resamples=2_000, block_bars=1.0)
    found = resampling.confidence_intervals(returns, {"mean": _mean}, plan)["mean"]
    assert found.high - found.low == pytest.approx(2 * 1.96 * returns.std() / math.sqrt(2_000), rel=0.06)
    assert found.estimate == pytest.approx(returns.mean())
    assert found.low < found.estimate < found.high


def test_interval_when_the_truth_is_known_then_covered_about_as_often_as_claimed() -> None:
    plan = Resampling(resamples=200)
    covered = 0
    for seed in range(100):
        returns = _autoregressive(300, 0.3, seed) + 0.001
        found = resampling.confidence_intervals(returns, {"mean": _mean}, plan, confidence=0.9)["mean"]
        covered += found.low <= 0.001 <= found.high
    assert 78 <= covered <= 97


def test_interval_when_returns_are_correlated_then_wider_than_of_single_draws() -> None:
    returns = _autoregressive(2_000, 0.6)
    widths = []
    for block in (None, 1.0):
        found = resampling.confidence_intervals(returns, {"mean": _mean}, Resampling(block_bars=block))["mean"]
        widths.append(found.high - found.low)
    assert widths[0] > 1.5 * widths[1]


def test_interval_when_confidence_grows_then_wider() -> None:
    found = [
        resampling.confidence_intervals(_noise(200), {"sharpe": performance.sharpe}, confidence=confidence)["sharpe"]
        for confidence in (0.5, 0.9, 0.99)
    ]
    lows, highs = [each.low for each in found], [each.high for each in found]
    assert lows == sorted(lows, reverse=True)
    assert highs == sorted(highs)


def test_distributions_when_the_run_is_shorter_then_drawdowns_are_shallower() -> None:
    deepest = {"drawdown": performance.max_drawdown}
    medians = [
        np.median(resampling.distributions(_noise(1_000), deepest, Resampling(200, length_bars=bars))[1]["drawdown"])
        for bars in (30, 365)
    ]
    assert -1.0 < medians[1] < medians[0] < 0.0


def test_distributions_when_returns_are_too_few_then_refused() -> None:
    with pytest.raises(ValueError, match="9 returns; resampling needs at least 10"):
        resampling.distributions(_noise(9), {"mean": _mean}, Resampling())


def test_intervals_when_returns_are_too_few_then_nan_with_a_reason() -> None:
    found = resampling.confidence_intervals([0.1] * 9, {"mean": _mean})["mean"]
    assert math.isnan(found.estimate)
    assert math.isnan(found.low)
    assert "9 returns are too few" in found.reason


def test_intervals_when_returns_never_vary_then_sharpe_has_a_reason_and_no_ends() -> None:
    found = resampling.confidence_intervals([0.01] * 30, {"sharpe": performance.sharpe})["sharpe"]
    assert math.isnan(found.low)
    assert math.isnan(found.estimate)
    assert "undefined on the returns themselves" in found.reason
    assert found.block_bars == 1.0


def test_intervals_when_most_resamples_are_undefined_then_a_reason() -> None:
    returns = [0.01] * 29 + [-0.01]
    plan = Resampling(block_bars=1.0)
    found = resampling.confidence_intervals(returns, {"sortino": performance.sortino}, plan)["sortino"]
    assert found.estimate == pytest.approx(performance.sortino(returns))
    assert math.isnan(found.high)
    assert "of 1000 resamples" in found.reason
    assert 550 < found.resamples < 720


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_intervals_when_a_return_is_not_finite_then_refused_by_place(bad: float) -> None:
    with pytest.raises(ValueError, match=r"returns: .* at index 1 is not a finite number"):
        resampling.confidence_intervals([0.1, bad, 0.1], {"mean": _mean})


@pytest.mark.parametrize("confidence", [0.0, 1.0, math.nan])
def test_intervals_when_confidence_is_impossible_then_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        resampling.confidence_intervals(_noise(30), {"mean": _mean}, confidence=confidence)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"resamples": 99}, "resamples"),
        ({"seed": -1}, "seed"),
        ({"block_bars": 0.5}, "block_bars"),
        ({"block_bars": math.nan}, "block_bars"),
        ({"block_bars": math.inf}, "block_bars"),
        ({"length_bars": 1}, "length_bars"),
    ],
)
def test_plan_when_impossible_then_refused_by_name(arguments: dict[str, int], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Resampling(**arguments)
