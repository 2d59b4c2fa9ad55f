"""What the outside tells us: candles, quotes, funding, and the arrays strategies read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from engine.domain.errors import BadInput
from engine.domain.instruments import InstrumentKey

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_TIMEFRAME = re.compile(r"([1-9]\d{0,3})([smhdw])")


@dataclass(frozen=True, slots=True, order=True)
class Timeframe:
    """Length of a candle in whole seconds.

    >>> Timeframe.parse("1h").seconds, str(Timeframe(300))
    (3600, '5m')
    """

    seconds: int

    @classmethod
    def parse(cls, text: str) -> Timeframe:
        """Read ``1m``, ``4h``, ``1d``; raises `BadInput` naming the text."""
        match = _TIMEFRAME.fullmatch(text.strip().lower())
        if match is None:
            raise BadInput(f"timeframe {text!r} is not of the form 1m, 5m, 1h, 4h, 1d")
        return cls(int(match[1]) * _UNITS[match[2]])

    @property
    def delta(self) -> timedelta:
        """The same length as a timedelta."""
        return timedelta(seconds=self.seconds)

    @property
    def ms(self) -> int:
        """The same length in milliseconds."""
        return self.seconds * 1000

    def __str__(self) -> str:
        for unit in ("w", "d", "h", "m"):
            if self.seconds % _UNITS[unit] == 0:
                return f"{self.seconds // _UNITS[unit]}{unit}"
        return f"{self.seconds}s"


def to_ms(at: datetime) -> int:
    """Aware datetime to whole milliseconds since 1970 UTC.

    >>> to_ms(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000
    """
    return round(at.timestamp() * 1000)


def from_ms(ms: int) -> datetime:
    """Milliseconds since 1970 to aware UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


@dataclass(frozen=True, slots=True)
class Candle:
    """A closed candle; its event time is ``closed_at``. Prices in quote, volume in base."""

    instrument: InstrumentKey
    timeframe: Timeframe
    opened_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal

    @property
    def closed_at(self) -> datetime:
        """When the candle became known."""
        return self.opened_at + self.timeframe.delta


@dataclass(frozen=True, slots=True)
class Bars:
    """Every candle of one close of one market source, sorted by (venue, symbol).

    All of them are applied before any strategy is asked, so that the order in which files or sockets deliver
    changes nothing.
    """

    at: datetime
    candles: tuple[Candle, ...]


@dataclass(frozen=True, slots=True)
class BookTop:
    """Best bid and ask with the sizes there; prices in quote, sizes in base."""

    instrument: InstrumentKey
    at: datetime
    bid: Decimal
    ask: Decimal
    bid_size: Decimal
    ask_size: Decimal

    @property
    def mid(self) -> Decimal:
        """Middle of bid and ask."""
        return (self.bid + self.ask) / 2


@dataclass(frozen=True, slots=True)
class Quotes:
    """Quotes of one instant, between closes: they move marks, never decisions."""

    at: datetime
    tops: tuple[BookTop, ...]


@dataclass(frozen=True, slots=True)
class FundingRate:
    """A funding stamp of a perpetual: longs pay shorts ``rate`` of ``mark`` notional when positive."""

    instrument: InstrumentKey
    at: datetime
    rate: Decimal
    mark: Decimal


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """What a market source says about itself; ``online`` False means its prices must not be trusted."""

    venue: str
    at: datetime
    online: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Detail:
    """Finer candles that close at one instant, inside the bars that decide, sorted by (venue, symbol).

    They fill what works at a simulated venue; nothing is decided or valued by them. ``ending`` names the instruments
    whose longer candle ends with this one.
    """

    at: datetime
    candles: tuple[Candle, ...]
    ending: frozenset[InstrumentKey]


MarketEvent = Bars | Quotes | FundingRate | FeedStatus | Detail


@dataclass(frozen=True, slots=True)
class CandleArrays:
    """Closed candles of one instrument, oldest first, as read-only arrays of one length.

    Attributes
    ----------
    timeframe : Timeframe
    opened_at_ms : int64[n]
        Open time, ms UTC, strictly rising.
    open, high, low, close : float64[n]
        Quote currency.
    volume : float64[n]
        Base currency.
    """

    timeframe: Timeframe
    opened_at_ms: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    def __len__(self) -> int:
        return len(self.close)

    def tail(self, bars: int) -> CandleArrays:
        """The last ``bars`` candles (all, if there are fewer); views, no copy."""
        return self.slice(max(0, len(self) - bars), len(self))

    def slice(self, start: int, stop: int) -> CandleArrays:
        """Candles ``start`` to ``stop`` (exclusive); views, no copy."""
        return CandleArrays(
            self.timeframe,
            self.opened_at_ms[start:stop],
            self.open[start:stop],
            self.high[start:stop],
            self.low[start:stop],
            self.close[start:stop],
            self.volume[start:stop],
        )


Windows = Mapping[InstrumentKey, CandleArrays]
