"""Holdings and their risk as faces draw them: valued and measured by the engine, never by a page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from engine.domain.views import Figure


@dataclass(frozen=True, slots=True)
class HoldingRow:
    """A coin at a venue, valued. ``value`` None: no price, listed and not counted.

    ``engine_owned`` is the part the engine trades: what its capital and its own fills explain.
    """

    venue: str
    simulated: bool
    account: str
    currency: str
    total: Decimal
    free: Decimal
    price: Decimal | None
    price_source: str
    value: Decimal | None
    share: Decimal | None
    engine_owned: Decimal


@dataclass(frozen=True, slots=True)
class StressRow:
    """Loss of the present holdings under a dated scenario; base currency, loss negative."""

    scenario: str
    window: str
    pnl: float
    share_of_equity: float | None
    proxy: str


@dataclass(frozen=True, slots=True)
class RiskView:
    """Portfolio figures of a book or of all its venues."""

    figures: tuple[Figure, ...]
    exposures: tuple[tuple[str, Decimal, Decimal], ...]
    coins: tuple[str, ...]
    correlation: tuple[tuple[float, ...], ...]
    stress: tuple[StressRow, ...]
    observations: int


@dataclass(frozen=True, slots=True)
class WalletOwners:
    """Whose the priced balances of one kind (simulated or not) are, in the view's currency.

    ``total = traded + own``; the books' ``equity = traded + open_profit``, the unrealised P&L of perpetuals, which no
    wallet holds before a position is closed.
    """

    simulated: bool
    total: Decimal
    traded: Decimal
    own: Decimal
    open_profit: Decimal
    equity: Decimal


@dataclass(frozen=True, slots=True)
class WalletView:
    """Every balance found, valued in one currency."""

    currency: str
    total: Decimal
    holdings: tuple[HoldingRow, ...]
    unpriced: tuple[str, ...]
    by_coin: tuple[tuple[str, Decimal], ...]
    by_venue: tuple[tuple[str, Decimal], ...]
    risk: RiskView
    priced_at: datetime | None
    owners: tuple[WalletOwners, ...] = ()
