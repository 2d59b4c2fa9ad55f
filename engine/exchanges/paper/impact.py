"""What an order that takes pays over the price of its candle: half the spread, slippage and market impact."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from engine.domain.instruments import Instrument
from engine.domain.market import Candle
from engine.exchanges.paper.costs import EXACT, PaperCosts
from engine.quant.candle_impact import IMPACT_STEPS, candle_impact, candle_volatility

_STEP = Decimal(1) / IMPACT_STEPS


def taking_share(costs: PaperCosts, candle: Candle, quantity: Decimal, instrument: Instrument) -> Decimal:
    """All that a taking order pays beyond the candle's price, as a share of it, 0 or more.

    Parameters
    ----------
    costs : PaperCosts
    candle : Candle
        The one it fills in; its range and volume say how much ``quantity`` moves the price.
    quantity : Decimal
        Base.
    instrument : Instrument
        Prices count in its ticks, quantities in its lots: so does every other run of the same rule.

    See Also
    --------
    engine.quant.candle_impact.candle_impact : the law, what zero range and zero volume mean, and the sources.
    """
    if not costs.impact:
        return costs.taking
    open_, high, low = (_whole(price, instrument.tick_size) for price in (candle.open, candle.high, candle.low))
    lots = _whole(quantity, instrument.lot_size) * float(instrument.lot_size)
    volatility = candle_volatility(open_, high, low)
    return costs.taking + candle_impact(float(costs.impact), volatility, lots, float(candle.volume)) * _STEP


def _whole(amount: Decimal, step: Decimal) -> float:
    """Whole steps as a float: exact for anything that is traded."""
    return float(int(EXACT.divide(amount, step).to_integral_value(ROUND_CEILING)))
