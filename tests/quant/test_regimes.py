"""Regimes that use the past only: equal to the definition, and unchanged by whatever comes later."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.quant import regimes
from engine.quant.arrays import FloatArray
from engine.quant.regimes import Third

Regime = Callable[[FloatArray, int, int], list[Third]]
RETURNS = np.random.default_rng(6).normal(0.0, 0.02, 400) * np.repeat([1.0, 3.0, 0.5, 2.0], 100)


def _plain(values: list[float], fewest: int) -> list[Third]:
    """By the definition, one value after the other."""
    thirds = []
    for index, value in enumerate(values):
        past = [each for each in values[:index] if not math.isnan(each)]
        if math.isnan(value) or len(past) < fewest:
            thirds.append(Third.UNKNOWN)
            continue
        twice = sum(each < value for each in past) + sum(each <= value for each in past)
        thirds.append((Third.LOW, Third.MIDDLE, Third.HIGH)[min(2, 3 * twice // (2 * len(past)))])
    return thirds


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(-5, 5).map(float) | st.just(math.nan) | st.floats(-5.0, 5.0), max_size=40),
    fewest=st.integers(3, 6),
)
def test_thirds_when_compared_with_the_definition_then_equal(values: list[float], fewest: int) -> None:
    assert regimes.past_thirds(values, fewest) == _plain(values, fewest)


@pytest.mark.parametrize("regime", [regimes.volatility_regimes, regimes.trend_regimes])
@pytest.mark.parametrize("cut", [150, 151, 399])
def test_regimes_when_the_future_is_cut_or_changed_then_nothing_changes(regime: Regime, cut: int) -> None:
    whole = regime(RETURNS, 20, 50)
    assert regime(RETURNS[:cut], 20, 50) == whole[:cut]
    changed = RETURNS.copy()
    changed[cut:] = 9.0
    # the bar at the cut itself was labelled before its return was known
    assert regime(changed, 20, 50)[: cut + 1] == whole[: cut + 1]


def test_volatility_regimes_when_the_market_turns_wild_then_high_a_window_later() -> None:
    found = regimes.volatility_regimes(RETURNS, 20, 50)
    assert set(found[:70]) == {Third.UNKNOWN}
    assert Third.UNKNOWN not in found[70:]
    assert set(found[125:140]) == {Third.HIGH}
    assert set(found[225:300]) == {Third.LOW}


def test_trend_regimes_when_the_market_turns_then_up_and_down() -> None:
    returns = np.concatenate((np.tile([0.01, -0.01], 60), np.full(30, 0.02), np.full(30, -0.02)))
    found = regimes.trend_regimes(returns, 10, 50)
    assert found[149] is Third.HIGH
    assert found[179] is Third.LOW


def test_regimes_when_there_is_too_little_past_then_unknown() -> None:
    assert set(regimes.volatility_regimes(RETURNS[:50])) == {Third.UNKNOWN}
    assert regimes.past_thirds([]) == []


def test_regimes_when_input_is_bad_then_refused() -> None:
    with pytest.raises(ValueError, match="index 0"):
        regimes.volatility_regimes([math.nan, 0.1])
    with pytest.raises(ValueError, match="window_bars"):
        regimes.volatility_regimes(RETURNS, 1)
    with pytest.raises(ValueError, match="fewest"):
        regimes.past_thirds([1.0], 2)
