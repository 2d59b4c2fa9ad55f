"""Taking over an order that the trader placed at the exchange himself: managed from then on as an order by hand."""

from __future__ import annotations

from datetime import datetime

from engine.domain.codec import plain
from engine.domain.errors import CommandRefused
from engine.domain.facts import Fact
from engine.domain.orders import OrderIntent, OrderState, OrderType, OrderUpdate, Purpose, Refused
from engine.domain.portfolio import VenueOrder
from engine.trading.book import Book
from engine.trading.by_hand import MANUAL
from engine.trading.exposure import context_for
from engine.trading.ordering import Ordering


def own_order(book: Book, number: str) -> VenueOrder:
    """The trader's own open order of that number of the exchange (or client id), as last listed.

    Raises
    ------
    CommandRefused
        There is none.
    """
    listed = (order for orders in book.outside.orders.values() for order in orders)
    found = next((order for order in listed if number in (order.venue_order_id, order.client_id)), None)
    if found is None:
        raise CommandRefused(f"order {number} is not among your own open orders as they were last listed")
    return found


def adopted(book: Book, order: VenueOrder, at: datetime, by: str) -> tuple[Fact, Fact]:
    """The facts that make an own order one of the manual sleeve; the order itself is neither sent nor changed.

    Raises
    ------
    CommandRefused
        It cannot be managed, or the risk gate would not have let it pass.
    """
    if order.instrument not in book.ledger.instruments:
        raise CommandRefused(f"{order.instrument} is not an instrument of the book {book.config.name}")
    if book.latched:
        raise CommandRefused(f"{book.config.name} is latched ({book.state_reason}); release the stop first")
    if book.ids.owns(order.client_id):
        raise CommandRefused("it was placed in this book's name by another engine, which may manage it; end that first")
    if book.tracker.get(order.client_id) is not None:
        raise CommandRefused(f"another order of that id, {order.client_id}, is or was managed here; cancel it there")
    if book.outside.has_begun(order):
        done = f"{plain(order.filled)} of {plain(order.quantity)}" if order.filled else "part of it"
        raise CommandRefused(
            f"{done} has filled already, and is booked as your own; only a whole order can be taken over"
        )
    if order.order_type is OrderType.MARKET:
        raise CommandRefused("a market order ends by itself; there is nothing to manage")
    intent = _Adopter(book, at).intent_of(order, f"adopted by {by}")
    told = OrderUpdate(
        order.client_id, order.venue, order.instrument, OrderState.WORKING, order.filled, at, order.venue_order_id
    )
    return intent, told


class _Adopter(Ordering):
    def intent_of(self, order: VenueOrder, reason: str) -> OrderIntent:
        """The order as an intent that the gate has approved: counted once, no longer among the trader's own."""
        book, side, key = self._book, order.side, order.instrument
        held = book.ledger.held(MANUAL, key)
        reduces = held * side.sign < 0 and order.quantity <= abs(held)
        purpose = Purpose.EXIT if reduces else Purpose.ENTRY
        intent = OrderIntent(
            client_id=order.client_id,
            instrument=key,
            side=side,
            quantity=order.quantity,
            order_type=order.order_type,
            purpose=purpose,
            sleeve=MANUAL,
            created_at=self._now,
            reference_price=book.price(key)
            or order.limit_price
            or order.stop_price
            or book.ledger.instruments[key].tick_size,
            limit_price=order.limit_price,
            stop_price=order.stop_price,
            reduce_only=order.reduce_only,
            reason=reason,
            adopted=order.venue_order_id,
        )
        own = book.outside.orders
        before, own[order.venue] = own[order.venue], tuple(one for one in own[order.venue] if one is not order)
        verdict = self._gate.check(intent, context_for(book, intent, self._now, self._known_exposures()))
        if isinstance(verdict, Refused):
            own[order.venue] = before
            raise CommandRefused(f"{verdict.rule}: {verdict.detail}")
        return verdict.intent
