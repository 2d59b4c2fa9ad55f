"""A real exchange as one book uses it: the same orders, evidence and accounts as the simulated one gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from threading import Event
from typing import Any

from engine.domain.errors import OrderNotFound, VenueAmbiguous, VenueError, VenueRejected, VenueUnreachable
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.market import MarketEvent, from_ms, to_ms
from engine.domain.orders import ON_REQUEST, Approved, Fill, FundingPaid, OrderState, OrderType, OrderUpdate
from engine.domain.portfolio import Balance, VenuePosition
from engine.domain.ports import Clock
from engine.exchanges.connected.asking import Asker, Asks, Parts
from engine.exchanges.connected.children import Children
from engine.exchanges.connected.desk import Desk
from engine.exchanges.connected.dialects import VenueRow
from engine.exchanges.connected.executions import Executions
from engine.exchanges.connected.finding import Finder, Foreign
from engine.exchanges.connected.hearing import Hearing
from engine.exchanges.connected.holdings import Holdings
from engine.exchanges.connected.inbox import HeardOrder, HeardTrade, Inbox, Message, News
from engine.exchanges.connected.legs import KeptOrder
from engine.exchanges.connected.placing import Listed
from engine.exchanges.connected.reading import Reader, Report, Trade
from engine.exchanges.connected.registry import Lookup, Registry

LOOK_AGAIN_S = 1.0
"""Wall seconds between two looks at an entry whose stop waits for it."""


class ConnectedVenue:
    """`Gateway` over a line to an exchange; every method but `hear_order` and `hear_trade` is the engine's thread's.

    Parameters
    ----------
    row : VenueRow
    line : Line
    listed : sequence of Listed
        What is traded.
    clock : Clock
    lookup : callable
        The intent behind a client id as the book knows it, None where it does not; for orders of before a restart.
    name : str
        Name in instrument keys; "" is the row's.
    """

    def __init__(
        self, row: VenueRow, line: Asks, listed: Sequence[Listed], clock: Clock, lookup: Lookup, name: str = ""
    ) -> None:
        self._venue = name or row.name
        self._clock = clock
        self._line = line
        self._reader = Reader(self._venue, row.dialect, self._now)
        self._parts = Parts(row, line, self._reader, {each.instrument.key: each for each in listed})
        self._inbox = Inbox()
        self._registry = Registry(lookup)
        self._asker = Asker(self._parts)
        self._holdings = Holdings(self._parts)
        self._desk = Desk(self._parts, self._asker, self._registry, self._inbox, self._holdings)
        self._children = Children(self._parts, self._desk, self._registry, self._holdings, self._touch)
        self._hearing = Hearing(self._parts, self._desk, self._asker, self._registry, self._holdings)
        self._finder = Finder(self._parts, self._asker, self._desk, clock)
        self._foreign = Foreign(self._parts, self._asker, self._desk)
        self._executions = Executions(self._parts, lambda: to_ms(self._now()))
        self._touched: dict[str, None] = {}
        self._looked: dict[str, float] = {}

    @property
    def venue(self) -> str:
        """Name as in the settings."""
        return self._venue

    @property
    def pending(self) -> Event:
        """Set while something waits to be taken by `observe`."""
        return self._inbox.pending

    def instruments(self) -> tuple[Instrument, ...]:
        """What is traded."""
        return tuple(each.instrument for each in self._parts.listed.values())

    def _now(self) -> datetime:
        return from_ms(to_ms(self._clock.now()) + self._line.offset_ms)

    def _touch(self, order: KeptOrder) -> None:
        self._touched[order.client_id] = None

    # -- orders ---------------------------------------------------------------------------------------------------

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
        if self._registry.known(intent.client_id) is not None:
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

    def cancel(self, client_id: str) -> OrderUpdate:
        """Ask for cancellation; the returned state is the exchange's evidence. Raises as `amend`."""
        order = self._registry.get(client_id)
        if order is None:
            return self._foreign.cancel(client_id)
        if not order.legs and not order.sleeps:
            return self._cancel_unseen(order)
        for leg in [leg for leg in order.legs if not leg.is_over]:
            self._desk.cancel(order, leg)
        if order.leg is None and order.sleeps:
            order.end(OrderState.CANCELLED, ON_REQUEST)
        self._children.after(order)
        target = self._registry.target_of(order)
        if order.is_over and target is not None and target.leg is not None:
            raise VenueAmbiguous(f"{client_id} has ended, but its target {target.client_id} may still fill")
        return self._told(order)

    def _cancel_unseen(self, order: KeptOrder) -> OrderUpdate:
        """An order of before a restart: find it first."""
        self._finder.find(order)
        return self.cancel(order.client_id)

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
        if not order.legs and not order.sleeps:
            self._finder.find(order)
        if order.is_over or (quantity is None and not order.is_waiting):
            return self._amended_late(order, quantity)
        size = None if quantity is None else self._lots(order, quantity)
        leg = order.leg
        if leg is None:
            order.stop_price = stop_price or order.stop_price
        else:
            total = leg.quantity if size is None else min(size - (order.filled - leg.done), size)
            armed = order.intent.parent_id is not None and size is not None and leg.quantity < order.quantity
            self._desk.change(order, leg, min(total, leg.quantity) if armed else total, stop_price)
        if size is not None and not order.is_over:
            order.quantity, order.resized = size, True
        self._children.after(order)
        return self._told(order)

    def _amended_late(self, order: KeptOrder, quantity: Decimal | None) -> OrderUpdate:
        if quantity is not None and order.is_over:
            raise VenueRejected(f"{order.client_id} has ended: {order.state.value}, its quantity cannot be changed")
        return self._told(order)

    def _lots(self, order: KeptOrder, quantity: Decimal) -> Decimal:
        listed = self._parts.listed.get(order.intent.instrument)
        return quantity if listed is None else listed.instrument.round_quantity(quantity)

    # -- evidence -------------------------------------------------------------------------------------------------

    def order(self, client_id: str) -> OrderUpdate:
        """State of one order, as the exchange says now. Raises `OrderNotFound`, `VenueUnreachable`."""
        order = self._registry.get(client_id)
        if order is None:
            raise OrderNotFound(f"{self._venue} has no order {client_id!r} that is known here")
        self._finder.look(order)
        with suppress(VenueError):
            self._desk.settle(order)
        self._children.after(order)
        self._touched.pop(client_id, None)
        return self._told(order)

    def open_orders(self) -> Sequence[OrderUpdate]:
        """Every order that may still fill: the engine's, those it keeps itself, and the trader's own.

        Raises `VenueUnreachable`.
        """
        found: dict[str, OrderUpdate] = {}
        foreign: list[Report] = []
        for report in self._asker.open_orders():
            order = self._hearing.report(report)
            if order is None:
                foreign.append(report)
            else:
                found[order.client_id] = self._told(order)
        found |= {order.client_id: self._told(order) for order in self._registry.open() if order.sleeps}
        return (*found.values(), *self._foreign.listed(foreign))

    def executions_since(self, cursor: str) -> tuple[Sequence[Fill | FundingPaid], str]:
        """Fills and funding after ``cursor``, oldest first, and the new cursor; "" begins a day ago.

        The stops of entries that have filled are placed before it returns.

        Raises
        ------
        BadInput
            The cursor is not one of this venue's.
        VenueUnreachable
            Not all of it could be read; nothing was told.
        """
        rows, following = self._executions.since(cursor)
        trades = [row for row in rows if isinstance(row, Trade)]
        fills, orders = self._hearing.trades(trades)
        for order in orders:
            self._children.after(order)
        told: list[Fill | FundingPaid] = [*fills, *(row for row in rows if isinstance(row, FundingPaid))]
        return sorted(told, key=lambda each: each.at), following

    # -- accounts -------------------------------------------------------------------------------------------------

    def balances(self) -> Sequence[Balance]:
        """Every coin above zero of the venue's own wallets. Raises `VenueUnreachable`."""
        return self._holdings.balances()

    def known_balances(self) -> Sequence[Balance]:
        """What `balances` last told, without asking."""
        return self._holdings.known_balances

    def positions(self) -> Sequence[VenuePosition]:
        """Every open derivative position, by instrument. Raises `VenueUnreachable`."""
        return self._holdings.positions()

    def mode_problems(self) -> Mapping[InstrumentKey, str]:
        """Perpetuals that must not be traded as the account is set up, and why. Raises `VenueUnreachable`."""
        return self._holdings.mode_problems()

    # -- what comes by itself -------------------------------------------------------------------------------------

    def hear_order(self, answer: Mapping[str, Any]) -> None:
        """An order as a stream told it, in ccxt's words; from any thread."""
        self._inbox.put(HeardOrder(answer))

    def hear_trade(self, answer: Mapping[str, Any]) -> None:
        """An execution as a stream told it, in ccxt's words; from any thread."""
        self._inbox.put(HeardTrade(answer))

    def hear(self, news: News) -> None:
        """Something that was asked for on another thread, as it was read there; from any thread."""
        self._inbox.put(news)

    def observe(self, event: MarketEvent) -> Sequence[Message]:
        """What has come since the last time; stops of entries that have filled are placed first.

        Troubles of the venue are told as the state of the orders they befell, never raised.
        """
        messages = self._drain()
        self._children.watch(event)
        return (*messages, *self._news())

    def drain(self) -> Sequence[Message]:
        """As `observe`, between two market events."""
        return (*self._drain(), *self._news())

    def _drain(self) -> list[Message]:
        messages, orders = self._hearing.news(self._inbox.drain())
        for order in [*orders, *self._awaited()]:
            self._children.after(order)
            self._touch(order)
        return messages

    def _awaited(self) -> Iterable[KeptOrder]:
        """Entries whose stops sleep, asked about again: without a stream nothing else tells soon that they filled."""
        now = self._clock.monotonic()
        for parent_id in {each.intent.parent_id for each in self._registry.open() if each.sleeps}:
            parent = self._registry.known(parent_id or "")
            if (
                parent is None
                or parent.leg is None
                or now - self._looked.get(parent.client_id, -LOOK_AGAIN_S) < LOOK_AGAIN_S
            ):
                continue
            self._looked[parent.client_id] = now
            with suppress(VenueError):
                self._desk.refresh(parent, parent.leg)
                yield parent

    def _news(self) -> list[OrderUpdate]:
        orders = [self._registry.known(client_id) for client_id in self._touched]
        self._touched.clear()
        return [self._told(order) for order in orders if order is not None]

    def _told(self, order: KeptOrder) -> OrderUpdate:
        return order.update(self._venue)
