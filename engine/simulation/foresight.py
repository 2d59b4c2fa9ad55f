"""A replay's past seen at once: prices and opinions of every series, aligned to the instants of the run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, runtime_checkable

import numpy as np

from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.market import Bars, Candle, CandleArrays, FloatArray, IntArray, Timeframe, from_ms
from engine.market.funding import FundingSeries
from engine.quant.arrays import BoolArray
from engine.simulation.price_grid import price_ticks
from engine.simulation.walk import Sights
from engine.trading.sleeves import Sleeve

DAY_MS = 86_400_000
CALM = 1.7
"""Days whose highest close is more than this times the lowest are lived through, so that no price looks like a jump.

From one close that is lived to the next, the first of the following day, a price may move by this twice: below 3, the
step from which `engine.market.marks` mistrusts it.
"""


@dataclass(frozen=True, slots=True)
class Values:
    """A strategy's values at every bar of a series.

    Attributes
    ----------
    convictions : float64[n]
        NaN where it has no view.
    distances : float64[n]
        From entry to stop, quote; NaN where it knows none.
    """

    convictions: FloatArray
    distances: FloatArray


@runtime_checkable
class Foresight(Protocol):
    """Opinions that are known ahead."""

    def values(self, sleeve: Sleeve, key: InstrumentKey) -> Values:
        """What the sleeve will say at every bar of the whole series of ``key``."""


class Series(Protocol):
    """What a source tells of its series."""

    def precomputed(self, key: InstrumentKey) -> CandleArrays:
        """The whole series."""

    def span(self, key: InstrumentKey) -> tuple[int, int]:
        """The rows that are replayed."""

    def funding(self, key: InstrumentKey) -> FundingSeries | None:
        """Funding of a perpetual."""

    @property
    def instants_ms(self) -> IntArray:
        """Every instant at which there is an event, rising."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One instrument at the instants of a run; every array has one value an instant.

    Attributes
    ----------
    instrument : Instrument
    bar : Timeframe
    closes : bool[n]
        Whether a candle of it closes.
    ticks : int64[n]
        Last close known, whole ticks; 0 before the first.
    high, low : float64[n]
        Of the candle that closes, quote; where none does, what reaches nothing.
    closed_row : int64[n]
        The instant of that last close, as a row; -1 before the first.
    funded : bool[n]
        Whether it pays funding.
    """

    instrument: Instrument
    bar: Timeframe
    closes: BoolArray
    ticks: IntArray
    high: FloatArray
    low: FloatArray
    closed_row: IntArray
    funded: BoolArray


class Timeline:
    """Prices and opinions of a run by instant.

    Parameters
    ----------
    source : Series
    instruments : iterable of Instrument
    sleeves : iterable of Sleeve
    opinions : Foresight

    Attributes
    ----------
    instants : int64[n]
        Ms UTC, rising.
    candles : int64[n]
        How many candles close.
    lanes : mapping of InstrumentKey to Lane
    sleeves, venues, coins : list of str
    asks : list of (sleeve name, InstrumentKey)
        Who may be asked about what.
    barriers : int64[m]
        Rows, rising, that no look ahead goes across: first closes of an instrument, days on which a close may be
        refused as a jump, and the last row.
    sights : Sights
        The same and all opinions for the walk ahead: a row of each table is a lane or an ask. Forced are the first
        close of each day and what has no close.
    """

    def __init__(
        self, source: Series, instruments: Iterable[Instrument], sleeves: Iterable[Sleeve], opinions: Foresight
    ) -> None:
        self.instants = source.instants_ms
        self.lanes = {one.key: _lane(source, one, self.instants) for one in instruments}
        own = list(sleeves)
        self.sleeves = [sleeve.name for sleeve in own]
        self.venues = sorted({lane.instrument.venue for lane in self.lanes.values()})
        self.coins = sorted({lane.instrument.base for lane in self.lanes.values()})
        self.asks = [(sleeve.name, key) for sleeve in own for key in sleeve.instruments]
        self.candles: IntArray = np.sum([lane.closes for lane in self.lanes.values()], axis=0, dtype=np.int64)
        days = self.instants // DAY_MS
        wild = [_wild_rows(days, lane) for lane in self.lanes.values()]
        firsts = [np.flatnonzero(lane.closes)[:1] for lane in self.lanes.values()]
        self.barriers: IntArray = np.unique(np.concatenate([*wild, *firsts, [len(days) - 1]]))
        views = [self._view(source, opinions, sleeve, key) for sleeve in own for key in sleeve.instruments]
        self.sights = self._sights(self._forced(days), views)

    def _forced(self, days: IntArray) -> BoolArray:
        forced: BoolArray = self.candles == 0
        closing = np.flatnonzero(~forced)
        forced[closing[np.flatnonzero(np.diff(days[closing], prepend=-1))]] = True
        return forced

    def _view(self, source: Series, opinions: Foresight, sleeve: Sleeve, key: InstrumentKey) -> Values:
        """A sleeve's values at the instants; NaN where it is not asked."""
        lane, candles = self.lanes[key], source.precomputed(key)
        values = opinions.values(sleeve, key)
        rows = np.searchsorted(candles.opened_at_ms, self.instants - candles.timeframe.ms)
        rows = np.minimum(rows, len(candles) - 1)
        convictions = np.where(lane.closes, values.convictions[rows], np.nan)
        return Values(convictions, np.where(lane.closes, values.distances[rows], np.nan))

    def _sights(self, forced: BoolArray, views: list[Values]) -> Sights:
        lanes = list(self.lanes.values())
        convictions = np.array([view.convictions for view in views]).reshape(len(views), len(forced))
        can_short = np.array([[self.lanes[key].instrument.can_short] for _, key in self.asks], dtype=np.bool_)
        no_short = (convictions < 0.0) & (convictions >= -1.0) & ~can_short.reshape(len(views), 1)
        return Sights(
            np.array(self.instants),
            forced,
            np.array([lane.ticks * float(lane.instrument.tick_size) for lane in lanes]),
            np.array([lane.high for lane in lanes]),
            np.array([lane.low for lane in lanes]),
            np.array([lane.closed_row for lane in lanes]),
            np.array([lane.funded for lane in lanes]),
            convictions,
            np.array([view.distances for view in views]).reshape(len(views), len(forced)),
            ~np.isnan(convictions) & (convictions != 0.0) & ~no_short,
        )

    def row(self, at_ms: int) -> int:
        """The row of the last instant up to ``at_ms``; -1 before the first."""
        return int(np.searchsorted(self.instants, at_ms, side="right")) - 1

    def barrier(self, row: int) -> int:
        """The first barrier after a row, which is not the last one."""
        return int(self.barriers[np.searchsorted(self.barriers, row, side="right")])

    def last_closes(self, lived: int, last: int) -> list[Bars]:
        """The last close of each instrument after the row ``lived`` and up to ``last``, as a candle without a range."""
        found = []
        for key, lane in self.lanes.items():
            closed = int(lane.closed_row[last])
            if closed > lived:
                at, price = from_ms(int(self.instants[closed])), int(lane.ticks[closed]) * lane.instrument.tick_size
                flat = Candle(key, lane.bar, at - lane.bar.delta, price, price, price, price, Decimal(0))
                found.append(Bars(at, (flat,)))
        return found

    def prices(self, key: InstrumentKey, first: int, stop: int) -> list[Decimal]:
        """Last closes at the instants from row ``first`` up to ``stop``, quote, as events carry them."""
        lane = self.lanes[key]
        return [ticks * lane.instrument.tick_size for ticks in lane.ticks[first:stop].tolist()]


