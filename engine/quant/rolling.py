"""Windowed sums, means, deviations and extremes, each computed from its own window alone.

A running sum would carry the rounding errors of everything it ever saw, so that a late window would differ from the
same window computed alone, and exact ties would move by a bar. Here each value depends on its window and on nothing
else, to the last bit; four partial sums keep that fast.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from engine.quant.arrays import FloatArray, kernel, read_only, require_at_least


@kernel
def window_sum(x: FloatArray, start: int, stop: int) -> float:
    """Sum of ``x[start:stop]`` with four partial sums, always in the same order."""
    a = b = c = d = 0.0
    i = start
    while i + 4 <= stop:
        a += x[i]
        b += x[i + 1]
        c += x[i + 2]
        d += x[i + 3]
        i += 4
    while i < stop:
        a += x[i]
        i += 1
    return (a + b) + (c + d)


@kernel
def window_squares(x: FloatArray, start: int, stop: int, center: float) -> float:
    """Sum of ``(x[start:stop] - center)**2``, in the order of `window_sum`."""
    a = b = c = d = 0.0
    i = start
    while i + 4 <= stop:
        a += (x[i] - center) ** 2
        b += (x[i + 1] - center) ** 2
        c += (x[i + 2] - center) ** 2
        d += (x[i + 3] - center) ** 2
        i += 4
    while i < stop:
        a += (x[i] - center) ** 2
        i += 1
    return (a + b) + (c + d)


@kernel
def _means(x: FloatArray, n: int) -> FloatArray:
    out = np.full(len(x), np.nan)
    for t in range(n - 1, len(x)):
        out[t] = window_sum(x, t - n + 1, t + 1) / n
    return out


@kernel
def _deviations(x: FloatArray, n: int, ddof: int) -> FloatArray:
    out = np.full(len(x), np.nan)
    for t in range(n - 1, len(x)):
        start = t - n + 1
        mean = window_sum(x, start, t + 1) / n
        out[t] = np.sqrt(window_squares(x, start, t + 1, mean) / (n - ddof))
    return out


@kernel
def _highest(x: FloatArray, n: int) -> FloatArray:
    out = np.full(len(x), np.nan)
    best = -1
    for t in range(len(x)):
        if best <= t - n or best < 0:
            best = max(0, t - n + 1)
            for i in range(best + 1, t + 1):
                if x[i] >= x[best]:
                    best = i
        elif x[t] >= x[best]:
            best = t
        if t >= n - 1:
            out[t] = x[best]
    return out


def mean(values: ArrayLike, window_bars: int) -> FloatArray:
    """Rolling arithmetic mean, current bar included.

    Parameters
    ----------
    values : array_like, shape (n,)
    window_bars : int
        At least 1.

    Returns
    -------
    float64[n]
        NaN before index ``window_bars - 1``, and wherever the window holds a NaN.

    Examples
    --------
    >>> mean([1.0, 2.0, 3.0], 2).tolist()
    [nan, 1.5, 2.5]
    """
    require_at_least(window_bars, 1, "window_bars")
    return _means(read_only(values), window_bars)


def deviation(values: ArrayLike, window_bars: int, ddof: int) -> FloatArray:
    """Rolling standard deviation, in two passes over each window, current bar included.

    Parameters
    ----------
    values : array_like, shape (n,)
    window_bars : int
        More than ``ddof``.
    ddof : int
        0 for the population (Bollinger), 1 for a sample (volatility).

    Returns
    -------
    float64[n]
        Same unit as ``values``, at least 0; NaN before index ``window_bars - 1``.

    Examples
    --------
    >>> deviation([1.0, 3.0, 3.0], 2, ddof=0).tolist()
    [nan, 1.0, 0.0]
    """
    require_at_least(window_bars, ddof + 1, "window_bars")
    return _deviations(read_only(values), window_bars, ddof)


def highest(values: ArrayLike, window_bars: int) -> FloatArray:
    """Rolling maximum, current bar included; NaN before index ``window_bars - 1``. Input without NaN.

    >>> highest([1.0, 3.0, 2.0, 1.0], 2).tolist()
    [nan, 3.0, 3.0, 2.0]
    """
    require_at_least(window_bars, 1, "window_bars")
    return _highest(read_only(values), window_bars)


def lowest(values: ArrayLike, window_bars: int) -> FloatArray:
    """Rolling minimum, current bar included; NaN before index ``window_bars - 1``. Input without NaN.

    >>> lowest([1.0, 3.0, 2.0, 1.0], 2).tolist()
    [nan, 1.0, 2.0, 1.0]
    """
    require_at_least(window_bars, 1, "window_bars")
    lows: FloatArray = -_highest(-read_only(values), window_bars)
    return lows


def shifted(values: FloatArray, bars: int = 1) -> FloatArray:
    """The value known ``bars`` bars ago; NaN for the first ``bars``.

    >>> shifted(np.array([1.0, 2.0, 3.0])).tolist()
    [nan, 1.0, 2.0]
    """
    out = np.full(len(values), np.nan)
    out[bars:] = values[: max(0, len(values) - bars)]
    return out
