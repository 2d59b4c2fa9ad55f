"""Market impact against a 40-digit evaluation and the worked table of Almgren et al. (2005)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.quant import impact
from tests.quant.reference import assert_close, case_of, reference


@pytest.mark.parametrize("case_id", ["btc_1pct_adv", "tiny"])
def test_square_root_impact_when_compared_with_reference_then_equal(case_id: str) -> None:
    content = reference("market_impact")
    case = case_of(content, case_id)
    inputs, expected = case["inputs"], case["expected"]
    arguments = (inputs["Q"], inputs["ADV"], inputs["sigma_daily"], inputs["Y"])
    peak = impact.peak_impact(*(float(each) for each in arguments))
    average = impact.average_impact(*arguments)
    assert_close(peak, expected["peak_impact_fraction"], content["tolerance"])
    assert_close(peak * 1e4, expected["peak_impact_bps"], content["tolerance"])
    assert_close(average * 1e4, expected["average_cost_bps_two_thirds"], content["tolerance"])
    cost = average * inputs["Q"] * inputs["price"]
    assert_close(cost, expected["expected_cost_quote"], content["tolerance"])


@pytest.mark.parametrize("days", [0.1, 0.2, 0.5])
def test_almgren_impact_when_compared_with_reference_then_equal(days: float) -> None:
    content = reference("market_impact")
    case = case_of(content, "almgren2005_IBM_10pct_adv")
    inputs, expected = case["inputs"], case["expected"]
    model = impact.AlmgrenImpact(
        inputs["ADV"], inputs["shares_outstanding"], inputs["sigma_daily"], inputs["gamma"], inputs["eta"]
    )
    assert_close(model.permanent(inputs["X"]) * 1e4, expected["permanent_I_bps"], content["tolerance"])
    row = expected[f"T{days}"]
    assert_close(model.temporary(inputs["X"], days) * 1e4, row["temporary_K_bps"], {"rel": 1e-6})
    assert_close(model.realised(inputs["X"], days) * 1e4, row["realised_J_bps"], {"rel": 1e-6})


@settings(max_examples=40, deadline=None)
@given(quantity=st.floats(1e-6, 1e6), volume=st.floats(1e-3, 1e9), volatility=st.floats(0.0, 1.0))
def test_square_root_impact_when_the_order_is_four_times_as_large_then_twice_the_impact(
    quantity: float, volume: float, volatility: float
) -> None:
    single = impact.peak_impact(quantity, volume, volatility, 1.0)
    assert impact.peak_impact(4.0 * quantity, volume, volatility, 1.0) == pytest.approx(2.0 * single)
    assert impact.peak_impact(-quantity, volume, volatility, 1.0) == single
    assert 0.0 <= impact.average_impact(quantity, volume, volatility) <= single


@pytest.mark.parametrize(("volume", "volatility"), [(0.0, 0.03), (-1.0, 0.03), (math.nan, 0.03), (1.0, math.nan)])
def test_square_root_impact_when_the_market_is_unknown_then_nan(volume: float, volatility: float) -> None:
    assert math.isnan(impact.peak_impact(1.0, volume, volatility, 1.0))
    assert math.isnan(impact.average_impact(1.0, volume, volatility))


def test_square_root_impact_when_nothing_is_traded_then_nothing() -> None:
    assert impact.average_impact(0.0, 100.0, 0.03) == 0.0


def test_average_impact_when_the_order_is_worked_evenly_then_mean_of_the_path() -> None:
    steps = (np.arange(100_000) + 0.5) / 100_000
    path = [impact.peak_impact(float(part), 50.0, 0.03, 1.0) for part in steps[::100]]
    assert impact.average_impact(1.0, 50.0, 0.03) == pytest.approx(float(np.mean(path)), rel=1e-3)


@pytest.mark.parametrize("market", [(0.0, 1.0, 0.02), (1.0, 0.0, 0.02), (1.0, 1.0, math.nan)])
def test_almgren_impact_when_the_market_is_unknown_then_refused(market: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="positive volume and supply"):
        impact.AlmgrenImpact(*market)


def test_almgren_impact_when_there_is_no_time_then_refused() -> None:
    with pytest.raises(ValueError, match="days"):
        impact.AlmgrenImpact(1.0, 1.0, 0.02).temporary(1.0, 0.0)
