"""VaR and CVaR against Riskfolio, skfolio and written-out numbers."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from engine.quant import sizing, tailrisk
from engine.quant.arrays import FloatArray
from engine.quant.tailrisk import TailMethod
from tests.quant.reference import assert_close, case_of, reference, skip_listed

CASE = "synthetic_skewed_250"
NOT_IMPLEMENTED = {
    "hist_var_empyrical": "interpolates between observations",
    "hist_var_financetoolkit": "interpolates between observations",
    "hist_cvar_mean_of_tail_le_linear_quantile_financetoolkit": "mean of a tail cut at an interpolated quantile",
    "hist_cvar_empyrical_floor_index": "rounds the number of tail observations down",
}


def _quantile_loss(returns: FloatArray, probability: float) -> float:
    skewness, kurtosis = tailrisk.sample_skewness(returns), tailrisk.sample_excess_kurtosis(returns)
    z = tailrisk.cornish_fisher_quantile(NormalDist().inv_cdf(probability), skewness, kurtosis)
    return float(-(returns.mean() + returns.std(ddof=1) * z))


def _cvar_on_a_grid(returns: FloatArray, tail: float) -> float:
    """The reference's own convention: mean over 1,000 midpoints of the tail, 4e-6 short of the exact mean."""
    return float(np.mean([_quantile_loss(returns, (i + 0.5) / 1000 * tail) for i in range(1000)]))


def _cvar_by_quadrature(returns: FloatArray, tail: float) -> float:
    area, _ = quad(lambda p: _quantile_loss(returns, p), 0.0, tail, epsabs=1e-13, limit=500)
    return float(area) / tail


@pytest.mark.parametrize("tail", [0.05, 0.01])
def test_tail_risk_when_compared_with_reference_then_equal(tail: float) -> None:
    content = reference("var_cvar")
    case = case_of(content, CASE)
    expected, returns = case["expected"][f"alpha_{tail}"], case["inputs"]["returns"]
    past, normal, corrected = (
        f(returns, tail) for f in (tailrisk.historical, tailrisk.gaussian, tailrisk.cornish_fisher)
    )
    pairs = {
        "riskfolio_VaR_Hist_order_stat_ceil": past.var,
        "skfolio_VaR": past.var,
        "riskfolio_CVaR_Hist_RU": past.cvar,
        "skfolio_CVaR_RU": past.cvar,
        "gaussian_var": normal.var,
        "gaussian_cvar": normal.cvar,
        "cornish_fisher_var": corrected.var,
        "cornish_fisher_cvar_integral": _cvar_on_a_grid(np.array(returns), tail),
    }
    for name, actual in pairs.items():
        assert_close(actual, expected[name], content["tolerance"])
    assert_close(past.var, expected["hist_var_by_numpy_quantile_method"]["inverted_cdf"], content["tolerance"])
    assert corrected.method is TailMethod.CORNISH_FISHER
    assert_close(corrected.cvar, _cvar_by_quadrature(np.array(returns), tail), {"rel": 1e-8})
    assert set(expected) == set(pairs) | set(NOT_IMPLEMENTED) | {"hist_var_by_numpy_quantile_method"}


@pytest.mark.parametrize("name", NOT_IMPLEMENTED)
def test_tail_risk_when_convention_is_another_then_skipped_by_name(name: str) -> None:
    skip_listed(NOT_IMPLEMENTED, name, set(case_of(reference("var_cvar"), CASE)["expected"]["alpha_0.05"]))


def test_tail_risk_when_scaled_over_time_then_skipped_by_name() -> None:
    skip_listed(
        {"sqrt_time_scaling": "VaR is never scaled over time here"},
        "sqrt_time_scaling",
        {case["id"] for case in reference("var_cvar")["cases"]},
    )


def test_moments_when_compared_with_reference_then_equal() -> None:
    content = reference("var_cvar")
    case = case_of(content, CASE)
    returns = case["inputs"]["returns"]
    assert_close(tailrisk.sample_skewness(returns), case["expected"]["skew_used"], content["tolerance"])
    assert_close(tailrisk.sample_excess_kurtosis(returns), case["expected"]["excess_kurt_used"], content["tolerance"])


