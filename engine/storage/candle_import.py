"""Importing files of candles and funding: named, measured, checked row by row, then stored whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.domain.errors import CandleError, QuarterdeckError
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import CandleArrays, Timeframe
from engine.market.checks import CandleReport, ReportBuilder, RowFault, joined, take
from engine.market.funding import FundingSeries
from engine.storage.candle_files import DataRows, FileLimits
from engine.storage.candle_names import Content, DataFile, NameFlags, read_name, with_folder
from engine.storage.candle_segments import COLUMNS, ImportRecord, encode, recorded_in, to_arrays
from engine.storage.candle_writer import SeriesWriter, year_of
from engine.storage.candles import CandleStore

_ROWS_IN_MEMORY = 500_000
_STORING_SHARE = 0.8
_FEW_ROWS = 10
_ABANDONED_AFTER_S = 86_400
_HIGHEST_RATE = Decimal("0.5")

InstrumentLookup = Callable[[str, str, str, Kind], Instrument]
"""Facts of an instrument by venue, base, quote and kind; raises `BadInput` that names the flags to give."""


class ImportCancelled(QuarterdeckError):
    """The person stopped the import; the store is as it was."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What an import needs to know beside the file.

    Attributes
    ----------
    instrument : callable
        Gives the instrument's facts (tick, lot, ...) once the file's name is understood.
    now : datetime
        Wall time: a candle that closes after it is unfinished; also recorded as the time of the import.
    flags : NameFlags
        What the person states where the name leaves it open.
    limits : FileLimits
        The most a file may unpack to.
    """

    instrument: InstrumentLookup
    now: datetime
    flags: NameFlags = field(default_factory=NameFlags)
    limits: FileLimits = field(default_factory=FileLimits)


def _silent(_share: float, _text: str) -> None:
    """Report progress to nobody."""


def _never() -> bool:
    """Never cancel."""
    return False


@dataclass(frozen=True, slots=True)
class ImportWatch:
    """Who watches an import: ``progress(share, text)`` with share 0 to 1, and ``cancelled()`` asked between chunks."""

    progress: Callable[[float, str], None] = _silent
    cancelled: Callable[[], bool] = _never


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did: candles that were new, candles replaced by other values, and wall seconds."""

    report: CandleReport
    instrument: Instrument
    timeframe: Timeframe
    added: int
    corrected: int
    seconds: float


@dataclass(frozen=True, slots=True)
class FundingFile:
    """Funding rates and the perpetual that the file's name says they are of."""

    instrument: InstrumentKey
    series: FundingSeries


def import_file(
    store: CandleStore, source: Path | bytes, name: str, options: ImportOptions, watch: ImportWatch | None = None
) -> ImportResult:
    """Check a Parquet or CSV file of candles and merge it into the store.

    Parameters
    ----------
    store : CandleStore
    source : Path or bytes
        The file, or what a browser sent.
    name : str
        Its name, such as ``BTC_USDT-1h.parquet``, with or without one folder; for a Path the folder it lies in counts.

    Raises
    ------
    CandleError, BadInput
        The name, the file or its rows cannot be used; the instrument's facts are unknown.
    ImportCancelled
        ``watch.cancelled`` said so.
    CannotRecord
        The store is read-only or full. In every case the store is as it was.
    """
    started = time.perf_counter()
    watch = watch or ImportWatch()
    file = _named(source, name, options.flags)
    timeframe = _require_candles(file)
    instrument = options.instrument(file.venue, file.base, file.quote, file.kind)
    rows = DataRows(source, file.name, file.format, COLUMNS[1:], options.limits)
    builder = ReportBuilder()
    with _Staging(store.folder) as staging:
        for raw in rows.chunks():
            staging.add(builder.usable(CandleArrays(timeframe, raw.times_ms, *raw.values), options.now))
            watch.progress(raw.share * _STORING_SHARE, f"{file.name}: {builder.rows_read:,} rows read")
            _go_on(watch, file)
        _require_any(builder.report(), staging.rows, file)
        sha256 = rows.sha256()
        with store.writing(instrument, timeframe) as writer:
            _store(staging, builder, writer, (watch, file))
            report = builder.report(rows.ignored)
            _require_spacing(report, file)
            origin = ImportRecord(file.name, sha256, report.rows_read, report.rows_rejected, options.now)
            _go_on(watch, file)
            merged = writer.commit(origin)
    watch.progress(1.0, f"{file.name}: {merged.added:,} candles added, {merged.corrected:,} corrected")
    seconds = time.perf_counter() - started
    return ImportResult(report, instrument, timeframe, merged.added, merged.corrected, seconds)


def read_funding(source: Path | bytes, name: str | None = None, flags: NameFlags | None = None) -> FundingFile:
    """Read a file of funding rates with the columns ``timestamp`` and ``funding_rate`` (share of the notional).

    Raises
    ------
    CandleError
        The name or the file cannot be used, or a rate is missing or beyond 50 %.
    """
    if name is None:
        if isinstance(source, bytes):
            raise CandleError("funding rates without a file name belong to no instrument; give the name")
        name = source.name
    file = _named(source, name, flags or NameFlags())
    if file.kind is not Kind.PERPETUAL:
        raise CandleError(f"{file.name}: only perpetuals pay funding, and this name says spot")
    chunks = list(DataRows(source, file.name, file.format, ("funding_rate",), FileLimits()).chunks())
    times = np.concatenate([np.empty(0, np.int64), *(chunk.times_ms for chunk in chunks)])
    # The one place where funding rates leave floats: their shortest text is what the exchange published.
    rates = [Decimal(repr(float(rate))) for chunk in chunks for rate in chunk.values[0]]
    if not rates:
        raise CandleError(f"{file.name} holds no rows")
    stamps: dict[int, Decimal] = {}
    for at_ms, rate in zip(times.tolist(), rates, strict=True):
        if not rate.is_finite() or abs(rate) > _HIGHEST_RATE or stamps.get(at_ms, rate) != rate:
            raise CandleError(f"{file.name}: funding rate {rate} at {at_ms} ms is missing, beyond 50 % or contradicted")
        stamps[at_ms] = rate
    ordered = sorted(stamps)
    return FundingFile(
        file.key, FundingSeries(np.array(ordered, dtype=np.int64), tuple(stamps[at_ms] for at_ms in ordered))
    )


