"""The figures of a run, each with the reason where it is undefined, over the whole run, per year and per regime."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from engine.quant import performance
from engine.quant.arrays import FloatArray, IntArray, finite_series
from engine.quant.resampling import Interval, Resampling, Statistic, confidence_intervals
from engine.quant.volatility import DAYS_PER_YEAR

SHORTEST_ANNUALISED_YEARS = 0.9
"""A growth rate, and Calmar with it, from less than this is extrapolation: 180 good days gave a Calmar ratio of 37."""

_Label = TypeVar("_Label", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Measure:
    """A number, or the reason why there is none; never both."""

    value: float | None
    reason: str = ""

    @classmethod
    def of(cls, value: float, reason: str) -> Measure:
        """The number where it is finite, else the reason.

        >>> Measure.of(float("inf"), "nothing was lost")
        Measure(value=None, reason='nothing was lost')
        """
        return cls(float(value)) if math.isfinite(value) else cls(None, reason)


@dataclass(frozen=True, slots=True)
class DrawdownSpell:
    """From the first return under the old peak to the one that regained it.

    Attributes
    ----------
    start, trough : int
        Indices into the returns.
    recovered : int, optional
        Index of the return that regained the peak; None while still under water.
    depth : float
        Below 0, as a fraction of the peak.
    bars : int
        Returns after which wealth was below the peak.
    """

    start: int
    trough: int
    recovered: int | None
    depth: float
    bars: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of a return series after costs; fractions, drawdown at most 0, ratios per year.

    ``longest_drawdown_bars`` counts bars under water, one that has not ended included.
    """

    bars: int
    net_return: Measure
    cagr: Measure
    volatility: Measure
    sharpe: Measure
    sortino: Measure
    calmar: Measure
    max_drawdown: Measure
    longest_drawdown_bars: Measure


def drawdown_spells(returns: ArrayLike) -> tuple[DrawdownSpell, ...]:
    """Every stretch below an earlier peak of wealth, the starting 1 included, in time order.

    Parameters
    ----------
    returns : array_like, shape (n,)
        Simple, per period, finite.

    Returns
    -------
    tuple of DrawdownSpell

    Examples
    --------
    >>> drawdown_spells([0.1, -0.5, 0.5, 0.5, -0.1])[0]
    DrawdownSpell(start=1, trough=1, recovered=3, depth=-0.5, bars=2)
    """
    falls = performance.drawdowns(finite_series(returns, "returns"))
    under = np.concatenate(([False], falls < 0.0, [False]))
    edges = np.flatnonzero(under[1:] != under[:-1])
    spells = []
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        trough = start + int(np.argmin(falls[start:stop]))
        recovered = stop if stop < len(falls) else None
        spells.append(DrawdownSpell(start, trough, recovered, float(falls[trough]), stop - start))
    return tuple(spells)


def _growth(series: FloatArray, periods_per_year: float) -> Measure:
    if len(series) < SHORTEST_ANNUALISED_YEARS * periods_per_year:
        days = math.ceil(len(series) * DAYS_PER_YEAR / periods_per_year)
        counted = "1 day is" if days == 1 else f"{days:,} days are"
        return Measure(None, f"{counted} less than a year; see the net return")
    return Measure.of(performance.cagr(series, periods_per_year), "more than everything was lost")


def calmar_of(growth: Measure, deepest: Measure) -> Measure:
    """Growth a year over the size of the deepest drawdown, with the reason where either is undefined.

    >>> calmar_of(Measure(0.5), Measure(-0.25)).value
    2.0
    """
    if growth.value is None or deepest.value is None:
        return Measure(None, growth.reason or deepest.reason)
    if deepest.value == 0.0:
        return Measure(None, "there was no drawdown")
    return Measure(growth.value / -deepest.value)


def summarise(returns: ArrayLike, periods_per_year: float = DAYS_PER_YEAR) -> Summary:
    """The figures of one run.

    Parameters
    ----------
    returns : array_like, shape (n,)
        Simple net returns per period, finite.
    periods_per_year : float
        365 for daily bars, 8,760 for hourly ones.

    Returns
    -------
    Summary
        What is undefined holds None and the reason, never 0 or infinity.

    Raises
    ------
    ValueError
        When a return is NaN or infinite, or the periods are not positive.

    Examples
    --------
    >>> summarise([0.0, 0.0]).sharpe
    Measure(value=None, reason='the returns never vary')
    """
    if not 0.0 < periods_per_year < math.inf:
        raise ValueError(f"periods_per_year is {periods_per_year}; it must be above 0")
    series = finite_series(returns, "returns")
    few = "there are no returns" if len(series) == 0 else "there is one return only" if len(series) == 1 else ""
    none = few if len(series) == 0 else ""
    growth = _growth(series, periods_per_year)
    deepest = Measure.of(performance.max_drawdown(series), none)
    spells = drawdown_spells(series)
    return Summary(
        bars=len(series),
        net_return=Measure.of(performance.total_return(series), none or "the growth is beyond all numbers"),
        cagr=growth,
        volatility=Measure.of(performance.annualised_volatility(series, periods_per_year), few),
        sharpe=Measure.of(performance.sharpe(series, periods_per_year), few or "the returns never vary"),
        sortino=Measure.of(performance.sortino(series, periods_per_year), none or "no return was below 0"),
        calmar=calmar_of(growth, deepest),
        max_drawdown=deepest,
        longest_drawdown_bars=Measure(None, none) if none else Measure(float(max((s.bars for s in spells), default=0))),
    )


