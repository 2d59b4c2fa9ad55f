"""Impact in one candle: the square-root law by hand, its scale, and its edges."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.quant.candle_impact import IMPACT_STEPS, candle_impact, candle_volatility
from engine.quant.impact import peak_impact

POSITIVE = st.floats(1e-6, 1e9)


def test_volatility_when_high_and_low_are_two_percent_apart_then_parkinson() -> None:
    assert candle_volatility(100.0, 101.0, 99.0) == pytest.approx(0.02 / (2 * math.sqrt(math.log(2))), rel=1e-15)
    assert candle_volatility(100.0, 100.0, 100.0) == 0.0


def test_impact_when_a_hundredth_of_the_volume_then_a_tenth_of_the_volatility() -> None:
    # 0.02 / 1.665109222 = 0.012011224; a tenth of it is 0.0012011224..., in steps of 1e-8 rounded up
    assert candle_impact(1.0, candle_volatility(100.0, 101.0, 99.0), 1.0, 100.0) == 120_113


def test_impact_when_the_candle_did_not_move_or_y_is_0_then_none() -> None:
    assert candle_impact(1.0, 0.0, 5.0, 10.0) == 0
    assert candle_impact(0.0, 0.5, 5.0, 10.0) == 0


def test_impact_when_there_was_no_volume_then_as_if_the_order_were_all_of_it() -> None:
    assert candle_impact(1.0, 0.01, 5.0, 0.0) == candle_impact(1.0, 0.01, 5.0, 5.0) == IMPACT_STEPS // 100


def test_impact_when_it_would_exceed_the_price_then_the_price() -> None:
    assert candle_impact(10.0, 3.0, 1e9, 1e-9) == IMPACT_STEPS


@settings(max_examples=50, deadline=None, database=None)
@given(POSITIVE, POSITIVE, st.floats(1e-6, 0.02))
def test_impact_when_compared_with_the_law_then_within_a_step(
    quantity: float, volume: float, volatility: float
) -> None:
    expected = peak_impact(quantity, volume, volatility, 1.0)
    steps = candle_impact(1.0, volatility, quantity, volume)
    assert steps == pytest.approx(min(expected, 1.0) * IMPACT_STEPS, rel=1e-9, abs=1.0)


@settings(max_examples=30, deadline=None, database=None)
@given(st.integers(1, 10_000), st.floats(1e-3, 0.05))
def test_impact_when_time_is_cut_into_parts_then_the_same(parts: int, volatility: float) -> None:
    whole = candle_impact(1.0, volatility, 1.0, 1e6)
    cut = candle_impact(1.0, volatility / math.sqrt(parts), 1.0, 1e6 / parts)
    assert abs(whole - cut) <= 1
