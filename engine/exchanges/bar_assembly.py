"""Collects the closed candles of several instruments and hands them out close by close, never out of order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from threading import Lock

import numpy as np

from engine.domain.errors import BadInput
from engine.domain.instruments import InstrumentKey
from engine.domain.market import Bars, Candle, CandleArrays, Timeframe, from_ms, to_ms


class BarAssembly:
    """What has arrived, what may be shown, what was shown.

    A close is complete when every instrument's candle is there; after a grace it goes out without the missing ones.
    A candle that comes later than its close went out is kept as history and never shown as an event.

    Parameters
    ----------
    keys : sequence of InstrumentKey
    timeframe : Timeframe
    history_bars : int
        Closed candles kept for each instrument.
    shown_until_ms : int
        Closes up to here are history; later ones become events.
    """

    def __init__(
        self, keys: Sequence[InstrumentKey], timeframe: Timeframe, history_bars: int, shown_until_ms: int
    ) -> None:
        self._keys = tuple(keys)
        self._timeframe = timeframe
        self._history_bars = history_bars
        self._waiting: dict[int, dict[InstrumentKey, Candle]] = {}
        self._history: dict[InstrumentKey, dict[int, Candle]] = {key: {} for key in keys}
        self._known_until_ms: dict[InstrumentKey, int] = {}
        self._lock = Lock()
        self.shown_until_ms = shown_until_ms

    @property
    def has_candles(self) -> bool:
        """Whether any candle of any instrument has arrived."""
        return bool(self._known_until_ms)

    def next_open_ms(self, key: InstrumentKey) -> int:
        """Open time of the first candle not yet known: the end of the history before anything arrived."""
        return self._known_until_ms.get(key, self.shown_until_ms - self._history_bars * self._timeframe.ms)

    def add(self, candles: Iterable[Candle]) -> None:
        """Take in closed candles of any instrument, in any order; known ones are left as they are."""
        for candle in candles:
            closed_ms = to_ms(candle.closed_at)
            self._known_until_ms[candle.instrument] = max(self._known_until_ms.get(candle.instrument, 0), closed_ms)
            if closed_ms > self.shown_until_ms:
                self._waiting.setdefault(closed_ms, {}).setdefault(candle.instrument, candle)
            else:
                self._remember([candle])

    def ready(self, partial_until_ms: int) -> list[Bars]:
        """Closes that may go out, oldest first; incomplete ones only up to ``partial_until_ms``.

        An incomplete close also goes out once a later close of every missing instrument is known: the exchange has
        skipped it, there was no trade.
        """
        bars = []
        for closed_ms in sorted(self._waiting):
            found = self._waiting[closed_ms]
            missing = [key for key in self._keys if key not in found]
            skipped = all(self._known_until_ms.get(key, 0) > closed_ms for key in missing)
            if missing and not skipped and closed_ms > partial_until_ms:
                break
            candles = tuple(found[key] for key in sorted(found))
            self._remember(candles)
            del self._waiting[closed_ms]
            self.shown_until_ms = closed_ms
            bars.append(Bars(from_ms(closed_ms), candles))
        return bars

    def history(self, key: InstrumentKey, bars: int) -> CandleArrays:
        """The last ``bars`` candles shown or loaded; raises `BadInput` for an instrument this feed does not carry."""
        if key not in self._history:
            raise BadInput(f"{key} is not carried by this feed; it has {', '.join(self._keys)}")
        with self._lock:
            kept = self._history[key]
            chosen = [kept[opened_ms] for opened_ms in sorted(kept)[-bars:]]
        return _arrays(self._timeframe, chosen)

    def _remember(self, candles: Iterable[Candle]) -> None:
        with self._lock:
            for candle in candles:
                kept = self._history[candle.instrument]
                kept.setdefault(to_ms(candle.opened_at), candle)
                while len(kept) > self._history_bars:
                    del kept[min(kept)]


def _arrays(timeframe: Timeframe, candles: Sequence[Candle]) -> CandleArrays:
    opened = np.array([to_ms(candle.opened_at) for candle in candles], dtype=np.int64)
    columns = [
        np.array([float(getattr(candle, name)) for candle in candles], dtype=np.float64)
        for name in ("open", "high", "low", "close", "volume")
    ]
    for column in (opened, *columns):
        column.setflags(write=False)
    return CandleArrays(timeframe, opened, *columns)
