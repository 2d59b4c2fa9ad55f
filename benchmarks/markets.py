"""Candles to measure on: recorded ones where they are at hand, made-up ones otherwise."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np

from benchmarks.measuring import ROOT
from engine.domain.instruments import Instrument, Kind
from engine.domain.market import Bars, Candle, CandleArrays, Timeframe, from_ms
from engine.runtime.replay_data import FileFacts, file_candles
from engine.simulation.price_grid import decimal_price
from engine.storage.candle_import import ImportWatch

START_MS = 1_704_067_200_000
TICK = Decimal("0.01")
Series = Mapping[Instrument, CandleArrays]


def recorded(coins: Sequence[str]) -> Series | None:
    """Hourly spot candles of the coins, sorted; None where the reference data is not there."""
    folder = Path(os.environ.get("QUARTERDECK_SHARED", ROOT.parent / "shared")) / "data" / "spot_binance"
    paths = [folder / f"{coin}_USDT-1h.parquet" for coin in coins]
    if not all(path.exists() for path in paths):
        return None
    series, _ = file_candles(paths, FileFacts(), None, ImportWatch())
    return series


def made(symbols: int, bars: int, timeframe: Timeframe, seed: int = 7) -> Series:
    """Random walks with volatility clustering, on a tick grid; one instrument each.

    Parameters
    ----------
    symbols, bars : int
        Instruments, and candles of each.
    timeframe : Timeframe
    seed : int
    """
    random = np.random.default_rng(seed)
    return {_instrument(number): _walk(random, bars, timeframe) for number in range(symbols)}


def closes(series: Series, first: int) -> Iterator[Bars]:
    """The closes from candle ``first`` on, of series that share their times."""
    ordered = sorted(series.items(), key=lambda item: item[0].key)
    timeframe = ordered[0][1].timeframe
    for row in range(first, len(ordered[0][1])):
        opened_ms = int(ordered[0][1].opened_at_ms[row])
        candles = tuple(_candle(instrument, candles, row) for instrument, candles in ordered)
        yield Bars(from_ms(opened_ms + timeframe.ms), candles)


def _instrument(number: int) -> Instrument:
    return Instrument("bench", f"C{number:02d}", "USDT", Kind.SPOT, TICK, Decimal("0.0001"), Decimal(5))


def _walk(random: np.random.Generator, bars: int, timeframe: Timeframe) -> CandleArrays:
    waves = 0.6 * np.sin(np.arange(bars) / random.uniform(300, 900)) + random.normal(0, 0.25, bars).cumsum() / 30
    scale = 0.0012 * np.exp(np.clip(waves, -1.5, 1.5))
    close = np.round(100.0 * np.exp(np.clip((scale * random.standard_t(5, bars)).cumsum(), -3, 3)), 2)
    open_ = np.concatenate(([100.0], close[:-1]))
    reach = np.round(close * scale * random.exponential(0.7, bars), 2)
    high, low = np.maximum(open_, close) + reach, np.minimum(open_, close) - reach
    times = START_MS + np.arange(bars, dtype=np.int64) * timeframe.ms
    return CandleArrays(timeframe, times, open_, high, low, close, np.round(random.lognormal(8, 1, bars), 3))


def _candle(instrument: Instrument, candles: CandleArrays, row: int) -> Candle:
    prices = (candles.open, candles.high, candles.low, candles.close)
    open_, high, low, close = (decimal_price(float(column[row]), instrument.tick_size) for column in prices)
    opened_at = from_ms(int(candles.opened_at_ms[row]))
    volume = Decimal(repr(float(candles.volume[row])))
    return Candle(instrument.key, candles.timeframe, opened_at, open_, high, low, close, volume)
