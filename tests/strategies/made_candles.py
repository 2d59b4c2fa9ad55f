"""Candles for the strategy tests: random, degenerate and real ones."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from engine.domain.market import CandleArrays, FloatArray, IntArray, Timeframe
from tests.shared_data import shared_path

START_MS = 1_700_000_040_000


def candles_of(close: FloatArray, spread: float = 0.001, opened_at_ms: IntArray | None = None) -> CandleArrays:
    """One-minute candles through the given closes; ranges of ``spread`` of the price, volume 1."""
    close = np.ascontiguousarray(close, dtype=np.float64)
    opened = np.concatenate((close[:1], close[:-1]))
    high, low = np.maximum(opened, close) * (1 + spread), np.minimum(opened, close) * (1 - spread)
    if opened_at_ms is None:
        opened_at_ms = START_MS + 60_000 * np.arange(len(close), dtype=np.int64)
    return CandleArrays(Timeframe(60), opened_at_ms, opened, high, low, close, np.ones(len(close)))


def with_volume(candles: CandleArrays, volume: FloatArray) -> CandleArrays:
    """The same candles with another volume."""
    c = candles
    return CandleArrays(c.timeframe, c.opened_at_ms, c.open, c.high, c.low, c.close, volume)


def random_candles(seed: int, bars: int, missing: float = 0.0) -> CandleArrays:
    """A random walk with clustered volatility, flat stretches, jumps, and a share of missing candles."""
    random = np.random.default_rng(seed)
    volatility = 0.001 * np.exp(np.cumsum(random.normal(0.0, 0.02, bars)))
    returns = random.normal(0.0, 1.0, bars) * np.clip(volatility, 1e-4, 0.01)
    returns[random.random(bars) < 0.002] += 0.03
    for start in random.integers(0, bars, 2):
        returns[start : start + int(random.integers(1, 60))] = 0.0
    steps = np.cumsum(1 + random.geometric(0.3, bars) * (random.random(bars) < missing))
    candles = candles_of(500.0 * np.exp(np.cumsum(returns)), opened_at_ms=START_MS + 60_000 * steps.astype(np.int64))
    return with_volume(candles, random.lognormal(0.0, 0.7, bars))


@lru_cache(maxsize=4)
def real_candles(name: str, timeframe: str) -> CandleArrays:
    """Recorded candles; the test is skipped where they are missing."""
    table = pd.read_parquet(shared_path(f"data/spot_binance/{name}.parquet"))
    prices = [table[column].to_numpy(dtype=np.float64) for column in ("open", "high", "low", "close", "volume")]
    return CandleArrays(Timeframe.parse(timeframe), table["timestamp"].to_numpy(dtype=np.int64), *prices)


def hourly_bitcoin() -> CandleArrays:
    """73,265 hours of BTC/USDT from 2018 on, with the gaps the venue had."""
    return real_candles("BTC_USDT-1h", "1h")


def minutes_of_bitcoin() -> CandleArrays:
    """A month of BTC/USDT minutes."""
    return real_candles("BTC_USDT-1m_202408", "1m")
