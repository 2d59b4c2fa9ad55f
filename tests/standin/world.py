"""Everything the stand-in exchange is made of: three accounts, keys, planted faults, published prices, connections."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from .calls import Call
from .exchange import TRADER_FUNDS, Exchange
from .faults import Faults
from .hub import Hub
from .journal import Journal
from .keys import Key
from .quotes import Quotes

VENUES = ("bybit", "binance", "usdm")


@dataclass
class World:
    """The parts that every dialect and the control calls share.

    Attributes
    ----------
    skew_ms : int
        How far the exchange's clock is ahead of this machine's.
    enforce_limits : bool
        Whether the request limits are enforced; they are always counted.
    walking : str or None
        Largest share of the price that a market moves at each beat; None holds still.
    """

    journal: Journal
    seed: int = 1
    funds: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)
    skew_ms: int = 0
    enforce_limits: bool = False
    walking: Decimal | None = None
    keys: dict[str, Key] = field(default_factory=lambda: {Key().key: Key()})
    faults: Faults = field(default_factory=Faults)
    requests: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=20_000))

    def __post_init__(self) -> None:
        self.quotes = Quotes(self.faults)
        self.hub = Hub(self.faults)
        self.exchanges = {
            name: Exchange(name, self.journal, self.now_ms, self.seed, dict(self.funds.get(name, TRADER_FUNDS)))
            for name in VENUES
        }

    def now_ms(self) -> int:
        """The exchange's own time."""
        return time.time_ns() // 1_000_000 + self.skew_ms

    def beat(self) -> None:
        """One step of every market: prices walk if they may, candles grow."""
        for exchange in self.exchanges.values():
            for market in exchange.markets.values():
                if self.walking is not None:
                    market.walk(self.walking, self.now_ms())
                    exchange.matching.match(market)
                else:
                    market.stand(self.now_ms())

    def noted(self, venue: str, where: str, call: Call) -> dict[str, Any]:
        """Write a request down; the status is added when it is answered."""
        line: dict[str, Any] = {
            "at": self.now_ms(),
            "venue": venue,
            "where": where,
            "method": call.method,
            "path": call.path,
            "params": {name: str(value) for name, value in call.params.items() if name != "signature"},
            "status": 0,
        }
        self.requests.append(line)
        return line


def open_world(journal: Path, seed: int, funds: Mapping[str, Mapping[str, Decimal]]) -> World:
    """A fresh exchange that writes to ``journal``."""
    return World(Journal(journal), seed, funds)
