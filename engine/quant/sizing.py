"""How much to risk: risk-ratio schedules, Kelly fractions, and leverage that keeps the stop inside liquidation."""

from __future__ import annotations

import math
from dataclasses import dataclass

CONSERVATIVE_RISK_RATIO = 0.01
FULL_RISK_BALANCE = 10_000.0
LOW_RISK_BALANCE = 100_000.0
FULL_RISK_RATIO = 0.02
LOW_RISK_RATIO = 0.005


def aggressive_risk_ratio(balance: float) -> float:
    """Share of the balance put at risk by one trade under the aggressive schedule.

    2 % up to 10,000, then ``0.02 * 4**(-(B - 10,000) / 90,000)``, 0.5 % from 100,000 on. The money at risk, ratio
    times balance, is not monotone: it peaks at 557.21 near 64,921 and falls to 500 at 100,000.

    Parameters
    ----------
    balance : float
        Base currency of the book.

    Returns
    -------
    float
        Fraction, 0.005 to 0.02; 0 for a negative balance.

    Raises
    ------
    ValueError
        For NaN.

    Examples
    --------
    >>> aggressive_risk_ratio(10_000), round(aggressive_risk_ratio(55_000), 12), aggressive_risk_ratio(250_000)
    (0.02, 0.01, 0.005)
    """
    if math.isnan(balance):
        raise ValueError("the balance is NaN: the risk ratio is unknown")
    if balance < 0.0:
        return 0.0
    if balance <= FULL_RISK_BALANCE:
        return FULL_RISK_RATIO
    if balance >= LOW_RISK_BALANCE:
        return LOW_RISK_RATIO
    share = (balance - FULL_RISK_BALANCE) / (LOW_RISK_BALANCE - FULL_RISK_BALANCE)
    return FULL_RISK_RATIO * math.pow(LOW_RISK_RATIO / FULL_RISK_RATIO, share)


def conservative_risk_ratio(balance: float) -> float:
    """1 % of any balance, 0 for a negative one; ValueError for NaN.

    >>> conservative_risk_ratio(500.0)
    0.01
    """
    if math.isnan(balance):
        raise ValueError("the balance is NaN: the risk ratio is unknown")
    return CONSERVATIVE_RISK_RATIO if balance >= 0.0 else 0.0


def kelly_discrete(win_probability: float, win: float, loss: float) -> float:
    """Full Kelly stake ``p / loss - (1 - p) / win`` of a bet with two outcomes (Kelly 1956; Thorp 2006).

    Small wins and losses give large multiples of equity (3 % against 2 % at 55 % is 12.5 times): cap it, take a
    quarter at most, and shrink the probability to the lower end of its Wilson interval.

    Parameters
    ----------
    win_probability : float
        0 to 1.
    win, loss : float
        Gain and loss per unit staked, both positive fractions.

    Returns
    -------
    float
        Notional as a share of equity; 0 without an edge.

    Raises
    ------
    ValueError
        For a probability outside [0, 1] or a win or loss that is not positive.

    Examples
    --------
    >>> round(kelly_discrete(0.53, 1.0, 1.0), 12), kelly_discrete(0.45, 1.0, 1.0)
    (0.06, 0.0)
    """
    if not 0.0 <= win_probability <= 1.0:
        raise ValueError(f"win_probability is {win_probability}; it must lie between 0 and 1")
    if not (win > 0.0 and loss > 0.0):
        raise ValueError(f"win is {win} and loss {loss}; both must be positive")
    return max(0.0, win_probability / loss - (1.0 - win_probability) / win)


def kelly_continuous(mean: float, volatility: float, risk_free: float = 0.0) -> float:
    """Full Kelly leverage ``(mu - r) / sigma**2`` of a lognormal price (Thorp 2006, section 7).

    Parameters
    ----------
    mean, risk_free : float
        Annual, as fractions.
    volatility : float
        Annual, as a fraction.

    Returns
    -------
    float
        Notional as a share of equity; 0 without an edge; NaN where the volatility is not positive.

    Examples
    --------
    >>> round(kelly_continuous(0.11, 0.15, 0.06), 4)
    2.2222
    """
    return max(0.0, (mean - risk_free) / volatility**2) if volatility > 0.0 else math.nan


