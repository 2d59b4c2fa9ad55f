"""Orders, fills and refusals as the stand-in exchange keeps them, before any exchange's own wording."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

from .amounts import ZERO
from .instruments import Instrument


class State(Enum):
    """Where an order is; WAITING is a stop that has not been triggered."""

    WAITING = "waiting"
    WORKING = "working"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


class Why(Enum):
    """Why something was refused; each exchange has its own code and words for it."""

    DUPLICATE = "duplicate client id"
    FUNDS = "not enough balance"
    NOTIONAL = "value below the minimum"
    QUANTITY = "quantity outside the bounds"
    TICK = "price is no multiple of the tick"
    LOT = "quantity is no multiple of the lot"
    NOT_FOUND = "no such order"
    FINISHED = "order is finished"
    NO_POSITION = "reduce-only without a position"
    SYMBOL = "unknown symbol"
    HALTED = "symbol is not trading"
    TRIGGERED = "would trigger at once"
    TAKES = "post-only would take"
    PARAMETER = "parameter missing or wrong"
    UNCHANGED = "nothing changed"


class Refused(Exception):
    """A request that changed nothing."""

    def __init__(self, why: Why, detail: str = "") -> None:
        super().__init__(detail or why.value)
        self.why = why
        self.detail = detail or why.value


@dataclass(slots=True)
class Wish:
    """An order as it was asked for.

    ``quote_quantity`` is the value to spend where the quantity in base is not given. ``rises`` tells whether the
    trigger waits for a higher price; None lets the present price decide. ``locks`` tells whether a waiting order
    reserves balance. ``origin`` is "api", "hand" (the trader's own order) or "venue" (liquidation).
    """

    instrument: Instrument
    side: str
    market: bool
    quantity: Decimal
    client_id: str = ""
    price: Decimal | None = None
    time_in_force: str = "GTC"
    reduce_only: bool = False
    trigger: Decimal | None = None
    rises: bool | None = None
    quote_quantity: Decimal | None = None
    locks: bool = True
    origin: str = "api"
    kind: str = ""


@dataclass(slots=True)
class Fill:
    """An execution; ``kind`` is Trade, BustTrade or Funding."""

    trade_id: str
    number: int
    order: Order
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_coin: str
    maker: bool
    at_ms: int
    realised: Decimal = ZERO
    kind: str = "Trade"
    left: Decimal = ZERO


@dataclass(slots=True)
class Order:
    """An accepted order; ``cost`` is the value filled."""

    id: str
    number: int
    wish: Wish
    created_ms: int
    updated_ms: int
    state: State = State.WORKING
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    fees: dict[str, Decimal] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    triggered: bool = False
    ending: str = ""
    last_price: Decimal = ZERO

    @property
    def instrument(self) -> Instrument:
        return self.wish.instrument

    @property
    def client_id(self) -> str:
        return self.wish.client_id

    @property
    def left(self) -> Decimal:
        """What is still to be filled."""
        return self.wish.quantity - self.filled

    @property
    def open(self) -> bool:
        return self.state in (State.WAITING, State.WORKING)

    @property
    def average(self) -> Decimal | None:
        return self.cost / self.filled if self.filled else None

    @property
    def is_stop(self) -> bool:
        return self.wish.trigger is not None


@dataclass(slots=True)
class Position:
    """A linear position: signed quantity and signed cost; average entry is cost over quantity."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    leverage: Decimal = Decimal(10)
    realised: Decimal = ZERO
    opened_ms: int = 0
    updated_ms: int = 0

    @property
    def entry(self) -> Decimal:
        return self.cost / self.quantity if self.quantity else ZERO


@dataclass(slots=True)
class Entry:
    """A change of a coin's balance with its reason."""

    number: int
    at_ms: int
    kind: str
    coin: str
    change: Decimal
    balance: Decimal
    instrument: Instrument | None = None
    fill: Fill | None = None
    funding: Decimal = ZERO
    rate: Decimal = ZERO
    mark: Decimal = ZERO
    quantity: Decimal = ZERO
