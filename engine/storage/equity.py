"""Equity curves: one sample a market minute, read back in milliseconds without losing an extreme."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
from sqlalchemy import Connection, case, func, insert, text
from sqlalchemy.dialects import sqlite

from engine.domain.errors import BadInput
from engine.domain.market import FloatArray, IntArray, to_ms
from engine.domain.views import EquityCurve, Series
from engine.storage.database_file import DatabaseFile
from engine.storage.rows import EquitySample
from engine.storage.telemetry_tables import EquitySampleTable

RAW_EQUITY_KEPT = timedelta(days=400)
_HOUR_MS = 3_600_000
_MARKS = 4
_FEW_MARKS = 2 * _MARKS

_TABLES = EquitySampleTable.metadata.tables
_SAMPLE_TABLE, _HOUR_TABLE = _TABLES["equity_samples"], _TABLES["equity_hours"]


class EquityHistory:
    """Equity of every book along market time.

    Beside each hour stand the times of its lowest, highest, deepest and last sample, so that a year is drawn from
    8,760 rows instead of 525,600, and still from true samples.
    """

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file

    def add(self, samples: Sequence[EquitySample]) -> None:
        """Store samples in one transaction; one at the same market time is replaced. Raises `CannotRecord`."""
        if not samples:
            return
        with self._file.write() as connection:
            connection.execute(insert(_SAMPLE_TABLE).prefix_with("OR REPLACE"), [_raw_row(item) for item in samples])
            connection.execute(_GATHER, [_hour_row(item) for item in samples])

    def curve(self, book: str, since: datetime | None, points: int, currency: str) -> EquityCurve:
        """The curve from ``since`` (None is the beginning) in at most ``points`` true samples.

        The span is cut into equal parts; of each the lowest and highest equity, the deepest drawdown and the last
        sample are kept. ``samples`` counts, to the hour, what the curve stands for.

        Raises
        ------
        BadInput
            Fewer than four points.
        StorageError
            The file cannot be read.
        """
        if points < _MARKS:
            raise BadInput(f"{points} points are too few for a curve; at least {_MARKS}")
        start = 0 if since is None else to_ms(since)
        with self._file.read() as connection:
            since_hour = {"book": book, "start": start - start % _HOUR_MS}
            hours, count = connection.execute(_EXTENT, since_hour).one()
            spans = (_hours if hours >= points // _FEW_MARKS else _samples)(connection, book, start)
            where = {"book": book, "start": start, "times": json.dumps(_thinned(spans, points))}
            rows = connection.execute(_CHOSEN, where).all()
        return _curve(rows, currency, count or 0)

    def thin(self, now: datetime) -> int:
        """Keep only each hour's marks of samples older than 400 days (wall time); rows removed."""
        with self._file.write() as connection:
            return connection.execute(_THIN, {"before": to_ms(now - RAW_EQUITY_KEPT), "hour": _HOUR_MS}).rowcount


def _raw_row(item: EquitySample) -> dict[str, Any]:
    # Charts are drawn from floats; the ledger's own Decimals never pass here.
    return {
        "book": item.book,
        "market_ms": to_ms(item.market_at),
        "wall_ms": to_ms(item.wall_at),
        "equity": float(item.equity),
        "cash": float(item.cash),
        "drawdown": float(item.drawdown),
        "unrealised": float(item.unrealised),
        "sleeves": json.dumps({name: float(pnl) for name, pnl in item.sleeves.items()}),
    }


def _hour_row(item: EquitySample) -> dict[str, Any]:
    at_ms, equity = to_ms(item.market_at), float(item.equity)
    times = dict.fromkeys(("low_ms", "high_ms", "deepest_ms", "last_ms"), at_ms)
    extremes = {"low": equity, "high": equity, "deepest": float(item.drawdown)}
    return {"book": item.book, "hour_ms": at_ms - at_ms % _HOUR_MS, "samples": 1, **extremes, **times}


@dataclass(frozen=True, slots=True)
class _Spans:
    """Stretches of time (hours, or single samples) with their marks; arrays of one length, times in ms UTC."""

    low: FloatArray
    low_ms: IntArray
    high: FloatArray
    high_ms: IntArray
    deepest: FloatArray
    deepest_ms: IntArray
    last_ms: IntArray

    def marks(self, part: slice) -> tuple[int, ...]:
        """Times of the lowest, highest, deepest and last sample of some neighbouring spans."""
        return (
            int(self.low_ms[part][self.low[part].argmin()]),
            int(self.high_ms[part][self.high[part].argmax()]),
            int(self.deepest_ms[part][self.deepest[part].argmax()]),
            int(self.last_ms[part][-1]),
        )


