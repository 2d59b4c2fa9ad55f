"""Every order of a book from intent to settled end, and which executions were already booked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from engine.domain.instruments import InstrumentKey
from engine.domain.orders import Fill, OrderIntent, OrderState, OrderUpdate, Purpose, Side
from engine.execution.states import advance

ZERO = Decimal(0)
KEEP_ENDED = 1000


@dataclass(frozen=True, slots=True)
class RefusedMove:
    """How often in a row a venue has refused to move a stop, when it did last (market time), and why."""

    times: int
    at: datetime
    reason: str


@dataclass(slots=True)
class TrackedOrder:
    """An order as the engine believes it.

    ``filled`` sums the booked fills, ``reported`` is the venue's own figure, ``told`` the last report as it came.
    ``stop_price`` is where the stop lies now, quote; it moves where the stop trails. ``asked_price`` is where it was
    asked to lie without an answer, ``refused_move`` what the venue said when it would not move it. ``reason`` is the
    last one that was told with a report. No checkpoint keeps these three.
    """

    intent: OrderIntent
    state: OrderState = OrderState.INTENT
    quantity: Decimal = ZERO
    filled: Decimal = ZERO
    reported: Decimal = ZERO
    venue_order_id: str | None = None
    updated_at: datetime | None = None
    trade_ids: set[str] = field(default_factory=set)
    told: tuple[OrderState, Decimal] | None = None
    stop_price: Decimal | None = None
    asked_price: Decimal | None = None
    refused_move: RefusedMove | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        self.quantity = self.quantity or self.intent.quantity
        self.stop_price = self.stop_price or self.intent.stop_price

    @property
    def is_moved(self) -> bool:
        """Whether its stop no longer lies where it was first set."""
        return self.stop_price != self.intent.stop_price

    def not_behind(self, price: Decimal) -> Decimal:
        """``price`` (quote) or, where it is nearer to the market, the one last asked for without an answer: the stop
        may lie there by now, and never moves back.
        """
        if self.asked_price is None:
            return price
        return max(price, self.asked_price) if self.intent.side is Side.SELL else min(price, self.asked_price)

    @property
    def remaining(self) -> Decimal:
        """Base quantity that may still fill, never negative."""
        return ZERO if self.state.is_final else max(ZERO, self.quantity - self.filled)

    @property
    def is_settled(self) -> bool:
        """Ended, with every fill the venue reported booked."""
        return self.state.is_final and self.filled >= self.reported


class Tracker:
    """The orders of one book.

    Ended and settled orders are forgotten after `KEEP_ENDED` further ones: a fill that names a forgotten order of ours
    can only be a repeat, because settled orders have no fills left to come. Only the target of a stop that still works
    is remembered as long as that: it tells why there is none now.
    """

    def __init__(self) -> None:
        self._orders: dict[str, TrackedOrder] = {}
        self._open: dict[str, TrackedOrder] = {}
        self._open_on: dict[InstrumentKey, dict[str, TrackedOrder]] = {}
        self._target_of: dict[str, TrackedOrder] = {}
        self.ignored_reports = 0

    def add(self, intent: OrderIntent) -> TrackedOrder:
        """Track an intent; the same id again returns the order that is there."""
        order = self._orders.get(intent.client_id)
        if order is None:
            order = self._orders[intent.client_id] = TrackedOrder(intent)
            self._hold_open(order)
            if intent.pair_id is not None:
                self._target_of[intent.pair_id] = order
        return order

    def drop(self, client_id: str) -> None:
        """Forget an intent that was never made durable nor sent."""
        assert self._orders[client_id].state is OrderState.INTENT, client_id
        order = self._orders.pop(client_id)
        self._close(order)
        self._target_of.pop(order.intent.pair_id or "", None)

    def get(self, client_id: str) -> TrackedOrder | None:
        """The order of that id, or None."""
        return self._orders.get(client_id)

    def knows(self, update: OrderUpdate) -> bool:
        """Whether a report repeats the last one of its order; reports of forgotten orders are news to nobody.

        What fills alone have taught the engine does not count: the venue's own word is recorded once as well. A report
        that the order has overtaken (open after filled) is no news either.
        """
        order = self._orders.get(update.client_id)
        if order is None:
            return False
        same_size = update.quantity is None or update.quantity == order.quantity
        same_price = update.stop_price is None or update.stop_price == order.stop_price
        named = update.venue_order_id in (None, order.venue_order_id)
        if not (same_size and same_price and named):
            return False
        overtaken = update.state is not order.state and advance(order.state, update.state) is order.state
        return order.told == (update.state, update.filled) or (overtaken and update.filled <= order.reported)

    def apply_update(self, update: OrderUpdate) -> TrackedOrder | None:
        """Advance an order by a venue's report; None where the order is not ours or was forgotten."""
        order = self._orders.get(update.client_id)
        if order is None:
            self.ignored_reports += 1
            return None
        state = advance(order.state, update.state)
        if state is order.state and update.state is not order.state:
            self.ignored_reports += 1
        order.state = state
        order.reported = max(order.reported, update.filled)
        order.told = (update.state, update.filled)
        order.venue_order_id = update.venue_order_id or order.venue_order_id
        order.updated_at = update.at
        order.reason = update.reason or order.reason
        if update.quantity is not None and not state.is_final:
            order.quantity = update.quantity
        if update.stop_price is not None:
            order.stop_price, order.asked_price, order.refused_move = update.stop_price, None, None
        self._file(order)
        return order

    def is_new_fill(self, fill: Fill) -> bool:
        """Whether this execution still has to be booked."""
        order = self._orders.get(fill.client_id)
        return order is not None and _trade_key(fill) not in order.trade_ids

    def apply_fill(self, fill: Fill) -> TrackedOrder | None:
        """Count an execution towards its order."""
        order = self._orders.get(fill.client_id)
        if order is None:
            return None
        order.trade_ids.add(_trade_key(fill))
        order.filled += fill.quantity
        order.reported = max(order.reported, order.filled)
        order.updated_at = fill.at
        if order.filled >= order.quantity:
            order.state = advance(order.state, OrderState.FILLED)
        elif order.state in _PROVEN_BY_A_FILL:
            order.state = advance(order.state, OrderState.PARTIAL)
        self._file(order)
        return order

    def _file(self, order: TrackedOrder) -> None:
        client_id = order.intent.client_id
        if not order.is_settled:
            self._hold_open(order)
            return
        if self._close(order):
            self._orders.pop(client_id)
            self._orders[client_id] = order
        while len(self._orders) - len(self._open) > KEEP_ENDED and self._forget_oldest():
            pass

    def _forget_oldest(self) -> bool:
        """Forget one ended order; False where all are still needed."""
        for client_id, order in self._orders.items():
            stop_id = order.intent.pair_id or ""
            is_latest = self._target_of.get(stop_id) is order
            if client_id in self._open or (is_latest and stop_id in self._open):
                continue
            if is_latest:
                del self._target_of[stop_id]
            del self._orders[client_id]
            return True
        return False

    def _hold_open(self, order: TrackedOrder) -> None:
        client_id, key = order.intent.client_id, order.intent.instrument
        self._open[client_id] = order
        self._open_on.setdefault(key, {})[client_id] = order

    def _close(self, order: TrackedOrder) -> bool:
        """Take an order off the open ones; False where it was not among them."""
        client_id, key = order.intent.client_id, order.intent.instrument
        if self._open.pop(client_id, None) is None:
            return False
        orders = self._open_on[key]
        del orders[client_id]
        if not orders:
            del self._open_on[key]
        return True

    def open_orders(self) -> Iterator[TrackedOrder]:
        """Orders that are not settled, oldest first."""
        return iter(tuple(self._open.values()))

    def open_on(self, key: InstrumentKey) -> Collection[TrackedOrder]:
        """The same on one instrument; to be read at once, not kept."""
        return self._open_on.get(key, _NONE).values()

    def working(self, sleeve: str, key: InstrumentKey) -> Decimal:
        """Signed base that entries and exits may still add to a sleeve (protective stops and targets apart)."""
        total = ZERO
        for order in self.open_on(key):
            intent = order.intent
            if intent.sleeve == sleeve and intent.purpose not in _RESTING:
                total += order.remaining * intent.side.sign
        return total

    def pending_exits(self, key: InstrumentKey, sleeve: str | None = None) -> Decimal:
        """Unsigned base that exits in flight will still take off, or have taken off already without its being booked.

        What a venue has reported as executed is gone, whether its executions have come or not: none may sell it again.
        """
        total = ZERO
        for order in self.open_on(key):
            intent = order.intent
            if sleeve not in (None, intent.sleeve):
                continue
            if order.state.is_final and intent.purpose is not Purpose.ENTRY:
                total += max(ZERO, order.reported - order.filled)
            elif intent.purpose in _EXITS:
                total += order.remaining
        return total

    def stops(self, sleeve: str, key: InstrumentKey) -> list[TrackedOrder]:
        """A sleeve's protective stops that may still trigger, oldest first."""
        return self._protecting(sleeve, key, Purpose.STOP)

    def target_of(self, stop_id: str) -> TrackedOrder | None:
        """The latest take-profit beside a stop, also where it has ended; None where it never had one."""
        return self._target_of.get(stop_id)

    def targets(self, sleeve: str, key: InstrumentKey) -> list[TrackedOrder]:
        """A sleeve's take-profits that may still fill, oldest first."""
        return self._protecting(sleeve, key, Purpose.TARGET)

    def _protecting(self, sleeve: str, key: InstrumentKey, purpose: Purpose) -> list[TrackedOrder]:
        return [
            order
            for order in self.open_on(key)
            if order.intent.purpose is purpose and order.intent.sleeve == sleeve and not order.state.is_final
        ]

    def has_unknown(self, key: InstrumentKey) -> bool:
        """Whether an order on the instrument is neither proven alive nor dead."""
        orders = self._open_on.get(key)
        return orders is not None and any(order.state is OrderState.UNKNOWN for order in orders.values())

    def covered(self, stop: TrackedOrder) -> Decimal:
        """Base quantity a stop protects: a child covers just what its entry filled."""
        parent = self._orders.get(stop.intent.parent_id or "")
        if parent is None or stop.quantity != stop.intent.quantity:
            return stop.remaining
        return min(stop.remaining, parent.filled)

    def state(self) -> list[Any]:
        """JSON values of every order still known."""
        from_codec = [
            [
                o.state.value,
                str(o.quantity),
                str(o.filled),
                str(o.reported),
                o.venue_order_id,
                sorted(o.trade_ids),
                str(o.stop_price) if o.is_moved else None,
            ]
            for o in self._orders.values()
        ]
        return [[i, row] for i, row in zip(self._orders, from_codec, strict=True)]

    def restore(self, intents: Mapping[str, OrderIntent], rows: list[Any]) -> None:
        """Take over a checkpoint; ``intents`` holds the intent of every row. Older rows do not say where stops lie."""
        for client_id, (state, quantity, filled, reported, venue_order_id, trade_ids, *moved_to) in rows:
            order = TrackedOrder(intents[client_id], OrderState(state), Decimal(quantity), Decimal(filled))
            if moved_to and moved_to[0] is not None:
                order.stop_price = Decimal(moved_to[0])
            order.reported, order.venue_order_id, order.trade_ids = Decimal(reported), venue_order_id, set(trade_ids)
            self._orders[client_id] = order
            if order.intent.pair_id is not None:
                self._target_of[order.intent.pair_id] = order
            if not order.is_settled:
                self._hold_open(order)

    def intents(self) -> list[OrderIntent]:
        """The intents of every order still known, in the order of `state`."""
        return [order.intent for order in self._orders.values()]


_NONE: Mapping[str, TrackedOrder] = MappingProxyType({})
# Tuples, not sets: an Enum is found in them by identity, without the cost of hashing it.
_RESTING = (Purpose.STOP, Purpose.TARGET)
_EXITS = (Purpose.EXIT, Purpose.FLATTEN)
_PROVEN_BY_A_FILL = (
    OrderState.INTENT,
    OrderState.SENT,
    OrderState.UNKNOWN,
    OrderState.WORKING,
    OrderState.REJECTED,
    OrderState.ABANDONED,
)
"""What a first execution refutes or overtakes: the order exists, and may fill on."""


def _trade_key(fill: Fill) -> str:
    return f"{fill.venue}|{fill.account}|{fill.trade_id}"


def side_of(quantity: Decimal) -> Side:
    """Side of a signed quantity."""
    return Side.BUY if quantity > 0 else Side.SELL
