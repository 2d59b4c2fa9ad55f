"""The past as a market source: candles and funding of many instruments, merged into one stream of events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np

from engine.domain.codec import utc_text
from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import (
    Bars,
    Candle,
    CandleArrays,
    Detail,
    FundingRate,
    IntArray,
    MarketEvent,
    from_ms,
    to_ms,
)
from engine.market.checks import RowFault, row_faults
from engine.market.funding import FundingSeries
from engine.simulation.candle_columns import CandleColumns
from engine.simulation.fine_candles import LAST, DetailFacts, FineCandles, detail_facts, fine_candles
from engine.simulation.instants import merged_instants
from engine.simulation.price_grid import decimal_price, price_ticks

_INSTANTS_AT_ONCE = 2048
_END_OF_TIME = datetime(2100, 1, 1, tzinfo=UTC)
Funding = Mapping[InstrumentKey, FundingSeries | None]
"""Funding of each perpetual; None states that it is to be replayed without."""

Fine = Mapping[InstrumentKey, CandleArrays]
"""Finer candles of some of the instruments."""


@dataclass(frozen=True, slots=True)
class _Track:
    """One instrument's candles with what merging needs: close times, and the rows that are to be replayed."""

    instrument: Instrument
    candles: CandleArrays
    closed_at_ms: IntArray
    funding: FundingSeries | None
    first: int
    stop: int
    fine: FineCandles | None = None


