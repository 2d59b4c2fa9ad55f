"""Runs every compiled kernel of this package once, so that their machine code lies on disk before the first bar."""

from __future__ import annotations

import numpy as np

from engine.quant import impact, indicators, meanreversion, portfolio, regimes, rolling, volatility


def compile_all() -> None:
    """Call each kernel with tiny arrays of the types production uses; seconds the first time, then milliseconds."""
    close = 100.0 + np.cumsum(np.where(np.arange(64) % 3 == 0, -1.5, 1.0))
    high, low, volume = close + 1.0, close - 1.0, np.ones(64)
    rolling.mean(close, 4)
    rolling.deviation(close, 4, ddof=1)
    rolling.highest(close, 4)
    indicators.rsi(close)
    indicators.macd(close)
    indicators.adx(high, low, close)
    indicators.obv(close, volume)
    indicators.keltner(high, low, close)
    meanreversion.rolling_adf(close, 20, lags=1)
    volatility.ewma_variance(np.zeros(4), seed=1.0)
    portfolio.risk_parity(np.eye(2))
    impact.average_impact(1.0, 1.0, 0.0)
    regimes.past_thirds(close)
