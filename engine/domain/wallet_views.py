"""Holdings and their risk as faces draw them: valued and measured by the engine, never by a page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum

from engine.domain.views import Figure


class MoneyKind(Enum):
    """What a balance is worth to its owner; kinds are never added to each other."""

    REAL = "real"
    SANDBOX = "sandbox"
    SIMULATED = "SIMULATED"


@dataclass(frozen=True, slots=True)
class CoinPrice:
    """What a market says a coin is worth: ``price`` quote for one base, at wall time ``at``; ``source`` in words."""

    venue: str
    base: str
    quote: str
    price: Decimal
    at: datetime
    source: str


@dataclass(frozen=True, slots=True)
class HoldingRow:
    """A coin in a wallet, valued. ``value`` None: no price, listed and not counted.

    ``engine_owned`` is the part the engine trades: what its capital and its own fills explain. ``path`` tells over
    which coins the price was found ("ETH → BTC → USDT"), ``priced_at`` when the oldest price on it is from,
    ``read_at`` when the venue told the balance; both wall time. ``connection`` is the account, "" where simulated.
    """

    venue: str
    kind: MoneyKind
    account: str
    currency: str
    total: Decimal
    free: Decimal
    price: Decimal | None
    price_source: str
    value: Decimal | None
    share: Decimal | None
    engine_owned: Decimal
    path: str = ""
    priced_at: datetime | None = None
    read_at: datetime | None = None
    connection: str = ""


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
    """Whose the priced balances of one kind are, in the view's currency.

    ``total = traded + own``; the books' ``equity = traded + open_profit``, the unrealised P&L of perpetuals, which no
    wallet holds before a position is closed.
    """

    kind: MoneyKind
    total: Decimal
    traded: Decimal
    own: Decimal
    open_profit: Decimal
    equity: Decimal


@dataclass(frozen=True, slots=True)
class WalletGroup:
    """Every balance of one kind with its own sums and its own risk; ``unpriced`` names what no price was found for."""

    kind: MoneyKind
    total: Decimal
    holdings: tuple[HoldingRow, ...]
    unpriced: tuple[str, ...]
    by_coin: tuple[tuple[str, Decimal], ...]
    by_venue: tuple[tuple[str, Decimal], ...]
    risk: RiskView
    owners: WalletOwners | None


@dataclass(frozen=True, slots=True)
class AccountRead:
    """How reading a connected account went.

    ``read_at`` is None before the first answer, ``failure`` why the last look brought nothing, ``silent`` the wallets
    that gave no answer, each with its reason; ``no_prices`` why prices of that exchange are missing or old.
    """

    connection: str
    exchange: str
    kind: MoneyKind
    read_at: datetime | None
    is_reading: bool
    failure: str
    silent: tuple[tuple[str, str], ...]
    no_prices: str


@dataclass(frozen=True, slots=True)
class WalletView:
    """Every balance found, valued in one currency, kind by kind; ``accounts`` are those that were to be read.

    ``priced_at`` is the market time of the simulated balances, None where there are none.
    """

    currency: str
    groups: tuple[WalletGroup, ...]
    accounts: tuple[AccountRead, ...]
    priced_at: datetime | None

    @property
    def holdings(self) -> tuple[HoldingRow, ...]:
        """The rows of all kinds."""
        return tuple(row for group in self.groups for row in group.holdings)
