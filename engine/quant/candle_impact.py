"""What an order moves the price of the candle it fills in: the square-root law, in steps that every run agrees on.

Plain arithmetic of floats, one operation after the other, each rounded as IEEE 754 says: interpreted and compiled it
gives the same bits. Nothing is imported that compiles, so that a venue may use it at no cost.
"""

from __future__ import annotations

import math

IMPACT_STEPS = 100_000_000
"""Steps of the whole price: impact is counted in 1e-8 of it, rounded up."""

_PARKINSON = 2.0 * math.sqrt(math.log(2.0))


def candle_volatility(open_: float, high: float, low: float) -> float:
    """Deviation of returns over one candle from its range, ``(H - L) / O / (2 sqrt(ln 2))``, as a fraction.

    Parkinson (1980) for a single candle, with the logarithm of high over low to first order. 0 for a candle that did
    not move.

    Parameters
    ----------
    open_, high, low : float
        In one unit; the open above 0.

    Examples
    --------
    >>> round(candle_volatility(100.0, 102.0, 99.0), 6)
    0.018017
    """
    return (high - low) / open_ / _PARKINSON


def candle_impact(coefficient: float, volatility: float, quantity: float, volume: float) -> int:
    """Square-root law ``Y * sigma * sqrt(q / V)`` in steps of 1e-8 of the price, rounded up, at most the whole price.

    Confirmed on more than a million Bitcoin orders (Donier and Bonart 2015: Y about 0.9; Toth et al. 2011: about 1).
    Volatility and volume may be those of any length of time: the one grows with its square root, the other with the
    time itself, so that ``sigma / sqrt(V)`` stays what it is. So the candle's own will do, whatever its length.

    Parameters
    ----------
    coefficient : float
        ``Y``; 0 for none.
    volatility : float
        Of the candle, as a fraction, from `candle_volatility`; 0 gives no impact.
    quantity, volume : float
        Base; of the order and of the candle. An order larger than the volume pays by the same law, beyond what it was
        measured for. A candle without volume is charged as if the order were all of it.

    Returns
    -------
    int
        0 or more, to be paid by the trader.

    Examples
    --------
    >>> candle_impact(1.0, 0.01, 4.0, 100.0), candle_impact(1.0, 0.01, 4.0, 0.0), candle_impact(0.0, 0.01, 4.0, 100.0)
    (200000, 1000000, 0)
    """
    share = quantity / volume if volume > 0.0 else 1.0
    return math.ceil(min(coefficient * volatility * math.sqrt(share), 1.0) * IMPACT_STEPS)
