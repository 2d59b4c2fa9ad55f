"""How much of a backtest luck explains: random entries, the order of its trades, and the number of trials behind it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.domain.market import FloatArray
from engine.quant.arrays import unwatched
from engine.quant.luck import HeldTrades, NullPlan, RandomEntryNull, pooled, random_entry_null, trade_order
from engine.quant.overfitting import deflated_sharpe, minimum_track_record, sharpe_sample
from engine.simulation.backtest import BacktestRun
from engine.simulation.backtest_trades import RoundTrip, TradedSeries
from engine.simulation.costs_in_prices import mean_impact
from engine.simulation.evaluation_figures import DAY_MS, Days

_FEWEST_ORDERED = 2
_BASIS_POINTS = 1e4
_LOST = "everything was lost before the last trade"


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """What is known of the study that a run belongs to.

    Attributes
    ----------
    trials : int
        Every run that was looked at, this one and abandoned ones included, and those of ``others``.
    sharpe_variance : float
        Variance over the trials of their Sharpe ratios per day (never annualised); NaN where not known.
    overfitting : float or None
        Probability of overfitting of the study, by CSCV.
    others : int
        Trials of other runs: settings of the same strategy, tried elsewhere on days and coins in common.
    unknown : str
        Why the trials of other runs are not known; "" where they are counted, or there is no record to count in.
    study : str
        Name of the study that tried these settings before and whose facts are taken; "" for none.
    seen_days, seen_of : int
        Of a holdout: days that earlier backtests showed, and days in all.
    """

    trials: int = 1
    sharpe_variance: float = math.nan
    overfitting: float | None = None
    others: int = 0
    unknown: str = ""
    study: str = ""
    seen_days: int = 0
    seen_of: int = 0


@dataclass(frozen=True, slots=True)
class OverfittingFigures:
    """``minimum_days`` is the minimum track record in whole days; None where undefined, and ``reason`` says why."""

    study: StudyFacts
    trials: int
    deflated_sharpe: float | None
    overfitting: float | None
    minimum_days: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class OrderFigures:
    """Deepest drawdown at trade ends, at most 0: of the real order, in half of all orders, in the worst twentieth."""

    actual: float | None
    median: float | None
    worst_twentieth: float | None
    draws: int
    reason: str


def random_entries(run: BacktestRun, draws: int, seed: int, watch: Callable[[], None] = unwatched) -> RandomEntryNull:
    """The run's trades among random entries of the same number, holding times, sides, sizes and costs.

    Trades that ended within the bar they began in are drawn with one bar. Funding is left out on both sides. Where the
    brake ended the run, entries are drawn up to the last exit, for nothing could be entered later. Market impact is
    what the run's own executions of the instrument paid on average. Sizes and results are shares of the equity at each
    entry and are added, for both: what a strategy earned before it compounds would otherwise count for it alone.

    Parameters
    ----------
    run : BacktestRun
    draws : int
        At least 100.
    seed : int
        Of the first instrument; each further one takes the next.
    watch : callable
        Called at each draw; what it raises ends the drawing.
    """
    costs = run.setup.config.costs
    fixed_bps = float(costs.taker_bps + costs.spread_bps / 2 + costs.slippage_bps)
    if not (entry_equities(run, run.trades) > 0.0).all():
        return RandomEntryNull(math.nan, np.empty(0), 0, math.nan, math.nan, reason=_LOST)
    nulls = []
    for number, series in enumerate(run.series):
        own = [trade for trade in run.trades if trade.instrument == series.instrument.key]
        if own:
            cost_bps = fixed_bps + mean_impact(costs, series, run.fills) * _BASIS_POINTS
            nulls.append(_null(series, run, own, NullPlan(draws, seed + number, cost_bps, watch)))
    return pooled(nulls)


def _rows_until(series: TradedSeries, until_ms: int) -> int:
    return series.first + int(np.searchsorted(series.closed_ms(), until_ms, side="right"))


def _null(series: TradedSeries, run: BacktestRun, trades: list[RoundTrip], plan: NullPlan) -> RandomEntryNull:
    until_ms = _end_ms(run)
    stop = series.stop if until_ms is None else _rows_until(series, until_ms)
    prices = np.append(series.candles.open[series.first : stop], series.candles.close[stop - 1])
    equity = entry_equities(run, trades)
    held = HeldTrades.of(
        [trade.entry_bar for trade in trades],
        [max(1, trade.bars_held) for trade in trades],
        [trade.side.sign for trade in trades],
        np.array([float(trade.quantity * trade.entry_price) for trade in trades]) / equity,
    )
    actual = np.array([float(trade.pnl - trade.funding) for trade in trades]) / equity
    return random_entry_null(prices, held, plan, float(actual.sum()))


def entry_equities(run: BacktestRun, trades: Sequence[RoundTrip]) -> FloatArray:
    """float64[m]: equity at the last close before each trade was entered, quote; the capital before the first."""
    entered = np.array([trade.entry_at.timestamp() * 1000.0 for trade in trades])
    before = np.searchsorted(run.at_ms, entered, side="right") - 1
    found: FloatArray = np.where(before >= 0, run.equity[np.maximum(before, 0)], float(run.setup.config.cash))
    return found


def _end_ms(run: BacktestRun) -> int | None:
    """Close of the candle of the last exit, where the brake ended the run."""
    return None if run.stopped_at is None else max((fill.at_ms for fill in run.fills), default=None)


def order_of_trades(run: BacktestRun, draws: int, seed: int, watch: Callable[[], None] = unwatched) -> OrderFigures:
    """How deep the drawdown of the same trades could have been in another order."""
    if len(run.trades) < _FEWEST_ORDERED:
        return OrderFigures(None, None, None, 0, f"{len(run.trades)} trades have no order to change")
    equity = entry_equities(run, run.trades)
    if not (equity > 0.0).all():
        return OrderFigures(None, None, None, 0, _LOST)
    returns = np.array([float(trade.pnl) for trade in run.trades]) / equity
    found = trade_order(returns, draws=draws, seed=seed, watch=watch)
    return OrderFigures(found.actual_drawdown, found.drawdown_at(0.5), found.drawdown_at(0.95), draws, "")


def overfitting_figures(days: Days, study: StudyFacts) -> OverfittingFigures:
    """Deflated Sharpe with the real number of trials, and the least record that would show this Sharpe ratio.

    Parameters
    ----------
    days : Days
    study : StudyFacts
    """
    sample = sharpe_sample(days.returns)
    deflated = deflated_sharpe(sample, study.trials, study.sharpe_variance)
    least = minimum_track_record(sample) if math.isfinite(sample.sharpe) else math.nan
    missing = [deflated.reason] if deflated.reason else []
    if math.isnan(least):
        missing.append("the Sharpe ratio is not above 0, so no record is long enough")
    if study.overfitting is None:
        missing.append("the probability of overfitting needs the trials of a study")
    return OverfittingFigures(
        study,
        study.trials,
        _known(deflated.probability),
        study.overfitting,
        None if math.isnan(least) else float(math.ceil(least * days.period_ms / DAY_MS)),
        "; ".join(missing),
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
