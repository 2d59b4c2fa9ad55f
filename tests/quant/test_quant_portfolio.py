"""Risk parity against published weights; correlation and concentration against numpy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.quant import portfolio
from engine.quant.arrays import FloatArray
from tests.quant.reference import assert_close, case_of, reference


def test_risk_parity_when_compared_with_published_example_then_equal() -> None:
    content = reference("risk_parity")
    case = case_of(content, "maillard_roncalli_teiletche_2010_4_assets")
    weights = portfolio.risk_parity(case["inputs"]["cov"])
    assert_close(weights, case["expected"]["weights_cvxpy"], content["tolerance"])
    assert_close(weights, case["expected"]["weights_riskfolio"], content["tolerance"])
    assert_close(weights * 100, case["expected"]["weights_published_pct"], {"abs": 0.05})
    shares = portfolio.risk_contributions(weights, case["inputs"]["cov"])
    assert_close(shares, case["expected"]["risk_contribution_share"], {"abs": 1e-9})


def test_risk_parity_when_budgets_differ_then_reference_weights() -> None:
    content = reference("risk_parity")
    case = case_of(content, "risk_budget_50_30_20")
    covariance = case["inputs"]["cov_daily_sample_ddof1"]
    weights = portfolio.risk_parity(covariance, case["inputs"]["budget"])
    assert_close(weights, case["expected"]["weights_cvxpy"], content["tolerance"])
    shares = portfolio.risk_contributions(weights, covariance)
    assert_close(shares, case["expected"]["risk_contribution_share"], {"abs": 1e-9})


def random_covariance(seed: int, size: int) -> FloatArray:
    """Positive definite, of the size of daily crypto returns."""
    loads = np.random.default_rng(seed).normal(0.0, 0.03, (size, size))
    return np.asarray(loads @ loads.T + 1e-4 * np.eye(size))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 8), scale=st.floats(1e-6, 1e6))
def test_risk_parity_when_solved_then_every_position_carries_the_same_risk(seed: int, size: int, scale: float) -> None:
    covariance = random_covariance(seed, size) * scale
    weights = portfolio.risk_parity(covariance)
    assert (weights > 0.0).all()
    assert weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(portfolio.risk_contributions(weights, covariance), 1.0 / size, atol=1e-8)


@pytest.mark.parametrize("correlation", [0.0, 0.5, -0.2])
def test_risk_parity_when_correlation_is_constant_then_inverse_volatility(correlation: float) -> None:
    volatility = np.array([0.1, 0.2, 0.4])
    matrix = np.full((3, 3), correlation) + (1.0 - correlation) * np.eye(3)
    weights = portfolio.risk_parity(matrix * np.outer(volatility, volatility))
    np.testing.assert_allclose(weights, (1 / volatility) / (1 / volatility).sum(), rtol=1e-9)


@pytest.mark.parametrize(
    "covariance", [[[1.0, 2.0]], [[1.0, 0.5], [0.1, 1.0]], [[1.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]], []]
)
def test_risk_parity_when_matrix_cannot_be_used_then_refused(covariance: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="covariance"):
        portfolio.risk_parity(covariance)


def test_risk_parity_when_rounds_run_out_then_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portfolio, "_ROUNDS", 1)
    with pytest.raises(ValueError, match="did not converge"):
        portfolio.risk_parity(random_covariance(1, 5))


@pytest.mark.parametrize("budgets", [[0.5, 0.6], [1.0, 0.0], [1.0]])
def test_risk_parity_when_budgets_do_not_fit_then_refused(budgets: list[float]) -> None:
    with pytest.raises(ValueError, match="budgets must be 2"):
        portfolio.risk_parity(np.eye(2), budgets)


def test_risk_contributions_when_nothing_moves_then_nan() -> None:
    assert np.isnan(portfolio.risk_contributions([1.0], [[0.0]])).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), columns=st.integers(2, 6))
def test_correlation_when_compared_with_numpy_then_equal(seed: int, columns: int) -> None:
    returns = np.random.default_rng(seed).normal(0.0, 0.02, (50, columns))
    np.testing.assert_allclose(portfolio.correlation_matrix(returns), np.corrcoef(returns.T), atol=1e-12)


def test_correlation_when_an_instrument_never_moved_then_nan_only_there() -> None:
    moving = np.random.default_rng(1).normal(0.0, 1.0, (20, 2))
    matrix = portfolio.correlation_matrix(np.column_stack((moving, np.full(20, 0.1))))
    assert np.isnan(matrix[2]).all()
    assert np.isnan(matrix[:, 2]).all()
    assert not np.isnan(matrix[:2, :2]).any()


def test_correlation_when_there_is_one_row_then_all_nan() -> None:
    assert np.isnan(portfolio.correlation_matrix([[0.1, 0.2]])).all()
    with pytest.raises(ValueError, match="1 dimensions"):
        portfolio.correlation_matrix([0.1, 0.2])


@settings(max_examples=40, deadline=None)
@given(notionals=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_herfindahl_when_measured_then_between_even_and_single(notionals: list[float]) -> None:
    value = portfolio.herfindahl(notionals)
    if math.isnan(value):
        assert not any(notionals)
    else:
        assert 1.0 / len(notionals) - 1e-9 <= value <= 1.0 + 1e-9