class ReplaySource:
    """Replays recorded candles in the order of market time.

    `Bars` hold every candle of one close, sorted by (venue, symbol) whatever the order of the arguments; a
    `FundingRate` comes before the bars of its instant, with the last close known then as its mark. Candles before
    ``start`` are history only.

    Parameters
    ----------
    series : mapping of Instrument to CandleArrays
        Checked candles, one timeframe for each instrument; timeframes may differ between instruments.
    funding : mapping of InstrumentKey to FundingSeries or None
        One entry for each perpetual; None states that it pays none in this replay.
    start, stop : datetime or None
        Replay candles that open from ``start`` on and close by ``stop``; None means all.
    fine : mapping of InstrumentKey to CandleArrays, optional
        Finer candles, of one length: each comes as a `Detail` before the `Bars` of the candle it lies in.

    Attributes
    ----------
    wants_detail : bool
        Set it to False where nothing works or is held: finer candles are left out until it is set again.

    Raises
    ------
    BadInput
        Nothing to replay, unusable candles, prices off any sensible tick, a perpetual without a word on funding, or
        finer candles that do not fit.
    """

    def __init__(
        self,
        series: Mapping[Instrument, CandleArrays],
        funding: Funding | None = None,
        start: datetime | None = None,
        stop: datetime | None = None,
        fine: Fine | None = None,
    ) -> None:
        ordered = sorted(series, key=lambda instrument: (instrument.venue, instrument.symbol))
        self._tracks = [_track(one, series[one], funding or {}, (start, stop)) for one in ordered]
        if fine:
            self._tracks = _with_fine(self._tracks, fine)
        self.wants_detail = True
        self._by_key = {track.instrument.key: track for track in self._tracks}
        if len(self._by_key) < len(self._tracks):
            raise BadInput("two of the instruments to replay have one name; give each instrument once")
        if not any(track.first < track.stop for track in self._tracks):
            raise BadInput(_nothing_between(ordered, series, (start, stop)))
        opens = [int(track.candles.opened_at_ms[track.first]) for track in self._tracks if track.first < track.stop]
        self._now_ms = min(opens) if start is None else to_ms(start)
        self._closed = False
        self._resume_ms = self._now_ms
        self._all_instants: IntArray | None = None

    def instruments(self) -> Sequence[Instrument]:
        """What is replayed, sorted by (venue, symbol)."""
        return [track.instrument for track in self._tracks]

    @property
    def bars(self) -> int:
        """Candles that a whole replay yields."""
        return sum(track.stop - track.first for track in self._tracks)

    def history(self, key: InstrumentKey, bars: int) -> CandleArrays:
        """The last candles closed by the market time reached so far, at most ``bars``; views, no copy.

        Before the first event these are the candles before the replay's start.
        """
        track = self._track(key)
        known = int(np.searchsorted(track.closed_at_ms, self._now_ms, side="right"))
        return track.candles.slice(max(0, known - bars), known)

    def precomputed(self, key: InstrumentKey) -> CandleArrays:
        """The whole series, future included: only for kernels and indicators that are proven causal."""
        return self._track(key).candles

    def span(self, key: InstrumentKey) -> tuple[int, int]:
        """The rows of `precomputed` that are replayed: the first, and the one after the last."""
        track = self._track(key)
        return track.first, track.stop

    def fine(self, key: InstrumentKey) -> FineCandles | None:
        """The finer candles of an instrument; None without any."""
        return self._track(key).fine

    @property
    def detail(self) -> DetailFacts | None:
        """How many candles finer ones decide; None without any."""
        return detail_facts([(track.fine, track.stop - track.first) for track in self._tracks])

    @property
    def has_detail(self) -> bool:
        """Whether there are finer candles of any instrument."""
        return any(track.fine is not None for track in self._tracks)

    def funding(self, key: InstrumentKey) -> FundingSeries | None:
        """What was given as the instrument's funding."""
        return self._track(key).funding

    def events(self) -> Iterator[MarketEvent]:
        """Every event in the order of market time; ends at the last candle or after `close`."""
        instants, has_detail = self.instants_ms, self.has_detail
        for first in range(0, len(instants), _INSTANTS_AT_ONCE):
            chunk = instants[first : first + _INSTANTS_AT_ONCE]
            for at_ms, events in self._chunk(chunk):
                if self._closed:
                    return
                if has_detail:
                    yield from self._with_details(at_ms, events)
                else:
                    self._now_ms = at_ms
                    yield from events

    def _with_details(self, at_ms: int, events: list[MarketEvent]) -> Iterator[MarketEvent]:
        """The events of an instant, finer candles that closed since the instant before it in their places."""
        row = int(np.searchsorted(self.instants_ms, at_ms))
        if self.wants_detail:
            yield from self._details(int(self.instants_ms[row - 1]) if row else 0, at_ms - 1)
        self._now_ms = at_ms
        yield from (event for event in events if not isinstance(event, Bars))
        if self.wants_detail:
            yield from self._details(at_ms - 1, at_ms)
        yield from (event for event in events if isinstance(event, Bars))

    def _details(self, after_ms: int, until_ms: int) -> Iterator[Detail]:
        """The finer candles that close after one instant and up to another, by close."""
        found: dict[int, list[tuple[Candle, bool]]] = {}
        for track in self._tracks:
            if track.fine is None or not len(rows := track.fine.rows_closed(after_ms, until_ms)):
                continue
            columns = CandleColumns.of(track.instrument, track.fine.candles.slice(int(rows[0]), int(rows[-1]) + 1))
            for row in (rows - rows[0]).tolist():
                is_last = bool(track.fine.roles[rows[0] + row] == LAST)
                at_ms = columns.opened_at_ms[row] + columns.timeframe.ms
                found.setdefault(at_ms, []).append((columns.candle(row), is_last))
        for at_ms, candles in sorted(found.items(), key=lambda each: each[0]):
            ending = frozenset(candle.instrument for candle, is_last in candles if is_last)
            yield Detail(from_ms(at_ms), tuple(candle for candle, _ in candles), ending)

    def pass_over(self, until_ms: int) -> None:
        """Leave out the events before ``until_ms`` that have not been handed out."""
        self._resume_ms = until_ms

    def close(self) -> None:
        """End the stream before its next instant; may be called from another thread."""
        self._closed = True

    def _track(self, key: InstrumentKey) -> _Track:
        if key not in self._by_key:
            raise BadInput(f"{key} is not replayed; there are {', '.join(self._by_key)}")
        return self._by_key[key]

    @property
    def instants_ms(self) -> IntArray:
        """Every instant at which there is an event, rising, ms UTC."""
        if self._all_instants is None:
            self._all_instants = self._instants()
        return self._all_instants

    def _instants(self) -> IntArray:
        closes = [track.closed_at_ms[track.first : track.stop] for track in self._tracks]
        begin, end = (
            min(int(part[0]) for part in closes if len(part)),
            max(int(part[-1]) for part in closes if len(part)),
        )
        stamps = [track.funding.at_ms for track in self._tracks if track.funding is not None]
        funding = [part[(part >= begin) & (part <= end)] for part in stamps]
        return merged_instants([*closes, *funding])

    def _chunk(self, instants: IntArray) -> Iterator[tuple[int, list[MarketEvent]]]:
        """Events by instant; those of an instant that is passed over meanwhile are never made."""
        columns, rates = [], dict[int, list[MarketEvent]]()
        for track in self._tracks:
            part = track.candles.slice(*_within(track.closed_at_ms, instants, track.first, track.stop))
            columns.append(CandleColumns.of(track.instrument, part))
            for rate in _funding(track, instants):
                rates.setdefault(to_ms(rate.at), []).append(rate)
        for at_ms in instants.tolist():
            if at_ms < self._resume_ms:
                continue
            events = rates.get(at_ms, [])
            closed = tuple(each.candle(row) for each in columns if (row := each.rows.get(at_ms)) is not None)
            if closed:
                events.append(Bars(from_ms(at_ms), closed))
            yield at_ms, events


