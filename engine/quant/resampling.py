"""Confidence intervals of any statistic of returns, by the stationary block bootstrap.

Blocks of random length keep the autocorrelation and the volatility clusters that drawing single returns would destroy;
their mean length is chosen from the data. The same seed gives the same draws on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from engine.quant.arrays import FloatArray, IntArray, finite_series, require_at_least, unwatched

Statistic = Callable[[FloatArray], float]

FEWEST_RETURNS = 10
"""Below this an automatic block length, and any interval, would be a guess."""
_FEWEST_DEFINED_SHARE = 0.9
_QUIET_LAGS = 5  # max(5, sqrt(log10 n)) of the paper: 5 for every length that fits into memory


@dataclass(frozen=True, slots=True)
class Resampling:
    """How to draw: number of resamples, seed, mean block length and length of each resample.

    Attributes
    ----------
    resamples : int
        At least 100; 1,000 place the ends of a 95 % interval well enough to show.
    seed : int
        At least 0.
    block_bars : float, optional
        Mean block length, at least 1; chosen from the data when left out.
    length_bars : int, optional
        Returns in each resample; as many as observed when left out. A shorter one answers what a shorter run may show.
    watch : callable
        Called at each resample; what it raises ends the drawing.
    """

    resamples: int = 1_000
    seed: int = 0
    block_bars: float | None = None
    length_bars: int | None = None
    watch: Callable[[], None] = field(default=unwatched, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse a plan that cannot be carried out with a ValueError."""
        require_at_least(self.resamples, 100, "resamples")
        require_at_least(self.seed, 0, "seed")
        if self.block_bars is not None and not 1.0 <= self.block_bars < math.inf:
            raise ValueError(f"block_bars is {self.block_bars}; it must be at least 1")
        if self.length_bars is not None:
            require_at_least(self.length_bars, 2, "length_bars")


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its two-sided percentile interval, in the unit of the statistic.

    NaN where undefined, and ``reason`` says why; ``resamples`` counts the draws in which the statistic was defined.
    """

    estimate: float
    low: float
    high: float
    confidence: float
    resamples: int
    block_bars: float
    reason: str = ""


def _autocovariances(moves: FloatArray, largest_lag: int) -> FloatArray:
    count = len(moves)
    return np.array([float(moves[: count - lag] @ moves[lag:]) / count for lag in range(largest_lag + 1)])


def _bandwidth(autocovariances: FloatArray, count: int) -> int:
    """Twice the last lag before a run of insignificant ones (Politis and White 2004, section 3.2)."""
    threshold = 2.0 * math.sqrt(math.log10(count) / count)
    small = np.abs(autocovariances[1:]) < threshold * autocovariances[0]
    largest = len(small)
    for lag in range(largest - _QUIET_LAGS + 1):
        if small[lag : lag + _QUIET_LAGS].all():
            return min(2 * max(lag, 1), largest)
    return largest


def automatic_block_length(returns: ArrayLike) -> float:
    """Mean block length of the stationary bootstrap (Politis and White 2004; corrected by Patton et al. 2009).

    ``(2 G**2 / D)**(1/3) * n**(1/3)`` with ``G = sum lambda(k/M) |k| R(k)`` and ``D = 2 (sum lambda(k/M) R(k))**2``
    over the lags -M to M; ``lambda`` is the flat-top window. Never above ``min(3 sqrt(n), n / 3)``.

    Parameters
    ----------
    returns : array_like, shape (n,)
        Finite.

    Returns
    -------
    float
        Bars, at least 1; NaN below ten returns or without variance.

    Raises
    ------
    ValueError
        When a return is NaN or infinite.

    Examples
    --------
    >>> automatic_block_length([0.01] * 20)
    nan
    """
    series = finite_series(returns, "returns")
    count = len(series)
    if count < FEWEST_RETURNS or float(np.ptp(series)) <= 1e-15 * max(1.0, float(np.abs(series).max())):
        return math.nan
    largest_lag = min(math.ceil(math.sqrt(count)) + _QUIET_LAGS, count - 1)
    autocovariances = _autocovariances(series - series.mean(), largest_lag)
    lags = np.arange(1, _bandwidth(autocovariances, count) + 1)
    weighted = np.minimum(1.0, 2.0 * (1.0 - lags / lags[-1])) * autocovariances[lags]
    spectrum = float(autocovariances[0] + 2.0 * weighted.sum())
    longest = math.ceil(min(3.0 * math.sqrt(count), count / 3.0))
    slope = 2.0 * float((lags * weighted).sum())
    # a spectrum of 0 asks for the longest blocks there are; squaring by multiplication ends in infinity, not an error
    ratio = slope / spectrum if spectrum else math.inf
    return min(max(1.0, math.cbrt(ratio * ratio * count)), float(longest))


def stationary_draws(observations: int, block_bars: float, plan: Resampling) -> Iterator[IntArray]:
    """Index series of the stationary bootstrap (Politis and Romano 1994): blocks of geometric length, wrapped around.

    Parameters
    ----------
    observations : int
        Length of the series that is resampled, at least 1.
    block_bars : float
        Mean block length, at least 1; 1 draws single observations.
    plan : Resampling

    Yields
    ------
    int64[m]
        Indices 0 to ``observations - 1``; ``plan.resamples`` of them, ``m`` the plan's length.

    Examples
    --------
    >>> next(stationary_draws(5, 1e9, Resampling(seed=3))).tolist()
    [1, 2, 3, 4, 0]
    """
    require_at_least(observations, 1, "observations")
    length = plan.length_bars or observations
    generator = np.random.default_rng(plan.seed)
    steps = np.arange(length)
    for _ in range(plan.resamples):
        renewed = generator.random(length) < 1.0 / block_bars
        renewed[0] = True
        starts = generator.integers(0, observations, length)
        block = np.maximum.accumulate(np.where(renewed, steps, 0))
        yield (starts[block] + steps - block) % observations


def distributions(
    returns: ArrayLike, statistics: Mapping[str, Statistic], plan: Resampling
) -> tuple[float, dict[str, FloatArray]]:
    """Every statistic on the same resamples.

    Parameters
    ----------
    returns : array_like, shape (n,)
        Finite, at least ten.
    statistics : mapping of str to callable
        Each takes float64[m] and returns a number, NaN where undefined.
    plan : Resampling

    Returns
    -------
    tuple of float and dict of str to float64[resamples]
        The mean block length that was used (1 where returns never vary), and the drawn values.

    Raises
    ------
    ValueError
        For fewer than ten returns, or one that is NaN or infinite.
    """
    series = finite_series(returns, "returns")
    if len(series) < FEWEST_RETURNS:
        raise ValueError(f"there are {len(series)} returns; resampling needs at least {FEWEST_RETURNS}")
    chosen = automatic_block_length(series) if plan.block_bars is None else plan.block_bars
    block_bars = 1.0 if math.isnan(chosen) else chosen
    drawn = {name: np.empty(plan.resamples) for name in statistics}
    for row, indices in enumerate(stationary_draws(len(series), block_bars, plan)):
        plan.watch()
        sample = series[indices]
        for name, statistic in statistics.items():
            drawn[name][row] = statistic(sample)
    return block_bars, drawn


def _interval(estimate: float, drawn: FloatArray, confidence: float, block_bars: float) -> Interval:
    defined = drawn[np.isfinite(drawn)]
    count = len(defined)
    if not math.isfinite(estimate):
        reason = "the statistic is undefined on the returns themselves"
    elif count < _FEWEST_DEFINED_SHARE * len(drawn):
        reason = f"the statistic is defined in only {count} of {len(drawn)} resamples"
    else:
        low, high = np.quantile(defined, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
        return Interval(estimate, float(low), float(high), confidence, count, block_bars)
    shown = estimate if math.isfinite(estimate) else math.nan
    return Interval(shown, math.nan, math.nan, confidence, count, block_bars, reason)


def confidence_intervals(
    returns: ArrayLike, statistics: Mapping[str, Statistic], plan: Resampling | None = None, confidence: float = 0.95
) -> dict[str, Interval]:
    """Percentile intervals of several statistics, drawn together.

    Parameters
    ----------
    returns : array_like, shape (n,)
        Simple returns per period, finite.
    statistics : mapping of str to callable
        For example ``{"sharpe": performance.sharpe}``.
    plan : Resampling, optional
        1,000 resamples with seed 0 when left out.
    confidence : float
        Two-sided, in (0, 1).

    Returns
    -------
    dict of str to Interval
        In the order given. Below ten returns all ends are NaN, with the reason.

    Raises
    ------
    ValueError
        For a confidence outside (0, 1), or a return that is NaN or infinite.

    Examples
    --------
    >>> found = confidence_intervals([0.01, -0.02] * 30, {"mean": lambda r: float(r.mean())})["mean"]
    >>> found.low < found.estimate < found.high
    True
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}; it must lie between 0 and 1")
    series = finite_series(returns, "returns")
    if len(series) < FEWEST_RETURNS:
        reason = f"{len(series)} returns are too few; an interval needs at least {FEWEST_RETURNS}"
        nothing = Interval(math.nan, math.nan, math.nan, confidence, 0, math.nan, reason)
        return dict.fromkeys(statistics, nothing)
    block_bars, drawn = distributions(series, statistics, plan or Resampling())
    return {
        name: _interval(float(statistics[name](series)), values, confidence, block_bars)
        for name, values in drawn.items()
    }
