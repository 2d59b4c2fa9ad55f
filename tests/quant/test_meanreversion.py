"""Z-score, half-life and the stationarity test against independent numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.quant import meanreversion
from engine.quant.arrays import FloatArray
from engine.quant.meanreversion import Significance
from tests.quant.reference import assert_close, case_of, reference, skip_listed

IMPLEMENTED = {
    "ols_intercept",
    "hedge_ratio",
    "ar1_coef_on_level",
    "half_life_bars_minus_ln2_over_b",
    "half_life_bars_minus_ln2_over_ln1pb",
    "last_z_full_sample_ddof1",
}
NOT_IMPLEMENTED = {
    "engle_granger_stat": "no pairs strategy: the residual test needs its own critical values and a lag search",
    "engle_granger_p": "no pairs strategy: the residual test needs its own critical values and a lag search",
}


def walk(seed: int, bars: int, pull: float = 0.0) -> FloatArray:
    """AR(1) around 100; ``pull`` 0 is a random walk."""
    steps = np.random.default_rng(seed).normal(0.0, 1.0, bars)
    x = np.empty(bars)
    x[0] = 0.0
    for t in range(1, bars):
        x[t] = (1.0 - pull) * x[t - 1] + steps[t]
    return 100.0 + x


def textbook_adf(x: FloatArray, lags: int) -> float:
    """The same regression through a least-squares solver, written out."""
    changes = np.diff(x)
    target = changes[lags:]
    columns = [np.ones(len(target)), x[lags:-1]]
    columns += [changes[lags - k : len(changes) - k] for k in range(1, lags + 1)]
    table = np.column_stack(columns)
    slopes, *_ = np.linalg.lstsq(table, target, rcond=None)
    residuals = target - table @ slopes
    variance = residuals @ residuals / (len(target) - table.shape[1])
    return float(slopes[1] / np.sqrt(variance * np.linalg.inv(table.T @ table)[1, 1]))


def test_zscore_when_compared_with_reference_then_equal() -> None:
    content = reference("zscore_mean_reversion")
    case = case_of(content, "rolling_z20_ddof0")
    inputs = case["inputs"]
    assert_close(
        meanreversion.zscore(inputs["close"], inputs["n"], inputs["ddof"]), case["expected"]["z"], content["tolerance"]
    )


def test_spread_when_compared_with_reference_then_equal() -> None:
    case = case_of(reference("zscore_mean_reversion"), "pairs_spread")
    fit = meanreversion.fit_spread(case["inputs"]["A"], case["inputs"]["B"])
    actual = {
        "ols_intercept": fit.intercept,
        "hedge_ratio": fit.hedge_ratio,
        "ar1_coef_on_level": meanreversion.reversion_speed(fit.residuals),
        "half_life_bars_minus_ln2_over_b": meanreversion.half_life_continuous_bars(fit.residuals),
        "half_life_bars_minus_ln2_over_ln1pb": meanreversion.half_life_bars(fit.residuals),
        "last_z_full_sample_ddof1": meanreversion.zscore(fit.residuals, len(fit.residuals), ddof=1)[-1],
    }
    assert set(actual) == IMPLEMENTED
    assert set(case["expected"]) == IMPLEMENTED | set(NOT_IMPLEMENTED)
    for name, value in actual.items():
        assert_close(value, case["expected"][name], case["tolerance"])


@pytest.mark.parametrize("name", NOT_IMPLEMENTED)
def test_spread_when_not_implemented_then_skipped_by_name(name: str) -> None:
    skip_listed(NOT_IMPLEMENTED, name, set(case_of(reference("zscore_mean_reversion"), "pairs_spread")["expected"]))


@pytest.mark.parametrize("lags", range(6))
@pytest.mark.parametrize("pull", [0.0, 0.1])
def test_adf_when_compared_with_textbook_regression_then_equal(lags: int, pull: float) -> None:
    x = walk(1, 300, pull)
    actual = meanreversion.rolling_adf(x, 120, lags)
    for t in (119, 200, 299):
        assert actual[t] == pytest.approx(textbook_adf(x[t - 119 : t + 1], lags), rel=1e-8)
    assert np.isnan(actual[:119]).all()


def test_adf_when_history_differs_then_last_value_is_bit_identical() -> None:
    x = walk(2, 400)
    assert meanreversion.rolling_adf(x, 100, 1)[-1] == meanreversion.rolling_adf(x[-100:], 100, 1)[-1]


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-1e3, 1e3))
def test_adf_when_series_is_scaled_and_shifted_then_unchanged(scale: float, shift: float) -> None:
    x = walk(3, 120, 0.2)
    plain = meanreversion.rolling_adf(x, 100, 1)[-1]
    assert meanreversion.rolling_adf(x * scale + shift, 100, 1)[-1] == pytest.approx(plain, rel=1e-5)


def test_adf_when_walks_are_random_then_rejects_as_often_as_stated() -> None:
    critical = meanreversion.adf_critical_value(98, Significance.TEN_PERCENT)
    passed = [meanreversion.rolling_adf(walk(seed, 100), 100, 1)[-1] < critical for seed in range(1500)]
    assert 0.07 < np.mean(passed) < 0.13


def test_adf_when_series_comes_back_then_random_walk_is_rejected() -> None:
    critical = meanreversion.adf_critical_value(198, Significance.ONE_PERCENT)
    assert meanreversion.rolling_adf(walk(5, 200, 0.5), 200, 1)[-1] < critical


@pytest.mark.parametrize(
    ("observations", "significance", "published"),
    [
        (25, Significance.ONE_PERCENT, -3.72),
        (25, Significance.FIVE_PERCENT, -2.99),
        (100, Significance.ONE_PERCENT, -3.50),
        (100, Significance.FIVE_PERCENT, -2.89),
        (100, Significance.TEN_PERCENT, -2.58),
        (10**9, Significance.FIVE_PERCENT, -2.86),
    ],
)
def test_critical_value_when_compared_with_tables_then_equal(
    observations: int, significance: Significance, published: float
) -> None:
    assert meanreversion.adf_critical_value(observations, significance) == pytest.approx(published, abs=0.015)


def test_adf_when_series_is_flat_or_straight_then_nan() -> None:
    assert np.isnan(meanreversion.rolling_adf(np.full(50, 7.0), 30, 1)).all()
    assert np.isnan(meanreversion.rolling_adf(np.arange(50.0), 30, 1)).all()


def test_zscore_when_window_does_not_move_then_nan_and_never_infinite() -> None:
    z = meanreversion.zscore([0.1] * 30 + [0.2], 10)
    assert np.isnan(z[:30]).all()
    assert np.isfinite(z[30])


def test_half_life_when_pull_is_known_then_found() -> None:
    x = 0.9 ** np.arange(40)
    assert meanreversion.half_life_bars(x) == pytest.approx(np.log(0.5) / np.log(0.9))


@pytest.mark.parametrize("series", [[1.0, 2.0, 4.0, 8.0], [1.0, -2.0, 4.0, -8.0], [1.0, 1.0, 1.0]])
def test_half_life_when_nothing_pulls_back_then_nan(series: list[float]) -> None:
    assert np.isnan(meanreversion.half_life_bars(series))


@pytest.mark.parametrize(("window", "lags", "message"), [(9, 0, "window_bars is 9"), (60, 6, "lags is 6")])
def test_adf_when_argument_is_impossible_then_error_names_it(window: int, lags: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        meanreversion.rolling_adf(np.arange(100.0), window, lags)
