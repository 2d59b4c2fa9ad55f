"""Candles, files and options that the tests of the candle store share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.domain.instruments import Instrument, Kind
from engine.domain.market import CandleArrays, FloatArray, IntArray, Timeframe
from engine.storage.candle_import import ImportOptions
from engine.storage.candles import ImportRecord

HOUR = Timeframe(3600)
START = datetime(2023, 12, 31, tzinfo=UTC)
START_MS = 1_703_980_800_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAME = "spot_binance/BTC_USDT-1h.parquet"
CSV = "spot_binance/BTC_USDT-1h.csv"


def instrument(venue: str = "binance", base: str = "BTC", quote: str = "USDT", kind: Kind = Kind.SPOT) -> Instrument:
    return Instrument(venue, base, quote, kind, Decimal("0.01"), Decimal("0.00001"), Decimal(5))


BTC = instrument()


def options(**changes: object) -> ImportOptions:
    return ImportOptions(instrument=instrument, now=NOW, **changes)  # type: ignore[arg-type]


def candles(first: int, stop: int, shift: float = 0.0, timeframe: Timeframe = HOUR) -> CandleArrays:
    numbers = np.arange(first, stop)
    waves = 100 + shift + np.round(10 * np.sin(numbers / 10), 2)
    times = START_MS + numbers * timeframe.ms
    return CandleArrays(timeframe, times, waves, waves + 1, waves - 1, waves + 0.5, numbers.astype(np.float64))


def record(name: str = "test", at: datetime = NOW, rejected: int = 0) -> ImportRecord:
    return ImportRecord(name, name, 0, rejected, at)


def columns(source: CandleArrays) -> dict[str, FloatArray | IntArray]:
    return {
        "timestamp": source.opened_at_ms,
        "open": source.open,
        "high": source.high,
        "low": source.low,
        "close": source.close,
        "volume": source.volume,
    }


def parquet(table: Mapping[str, object], **writing: object) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(dict(table)), sink, **writing)
    return bytes(sink.getvalue())


def csv(source: CandleArrays, header: str = "timestamp,open,high,low,close,volume") -> str:
    rows = zip(*(column.tolist() for column in columns(source).values()), strict=True)
    return "\n".join([header, *(",".join(str(value) for value in row) for row in rows)]) + "\n"


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file of the store but its lock files, by path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
