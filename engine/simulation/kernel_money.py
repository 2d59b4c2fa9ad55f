"""The arithmetic of a kernel run: exact in whole numbers where the venue is, with one stated tolerance elsewhere."""

from __future__ import annotations

import math

from engine.quant.candle_impact import IMPACT_STEPS
from engine.simulation.kernel_compile import part
from engine.simulation.kernel_layout import TIE, Records

CENT = 1e-8
"""Fees and shares of an average entry are whole multiples of this (quote)."""


@part
def at_most(amount: float, most: float) -> bool:
    """Whether ``amount`` is at most ``most``; a tie within the tolerance is."""
    return amount - most <= TIE * max(abs(amount), abs(most))


@part
def whole(lots: float) -> int:
    """Lots rounded down; a number that misses a whole one by the tolerance is that one."""
    return math.floor(lots + TIE * abs(lots))


@part
def ceil_ratio(value: int, top: int, bottom: int) -> int:
    """``value * top / bottom`` rounded up, exactly; ``top * bottom`` fits an int64."""
    return (value // bottom) * top - (-((value % bottom) * top) // bottom)


@part
def taken_price(market: Records, raw: int, sign: int, impact: int) -> int:
    """Ticks that an order which takes pays: half the spread, slippage and impact beyond ``raw``, against the trader.

    ``impact`` counts in 1e-8 of the price; with one, spread and slippage are whole such steps, or the run is refused.
    """
    if impact == 0:
        beyond = ceil_ratio(raw, market.take_top, market.take_bottom)
    else:
        beyond = ceil_ratio(raw, market.take_steps + impact, IMPACT_STEPS)
    return max(raw + sign * beyond, 1)


@part
def fee_of(market: Records, lots: int, price: int, is_maker: bool) -> float:
    """Fee in quote, rounded up to 8 decimals."""
    if is_maker:
        return ceil_ratio(lots * price, market.maker_top, market.maker_bottom) * CENT
    return ceil_ratio(lots * price, market.fee_top, market.fee_bottom) * CENT


@part
def booked(quantity: int, cost: float, change: int, worth: float) -> tuple[int, float, float]:
    """Position (lots), its cost and the P&L realised after ``change`` lots at ``worth`` quote each.

    The part of the cost that a partial close takes is rounded to 1e-8, as ledger and venue do.
    """
    if quantity == 0 or (quantity > 0) == (change > 0):
        return quantity + change, cost + change * worth, 0.0
    sign = 1 if quantity > 0 else -1
    closed = min(abs(quantity), abs(change))
    part = cost
    if closed != abs(quantity):
        part = round(cost * closed / abs(quantity) / CENT) * CENT
    left = quantity + change
    opened = (change + closed * sign) * worth
    rest = opened if closed == abs(quantity) else cost - part
    return left, rest, worth * closed * sign - part
