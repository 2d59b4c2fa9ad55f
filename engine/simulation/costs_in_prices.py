"""What a backtest paid in its prices: spread, slippage and impact, which no record of an execution shows apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from engine.domain.market import CandleArrays
from engine.exchanges.paper import PaperCosts
from engine.quant.candle_impact import IMPACT_STEPS, candle_impact, candle_volatility
from engine.simulation.backtest_trades import MONEY_STEP, BacktestFill, Reason, TradedSeries
from engine.simulation.price_grid import ticks_of

ZERO = Decimal(0)


def impact_share(costs: PaperCosts, series: TradedSeries, place: tuple[CandleArrays, int], quantity: Decimal) -> float:
    """Market impact of a quantity (base) in one candle as a share of the price, as venue and kernel charge it.

    Parameters
    ----------
    costs : PaperCosts
    series : TradedSeries
    place : tuple of CandleArrays and int
        The candle: its series and its row.
    quantity : Decimal
    """
    if not costs.impact:
        return 0.0
    (candles, row), instrument = place, series.instrument
    columns = (candles.open, candles.high, candles.low)
    open_, high, low = (float(ticks_of(float(column[row]), instrument.tick_size)) for column in columns)
    volatility = candle_volatility(open_, high, low)
    return candle_impact(float(costs.impact), volatility, float(quantity), float(candles.volume[row])) / IMPACT_STEPS


def paid_in_prices(costs: PaperCosts, series: Sequence[TradedSeries], fills: Iterable[BacktestFill]) -> Decimal:
    """Half the spread, slippage and impact in the prices of all executions, quote, positive when paid.

    Rounding to the tick, which is part of a price, moves it by a tick an execution, and an order that the balance cut
    paid a little more impact than what it got would have. A target rests and pays none.
    """
    if not costs.taking and not costs.impact:
        return ZERO
    by_key = {one.instrument.key: one for one in series}
    paid = ZERO
    for fill in fills:
        if fill.reason is not Reason.TARGET:
            share = costs.taking + Decimal(repr(_share_of(costs, by_key[fill.instrument], fill)))
            paid += fill.quantity * fill.price * share / (1 + fill.side.sign * share)
    return paid.quantize(MONEY_STEP)


def mean_impact(costs: PaperCosts, series: TradedSeries, fills: Iterable[BacktestFill]) -> float:
    """Market impact that the executions of an instrument paid on average, as a share of what they were worth."""
    own = [fill for fill in fills if fill.instrument == series.instrument.key and fill.reason is not Reason.TARGET]
    worth = sum(float(fill.quantity * fill.price) for fill in own)
    if not costs.impact or not worth:
        return 0.0
    return sum(float(fill.quantity * fill.price) * _share_of(costs, series, fill) for fill in own) / worth


def _share_of(costs: PaperCosts, series: TradedSeries, fill: BacktestFill) -> float:
    return impact_share(costs, series, series.candle_of(fill.at_ms), fill.quantity) if costs.impact else 0.0
