"""How likely a Sharpe ratio is real: probabilistic and deflated Sharpe, and how long a record or a backtest must be.

Sharpe ratios here are **per period**, never annualised, and kurtosis is not the excess one (3 for a normal): an
annualised ratio in these formulas is the usual mistake.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from engine.quant.arrays import FloatArray, finite_series, read_only

EULER_GAMMA = 0.5772156649015329
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class SharpeSample:
    """What a Sharpe ratio was measured on.

    Attributes
    ----------
    sharpe : float
        Mean over sample deviation (ddof 1), per period; NaN without variance.
    observations : int
        Returns it was measured on.
    skewness, kurtosis : float
        Population moments (ddof 0); the kurtosis of a normal is 3.
    """

    sharpe: float
    observations: int
    skewness: float = 0.0
    kurtosis: float = 3.0

    def variance_factor(self) -> float:
        """``1 - skew * SR + (kurt - 1) / 4 * SR**2``: variance of the estimate, times the observations."""
        return 1.0 - self.skewness * self.sharpe + (self.kurtosis - 1.0) / 4.0 * self.sharpe**2


@dataclass(frozen=True, slots=True)
class DeflatedSharpe:
    """Probability that the true Sharpe ratio beats the best that ``trials`` worthless ones would show.

    ``threshold`` is that best, per period. NaN where undefined, and ``reason`` says why.
    """

    probability: float
    threshold: float
    trials: float
    reason: str = ""


def sharpe_sample(returns: ArrayLike) -> SharpeSample:
    """Sharpe ratio per period of a return series, with the moments its uncertainty needs.

    Parameters
    ----------
    returns : array_like, shape (n,)
        Simple, per period, finite.

    Returns
    -------
    SharpeSample
        All NaN below two returns or where they never vary.

    Raises
    ------
    ValueError
        When a return is NaN or infinite.

    Examples
    --------
    >>> sample = sharpe_sample([0.01, -0.01, 0.03, 0.01])
    >>> round(sample.sharpe, 6), sample.observations, round(sample.kurtosis, 6)
    (0.612372, 4, 2.0)
    """
    series = finite_series(returns, "returns")
    count = len(series)
    if count < 2 or float(series.std(ddof=1)) <= 1e-15 * max(1.0, float(np.abs(series).max())):
        return SharpeSample(math.nan, count, math.nan, math.nan)
    moves = series - series.mean()
    variance = float(np.mean(moves**2))
    skewness = float(np.mean(moves**3)) / math.pow(variance, 1.5)
    kurtosis = float(np.mean(moves**4)) / variance**2
    return SharpeSample(float(series.mean() / series.std(ddof=1)), count, skewness, kurtosis)


def probabilistic_sharpe(sample: SharpeSample, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio exceeds ``benchmark`` (Bailey and Lopez de Prado 2012).

    ``Z[(SR - SR*) sqrt(T - 1) / sqrt(1 - skew SR + (kurt - 1) / 4 SR**2)]``.

    Parameters
    ----------
    sample : SharpeSample
    benchmark : float
        Sharpe ratio per period.

    Returns
    -------
    float
        0 to 1; NaN below two observations, or where the moments cannot belong to returns with this ratio.

    Examples
    --------
    >>> round(probabilistic_sharpe(SharpeSample(0.1, 400)), 4)
    0.9768
    """
    factor = sample.variance_factor()
    if sample.observations < 2 or not (factor > 0.0 and math.isfinite(benchmark)):
        return math.nan
    return _NORMAL.cdf((sample.sharpe - benchmark) * math.sqrt((sample.observations - 1) / factor))


def expected_maximum(trials: float) -> float:
    """Expected largest of that many independent standard normals (Bailey et al. 2014); 0 for a single one.

    ``(1 - g) Z^-1[1 - 1 / N] + g Z^-1[1 - 1 / (N e)]``, an approximation for large N. ValueError below one.

    >>> round(expected_maximum(10), 4), expected_maximum(1)
    (1.5746, 0.0)
    """
    if not 1.0 <= trials < math.inf:
        raise ValueError(f"trials is {trials}; every run counts, so there is at least 1")
    if trials == 1.0:
        return 0.0
    # the lower tail, mirrored, keeps its digits however many trials there are
    first, second = -_NORMAL.inv_cdf(1.0 / trials), -_NORMAL.inv_cdf(1.0 / (trials * math.e))
    # near one trial the approximation falls below the expectation of a single normal, which is 0
    return max(0.0, (1.0 - EULER_GAMMA) * first + EULER_GAMMA * second)


def deflated_sharpe(sample: SharpeSample, trials: float, trial_variance: float) -> DeflatedSharpe:
    """Deflated Sharpe ratio (Bailey and Lopez de Prado 2014): `probabilistic_sharpe` against the best of luck.

    Parameters
    ----------
    sample : SharpeSample
        Of the strategy that was chosen.
    trials : float
        Every run that was looked at, abandoned ones included; `effective_trials` where they resemble one another.
    trial_variance : float
        Variance over the trials of their Sharpe ratios **per period** (an annual one over the periods per year).

    Returns
    -------
    DeflatedSharpe
        With one trial it is `probabilistic_sharpe` against 0.

    Raises
    ------
    ValueError
        For less than one trial or a negative variance.

    Examples
    --------
    >>> found = deflated_sharpe(SharpeSample(2.5 / 250**0.5, 1250, -3.0, 10.0), trials=100, trial_variance=0.5 / 250)
    >>> round(found.threshold, 4), round(found.probability, 4)
    (0.1132, 0.9004)
    """
    if trial_variance < 0.0:
        raise ValueError(f"trial_variance is {trial_variance}; a variance is at least 0")
    largest = expected_maximum(trials)
    if math.isnan(trial_variance) and trials > 1.0:
        return DeflatedSharpe(math.nan, math.nan, trials, "the Sharpe ratios of the other trials are not known")
    threshold = math.sqrt(trial_variance) * largest if trials > 1.0 else 0.0
    probability = probabilistic_sharpe(sample, threshold)
    reason = "the Sharpe ratio is undefined: too few returns, or returns that never vary"
    return DeflatedSharpe(probability, threshold, trials, reason if math.isnan(probability) else "")


