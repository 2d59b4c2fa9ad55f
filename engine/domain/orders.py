"""Orders and fills: what was wished, what may be sent, what the venue answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum

from engine.domain.instruments import InstrumentKey


class Side(Enum):
    """Direction of an order or fill."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """The side that undoes this one."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(Enum):
    """How the venue executes the order; STOP becomes a market order at its trigger."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"


class Purpose(Enum):
    """Why the engine wants the order; only ENTRY adds risk."""

    ENTRY = "entry"
    EXIT = "exit"
    STOP = "stop"
    TARGET = "target"
    FLATTEN = "flatten"


class OrderState(Enum):
    """Life of an order; the table of moves is in `engine.execution.states`."""

    INTENT = "intent"
    SENT = "sent"
    WORKING = "working"
    PARTIAL = "partial"
    PENDING_CANCEL = "pending_cancel"
    UNKNOWN = "unknown"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    ABANDONED = "abandoned"

    @property
    def is_final(self) -> bool:
        """Whether the venue's evidence has ended the order."""
        return self in _FINAL


# A tuple, not a set: an Enum is found in it by identity, without the cost of hashing it.
_FINAL = (OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.ABANDONED)


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """A wished order, complete and rounded, before the gate has seen it.

    Attributes
    ----------
    client_id : str
        At most 18 characters of ``0-9a-z``: book, lease epoch, sequence; never reused.
    instrument : InstrumentKey
    side : Side
    quantity : Decimal
        Base, positive, a whole number of lots.
    order_type : OrderType
    purpose : Purpose
    sleeve : str
        Strategy name, or ``manual``, ``hedge``, ``external``.
    created_at : datetime
        Market time of the decision.
    reference_price : Decimal
        Quote; the price the decision was made at (last mid or close).
    limit_price, stop_price : Decimal or None
        Quote, on the tick; set for LIMIT and STOP.
    reduce_only : bool
        Never opens or turns a position.
    parent_id : str or None
        For a protective stop or target: the entry it belongs to. The venue keeps it dormant until the parent fills and
        covers just the filled quantity.
    reason : str
        One line a trader understands.
    pair_id : str or None
        For a target: the stop that covers the same quantity. The two are one at the venue (one cancels the other): they
        hold coins back once, what the target fills its stop loses, and where the stop triggers or ends, or becomes
        smaller, so does its target.
    trail_distance : Decimal or None
        For a stop that follows the market: quote, positive; how far it stays behind the best price. The engine moves
        it, at closes; the venue does not.
    basket_id : str or None
        The basket it is a leg of, or repairs: whose unwind rule, decided before, takes the place of a stop.
    post_only : bool
        For a limit: it is made to wait; where it would take at once, the venue ends it with nothing filled.
    adopted : str or None
        The exchange's number of an order that the trader placed there himself and had the engine take over.
    """

    client_id: str
    instrument: InstrumentKey
    side: Side
    quantity: Decimal
    order_type: OrderType
    purpose: Purpose
    sleeve: str
    created_at: datetime
    reference_price: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    reduce_only: bool = False
    parent_id: str | None = None
    reason: str = ""
    pair_id: str | None = None
    trail_distance: Decimal | None = None
    basket_id: str | None = None
    post_only: bool = False
    adopted: str | None = None


@dataclass(frozen=True, slots=True)
class Approved:
    """An intent that passed every rule. Only `engine.risk.gate.Gate` makes one; only this can be submitted."""

    intent: OrderIntent


@dataclass(frozen=True, slots=True)
class Refused:
    """An intent (or idea) a rule stopped: the rule, the value and the limit, in words a trader understands."""

    instrument: InstrumentKey
    sleeve: str
    side: Side | None
    quantity: Decimal
    rule: str
    value: str
    limit: str
    detail: str
    at: datetime


ON_REQUEST = "cancelled on request"
"""Reason of a cancellation that the engine had asked for: its own doing is no failure of a venue."""


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """What a venue said about an order: ``filled`` cumulative in base, ``quantity`` only where the venue changed it.

    ``stop_price`` is where the stop lies now, quote; None where the report does not say.
    """

    client_id: str
    venue: str
    instrument: InstrumentKey
    state: OrderState
    filled: Decimal
    at: datetime
    venue_order_id: str | None = None
    quantity: Decimal | None = None
    stop_price: Decimal | None = None
    reason: str = ""


class Liquidity(Enum):
    """Whether the fill took or made the price."""

    MAKER = "maker"
    TAKER = "taker"


class FillCause(Enum):
    """Why an execution happened: because an order met another, or because the venue made it happen."""

    TRADE = "trade"
    LIQUIDATION = "liquidation"
    DELEVERAGING = "automatic deleveraging"
    SETTLEMENT = "settlement"


@dataclass(frozen=True, slots=True)
class Fill:
    """An execution; the only thing that moves a position. Unique by `identity`: some venues number the trades of every
    symbol on their own.

    ``fee`` is positive when paid, in ``fee_currency``; ``price`` in quote; ``quantity`` in base, positive. What the
    venue itself did to a position, without an order of anybody's, says so in ``cause``.
    """

    venue: str
    account: str
    trade_id: str
    client_id: str
    venue_order_id: str
    instrument: InstrumentKey
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    liquidity: Liquidity
    at: datetime
    cause: FillCause = FillCause.TRADE

    @property
    def identity(self) -> tuple[str, str, InstrumentKey, str]:
        """Venue, account, instrument and trade number: two reports that share it are one execution."""
        return self.venue, self.account, self.instrument, self.trade_id


@dataclass(frozen=True, slots=True)
class FundingPaid:
    """Funding booked by a venue: ``amount`` in ``currency``, positive when received."""

    venue: str
    account: str
    payment_id: str
    instrument: InstrumentKey
    rate: Decimal
    mark: Decimal
    amount: Decimal
    currency: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CashFlow:
    """Capital given to (positive) or taken from (negative) a book's account at a venue.

    ``own`` is what the trader moved beside the book's capital: deposits, withdrawals, transfers that the venue tells.
    """

    venue: str
    flow_id: str
    currency: str
    amount: Decimal
    at: datetime
    reason: str
    own: bool = False
