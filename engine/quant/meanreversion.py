"""Does a series come back to its mean, how fast, and how far away is it now."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike

from engine.quant import rolling
from engine.quant.arrays import FloatArray, IntArray, kernel, read_only, read_only_together, require_at_least

MAXIMUM_LAGS = 5


class Significance(Enum):
    """How often a random walk may pass the stationarity test."""

    ONE_PERCENT = "1%"
    FIVE_PERCENT = "5%"
    TEN_PERCENT = "10%"


_MACKINNON_2010 = {
    Significance.ONE_PERCENT: (-3.43035, -6.5393, -16.786, -79.433),
    Significance.FIVE_PERCENT: (-2.86154, -2.8903, -4.234, -40.040),
    Significance.TEN_PERCENT: (-2.56677, -1.5384, -2.809, 0.0),
}


@dataclass(frozen=True, slots=True)
class SpreadFit:
    """``a = intercept + hedge_ratio * b + residual`` by least squares over the whole sample.

    Fitted on all bars it looks ahead for every bar but the last: fit on the past, use on the future.
    """

    intercept: float
    hedge_ratio: float
    residuals: FloatArray


@kernel
def _solve_in_place(a: FloatArray, b: FloatArray, size: int) -> bool:
    """Cholesky solution of ``a x = b`` for the leading ``size`` rows, both overwritten; False when singular."""
    for j in range(size):
        pivot = a[j, j]
        for k in range(j):
            pivot -= a[j, k] * a[j, k]
        if not pivot > 1e-10 * a[j, j]:
            return False
        a[j, j] = math.sqrt(pivot)
        for i in range(j + 1, size):
            value = a[i, j]
            for k in range(j):
                value -= a[i, k] * a[j, k]
            a[i, j] = value / a[j, j]
    for i in range(size):
        for k in range(i):
            b[i] -= a[i, k] * b[k]
        b[i] /= a[i, i]
    for i in range(size - 1, -1, -1):
        for k in range(i + 1, size):
            b[i] -= a[k, i] * b[k]
        b[i] /= a[i, i]
    return True


@kernel
def _fill_regressors(x: FloatArray, stop: int, rows: int, z: FloatArray) -> None:
    """Rows of (level, lagged changes, change), each column centred, which absorbs the constant."""
    lags = z.shape[1] - 2
    for r in range(rows):
        t = stop - rows + r
        z[r, 0] = x[t - 1] - x[stop - 1]
        for k in range(1, lags + 1):
            z[r, k] = x[t - k] - x[t - k - 1]
        z[r, lags + 1] = x[t] - x[t - 1]
    for column in range(lags + 2):
        total = 0.0
        for r in range(rows):
            total += z[r, column]
        for r in range(rows):
            z[r, column] -= total / rows


@kernel
def _adf_statistic(x: FloatArray, stop: int, window: int, z: FloatArray) -> float:
    """t statistic of the level in ``dx_t = c + b x_{t-1} + sum g_k dx_{t-k} + e`` over ``x[stop-window:stop]``."""
    lags = z.shape[1] - 2
    rows, size = window - 1 - lags, lags + 1
    _fill_regressors(x, stop, rows, z)
    cross = np.zeros((size, size))
    right = np.zeros(size)
    for i in range(size):
        for j in range(i + 1):
            for r in range(rows):
                cross[i, j] += z[r, i] * z[r, j]
        for r in range(rows):
            right[i] += z[r, i] * z[r, size]
    factor, slopes = cross.copy(), right.copy()
    if not _solve_in_place(factor, slopes, size):
        return math.nan
    squares = 0.0
    for r in range(rows):
        residual = z[r, size]
        for i in range(size):
            residual -= slopes[i] * z[r, i]
        squares += residual * residual
    unit = np.zeros(size)
    unit[0] = 1.0
    _solve_in_place(cross, unit, size)
    variance = squares / (rows - size - 1) * unit[0]
    return slopes[0] / math.sqrt(variance) if variance > 0.0 else math.nan


@kernel
def _adf_at(x: FloatArray, bars: IntArray, window: int, lags: int) -> FloatArray:
    out = np.full(len(bars), np.nan)
    z = np.empty((window - 1 - lags, lags + 2))
    for i in range(len(bars)):
        if bars[i] >= window - 1:
            out[i] = _adf_statistic(x, bars[i] + 1, window, z)
    return out


def zscore(values: ArrayLike, window_bars: int, ddof: int = 0) -> FloatArray:
    """Distance from the rolling mean in rolling standard deviations, current bar included.

    Parameters
    ----------
    values : array_like, shape (n,)
    window_bars : int
        More than ``ddof``, at least 2.
    ddof : int
        0 population, 1 sample.

    Returns
    -------
    float64[n]
        NaN before index ``window_bars - 1`` and where the window does not move (deviation below 1e-12 of the
        mean), never infinite.

    Examples
    --------
    >>> zscore([1.0, 3.0, 3.0], 2).tolist()
    [nan, 1.0, nan]
    """
    require_at_least(window_bars, 2, "window_bars")
    series = read_only(values)
    center = rolling.mean(series, window_bars)
    spread = rolling.deviation(series, window_bars, ddof)
    out = np.full(len(series), np.nan)
    np.divide(series - center, spread, out=out, where=spread > 1e-12 * np.abs(center))
    return out


def fit_spread(a: ArrayLike, b: ArrayLike) -> SpreadFit:
    """Least-squares hedge ratio of ``a`` on ``b`` with a constant; NaN where ``b`` never moves.

    >>> fit_spread([3.0, 5.0, 7.0], [1.0, 2.0, 3.0]).hedge_ratio
    2.0
    """
    left, right = read_only_together(a=a, b=b)
    moves = right - right.mean()
    squares = float(moves @ moves)
    ratio = float(moves @ (left - left.mean())) / squares if squares > 0.0 else math.nan
    intercept = float(left.mean()) - ratio * float(right.mean())
    return SpreadFit(intercept, ratio, left - intercept - ratio * right)


def reversion_speed(values: ArrayLike) -> float:
    """Slope ``b`` of ``s_t - s_{t-1} = a + b s_{t-1}``, per bar; negative where the series is pulled back.

    >>> round(reversion_speed([8.0, 4.0, 2.0, 1.0]), 12)
    -0.5
    """
    series = read_only(values)
    return fit_spread(np.diff(series), series[:-1]).hedge_ratio


def half_life_bars(values: ArrayLike) -> float:
    """Bars until half of a deviation is gone, exact for the discrete AR(1): ``-ln 2 / ln(1 + b)``.

    NaN where nothing pulls back steadily (``b`` at or above 0, or at or below -1).

    >>> round(half_life_bars([8.0, 4.0, 2.0, 1.0]), 12)
    1.0
    """
    speed = reversion_speed(values)
    return -math.log(2.0) / math.log1p(speed) if -1.0 < speed < 0.0 else math.nan


def half_life_continuous_bars(values: ArrayLike) -> float:
    """The Ornstein-Uhlenbeck approximation ``-ln 2 / b``, longer than the exact one; NaN where ``b`` is not negative.

    >>> round(half_life_continuous_bars([8.0, 4.0, 2.0, 1.0]), 3)
    1.386
    """
    speed = reversion_speed(values)
    return -math.log(2.0) / speed if speed < 0.0 else math.nan


def adf_at(values: ArrayLike, bars: IntArray, window_bars: int, lags: int = 0) -> FloatArray:
    """Augmented Dickey-Fuller t statistic (with constant) of the window that ends at each of ``bars``.

    The regression is ``dx_t = c + b x_{t-1} + g_1 dx_{t-1} + ... + e`` and the statistic ``b / se(b)``. Compare it
    with `adf_critical_value`, not with a normal table; below it, a unit root is rejected.

    Parameters
    ----------
    values : array_like, shape (n,)
    bars : int64[m]
        Indices into ``values``; asking for a few bars only is what keeps a decision fast.
    window_bars : int
        At least ``10 + 2 * lags``.
    lags : int
        Lagged changes, 0 (plain Dickey-Fuller) to 5; they absorb short autocorrelation.

    Returns
    -------
    float64[m]
        NaN for bars before ``window_bars - 1`` and for windows without enough movement to fit.

    Raises
    ------
    ValueError
        For a window or lag count outside these bounds.
    """
    if not 0 <= lags <= MAXIMUM_LAGS:
        raise ValueError(f"lags is {lags}; it must be 0 to {MAXIMUM_LAGS}")
    require_at_least(window_bars, 10 + 2 * lags, "window_bars")
    return _adf_at(read_only(values), np.array(bars, dtype=np.int64), window_bars, lags)


def rolling_adf(values: ArrayLike, window_bars: int, lags: int = 0) -> FloatArray:
    """`adf_at` for every bar: float64[n].

    >>> swing = [1.0, -1.0] * 10
    >>> bool(rolling_adf(np.cumsum(swing) + np.sin(range(20)), 20)[-1] < -2.9)
    True
    """
    return adf_at(values, np.arange(len(read_only(values)), dtype=np.int64), window_bars, lags)


def adf_critical_value(observations: int, significance: Significance) -> float:
    """Value the ADF statistic (constant, no trend) must lie below to reject a unit root.

    MacKinnon (2010), "Critical values for cointegration tests", Queen's Economics Department Working Paper 1227,
    table 2, N=1, case with constant: ``b0 + b1/T + b2/T**2 + b3/T**3``.

    Parameters
    ----------
    observations : int
        Rows of the regression, ``window_bars - 1 - lags``; at least 1.
    significance : Significance

    Examples
    --------
    >>> round(adf_critical_value(100, Significance.FIVE_PERCENT), 4)
    -2.8909
    """
    require_at_least(observations, 1, "observations")
    b0, b1, b2, b3 = _MACKINNON_2010[significance]
    return b0 + b1 / observations + b2 / observations**2 + b3 / observations**3
