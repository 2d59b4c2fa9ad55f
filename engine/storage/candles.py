"""The candle store: columnar files by instrument, timeframe and year, merged without doubles, queried with DuckDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import duckdb
import numpy as np
import pyarrow as pa

from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import CandleArrays, Timeframe, from_ms, to_ms
from engine.market.checks import Gap, count_gaps, grid_offset_ms
from engine.storage.candle_segments import (
    COLUMNS,
    SIDECAR,
    ImportRecord,
    Series,
    broken,
    empty_candles,
    load_table,
    locked,
    read_series,
    recorded_in,
    series_folder,
    to_arrays,
)
from engine.storage.candle_writer import MergeResult, SeriesWriter

__all__ = ["CandleStore", "Coverage", "ImportRecord", "MergeResult", "SeriesWriter"]

_EVER_MS = 2**62
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the store holds of one instrument and timeframe.

    ``first`` and ``last`` are the open times of the oldest and newest candle; ``gaps`` counts runs of missing candles
    and ``missing_bars`` the candles missing in them; ``rejected_rows`` adds up the rows its imports left out;
    ``source`` and ``imported_at`` (wall time) are those of the newest import.
    """

    instrument: InstrumentKey
    kind: Kind
    timeframe: Timeframe
    rows: int
    first: datetime
    last: datetime
    gaps: int
    missing_bars: int
    rejected_rows: int
    source: str
    imported_at: datetime
    content_hash: str


