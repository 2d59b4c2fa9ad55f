"""What stands beside a backtest next to buy and hold: the same holding, less of it while the market swings widely."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from engine.domain.market import FloatArray, IntArray
from engine.exchanges.paper import PaperCosts
from engine.quant.volatility import realised_volatility, volatility_target_scale
from engine.simulation.backtest import BacktestRun
from engine.simulation.backtest_trades import TradedSeries
from engine.simulation.costs_in_prices import impact_share
from engine.simulation.evaluation_figures import Days
from engine.simulation.evaluation_market import funding_paid

TARGET_VOLATILITY = 0.20
"""A year, and the same for every run: one fitted to the run's own days would know its future."""
LOOKBACK_DAYS = 30
MOST_SHARE = 1.0
"""Of the equity: nothing is borrowed."""
REBALANCE_BAND = 0.10
"""Of the target: a smaller difference is not traded, as with the orders of a strategy."""


Impact = Callable[[int, float], float]


@dataclass(frozen=True, slots=True)
class BasketDays:
    """A basket that buy and hold would own, by day, and how much of the equity should be in it.

    Attributes
    ----------
    opens, closes : float64[d]
        Worth of the basket at the first open and the last close of each day, any money.
    funding : float64[d]
        What the basket paid during each day, same money.
    shares : float64[d]
        Wished for each day, 0 to 1, from what was known the day before; NaN where nothing is known.
    trades : bool[d]
        Whether there was a candle to trade at.
    impact : callable, optional
        Market impact as a share of the price, by number of the day and share of the starting capital that is traded;
        None for none.
    """

    opens: FloatArray
    closes: FloatArray
    funding: FloatArray
    shares: FloatArray
    trades: np.ndarray[tuple[int], np.dtype[np.bool_]]
    impact: Impact | None = None


def volatility_hold(run: BacktestRun, market: Days) -> Days:
    """Holding the instruments of a run with a constant volatility: every day as much as brings it to the target.

    The share for a day is ``20 % / volatility of the 30 days before it``, at most 1, and is traded at the day's first
    open with fee, half spread, slippage and market impact; candles before the run count as history. A difference of
    less than a tenth of the target is left. Until 30 days are known there is only cash. Money outside earns nothing.

    Parameters
    ----------
    run : BacktestRun
    market : Days
        Those of `engine.simulation.evaluation_market.hold_curve`.

    Returns
    -------
    Days
        The same days; returns after costs.
    """
    traded = [one for one in run.series if one.first < one.stop]
    units = [1.0 / (len(traded) * float(one.candles.open[one.first])) for one in traded]
    days = _basket_days(run, market, traded, np.array(units))
    return Days(market.opened_ms, rebalanced(days, run.setup.config.costs), market.period_ms)


def rebalanced(days: BasketDays, costs: PaperCosts) -> FloatArray:
    """Daily returns of keeping the wished share of the equity in a basket, the rest in cash.

    Parameters
    ----------
    days : BasketDays
    costs : PaperCosts
        Taker fee, half spread and slippage are paid on what is bought and sold, and the impact of the wished order.

    Returns
    -------
    float64[d]
        Simple; 0 once nothing is left.
    """
    fee = float(costs.taker_bps) * 1e-4
    cash, units = 1.0, 0.0
    levels = np.ones(len(days.closes) + 1)
    for day in range(len(days.closes)):
        worth, share = units * days.opens[day], days.shares[day]
        wished = share * (cash + worth)
        if days.trades[day] and abs(wished - worth) > REBALANCE_BAND * wished:  # NaN is never above
            sign = 1.0 if wished > worth else -1.0
            taking = float(costs.taking) + (days.impact(day, abs(wished - worth)) if days.impact else 0.0)
            cost = (1.0 + sign * min(taking, 1.0)) * (1.0 + sign * fee) - 1.0  # negative where less is received
            kept = share * (cash + worth + cost * worth) / (1.0 + share * cost)  # the share holds after the cost
            cash, units = cash - (kept - worth) - cost * (kept - worth), kept / days.opens[day]
        cash -= units * days.funding[day]
        levels[day + 1] = max(cash + units * days.closes[day], 0.0)
        if levels[day + 1] == 0.0:
            cash = units = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        returns: FloatArray = np.where(levels[:-1] > 0.0, levels[1:] / levels[:-1] - 1.0, 0.0)
    return returns


