"""Best bids and asks as a stream tells them, until somebody takes them: they move marks, never decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from threading import Event, Lock
from typing import Any

from engine.domain.instruments import InstrumentKey
from engine.domain.market import BookTop, Quotes, from_ms
from engine.exchanges.connected.placing import Listed


class QuoteFeed:
    """The newest top of the book of every instrument; written by the stream, read by the book's thread.

    Parameters
    ----------
    listed : sequence of Listed
        What is listened to.
    now : callable
        The exchange's time as far as known, aware UTC; for quotes without a time.

    Attributes
    ----------
    pending : threading.Event
        Set while quotes wait to be taken.
    refused : int
        How many quotes were refused: no number, not above zero, or crossed.
    """

    def __init__(self, listed: Sequence[Listed], now: Callable[[], datetime]) -> None:
        self.pending = Event()
        self.refused = 0
        self._listed = {each.instrument.symbol: each for each in listed}
        self._now = now
        self._tops: dict[InstrumentKey, BookTop] = {}
        self._fresh: dict[InstrumentKey, BookTop] = {}
        self._lock = Lock()

    @property
    def listed(self) -> Sequence[Listed]:
        """What is listened to."""
        return tuple(self._listed.values())

    def put(self, ticker: Mapping[str, Any]) -> bool:
        """Take a quote in ccxt's words; False where it is refused, or of an instrument nobody asked for."""
        listed = self._listed.get(str(ticker.get("symbol")))
        if listed is None:
            return False
        top = self._read(listed, ticker)
        if top is None:
            self.refused += 1
            return False
        with self._lock:
            known = self._tops.get(top.instrument)
            if known is not None and top.at < known.at:
                return False
            self._tops[top.instrument] = self._fresh[top.instrument] = top
            self.pending.set()
        return True

    def take(self) -> Quotes | None:
        """What has come since the last time, the newest of each instrument; None where nothing has."""
        with self._lock:
            tops, self._fresh = self._fresh, {}
            self.pending.clear()
        if not tops:
            return None
        ordered = tuple(tops[key] for key in sorted(tops))
        return Quotes(max(top.at for top in ordered), ordered)

    def top(self, key: InstrumentKey) -> BookTop | None:
        """The newest quote of an instrument; None before the first."""
        with self._lock:
            return self._tops.get(key)

    def _read(self, listed: Listed, ticker: Mapping[str, Any]) -> BookTop | None:
        bid, ask = _number(ticker.get("bid")), _number(ticker.get("ask"))
        bid_size, ask_size = (_number(ticker.get(name)) or Decimal(0) for name in ("bidVolume", "askVolume"))
        if bid is None or ask is None or not 0 < bid < ask or min(bid_size, ask_size) < 0:
            return None
        told = ticker.get("timestamp")
        at = from_ms(told) if type(told) is int and told > 0 else self._now()
        size = listed.contract_size
        return BookTop(listed.instrument.key, at, bid, ask, bid_size * size, ask_size * size)


def _number(value: Any) -> Decimal | None:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
