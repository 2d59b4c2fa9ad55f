"""Stops and targets that belong to an entry or to each other: asleep until there is something to protect, and one
cancelling the other.

No two exchanges do this alike, so the gateway does it for all of them. On perpetuals a target rests beside its stop; on
spot it is watched for (`engine.exchanges.connected.spot_pairs`).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from engine.domain.errors import VenueAmbiguous, VenueError, VenueRejected
from engine.domain.instruments import InstrumentKey, Kind
from engine.domain.orders import OrderState, OrderType, Side
from engine.exchanges.connected.asking import Parts
from engine.exchanges.connected.desk import Desk
from engine.exchanges.connected.holdings import Holdings
from engine.exchanges.connected.legs import KEPT, WATCHED, KeptOrder
from engine.exchanges.connected.registry import Registry

NONE = Decimal(0)
LEAST_LEFT = Decimal("0.98")
"""A stop is cut to the coins that are left where only so small a share of them is missing: an entry's fee."""


class Children:
    """Keeps dormant orders and pairs of one venue; used by the engine's thread alone.

    Parameters
    ----------
    parts : Parts
    desk : Desk
    registry : Registry
    holdings : Holdings
    touch : callable
        Notes an order of which the core is to hear.
    """

    def __init__(
        self,
        parts: Parts,
        desk: Desk,
        registry: Registry,
        holdings: Holdings,
        touch: Callable[[KeptOrder], None],
    ) -> None:
        self._parts = parts
        self._desk = desk
        self._registry = registry
        self._holdings = holdings
        self._touch = touch

    # -- taking them in -------------------------------------------------------------------------------------------

    def take(self, order: KeptOrder) -> None:
        """Keep a child or a target; it is sent now where there is something to protect already.

        Raises
        ------
        VenueRejected
            Its stop or its entry does not work here.
        VenueUnreachable, VenueAmbiguous
            As for any order that is sent.
        """
        stop = self._registry.stop_of(order)
        if stop is not None and (stop.is_over or not stop.is_waiting):
            raise VenueRejected(f"{order.client_id}: its stop {stop.client_id} does not work here; submit that first")
        order.sleeps, order.reason = True, KEPT
        parent = self._registry.get(order.intent.parent_id or "")
        if parent is not None and parent.is_over and not parent.filled:
            raise VenueRejected(f"{order.client_id}: its entry {parent.client_id} ended with nothing filled")
        order.grows = stop is None and parent is not None and not parent.is_over
        self._arm(order, self._wanted(order))

    def _wanted(self, order: KeptOrder) -> Decimal:
        """Base that the order is to stand for now, what it has filled included."""
        parent = self._registry.get(order.intent.parent_id or "")
        wanted = order.quantity if parent is None else min(order.quantity, self._room(order, parent))
        stop = self._registry.stop_of(order)
        if stop is None:
            return wanted
        if self.is_spot(order.intent.instrument) and order.leg is None:
            return order.filled
        return min(wanted, order.filled + stop.remaining)

    def _room(self, child: KeptOrder, parent: KeptOrder) -> Decimal:
        """Base a child may stand for: what its entry has brought, in whole lots, less what its target has taken."""
        instrument = self._parts.listed[parent.intent.instrument].instrument
        target = self._registry.target_of(child)
        taken = NONE if target is None else target.passed_on
        return max(NONE, instrument.round_quantity(parent.filled - parent.fees) - taken)

    def is_spot(self, key: InstrumentKey) -> bool:
        """Whether coins are held, which can be promised once."""
        return self._parts.listed[key].instrument.kind is Kind.SPOT

    def _arm(self, order: KeptOrder, wanted: Decimal) -> None:
        """Bring the order's leg up, or down, to ``wanted`` (base, total); raises what the exchange says."""
        leg = order.leg
        if leg is not None:
            total = wanted - (order.filled - leg.done)
            if total != leg.quantity and total > leg.done and leg.state in (OrderState.WORKING, OrderState.PARTIAL):
                self._desk.change(order, leg, total, order.stop_price)
        if order.leg is None and wanted > order.filled and (order.sleeps or order.grows):
            self._place(order, wanted - order.filled)
            order.reason = ""

    def _place(self, order: KeptOrder, quantity: Decimal) -> None:
        """Send a leg; where the exchange refuses it because the entry's fee was taken in the coin, what is left."""
        try:
            self._desk.place(order, quantity)
        except VenueRejected:
            left = self._coins_left(order)
            if left is None or not quantity * LEAST_LEFT <= left < quantity:
                raise
            order.sleeps = True
            self._desk.place(order, left)
            self._shrink(order, order.filled + left)

    def _coins_left(self, order: KeptOrder) -> Decimal | None:
        """Whole lots of the coin that are free now; None where the order sells none, or they cannot be asked."""
        instrument = self._parts.listed[order.intent.instrument].instrument
        if instrument.kind is not Kind.SPOT or order.intent.side is not Side.SELL:
            return None
        try:
            coins = self._holdings.balances()
        except VenueError:
            return None
        free = next((each.free for each in coins if each.currency == instrument.base), NONE)
        return instrument.round_quantity(free)

    # -- when something has happened ------------------------------------------------------------------------------

    def after(self, order: KeptOrder) -> None:
        """See to everything that depends on an order of which there is news; never raises for the venue's sake."""
        for child in self._registry.children(order.client_id):
            self._follow_entry(child, order)
        target = self._registry.target_of(order)
        if target is not None:
            self._follow_stop(target, order)
        stop = self._registry.stop_of(order)
        if stop is not None and (order.filled or order.is_over):
            self._follow_target(stop, order)
        if stop is not None and stop.is_over and not order.is_over:
            self.end(order, "its stop has ended")
        if order.filled or (order.legs and not order.is_waiting and order.intent.order_type is OrderType.STOP):
            self.stop_entry(order)

    def _follow_entry(self, child: KeptOrder, parent: KeptOrder) -> None:
        if child.is_over:
            return
        if parent.is_over and not parent.filled:
            self.end(child, "its entry ended with nothing filled")
            return
        if parent.is_over:
            self._shrink(child, max(child.filled, self._room(child, parent)))
        self._try_arm(child)
        child.grows = child.grows and not parent.is_over

    def _follow_stop(self, target: KeptOrder, stop: KeptOrder) -> None:
        if target.is_over:
            return
        if stop.is_over:
            self.end(target, "its stop has ended")
        elif not stop.is_waiting and stop.leg is not None:
            self.end(target, "its stop was triggered")
        else:
            self._shrink(target, target.filled + stop.remaining)
            self._try_arm(target)

    def _follow_target(self, stop: KeptOrder, target: KeptOrder) -> None:
        """A stop loses what its target took; where the target has ended, one that waited goes to the exchange again."""
        self.pass_on(stop, target)
        if stop.is_over:
            return
        if target.is_over and stop.leg is None and stop.reason == WATCHED:
            self.put_back(stop, as_market=False)
        else:
            self._try_arm(stop)

    def pass_on(self, stop: KeptOrder, target: KeptOrder) -> None:
        """Take off a stop what its target has taken since the last time."""
        taken = target.filled - target.passed_on
        if taken <= 0 or stop.is_over:
            return
        target.passed_on = target.filled
        if taken >= stop.remaining:
            self.end(stop, "its target was filled")
        else:
            self._shrink(stop, stop.quantity - taken)

    def stop_entry(self, child: KeptOrder) -> bool:
        """The exit has begun, so the entry stops filling; whether that is proven."""
        parent = self._registry.known(child.intent.parent_id or "")
        if parent is None or parent.leg is None:
            return True
        proven = self._desk.try_cancel(parent, "its exit has begun")
        self._touch(parent)
        for each in self._registry.children(parent.client_id):
            self._follow_entry(each, parent)
        return proven

    def _shrink(self, order: KeptOrder, quantity: Decimal) -> None:
        if quantity < order.quantity:
            order.quantity, order.resized = quantity, True
            self._touch(order)

    def _try_arm(self, order: KeptOrder) -> None:
        """As `_arm`, with every trouble told as the order's own state."""
        if order.is_over or (order.sleeps and order.reason == WATCHED):
            return
        before = (order.leg, order.leg.quantity if order.leg else None)
        try:
            self._arm(order, self._wanted(order))
        except VenueAmbiguous as error:
            order.reason = str(error)
        except VenueRejected as error:
            if order.leg is None:
                order.end(OrderState.REJECTED, str(error))
        except VenueError as error:
            if order.leg is None:
                order.end(OrderState.CANCELLED, f"it could not be placed: {error}")
        if before != (order.leg, order.leg.quantity if order.leg else None) or order.is_over:
            self._touch(order)

    def end(self, order: KeptOrder, reason: str) -> None:
        """End a child or a partner, at the exchange where it is there; one of before a restart once it is found."""
        if not order.sought:
            return
        if order.leg is None or self._desk.try_cancel(order, reason):
            order.end(OrderState.CANCELLED, reason)
        self._touch(order)

    def put_back(self, stop: KeptOrder, *, as_market: bool) -> None:
        """Send a stop that was kept while its target waited; where it cannot be sent, the core is told it ended."""
        if stop.is_over:
            return
        try:
            self._desk.place(stop, stop.remaining, as_market=as_market)
            stop.reason = ""
        except VenueAmbiguous as error:
            stop.reason = str(error)
        except VenueError as error:
            stop.end(OrderState.CANCELLED, f"it could not be placed again: {error}")
        self._touch(stop)
