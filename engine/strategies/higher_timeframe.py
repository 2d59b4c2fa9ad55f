"""The trend of longer bars, seen from short ones, from completed longer bars only."""

from __future__ import annotations

import numpy as np

from engine.domain.market import CandleArrays, FloatArray, IntArray
from engine.quant.arrays import kernel, read_only
from engine.quant.rolling import window_sum


@kernel
def _trend(opened_at_ms: IntArray, close: FloatArray, bar_ms: int, higher_ms: int, average_bars: int) -> FloatArray:
    n = len(close)
    out = np.full(n, np.nan)
    completed = np.empty(n)
    count, trend = 0, np.nan
    for t in range(n):
        before = count
        bucket = opened_at_ms[t] // higher_ms
        gap_closed_the_last = t > 0 and opened_at_ms[t - 1] // higher_ms != bucket
        if gap_closed_the_last and (opened_at_ms[t - 1] + bar_ms) // higher_ms == opened_at_ms[t - 1] // higher_ms:
            completed[count] = close[t - 1]
            count += 1
        if (opened_at_ms[t] + bar_ms) // higher_ms != bucket:
            completed[count] = close[t]
            count += 1
        if count > before and count >= average_bars:
            mean = window_sum(completed, count - average_bars, count) / average_bars
            trend = np.sign(completed[count - 1] - mean)
        out[t] = trend
    return out


def higher_trend(candles: CandleArrays, factor: int, average_bars: int, first: int) -> FloatArray:
    """Whether the last completed higher bar closed above or below the mean of the last ``average_bars`` such closes.

    A higher bar spans ``factor`` bars and is aligned to absolute time (multiples of its length since 1970 UTC), so
    that it does not depend on where the window begins. It is complete at the close of its last bar, or, where
    candles are missing, at the first bar after it.

    Parameters
    ----------
    candles : CandleArrays
    factor : int
        Bars in a higher bar, at least 1.
    average_bars : int
        Higher bars in the mean, at least 2.
    first : int
        Index of the first bar asked for; at least `higher_memory_bars` - 1.

    Returns
    -------
    float64[n - first]
        1 above, -1 below, 0 exactly at the mean.
    """
    known = candles.slice(first + 1 - higher_memory_bars(factor, average_bars), len(candles))
    opened_at_ms = np.ascontiguousarray(known.opened_at_ms, dtype=np.int64).view()
    opened_at_ms.flags.writeable = False
    bar_ms = candles.timeframe.ms
    trend = _trend(opened_at_ms, read_only(known.close), bar_ms, factor * bar_ms, average_bars)
    return trend[first - len(candles) :]


def higher_memory_bars(factor: int, average_bars: int) -> int:
    """Bars that always hold ``average_bars`` completed higher bars, wherever the window begins."""
    return (average_bars + 1) * factor
