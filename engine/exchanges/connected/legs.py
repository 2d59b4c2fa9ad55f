"""An order as the engine knows it, and the orders at the exchange that stand for it, one after the other.

An exchange that cannot change an order gets another one in its place; a child sleeps until its entry fills. The engine
sees one order under one id all the while: what its legs have filled adds up, and it works while one of them does or
while the gateway keeps it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from engine.domain.orders import OrderIntent, OrderState, OrderUpdate
from engine.exchanges.connected.reading import Report

NONE = Decimal(0)
KEPT = "kept by the engine until its entry fills"
WATCHED = "kept by the engine until the market is there"
_LATER_LEG = re.compile(r"([0-9a-f]{24})1e6([0-9a-f]{5})")
_ID_LENGTH = 18
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def leg_id(client_id: str, number: int) -> str:
    """Client id at the exchange of the leg with that number; the first has the engine's own.

    Later ones are 32 hexadecimal digits, the longest form that every exchange takes: the engine's id as a number, a
    mark, and the leg's number.

    >>> leg_id("d1x7k2p00030000001", 0), leg_id("d1x7k2p00030000001", 2)
    ('d1x7k2p00030000001', '0c159e0bc2a81aa09adac0011e600002')
    """
    return client_id if number == 0 else f"{int(client_id, 36):024x}1e6{number:05x}"


def engine_id(exchange_id: str) -> str:
    """The engine's id behind a client id at the exchange; ids of others stay what they are.

    >>> engine_id(leg_id("d1x7k2p00030000001", 2)), engine_id("my own order")
    ('d1x7k2p00030000001', 'my own order')
    """
    match = _LATER_LEG.fullmatch(exchange_id)
    if match is None:
        return exchange_id
    rest, text = int(match[1], 16), ""
    while rest:
        rest, digit = divmod(rest, 36)
        text = _DIGITS[digit] + text
    return text.rjust(_ID_LENGTH, "0")


def leg_number(exchange_id: str) -> int:
    """Which leg a client id at the exchange names.

    >>> leg_number(leg_id("d1x7k2p00030000001", 2)), leg_number("d1x7k2p00030000001")
    (2, 0)
    """
    match = _LATER_LEG.fullmatch(exchange_id)
    return int(match[2], 16) if match else 0


@dataclass(slots=True)
class Leg:
    """One order at the exchange; ``quantity`` and ``filled`` in base.

    ``is_stop`` tells that it was placed to wait for a price, ``waits`` that none has reached it as far as known;
    ``booked`` sums the executions seen, ``noted`` is the part of them that the known position holds. ``changed_at`` is
    when (the exchange's time) it last agreed to another quantity or stop; None where it never did.
    """

    exchange_id: str
    quantity: Decimal
    is_stop: bool = False
    waits: bool = False
    state: OrderState = OrderState.SENT
    filled: Decimal = NONE
    booked: Decimal = NONE
    noted: Decimal = NONE
    venue_order_id: str | None = None
    traded_as: str | None = None
    trades: set[str] = field(default_factory=set)
    changed_at: datetime | None = None

    @property
    def is_over(self) -> bool:
        """Whether the exchange has ended it."""
        return self.state.is_final

    @property
    def done(self) -> Decimal:
        """Executed so far as far as known, base."""
        return max(self.filled, self.booked)

    def hear(self, report: Report) -> None:
        """Take over what the exchange says; a late report never revives it nor takes back what it filled."""
        self.venue_order_id = report.venue_order_id
        self.traded_as = report.traded_as or self.traded_as
        self.filled = max(self.filled, report.filled)
        if report.quantity is not None and not self.is_over:
            self.quantity = report.quantity
        if report.state is not None and not self.is_over:
            self.state = report.state
        elif report.state is None and self.state in (OrderState.SENT, OrderState.UNKNOWN):
            self.state = OrderState.WORKING
        if self.state is OrderState.PARTIAL or (self.done and not self.is_over):
            self.waits = False

    def sized_since(self, report: Report) -> Report:
        """A report that came by itself, without the quantity and stop that were changed after it was made."""
        if self.changed_at is None or report.at >= self.changed_at:
            return report
        return replace(report, quantity=None, stop_price=None)

    def book(self, number: str, quantity: Decimal) -> None:
        """Count an execution once."""
        if number not in self.trades:
            self.trades.add(number)
            self.booked += quantity
            if self.booked >= self.quantity > 0 and not self.is_over:
                self.state = OrderState.FILLED


@dataclass(slots=True)
class KeptOrder:
    """An order of the engine with its legs.

    ``quantity`` and ``stop_price`` are as last agreed; ``resized`` tells that the quantity is no longer the one asked
    for. ``sleeps`` is True while the gateway keeps it without a leg, ``grows`` while its entry may bring more than its
    legs were made for; ``ended`` is its end where no leg tells it.
    ``fees`` (base) is what its executions took of the coin itself, ``passed_on`` what its partner has lost to it.
    ``asked`` is the quantity of a change that brought no answer; ``adopted`` tells that it was found after a restart
    and its size is still to be taken over from the exchange. ``sought`` is False for an order of before a restart until
    it was looked for whole: what is told of one leg is then not yet what became of the order.
    """

    intent: OrderIntent
    quantity: Decimal
    stop_price: Decimal | None
    at: datetime
    legs: list[Leg] = field(default_factory=list)
    sleeps: bool = False
    grows: bool = False
    resized: bool = False
    ended: OrderState | None = None
    reason: str = ""
    fees: Decimal = NONE
    passed_on: Decimal = NONE
    lost: int = 0
    asked: Decimal | None = None
    adopted: bool = False
    sought: bool = True

    @property
    def client_id(self) -> str:
        """The engine's id."""
        return self.intent.client_id

    @property
    def leg(self) -> Leg | None:
        """The leg that may still fill; None where there is none."""
        return next((leg for leg in reversed(self.legs) if not leg.is_over), None)

    @property
    def filled(self) -> Decimal:
        """Executed over all legs, base."""
        return sum((leg.done for leg in self.legs), NONE)

    @property
    def remaining(self) -> Decimal:
        """Base quantity still to be done, never negative."""
        return max(NONE, self.quantity - self.filled)

    @property
    def state(self) -> OrderState:
        """State of the whole, judged by what was filled."""
        may_fill_more = any(not leg.is_over and leg.quantity > leg.done for leg in self.legs)
        if self.quantity and self.filled >= self.quantity and not may_fill_more:
            return OrderState.FILLED
        if self.ended is not None:
            return OrderState.CANCELLED if self.filled and self.ended is OrderState.REJECTED else self.ended
        leg = self.leg
        if leg is not None and leg.state not in (OrderState.WORKING, OrderState.PARTIAL):
            return leg.state
        if leg is not None or self.sleeps:
            return OrderState.PARTIAL if self.filled else OrderState.WORKING
        last = self.legs[-1].state if self.legs and self.sought else OrderState.UNKNOWN
        if last is OrderState.FILLED and self.grows:
            return OrderState.PARTIAL
        if last is OrderState.FILLED or (last is OrderState.REJECTED and self.filled):
            return OrderState.CANCELLED
        return last

    @property
    def is_over(self) -> bool:
        """Whether nothing can come of it any more."""
        return self.state.is_final and self.leg is None

    @property
    def is_waiting(self) -> bool:
        """Whether it is a stop that no price has reached, or sleeps."""
        leg = self.leg
        return self.sleeps if leg is None else leg.waits

    def new_leg(self, quantity: Decimal, *, waits: bool) -> Leg:
        """The next order that stands for this one."""
        leg = Leg(leg_id(self.client_id, len(self.legs) + self.lost), quantity, waits, waits)
        self.legs.append(leg)
        self.sleeps = False
        return leg

    def adopt_leg(self, exchange_id: str, *, is_stop: bool) -> Leg:
        """A leg that the exchange told of after a restart; the same one again is the one that is there."""
        for leg in self.legs:
            if leg.exchange_id == exchange_id:
                return leg
        leg = Leg(exchange_id, NONE, is_stop, is_stop)
        self.legs.append(leg)
        self.legs.sort(key=lambda each: leg_number(each.exchange_id))
        self.lost = max(self.lost, leg_number(exchange_id) + 1 - len(self.legs))
        self.sleeps, self.adopted = False, True
        return leg

    def drop_leg(self, leg: Leg) -> None:
        """Forget a leg that was proven never to have existed; its id is not used again."""
        self.legs.remove(leg)
        self.lost += 1

    def learn(self, leg: Leg, *, may_grow: bool) -> None:
        """The exchange has told the newest leg's quantity: where it is the one last asked for, that change was carried
        out; one found after a restart may have been cut, which is final where its entry is not known to work. An order
        of the trader's that was taken over has the size he gives it at the exchange, also afterwards.
        """
        total = self.filled - leg.done + leg.quantity
        is_his = self.intent.adopted is not None and total != self.quantity
        if is_his or self.asked == total or (self.adopted and not may_grow and total < self.quantity):
            self.quantity, self.resized, self.asked = total, True, None
        self.adopted = False

    def end(self, state: OrderState, reason: str) -> None:
        """End it where no leg works."""
        if not self.is_over:
            self.ended, self.reason = state, reason
        self.sleeps = False

    def update(self, venue: str) -> OrderUpdate:
        """What the core is told."""
        leg = self.leg or (self.legs[-1] if self.legs else None)
        return OrderUpdate(
            self.client_id,
            venue,
            self.intent.instrument,
            self.state,
            self.filled,
            self.at,
            leg.venue_order_id if leg is not None else None,
            self.quantity if self.resized else None,
            self.stop_price,
            self.reason,
        )