def trial_variance(sharpes: ArrayLike) -> float:
    """Sample variance (ddof 1) of the trials' Sharpe ratios; NaN ones (never traded) count as 0; NaN below two trials.

    >>> round(trial_variance([0.1, -0.1, float("nan")]), 6)
    0.01
    """
    values = np.nan_to_num(read_only(sharpes, "sharpes"), nan=0.0)
    return float(values.var(ddof=1)) if len(values) > 1 else math.nan


def minimum_track_record(sample: SharpeSample, benchmark: float = 0.0, confidence: float = 0.95) -> float:
    """Observations after which this Sharpe ratio would exceed ``benchmark`` with the given confidence.

    ``1 + (1 - skew SR + (kurt - 1) / 4 SR**2) (Z_c / (SR - SR*))**2`` (Bailey and Lopez de Prado 2012).

    Parameters
    ----------
    sample : SharpeSample
        Its number of observations plays no part.
    benchmark : float
        Sharpe ratio per period.
    confidence : float
        One-sided, above 0.5 and below 1.

    Returns
    -------
    float
        Periods; NaN where the ratio does not exceed the benchmark, because then no record is long enough.

    Raises
    ------
    ValueError
        For a confidence outside its range.

    Examples
    --------
    >>> round(minimum_track_record(SharpeSample(2.0 / 252**0.5, 0, -0.72, 5.78)), 2)
    190.14
    """
    if not 0.5 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}; it must lie between 0.5 and 1")
    factor = sample.variance_factor()
    if not (sample.sharpe > benchmark and factor > 0.0):
        return math.nan
    return 1.0 + factor * (_NORMAL.inv_cdf(confidence) / (sample.sharpe - benchmark)) ** 2


def minimum_backtest_years(trials: float, annual_sharpe: float = 1.0) -> float:
    """Years that keep the best of that many worthless trials below ``annual_sharpe`` on average (Bailey et al. 2014).

    ``(E[max_N] / SR)**2``; 0 for one trial. ValueError below one trial or for a ratio that is not positive.

    >>> round(minimum_backtest_years(45), 2)
    5.0
    """
    if not annual_sharpe > 0.0:
        raise ValueError(f"annual_sharpe is {annual_sharpe}; it must be above 0")
    return (expected_maximum(trials) / annual_sharpe) ** 2


def effective_trials(trial_returns: ArrayLike) -> float:
    """Number of independent trials that are worth as much as these, from their average correlation.

    ``rho + (1 - rho) N`` with the mean ``rho`` of all pairwise correlations (Bailey and Lopez de Prado 2014, appendix).
    It is a summary: two tight groups of opposite bets look like more than two. Where in doubt use the plain count,
    which is stricter.

    Parameters
    ----------
    trial_returns : array_like, shape (t, n)
        One column per trial, aligned in time, finite. A column that never varies correlates with nothing.

    Returns
    -------
    float
        1 to n; n where the trials are uncorrelated or opposed.

    Raises
    ------
    ValueError
        When there is no column, fewer than two rows, or a value that is not finite.

    Examples
    --------
    >>> round(effective_trials([[0.1, 0.1], [0.2, 0.2], [-0.1, -0.1]]), 9)
    1.0
    >>> effective_trials([[1.0, 1.0], [1.0, -1.0], [-2.0, 0.0]])
    2.0
    """
    table = returns_table(trial_returns)
    trials = int(table.shape[1])
    if trials == 1:
        return 1.0
    moves = table - table.mean(axis=0)
    lengths = np.sqrt((moves**2).sum(axis=0))
    unit = np.zeros(moves.shape)
    np.divide(moves, lengths, out=unit, where=lengths > 1e-14 * np.abs(table).max(axis=0))
    # the squared length of the sum of unit vectors holds every pair twice and each vector once
    together = float((unit.sum(axis=1) ** 2).sum()) - float((unit**2).sum())
    correlation = min(1.0, max(0.0, together / (trials * (trials - 1))))
    return correlation + (1.0 - correlation) * trials


def returns_table(trial_returns: ArrayLike) -> FloatArray:
    """Returns of several trials as float64[t, n], refused with a ValueError when one cannot compare them.

    >>> returns_table([[0.1], [0.2]]).shape
    (2, 1)
    """
    table = np.asarray(trial_returns, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] < 2 or table.shape[1] < 1:
        raise ValueError(f"trial returns have shape {table.shape}; they need two rows and one column at least")
    bad = np.argwhere(~np.isfinite(table))
    if len(bad):
        raise ValueError(f"trial {bad[0][1]} has {table[tuple(bad[0])]} at row {bad[0][0]}; fill or drop it first")
    return table
