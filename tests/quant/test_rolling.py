"""Windowed sums: equal to numpy, and to the last bit independent of what lies outside the window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.quant import rolling
from engine.quant.arrays import FloatArray

series = st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=60).map(np.array)


@settings(max_examples=60, deadline=None)
@given(values=series, window=st.integers(2, 20))
def test_rolling_when_compared_with_numpy_then_equal(values: FloatArray, window: int) -> None:
    mean, spread = rolling.mean(values, window), rolling.deviation(values, window, ddof=1)
    high, low = rolling.highest(values, window), rolling.lowest(values, window)
    for t in range(len(values)):
        part = values[t - window + 1 : t + 1]
        if t < window - 1:
            assert np.isnan([mean[t], spread[t], high[t], low[t]]).all()
            continue
        scale = float(np.abs(part).max())
        assert mean[t] == pytest.approx(part.mean(), abs=1e-12 * scale)
        assert spread[t] == pytest.approx(part.std(ddof=1), abs=1e-12 * scale)
        assert (high[t], low[t]) == (part.max(), part.min())


@settings(max_examples=40, deadline=None)
@given(before=series, values=series, window=st.integers(2, 20))
def test_rolling_when_history_differs_then_last_value_is_bit_identical(
    before: FloatArray, values: FloatArray, window: int
) -> None:
    alone = values[-window:]
    if len(alone) < window:
        return
    joined = np.concatenate((before, values))
    for function in (rolling.mean, rolling.highest, rolling.lowest, lambda x, n: rolling.deviation(x, n, 1)):
        assert function(joined, window)[-1] == function(alone, window)[-1]


def test_mean_when_window_holds_nan_then_nan_only_there() -> None:
    values = [1.0, np.nan, 1.0, 1.0, 1.0]
    assert np.isnan(rolling.mean(values, 2)).tolist() == [True, True, True, False, False]


def test_shifted_when_longer_than_series_then_all_nan() -> None:
    assert np.isnan(rolling.shifted(np.ones(3), 5)).all()


def test_deviation_when_window_not_above_ddof_then_refused() -> None:
    with pytest.raises(ValueError, match="window_bars is 1"):
        rolling.deviation([1.0], 1, ddof=1)