def kelly_growth(fraction: float, mean: float, volatility: float, risk_free: float = 0.0) -> float:
    """Expected log growth a year at a constant leverage: ``r + f (mu - r) - f**2 sigma**2 / 2``.

    At twice full Kelly it is back at the risk-free rate.

    >>> round(kelly_growth(2 * 0.05 / 0.15**2, 0.11, 0.15, 0.06), 12)
    0.06
    """
    return risk_free + fraction * (mean - risk_free) - 0.5 * (fraction * volatility) ** 2


def fractional_kelly(full_kelly: float, share: float = 0.25, cap: float = 1.0) -> float:
    """A share of full Kelly, capped; a quarter by default because the edge is estimated, not known.

    Parameters
    ----------
    full_kelly : float
        From `kelly_discrete` or `kelly_continuous`.
    share : float
        In (0, 1].
    cap : float
        Largest notional as a share of equity.

    Returns
    -------
    float
        0 to ``cap``; NaN stays NaN.

    Raises
    ------
    ValueError
        For a share outside (0, 1].

    Examples
    --------
    >>> fractional_kelly(2.0), fractional_kelly(12.5)
    (0.5, 1.0)
    """
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share is {share}; it must be above 0 and at most 1")
    return full_kelly if math.isnan(full_kelly) else min(cap, max(0.0, share * full_kelly))


def cvar_limited_notional(equity: float, cvar: float, limit: float) -> float:
    """Largest notional whose expected shortfall stays within ``limit`` times equity.

    Parameters
    ----------
    equity : float
        Money, at least 0.
    cvar : float
        Loss per unit of notional, from `engine.quant.tailrisk`.
    limit : float
        Share of equity.

    Returns
    -------
    float
        Same money as ``equity``; NaN where the CVaR is NaN or not a loss, because then it limits nothing.

    Examples
    --------
    >>> cvar_limited_notional(50_000, 0.08, 0.02)
    12500.0
    """
    return limit * equity / cvar if cvar > 0.0 else math.nan


@dataclass(frozen=True, slots=True)
class LeverageRule:
    """How leverage follows the ATR.

    Attributes
    ----------
    target_risk : float
        Share of equity lost at the stop.
    atr_stop_multiple : float
        Distance of the stop in ATR.
    maintenance_margin_rate : float
        Of the venue, as a fraction of notional.
    liquidation_buffer : float
        Fraction of the price kept between stop and liquidation, for slippage and fees.
    maximum : float
        Largest leverage, at least 1.
    """

    target_risk: float = 0.02
    atr_stop_multiple: float = 2.0
    maintenance_margin_rate: float = 0.0
    liquidation_buffer: float = 0.0
    maximum: float = 10.0


def atr_leverage(atr: float, price: float, rule: LeverageRule) -> float:
    """Leverage ``clip(target_risk / (k * ATR / price), 1, maximum)``, lowered until the stop lies inside liquidation.

    The isolated liquidation distance ``1 / L - MMR`` must be at least ``k * ATR / price + buffer``. Daily ATRs of
    crypto (3 to 5 %) give 1x; the range only opens on shorter bars.

    Parameters
    ----------
    atr, price : float
        Quote currency.
    rule : LeverageRule

    Returns
    -------
    float
        1 to ``rule.maximum``; 1 where the ATR or the price is NaN, 0 or negative: an unknown risk is never levered.

    Examples
    --------
    >>> atr_leverage(30.0, 60_000.0, LeverageRule()), atr_leverage(0.0, 60_000.0, LeverageRule())
    (10.0, 1.0)
    """
    if not (atr > 0.0 and price > 0.0):
        return 1.0
    stop = rule.atr_stop_multiple * atr / price
    wished = rule.target_risk / stop
    bearable = 1.0 / (stop + rule.liquidation_buffer + rule.maintenance_margin_rate)
    return max(1.0, min(wished, bearable, rule.maximum))


def stop_inside_liquidation(leverage: float, atr: float, price: float, rule: LeverageRule) -> bool:
    """Whether the stop, with its buffer, is reached before an isolated position is liquidated; False when unknown.

    >>> stop_inside_liquidation(10.0, 3_000.0, 60_000.0, LeverageRule(maintenance_margin_rate=0.005))
    False
    """
    if not (leverage > 0.0 and atr > 0.0 and price > 0.0):
        return False
    stop = rule.atr_stop_multiple * atr / price
    return 1.0 / leverage - rule.maintenance_margin_rate >= stop + rule.liquidation_buffer
