"""Candles of another exchange where the own one sends none: stops and exits go on, nothing is opened on them.

The feed stays marked as offline while they are used, so that the risk gate lets no entry through, and only books whose
orders a real exchange executes may use them: nothing is ever filled at another exchange's price.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from threading import Event
from typing import Protocol

from engine.domain.errors import BadInput, VenueError, VenueUnreachable
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.market import Bars, Candle, CandleArrays, FeedStatus, MarketEvent, Timeframe, to_ms
from engine.domain.ports import Clock
from engine.exchanges import ExchangeRow
from engine.exchanges.bar_assembly import BarAssembly
from engine.exchanges.public_market import PublicMarket
from engine.exchanges.pump import pumped
from engine.exchanges.quoted import Source

MOST_APART = Decimal("0.02")
"""A close that lies further from the own one, as a share of it, is not the same market's."""


class Spare(Protocol):
    """Where candles are asked for instead."""

    @property
    def title(self) -> str:
        """Name for people."""

    def bars(self, own: Sequence[Instrument], timeframe: Timeframe, since: datetime) -> list[Bars]:
        """Complete closes from ``since`` on, oldest first, under the own instruments' keys."""

    def close(self) -> None:
        """Drop the connection."""


class SpareExchange:
    """Public candles of one other exchange, asked for only when they are needed.

    Parameters
    ----------
    row : ExchangeRow
    clock : Clock
    timeout_s : float
        Patience with one answer.
    rest_url : str or None
        Another host, for tests.
    """

    def __init__(self, row: ExchangeRow, clock: Clock, timeout_s: float = 10.0, rest_url: str | None = None) -> None:
        self._row = row
        self._market = PublicMarket(row, clock, timeout_s, rest_url)

    @property
    def title(self) -> str:
        """Name for people."""
        return self._row.title

    def close(self) -> None:
        """Drop the connection."""
        self._market.close()

    def bars(self, own: Sequence[Instrument], timeframe: Timeframe, since: datetime) -> list[Bars]:
        """Complete closes from ``since`` on, oldest first, under the own instruments' keys.

        Raises
        ------
        BadInput
            It does not list one of them, or has no candles of this length.
        VenueUnreachable
            It does not answer.
        """
        self._market.check_timeframe(timeframe)
        self._market.sync_clock()
        theirs = self._market.instruments([instrument.symbol for instrument in own])
        shown_ms, now_ms = to_ms(since) - timeframe.ms, self._market.now_ms()
        assembly = BarAssembly([instrument.key for instrument in own], timeframe, 1, shown_ms)
        for instrument, their in zip(own, theirs, strict=True):
            for page in self._market.pages(their, timeframe, shown_ms, now_ms):
                assembly.add(replace(candle, instrument=instrument.key) for candle in page.candles)
        return assembly.ready(shown_ms)


class FallbackSource:
    """A source of candles, with those of other exchanges in its place while it says that it is offline.

    Parameters
    ----------
    source : Source
    venue : str
        Name of the own venue in feed statuses.
    timeframe : Timeframe
    spares : sequence of Spare
        Asked one after the other until one answers.
    every_s : float
        Pause between two questions to them.
    """

    def __init__(
        self, source: Source, venue: str, timeframe: Timeframe, spares: Sequence[Spare], every_s: float = 5.0
    ) -> None:
        self._source = source
        self._venue = venue
        self._timeframe = timeframe
        self._spares = tuple(spares)
        self._every_s = every_s
        self._closed = Event()
        self._last: dict[InstrumentKey, Candle] = {}
        self._shown: datetime | None = None
        self._told = ""

    def instruments(self) -> Sequence[Instrument]:
        """As the source."""
        return self._source.instruments()

    def history(self, key: InstrumentKey, bars: int) -> CandleArrays:
        """As the source: what other exchanges told in its place is not among it."""
        return self._source.history(key, bars)

    def close(self) -> None:
        """End the events."""
        self._closed.set()
        self._source.close()

    def events(self) -> Iterator[MarketEvent]:
        """The source's events; while it is offline the closes of another exchange, each close once."""
        is_silent = False
        for event in pumped(self._source.events, self._closed, self._every_s, f"candles-of-{self._venue}"):
            if isinstance(event, FeedStatus) and event.venue == self._venue:
                is_silent, self._told = not event.online, ""
            if isinstance(event, Bars):
                yield from self._own(event)
            elif event is not None:
                yield event
            if is_silent and self._is_due(event):
                yield from self._borrowed()
        for spare in self._spares:
            spare.close()

    def _is_due(self, event: MarketEvent | None) -> bool:
        return event is None and self._shown is not None

    def _own(self, bars: Bars) -> Iterator[Bars]:
        """A close that was not borrowed before."""
        if self._shown is None or bars.at > self._shown:
            self._shown = bars.at
            self._last |= {candle.instrument: candle for candle in bars.candles}
            yield bars

    def _borrowed(self) -> Iterator[MarketEvent]:
        assert self._shown is not None
        for spare in self._spares:
            try:
                told = spare.bars(self._source.instruments(), self._timeframe, self._shown)
                self._require_same_market(spare.title, told)
            except (VenueError, BadInput) as error:
                yield from self._tell(f"no candles; {spare.title} cannot stand in: {error}")
                continue
            for bars in told:
                if bars.at > self._shown:
                    yield from self._tell(f"no candles; those of {spare.title} stand in, nothing is opened on them")
                    yield from self._own(bars)
            return

    def _require_same_market(self, title: str, told: Sequence[Bars]) -> None:
        """The close both have shown must be about the same; raises `VenueUnreachable`."""
        shown = [candle for bars in told if bars.at == self._shown for candle in bars.candles]
        if not shown:
            raise VenueUnreachable(f"it has no candle of {self._shown} to compare with")
        for candle in shown:
            own = self._last.get(candle.instrument)
            if own is not None and abs(candle.close - own.close) > own.close * MOST_APART:
                raise VenueUnreachable(f"{candle.instrument} closed at {candle.close} there, at {own.close} here")

    def _tell(self, detail: str) -> Iterator[FeedStatus]:
        """A status while offline, once for each text."""
        if detail != self._told and self._shown is not None:
            self._told = detail
            yield FeedStatus(self._venue, self._shown, False, detail)