def _lane(source: Series, instrument: Instrument, instants: IntArray) -> Lane:
    key, tick_size = instrument.key, instrument.tick_size
    candles, (first, stop) = source.precomputed(key), source.span(key)
    part = candles.slice(first, stop)
    closed_at = part.opened_at_ms + part.timeframe.ms
    last = np.searchsorted(closed_at, instants, side="right") - 1
    known = last >= 0
    closes = _among(instants, closed_at)
    close, high, low = (_aligned(price_ticks(column, tick_size), last) for column in (part.close, part.high, part.low))
    funding = source.funding(key)
    return Lane(
        instrument,
        candles.timeframe,
        closes,
        np.where(known, close, 0),
        np.where(closes, high * float(tick_size), -np.inf),
        np.where(closes, low * float(tick_size), np.inf),
        np.where(known, _aligned(np.searchsorted(instants, closed_at), last), -1),
        _among(instants, funding.at_ms if funding is not None else instants[:0]),
    )


def _among(instants: IntArray, times: IntArray) -> BoolArray:
    """Which instants are among some rising times; looked up, not hashed, because almost all of them differ."""
    rows = np.searchsorted(times, instants)
    found: BoolArray = _aligned(times, np.minimum(rows, len(times) - 1)) == instants
    return found & (rows < len(times))


def _aligned(values: IntArray, rows: IntArray) -> IntArray:
    """``values`` at ``rows``; anything where there are none."""
    return values[rows] if len(values) else np.zeros(len(rows), dtype=np.int64)


def _wild_rows(days: IntArray, lane: Lane) -> IntArray:
    """Rows of days on which a close may be refused as a jump, and of the last close before each: it stays the mark."""
    wild = np.flatnonzero(np.isin(days, _wild_days(days, lane)))
    before = lane.closed_row[np.maximum(wild - 1, 0)]
    return np.concatenate([wild, before[before >= 0]])


def _wild_days(days: IntArray, lane: Lane) -> IntArray:
    """Days (since 1970 UTC) whose closes lie too far apart, each with the last close before it."""
    rows = np.flatnonzero(lane.closes)
    if not len(rows):
        return rows
    ticks, own = lane.ticks[rows], days[rows]
    starts = np.flatnonzero(np.diff(own, prepend=-1))
    before = ticks[np.maximum(starts - 1, 0)]
    highest = np.maximum(np.maximum.reduceat(ticks, starts), before)
    lowest = np.minimum(np.minimum.reduceat(ticks, starts), before)
    wild: IntArray = own[starts[highest > CALM * lowest]]
    return wild