def _named(source: Path | bytes, name: str, flags: NameFlags) -> DataFile:
    folder = source.absolute().parent.name if isinstance(source, Path) else ""
    return read_name(with_folder(name, folder), flags)


def _require_candles(file: DataFile) -> Timeframe:
    if file.content is Content.MARK:
        raise CandleError(
            f"{file.name} holds mark prices, at which nothing trades and which have no volume; import the file of "
            "candles (…-futures) instead"
        )
    if file.content is Content.FUNDING or file.timeframe is None:
        raise CandleError(f"{file.name} holds funding rates, not candles; give it to a replay with --funding")
    return file.timeframe


def _go_on(watch: ImportWatch, file: DataFile) -> None:
    if watch.cancelled():
        raise ImportCancelled(f"the import of {file.name} was cancelled; the store is as it was")


def _store(
    staging: _Staging, builder: ReportBuilder, writer: SeriesWriter, watched: tuple[ImportWatch, DataFile]
) -> None:
    watch, file = watched
    years = staging.years()
    for done, year in enumerate(years, start=1):
        writer.put(builder.ordered(staging.of_year(year)))
        share = _STORING_SHARE + (1 - _STORING_SHARE) * done / (len(years) + 1)
        watch.progress(share, f"{file.name}: {year} stored")
        _go_on(watch, file)


def _require_any(report: CandleReport, usable: int, file: DataFile) -> None:
    reasons = "; ".join(f"{rejected.rows:,} rows: {rejected.fault.value}" for rejected in report.rejected)
    if report.rows_read == 0:
        raise CandleError(f"{file.name} holds no rows")
    off_grid = sum(rejected.rows for rejected in report.rejected if rejected.fault is RowFault.OFF_GRID)
    if 2 * off_grid > report.rows_read:
        raise CandleError(
            f"{file.name}: {off_grid:,} of {report.rows_read:,} rows do not open on the {file.timeframe} grid; is the "
            "timeframe right? Give --timeframe"
        )
    if usable == 0:
        raise CandleError(
            f"{file.name} holds no usable candle ({reasons}), so nothing was stored. Correct these rows or export the "
            "file again: a row is the candle's open in ms UTC, then open, high, low, close, volume as plain numbers"
        )


def _require_spacing(report: CandleReport, file: DataFile) -> None:
    if report.rows_kept >= _FEW_ROWS and report.gap_count == report.rows_kept - 1:
        raise CandleError(
            f"{file.name}: no two candles are {file.timeframe} apart (the first two are "
            f"{report.gaps[0].missing_bars + 1} times that); is the timeframe right? Give --timeframe"
        )


class _Staging:
    """Usable rows on their way into the store: up to half a million in memory, the rest in files that go at the end."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / f".import-{uuid4().hex}"
        self._parts: list[CandleArrays] = []
        self._files: list[tuple[Path, Timeframe, frozenset[int]]] = []
        self._in_memory = 0
        self.rows = 0

    def __enter__(self) -> _Staging:
        self._forget_abandoned()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, candles: CandleArrays) -> None:
        """Keep rows; past half a million they go to disk."""
        self._parts.append(candles)
        self._in_memory += len(candles)
        self.rows += len(candles)
        if self._in_memory > _ROWS_IN_MEMORY:
            self._spill()

    def years(self) -> list[int]:
        """The calendar years (UTC) of all rows, rising."""
        years = {int(year) for part in self._parts for year in np.unique(year_of(part.opened_at_ms))}
        return sorted(years.union(*(spilled for _, _, spilled in self._files)))

    def of_year(self, year: int) -> CandleArrays:
        """The rows of one year, in the order they came."""
        return joined([take(part, year_of(part.opened_at_ms) == year) for part in self._everything(year)])

    def _everything(self, year: int) -> Iterator[CandleArrays]:
        for path, timeframe, years in self._files:
            if year in years:
                yield to_arrays(pq.read_table(pa.BufferReader(path.read_bytes()), use_threads=False), timeframe)
        yield from self._parts

    def _spill(self) -> None:
        rows = joined(self._parts)
        years = frozenset(int(year) for year in np.unique(year_of(rows.opened_at_ms)))
        with recorded_in(self._root):
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{len(self._files)}.parquet"
            path.write_bytes(encode(rows))
        self._files.append((path, rows.timeframe, years))
        self._parts, self._in_memory = [], 0

    def _forget_abandoned(self) -> None:
        """Remove what imports left behind that were killed more than a day ago."""
        for folder in self._root.glob(".import-*"):
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > _ABANDONED_AFTER_S:
                    shutil.rmtree(folder, ignore_errors=True)
