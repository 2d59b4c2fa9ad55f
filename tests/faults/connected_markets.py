"""Where fault tests trade at the stand-in exchange, by which clock, and how a test's process comes to its end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from engine.domain.instruments import InstrumentKey
from engine.domain.market import Timeframe
from engine.exchanges.connected.dialects import VenueRow
from engine.exchanges.connected.lanes import Lane, Pace
from engine.exchanges.connected.venue_rows import BINANCE, BINANCE_PERP, BYBIT

D = Decimal
MINUTE = Timeframe(60)
FUNDS = "USDT=200000,BTC=0.5,ETH=2"
CAPITAL = D(100_000)
FAST = {Lane.CLOSE: 0.4, Lane.STATUS: 0.4, Lane.ENTRY: 0.4, Lane.DATA: 5.0}
"""Patience, seconds, of tests about answers that do not come."""
UNHURRIED = Pace(1_000_000, 1.0)
"""Limits of the exchange wait in real time; only tests about them keep them."""


class Killed(BaseException):
    """The process is gone at this very line."""


@dataclass(frozen=True)
class Market:
    """Where a test trades: the venue row, what the stand-in calls it, the unified symbol."""

    row: VenueRow
    where: str
    symbol: str

    @property
    def key(self) -> InstrumentKey:
        return InstrumentKey(f"{self.row.name}:{self.symbol}")

    @property
    def is_perpetual(self) -> bool:
        return ":" in self.symbol

    def __str__(self) -> str:
        return f"{self.row.name}-{'perpetual' if self.is_perpetual else 'spot'}"


BYBIT_PERP = Market(BYBIT, "bybit", "BTC/USDT:USDT")
BYBIT_SPOT = Market(BYBIT, "bybit", "BTC/USDT")
BINANCE_SPOT = Market(BINANCE, "binance", "BTC/USDT")
USDM = Market(BINANCE_PERP, "usdm", "BTC/USDT:USDT")
THREE = (BYBIT_PERP, BYBIT_SPOT, BINANCE_SPOT)
FOUR = (*THREE, USDM)


@dataclass
class MovedClock:
    """Real time, moved forward by hand; both clocks together unless only one is."""

    ahead_s: float = 0.0
    wall_only_s: float = 0.0

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC) + timedelta(seconds=self.ahead_s + self.wall_only_s)

    def monotonic(self) -> float:
        """Seconds."""
        return time.monotonic() + self.ahead_s

    def ms(self) -> int:
        """Wall time in milliseconds, as a client signs it."""
        return int(self.now().timestamp() * 1000)
