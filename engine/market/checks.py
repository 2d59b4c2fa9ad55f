"""What rows of candles are worth: which can be used, which cannot and why, and what is missing between them.

Every function is pure: arrays in, arrays and counts out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from engine.domain.market import CandleArrays, IntArray, Timeframe, from_ms, to_ms

EARLIEST_MS = 1_000_000_000_000
"""September 2001: a time before it is a mistake (and as seconds it would be 1970 to 2001)."""
LATEST_MS = 4_102_444_800_000
"""The year 2100: a time from then on is a mistake."""
EXAMPLES = 20
_WEEK_S = 604_800
_MONDAY_MS = 345_600_000
"""1 January 1970 was a Thursday; weekly candles open on Mondays."""


class RowFault(Enum):
    """Why a row cannot be used; a row is counted under the first that applies, in this order."""

    TIME = "time outside 2001 to 2099"
    NOT_A_NUMBER = "a value is missing or not a number"
    NEGATIVE = "a negative value"
    ZERO = "a price of zero"
    OHLC_ORDER = "high and low do not enclose open and close"
    OFF_GRID = "opens off the timeframe's grid"
    UNFINISHED = "had not closed yet"
    DUPLICATE = "the same candle twice"
    CONFLICT = "another candle of the same time, replaced by the later row"


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was left out: its open time (ms UTC) and its open, high, low, close, volume as read."""

    opened_at_ms: int
    values: tuple[float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Rejected:
    """All rows left out for one reason: how many, and the first of them (at most 20)."""

    fault: RowFault
    rows: int
    examples: tuple[RejectedRow, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """A run of missing candles: the first would have opened at ``start``, the next one present opens at ``stop``."""

    start: datetime
    stop: datetime
    missing_bars: int


@dataclass(frozen=True, slots=True)
class CandleReport:
    """What became of the rows of a file or an answer.

    Attributes
    ----------
    rows_read, rows_kept : int
        Rows seen, and rows that became candles.
    rejected : tuple of Rejected
        One for each reason that occurred.
    gaps : tuple of Gap
        Runs of missing candles among the rows kept, oldest first; an importer may list only the first of very many.
    gap_count, missing_bars : int
        All runs, and all bars missing in them.
    out_of_order : int
        Rows that came after a later one; they were put in order, not left out.
    ignored_columns : tuple of str
        Columns of the file that candles do not have.
    first_out_of_order : datetime, optional
        Open of the first row, as they came, that is counted in ``out_of_order``.
    """

    rows_read: int
    rows_kept: int
    rejected: tuple[Rejected, ...] = ()
    gaps: tuple[Gap, ...] = ()
    gap_count: int = 0
    missing_bars: int = 0
    out_of_order: int = 0
    ignored_columns: tuple[str, ...] = ()
    first_out_of_order: datetime | None = None

    @property
    def rows_rejected(self) -> int:
        """Rows left out, whatever the reason."""
        return sum(rejected.rows for rejected in self.rejected)


BoolArray = NDArray[np.bool_]


def grid_offset_ms(timeframe: Timeframe) -> int:
    """Distance of the timeframe's grid from 1970, ms: Monday for whole weeks, else 0.

    >>> grid_offset_ms(Timeframe.parse("1w")), grid_offset_ms(Timeframe.parse("4h"))
    (345600000, 0)
    """
    return _MONDAY_MS if timeframe.seconds % _WEEK_S == 0 else 0


def row_faults(candles: CandleArrays, now: datetime) -> list[tuple[RowFault, BoolArray]]:
    """Which rows are unusable by themselves, whatever their neighbours.

    Parameters
    ----------
    candles : CandleArrays
        Rows in any order, with any values, NaN included.
    now : datetime
        Market time: a candle that closes after it is unfinished.

    Returns
    -------
    list of (RowFault, bool[n])
        For each reason the rows counted under it; no row is in two of them.
    """
    prices = np.stack((candles.open, candles.high, candles.low, candles.close))
    times = candles.opened_at_ms
    low, high = np.minimum(candles.open, candles.close), np.maximum(candles.open, candles.close)
    on_grid = (times - grid_offset_ms(candles.timeframe)) % candles.timeframe.ms == 0
    found = (
        (RowFault.TIME, (times < EARLIEST_MS) | (times >= LATEST_MS)),
        (RowFault.NOT_A_NUMBER, ~(np.isfinite(prices).all(axis=0) & np.isfinite(candles.volume))),
        (RowFault.NEGATIVE, (prices < 0).any(axis=0) | (candles.volume < 0)),
        (RowFault.ZERO, (prices == 0).any(axis=0)),
        (RowFault.OHLC_ORDER, (candles.low > low) | (candles.high < high)),
        (RowFault.OFF_GRID, ~on_grid),
        (RowFault.UNFINISHED, times + candles.timeframe.ms > to_ms(now)),
    )
    counted = np.zeros(len(candles), dtype=bool)
    faults = []
    for fault, rows in found:
        faults.append((fault, rows & ~counted))
        counted |= rows
    return faults


def in_order(candles: CandleArrays) -> tuple[CandleArrays, list[tuple[RowFault, CandleArrays]]]:
    """Sort by time and leave one candle per time: the later row wins, as a later import would.

    Returns
    -------
    CandleArrays
        Strictly rising times.
    list of (RowFault, CandleArrays)
        The rows dropped: DUPLICATE where the row kept says the same, CONFLICT where it differs.
    """
    order = np.argsort(candles.opened_at_ms, kind="stable")
    ordered = candles if np.array_equal(order, np.arange(len(order))) else take(candles, order)
    times = ordered.opened_at_ms
    last = np.append(times[1:] != times[:-1], True) if len(times) else np.zeros(0, dtype=bool)
    if last.all():
        return ordered, []
    kept = take(ordered, last)
    dropped = take(ordered, ~last)
    same = equal_rows(dropped, take(kept, np.searchsorted(kept.opened_at_ms, dropped.opened_at_ms)))
    return kept, [(RowFault.DUPLICATE, take(dropped, same)), (RowFault.CONFLICT, take(dropped, ~same))]


def take(candles: CandleArrays, rows: BoolArray | NDArray[np.intp]) -> CandleArrays:
    """The rows of a mask or of indices, as new arrays."""
    return CandleArrays(
        candles.timeframe,
        candles.opened_at_ms[rows],
        candles.open[rows],
        candles.high[rows],
        candles.low[rows],
        candles.close[rows],
        candles.volume[rows],
    )


def joined(parts: Sequence[CandleArrays]) -> CandleArrays:
    """At least one array of candles of one timeframe, end to end, as they come."""
    if len(parts) == 1:
        return parts[0]
    return CandleArrays(
        parts[0].timeframe,
        np.concatenate([part.opened_at_ms for part in parts]),
        np.concatenate([part.open for part in parts]),
        np.concatenate([part.high for part in parts]),
        np.concatenate([part.low for part in parts]),
        np.concatenate([part.close for part in parts]),
        np.concatenate([part.volume for part in parts]),
    )


def equal_rows(left: CandleArrays, right: CandleArrays) -> BoolArray:
    """bool[n]: where two arrays of candles of one length hold the same prices and volume."""
    same: BoolArray = (
        (left.open == right.open)
        & (left.high == right.high)
        & (left.low == right.low)
        & (left.close == right.close)
        & (left.volume == right.volume)
    )
    return same


def gap_runs(opened_at_ms: IntArray, timeframe: Timeframe) -> tuple[Gap, ...]:
    """Runs of missing candles between rising open times (ms UTC), oldest first.

    >>> gap_runs(np.array([0, 60_000, 240_000]), Timeframe(60))[0].missing_bars
    2
    """
    steps = np.diff(opened_at_ms)
    before = np.flatnonzero(steps > timeframe.ms)
    return tuple(
        Gap(
            from_ms(int(opened_at_ms[row]) + timeframe.ms),
            from_ms(int(opened_at_ms[row + 1])),
            int(steps[row]) // timeframe.ms - 1,
        )
        for row in before
    )


def count_gaps(opened_at_ms: IntArray, timeframe: Timeframe) -> tuple[int, int]:
    """Number of runs of missing candles, and of the bars missing in them."""
    steps = np.diff(opened_at_ms)
    wide = steps[steps > timeframe.ms]
    return len(wide), int((wide // timeframe.ms - 1).sum())


def out_of_order_rows(opened_at_ms: IntArray, newest_before_ms: int = 0) -> int:
    """Rows that open before one that came earlier, or before ``newest_before_ms``."""
    return int(_out_of_order(opened_at_ms, newest_before_ms).sum())


def _out_of_order(opened_at_ms: IntArray, newest_before_ms: int) -> BoolArray:
    newest = np.maximum.accumulate(np.concatenate(([newest_before_ms], opened_at_ms)))[:-1]
    mask: BoolArray = opened_at_ms < newest
    return mask


class ReportBuilder:
    """Adds up the report of rows that arrive in pieces, in bounded memory."""

    def __init__(self, gaps_listed: int = 10_000) -> None:
        self._gaps_listed = gaps_listed
        self._rows_read = self._rows_kept = self._out_of_order = self._newest_ms = 0
        self._counts: dict[RowFault, int] = {}
        self._examples: dict[RowFault, list[RejectedRow]] = {}
        self._gaps: list[Gap] = []
        self._gap_count = self._missing_bars = 0
        self._last_kept: IntArray | None = None
        self._first_out_of_order: datetime | None = None

    @property
    def rows_read(self) -> int:
        """Rows seen so far."""
        return self._rows_read

    def usable(self, rows: CandleArrays, now: datetime) -> CandleArrays:
        """The rows usable by themselves; counts what was read and left out."""
        self._rows_read += len(rows)
        bad = np.zeros(len(rows), dtype=bool)
        for fault, mask in row_faults(rows, now):
            if mask.any():
                self.reject(fault, take(rows, mask))
                bad |= mask
        kept = take(rows, ~bad) if bad.any() else rows
        late = kept.opened_at_ms[_out_of_order(kept.opened_at_ms, self._newest_ms)]
        self._out_of_order += len(late)
        if len(late) and self._first_out_of_order is None:
            self._first_out_of_order = from_ms(int(late[0]))
        if len(kept):
            self._newest_ms = max(self._newest_ms, int(kept.opened_at_ms.max()))
        return kept

    def ordered(self, rows: CandleArrays) -> CandleArrays:
        """Rows of one stretch of time sorted and freed of duplicates; stretches must come oldest first."""
        kept, dropped = in_order(rows)
        for fault, dropped_rows in dropped:
            self.reject(fault, dropped_rows)
        self._rows_kept += len(kept)
        if len(kept):
            times = kept.opened_at_ms if self._last_kept is None else np.append(self._last_kept, kept.opened_at_ms)
            count, missing = count_gaps(times, kept.timeframe)
            self._gap_count += count
            self._missing_bars += missing
            if count and len(self._gaps) < self._gaps_listed:
                self._gaps.extend(gap_runs(times, kept.timeframe)[: self._gaps_listed - len(self._gaps)])
            self._last_kept = kept.opened_at_ms[-1:].copy()
        return kept

    def reject(self, fault: RowFault, rows: CandleArrays) -> None:
        """Count rows left out and remember the first of them."""
        if len(rows) == 0:
            return
        self._counts[fault] = self._counts.get(fault, 0) + len(rows)
        examples = self._examples.setdefault(fault, [])
        first = rows.slice(0, EXAMPLES - len(examples))
        columns = zip(first.open, first.high, first.low, first.close, first.volume, strict=True)
        for opened_at_ms, (open_, high, low, close, volume) in zip(first.opened_at_ms, columns, strict=True):
            values = (float(open_), float(high), float(low), float(close), float(volume))
            examples.append(RejectedRow(int(opened_at_ms), values))

    def report(self, ignored_columns: tuple[str, ...] = ()) -> CandleReport:
        """Everything counted so far."""
        rejected = tuple(
            Rejected(fault, self._counts[fault], tuple(self._examples[fault]))
            for fault in RowFault
            if fault in self._counts
        )
        return CandleReport(
            self._rows_read,
            self._rows_kept,
            rejected,
            tuple(self._gaps),
            self._gap_count,
            self._missing_bars,
            self._out_of_order,
            ignored_columns,
            self._first_out_of_order,
        )


def check_candles(candles: CandleArrays, now: datetime) -> tuple[CandleArrays, CandleReport]:
    """Everything at once, for rows that are all in memory: the usable candles, rising, and the report.

    Parameters
    ----------
    candles : CandleArrays
        Rows in any order, with any values.
    now : datetime
        Market time: a candle that closes after it is unfinished.
    """
    builder = ReportBuilder()
    kept = builder.ordered(builder.usable(candles, now))
    return kept, builder.report()
