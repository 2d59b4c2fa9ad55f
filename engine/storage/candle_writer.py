"""Changing one series of the candle store: year by year beside what is there, then all at once."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine.domain.errors import BadInput, StorageError
from engine.domain.instruments import Instrument
from engine.domain.market import CandleArrays, IntArray
from engine.market.checks import RowFault, count_gaps, in_order, joined
from engine.storage.candle_segments import (
    ImportRecord,
    Segment,
    Series,
    broken,
    encode,
    load_table,
    read_series,
    to_arrays,
    write_atomic,
    write_series,
)

_IMPORTS_KEPT = 200
_EPOCH_YEAR = 1970


@dataclass(frozen=True, slots=True)
class MergeResult:
    """Candles that were new, and candles that replaced another of the same time with other values."""

    added: int
    corrected: int


class SeriesWriter:
    """Merges candles into one series; nothing is changed before `commit`, and then everything at once.

    Made by `engine.storage.candles.CandleStore.writing`, which holds the lock of the series.
    """

    def __init__(self, folder: Path, instrument: Instrument, series: Series) -> None:
        self._folder = folder
        self._before = series
        self._instrument = instrument
        self._segments = {segment.year: segment for segment in series.segments}
        self._added = self._corrected = 0

    def put(self, candles: CandleArrays) -> None:
        """Merge checked candles (rising, on the grid) into new files that nobody reads yet.

        Raises
        ------
        BadInput
            The candles have another timeframe, or their times do not rise.
        StorageError
            A file of the series is damaged, or cannot be written.
        """
        if candles.timeframe != self._before.timeframe:
            raise BadInput(f"{candles.timeframe} candles for the {self._before.timeframe} series of {self._folder}")
        if (np.diff(candles.opened_at_ms) <= 0).any():
            raise BadInput("candles to be stored must rise in time")
        for year, part in _by_year(candles):
            self._put_year(year, part)

    def commit(self, origin: ImportRecord) -> MergeResult:
        """Make everything put so far the series, in one rename."""
        others = [row for row in self._before.imports if (row.source, row.sha256) != (origin.source, origin.sha256)]
        series = replace(
            self._before,
            instrument=self._instrument,
            segments=tuple(segment for _, segment in sorted(self._segments.items())),
            imports=(*others, origin)[-_IMPORTS_KEPT:],
        )
        write_series(self._folder, series)
        return MergeResult(self._added, self._corrected)

    def sweep(self) -> None:
        """Remove files the sidecar does not name: replaced years, and the remains of imports cut short.

        The sidecar is read again, because a commit that raised may have taken effect. What cannot be removed now
        (Windows keeps files that are being read) goes at the next import.
        """
        with contextlib.suppress(StorageError, OSError):
            series = read_series(self._folder)
            named = {segment.file for segment in series.segments} if series else set()
            for pattern in ("*.parquet", "*.tmp"):
                for path in self._folder.glob(pattern):
                    if path.name not in named:
                        path.unlink(missing_ok=True)

    def _put_year(self, year: int, new: CandleArrays) -> None:
        segment = self._segments.get(year)
        if segment is None:
            self._added += len(new)
            self._segments[year] = self._write(year, new)
            return
        old = self._load(segment)
        merged, replaced = in_order(joined([old, new]))
        added = len(merged) - len(old)
        corrected = sum(len(rows) for fault, rows in replaced if fault is RowFault.CONFLICT)
        self._added += added
        self._corrected += corrected
        if added or corrected:
            self._segments[year] = self._write(year, merged)

    def _load(self, segment: Segment) -> CandleArrays:
        try:
            return to_arrays(load_table(self._folder, segment), self._before.timeframe)
        except FileNotFoundError as error:
            raise broken(self._folder / segment.file, "it is missing") from error

    def _write(self, year: int, candles: CandleArrays) -> Segment:
        content = encode(candles)
        sha256 = hashlib.sha256(content).hexdigest()
        file = f"{year}-{sha256[:16]}.parquet"
        write_atomic(self._folder / file, content)
        times = candles.opened_at_ms
        gaps, missing_bars = count_gaps(times, candles.timeframe)
        return Segment(year, file, sha256, len(candles), int(times[0]), int(times[-1]), gaps, missing_bars)


def year_of(opened_at_ms: IntArray) -> IntArray:
    """int64[n]: calendar year (UTC) of each open time in ms."""
    years: IntArray = opened_at_ms.astype("datetime64[ms]").astype("datetime64[Y]").astype(np.int64) + _EPOCH_YEAR
    return years


def _by_year(candles: CandleArrays) -> Iterator[tuple[int, CandleArrays]]:
    years = year_of(candles.opened_at_ms)
    for year in np.unique(years):
        yield int(year), candles.slice(int(np.searchsorted(years, year)), int(np.searchsorted(years, year, "right")))
