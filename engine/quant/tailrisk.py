"""Value at risk and expected shortfall of one period; losses are positive, as fractions of what is held.

``tail`` is the tail probability: 0.05 is a "95 % VaR". None of these may be scaled by the square root of time unless
returns are independent, without drift, and normal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from engine.quant.arrays import FloatArray, read_only

_NORMAL = NormalDist()


class TailMethod(Enum):
    """How a tail was estimated."""

    HISTORICAL = "historical"
    GAUSSIAN = "gaussian"
    CORNISH_FISHER = "Cornish-Fisher"


@dataclass(frozen=True, slots=True)
class TailRisk:
    """Loss that is exceeded with probability ``tail``, the mean of the losses beyond it, and how both were found."""

    var: float
    cvar: float
    method: TailMethod
    observations: int


def _checked(returns: ArrayLike, tail: float) -> FloatArray:
    if not 0.0 < tail < 1.0:
        raise ValueError(f"tail is {tail}; it must lie between 0 and 1")
    return read_only(returns, "returns")


def historical(returns: ArrayLike, tail: float) -> TailRisk:
    """Order-statistic VaR and the CVaR of Rockafellar and Uryasev (2000), which splits the observation at the VaR.

    VaR is ``-sorted(r)[ceil(tail * n) - 1]``, an observed loss; interpolating conventions give other numbers.

    Parameters
    ----------
    returns : array_like, shape (n,)
    tail : float
        In (0, 1).

    Returns
    -------
    TailRisk
        NaN without returns or with a NaN among them. Below ``1 / tail`` returns it is just the worst one seen.

    Raises
    ------
    ValueError
        For a tail outside (0, 1).

    Examples
    --------
    >>> risk = historical([-0.04, -0.02, 0.01, 0.03], tail=0.5)
    >>> risk.var, round(risk.cvar, 12)
    (0.02, 0.03)
    """
    series = _checked(returns, tail)
    count = len(series)
    if count == 0 or bool(np.isnan(series).any()):
        return TailRisk(math.nan, math.nan, TailMethod.HISTORICAL, count)
    losses = -np.sort(series)
    # tail * n may miss a whole number by a rounding error (0.07 * 100); that must not move the order statistic
    position = max(1, math.ceil(tail * count - 1e-9))
    value = float(losses[position - 1])
    excess = float(np.maximum(losses[: position - 1] - value, 0.0).sum())
    return TailRisk(value, value + excess / (tail * count), TailMethod.HISTORICAL, count)


def gaussian(returns: ArrayLike, tail: float) -> TailRisk:
    """VaR ``-(mu + z sd)`` and CVaR ``-(mu - sd phi(z) / tail)`` with the sample deviation (ddof 1).

    Too small for fat tails. NaN below two returns; ValueError for a tail outside (0, 1).

    >>> round(gaussian([-0.01, 0.01], tail=0.05).var, 6)
    0.023262
    """
    series = _checked(returns, tail)
    if len(series) < 2:
        return TailRisk(math.nan, math.nan, TailMethod.GAUSSIAN, len(series))
    mean, spread, z = float(series.mean()), float(series.std(ddof=1)), _NORMAL.inv_cdf(tail)
    cvar = -(mean - spread * _NORMAL.pdf(z) / tail)
    return TailRisk(-(mean + z * spread), cvar, TailMethod.GAUSSIAN, len(series))


def sample_skewness(returns: ArrayLike) -> float:
    """Bias-corrected skewness (G1); NaN below three returns or without variance.

    >>> sample_skewness([-1.0, 0.0, 1.0])
    0.0
    """
    series = read_only(returns, "returns")
    n = len(series)
    moves = series - series.mean() if n else series
    variance = float(np.mean(moves**2)) if n else 0.0
    if n < 3 or variance <= 0.0:
        return math.nan
    return float(np.mean(moves**3)) / math.pow(variance, 1.5) * math.sqrt(n * (n - 1)) / (n - 2)


def sample_excess_kurtosis(returns: ArrayLike) -> float:
    """Bias-corrected excess kurtosis (G2), 0 for a normal; NaN below four returns or without variance.

    >>> round(sample_excess_kurtosis([1.0, 2.0, 3.0, 4.0]), 12)
    -1.2
    """
    series = read_only(returns, "returns")
    n = len(series)
    moves = series - series.mean() if n else series
    variance = float(np.mean(moves**2)) if n else 0.0
    if n < 4 or variance <= 0.0:
        return math.nan
    biased = float(np.mean(moves**4)) / variance**2 - 3.0
    return (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * biased + 6.0)


def cornish_fisher_is_monotone(skewness: float, excess_kurtosis: float) -> bool:
    """Whether the Cornish-Fisher quantile rises with the normal one everywhere (Maillard 2012).

    Where it does not, a smaller tail can show a smaller loss and the expansion must not be used. False for NaN.

    >>> cornish_fisher_is_monotone(0.0, 0.0), cornish_fisher_is_monotone(-2.0, 1.0)
    (True, False)
    """
    square = excess_kurtosis / 8.0 - skewness**2 / 6.0
    linear = skewness / 3.0
    constant = 1.0 - excess_kurtosis / 8.0 + 5.0 * skewness**2 / 36.0
    if square == 0.0:
        return linear == 0.0 and constant >= 0.0
    return square > 0.0 and linear**2 <= 4.0 * square * constant


def cornish_fisher_quantile(z: float, skewness: float, excess_kurtosis: float) -> float:
    """Standardised quantile ``z + (z^2-1)S/6 + (z^3-3z)K/24 - (2z^3-5z)S^2/36`` for a normal quantile ``z``.

    >>> cornish_fisher_quantile(-2.0, 0.0, 0.0)
    -2.0
    """
    cubic = (z**3 - 3 * z) * excess_kurtosis / 24 - (2 * z**3 - 5 * z) * skewness**2 / 36
    return z + (z**2 - 1) * skewness / 6 + cubic


def cornish_fisher(returns: ArrayLike, tail: float) -> TailRisk:
    """VaR and CVaR of a normal corrected for skewness S and excess kurtosis K, or `historical` where that fails.

    The CVaR is the exact mean of `cornish_fisher_quantile` over the tail, not a sum over a grid.

    Parameters
    ----------
    returns : array_like, shape (n,)
    tail : float
        In (0, 1).

    Returns
    -------
    TailRisk
        ``method`` says which of the two was used: crypto's kurtosis often breaks monotonicity.

    Raises
    ------
    ValueError
        For a tail outside (0, 1).

    Examples
    --------
    >>> cornish_fisher([-0.2] + [0.01, -0.01] * 20, tail=0.05).method
    <TailMethod.HISTORICAL: 'historical'>
    """
    series = _checked(returns, tail)
    s, k = sample_skewness(series), sample_excess_kurtosis(series)
    if not cornish_fisher_is_monotone(s, k):
        return historical(series, tail)
    z = _NORMAL.inv_cdf(tail)
    quantile = cornish_fisher_quantile(z, s, k)
    density = _NORMAL.pdf(z) / tail
    tail_mean = -density * (1 + z * s / 6 + (z**2 - 1) * k / 24 - (2 * z**2 - 1) * s**2 / 36)
    mean, spread = float(series.mean()), float(series.std(ddof=1))
    return TailRisk(-(mean + quantile * spread), -(mean + tail_mean * spread), TailMethod.CORNISH_FISHER, len(series))
