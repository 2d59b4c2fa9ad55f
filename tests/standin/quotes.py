"""Prices as the stand-in exchange publishes them: true, or spoiled by a planted fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from .amounts import text
from .faults import PRICES, Faults
from .market import Candle, Market

Write = Callable[[Decimal], str]


@dataclass(frozen=True, slots=True)
class Quote:
    """Everything about a market in words for the wire; sizes in base."""

    last: str
    bids: tuple[tuple[str, str], ...]
    asks: tuple[tuple[str, str], ...]
    number: int

    @property
    def bid(self) -> tuple[str, str]:
        return self.bids[0] if self.bids else ("0", "0")

    @property
    def ask(self) -> tuple[str, str]:
        return self.asks[0] if self.asks else ("0", "0")


@dataclass(slots=True)
class Quotes:
    """What is published; a frozen price stays what it was when it froze."""

    faults: Faults
    kept: dict[tuple[str, str], Quote] = field(default_factory=dict)

    def of(self, venue: str, market: Market) -> Quote:
        """The book and last price to publish now."""
        name = (venue, market.instrument.key)
        fault = self.faults.take(PRICES, venue=venue, symbol=market.instrument.symbol)
        if fault is not None and fault.kind == "frozen":
            return self.kept.setdefault(name, _quote(market, text))
        self.kept.pop(name, None)
        return _quote(market, _writer(fault.kind if fault else ""))

    def candle(self, venue: str, market: Market, candle: Candle, last: bool) -> tuple[str, str, str, str]:
        """Open, high, low and close; only the last candle is spoiled."""
        prices = (candle.open, candle.high, candle.low, candle.close)
        fault = self.faults.look(PRICES, venue=venue, symbol=market.instrument.symbol) if last else None
        write = _writer(fault.kind if fault else "")
        opened, high, low, close = (write(price) for price in prices)
        return opened, high, low, close


def _quote(market: Market, write: Write) -> Quote:
    bids = tuple((write(level.price), text(level.size)) for level in market.bids)
    asks = tuple((write(level.price), text(level.size)) for level in market.asks)
    return Quote(write(market.price), bids, asks, market.changes)


def _writer(kind: str) -> Write:
    if kind == "nan":
        return lambda _price: "NaN"
    if kind == "zero":
        return lambda _price: "0"
    if kind == "x10":
        return lambda price: text(price * 10)
    return text
