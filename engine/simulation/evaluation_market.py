"""What stands beside a backtest: holding the same instruments, and its result by year, month and kind of market."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from engine.domain.instruments import Kind
from engine.domain.market import FloatArray
from engine.quant.performance import total_return
from engine.quant.regimes import Third, trend_regimes, volatility_regimes
from engine.quant.summary import Summary, calendar_years, summarise_by
from engine.simulation.backtest import BacktestRun
from engine.simulation.backtest_trades import TradedSeries
from engine.simulation.costs_in_prices import impact_share
from engine.simulation.evaluation_figures import Days

_VOLATILITY_DAYS, _TREND_DAYS = 30, 90
_TREND_WORDS = {Third.LOW: "down", Third.MIDDLE: "flat", Third.HIGH: "up", Third.UNKNOWN: "unknown"}


@dataclass(frozen=True, slots=True)
class YearResult:
    """A calendar year (UTC): the run's figures, its trades by exit, and what holding returned."""

    year: int
    summary: Summary
    trades: int
    hold_return: float


@dataclass(frozen=True, slots=True)
class MonthResult:
    """Net return of a calendar month (UTC), a fraction."""

    year: int
    month: int
    net_return: float


@dataclass(frozen=True, slots=True)
class RegimeResult:
    """A kind of market known before each day: its share of all days, and the run's figures on them."""

    name: str
    share: float
    summary: Summary


def hold_curve(run: BacktestRun) -> FloatArray:
    """Equity of buying every instrument with equal money at its first open, with the same costs, and never selling.

    Parameters
    ----------
    run : BacktestRun

    Returns
    -------
    float64[n]
        Quote, at each of the run's closes, not sold at the end. A perpetual is held unlevered and pays its funding.
    """
    traded = [one for one in run.series if one.first < one.stop]
    capital = float(run.setup.config.cash) / len(traded)
    return np.sum([_held(run, one, capital, _paid(run, one, capital)) for one in traded], axis=0)  # type: ignore[no-any-return]


def _paid(run: BacktestRun, series: TradedSeries, capital: float) -> float:
    """What buying for the capital at the first open costs, times its price: the whole order moves that candle."""
    costs = run.setup.config.costs
    quantity = Decimal(repr(capital / float(series.candles.open[series.first])))
    taking = float(costs.taking) + impact_share(costs, series, (series.candles, series.first), quantity)
    return (1.0 + taking) * (1.0 + float(costs.taker_bps) * 1e-4)


def _held(run: BacktestRun, series: TradedSeries, capital: float, paid: float) -> FloatArray:
    closes = series.candles.close[series.first : series.stop]
    quantity = capital / (float(series.candles.open[series.first]) * paid)
    known = np.searchsorted(series.closed_ms(), run.at_ms, side="right") - 1
    worth = np.where(known >= 0, quantity * closes[np.maximum(known, 0)], capital)
    result: FloatArray = np.maximum(worth - quantity * funding_paid(run, series), 0.0)
    return result


def funding_paid(run: BacktestRun, series: TradedSeries) -> FloatArray:
    """float64[n]: what one unit held long has paid by each of the run's closes, quote; 0 on spot."""
    if series.instrument.kind is not Kind.PERPETUAL or series.funding is None or not len(series.funding):
        return np.zeros(len(run.at_ms))
    stamps, closed = series.funding.at_ms, series.closed_ms()
    known = np.searchsorted(closed, stamps, side="right") - 1
    rates = np.array([float(rate) for rate in series.funding.rates])
    marks = series.candles.close[series.first + np.maximum(known, 0)]
    paid = np.concatenate(([0.0], np.cumsum(np.where(known >= 0, marks * rates, 0.0))))
    result: FloatArray = paid[np.searchsorted(stamps, run.at_ms, side="right")]
    return result


def years_of(run: BacktestRun, days: Days, hold: Days) -> tuple[YearResult, ...]:
    """Every calendar year of the run; its first and last may be part of a year."""
    years = calendar_years(days.opened_ms)
    exits = [trade.exit_at.year for trade in run.trades if trade.exit_at is not None]
    return tuple(
        YearResult(year, summary, exits.count(year), total_return(hold.returns[years == year]))
        for year, summary in summarise_by(days.returns, years.tolist(), days.per_year).items()
    )


def months_of(days: Days) -> tuple[MonthResult, ...]:
    """Every calendar month of the run.

    Examples
    --------
    >>> months_of(Days(np.array([0, 31 * DAY_MS]), np.array([0.5, -0.1]), DAY_MS))[1]
    MonthResult(year=1970, month=2, net_return=-0.1)
    """
    month = days.opened_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
    return tuple(
        MonthResult(1970 + number // 12, number % 12 + 1, round(total_return(days.returns[month == number]), 12))
        for number in np.unique(month).tolist()
    )


def regimes_of(days: Days, hold: Days) -> tuple[RegimeResult, ...]:
    """The run by volatility and by trend of what it trades, each against its own past.

    Parameters
    ----------
    days, hold : Days
        Of the run, and of holding the same instruments: that is the market.

    Returns
    -------
    tuple of RegimeResult
        Days before the past is long enough are `unknown`.
    """
    calm = [f"volatility {third.value}" for third in volatility_regimes(hold.returns, _VOLATILITY_DAYS)]
    trend = [f"trend {_TREND_WORDS[third]}" for third in trend_regimes(hold.returns, _TREND_DAYS)]
    return tuple(
        RegimeResult(name, summary.bars / len(days.returns), summary)
        for labels in (calm, trend)
        for name, summary in sorted(summarise_by(days.returns, labels, days.per_year).items())
    )
