"""Recorded candles of real markets for tests, read once a session, and made ones for machines without them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from shared_data import shared_path

from engine.domain.instruments import Instrument, Kind
from engine.domain.market import CandleArrays, Timeframe
from engine.simulation.instrument_table import instrument_for
from engine.storage.candle_import import ImportOptions, import_file
from engine.storage.candles import CandleStore

HOUR = Timeframe(3600)
START_MS = 1_672_531_200_000
"""1 January 2023 UTC."""


def recorded(coin: str, bars: int | None = None) -> tuple[Instrument, CandleArrays]:
    """Hourly candles of a coin against USDT at Binance, the last ``bars`` of them; skips where they are missing."""
    instrument, candles = _read(shared_path(f"data/spot_binance/{coin}_USDT-1h.parquet"))
    return instrument, candles if bars is None else candles.tail(bars)


def recorded_minutes(coin: str) -> CandleArrays:
    """One-minute candles of a coin against USDT at Binance, 26 July to 25 August 2024; skips where they are missing."""
    return _read(shared_path(f"data/spot_binance/{coin}_USDT-1m_202408.parquet"))[1]


def recorded_with_holes() -> tuple[Instrument, CandleArrays, CandleArrays]:
    """Hours of Bitcoin at Kraken, and minutes of five days of them without those in which nothing was traded."""
    hours, minutes = (_read(shared_path(f"data/spot_kraken/BTC_USDT-{length}.parquet")) for length in ("1h", "1m"))
    return *hours, minutes[1]


@cache
def _read(path: Path) -> tuple[Instrument, CandleArrays]:
    with TemporaryDirectory() as folder:
        store = CandleStore(Path(folder))
        result = import_file(store, path, path.name, ImportOptions(instrument_for, datetime.now(UTC)))
        return result.instrument, store.read(result.instrument.key, result.timeframe)


def made(bars: int = 2500, seed: int = 1, kind: Kind = Kind.SPOT) -> tuple[Instrument, CandleArrays]:
    """A random walk of hourly candles, the same for the same seed; enough for every strategy to warm up."""
    rng = np.random.default_rng(seed)
    close = 20_000 * np.exp(np.cumsum(rng.normal(0, 0.01, bars)))
    first = np.concatenate(([20_000.0], close[:-1]))
    spread = np.abs(rng.normal(0, 0.004, bars)) * close
    high, low = np.maximum(first, close) + spread, np.minimum(first, close) - spread
    volume = rng.uniform(50, 500, bars)
    opened = START_MS + np.arange(bars, dtype=np.int64) * HOUR.ms
    instrument = instrument_for("binance", "BTC", "USDT", kind)
    columns = [np.round(column, 2) for column in (first, high, low, close, volume)]
    return instrument, CandleArrays(HOUR, opened, *columns)


def csv_of(candles: CandleArrays) -> bytes:
    """The candles as a file that can be imported."""
    columns = (candles.opened_at_ms, candles.open, candles.high, candles.low, candles.close, candles.volume)
    lines = ["timestamp,open,high,low,close,volume"]
    lines += [",".join(repr(value.item()) for value in row) for row in zip(*columns, strict=True)]
    return "\n".join(lines).encode() + b"\n"
