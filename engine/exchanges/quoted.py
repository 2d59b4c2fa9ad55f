"""Candles with quotes between them: the closes decide, the quotes move marks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from threading import Event
from time import monotonic
from typing import Protocol

from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.market import Bars, CandleArrays, MarketEvent, Quotes
from engine.domain.ports import MarketSource
from engine.exchanges.pump import pumped


class Source(MarketSource, Protocol):
    """A market source that can be ended."""

    def close(self) -> None:
        """End its events."""


class Tops(Protocol):
    """Quotes to be taken; `engine.exchanges.connected.quotes.QuoteFeed` is one."""

    def take(self) -> Quotes | None:
        """What has come since the last time; None where nothing has."""


class QuotedSource:
    """A source of candles with quotes between its closes, at most one set in ``every_s`` seconds.

    Market time never goes back: quotes from after a close wait until that close was shown.

    Parameters
    ----------
    source : Source
    feed : Tops
    every_s : float
    """

    def __init__(self, source: Source, feed: Tops, every_s: float = 1.0) -> None:
        self._source = source
        self._feed = feed
        self._every_s = every_s
        self._closed = Event()

    def instruments(self) -> Sequence[Instrument]:
        """As the source."""
        return self._source.instruments()

    def history(self, key: InstrumentKey, bars: int) -> CandleArrays:
        """As the source."""
        return self._source.history(key, bars)

    def close(self) -> None:
        """End the events."""
        self._closed.set()
        self._source.close()

    def events(self) -> Iterator[MarketEvent]:
        """The source's events and the quotes between them, until `close`."""
        next_close: datetime | None = None
        told_s, waiting = monotonic(), None
        for event in pumped(self._source.events, self._closed, self._every_s, "candles-of-quotes"):
            if event is not None:
                yield event
                if isinstance(event, Bars) and event.candles:
                    next_close = event.at + event.candles[0].timeframe.delta
            if next_close is None or monotonic() - told_s < self._every_s:
                continue
            waiting = newer(waiting, self._feed.take())
            if waiting is not None and waiting.at < next_close:
                told_s = monotonic()
                yield waiting
                waiting = None


def newer(waiting: Quotes | None, taken: Quotes | None) -> Quotes | None:
    """What waited and what has come, the newest of each instrument."""
    if waiting is None or taken is None:
        return taken or waiting
    tops = {top.instrument: top for top in (*waiting.tops, *taken.tops)}
    return Quotes(max(waiting.at, taken.at), tuple(tops[key] for key in sorted(tops)))
