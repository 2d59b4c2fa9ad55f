"""How a return series did: ratios that are NaN where they mean nothing, and a win rate that carries its interval.

Returns are simple and per period, as fractions; 365 periods a year for daily data. Annualising by the square root of
time assumes independent returns (Lo 2002) and flatters autocorrelated ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from engine.quant.arrays import FloatArray, read_only
from engine.quant.volatility import DAYS_PER_YEAR


@dataclass(frozen=True, slots=True)
class WinRate:
    """Share of winning trades with its Wilson interval; all shares 0 to 1, NaN without trades.

    Overlapping trades are not independent, so the interval is the least uncertainty there is; and without the payoff
    ratio a win rate says nothing about profit.
    """

    wins: int
    trades: int
    rate: float
    low: float
    high: float


def _spread(returns: FloatArray) -> float:
    """Sample deviation of two returns or more; NaN where they are all equal up to rounding."""
    spread = float(returns.std(ddof=1))
    return spread if spread > 1e-15 * max(1.0, float(np.abs(returns).max())) else math.nan


def sharpe(returns: ArrayLike, periods_per_year: float = DAYS_PER_YEAR, risk_free: float = 0.0) -> float:
    """Annualised mean excess return over its sample deviation (ddof 1).

    Parameters
    ----------
    returns : array_like, shape (n,)
    periods_per_year : float
    risk_free : float
        Per period, as a fraction.

    Returns
    -------
    float
        NaN below two returns or without variance.

    Examples
    --------
    >>> round(sharpe([0.01, -0.005, 0.02]), 6), sharpe([0.01, 0.01])
    (12.652578, nan)
    """
    excess = read_only(returns, "returns") - risk_free
    if len(excess) < 2:
        return math.nan
    return float(excess.mean()) / _spread(excess) * math.sqrt(periods_per_year)


def annualised_volatility(returns: ArrayLike, periods_per_year: float = DAYS_PER_YEAR) -> float:
    """Sample deviation (ddof 1) times the square root of the periods; NaN below two returns.

    >>> annualised_volatility([0.01, 0.01])
    0.0
    """
    series = read_only(returns, "returns")
    return float(series.std(ddof=1)) * math.sqrt(periods_per_year) if len(series) > 1 else math.nan


def downside_risk(returns: ArrayLike, periods_per_year: float = DAYS_PER_YEAR, required: float = 0.0) -> float:
    """Annualised root mean square of the shortfalls below ``required``, over **all** periods; NaN without returns.

    >>> round(downside_risk([0.0, -0.02], periods_per_year=1), 6)
    0.014142
    """
    series = read_only(returns, "returns")
    if len(series) == 0:
        return math.nan
    shortfalls = np.minimum(series - required, 0.0)
    return math.sqrt(float(np.mean(shortfalls**2)) * periods_per_year)


def sortino(returns: ArrayLike, periods_per_year: float = DAYS_PER_YEAR, required: float = 0.0) -> float:
    """Annualised mean excess over `downside_risk`; NaN where nothing fell short of ``required``.

    >>> sortino([0.01, 0.02])
    nan
    """
    series = read_only(returns, "returns")
    risk = downside_risk(series, periods_per_year, required)
    return float(series.mean() - required) * periods_per_year / risk if risk > 0.0 else math.nan


def total_return(returns: ArrayLike) -> float:
    """Compounded return of the whole series; NaN without returns.

    >>> round(total_return([0.1, 0.1]), 12)
    0.21
    """
    series = read_only(returns, "returns")
    return float(np.prod(1.0 + series)) - 1.0 if len(series) else math.nan


def cagr(returns: ArrayLike, periods_per_year: float = DAYS_PER_YEAR) -> float:
    """Compound annual growth rate, ``(1 + total)**(periods / n) - 1``; NaN without returns or after more than ruin.

    >>> round(cagr([0.1, 0.1], periods_per_year=2), 12)
    0.21
    """
    total = total_return(returns)
    if not total >= -1.0:
        return math.nan
    try:
        return float((1.0 + total) ** (periods_per_year / np.size(returns))) - 1.0
    except OverflowError:
        return math.nan


def drawdowns(returns: ArrayLike) -> FloatArray:
    """Distance of wealth from its highest so far, the starting 1 included; float64[n], at most 0.

    >>> drawdowns([-0.5, 1.0, 0.5]).tolist()
    [-0.5, 0.0, 0.0]
    """
    wealth = np.cumprod(1.0 + read_only(returns, "returns"))
    peaks = np.maximum(np.maximum.accumulate(wealth), 1.0)
    result: FloatArray = wealth / peaks - 1.0
    return result


def max_drawdown(returns: ArrayLike) -> float:
    """Deepest of `drawdowns`, at most 0; NaN without returns.

    >>> max_drawdown([0.1, -0.5, 0.2])
    -0.5
    """
    series = drawdowns(returns)
    return float(series.min()) if len(series) else math.nan


def calmar(returns: ArrayLike, periods_per_year: float = DAYS_PER_YEAR) -> float:
    """`cagr` over the size of `max_drawdown`; NaN without a drawdown. Meaningless well under a year of data.

    >>> calmar([0.01, 0.02])
    nan
    """
    deepest = max_drawdown(returns)
    return cagr(returns, periods_per_year) / -deepest if deepest < 0.0 else math.nan


def profit_factor(results: ArrayLike) -> float:
    """Sum of gains over the size of the sum of losses, of trades or of periods; NaN without a loss.

    >>> profit_factor([3.0, -1.0, -1.0])
    1.5
    """
    series = read_only(results, "results")
    losses = float(series[series < 0.0].sum())
    return float(series[series > 0.0].sum()) / -losses if losses < 0.0 else math.nan


def payoff_ratio(results: ArrayLike) -> float:
    """Average gain over the size of the average loss; NaN unless there is one of each.

    >>> payoff_ratio([3.0, 1.0, -1.0])
    2.0
    """
    series = read_only(results, "results")
    gains, losses = series[series > 0.0], series[series < 0.0]
    return float(gains.mean() / -losses.mean()) if len(gains) and len(losses) else math.nan


def win_rate(wins: int, trades: int, confidence: float = 0.95) -> WinRate:
    """Win rate with Wilson's (1927) score interval.

    Parameters
    ----------
    wins, trades : int
        ``0 <= wins <= trades``.
    confidence : float
        Two-sided, in (0, 1).

    Returns
    -------
    WinRate
        Its numbers are NaN when there are no trades.

    Raises
    ------
    ValueError
        When the counts contradict each other or the confidence is outside (0, 1).

    Examples
    --------
    >>> rate = win_rate(34, 50)
    >>> rate.rate, round(rate.low, 4), round(rate.high, 4)
    (0.68, 0.5419, 0.7924)
    """
    if not 0 <= wins <= trades:
        raise ValueError(f"{wins} wins of {trades} trades is impossible")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}; it must lie between 0 and 1")
    if trades == 0:
        return WinRate(0, 0, math.nan, math.nan, math.nan)
    rate = wins / trades
    return WinRate(wins, trades, rate, *wilson_interval(rate, trades, confidence))


def wilson_interval(share: float, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's (1927) score interval of a share, 0 to 1, that was counted over ``count`` independent cases, at least 1.

    >>> [round(end, 4) for end in wilson_interval(0.956, 1_000)]
    [0.9414, 0.9671]
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    weight = z * z / count
    center = (share + weight / 2.0) / (1.0 + weight)
    half = z / (1.0 + weight) * math.sqrt(share * (1.0 - share) / count + weight / (4.0 * count))
    # at 0 and 1 the interval touches its end exactly; rounding must not put the share outside it
    return max(0.0, min(share, center - half)), min(1.0, max(share, center + half))


def breakeven_payoff_ratio(rate: float) -> float:
    """Average gain over average loss at which a win rate earns nothing: ``(1 - rate) / rate``; NaN for 0.

    >>> round(breakeven_payoff_ratio(0.68), 4)
    0.4706
    """
    return (1.0 - rate) / rate if rate > 0.0 else math.nan


def exact_win_rate(wins: int, trades: int, confidence: float = 0.95) -> WinRate:
    """Win rate with the exact interval of Clopper and Pearson (1934): never too narrow, wider than Wilson's.

    Parameters, errors and undefined numbers as `win_rate`.

    Examples
    --------
    >>> rate = exact_win_rate(34, 50)
    >>> round(rate.low, 4), round(rate.high, 4), exact_win_rate(5, 5).high
    (0.533, 0.8048, 1.0)
    """
    if trades == 0 or not 0 <= wins <= trades or not 0.0 < confidence < 1.0:
        return win_rate(wins, trades, confidence)
    outside = (1.0 - confidence) / 2.0
    low, high = _rate_of_tail(wins, trades, outside), 1.0 - _rate_of_tail(trades - wins, trades, outside)
    return WinRate(wins, trades, wins / trades, low, high)


def win_rate_p_value(wins: int, trades: int, fair_rate: float = 0.5) -> float:
    """Chance of so many wins or more where each trade wins with ``fair_rate``: one-sided binomial test.

    A small one speaks against that rate only; it does not speak for a profit, which needs the payoff too.

    Parameters
    ----------
    wins, trades : int
        ``0 <= wins <= trades``.
    fair_rate : float
        In (0, 1), e.g. the rate at which the payoff earns nothing.

    Returns
    -------
    float
        0 to 1; 1 without trades.

    Raises
    ------
    ValueError
        When the counts contradict each other or the rate is outside (0, 1).

    Examples
    --------
    >>> round(win_rate_p_value(7, 10), 6), win_rate_p_value(0, 10)
    (0.171875, 1.0)
    """
    if not 0 <= wins <= trades:
        raise ValueError(f"{wins} wins of {trades} trades is impossible")
    if not 0.0 < fair_rate < 1.0:
        raise ValueError(f"fair_rate is {fair_rate}; it must lie between 0 and 1")
    return _upper_tail(wins, trades, fair_rate)


def _upper_tail(wins: int, trades: int, rate: float) -> float:
    """P(X >= wins) of a binomial count, from its own terms, so that a small one keeps its digits."""
    if wins <= 0:
        return 1.0
    first = math.lgamma(trades + 1) - math.lgamma(wins + 1) - math.lgamma(trades - wins + 1)
    first += wins * math.log(rate) + (trades - wins) * math.log1p(-rate)
    above = np.arange(wins, trades, dtype=np.float64)
    steps = np.log((trades - above) / (above + 1.0)) + math.log(rate) - math.log1p(-rate)
    logs = first + np.concatenate(([0.0], np.cumsum(steps)))
    return min(1.0, float(np.exp(logs).sum()))


def _rate_of_tail(wins: int, trades: int, tail: float) -> float:
    """The rate at which so many wins or more have the chance ``tail``; by halving, since the chance rises with it."""
    if wins == 0:
        return 0.0
    low, high = 0.0, 1.0
    while (middle := (low + high) / 2.0) not in (low, high):
        low, high = (middle, high) if _upper_tail(wins, trades, middle) < tail else (low, middle)
    return high