def _samples(connection: Connection, book: str, start: int) -> _Spans:
    rows = connection.execute(_SAMPLES, {"book": book, "start": start}).all()
    at, equity, drawdown = zip(*rows, strict=True) if rows else ((), (), ())
    times, values = _integers(at), _floats(equity)
    return _Spans(values, times, values, times, _floats(drawdown), times, times)


def _hours(connection: Connection, book: str, start: int) -> _Spans:
    rows = connection.execute(_HOURS, {"book": book, "start": start - start % _HOUR_MS}).all()
    low, low_ms, high, high_ms, deepest, deepest_ms, last_ms = zip(*rows, strict=True)
    return _Spans(
        _floats(low), _integers(low_ms), _floats(high), _integers(high_ms),
        _floats(deepest), _integers(deepest_ms), _integers(last_ms),
    )  # fmt: skip


def _floats(values: Iterable[float]) -> FloatArray:
    return np.array(tuple(values), dtype=np.float64)


def _integers(values: Iterable[int]) -> IntArray:
    return np.array(tuple(values), dtype=np.int64)


def _thinned(spans: _Spans, points: int) -> list[int]:
    """Times of the samples to draw: four marks of each equal part of the whole, or all if they are few."""
    times = spans.last_ms
    if len(times) == 0:
        return []
    parts = len(times) if len(times) * _MARKS <= points else points // _MARKS
    if spans.low_ms is times and len(times) <= points:
        return times.tolist()  # type: ignore[no-any-return]
    edges = np.linspace(times[0], times[-1] + 1, parts + 1)
    cuts = np.unique(np.searchsorted(times, edges)).tolist()
    return sorted({mark for first, last in pairwise(cuts) for mark in spans.marks(slice(first, last))})


def _curve(rows: Sequence[Any], currency: str, samples: int) -> EquityCurve:
    at, equity, drawdown, sleeves = zip(*rows, strict=True) if rows else ((), (), (), ())
    times = _integers(at)
    shares = [json.loads(text) for text in sleeves]
    names = sorted({name for share in shares for name in share})
    series = [Series(name, times, _sleeve(shares, name), currency, "engine") for name in names]
    return EquityCurve(times, _floats(equity), -_floats(drawdown), tuple(series), currency, samples)


def _sleeve(shares: list[dict[str, float]], name: str) -> FloatArray:
    return _floats(share.get(name, np.nan) for share in shares)


def _gather() -> Any:
    new = sqlite.insert(_HOUR_TABLE)
    old, fresh = _HOUR_TABLE.c, new.excluded
    later = fresh.last_ms > old.last_ms
    lower, higher, deeper = fresh.low < old.low, fresh.high > old.high, fresh.deepest > old.deepest
    return new.on_conflict_do_update(
        index_elements=["book", "hour_ms"],
        set_={
            "low": func.min(old.low, fresh.low),
            "low_ms": case((lower, fresh.low_ms), else_=old.low_ms),
            "high": func.max(old.high, fresh.high),
            "high_ms": case((higher, fresh.high_ms), else_=old.high_ms),
            "deepest": func.max(old.deepest, fresh.deepest),
            "deepest_ms": case((deeper, fresh.deepest_ms), else_=old.deepest_ms),
            "last_ms": func.max(old.last_ms, fresh.last_ms),
            "samples": old.samples + case((later, 1), else_=0),
        },
    )


_GATHER = _gather()
_EXTENT = text("SELECT count(*), sum(samples) FROM equity_hours WHERE book = :book AND hour_ms >= :start")
_SAMPLES = text(
    "SELECT market_ms, equity, drawdown FROM equity_samples "
    "WHERE book = :book AND market_ms >= :start ORDER BY market_ms"
)
_HOURS = text(
    "SELECT low, low_ms, high, high_ms, deepest, deepest_ms, last_ms FROM equity_hours "
    "WHERE book = :book AND hour_ms >= :start ORDER BY hour_ms"
)
_CHOSEN = text(
    # CROSS JOIN keeps the order of the loops: a few look-ups by key instead of a walk over the year.
    "SELECT market_ms, equity, drawdown, sleeves FROM json_each(:times) AS chosen "
    "CROSS JOIN equity_samples ON book = :book AND market_ms = chosen.value WHERE chosen.value >= :start"
)
_THIN = text(
    "DELETE FROM equity_samples WHERE wall_ms < :before AND NOT EXISTS (SELECT 1 FROM equity_hours AS hour "
    "WHERE hour.book = equity_samples.book AND hour.hour_ms = market_ms - market_ms % :hour "
    "AND market_ms IN (hour.low_ms, hour.high_ms, hour.deepest_ms, hour.last_ms))"
)
