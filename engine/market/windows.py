"""The last closed candles of one instrument, handed out as arrays without copying."""

from __future__ import annotations

from collections import deque
from typing import TypeVar

import numpy as np

from engine.domain.errors import BadInput, CandleError
from engine.domain.market import Candle, CandleArrays, FloatArray, IntArray, Timeframe, from_ms, to_ms

_COLUMNS = 5
Array = TypeVar("Array", IntArray, FloatArray)


class CandleWindow:
    """Closed candles of one instrument, the newest ``capacity_bars`` of them.

    The candles lie in a buffer of twice the capacity; when it is full the newest are moved to a fresh one. A buffer
    is only ever written past the end of the views already handed out, so a view never changes under its reader.
    Appended candles are kept as they are and become floats when the next view is asked for: a replay with opinions
    computed ahead asks for none.

    Parameters
    ----------
    timeframe : Timeframe
        Length of every candle in the window.
    capacity_bars : int
        The longest lookback anyone asks for; at least 1.

    Raises
    ------
    BadInput
        The capacity is below 1.
    """

    __slots__ = ("_capacity", "_columns", "_end", "_frozen", "_last_ms", "_timeframe", "_times", "_unread", "_view")

    def __init__(self, timeframe: Timeframe, capacity_bars: int) -> None:
        if capacity_bars < 1:
            raise BadInput(f"a candle window of {capacity_bars} bars holds nothing; ask for at least 1")
        self._timeframe = timeframe
        self._capacity = capacity_bars
        self._view: CandleArrays | None = None
        self._unread: deque[tuple[int, Candle]] = deque(maxlen=capacity_bars)
        self._last_ms: int | None = None
        self._end = 0
        self._allocate()

    def __len__(self) -> int:
        return min(self._end + len(self._unread), self._capacity)

    @property
    def timeframe(self) -> Timeframe:
        """Length of every candle in the window."""
        return self._timeframe

    @property
    def capacity_bars(self) -> int:
        """The most candles a view holds."""
        return self._capacity

    @property
    def last_opened_at_ms(self) -> int | None:
        """Open time of the newest candle, ms UTC; None while the window is empty."""
        return self._last_ms

    def append(self, candle: Candle) -> None:
        """Add the next closed candle.

        Raises
        ------
        CandleError
            The candle has another timeframe, or does not open after the newest one.
        """
        opened_at_ms = to_ms(candle.opened_at)
        self._require_later(opened_at_ms)
        self._keep(candle, opened_at_ms)

    def offer(self, candle: Candle) -> int:
        """Add a closed candle, unless the window has come past it; its open time, ms UTC.

        Raises
        ------
        CandleError
            The candle is newer and has another timeframe.
        """
        opened_at_ms = to_ms(candle.opened_at)
        if self._last_ms is None or opened_at_ms > self._last_ms:
            self._keep(candle, opened_at_ms)
        return opened_at_ms

    def _keep(self, candle: Candle, opened_at_ms: int) -> None:
        if candle.timeframe is not self._timeframe and candle.timeframe != self._timeframe:
            raise CandleError(f"{candle.instrument}: a {candle.timeframe} candle in a window of {self._timeframe}")
        self._unread.append((opened_at_ms, candle))
        self._last_ms = opened_at_ms
        self._view = None

    def extend(self, candles: CandleArrays) -> None:
        """Add many closed candles at once, as for warm-up; only the newest ``capacity_bars`` stay.

        Raises
        ------
        CandleError
            Another timeframe, times that do not rise, or a first candle that is not after the newest one held.
        """
        if candles.timeframe != self._timeframe:
            raise CandleError(f"{candles.timeframe} candles in a window of {self._timeframe}")
        if len(candles) == 0:
            return
        times = candles.opened_at_ms
        falling = np.flatnonzero(np.diff(times) <= 0)
        if len(falling):
            raise CandleError(f"candle times do not rise after {from_ms(int(times[falling[0]]))}")
        self._require_later(int(times[0]))
        self._write_unread()
        newest = candles.tail(self._capacity)
        if self._end + len(newest) > len(self._times):
            self._compact()
        stop = self._end + len(newest)
        self._times[self._end : stop] = newest.opened_at_ms
        arrays = (newest.open, newest.high, newest.low, newest.close, newest.volume)
        for column, values in zip(self._columns, arrays, strict=True):
            column[self._end : stop] = values
        self._end = stop
        self._last_ms = int(times[-1])
        self._view = None

    def view(self) -> CandleArrays:
        """The newest candles, oldest first: read-only arrays of one length, at most ``capacity_bars``; no copy."""
        if self._view is None:
            self._write_unread()
            self._view = self._frozen.slice(max(0, self._end - self._capacity), self._end)
        return self._view

    def _write_unread(self) -> None:
        """Write what was appended since the last view; where more came than fit, only the newest are left of it."""
        while self._unread:
            if self._end == len(self._times):
                self._compact()
            end = self._end
            opened_at_ms, candle = self._unread.popleft()
            open_, high, low, close, volume = self._columns
            self._times[end] = opened_at_ms
            # The one place where candle prices become floats: strategies read arrays, money never comes back from them.
            open_[end] = candle.open
            high[end] = candle.high
            low[end] = candle.low
            close[end] = candle.close
            volume[end] = candle.volume
            self._end = end + 1

    def _require_later(self, opened_at_ms: int) -> None:
        last = self._last_ms
        if last is not None and opened_at_ms <= last:
            raise CandleError(f"a candle opening {from_ms(opened_at_ms)} is not after the newest, {from_ms(last)}")

    def _compact(self) -> None:
        held = min(self._end, self._capacity)
        times = self._times[self._end - held : self._end]
        kept = [column[self._end - held : self._end] for column in self._columns]
        self._allocate()
        self._times[:held] = times
        for column, values in zip(self._columns, kept, strict=True):
            column[:held] = values
        self._end = held

    def _allocate(self) -> None:
        length = 2 * self._capacity
        self._times: IntArray = np.empty(length, dtype=np.int64)
        self._columns: tuple[FloatArray, ...] = tuple(np.empty(length) for _ in range(_COLUMNS))
        self._frozen = CandleArrays(self._timeframe, _read_only(self._times), *map(_read_only, self._columns))


def _read_only(array: Array) -> Array:
    view = array.view()
    view.flags.writeable = False
    return view
