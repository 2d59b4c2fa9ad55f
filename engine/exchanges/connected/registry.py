"""Which orders the gateway knows: by the engine's id, by the exchange's, by their entries and their stops."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from engine.domain.orders import OrderIntent, OrderType
from engine.exchanges.connected.legs import KeptOrder, Leg, engine_id

REMEMBERED = 4000
"""Orders that have ended and are kept to tell late executions and questions about them."""
FOREIGN = 4000
"""Numbers of orders that are not the engine's, kept so that their executions need not be asked about again."""
LOOKED_THROUGH = 64

Lookup = Callable[[str], OrderIntent | None]


class Registry:
    """Orders of one venue; used by the engine's thread alone.

    Parameters
    ----------
    lookup : callable
        The intent behind an engine's id, as the book knows it; for orders of before a restart.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._orders: dict[str, KeptOrder] = {}
        self._open: dict[str, KeptOrder] = {}
        self._by_number: dict[str, str] = {}
        self._foreign: dict[str, str] = {}
        self._children: dict[str, list[str]] = {}
        self._targets: dict[str, str] = {}

    def add(self, intent: OrderIntent) -> KeptOrder:
        """Know an order from now on; the same id again returns the one that is there."""
        known = self._orders.get(intent.client_id)
        if known is not None:
            return known
        order = KeptOrder(intent, intent.quantity, intent.stop_price, intent.created_at)
        self._orders[intent.client_id] = self._open[intent.client_id] = order
        if intent.adopted is not None:
            leg = order.adopt_leg(intent.client_id, is_stop=intent.order_type is OrderType.STOP)
            leg.venue_order_id = intent.adopted
            self.note(order, leg)
        if intent.parent_id is not None:
            self._children.setdefault(intent.parent_id, []).append(intent.client_id)
        if intent.pair_id is not None:
            self._targets[intent.pair_id] = intent.client_id
        self._forget()
        return order

    def drop(self, order: KeptOrder) -> None:
        """Forget an order that was proven never to have existed."""
        self._remove(order)

    def known(self, client_id: str) -> KeptOrder | None:
        """An order this gateway has seen; None for one of before a restart."""
        return self._orders.get(client_id)

    def get(self, client_id: str) -> KeptOrder | None:
        """The order, taken over from the book where this gateway has not seen it yet; None where nobody knows it."""
        order = self._orders.get(client_id)
        if order is not None:
            return order
        intent = self._lookup(client_id)
        if intent is None:
            return None
        order = self.add(intent)
        order.sought = intent.adopted is not None  # the trader's own has one leg, under its own number
        return order

    def named(self, exchange_id: str) -> tuple[KeptOrder, Leg] | None:
        """The order and leg behind a client id at the exchange; None where it is not the engine's."""
        order = self.get(engine_id(exchange_id))
        if order is None:
            return None
        return order, order.adopt_leg(exchange_id, is_stop=order.intent.order_type is OrderType.STOP)

    def note(self, order: KeptOrder, leg: Leg) -> None:
        """Remember under which numbers of the exchange a leg goes."""
        for number in (leg.venue_order_id, leg.traded_as):
            if number is not None:
                self._by_number[number] = leg.exchange_id

    def own(self, number: str, exchange_id: str) -> None:
        """Remember whose a number of the exchange is that no leg of the engine's goes under; the newest of them."""
        self._foreign.pop(number, None)
        self._foreign[number] = exchange_id
        if len(self._foreign) > FOREIGN:
            del self._foreign[next(iter(self._foreign))]

    def owner(self, number: str) -> str | None:
        """Client id at the exchange of the order with that number; None where it is not known."""
        return self._by_number.get(number) or self._foreign.get(number)

    def adopted(self, number: str) -> str | None:
        """Client id of an order of the trader's that was taken over under its number; None where it was not."""
        order = self.get(number)
        return None if order is None or order.intent.adopted is None else number

    def children(self, parent_id: str) -> list[KeptOrder]:
        """The orders that wait for, or belong to, an entry."""
        return [self._orders[child] for child in self._children.get(parent_id, ()) if child in self._orders]

    def target_of(self, stop: KeptOrder) -> KeptOrder | None:
        """The take-profit paired with a stop."""
        return self._orders.get(self._targets.get(stop.client_id, ""))

    def stop_of(self, target: KeptOrder) -> KeptOrder | None:
        """The stop a take-profit is paired with."""
        return self.get(target.intent.pair_id) if target.intent.pair_id is not None else None

    def open(self) -> Iterator[KeptOrder]:
        """Orders that may still fill, in the order they came."""
        return (order for order in list(self._open.values()) if not order.is_over)

    def __iter__(self) -> Iterator[KeptOrder]:
        return iter(list(self._orders.values()))

    def _forget(self) -> None:
        """Look through few orders often: those that have ended are put aside once there are some."""
        if len(self._open) > LOOKED_THROUGH:
            self._open = {client_id: order for client_id, order in self._open.items() if not order.is_over}
        if len(self._orders) <= REMEMBERED:
            return
        gone = next((order for order in self._orders.values() if order.is_over), None)
        if gone is not None:
            self._remove(gone)

    def _remove(self, order: KeptOrder) -> None:
        self._orders.pop(order.client_id, None)
        self._open.pop(order.client_id, None)
        self._children.pop(order.client_id, None)
        siblings = self._children.get(order.intent.parent_id or "", [])
        if order.client_id in siblings:  # a long-held position's stops may be replaced without end
            siblings.remove(order.client_id)
            if not siblings:
                del self._children[order.intent.parent_id or ""]
        if order.intent.pair_id is not None and self._targets.get(order.intent.pair_id) == order.client_id:
            del self._targets[order.intent.pair_id]
        for leg in order.legs:
            for number in (leg.venue_order_id, leg.traded_as):
                self._by_number.pop(number or "", None)
