"""What an order moves the price: the square-root law, and the model of Almgren et al. (2005).

All results are fractions of the price, positive for a cost to either side. The square root holds for orders well beyond
the top of the book; a smaller one pays the spread and the depth it walks through.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.quant.arrays import kernel

AVERAGE_SHARE_OF_PEAK = 2.0 / 3.0
"""Mean cost of an order that is worked evenly: the integral of a square root."""


@kernel
def peak_impact(quantity: float, daily_volume: float, daily_volatility: float, coefficient: float) -> float:
    """Square-root law ``Y * sigma_daily * sqrt(Q / ADV)``, callable from compiled code.

    Confirmed on more than a million Bitcoin orders (Donier and Bonart 2015; Y about 0.9; Toth et al. 2011).

    Parameters
    ----------
    quantity, daily_volume : float
        Same unit, base or quote; the sign of the quantity plays no part.
    daily_volatility : float
        Deviation of daily returns, as a fraction.
    coefficient : float
        ``Y``, about 1.

    Returns
    -------
    float
        Fraction of the price when the last part is filled; NaN where volume or volatility is unknown or the volume 0.

    Examples
    --------
    >>> round(peak_impact(100.0, 10_000.0, 0.03, 1.0), 12)
    0.003
    """
    if not daily_volume > 0.0 or not daily_volatility >= 0.0:
        return float("nan")
    return float(coefficient * daily_volatility * (abs(quantity) / daily_volume) ** 0.5)


def average_impact(quantity: float, daily_volume: float, daily_volatility: float, coefficient: float = 1.0) -> float:
    """Mean cost over the whole order, two thirds of `peak_impact`; NaN where that is.

    >>> round(average_impact(100.0, 10_000.0, 0.03), 12)
    0.002
    """
    return AVERAGE_SHARE_OF_PEAK * peak_impact(
        float(quantity), float(daily_volume), float(daily_volatility), float(coefficient)
    )


@dataclass(frozen=True, slots=True)
class AlmgrenImpact:
    """Coefficients of Almgren, Thum, Hauptmann and Li (2005), fitted to US shares, and the market they apply to.

    Attributes
    ----------
    daily_volume, outstanding : float
        Units traded a day, and in existence.
    daily_volatility : float
        As a fraction.
    gamma, eta : float
        Of the permanent and the temporary part.
    """

    daily_volume: float
    outstanding: float
    daily_volatility: float
    gamma: float = 0.314
    eta: float = 0.142

    def __post_init__(self) -> None:
        """Refuse a market without volume, supply or known volatility with a ValueError."""
        if not (self.daily_volume > 0.0 and self.outstanding > 0.0 and self.daily_volatility >= 0.0):
            raise ValueError(f"impact needs a positive volume and supply and a volatility of at least 0, got {self}")

    def permanent(self, quantity: float) -> float:
        """``gamma sigma (X / V) (Theta / V)**(1/4)``: what stays in the price after the order."""
        turnover = abs(quantity) / self.daily_volume
        return float(self.gamma * self.daily_volatility * turnover * (self.outstanding / self.daily_volume) ** 0.25)

    def temporary(self, quantity: float, days: float) -> float:
        """``eta sigma |X / (V T)|**(3/5)``: what trading within ``days`` pays while it lasts. ValueError at 0 days."""
        if not days > 0.0:
            raise ValueError(f"days is {days}; it must be above 0")
        return float(self.eta * self.daily_volatility * (abs(quantity) / (self.daily_volume * days)) ** 0.6)

    def realised(self, quantity: float, days: float) -> float:
        """Mean cost of the order: half the permanent part, built up while trading, and all of the temporary one."""
        return self.permanent(quantity) / 2.0 + self.temporary(quantity, days)
