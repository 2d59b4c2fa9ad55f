"""Volatility estimators against TTR's numbers, and the target scale against bt's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.quant import volatility
from engine.quant.arrays import FloatArray
from engine.quant.volatility import Ohlc
from tests.quant.reference import assert_close, case_of, reference, skip_listed

Estimator = Callable[[Ohlc, int, float], FloatArray]
IMPLEMENTED: dict[str, Estimator] = {
    "close": lambda bars, n, periods: volatility.close_to_close(bars.close, n, periods),
    "parkinson": volatility.parkinson,
    "garman_klass": volatility.garman_klass,
    "rogers_satchell": volatility.rogers_satchell,
    "yang_zhang": volatility.yang_zhang,
}
NOT_IMPLEMENTED = {"gk_yz": "Garman-Klass with an overnight term equals Garman-Klass in a market that never closes"}
CASE = "synthetic_120_TTR_n20_N365"


def _bars(inputs: dict[str, list[float]]) -> Ohlc:
    return Ohlc(*(np.array(inputs[name]) for name in ("open", "high", "low", "close")))


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_volatility_when_compared_with_reference_then_equal(name: str) -> None:
    content = reference("volatility_estimators")
    case = case_of(content, CASE)
    inputs = case["inputs"]
    actual = IMPLEMENTED[name](_bars(inputs), inputs["n"], inputs["periods_per_year"])
    assert_close(actual, case["expected_annualised_vol"][name], content["tolerance"])


@pytest.mark.parametrize("name", NOT_IMPLEMENTED)
def test_volatility_when_not_implemented_then_skipped_by_name(name: str) -> None:
    expected = case_of(reference("volatility_estimators"), CASE)["expected_annualised_vol"]
    assert set(expected) == set(IMPLEMENTED) | set(NOT_IMPLEMENTED)
    skip_listed(NOT_IMPLEMENTED, name, set(expected))


@pytest.mark.parametrize("name", IMPLEMENTED)
@settings(max_examples=10, deadline=None)
@given(scale=st.floats(1e-3, 1e3))
def test_volatility_when_price_is_scaled_then_unchanged(name: str, scale: float) -> None:
    inputs = case_of(reference("volatility_estimators"), CASE)["inputs"]
    plain = _bars(inputs)
    scaled = Ohlc(plain.open * scale, plain.high * scale, plain.low * scale, plain.close * scale)
    np.testing.assert_allclose(IMPLEMENTED[name](scaled, 20, 365.0), IMPLEMENTED[name](plain, 20, 365.0), rtol=1e-9)


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_volatility_when_bars_are_appended_then_earlier_values_stay(name: str) -> None:
    plain = _bars(case_of(reference("volatility_estimators"), CASE)["inputs"])
    cut = Ohlc(plain.open[:50], plain.high[:50], plain.low[:50], plain.close[:50])
    np.testing.assert_array_equal(IMPLEMENTED[name](cut, 20, 365.0), IMPLEMENTED[name](plain, 20, 365.0)[:50])


def test_volatility_when_price_is_flat_then_zero() -> None:
    flat = Ohlc(*(np.full(30, 5.0) for _ in range(4)))
    assert all(estimate(flat, 10, 365.0)[-1] == 0.0 for estimate in IMPLEMENTED.values())


def test_ohlc_when_lengths_differ_then_refused() -> None:
    with pytest.raises(ValueError, match="open 2, high 1, low 1, close 1"):
        Ohlc(np.ones(2), np.ones(1), np.ones(1), np.ones(1))


def test_ewma_variance_when_written_out_then_equal() -> None:
    returns = [0.01, -0.03, 0.02]
    expected = [4e-4]
    for value in returns[:-1]:
        expected.append(0.94 * expected[-1] + 0.06 * value**2)
    np.testing.assert_allclose(volatility.ewma_variance(returns, seed=4e-4), expected, rtol=1e-14)


@pytest.mark.parametrize(("seed", "decay"), [(-1.0, 0.9), (float("nan"), 0.9), (1.0, 1.0), (1.0, 0.0)])
def test_ewma_variance_when_argument_is_impossible_then_refused(seed: float, decay: float) -> None:
    with pytest.raises(ValueError, match=r"seed is|decay is"):
        volatility.ewma_variance([0.1], seed, decay)


def test_target_scale_when_compared_with_reference_then_equal() -> None:
    content = reference("volatility_targeting")
    inputs = case_of(content, "synthetic_single")["inputs"]
    realised = volatility.realised_volatility(
        inputs["prices"]["X"], inputs["lookback_days"], inputs["periods_per_year"]
    )
    scale = volatility.volatility_target_scale(realised, inputs["target_vol_annual"], maximum_scale=100.0)
    expected = case_of(content, "synthetic_single")["expected"]
    # the reference weights carry the date they were traded, one day after the estimate of the fifth-last close
    by_date = [row["X"] for row in expected["weights_last5_bt_TargetVol_uncapped"].values()]
    assert_close(scale[-6:-1], by_date, content["tolerance"])
    assert_close(scale[-6:-1], expected["gross_scale_check_last5"], content["tolerance"])


def test_target_scale_when_volatility_is_zero_then_nan_and_never_infinite() -> None:
    inputs = case_of(reference("volatility_targeting"), "floor_zero_vol")["inputs"]
    scale = volatility.volatility_target_scale([inputs["realised_vol"]], inputs["target_vol"], inputs["max_leverage"])
    assert np.isnan(scale[0])


@settings(max_examples=30, deadline=None)
@given(realised=st.floats(0.0, 10.0), floor=st.floats(0.01, 1.0))
def test_target_scale_when_floored_then_positive_and_capped(realised: float, floor: float) -> None:
    scale = volatility.volatility_target_scale([realised], 0.4, 3.0, floor)[0]
    assert 0.0 < scale <= 3.0
    assert scale <= 0.4 / floor * (1 + 1e-12)
