"""What kind of market each bar lay in, known before the bar: volatility and trend against their own past.

Nothing here looks ahead: the label of a bar uses only bars before it, and the thirds are those of the past, so that a
label never changes when more data arrives.
"""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import ArrayLike

from engine.quant import rolling
from engine.quant.arrays import IntArray, finite_series, kernel, read_only, require_at_least


class Third(Enum):
    """Where a value lies among all values before it."""

    UNKNOWN = "unknown"
    LOW = "low"
    MIDDLE = "middle"
    HIGH = "high"


_BY_CODE = (Third.LOW, Third.MIDDLE, Third.HIGH, Third.UNKNOWN)


@kernel
def _past_thirds(order: IntArray, fewest: int, distinct: int) -> IntArray:
    """Third of each value among the values before it; ``order`` is its rank from 0, -1 for none; 3 is unknown.

    A Fenwick tree counts the ranks seen so far. Ranks of the whole series only say which of two values is larger, so
    they reveal nothing of the future.
    """
    counts = np.zeros(distinct + 1, dtype=np.int64)
    thirds = np.full(len(order), 3, dtype=np.int64)
    seen = 0
    for t in range(len(order)):
        if order[t] < 0:
            continue
        below = 0
        i = order[t]
        while i > 0:
            below += counts[i]
            i -= i & -i
        up_to = 0
        i = order[t] + 1
        while i > 0:
            up_to += counts[i]
            i -= i & -i
        if seen >= fewest:
            thirds[t] = min(2, 3 * (below + up_to) // (2 * seen))
        seen += 1
        i = order[t] + 1
        while i <= distinct:
            counts[i] += 1
            i += i & -i
    return thirds


def past_thirds(values: ArrayLike, fewest: int = 100) -> list[Third]:
    """Third of each value among the values **before** it, ties counted half.

    Parameters
    ----------
    values : array_like, shape (n,)
        NaN is unknown and counts for nobody.
    fewest : int
        Values that must lie before, at least 3.

    Returns
    -------
    list of Third, length n
        Unknown until there are ``fewest`` values.

    Examples
    --------
    >>> [third.value for third in past_thirds([1.0, 2.0, 3.0, 4.0, 0.0, 2.5], fewest=3)]
    ['unknown', 'unknown', 'unknown', 'high', 'low', 'middle']
    """
    require_at_least(fewest, 3, "fewest")
    series = read_only(values)
    known = ~np.isnan(series)
    order = np.full(len(series), -1, dtype=np.int64)
    distinct, ranks = np.unique(series[known], return_inverse=True)
    order[known] = ranks
    return [_BY_CODE[code] for code in _past_thirds(order, fewest, len(distinct)).tolist()]


def volatility_regimes(returns: ArrayLike, window_bars: int = 30, fewest: int = 100) -> list[Third]:
    """Third of the volatility of the last ``window_bars`` returns before each bar, among its own past.

    Parameters
    ----------
    returns : array_like, shape (n,)
        Of the market, not of the strategy; finite.
    window_bars : int
        At least 2.
    fewest : int
        Volatilities that must be known before.

    Returns
    -------
    list of Third, length n
        The first ``window_bars + fewest`` are unknown.

    Examples
    --------
    >>> calm, wild = [0.01, -0.01] * 10, [0.05, -0.05] * 3
    >>> volatility_regimes(calm + wild, window_bars=2, fewest=5)[-1]
    <Third.HIGH: 'high'>
    """
    series = finite_series(returns, "returns")
    return past_thirds(rolling.shifted(rolling.deviation(series, window_bars, ddof=1)), fewest)


def trend_regimes(returns: ArrayLike, window_bars: int = 90, fewest: int = 100) -> list[Third]:
    """Third of the mean return of the last ``window_bars`` bars before each bar, among its own past: down, flat, up.

    Parameters and result as `volatility_regimes`.

    >>> trend_regimes([0.0] * 8 + [0.02, 0.03, 0.04], window_bars=2, fewest=5)[-1]
    <Third.HIGH: 'high'>
    """
    series = finite_series(returns, "returns")
    return past_thirds(rolling.shifted(rolling.mean(series, window_bars)), fewest)
