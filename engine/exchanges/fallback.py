"""Candles of another exchange where the own one sends none: stops and exits go on, nothing is opened on them.

The feed stays marked as offline while they are used, so that the risk gate lets no entry through, and only books whose
orders a real exchange executes may use them: nothing is ever filled at another exchange's price.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from threading import Event

from engine.domain.errors import BadInput, VenueError
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.market import Bars, Candle, CandleArrays, FeedStatus, MarketEvent, Timeframe, to_ms
from engine.domain.ports import Clock
from engine.exchanges import ExchangeRow
from engine.exchanges.bar_assembly import BarAssembly
from engine.exchanges.hosts import Hosts
from engine.exchanges.public_market import PublicMarket
from engine.exchanges.pump import pumped
from engine.exchanges.quoted import Source
from engine.exchanges.spares import SharedSpares


class SpareExchange:
    """Public candles of one other exchange, asked for only when they are needed.

    Parameters
    ----------
    row : ExchangeRow
    clock : Clock
    timeout_s : float
        Patience with one answer.
    rest_url : str or None
        Another address.
    sandbox : bool
        Ask its test exchange.
    """

    def __init__(
        self,
        row: ExchangeRow,
        clock: Clock,
        timeout_s: float = 10.0,
        rest_url: str | None = None,
        sandbox: bool = False,
    ) -> None:
        self._row = row
        self._market = PublicMarket(row, clock, timeout_s, rest_url, sandbox)

    @property
    def title(self) -> str:
        """Name for people."""
        return self._row.title

    def heed(self, hosts: Hosts | None) -> None:
        """Look up bans and pauses before every question, and write down what is told; call before the first one."""
        self._market.heed(hosts)

    def close(self) -> None:
        """Drop the connection."""
        self._market.close()

    def lists(self, own: Sequence[Instrument]) -> frozenset[InstrumentKey]:
        """Those of which it lists the same pair of the same kind, by the own key. Raises `VenueUnreachable`."""
        found = set()
        for instrument in own:
            try:
                self._market.instruments([instrument.symbol])
            except BadInput:
                continue
            found.add(instrument.key)
        return frozenset(found)

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
    spares : SharedSpares
    every_s : float
        Pause between two questions to them.
    """

    def __init__(
        self, source: Source, venue: str, timeframe: Timeframe, spares: SharedSpares, every_s: float = 5.0
    ) -> None:
        self._source = source
        self._venue = venue
        self._timeframe = timeframe
        self._spares = spares
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
        self._spares.close()

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
        try:
            own = self._source.instruments()
        except VenueError:
            return  # it has never said what it trades, so nothing has been shown either
        told = self._spares.bars(own, self._timeframe, self._shown, self._last)
        yield from self._tell(f"no candles; {told.words}")
        for bars in told.bars:
            yield from self._own(bars)

    def _tell(self, detail: str) -> Iterator[FeedStatus]:
        """A status while offline, once for each text."""
        if detail != self._told and self._shown is not None:
            self._told = detail
            yield FeedStatus(self._venue, self._shown, False, detail)
