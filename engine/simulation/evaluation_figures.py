"""The figures of one backtest with their 95 % intervals: returns by UTC day, trades one by one, exposure by close."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.domain.market import FloatArray, IntArray, to_ms
from engine.quant import performance, tradefigures
from engine.quant.resampling import Interval, Resampling, confidence_intervals
from engine.quant.summary import Measure, calmar_of, summarise, summary_intervals
from engine.simulation.backtest import BacktestRun

DAY_MS = 86_400_000
CONFIDENCE = 0.95
_YEAR_DAYS = 365.0
Figures = Mapping[str, "Figure"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with the ends of its interval; None where undefined, with the reason."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""

    @classmethod
    def of(cls, measure: Measure, interval: Interval | None = None) -> Figure:
        """A measured number and, where there is one, its interval."""
        if interval is None or not math.isfinite(interval.low):
            return cls(measure.value, reason=measure.reason or ("" if interval is None else interval.reason))
        return cls(measure.value, interval.low, interval.high, measure.reason)


@dataclass(frozen=True, slots=True)
class Days:
    """Equity by UTC day, or by candle where candles are longer.

    Attributes
    ----------
    opened_ms : int64[d]
        Begin of each; a close at midnight belongs to the day it ends.
    returns : float64[d]
        Simple, after costs; 0 on a day without a close.
    period_ms : int
    """

    opened_ms: IntArray
    returns: FloatArray
    period_ms: int

    @property
    def per_year(self) -> float:
        """Periods in a year of 365 days."""
        return _YEAR_DAYS * DAY_MS / self.period_ms


def by_day(at_ms: IntArray, equity: FloatArray, capital: float, candle_ms: int) -> Days:
    """Returns between the last closes of the days.

    Parameters
    ----------
    at_ms : int64[n]
        Closes, rising.
    equity : float64[n]
    capital : float
        Before the first close, above 0.
    candle_ms : int
        Length of a candle.

    Examples
    --------
    >>> days = by_day(np.array([DAY_MS // 2, DAY_MS, 3 * DAY_MS]), np.array([100.0, 110.0, 99.0]), 100.0, DAY_MS // 2)
    >>> days.returns.round(12).tolist()
    [0.1, 0.0, -0.1]
    """
    opened_ms, last = day_ends(at_ms, candle_ms)
    return Days(opened_ms, returns_of(equity[last], capital), max(DAY_MS, candle_ms))


def day_ends(at_ms: IntArray, candle_ms: int) -> tuple[IntArray, IntArray]:
    """Begin of each day, and the row of the last close by its end; parameters as `by_day`."""
    period = max(DAY_MS, candle_ms)
    if len(at_ms) == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    number = (at_ms - 1) // period
    every = np.arange(int(number[0]), int(number[-1]) + 1)
    last = np.searchsorted(number, every, side="right") - 1
    return every * period, last


def returns_of(levels: FloatArray, capital: float) -> FloatArray:
    """Simple returns between equities at the ends of days, the first from the capital.

    A day that ends with nothing, or owing money, lost everything, and so did the run, whatever came after: its return
    is -1 and the later ones are 0.

    >>> returns_of(np.array([50.0, -5.0, 40.0]), 100.0).tolist()
    [-0.5, -1.0, 0.0]
    """
    lost = np.flatnonzero(levels <= 0.0)
    kept = levels if not len(lost) else np.where(np.arange(len(levels)) < lost[0], levels, 0.0)
    before = np.concatenate(([capital], kept[:-1])) if len(kept) else kept
    with np.errstate(divide="ignore", invalid="ignore"):
        returns: FloatArray = np.where(before > 0.0, kept / before - 1.0, 0.0)
    return returns


def days_of(run: BacktestRun) -> Days:
    """The run's own days."""
    candle_ms = max(one.candles.timeframe.ms for one in run.series)
    return by_day(run.at_ms, run.equity, float(run.setup.config.cash), candle_ms)


def lived_until_ms(run: BacktestRun) -> int | None:
    """Close (ms UTC) of the last thing that a run the brake ended for good did; None where it was not ended."""
    if run.stopped_at is None:
        return None
    return max(to_ms(run.stopped_at), max((fill.at_ms for fill in run.fills), default=0))


def lived(run: BacktestRun, days: Days) -> Days:
    """The days before the brake ended the run: what came after is no record, neither of it nor of what it is held to.

    Parameters
    ----------
    run : BacktestRun
    days : Days
        Of its range, its own or those of a comparison.
    """
    until_ms = lived_until_ms(run)
    if until_ms is None:
        return days
    count = int(np.searchsorted(days.opened_ms, until_ms, side="left"))
    return Days(days.opened_ms[:count], days.returns[:count], days.period_ms)


def deepest(run: BacktestRun, equity: FloatArray) -> float:
    """Deepest drawdown of a curve over the run's closes while it lived, from the capital; at most 0.

    It is of every close, as the brake sees it: the days' last closes leave out what happened in between.
    """
    peaks = np.maximum(np.maximum.accumulate(equity), float(run.setup.config.cash))
    falls = np.maximum(equity, 0.0) / peaks - 1.0
    return float(falls[: _lived_closes(run)].min(initial=0.0))


def _lived_closes(run: BacktestRun) -> int:
    until_ms = lived_until_ms(run)
    return len(run.at_ms) if until_ms is None else int(np.searchsorted(run.at_ms, until_ms, side="right"))


def return_figures(days: Days, plan: Resampling | None = None, drawdown: float | None = None) -> dict[str, Figure]:
    """Figures of the returns, by the names of a result record.

    Parameters
    ----------
    days : Days
    plan : Resampling, optional
        Of the stationary block bootstrap; without one there are no intervals.
    drawdown : float, optional
        Deepest one of every close, at most 0; that of the days' last closes when left out.
    """
    summary = summarise(days.returns, days.per_year)
    intervals = summary_intervals(days.returns, days.per_year, plan, CONFIDENCE) if plan is not None else {}
    names = ("net_return", "cagr", "volatility", "sharpe", "sortino", "calmar", "max_drawdown")
    figures = {name: Figure.of(getattr(summary, name), intervals.get(name)) for name in names}
    if drawdown is not None and figures["max_drawdown"].value is not None:
        # the days' resampling knows nothing of what lies between their closes
        figures |= {"max_drawdown": Figure(drawdown), "calmar": Figure.of(calmar_of(summary.cagr, Measure(drawdown)))}
    longest = summary.longest_drawdown_bars
    scale = days.period_ms / DAY_MS
    figures["drawdown_days"] = Figure(None if longest.value is None else longest.value * scale, reason=longest.reason)
    return figures


def trade_figures(run: BacktestRun, plan: Resampling) -> dict[str, Figure]:
    """Figures of the closed trades; a win rate stands with its count, payoff and Wilson interval."""
    results = np.array([float(trade.pnl) for trade in run.trades])
    found = tradefigures.trade_figures(results, CONFIDENCE)
    drawn = confidence_intervals(
        results, {"payoff": performance.payoff_ratio, "expectancy": lambda values: float(values.mean())}, plan
    ) if len(results) else {}  # fmt: skip
    rate = found.win_rate
    none = "" if len(results) else "there are no trades"
    return {
        "trades": Figure(float(len(results))),
        "win_rate": Figure(None, reason=none) if none else Figure(rate.rate, rate.low, rate.high),
        "payoff": Figure.of(found.payoff, drawn.get("payoff")),
        "breakeven_payoff": Figure.of(found.breakeven_payoff),
        "expectancy": Figure.of(found.expectancy, drawn.get("expectancy")),
        "profit_factor": Figure.of(found.profit_factor),
    }


def use_figures(run: BacktestRun) -> dict[str, Figure]:
    """How much was at work, how often it was traded, and what part of the gross profit costs took."""
    closes = _lived_closes(run)
    work = tradefigures.exposure(run.exposure[:closes])
    candle_ms = min(one.candles.timeframe.ms for one in run.series)
    turnover = tradefigures.turnover(run.traded[:closes], run.equity[:closes], _YEAR_DAYS * DAY_MS / candle_ms)
    profit = float(run.final_equity - run.setup.config.cash)
    return {
        "exposure": Figure.of(work.mean_gross),
        "time_in_market": Figure.of(work.share_of_bars),
        "turnover": Figure.of(turnover),
        "cost_share": Figure.of(tradefigures.cost_share(profit, float(run.costs.total))),
    }


def metrics_of(run: BacktestRun, days: Days, plan: Resampling) -> dict[str, Figure]:
    """Every figure of the run, of the days it lived."""
    return return_figures(days, plan, deepest(run, run.equity)) | trade_figures(run, plan) | use_figures(run)
