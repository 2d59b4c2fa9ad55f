"""The protective stop all strategies share: a multiple of the average true range."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from engine.domain.market import CandleArrays, FloatArray
from engine.quant import indicators

SMALLEST_ATR_SHARE = 1e-8
"""An ATR below this share of the price is a market that does not move: no stop, no conviction."""

AtrPeriodBars = Annotated[int, Field(ge=2, le=50, description="ATR period (bars)")]
StopAtrMultiple = Annotated[float, Field(ge=0.5, le=20.0, description="Stop distance (multiple of ATR)")]
MaxHoldBars = Annotated[int, Field(ge=2, le=1000, description="Longest holding after the last entry signal (bars)")]


def moving_atr(candles: CandleArrays, period_bars: int, first: int) -> FloatArray:
    """ATR of the bars from index ``first`` on, in quote currency; NaN where the market does not move, never 0.

    Parameters
    ----------
    candles : CandleArrays
        With at least `indicators.wilder_memory_bars` bars up to and including ``first``.
    period_bars : int
    first : int

    Returns
    -------
    float64[n - first]
    """
    known = candles.slice(first + 1 - indicators.wilder_memory_bars(period_bars), len(candles))
    atr = indicators.atr(known.high, known.low, known.close, period_bars)[first - len(candles) :]
    atr[~(atr > SMALLEST_ATR_SHARE * candles.close[first:])] = np.nan
    return atr


def stop_distances(candles: CandleArrays, period_bars: int, multiple: float, lookback_bars: int) -> FloatArray:
    """Distance of the stop from the entry in quote currency, positive; NaN before bar ``lookback_bars - 1``."""
    distances = np.full(len(candles), np.nan)
    if len(candles) >= lookback_bars:
        distances[lookback_bars - 1 :] = multiple * moving_atr(candles, period_bars, lookback_bars - 1)
    return distances
