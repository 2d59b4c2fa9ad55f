"""An order as the simulated venue keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from engine.domain.orders import OrderIntent, OrderState, OrderType, OrderUpdate

NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Reserve:
    """What a working order holds back: ``per_unit`` of ``currency`` for every unit of base beyond ``exempt``.

    ``exempt`` (base) is the part that reduces a derivative position and needs no margin.
    """

    currency: str
    per_unit: Decimal
    exempt: Decimal = NOTHING

    def amount(self, remaining: Decimal) -> Decimal:
        """Held back for ``remaining`` (base), in ``currency``."""
        return max(remaining - self.exempt, NOTHING) * self.per_unit


@dataclass(slots=True)
class VenueOrder:
    """One order at the venue; only `engine.exchanges.paper.state.VenueState` changes it.

    Attributes
    ----------
    sequence : int
        Order of acceptance, from 1.
    arrives_at : datetime
        Market time of submission plus latency.
    quantity, filled : Decimal
        Base; the quantity may have been amended.
    stop_price : Decimal or None
        Where its stop lies now, quote; it may have been amended.
    triggered : bool
        A STOP that has become a market order.
    bars_waited : int
        Candles that left a market order (or triggered stop) with a rest.
    resized : bool
        Its quantity is not, or was once not, the one asked for.
    held_back : Decimal
        What it holds back now, in the reserve's currency.
    """

    intent: OrderIntent
    venue_order_id: str
    sequence: int
    arrives_at: datetime
    reserve: Reserve
    quantity: Decimal
    at: datetime
    filled: Decimal = NOTHING
    state: OrderState = OrderState.WORKING
    triggered: bool = False
    bars_waited: int = 0
    resized: bool = False
    reason: str = ""
    held_back: Decimal = NOTHING
    stop_price: Decimal | None = None

    @property
    def client_id(self) -> str:
        """The id the engine gave it."""
        return self.intent.client_id

    @property
    def remaining(self) -> Decimal:
        """Not filled yet, base."""
        return self.quantity - self.filled

    @property
    def is_open(self) -> bool:
        """Whether it may still fill."""
        return not self.state.is_final

    @property
    def takes_at_open(self) -> bool:
        """Whether it executes at the next open: a market order or a triggered stop."""
        return self.triggered or self.intent.order_type is OrderType.MARKET

    @property
    def is_protective(self) -> bool:
        """A stop that closes: a child or a reduce-only one."""
        return self.intent.order_type is OrderType.STOP and (
            self.intent.reduce_only or self.intent.parent_id is not None
        )

    def update(self, venue: str) -> OrderUpdate:
        """What the venue says about it; ``quantity`` only where it was changed since."""
        return OrderUpdate(
            self.client_id,
            venue,
            self.intent.instrument,
            self.state,
            self.filled,
            self.at,
            self.venue_order_id,
            self.quantity if self.resized else None,
            self.stop_price,
            self.reason,
        )
