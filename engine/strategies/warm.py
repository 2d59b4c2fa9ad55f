"""Runs every strategy once on made-up candles, so that all machine code lies on disk before the first bar."""

from __future__ import annotations

import numpy as np

from engine.domain.market import CandleArrays, Timeframe
from engine.quant import warm
from engine.strategies import BACKTESTS


def compile_all() -> None:
    """Compile the kernels of `engine.quant` and of the strategies; seconds the first time, then milliseconds."""
    warm.compile_all()
    for kind in BACKTESTS.values():
        strategy = kind.build(kind.config())
        candles = _waves(strategy.lookback_bars + 1)
        strategy.convictions(candles)
        strategy.stop_distances(candles)


def _waves(bars: int) -> CandleArrays:
    steps = np.arange(bars, dtype=np.int64)
    close = 100.0 + 10.0 * np.sin(steps / 9.0) + 3.0 * np.sin(steps / 2.0)
    minute = Timeframe(60)
    return CandleArrays(minute, steps * minute.ms, close, close + 1.0, close - 1.0, close, np.ones(bars))
