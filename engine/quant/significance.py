"""Corrections of p-values for having asked many questions of the same data."""

from __future__ import annotations

import math
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike

from engine.quant.arrays import BoolArray, FloatArray, read_only
from engine.quant.overfitting import SharpeSample, probabilistic_sharpe


class Correction(Enum):
    """What a correction holds down: the chance of any false discovery, or the share of false ones among all."""

    BONFERRONI = "Bonferroni"
    HOLM = "Holm"
    BENJAMINI_HOCHBERG = "Benjamini-Hochberg"
    BENJAMINI_YEKUTIELI = "Benjamini-Hochberg-Yekutieli"


def _factors(count: int, correction: Correction) -> FloatArray:
    """What the p-values, smallest first, are multiplied with."""
    ranks = np.arange(1.0, count + 1.0)
    if correction is Correction.BONFERRONI:
        return np.full(count, float(count))
    if correction is Correction.HOLM:
        return count + 1.0 - ranks
    dependence = float((1.0 / ranks).sum()) if correction is Correction.BENJAMINI_YEKUTIELI else 1.0
    return count / ranks * dependence


def adjusted(p_values: ArrayLike, correction: Correction) -> FloatArray:
    """P-values that can be compared with one significance level, however many there are.

    Holm (1979) and Bonferroni bound the chance of a single false discovery; Benjamini and Hochberg (1995) bound the
    share of false ones among independent tests, Benjamini and Yekutieli (2001) under any dependence: the one for trials
    that resemble each other.

    Parameters
    ----------
    p_values : array_like, shape (n,)
        0 to 1, of **every** trial that was run.
    correction : Correction

    Returns
    -------
    float64[n]
        In the order given, 0 to 1, never below the raw value.

    Raises
    ------
    ValueError
        When a p-value is NaN or outside 0 to 1.

    Examples
    --------
    >>> adjusted([0.03, 0.01, 0.02], Correction.HOLM).round(12).tolist()
    [0.04, 0.03, 0.04]
    """
    raw = read_only(p_values, "p_values")
    bad = np.flatnonzero(~((raw >= 0.0) & (raw <= 1.0)))
    if len(bad):
        raise ValueError(f"p-value {raw[bad[0]]} at index {bad[0]} is not between 0 and 1")
    order = np.argsort(raw, kind="stable")
    scaled = raw[order] * _factors(len(raw), correction)
    if correction is Correction.HOLM:
        scaled = np.maximum.accumulate(scaled)
    elif correction is not Correction.BONFERRONI:
        scaled = np.minimum.accumulate(scaled[::-1])[::-1]
    result = np.empty(len(raw))
    result[order] = np.minimum(scaled, 1.0)
    return result


def discoveries(p_values: ArrayLike, correction: Correction, level: float = 0.05) -> BoolArray:
    """Which of the trials stay significant after the correction; bool[n]. ValueError for a level outside (0, 1).

    >>> discoveries([0.001, 0.04], Correction.BONFERRONI).tolist()
    [True, False]
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level}; it must lie between 0 and 1")
    kept: BoolArray = adjusted(p_values, correction) <= level
    return kept


def sharpe_p_value(sample: SharpeSample, benchmark: float = 0.0) -> float:
    """One-sided p-value of a Sharpe ratio (per period) against ``benchmark``, skewness and kurtosis allowed for.

    NaN where the ratio is undefined; such a trial enters a correction as 1, because it found nothing.

    >>> round(sharpe_p_value(SharpeSample(0.1, 400)), 4)
    0.0232
    """
    return 1.0 - probabilistic_sharpe(sample, benchmark)


def t_statistic(sample: SharpeSample) -> float:
    """``SR * sqrt(n)``: t-ratio of the mean return. After many trials the hurdle is 3, not 2 (Harvey, Liu, Zhu 2016).

    >>> t_statistic(SharpeSample(0.1, 400))
    2.0
    """
    return sample.sharpe * math.sqrt(sample.observations)
