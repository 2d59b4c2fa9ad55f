"""Numbers for charts: health samples, and the log of ideas and refusals; equity curves lie beside them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, delete, func, insert, select, text
from sqlalchemy.dialects import sqlite

from engine.domain.errors import BadInput
from engine.domain.market import from_ms, to_ms
from engine.storage.database_file import DatabaseFile
from engine.storage.equity import EquityHistory
from engine.storage.rows import Decision, Page, Sample, SampleSeries, page_bounds
from engine.storage.telemetry_tables import SampleTable

RAW_SAMPLES_KEPT = timedelta(days=30)
TEN_MINUTES_KEPT = timedelta(days=730)
DECISIONS_KEPT = 20_000
_TEN_MINUTES_MS = 600_000

_TABLES = SampleTable.metadata.tables
_SAMPLES, _TEN, _DECISIONS = (_TABLES[name] for name in ("samples", "samples_ten_minutes", "decisions"))


class TelemetryStore:
    """What may be lost in a power cut; ``equity`` holds the curves of the books.

    Parameters
    ----------
    path : Path
        ``telemetry.sqlite``, already migrated.
    """

    def __init__(self, path: Path) -> None:
        self._file = DatabaseFile(path, full_sync=False)
        self.equity = EquityHistory(self._file)

    def add_samples(self, samples: Sequence[Sample]) -> None:
        """Store measured values in one transaction; a value measured at the same millisecond is replaced.

        Raises
        ------
        CannotRecord
            Nothing was stored.
        """
        if not samples:
            return
        rows = [{"name": item.name, "at_ms": to_ms(item.at), "value": item.value} for item in samples]
        with self._file.write() as connection:
            connection.execute(insert(_SAMPLES).prefix_with("OR REPLACE"), rows)
            connection.execute(_GATHER, [_ten_minute_row(row) for row in rows])

    def samples(self, name: str, since: datetime, until: datetime, points: int = 400) -> SampleSeries:
        """Samples of one name from ``since`` (inclusive) to ``until`` (exclusive), gathered into at most ``points``.

        Spans longer than ten minutes a point are read from the ten-minute table, so that a month costs what a day does.

        Raises
        ------
        BadInput
            ``points`` or the span is not positive.
        StorageError
            The file cannot be read.
        """
        start, stop = to_ms(since), to_ms(until)
        if points < 1 or stop <= start:
            raise BadInput(f"{points} points from {since} to {until}: both must be above zero")
        width = -(-(stop - start) // points)
        query = _COARSE if width >= _TEN_MINUTES_MS else _FINE
        where = {"name": name, "start": start, "stop": stop, "width": width}
        with self._file.read() as connection:
            rows = connection.execute(query, where).all()
        columns = list(zip(*rows, strict=True)) or [()] * 4
        floats = [np.array(column, dtype=np.float64) for column in columns[1:]]
        return SampleSeries(name, np.array(columns[0], dtype=np.int64), *floats)

    def newest(self) -> dict[str, tuple[datetime, float]]:
        """The last value of every name, with its time."""
        with self._file.read() as connection:
            return {name: (from_ms(at_ms), value) for name, at_ms, value in connection.execute(_NEWEST)}

    def log_decisions(self, decisions: Sequence[Decision]) -> None:
        """Store ideas and refusals; only the newest 20,000 are kept. Raises `CannotRecord`."""
        if not decisions:
            return
        rows = [
            {
                "book": item.book,
                "at_ms": to_ms(item.at),
                "strategy": item.strategy,
                "instrument": item.instrument,
                "rule": item.rule,
                "detail": item.detail,
            }
            for item in decisions
        ]
        newest = select(func.max(_DECISIONS.c.decision_id)).scalar_subquery()
        with self._file.write() as connection:
            connection.execute(insert(_DECISIONS), rows)
            connection.execute(delete(_DECISIONS).where(_DECISIONS.c.decision_id <= newest - DECISIONS_KEPT))

    def decisions(self, book: str, strategy: str | None = None, page: int = 1, size: int = 50) -> Page[Decision]:
        """Ideas and refusals of a book, newest first."""
        limit, offset = page_bounds(page, size)
        query = select(_DECISIONS).where(_DECISIONS.c.book == book)
        if strategy is not None:
            query = query.where(_DECISIONS.c.strategy == strategy)
        with self._file.read() as connection:
            total = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
            newest = query.order_by(_DECISIONS.c.decision_id.desc()).limit(limit).offset(offset)
            rows = connection.execute(newest).all()
        return Page(total, tuple(_decision(row) for row in rows), page, size)

    def thin(self, now: datetime) -> int:
        """Drop what is too old to be kept in full; rows removed. Meant to run once a day. Raises `CannotRecord`."""
        with self._file.write() as connection:
            removed = _delete_before(connection, _SAMPLES, now - RAW_SAMPLES_KEPT)
            removed += _delete_before(connection, _TEN, now - TEN_MINUTES_KEPT)
        return removed + self.equity.thin(now)

    def close(self) -> None:
        """Give the connections back."""
        self._file.close()


def _ten_minute_row(row: dict[str, Any]) -> dict[str, Any]:
    value, at_ms = row["value"], row["at_ms"]
    start = at_ms - at_ms % _TEN_MINUTES_MS
    return {"name": row["name"], "at_ms": start, "total": value, "count": 1, "low": value, "high": value}


def _delete_before(connection: Connection, table: Any, before: datetime) -> int:
    return connection.execute(delete(table).where(table.c.at_ms < to_ms(before))).rowcount


def _decision(row: Any) -> Decision:
    return Decision(row.book, from_ms(row.at_ms), row.strategy, row.instrument, row.rule, row.detail)


def _gather() -> Any:
    new = sqlite.insert(_TEN)
    return new.on_conflict_do_update(
        index_elements=["name", "at_ms"],
        set_={
            "total": _TEN.c.total + new.excluded.total,
            "count": _TEN.c["count"] + 1,
            "low": func.min(_TEN.c.low, new.excluded.low),
            "high": func.max(_TEN.c.high, new.excluded.high),
        },
    )


_GATHER = _gather()
_NEWEST = text(  # from name to name by the key, not along every sample
    "WITH RECURSIVE names(name) AS (SELECT min(name) FROM samples UNION ALL "
    "SELECT (SELECT min(name) FROM samples WHERE samples.name > names.name) FROM names WHERE name IS NOT NULL) "
    "SELECT samples.name, at_ms, value FROM names CROSS JOIN samples ON samples.name = names.name "
    "AND at_ms = (SELECT max(at_ms) FROM samples AS last WHERE last.name = names.name)"
)
_FINE = text(
    "SELECT max(at_ms), avg(value), min(value), max(value) FROM samples "
    "WHERE name = :name AND at_ms >= :start AND at_ms < :stop GROUP BY (at_ms - :start) / :width ORDER BY 1"
)
_COARSE = text(
    "SELECT max(at_ms), sum(total) / sum(count), min(low), max(high) FROM samples_ten_minutes "
    "WHERE name = :name AND at_ms >= :start AND at_ms < :stop GROUP BY (at_ms - :start) / :width ORDER BY 1"
)
