"""Orders without proof, and all others in turn: what the venues say about each, and when silence is an answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from engine.domain.codec import plain
from engine.domain.errors import OrderNotFound, VenueError
from engine.domain.facts import CancelRequest, Fact, Notice, Severity
from engine.domain.instruments import venue_of
from engine.domain.orders import OrderState, OrderUpdate
from engine.domain.portfolio import VenueOrder
from engine.domain.ports import Clock, Connected
from engine.execution.tracker import TrackedOrder
from engine.trading.book import Book
from engine.trading.config import StopScope
from engine.trading.sending import MarketVenue, Sender

CANCEL_AGAIN_S = 2.0
"""Wall seconds before a cancellation that brought no proof is sent once more."""
_UNSENT = (OrderState.INTENT, OrderState.SENT, OrderState.UNKNOWN)


class Taking(Protocol):
    """What is needed of the loop that asks."""

    book: Book
    venues: dict[str, MarketVenue]

    def market_time(self) -> datetime:
        """Market time."""

    def take(self, facts: Iterable[Fact], at: datetime) -> None:
        """Make facts durable and fold them."""

    def send_cancel(self, request: CancelRequest) -> None:
        """Ask for a cancellation."""

    def pull(self) -> None:
        """Book what the venues executed."""

    def tell(self, notice: Notice) -> None:
        """Hand out a notice."""


class Resolver:
    """Asks the venues of one book about its orders.

    Attributes
    ----------
    listed : dict
        By venue: the open orders it last listed, the trader's own included.
    silent : set of str
        Venues that did not list their orders when last asked to.
    """

    def __init__(self, loop: Taking, sender: Sender, clock: Clock) -> None:
        self._loop = loop
        self._book = loop.book
        self._sender = sender
        self._clock = clock
        self._not_found: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._asked_again: dict[str, float] = {}
        self._pull_due = float("-inf")
        self.listed: dict[str, tuple[OrderUpdate, ...]] = {}
        self.silent: set[str] = set()

    def resolve(self, *, everything: bool = False) -> bool:
        """Ask about every order without proof, or about every open one; True when no doubt is left.

        Where a venue lists its open orders, only those missing from the list are asked for one by one. An order that
        is not found twice, `not_found_window_s` apart, was never placed and is ABANDONED, never sent again.
        """
        now, looks = self._clock.monotonic(), self._book.config.looks
        open_ = [o for o in self._book.tracker.open_orders() if not o.is_settled]
        doubtful = [o for o in open_ if everything or o.state in _UNSENT or o.state is OrderState.PENDING_CANCEL]
        ids = {order.intent.client_id for order in doubtful}
        self._asked_again = {client_id: at_s for client_id, at_s in self._asked_again.items() if client_id in ids}
        self._asked = {client_id: at_s for client_id, at_s in self._asked.items() if client_id in ids}
        still = {order.intent.client_id for order in open_}
        self._not_found = {client_id: at_s for client_id, at_s in self._not_found.items() if client_id in still}
        lists = everything and looks.lists_orders
        listed = self._list_all() if lists else {}
        for order in doubtful:
            self._look_at(order, listed, now, everything=everything)
        self._fetch_late_fills(now)
        return not any(o.state in _UNSENT for o in self._book.tracker.open_orders())

    def _list_all(self) -> dict[str, OrderUpdate]:
        """The open orders of every venue that answers, by client id."""
        self.silent.clear()
        found: dict[str, OrderUpdate] = {}
        for name, venue in self._loop.venues.items():
            try:
                self.listed[name] = tuple(venue.open_orders())
            except VenueError as error:
                self.silent.add(name)
                self._sender.failed(name, error, self._loop.market_time())
                continue
            found |= {update.client_id: update for update in self.listed[name]}
            if isinstance(venue, Connected):
                self._import(name, self._book.outside.list_orders(name, venue.foreign_orders()))
        return found

    def _import(self, venue: str, new: Iterable[VenueOrder]) -> None:
        """Tell of the trader's own orders: they count in the risk figures, and are left alone."""
        told = [f"{o.side.value} {plain(o.remaining)} {o.instrument} (order {o.client_id})" for o in new]
        if told:
            key, title = f"{self._book.config.name}:own-orders-{venue}", f"Orders of your own at {venue}"
            spared = self._book.config.stop_scope is StopScope.ENGINE
            never = "never touched, " + ("not by an emergency stop either" if spared else "but by an emergency stop")
            detail = f"{', '.join(told)}: counted in the risk figures, {never}"
            at = self._loop.market_time()
            self._loop.tell(Notice(key, Severity.WARNING, title, detail, self._book.config.name, at))

    def _look_at(self, order: TrackedOrder, listed: Mapping[str, OrderUpdate], now: float, *, everything: bool) -> None:
        client_id, name, at = order.intent.client_id, venue_of(order.intent.instrument), self._loop.market_time()
        if everything and name in self.silent:
            return
        if not everything and now - self._asked.get(client_id, float("-inf")) < self._book.config.looks.ask_again_s:
            return
        self._asked[client_id] = now
        try:
            known = listed.get(client_id) or self._loop.venues[name].order(client_id)
            self._loop.take([known], at)
            self._not_found.pop(client_id, None)
            self._cancel_again(order, now)
        except OrderNotFound:
            first = self._not_found.setdefault(client_id, now)
            is_late = now - first >= self._book.config.not_found_window_s and first != now
            if is_late and self._is_absent(order, name):
                self._not_found.pop(client_id)
                self._loop.take(self._sender.not_found(order, at), at)
        except VenueError as error:
            self._sender.failed(name, error, at)

    def _is_absent(self, order: TrackedOrder, venue: str) -> bool:
        """A second way of asking, where the first has not found an order twice: it neither works nor has executed."""
        if not self._book.config.looks.lists_orders:
            return True
        client_id = order.intent.client_id
        try:
            self._loop.pull()
            listed = {update.client_id for update in self._loop.venues[venue].open_orders()}
        except VenueError:
            return False
        return client_id not in listed and not order.filled

    def _cancel_again(self, order: TrackedOrder, now: float) -> None:
        """A cancellation without proof whose order still works is asked for once more, a little later."""
        client_id = order.intent.client_id
        if order.state is not OrderState.PENDING_CANCEL:
            return
        if now - self._asked_again.setdefault(client_id, now) >= CANCEL_AGAIN_S:
            self._asked_again[client_id] = now
            self._loop.send_cancel(CancelRequest(client_id, "the first request brought no proof"))

    def _fetch_late_fills(self, now: float) -> None:
        """Executions a venue counts and never told: the order has ended, its fills are still to be booked."""
        if now < self._pull_due or not any(o.reported > o.filled for o in self._book.tracker.open_orders()):
            return
        self._pull_due = now + self._book.config.looks.ask_again_s
        with suppress(VenueError):
            self._loop.pull()