class CandleStore:
    """Candles on disk. Safe for several threads and processes: writers take turns, readers never wait.

    Parameters
    ----------
    folder : Path
        Where the files lie; made by the first write.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._database = duckdb.connect(":memory:", config={"threads": 1, "enable_external_access": "false"})

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return self._folder

    def coverage(self) -> list[Coverage]:
        """Everything the store holds, sorted by instrument and timeframe.

        Raises
        ------
        StorageError
            A sidecar is damaged; the message names it.
        """
        rows = [_coverage(series) for _, series in self._all() if series.segments]
        return sorted(rows, key=lambda row: (row.instrument, row.timeframe))

    def instrument(self, key: InstrumentKey) -> Instrument:
        """The instrument as stated at its newest import; raises `BadInput` for one the store does not hold."""
        found = [series for _, series in self._all() if series.instrument.key == key and series.imports]
        if not found:
            raise self._unknown(str(key))
        return max(found, key=lambda series: series.imports[-1].imported_at).instrument

    def read(
        self,
        key: InstrumentKey,
        timeframe: Timeframe,
        start: datetime | None = None,
        stop: datetime | None = None,
    ) -> CandleArrays:
        """Candles that open from ``start`` on and before ``stop`` (None: all), oldest first, read-only arrays.

        Raises
        ------
        BadInput
            The store does not hold this instrument and timeframe; the message says what it holds.
        StorageError
            A file is damaged; the message names it.
        """
        first, last = _range(start, stop)
        query = """
            SELECT timestamp, open, high, low, close, volume
            FROM candles WHERE timestamp >= $1 AND timestamp < $2 ORDER BY timestamp
        """

        def rows(connection: duckdb.DuckDBPyConnection) -> CandleArrays:
            return to_arrays(connection.sql(query, params=[first, last]).to_arrow_table(), timeframe)

        return self._ask(key, timeframe, (first, last), rows) or empty_candles(timeframe)

    def resample(
        self,
        key: InstrumentKey,
        timeframe: Timeframe,
        target: Timeframe,
        start: datetime | None = None,
        stop: datetime | None = None,
    ) -> CandleArrays:
        """Candles of a longer timeframe, as charts need them, made from the stored ones.

        Whole target candles from ``start`` to ``stop``, within the first and the last candle stored; one with gaps
        inside is made of what there is.

        Raises
        ------
        BadInput
            ``target`` is not a multiple of ``timeframe``, or the store does not hold the series.
        StorageError
            A file is damaged; the message names it.
        """
        if target.ms % timeframe.ms:
            raise BadInput(f"{target} candles cannot be made from {timeframe} ones: not a whole multiple")
        first, last = _range(start, stop)
        segments = self._find(key, timeframe)[1].segments
        first, last = max(first, segments[0].first_ms), min(last, segments[-1].last_ms + timeframe.ms)
        query = """
            SELECT timestamp - (timestamp - $3) % $4 AS bucket, arg_min(open, timestamp) AS open, max(high) AS high,
                   min(low) AS low, arg_max(close, timestamp) AS close, sum(volume) AS volume
            FROM candles
            GROUP BY bucket
            HAVING bucket >= $1 AND bucket + $4 <= $2
            ORDER BY bucket
        """

        def rows(connection: duckdb.DuckDBPyConnection) -> CandleArrays:
            values = [first, last, grid_offset_ms(target), target.ms]
            table = connection.sql(query, params=values).to_arrow_table().rename_columns(list(COLUMNS))
            return to_arrays(table, target)

        return self._ask(key, timeframe, (first, last), rows) or empty_candles(target)

    def gaps(self, key: InstrumentKey, timeframe: Timeframe) -> tuple[Gap, ...]:
        """Every run of missing candles, oldest first; raises as `read` does."""
        query = """
            SELECT before, timestamp, (timestamp - before) // $1 - 1
            FROM (SELECT timestamp, lag(timestamp) OVER (ORDER BY timestamp) AS before FROM candles)
            WHERE timestamp - before > $1 ORDER BY timestamp
        """

        def rows(connection: duckdb.DuckDBPyConnection) -> tuple[Gap, ...]:
            found = connection.execute(query, [timeframe.ms]).fetchall()
            return tuple(Gap(from_ms(before + timeframe.ms), from_ms(after), bars) for before, after, bars in found)

        return self._ask(key, timeframe, (-_EVER_MS, _EVER_MS), rows) or ()

    def merge(self, instrument: Instrument, candles: CandleArrays, origin: ImportRecord) -> MergeResult:
        """Add checked candles (rising, on the grid); one that is there with other values is replaced.

        Raises
        ------
        BadInput
            The instrument cannot be named on disk.
        CannotRecord
            The folder is read-only or full; nothing was changed.
        """
        with self.writing(instrument, candles.timeframe) as writer:
            writer.put(candles)
            return writer.commit(origin)

    @contextmanager
    def writing(self, instrument: Instrument, timeframe: Timeframe) -> Iterator[SeriesWriter]:
        """Change one series as a whole: nothing happens unless `SeriesWriter.commit` is called.

        Raises
        ------
        CannotRecord
            The folder is read-only or full; nothing was changed.
        """
        folder = series_folder(self._folder, instrument.key, timeframe)
        with recorded_in(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder):
                series = read_series(folder) or Series(instrument, timeframe, (), ())
                writer = SeriesWriter(folder, instrument, series)
                try:
                    yield writer
                finally:
                    writer.sweep()

    def _ask(
        self,
        key: InstrumentKey,
        timeframe: Timeframe,
        times_ms: tuple[int, int],
        question: Callable[[duckdb.DuckDBPyConnection], Answer],
    ) -> Answer | None:
        tables = self._tables(key, timeframe, times_ms)
        if not tables:
            return None
        with self._database.cursor() as connection:
            connection.register("candles", pa.concat_tables(tables))
            return question(connection)

    def _tables(self, key: InstrumentKey, timeframe: Timeframe, times_ms: tuple[int, int]) -> list[pa.Table]:
        for last_try in (False, True):
            folder, series = self._find(key, timeframe)
            wanted = [row for row in series.segments if row.last_ms >= times_ms[0] and row.first_ms < times_ms[1]]
            try:
                return [load_table(folder, segment) for segment in wanted]
            except FileNotFoundError as error:
                # A writer may have replaced the file after the sidecar was read: once more with the new sidecar.
                if last_try:
                    raise broken(Path(str(error.filename)), "it is missing") from error
        raise AssertionError("unreachable")

    def _find(self, key: InstrumentKey, timeframe: Timeframe) -> tuple[Path, Series]:
        folder = series_folder(self._folder, key, timeframe)
        series = read_series(folder)
        if series is None or not series.segments:
            raise self._unknown(f"{key} {timeframe}")
        if series.instrument.key != key or series.timeframe != timeframe:
            raise broken(folder / SIDECAR, f"it is about {series.instrument.key} {series.timeframe}")
        return folder, series

    def _all(self) -> Iterator[tuple[Path, Series]]:
        for path in sorted(self._folder.glob(f"venue-*/*/*/{SIDECAR}")):
            series = read_series(path.parent)
            if series is not None:
                yield path.parent, series

    def _unknown(self, wanted: str) -> BadInput:
        held = ", ".join(f"{row.instrument} {row.timeframe}" for row in self.coverage()) or "nothing yet"
        return BadInput(f"the candle store holds no {wanted}; it holds {held}. Import the candles first")


def _range(start: datetime | None, stop: datetime | None) -> tuple[int, int]:
    first = -_EVER_MS if start is None else to_ms(start)
    last = _EVER_MS if stop is None else to_ms(stop)
    if first > last:
        raise BadInput(f"the range from {start} to {stop} ends before it starts")
    return first, last


def _coverage(series: Series) -> Coverage:
    segments = series.segments
    edges = np.array([(segment.first_ms, segment.last_ms) for segment in segments], dtype=np.int64).ravel()
    between, missing_between = count_gaps(edges[1:-1].reshape(-1, 2), series.timeframe)
    newest = series.imports[-1]
    return Coverage(
        instrument=series.instrument.key,
        kind=series.instrument.kind,
        timeframe=series.timeframe,
        rows=sum(segment.rows for segment in segments),
        first=from_ms(segments[0].first_ms),
        last=from_ms(segments[-1].last_ms),
        gaps=sum(segment.gaps for segment in segments) + between,
        missing_bars=sum(segment.missing_bars for segment in segments) + missing_between,
        rejected_rows=sum(row.rows_rejected for row in series.imports),
        source=newest.source,
        imported_at=newest.imported_at,
        content_hash=series.content_hash,
    )
