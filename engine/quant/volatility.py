"""Annualised volatility from closes and from ranges, and the scale that brings a position to a target volatility.

Windows count bars; results are per year as fractions (0.6 is 60 %). Crypto trades every day: 365 periods a year for
daily bars, 8,760 for hourly ones. Prices must be positive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from engine.quant import rolling
from engine.quant.arrays import FloatArray, kernel, read_only, read_only_together, require_at_least

DAYS_PER_YEAR = 365.0


@kernel
def _ewma_variance(returns: FloatArray, decay: float, seed: float) -> FloatArray:
    out = np.empty(len(returns))
    value = seed
    for t in range(len(returns)):
        out[t] = value
        value = decay * value + (1.0 - decay) * returns[t] * returns[t]
    return out


@dataclass(frozen=True, slots=True)
class Ohlc:
    """Open, high, low and close of the same bars, float64[n] each, in quote currency, positive."""

    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray

    def __post_init__(self) -> None:
        """Refuse series of different lengths with a ValueError."""
        read_only_together(open=self.open, high=self.high, low=self.low, close=self.close)


def log_returns(close: ArrayLike) -> FloatArray:
    """``ln(C_t / C_{t-1})``, NaN at index 0.

    >>> log_returns([1.0, 1.0]).tolist()
    [nan, 0.0]
    """
    prices = np.log(read_only(close, "close"))
    return np.diff(prices, prepend=np.nan)


def _annualised(variance_per_bar: FloatArray, periods_per_year: float) -> FloatArray:
    """Square root of a variance that rounding may have pushed a hair below zero."""
    result: FloatArray = np.sqrt(periods_per_year * np.maximum(variance_per_bar, 0.0))
    return result


def close_to_close(close: ArrayLike, window_bars: int, periods_per_year: float = DAYS_PER_YEAR) -> FloatArray:
    """Sample deviation (ddof 1) of the ``window_bars - 1`` log returns between ``window_bars`` closes (TTR's count).

    Parameters
    ----------
    close : array_like, shape (n,)
    window_bars : int
        At least 3.
    periods_per_year : float
        Bars in a year.

    Returns
    -------
    float64[n]
        NaN before index ``window_bars - 1``.

    Examples
    --------
    >>> float(close_to_close([1.0, 2.0, 4.0], 3)[2])
    0.0
    """
    require_at_least(window_bars, 3, "window_bars")
    spread = rolling.deviation(log_returns(close), window_bars - 1, ddof=1)
    result: FloatArray = math.sqrt(periods_per_year) * spread
    return result


def parkinson(bars: Ohlc, window_bars: int, periods_per_year: float = DAYS_PER_YEAR) -> FloatArray:
    """Parkinson (1980) from highs and lows; float64[n], NaN before index ``window_bars - 1``.

    Biased low on thin books, whose true extremes are not traded, and one bad wick dominates it.
    """
    squares = np.log(bars.high / bars.low) ** 2
    return _annualised(rolling.mean(squares, window_bars) / (4.0 * math.log(2.0)), periods_per_year)


def garman_klass(bars: Ohlc, window_bars: int, periods_per_year: float = DAYS_PER_YEAR) -> FloatArray:
    """Garman and Klass (1980) from all four prices, no drift; float64[n], NaN before index ``window_bars - 1``."""
    ranges = 0.5 * np.log(bars.high / bars.low) ** 2
    bodies = (2.0 * math.log(2.0) - 1.0) * np.log(bars.close / bars.open) ** 2
    return _annualised(rolling.mean(ranges - bodies, window_bars), periods_per_year)


def _rogers_satchell_terms(bars: Ohlc) -> FloatArray:
    up = np.log(bars.high / bars.close) * np.log(bars.high / bars.open)
    down = np.log(bars.low / bars.close) * np.log(bars.low / bars.open)
    terms: FloatArray = up + down
    return terms


def rogers_satchell(bars: Ohlc, window_bars: int, periods_per_year: float = DAYS_PER_YEAR) -> FloatArray:
    """Rogers and Satchell (1991), unbiased under drift; float64[n], NaN before index ``window_bars - 1``."""
    return _annualised(rolling.mean(_rogers_satchell_terms(bars), window_bars), periods_per_year)


def yang_zhang(bars: Ohlc, window_bars: int, periods_per_year: float = DAYS_PER_YEAR) -> FloatArray:
    """Yang and Zhang (2000): overnight, open-to-close and Rogers-Satchell parts, ``k = 0.34 / (1.34 + (n+1)/(n-1))``.

    A market that never closes opens where it closed, so the overnight part is about 0 here.

    Parameters
    ----------
    bars : Ohlc
    window_bars : int
        At least 2.
    periods_per_year : float

    Returns
    -------
    float64[n]
        NaN before index ``window_bars``: the first overnight return needs one bar more.
    """
    require_at_least(window_bars, 2, "window_bars")
    overnight = np.full(len(bars.close), np.nan)
    overnight[1:] = np.log(bars.open[1:] / bars.close[:-1])
    k = 0.34 / (1.34 + (window_bars + 1) / (window_bars - 1))
    variance = (
        rolling.deviation(overnight, window_bars, ddof=1) ** 2
        + k * rolling.deviation(np.log(bars.close / bars.open), window_bars, ddof=1) ** 2
        + (1.0 - k) * rolling.mean(_rogers_satchell_terms(bars), window_bars)
    )
    return _annualised(variance, periods_per_year)


def ewma_variance(returns: ArrayLike, seed: float, decay: float = 0.94) -> FloatArray:
    """RiskMetrics forecast of the variance of each return from those before it.

    ``s2_0 = seed`` and ``s2_t = decay * s2_{t-1} + (1 - decay) * r_{t-1}**2``; the seed matters for about
    ``3 / (1 - decay)`` bars, so it is asked for and not guessed.

    Parameters
    ----------
    returns : array_like, shape (n,)
        Without NaN.
    seed : float
        Variance per bar, at least 0.
    decay : float
        In (0, 1); 0.94 is RiskMetrics' daily value.

    Returns
    -------
    float64[n]
        Variance per bar; index t does not use the return at t.

    Raises
    ------
    ValueError
        For a decay outside (0, 1) or a negative or NaN seed.

    Examples
    --------
    >>> [round(float(v), 6) for v in ewma_variance([0.1, 0.0], seed=0.02)]
    [0.02, 0.0194]
    """
    if not 0.0 < decay < 1.0:
        raise ValueError(f"decay is {decay}; it must lie between 0 and 1")
    if not seed >= 0.0:
        raise ValueError(f"seed is {seed}; a variance is at least 0")
    return _ewma_variance(read_only(returns, "returns"), decay, seed)


def realised_volatility(close: ArrayLike, lookback_bars: int, periods_per_year: float = DAYS_PER_YEAR) -> FloatArray:
    """Sample deviation (ddof 1) of the last ``lookback_bars`` simple returns, annualised.

    Parameters
    ----------
    close : array_like, shape (n,)
    lookback_bars : int
        At least 2.
    periods_per_year : float

    Returns
    -------
    float64[n]
        NaN before index ``lookback_bars``.
    """
    require_at_least(lookback_bars, 2, "lookback_bars")
    prices = read_only(close, "close")
    returns = np.full(len(prices), np.nan)
    returns[1:] = prices[1:] / prices[:-1] - 1.0
    result: FloatArray = math.sqrt(periods_per_year) * rolling.deviation(returns, lookback_bars, ddof=1)
    return result


def volatility_target_scale(
    volatility: ArrayLike, target: float, maximum_scale: float, volatility_floor: float = 0.0
) -> FloatArray:
    """Position scale that brings a realised volatility to the target.

    Parameters
    ----------
    volatility : array_like, shape (n,)
        Annualised, known at the bar; the scale is traded at the next one.
    target : float
        Annualised, positive.
    maximum_scale : float
        Cap; without one a calm market levers up just before it jumps.
    volatility_floor : float
        Annualised; a lower volatility is read as this.

    Returns
    -------
    float64[n]
        In (0, ``maximum_scale``]; NaN where the volatility is NaN, or 0 without a floor: hold what there is, never
        divide by it.

    Examples
    --------
    >>> volatility_target_scale([0.8, 0.1, 0.0], target=0.4, maximum_scale=2.0).tolist()
    [0.5, 2.0, nan]
    """
    floored = np.maximum(read_only(volatility, "volatility"), volatility_floor)
    scale = np.full(len(floored), np.nan)
    np.divide(target, floored, out=scale, where=floored > 0.0)
    capped: FloatArray = np.minimum(scale, maximum_scale)
    return capped