def test_cvar_sizing_when_compared_with_reference_then_equal() -> None:
    content = reference("cvar_constrained_sizing")
    case = case_of(content, "single_asset_beta95")
    inputs, expected = case["inputs"], case["expected"]
    cvar = tailrisk.historical(inputs["returns"], 1.0 - inputs["beta"]).cvar
    notional = sizing.cvar_limited_notional(inputs["equity"], cvar, inputs["cvar_limit_fraction_of_equity"])
    for name in ("cvar_rockafellar_uryasev", "cvar_skfolio", "cvar_riskfolio"):
        assert_close(cvar, expected[name], content["tolerance"])
    assert_close(notional, expected["max_notional"], {"abs": 1e-2})
    assert_close(notional / inputs["equity"], expected["max_leverage"], content["tolerance"])


@pytest.mark.parametrize("cvar", [0.0, -0.01, float("nan")])
def test_cvar_sizing_when_cvar_limits_nothing_then_nan(cvar: float) -> None:
    assert math.isnan(sizing.cvar_limited_notional(1_000.0, cvar, 0.02))


def test_cornish_fisher_when_kurtosis_is_crypto_size_then_falls_back_to_history() -> None:
    returns = np.concatenate(([-0.39], np.random.default_rng(1).normal(0.0, 0.02, 249)))
    assert tailrisk.cornish_fisher(returns, 0.01) == tailrisk.historical(returns, 0.01)


@settings(max_examples=100, deadline=None)
@given(skewness=st.floats(-3, 3), kurtosis=st.floats(-2, 12))
def test_monotone_rule_when_compared_with_the_curve_then_agrees(skewness: float, kurtosis: float) -> None:
    z = np.linspace(-60.0, 60.0, 240_001)
    slope = 1 + z * skewness / 3 + (z**2 - 1) * kurtosis / 8 - (6 * z**2 - 5) * skewness**2 / 36
    if tailrisk.cornish_fisher_is_monotone(skewness, kurtosis):
        assert slope.min() > -1e-9
    elif abs(kurtosis / 8 - skewness**2 / 6) > 1e-2:
        assert slope.min() < 1e-3


returns_lists = st.lists(st.floats(-0.9, 0.9), min_size=1, max_size=80)


@settings(max_examples=80, deadline=None)
@given(returns=returns_lists, tail=st.floats(0.005, 0.5))
def test_historical_when_measured_then_shortfall_is_at_least_the_var(returns: list[float], tail: float) -> None:
    risk = tailrisk.historical(returns, tail)
    assert -risk.var in returns
    assert risk.var <= risk.cvar + 1e-12
    assert risk.cvar <= -min(returns) + 1e-9


@settings(max_examples=40, deadline=None)
@given(returns=returns_lists, scale=st.floats(0.01, 10.0))
def test_historical_when_position_is_scaled_then_risk_scales(returns: list[float], scale: float) -> None:
    plain, scaled = (tailrisk.historical(r, 0.05) for r in (returns, np.array(returns) * scale))
    assert scaled.var == pytest.approx(plain.var * scale)
    assert scaled.cvar == pytest.approx(plain.cvar * scale, abs=1e-12)


def test_historical_when_tail_times_count_is_whole_then_rounding_moves_nothing() -> None:
    returns = -np.arange(1.0, 101.0) / 1000.0
    assert tailrisk.historical(returns, 0.07).var == pytest.approx(0.094)


@pytest.mark.parametrize("returns", [[], [0.01, float("nan")]])
def test_historical_when_returns_are_missing_then_nan(returns: list[float]) -> None:
    assert math.isnan(tailrisk.historical(returns, 0.05).var)


def test_parametric_when_there_are_too_few_returns_then_nan() -> None:
    assert math.isnan(tailrisk.gaussian([0.1], 0.05).cvar)
    assert math.isnan(tailrisk.sample_skewness([0.1, 0.2]))
    assert math.isnan(tailrisk.sample_skewness([]))
    assert math.isnan(tailrisk.sample_excess_kurtosis([0.1] * 10))
    assert tailrisk.cornish_fisher([0.1, -0.2], 0.05).method is TailMethod.HISTORICAL


@pytest.mark.parametrize("tail", [0.0, 1.0, -0.1, float("nan")])
def test_tail_risk_when_probability_is_impossible_then_refused(tail: float) -> None:
    with pytest.raises(ValueError, match="tail is"):
        tailrisk.historical([0.1], tail)
