"""Which instants of a replay may change anything while nothing is held: the others need not be lived through.

Most strategies hold nothing most of the time, and a bar without a position, an order or a wish leaves no trace but a
point of equity. Such bars are passed over. The tests show that fills and curves are the same with and without.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import numpy as np

from engine.domain.commands import TradingState
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.market import CandleArrays, IntArray
from engine.trading.book import Book
from engine.trading.config import BrakeMode
from engine.trading.core import TradingCore
from engine.trading.sleeves import Sleeve

DAY_MS = 86_400_000
CALM = 2.0
"""Days whose highest close is more than this times the lowest are lived through, so that no price looks like a jump."""


@runtime_checkable
class Foresight(Protocol):
    """Opinions that are known ahead."""

    def wishes(self, sleeve: Sleeve, key: InstrumentKey, *, long_only: bool) -> IntArray:
        """Open times (ms UTC, rising) of bars at which the sleeve wants anything; ``long_only`` cannot want a short."""


class Series(Protocol):
    """What a source tells of its series."""

    def precomputed(self, key: InstrumentKey) -> CandleArrays:
        """The whole series."""

    def span(self, key: InstrumentKey) -> tuple[int, int]:
        """The rows that are replayed."""

    @property
    def instants_ms(self) -> IntArray:
        """Every instant at which there is an event, rising."""


class Quiet:
    """Says how long nothing can happen.

    Parameters
    ----------
    source : Series
    instruments : iterable of Instrument
    sleeves : iterable of Sleeve
    opinions : Foresight
    """

    def __init__(
        self, source: Series, instruments: Iterable[Instrument], sleeves: Iterable[Sleeve], opinions: Foresight
    ) -> None:
        instants, tracks = source.instants_ms, {one.key: one for one in instruments}
        closes = [_closes(source, key) for key in tracks]
        days = instants // DAY_MS
        turns = np.append(np.flatnonzero(np.diff(days, prepend=days[0] - 1)), len(instants) - 1)
        wild = [np.flatnonzero(np.isin(days, _wild_days(source, key))) for key in tracks]
        begins = [turns, *wild, np.flatnonzero(~np.isin(instants, np.concatenate(closes)))]
        for sleeve in sleeves:
            for key in sleeve.instruments:
                opened = opinions.wishes(sleeve, key, long_only=not tracks[key].can_short)
                begins.append(np.flatnonzero(np.isin(instants, opened + source.precomputed(key).timeframe.ms)))
        wakes = np.unique(np.concatenate(begins))
        self._any = instants[wakes]
        self._busy = np.unique(np.concatenate([self._any, *(_last_before(own, self._any) for own in closes)]))
        turn_times = instants[np.unique(np.concatenate([turns, *wild]))]
        self._turns = np.unique(np.concatenate([turn_times, *(_last_before(own, turn_times) for own in closes)]))

    def until(self, at_ms: int, core: TradingCore) -> int:
        """The next instant (ms UTC) that has to be lived through; ``at_ms`` itself where nothing may be passed over."""
        times = self._busy if _rests(core) else self._turns if _is_over(core.book) else None
        if times is None:
            return at_ms
        row = int(np.searchsorted(times, at_ms, side="right"))
        return int(times[row]) if row < len(times) else at_ms


def _closes(source: Series, key: InstrumentKey) -> IntArray:
    first, stop = source.span(key)
    candles = source.precomputed(key)
    return candles.opened_at_ms[first:stop] + candles.timeframe.ms


def _wild_days(source: Series, key: InstrumentKey) -> IntArray:
    """Days (since 1970 UTC) whose closes lie too far apart, each with the last close before it."""
    times, (first, stop) = _closes(source, key), source.span(key)
    prices = source.precomputed(key).close[first:stop]
    days = times // DAY_MS
    starts = np.flatnonzero(np.diff(days, prepend=-1)) if len(days) else np.empty(0, dtype=np.int64)
    if not len(starts):
        return starts
    before = prices[np.maximum(starts - 1, 0)]
    highest = np.maximum(np.maximum.reduceat(prices, starts), before)
    lowest = np.minimum(np.minimum.reduceat(prices, starts), before)
    return days[starts[highest > CALM * lowest]]


def _last_before(own: IntArray, times: IntArray) -> IntArray:
    """The last close of a series before each of ``times``: what a wake finds as its last price."""
    rows = np.searchsorted(own, times, side="left") - 1
    return own[rows[rows >= 0]]


def _rests(core: TradingCore) -> bool:
    """Whether the book holds, works, remembers and fears nothing, so that only a wish can move it."""
    book = core.book
    return (
        book.state is TradingState.ACTIVE
        and not book.latched
        and _is_empty(book)
        and not book.stopped_out
        and not book.venue_errors
        and not book.catching_up
        and not core.is_unsure
        and book.brake.tripped_since is None
        and book.brake.unknown_since is None
        and not book.failed_trades.in_a_row
        and all(book.mark(key) is not None for key in book.ledger.instruments)
    )


def _is_over(book: Book) -> bool:
    """Whether the brake has ended the run for good."""
    done = book.latched and book.stop is not None and book.stop.is_flat
    return done and book.config.brake is BrakeMode.LATCH and _is_empty(book)


def _is_empty(book: Book) -> bool:
    return next(book.ledger.open_holdings(), None) is None and next(book.tracker.open_orders(), None) is None