def _track(
    instrument: Instrument, candles: CandleArrays, funding: Funding, span: tuple[datetime | None, datetime | None]
) -> _Track:
    key = instrument.key
    _require_clean(key, candles)
    series = funding.get(key)
    if instrument.kind is Kind.PERPETUAL and key not in funding:
        raise BadInput(
            f"{key} is a perpetual, and its funding was not given: add --funding FILE (columns timestamp and "
            "funding_rate), or --no-funding to replay it as if none were paid"
        )
    if instrument.kind is Kind.SPOT and series is not None:
        raise BadInput(f"{key} is spot and pays no funding; take its funding file away")
    start, stop = span
    first = 0 if start is None else int(np.searchsorted(candles.opened_at_ms, to_ms(start)))
    closed_at_ms = candles.opened_at_ms + candles.timeframe.ms
    last = len(candles) if stop is None else int(np.searchsorted(closed_at_ms, to_ms(stop), side="right"))
    track = _Track(instrument, candles, closed_at_ms, series, first, max(first, last))
    if series is not None:
        _require_overlap(track, series)
    # Prices that the tick would make zero must be refused before the replay, not in its middle.
    price_ticks(candles.low[first:last], instrument.tick_size)
    return track


def _with_fine(tracks: list[_Track], fine: Fine) -> list[_Track]:
    strangers = sorted(set(fine) - {track.instrument.key for track in tracks})
    if strangers:
        raise BadInput(f"finer candles of {', '.join(strangers)} are given, which is not run; take them away")
    frames = sorted({candles.timeframe for candles in fine.values()})
    if len(frames) > 1:
        raise BadInput(f"finer candles of {' and '.join(map(str, frames))} are given; give one length of them")
    found = []
    for track in tracks:
        key = track.instrument.key
        if key in fine:
            _require_clean(key, fine[key])
            own = fine_candles(track.instrument, track.candles, (track.first, track.stop), fine[key])
            found.append(replace(track, fine=own))
        else:
            found.append(track)
    return found


def _require_clean(key: InstrumentKey, candles: CandleArrays) -> None:
    for fault, rows in row_faults(candles, _END_OF_TIME):
        if rows.any() and fault is not RowFault.OFF_GRID:
            at = candles.opened_at_ms[int(np.flatnonzero(rows)[0])]
            raise BadInput(
                f"{key}: the candle at {at} ms cannot be replayed: {fault.value}; import the file to clean it"
            )
    if (np.diff(candles.opened_at_ms) < candles.timeframe.ms).any():
        raise BadInput(f"{key}: candles overlap or are out of order; import the file to clean it")


def _require_overlap(track: _Track, series: FundingSeries) -> None:
    closes = track.closed_at_ms[track.first : track.stop]
    day_ms = 86_400_000
    if len(closes) == 0 or int(closes[-1]) - int(closes[0]) < day_ms:
        return
    inside = (series.at_ms >= closes[0]) & (series.at_ms <= closes[-1])
    if not inside.any():
        raise BadInput(
            f"{track.instrument.key}: the funding given has no rate between {from_ms(int(closes[0]))} and "
            f"{from_ms(int(closes[-1]))}; give the funding of that time, or --no-funding"
        )


def _within(times: IntArray, instants: IntArray, first: int, stop: int) -> tuple[int, int]:
    begin = max(first, int(np.searchsorted(times, instants[0])))
    return begin, max(begin, min(stop, int(np.searchsorted(times, instants[-1], side="right"))))


def _funding(track: _Track, instants: IntArray) -> Iterator[FundingRate]:
    series = track.funding
    if series is None:
        return
    for row in range(*_within(series.at_ms, instants, 0, len(series))):
        at_ms = int(series.at_ms[row])
        known = int(np.searchsorted(track.closed_at_ms, at_ms, side="right"))
        if known:
            mark: Decimal = decimal_price(float(track.candles.close[known - 1]), track.instrument.tick_size)
            yield FundingRate(track.instrument.key, from_ms(at_ms), series.rates[row], mark)


def _nothing_between(
    instruments: Sequence[Instrument],
    series: Mapping[Instrument, CandleArrays],
    asked: tuple[datetime | None, datetime | None],
) -> str:
    """That the range asked for holds no candle, with the range there is."""
    start, stop = asked
    begin, end = utc_text(start) if start else "the beginning", utc_text(stop) if stop else "the end"
    times = [series[one].opened_at_ms for one in instruments if len(series[one])]
    there = "there are none before it" if stop else "there are none at all"
    if times:
        first, last = min(int(one[0]) for one in times), max(int(one[-1]) for one in times)
        there = f"those there are open from {utc_text(from_ms(first))} to {utc_text(from_ms(last))}"
    return f"no candle to replay between {begin} and {end}; {there}"
