"""From the floats of candle files to Decimals on an instrument's grid, one at a time or, as ticks, a column at once."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np

from engine.domain.errors import BadInput
from engine.domain.market import FloatArray, IntArray

_EXACT = 2.0**50
_NEAR_HALF = 1e-4


def decimal_price(price: float, tick_size: Decimal) -> Decimal:
    """The tick nearest to a price, half to even, judged by the price's shortest text.

    A file holds 13715.65 as the float nearest to it; its shortest text is what the exchange published, so that is
    what is rounded. Rounding to one grid never puts a low above its open or close, nor a high below.

    Parameters
    ----------
    price : float
        Quote currency, finite.
    tick_size : Decimal
        Quote currency, positive.

    Examples
    --------
    >>> decimal_price(13715.65, Decimal("0.01")), decimal_price(0.29425, Decimal("0.0001"))
    (Decimal('13715.65'), Decimal('0.2942'))
    """
    return ticks_of(price, tick_size) * tick_size


def ticks_of(price: float, tick_size: Decimal) -> int:
    """The same as a whole number of ticks."""
    return int((Decimal(repr(float(price))) / tick_size).to_integral_value(ROUND_HALF_EVEN))


def price_ticks(prices: FloatArray, tick_size: Decimal) -> IntArray:
    """Whole ticks of a column of prices, equal to `ticks_of` for each of them.

    Parameters
    ----------
    prices : float64[n]
        Quote currency, finite and positive.
    tick_size : Decimal
        Quote currency, positive.

    Returns
    -------
    int64[n]
        Division in floats settles every price but those that are, within 1e-4 of a tick, half way between two; these
        few are rounded one by one.

    Raises
    ------
    BadInput
        A price is less than half a tick, so that it would become zero, or beyond 2**50 ticks.
    """
    scaled = prices / float(tick_size)
    if len(scaled) and float(scaled.max()) >= _EXACT:
        raise BadInput(f"price {prices.max()} is too many ticks of {tick_size}; give --tick-size")
    nearest = np.rint(scaled)
    ticks = nearest.astype(np.int64)
    for row in np.flatnonzero(np.abs(np.abs(scaled - nearest) - 0.5) < _NEAR_HALF):
        ticks[row] = ticks_of(float(prices[row]), tick_size)
    if len(ticks) and int(ticks.min()) < 1:
        raise BadInput(f"price {prices.min()} is less than half a tick of {tick_size}; give --tick-size")
    return ticks


def decimal_volume(volume: float) -> Decimal:
    """A volume (base currency) by its shortest text; volumes are only compared with, so no grid is forced on them."""
    return Decimal(repr(volume))
