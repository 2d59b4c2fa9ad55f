"""What people ask of the engine: each a durable row with an id made when its form was drawn."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum

from engine.domain.instruments import InstrumentKey
from engine.domain.orders import OrderType, Side
from engine.domain.unread import Moved


class Role(Enum):
    """What a person may do: look, operate, or change keys, limits and people."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """0 viewer, 1 operator, 2 admin."""
        return (Role.VIEWER, Role.OPERATOR, Role.ADMIN).index(self)

    def allows(self, needed: Role) -> bool:
        """Whether this role includes ``needed``."""
        return self.rank >= needed.rank


class TradingState(Enum):
    """What a book may do, most permissive first; persisted."""

    ACTIVE = "ACTIVE"
    CLOSE_ONLY = "CLOSE_ONLY"
    HALTED = "HALTED"
    LOCKED = "LOCKED"

    @property
    def severity(self) -> int:
        """0 ACTIVE to 3 LOCKED; the effective state is the most severe of book, venue and account."""
        return list(TradingState).index(self)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: user name, role, and where from (``console``, ``api``, ``cli``, ``engine``)."""

    name: str
    role: Role
    source: str


@dataclass(frozen=True, slots=True)
class EmergencyStop:
    """Latch, cancel, flatten, verify. ``book`` None stops every book."""

    book: str | None = None


@dataclass(frozen=True, slots=True)
class Rearm:
    """Release the latch of a verified-flat stop or brake; a separate, deliberate act."""

    book: str


@dataclass(frozen=True, slots=True)
class SetTrading:
    """Move a book between ACTIVE, CLOSE_ONLY and HALTED (never past a latch)."""

    book: str
    state: TradingState


@dataclass(frozen=True, slots=True)
class ClosePosition:
    """Close ``share`` (0 to 1] of a sleeve's position at the market."""

    book: str
    sleeve: str
    instrument: InstrumentKey
    share: Decimal


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Cancel one working order."""

    book: str
    client_id: str


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """A manual order, through the same gate; quantity in base, prices in quote. A limit that is ``post_only`` waits."""

    book: str
    instrument: InstrumentKey
    side: Side
    quantity: Decimal
    order_type: OrderType
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    reduce_only: bool = False
    post_only: bool = False


@dataclass(frozen=True, slots=True)
class AdoptOrder:
    """Let the engine manage an open order that the trader placed at the exchange himself, as an order by hand.

    ``venue_order_id`` is the exchange's number of it.
    """

    book: str
    venue_order_id: str


@dataclass(frozen=True, slots=True)
class SetStrategy:
    """Start (``running`` True) or pause a strategy of a book; a paused one keeps its positions under risk."""

    book: str
    strategy: str
    running: bool


@dataclass(frozen=True, slots=True)
class ConfigureStrategy:
    """Give a strategy a new configuration and universe; ``values`` is the JSON of its ``Config``."""

    book: str
    strategy: str
    values: str
    instruments: tuple[InstrumentKey, ...] | None = None


@dataclass(frozen=True, slots=True)
class SetAllocation:
    """Share of the book's capital per strategy, summing to at most 1; ``method`` is ``fixed`` or ``performance``."""

    book: str
    method: str
    weights: tuple[tuple[str, Decimal], ...]


@dataclass(frozen=True, slots=True)
class ConfigureRisk:
    """Give a book new limits; ``values`` is the JSON of `engine.risk.limits.RiskConfig`."""

    book: str
    values: str


@dataclass(frozen=True, slots=True)
class SetSpeed:
    """Speed of a simulated market, 1 to 1000 market seconds a wall second."""

    book: str
    speed: int


@dataclass(frozen=True, slots=True)
class InjectFault:
    """Ask a simulated venue for an ``outage`` or a ``gap`` of so many market minutes."""

    book: str
    venue: str
    fault: str
    minutes: int


@dataclass(frozen=True, slots=True)
class ArmLive:
    """Let a book that needs it trade: it has been looked at, and may open positions from now on."""

    book: str


@dataclass(frozen=True, slots=True)
class Promote:
    """Give a strategy, as it is configured in one book, a place in the book of a later stage."""

    strategy: str
    from_book: str
    to_book: str

    @property
    def book(self) -> str:
        """The book that is changed."""
        return self.to_book


@dataclass(frozen=True, slots=True)
class Demote:
    """Take a strategy's place in a book back: it pauses there, and its positions keep their stops."""

    strategy: str
    book: str


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Compare a book with its exchanges now and say every difference; the receipt holds them."""

    book: str


@dataclass(frozen=True, slots=True)
class SetRowAside:
    """Let nothing wait any more for a row of an exchange's executions that cannot be read.

    ``row`` is its number there, or its list and number as ``list/number`` where two rows have one number; ``moved`` is
    what it did, as looked up there. One that is set aside may be named again, with what it did.
    """

    book: str
    row: str
    moved: tuple[Moved, ...] = ()


CommandBody = (
    EmergencyStop
    | Rearm
    | SetTrading
    | ClosePosition
    | CancelOrder
    | PlaceOrder
    | AdoptOrder
    | SetStrategy
    | ConfigureStrategy
    | SetAllocation
    | ConfigureRisk
    | SetSpeed
    | InjectFault
    | ArmLive
    | Promote
    | Demote
    | Reconcile
    | SetRowAside
)

REQUIRED_ROLE: dict[type[CommandBody], Role] = {
    EmergencyStop: Role.OPERATOR,
    Rearm: Role.OPERATOR,
    SetTrading: Role.OPERATOR,
    ClosePosition: Role.OPERATOR,
    CancelOrder: Role.OPERATOR,
    PlaceOrder: Role.OPERATOR,
    AdoptOrder: Role.OPERATOR,
    SetStrategy: Role.OPERATOR,
    ConfigureStrategy: Role.OPERATOR,
    SetAllocation: Role.OPERATOR,
    ConfigureRisk: Role.ADMIN,
    SetSpeed: Role.OPERATOR,
    InjectFault: Role.OPERATOR,
    ArmLive: Role.OPERATOR,
    Promote: Role.OPERATOR,
    Demote: Role.OPERATOR,
    Reconcile: Role.OPERATOR,
    SetRowAside: Role.OPERATOR,
}


@dataclass(frozen=True, slots=True)
class Command:
    """A request with its identity: the same ``command_id`` is carried out at most once."""

    command_id: str
    actor: Actor
    at: datetime
    reason: str
    body: CommandBody


class CommandStatus(Enum):
    """Where a command is; UNKNOWN where the engine failed over it and nothing tells whether it was done."""

    PENDING = "pending"
    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a command; ``detail`` says why it was refused or what was done."""

    command_id: str
    status: CommandStatus
    detail: str
