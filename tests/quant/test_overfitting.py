"""Probabilistic and deflated Sharpe ratios and the lengths they ask for, against published numbers and libraries."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from engine.quant import overfitting
from engine.quant.overfitting import SharpeSample
from tests.quant.reference import assert_close, case_of, reference

METHOD = "deflated_sharpe"


def _sample(inputs: dict[str, Any], observations: int) -> SharpeSample:
    per_period = inputs["sharpe_annual"] / math.sqrt(inputs["periods_per_year"])
    return SharpeSample(per_period, observations, inputs["skew"], inputs["kurtosis_nonexcess"])


@pytest.mark.parametrize("case_id", ["bailey_ldp_2014_N100", "bailey_ldp_2014_N88"])
def test_deflated_sharpe_when_compared_with_published_example_then_equal(case_id: str) -> None:
    content = reference(METHOD)
    case = case_of(content, case_id)
    inputs = case["inputs"]
    variance = inputs["var_trials_annual"] / inputs["periods_per_year"]
    found = overfitting.deflated_sharpe(_sample(inputs, inputs["n_obs"]), inputs["n_trials"], variance)
    assert_close(found.threshold, case["expected"]["sr0_per_period"], content["tolerance"])
    assert_close(found.probability, case["expected"]["dsr"], content["tolerance"])
    assert found.reason == ""


@pytest.mark.parametrize(
    "case_id", ["mintrl_sr1.0_N365_sk-1_k8", "mintrl_sr2.8_N365_sk-0.5_k6", "mintrl_sr2.0_N252_sk-0.72_k5.78"]
)
def test_minimum_track_record_when_compared_with_reference_then_equal(case_id: str) -> None:
    content = reference(METHOD)
    case = case_of(content, case_id)
    inputs, expected = case["inputs"], case["expected"]
    sample, confidence = _sample(inputs, 180), inputs["confidence"]
    against_one = 1.0 / math.sqrt(inputs["periods_per_year"])
    zero = overfitting.minimum_track_record(sample, confidence=confidence)
    one = overfitting.minimum_track_record(sample, against_one, confidence)
    assert_close(zero, expected["min_track_record_obs_vs_0"], content["tolerance"])
    assert_close(one, expected["min_track_record_obs_vs_annual_1"], content["tolerance"])
    assert_close(overfitting.probabilistic_sharpe(sample), expected["psr_vs_0_at_180_obs"], content["tolerance"])


def test_deflated_sharpe_when_measured_on_returns_then_two_libraries_agree() -> None:
    case = case_of(reference(METHOD), "returns_b")
    expected, trials = case["expected"], case["inputs"]["trial_sharpes_per_period"]
    sample = overfitting.sharpe_sample(case["inputs"]["returns"])
    found = overfitting.deflated_sharpe(sample, len(trials), overfitting.trial_variance(trials))
    assert_close(found.threshold, expected["sr0"], case["tolerance"])
    assert_close([found.probability] * 2, [expected["dsr_holdout"], expected["dsr_skfolio"]], case["tolerance"])
    assert_close(overfitting.probabilistic_sharpe(sample), expected["psr0_skfolio"], case["tolerance"])
    assert_close(sample.skewness, expected["skew_biased"], case["tolerance"])
    assert_close(sample.kurtosis, expected["kurt_biased"], case["tolerance"])


@pytest.mark.parametrize("case_id", ["minbtl_N45", "minbtl_N100"])
def test_minimum_backtest_when_compared_with_reference_then_equal(case_id: str) -> None:
    content = reference("multiple_testing")
    case = case_of(content, case_id)
    trials, expected = case["inputs"]["n_trials"], case["expected"]
    assert_close(overfitting.expected_maximum(trials), expected["expected_max_z"], content["tolerance"])
    years = overfitting.minimum_backtest_years(trials)
    assert_close(years, expected["min_backtest_length_years_for_SR1"], content["tolerance"])


@pytest.mark.parametrize(("annual", "days"), [(0.5, 4_006), (1.0, 1_018), (1.5, 461), (2.1, 241), (2.8, 140)])
def test_minimum_track_record_when_returns_are_daily_then_days_of_the_methods(annual: float, days: int) -> None:
    sample = SharpeSample(annual / math.sqrt(365), 0, -0.5, 6.0)
    assert math.ceil(overfitting.minimum_track_record(sample)) == pytest.approx(days, abs=1)


@settings(max_examples=50, deadline=None)
@given(annual=st.floats(0.2, 4.0), skewness=st.floats(-2.0, 1.0), kurtosis=st.floats(6.0, 20.0))
def test_minimum_track_record_when_reached_then_the_probability_is_the_confidence(
    annual: float, skewness: float, kurtosis: float
) -> None:
    sample = SharpeSample(annual / math.sqrt(365), 0, skewness, kurtosis)
    needed = math.ceil(overfitting.minimum_track_record(sample))
    long_enough, too_short = (
        SharpeSample(sample.sharpe, count, skewness, kurtosis) for count in (needed, max(2, needed - 2))
    )
    assert overfitting.probabilistic_sharpe(long_enough) >= 0.95 - 1e-9
    assert overfitting.probabilistic_sharpe(too_short) < 0.95 or needed <= 3


@settings(max_examples=50, deadline=None)
@given(trials=st.floats(1.0, 1e6), more=st.floats(1.0, 1e3), variance=st.floats(1e-6, 0.01))
def test_deflated_sharpe_when_more_was_tried_then_never_better(trials: float, more: float, variance: float) -> None:
    sample = SharpeSample(0.1, 700, -0.5, 6.0)
    few, many = (overfitting.deflated_sharpe(sample, count, variance) for count in (trials, trials * more))
    assert 0.0 <= many.probability <= few.probability + 1e-12 <= 1.0 + 1e-12
    assert many.threshold >= few.threshold - 1e-12


def test_deflated_sharpe_when_there_was_one_trial_then_probabilistic_against_zero() -> None:
    sample = SharpeSample(0.1, 400)
    found = overfitting.deflated_sharpe(sample, 1, math.nan)
    assert found.threshold == 0.0
    assert found.probability == overfitting.probabilistic_sharpe(sample)


def test_deflated_sharpe_when_the_ratio_is_annualised_by_mistake_then_visibly_certain() -> None:
    right = overfitting.deflated_sharpe(SharpeSample(2.1 / math.sqrt(365), 3 * 365, -0.5, 6.0), 50, 0.5 / 365)
    wrong = overfitting.deflated_sharpe(SharpeSample(2.1, 3 * 365, -0.5, 6.0), 50, 0.5 / 365)
    assert right.probability == pytest.approx(0.79, abs=0.005)
    assert wrong.probability == pytest.approx(1.0)


def test_deflated_sharpe_when_the_ratio_is_exceptional_then_it_passes_after_fifty_trials() -> None:
    found = overfitting.deflated_sharpe(SharpeSample(2.8 / math.sqrt(365), 3 * 365, -0.5, 6.0), 50, 0.5 / 365)
    assert found.probability == pytest.approx(0.975, abs=0.002)


def test_deflated_sharpe_when_the_spread_of_trials_is_unknown_then_nan_with_a_reason() -> None:
    found = overfitting.deflated_sharpe(SharpeSample(0.1, 400), 10, math.nan)
    assert math.isnan(found.probability)
    assert "other trials" in found.reason


@pytest.mark.parametrize("returns", [[], [0.1], [0.01] * 50, [0.0] * 50])
def test_deflated_sharpe_when_the_ratio_is_undefined_then_nan_with_a_reason(returns: list[float]) -> None:
    sample = overfitting.sharpe_sample(returns)
    found = overfitting.deflated_sharpe(sample, 10, 0.001)
    assert math.isnan(sample.sharpe)
    assert math.isnan(found.probability)
    assert "undefined" in found.reason
    assert math.isnan(overfitting.minimum_track_record(sample))


def test_deflated_sharpe_when_trials_or_variance_are_impossible_then_refused() -> None:
    sample = SharpeSample(0.1, 400)
    for trials in (0, 0.5, math.nan, math.inf):
        with pytest.raises(ValueError, match="trials"):
            overfitting.deflated_sharpe(sample, trials, 0.1)
    with pytest.raises(ValueError, match="trial_variance"):
        overfitting.deflated_sharpe(sample, 10, -0.1)


def test_sharpe_sample_when_compared_with_scipy_then_equal() -> None:
    returns = np.random.default_rng(3).standard_t(5, 400) * 0.02
    sample = overfitting.sharpe_sample(returns)
    assert sample.skewness == pytest.approx(stats.skew(returns))
    assert sample.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False))


def test_sharpe_sample_when_a_return_is_nan_then_refused() -> None:
    with pytest.raises(ValueError, match="index 1"):
        overfitting.sharpe_sample([0.1, math.nan])


def test_probabilistic_sharpe_when_moments_contradict_the_ratio_then_nan() -> None:
    assert math.isnan(overfitting.probabilistic_sharpe(SharpeSample(1.0, 100, 5.0, 3.0)))
    assert math.isnan(overfitting.minimum_track_record(SharpeSample(1.0, 100, 5.0, 3.0)))
    assert math.isnan(overfitting.probabilistic_sharpe(SharpeSample(1.0, 1)))


@pytest.mark.parametrize("confidence", [0.5, 1.0, math.nan])
def test_minimum_track_record_when_confidence_is_impossible_then_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        overfitting.minimum_track_record(SharpeSample(0.1, 400), confidence=confidence)


def test_minimum_backtest_when_the_ratio_is_not_positive_then_refused() -> None:
    with pytest.raises(ValueError, match="annual_sharpe"):
        overfitting.minimum_backtest_years(10, 0.0)
    assert overfitting.minimum_backtest_years(1) == 0.0


def test_expected_maximum_when_simulated_then_close() -> None:
    largest = np.random.default_rng(5).standard_normal((20_000, 50)).max(axis=1)
    assert overfitting.expected_maximum(50) == pytest.approx(largest.mean(), rel=0.02)


def test_expected_maximum_when_trials_are_beyond_counting_then_still_grows() -> None:
    values = [overfitting.expected_maximum(trials) for trials in (1.0 + 1e-12, 1.5, 2, 1e6, 1e18, 1e100)]
    assert values == sorted(values)
    assert math.isfinite(values[-1])


def test_trial_variance_when_some_never_traded_then_they_count_as_nothing_found() -> None:
    assert overfitting.trial_variance([0.2, math.nan, -0.2]) == pytest.approx(0.04)
    assert math.isnan(overfitting.trial_variance([0.2]))


def test_effective_trials_when_trials_are_copies_then_one() -> None:
    returns = np.random.default_rng(1).normal(0.0, 0.02, 300)
    assert overfitting.effective_trials(np.tile(returns[:, None], 20)) == pytest.approx(1.0)
    assert overfitting.effective_trials(returns[:, None]) == 1.0


def test_effective_trials_when_trials_are_independent_then_nearly_all() -> None:
    assert overfitting.effective_trials(np.random.default_rng(1).normal(0.0, 0.02, (500, 40))) > 36.0


def test_effective_trials_when_correlated_then_the_average_correlation_decides() -> None:
    generator = np.random.default_rng(2)
    table = generator.normal(size=(400, 1)) + generator.normal(size=(400, 10))
    matrix = np.corrcoef(table.T)
    mean = (matrix.sum() - 10) / 90
    assert overfitting.effective_trials(table) == pytest.approx(mean + (1.0 - mean) * 10)


def test_effective_trials_when_one_never_traded_then_it_still_counts() -> None:
    table = np.random.default_rng(3).normal(size=(100, 1))
    assert overfitting.effective_trials(np.hstack((table, np.zeros((100, 1))))) == 2.0


@pytest.mark.parametrize("table", [[0.1, 0.2], [[0.1]], np.empty((5, 0))])
def test_effective_trials_when_there_is_no_table_then_refused(table: Any) -> None:
    with pytest.raises(ValueError, match="shape"):
        overfitting.effective_trials(table)


def test_effective_trials_when_a_value_is_nan_then_refused_by_trial() -> None:
    with pytest.raises(ValueError, match="trial 1 has nan at row 0"):
        overfitting.effective_trials([[0.1, math.nan], [0.2, 0.1]])
