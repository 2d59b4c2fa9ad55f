"""Figures of a list of trades and of what they cost: a win rate never stands without payoff, count and interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from engine.quant import performance
from engine.quant.arrays import FloatArray, finite_series, read_only_together
from engine.quant.summary import Measure
from engine.quant.volatility import DAYS_PER_YEAR


@dataclass(frozen=True, slots=True)
class TradeFigures:
    """What the trades were like.

    Attributes
    ----------
    win_rate : performance.WinRate
        With its Wilson interval and the number of trades; one that broke even is a trade and no win.
    payoff : Measure
        Average gain over average loss.
    breakeven_payoff : Measure
        The payoff at which this win rate earns nothing; below it the trades lose.
    expectancy : Measure
        Mean net result of a trade, in the unit of the results.
    profit_factor : Measure
        Sum of gains over sum of losses.
    """

    win_rate: performance.WinRate
    payoff: Measure
    breakeven_payoff: Measure
    expectancy: Measure
    profit_factor: Measure


def trade_figures(net_results: ArrayLike, confidence: float = 0.95) -> TradeFigures:
    """Figures of closed trades.

    Parameters
    ----------
    net_results : array_like, shape (m,)
        After all costs; money, or fractions of equity.
    confidence : float
        Of the win rate's interval, in (0, 1).

    Returns
    -------
    TradeFigures

    Raises
    ------
    ValueError
        When a result is NaN or infinite, or the confidence is outside (0, 1).

    Examples
    --------
    >>> found = trade_figures([2.0, -1.0, -1.0, 2.0])
    >>> found.win_rate.rate, found.payoff.value, found.breakeven_payoff.value, found.expectancy.value
    (0.5, 2.0, 1.0, 0.5)
    """
    results = finite_series(net_results, "net_results")
    rate = performance.win_rate(int((results > 0.0).sum()), len(results), confidence)
    none = "" if len(results) else "there are no trades"
    no_loss = none or "no trade lost"
    no_pair = none or ("no trade won" if rate.wins == 0 else "no trade lost")
    return TradeFigures(
        win_rate=rate,
        payoff=Measure.of(performance.payoff_ratio(results), no_pair),
        breakeven_payoff=Measure.of(performance.breakeven_payoff_ratio(rate.rate), none or "no trade won"),
        expectancy=Measure(float(results.mean())) if len(results) else Measure(None, none),
        profit_factor=Measure.of(performance.profit_factor(results), no_loss),
    )


@dataclass(frozen=True, slots=True)
class Exposure:
    """How much was at work: share of bars with a position, and mean gross exposure of all bars as a share of equity."""

    share_of_bars: Measure
    mean_gross: Measure


def exposure(gross_exposures: ArrayLike) -> Exposure:
    """Time in the market.

    Parameters
    ----------
    gross_exposures : array_like, shape (n,)
        Absolute notional of all positions over equity, per bar, at least 0.

    Returns
    -------
    Exposure

    Raises
    ------
    ValueError
        When one is negative, NaN or infinite.

    Examples
    --------
    >>> found = exposure([0.0, 1.0, 0.5, 0.0])
    >>> found.share_of_bars.value, found.mean_gross.value
    (0.5, 0.375)
    """
    series = finite_series(gross_exposures, "gross_exposures")
    if (series < 0.0).any():
        raise ValueError(f"a gross exposure is {series.min()}; shorts count as positive")
    if len(series) == 0:
        nothing = Measure(None, "there are no bars")
        return Exposure(nothing, nothing)
    return Exposure(Measure(float((series > 0.0).mean())), Measure(float(series.mean())))


def turnover(traded_notionals: ArrayLike, equities: ArrayLike, periods_per_year: float = DAYS_PER_YEAR) -> Measure:
    """How often the equity was traded in a year: ``sum |traded| / mean equity * periods / n``, buys and sells both.

    Parameters
    ----------
    traded_notionals, equities : array_like, shape (n,)
        Per bar, same money; all fills of the bar, and the equity at its end.
    periods_per_year : float

    Returns
    -------
    Measure
        Times a year; a round trip of the whole equity counts 2.

    Raises
    ------
    ValueError
        When the lengths differ, a value is not finite, or the periods are not positive.

    Examples
    --------
    >>> turnover([100.0, 0.0, 100.0, 0.0], [100.0] * 4, periods_per_year=4).value
    2.0
    """
    if not 0.0 < periods_per_year < math.inf:
        raise ValueError(f"periods_per_year is {periods_per_year}; it must be above 0")
    traded, equity = read_only_together(traded_notionals=traded_notionals, equities=equities)
    finite_series(traded, "traded_notionals")
    finite_series(equity, "equities")
    if len(equity) == 0:
        return Measure(None, "there are no bars")
    mean = float(equity.mean())
    if mean <= 0.0:
        return Measure(None, "the mean equity is not above 0")
    return Measure(float(np.abs(traded).sum()) / mean * periods_per_year / len(equity))


def cost_share(net_profit: float, costs: float) -> Measure:
    """Share of the gross profit that costs took: ``costs / (net profit + costs)``; above 1 they took more than all.

    Parameters
    ----------
    net_profit : float
        Money, after costs.
    costs : float
        Fees, spread, slippage, impact and funding paid, same money; negative when funding received outweighs them.

    Returns
    -------
    Measure
        Undefined where there was no gross profit to share.

    Raises
    ------
    ValueError
        When one is NaN or infinite.

    Examples
    --------
    >>> cost_share(75.0, 25.0).value, cost_share(-50.0, 20.0).reason
    (0.25, 'there was no gross profit')
    """
    if not (math.isfinite(net_profit) and math.isfinite(costs)):
        raise ValueError(f"net profit {net_profit} and costs {costs} must be finite")
    gross = net_profit + costs
    return Measure(costs / gross) if gross > 0.0 else Measure(None, "there was no gross profit")


def buy_and_hold_returns(prices: ArrayLike, cost_bps: float = 0.0) -> FloatArray:
    """Returns of buying everything at the first price and never selling: what stands beside every curve.

    Parameters
    ----------
    prices : array_like, shape (n,)
        Positive; the first is what is paid.
    cost_bps : float
        Of the one purchase, at least 0.

    Returns
    -------
    float64[n - 1]
        The first return carries the cost; the unsold position is marked without an exit cost.

    Raises
    ------
    ValueError
        For fewer than two prices, one that is not positive and finite, or a negative cost.

    Examples
    --------
    >>> buy_and_hold_returns([100.0, 110.0, 99.0], cost_bps=0.0).round(12).tolist()
    [0.1, -0.1]
    """
    series = finite_series(prices, "prices")
    if len(series) < 2 or not (series > 0.0).all():
        raise ValueError(f"there are {len(series)} prices; two positive ones are needed at least")
    if not 0.0 <= cost_bps < math.inf:
        raise ValueError(f"cost_bps is {cost_bps}; it must be at least 0")
    growth = series[1:] / series[:-1]
    # all the money buys quantity and cost together, so 1 / (1 + cost) of it becomes quantity
    growth[0] /= 1.0 + cost_bps * 1e-4
    result: FloatArray = growth - 1.0
    return result
