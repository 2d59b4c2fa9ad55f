"""What must never be lost: every kind of row the journal holds, and the outcome of a decision."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum

from engine.domain.baskets import Basket, BasketMoved
from engine.domain.commands import Command, Receipt, TradingState
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import Approved, CashFlow, Fill, FundingPaid, OrderIntent, OrderUpdate, Refused
from engine.domain.unread import RowSetAside


@dataclass(frozen=True, slots=True)
class StateChanged:
    """A book's trading state moved; ``latched`` means only a `Rearm` command lets it go back."""

    state: TradingState
    latched: bool
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CommandDone:
    """A command was carried out or refused; the next one with its id is answered from here."""

    command_id: str
    status: str
    detail: str
    at: datetime


@dataclass(frozen=True, slots=True)
class EquityMark:
    """Equity per unit at instants that must survive: a new peak, and the starts of day, week and month.

    Units follow fund accounting: a cash flow buys or redeems units, so that neither peak nor P&L sees it.
    """

    at: datetime
    equity: Decimal
    units: Decimal
    peak: Decimal
    day_start: Decimal
    week_start: Decimal
    month_start: Decimal


class StopStep(Enum):
    """Steps of the emergency stop, in order; each is journaled when proven."""

    LATCHED = "latched"
    ENTRIES_REFUSED = "entries refused"
    ORDERS_CANCELLED = "orders cancelled at the venue"
    IN_FLIGHT_SETTLED = "orders in flight settled"
    NO_OPEN_ORDERS = "no open orders, seen twice"
    POSITIONS_FLATTENED = "positions flattened"
    NO_POSITIONS = "no positions, seen twice"
    VERIFIED_FLAT = "VERIFIED FLAT"


@dataclass(frozen=True, slots=True)
class StopProgress:
    """A step of stop ``stop_id`` was proven; ``detail`` says by which evidence."""

    stop_id: str
    step: StopStep
    detail: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SleeveConfigured:
    """A strategy's place in a book: running or paused, its configuration (JSON), universe and weight."""

    strategy: str
    running: bool
    values: str
    instruments: tuple[str, ...]
    weight: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class BookConfigured:
    """A book's limits and allocation method as JSON, versioned by its row in the journal."""

    risk: str
    allocation: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Netted:
    """Two sleeves' opposite positions closed against each other at a mark; the account does not move.

    ``quantity`` base, positive; ``price`` quote.
    """

    instrument: InstrumentKey
    long_sleeve: str
    short_sleeve: str
    quantity: Decimal
    price: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class BestPrice:
    """The best price of a position has moved: the highest high (long) or lowest low (short) of its completed candles.

    What trailing stops stay behind; counted from the candle of the latest entry on. ``price`` in quote.
    """

    sleeve: str
    instrument: InstrumentKey
    price: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class LatchReleased:
    """A strategy may open the position again that its stop, its target or a person had closed.

    Its conviction had gone back to zero, or turned, at the close ``at``.
    """

    sleeve: str
    instrument: InstrumentKey
    at: datetime


class Gap(Enum):
    """What the protection of a position lacks."""

    STOP_TOO_SMALL = "stop below the minimum"
    NO_TARGET = "no target"
    STOP_STUCK = "stop cannot follow"


@dataclass(frozen=True, slots=True)
class ProtectionGap:
    """A position lacks part of its protection: for ``quantity`` (base), and why; a quantity of 0 ends the gap."""

    sleeve: str
    instrument: InstrumentKey
    gap: Gap
    quantity: Decimal
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CoinPriced:
    """What a coin is worth in the book's base currency, noted because a fee was charged in it."""

    coin: str
    price: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a strategy has shown in a book since it was last set up there.

    Attributes
    ----------
    trades : int
        Round trips that ended flat.
    days : int
        UTC market days on which it ran.
    net_return : Decimal or None
        Result after all costs as a share of its capital there; None where it has none.
    drawdown : Decimal or None
        Largest fall of its result from its best, as a share of its capital and that best.
    since : datetime
        Market time from which it counts.
    """

    trades: int
    days: int
    net_return: Decimal | None
    drawdown: Decimal | None
    since: datetime


@dataclass(frozen=True, slots=True)
class Promotion:
    """A strategy was given a place in this book, or lost it (``promoted`` False), by ``by``.

    ``values`` is the JSON of the configuration that was promoted, ``evidence`` what it rested on.
    """

    strategy: str
    promoted: bool
    from_book: str
    values: str
    evidence: Evidence | None
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Armed:
    """A book that needs arming was armed, or has lost it; ``installation`` names the engine that may trade by it."""

    armed: bool
    installation: str
    reason: str
    at: datetime


Fact = (
    OrderIntent
    | OrderUpdate
    | Fill
    | FundingPaid
    | CashFlow
    | StateChanged
    | Command
    | CommandDone
    | EquityMark
    | StopProgress
    | SleeveConfigured
    | BookConfigured
    | Netted
    | BestPrice
    | LatchReleased
    | ProtectionGap
    | CoinPriced
    | Promotion
    | Armed
    | Basket
    | BasketMoved
    | RowSetAside
)


class Severity(Enum):
    """How loudly to tell people."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the core wants people to know; ``key`` groups repeats."""

    key: str
    severity: Severity
    title: str
    detail: str
    book: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """An order the core wants gone, and why."""

    client_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class AmendRequest:
    """A resting order that must change: its ``quantity`` (base), its ``stop_price`` (quote); None stays as it is."""

    client_id: str
    quantity: Decimal | None
    reason: str
    stop_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything one event led to; the loop makes it durable, then acts on it."""

    approved: tuple[Approved, ...] = ()
    cancels: tuple[CancelRequest, ...] = ()
    amends: tuple[AmendRequest, ...] = ()
    refused: tuple[Refused, ...] = ()
    facts: tuple[Fact, ...] = ()
    notices: tuple[Notice, ...] = ()
    receipts: tuple[Receipt, ...] = field(default=())