def _basket_days(run: BacktestRun, market: Days, traded: list[TradedSeries], units: FloatArray) -> BasketDays:
    first, last, held = _bounds(run.at_ms, market)
    opens, closes = (
        np.sum([unit * _price(run.at_ms, one, at_open) for one, unit in zip(traded, units, strict=True)], axis=0)
        for at_open in (True, False)
    )
    paid = np.sum([unit * funding_paid(run, one) for one, unit in zip(traded, units, strict=True)], axis=0)
    by_day = np.diff(np.concatenate(([0.0], paid[last])))
    shares, impact = _shares(market, traded, units), _impact(run, traded, units, first)
    return BasketDays(opens[first], closes[last], by_day, shares, held, impact)


def _impact(run: BacktestRun, traded: list[TradedSeries], units: FloatArray, first: IntArray) -> Impact | None:
    """What an order for the basket moves the candles that each day begins with, weighted by worth; None for none."""
    costs, capital = run.setup.config.costs, float(run.setup.config.cash)
    if not costs.impact:
        return None
    at_ms = run.at_ms[first]
    rows = [one.first + np.maximum(np.searchsorted(one.closed_ms(), at_ms, side="right") - 1, 0) for one in traded]
    prices = np.array([unit * _price(at_ms, one, True) for one, unit in zip(traded, units, strict=True)])

    def share(day: int, money: float) -> float:
        worth, paid = float(prices[:, day].sum()), 0.0
        for number, one in enumerate(traded):
            quantity = Decimal(repr(float(money * capital / worth * units[number])))
            place = (one.candles, int(rows[number][day]))
            paid += float(prices[number, day]) / worth * impact_share(costs, one, place, quantity)
        return paid

    return share


def _bounds(at_ms: IntArray, market: Days) -> tuple[IntArray, IntArray, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Places of the first and last close of each day, the last known one where it has none, and whether it has one."""
    number = (at_ms - 1) // market.period_ms
    day = market.opened_ms // market.period_ms
    last = np.searchsorted(number, day, side="right") - 1
    first = np.searchsorted(number, day, side="left")
    return np.minimum(first, last), last, first <= last


def _price(at_ms: IntArray, series: TradedSeries, at_open: bool) -> FloatArray:
    """Price of an instrument when the candles that close at those times opened, or when they closed."""
    candles, closed = series.candles, series.closed_ms()
    known = np.searchsorted(closed, at_ms, side="right") - 1
    place = series.first + np.maximum(known, 0)
    opened = (known < 0) | (closed[np.maximum(known, 0)] == at_ms) if at_open else known < 0
    result: FloatArray = np.where(opened, candles.open[place], candles.close[place])
    return result


def _shares(market: Days, traded: list[TradedSeries], units: FloatArray) -> FloatArray:
    """Wished shares by day: from the basket's closes up to the end of the day before, earlier candles included."""
    period = market.period_ms
    begun = max(int(one.candles.opened_at_ms[0]) + one.candles.timeframe.ms for one in traded)
    before = max(0, int(market.opened_ms[0]) // period - (begun - 1) // period) if len(market.opened_ms) else 0
    ends = np.concatenate((market.opened_ms[:1] + period * np.arange(-before, 0), market.opened_ms)) + period
    worth = np.zeros(len(ends))
    for one, unit in zip(traded, units, strict=True):
        closed = one.candles.opened_at_ms[: one.stop] + one.candles.timeframe.ms
        known = np.searchsorted(closed, ends, side="right") - 1
        worth = worth + unit * np.where(known >= 0, one.candles.close[np.maximum(known, 0)], np.nan)
    volatility = realised_volatility(worth, LOOKBACK_DAYS, market.per_year)
    shares = volatility_target_scale(volatility, TARGET_VOLATILITY, MOST_SHARE)
    result: FloatArray = np.concatenate(([np.nan], shares))[before : before + len(market.opened_ms)]
    return result