def _broken_up(whole: Summary) -> Summary:
    reason = "its bars do not follow one another"
    gone = Measure(None, reason)
    return Summary(
        bars=whole.bars,
        net_return=whole.net_return,
        cagr=gone,
        volatility=whole.volatility,
        sharpe=whole.sharpe,
        sortino=whole.sortino,
        calmar=gone,
        max_drawdown=gone,
        longest_drawdown_bars=gone,
    )


def summarise_by(
    returns: ArrayLike, labels: list[_Label], periods_per_year: float = DAYS_PER_YEAR
) -> dict[_Label, Summary]:
    """The figures of each label's bars: calendar years, regimes, exit reasons.

    Parameters
    ----------
    returns : array_like, shape (n,)
    labels : list of hashable, length n
        For years ``calendar_years(...).tolist()``, for regimes what `engine.quant.regimes` gives.
    periods_per_year : float

    Returns
    -------
    dict
        In order of first appearance. Where the bars of a label have gaps between them, what depends on their sequence
        (growth rate, drawdown) is undefined, with that reason.

    Raises
    ------
    ValueError
        When labels and returns differ in number; else as `summarise`.

    Examples
    --------
    >>> found = summarise_by([0.1, 0.2, -0.1], [2023, 2023, 2024])
    >>> round(found[2023].net_return.value, 6), found[2024].bars
    (0.32, 1)
    """
    series = finite_series(returns, "returns")
    if len(labels) != len(series):
        raise ValueError(f"there are {len(labels)} labels for {len(series)} returns")
    places: dict[_Label, list[int]] = {}
    for index, label in enumerate(labels):
        places.setdefault(label, []).append(index)
    result = {}
    for label, bars in places.items():
        whole = summarise(series[bars], periods_per_year)
        result[label] = whole if bars[-1] - bars[0] + 1 == len(bars) else _broken_up(whole)
    return result


def calendar_years(timestamps_ms: ArrayLike) -> IntArray:
    """UTC calendar year of each bar, from the time it **opens** (one that closes at midnight belongs to the old year).

    >>> calendar_years([0, 31_535_999_999, 31_536_000_000]).tolist()
    [1970, 1970, 1971]
    """
    stamps = np.asarray(timestamps_ms, dtype=np.int64)
    if stamps.ndim != 1:
        raise ValueError(f"timestamps have {stamps.ndim} dimensions; a series has one")
    years: IntArray = stamps.astype("datetime64[ms]").astype("datetime64[Y]").astype(np.int64) + 1970
    return years


def _statistics(periods_per_year: float) -> dict[str, Statistic]:
    def annual(ratio: Callable[[FloatArray, float], float]) -> Statistic:
        return lambda returns: ratio(returns, periods_per_year)

    return {
        "net_return": performance.total_return,
        "cagr": annual(performance.cagr),
        "volatility": annual(performance.annualised_volatility),
        "sharpe": annual(performance.sharpe),
        "sortino": annual(performance.sortino),
        "calmar": annual(performance.calmar),
        "max_drawdown": performance.max_drawdown,
    }


def summary_intervals(
    returns: ArrayLike,
    periods_per_year: float = DAYS_PER_YEAR,
    plan: Resampling | None = None,
    confidence: float = 0.95,
) -> dict[str, Interval]:
    """Bootstrap intervals of the figures of `summarise`, drawn together; keys are its field names.

    Figures that are undefined there have no interval either. The same returns, plan and confidence give the same
    intervals.

    Parameters
    ----------
    returns : array_like, shape (n,)
    periods_per_year : float
    plan : Resampling, optional
    confidence : float
        Two-sided, in (0, 1).

    Returns
    -------
    dict of str to Interval

    Raises
    ------
    ValueError
        As `summarise` and `engine.quant.resampling.confidence_intervals`.

    Examples
    --------
    >>> sorted(summary_intervals([0.01, -0.01] * 10))
    ['max_drawdown', 'net_return', 'sharpe', 'sortino', 'volatility']
    """
    measured = summarise(returns, periods_per_year)
    wanted = {
        name: statistic
        for name, statistic in _statistics(periods_per_year).items()
        if getattr(measured, name).value is not None
    }
    return confidence_intervals(returns, wanted, plan, confidence)
