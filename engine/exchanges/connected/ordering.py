"""What the core asks to be done with orders, carried out leg by leg."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal

from engine.domain.errors import OrderNotFound, VenueAmbiguous, VenueError, VenueRejected, VenueUnreachable
from engine.domain.orders import ON_REQUEST, Approved, OrderState, OrderType, OrderUpdate
from engine.exchanges.connected.asking import Parts
from engine.exchanges.connected.children import Children
from engine.exchanges.connected.desk import Desk
from engine.exchanges.connected.finding import Finder, Foreign
from engine.exchanges.connected.legs import KeptOrder, Leg
from engine.exchanges.connected.registry import Registry


@dataclass(frozen=True, slots=True)
class Means:
    """The venue's own parts that orders are carried out with; ``touch`` notes an order of which the core is to hear."""

    name: str
    parts: Parts
    desk: Desk
    registry: Registry
    children: Children
    finder: Finder
    foreign: Foreign
    touch: Callable[[KeptOrder], None]


class Ordering:
    """Submits, cancels, changes and looks up orders of one venue; used by the engine's thread alone."""

    def __init__(self, means: Means) -> None:
        self._venue = means.name
        self._parts = means.parts
        self._desk = means.desk
        self._registry = means.registry
        self._children = means.children
        self._finder = means.finder
        self._foreign = means.foreign
        self._touch = means.touch

    def submit(self, approved: Approved) -> OrderUpdate:
        """Place the order under its client id; the same id again is never sent twice.

        Raises
        ------
        VenueRejected
            It does not exist; the exchange's words.
        VenueUnreachable
            It was not sent.
        VenueAmbiguous
            It was sent; it may exist.
        """
        intent = approved.intent
        known = self._registry.known(intent.client_id)
        if known is not None:
            return self.order(intent.client_id)
        order = self._registry.add(intent)
        try:
            if intent.parent_id is not None or intent.pair_id is not None:
                self._look_at_parent(intent.parent_id)
                self._children.take(order)
            else:
                self._desk.place(order, order.quantity)
        except (VenueRejected, VenueUnreachable):
            self._registry.drop(order)
            raise
        return self._told(order)

    def _look_at_parent(self, parent_id: str | None) -> None:
        """A market entry has mostly filled before its stop is sent: ask, so that the stop goes out with it."""
        parent = self._registry.known(parent_id or "")
        if parent is None or parent.leg is None or parent.intent.order_type is not OrderType.MARKET:
            return
        with suppress(VenueError):
            self._desk.refresh(parent, parent.leg)
            self._touch(parent)
            self._children.after(parent)

    def cancel(self, client_id: str) -> OrderUpdate:
        """Ask for cancellation; the returned state is the exchange's evidence. Raises as `amend`."""
        order = self._registry.get(client_id)
        if order is None:
            return self._foreign.cancel(client_id)
        if not order.sought:
            self._finder.find(order)
        for leg in [leg for leg in order.legs if not leg.is_over]:
            self._desk.cancel(order, leg)
        if order.leg is None and order.sleeps:
            order.end(OrderState.CANCELLED, ON_REQUEST)
        self._children.after(order)
        target = self._registry.target_of(order)
        if order.is_over and target is not None and target.leg is not None:
            raise VenueAmbiguous(f"{client_id} has ended, but its target {target.client_id} may still fill")
        return self._told(order)

    def amend(self, client_id: str, quantity: Decimal | None = None, stop_price: Decimal | None = None) -> OrderUpdate:
        """Change a resting order's quantity (base) or the price of its stop (quote); None leaves it as it is.

        Where the exchange cannot change an order, a new one is accepted before the old one ends (perpetuals), or sent
        once the old one is proven to have ended (spot, where coins can be promised once). An order whose replacement
        was refused then is told as CANCELLED, one whose replacement got no answer as UNKNOWN.

        Raises
        ------
        VenueRejected, VenueUnreachable, OrderNotFound
            It works on as it was.
        VenueAmbiguous
            It is not known how it works on.
        """
        order = self._registry.get(client_id)
        if order is None:
            raise OrderNotFound(f"{self._venue} has no order {client_id!r} that is known here")
        if not order.sought:
            self._finder.find(order)
        if order.is_over or (quantity is None and not order.is_waiting):
            return self._amended_late(order, quantity)
        size = None if quantity is None else self._lots(order, quantity)
        if order.leg is None:
            order.stop_price = stop_price or order.stop_price
        else:
            order.asked = size
            self._change_leg(order, order.leg, size, stop_price)
            order.asked = None
        if size is not None and not order.is_over:
            order.quantity, order.resized = size, True
        with suppress(VenueError):  # else at the next look
            self._desk.settle(order)
        self._children.after(order)
        return self._told(order)

    def _change_leg(self, order: KeptOrder, leg: Leg, size: Decimal | None, stop_price: Decimal | None) -> None:
        """Bring the working leg in line; one that has filled the new quantity already ends."""
        if size is not None and size <= order.filled:
            self._desk.cancel(order, leg)
            return
        total = leg.quantity if size is None else size - (order.filled - leg.done)
        if order.intent.parent_id is not None and leg.quantity < order.quantity:
            total = min(total, leg.quantity)  # its entry has not filled more yet
        self._desk.change(order, leg, total, stop_price)

    def _amended_late(self, order: KeptOrder, quantity: Decimal | None) -> OrderUpdate:
        if quantity is not None and order.is_over:
            raise VenueRejected(f"{order.client_id} has ended: {order.state.value}, its quantity cannot be changed")
        return self._told(order)

    def _lots(self, order: KeptOrder, quantity: Decimal) -> Decimal:
        listed = self._parts.listed.get(order.intent.instrument)
        return quantity if listed is None else listed.instrument.round_quantity(quantity)

    def order(self, client_id: str) -> OrderUpdate:
        """State of one order, as the exchange says now. Raises `OrderNotFound`, `VenueUnreachable`."""
        order = self._registry.get(client_id)
        if order is None:
            raise OrderNotFound(f"{self._venue} has no order {client_id!r} that is known here")
        self._finder.look(order)
        with suppress(VenueError):
            self._desk.settle(order)
        self._children.after(order)
        return self._told(order)

    def _told(self, order: KeptOrder) -> OrderUpdate:
        return order.update(self._venue)
