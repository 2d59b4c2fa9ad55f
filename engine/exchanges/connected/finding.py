"""Orders this gateway has not placed: those of before a restart, and the trader's own."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from engine.domain.errors import OrderNotFound, VenueError
from engine.domain.instruments import Kind
from engine.domain.orders import OrderState, OrderType, OrderUpdate
from engine.domain.portfolio import VenueOrder
from engine.domain.ports import Clock
from engine.exchanges.connected.asking import Asker, Parts
from engine.exchanges.connected.desk import Desk
from engine.exchanges.connected.dialects import Amending
from engine.exchanges.connected.legs import KeptOrder, Leg, engine_id, leg_id
from engine.exchanges.connected.reading import Report

MISSING_WINDOW_S = 2.0
"""Wall seconds between the two looks after which an order that the engine kept is known to be gone."""
LOST_WINDOW_S = 10.0
"""The same for the only order that ever stood for a target: an exchange may take seconds to know what it accepted."""
REMEMBERED_MISSING = 1000
"""Orders of which it is remembered when a look did not find them first; one forgotten is looked for twice again."""
GONE = "it was kept by the engine, which has ended since; its position gets a new one"


class Finder:
    """Finds the engine's orders of before a restart, with the legs that took their place."""

    def __init__(self, parts: Parts, asker: Asker, desk: Desk, clock: Clock) -> None:
        self._parts = parts
        self._asker = asker
        self._desk = desk
        self._clock = clock
        self._missing: dict[str, float] = {}

    def look(self, order: KeptOrder) -> None:
        """Ask about an order, wherever its legs are; raises as `find`."""
        if not order.sought:
            self.find(order)
        for leg in [leg for leg in order.legs if not leg.is_over]:
            try:
                self._desk.refresh(order, leg)
            except OrderNotFound:
                if leg.venue_order_id is not None or (len(order.legs) == 1 and not self._has_waiting_stop(order)):
                    raise
                self._never_placed(order, leg)

    def _has_waiting_stop(self, order: KeptOrder) -> bool:
        """Whether it is a target of coins: its stop comes back only once it is known what became of it."""
        kind = self._parts.listed[order.intent.instrument].instrument.kind
        return order.intent.pair_id is not None and kind is Kind.SPOT

    def _never_placed(self, order: KeptOrder, leg: Leg) -> None:
        """A leg without an answer that two looks do not find was never placed; the order is what it was before."""
        if not self._is_missing(leg.exchange_id, MISSING_WINDOW_S if len(order.legs) > 1 else LOST_WINDOW_S):
            return
        order.drop_leg(leg)
        if not order.legs:
            order.end(OrderState.ABANDONED, "it was never placed")
            return
        order.reason = "its replacement was never placed"
        if order.leg is not None:
            self._desk.refresh(order, order.leg)

    def _is_missing(self, exchange_id: str, window_s: float) -> bool:
        """Whether this is the second look, late enough, that does not find it."""
        now = self._clock.monotonic()
        first = self._missing.setdefault(exchange_id, now)
        if len(self._missing) > REMEMBERED_MISSING:
            del self._missing[next(iter(self._missing))]
        return now - first >= window_s

    def find(self, order: KeptOrder) -> None:
        """Look an order up by its id. One the engine kept itself is gone with the engine that kept it: that is known
        after two looks that find nothing.

        Raises
        ------
        OrderNotFound
            The exchange does not know it, this once.
        VenueUnreachable
            It could not be asked.
        """
        symbol = self._parts.listed[order.intent.instrument].instrument.symbol
        is_stop = order.intent.order_type is OrderType.STOP
        try:
            report = self._asker.order(order.client_id, symbol, is_stop=is_stop)
        except OrderNotFound:
            if not order.legs:
                if not self._is_gone(order):
                    raise
                order.sought = True
                order.end(OrderState.CANCELLED, GONE)
                return
        else:
            self._missing.pop(order.client_id, None)
            self._desk.hear(order, order.adopt_leg(order.client_id, is_stop=is_stop), report)
        order.sought = self._has_all_legs(order, symbol, is_stop=is_stop)

    def _is_gone(self, order: KeptOrder) -> bool:
        """Whether it is one that the engine kept itself, and this is the second look that finds nothing."""
        is_kept = order.intent.parent_id is not None or order.intent.pair_id is not None
        return is_kept and self._is_missing(order.client_id, MISSING_WINDOW_S)

    def _has_all_legs(self, order: KeptOrder, symbol: str, *, is_stop: bool) -> bool:
        """Take in the legs that replaced the first; whether it is known that there are no more."""
        while order.leg is None and order.legs[-1].state is not OrderState.FILLED:
            following = leg_id(order.client_id, len(order.legs) + order.lost)
            try:
                report = self._asker.order(following, symbol, is_stop=is_stop)
            except OrderNotFound:
                has_one_leg = not is_stop and self._parts.row.dialect.amending is Amending.IN_PLACE
                return has_one_leg or self._is_missing(following, MISSING_WINDOW_S)
            self._desk.hear(order, order.adopt_leg(following, is_stop=is_stop), report)
        return True


class Foreign:
    """The trader's own orders, as last listed among the open ones; never changed but by an explicit cancellation."""

    def __init__(self, parts: Parts, asker: Asker, desk: Desk) -> None:
        self._parts = parts
        self._asker = asker
        self._desk = desk
        self._orders: dict[str, Report] = {}

    def listed(self, reports: Iterable[Report]) -> list[OrderUpdate]:
        """Remember the open ones, under their own client ids, or the exchange's numbers where they have none."""
        self._orders = {engine_id(report.client_id or report.venue_order_id): report for report in reports}
        return [self._update(client_id, report) for client_id, report in self._orders.items()]

    def orders(self) -> tuple[VenueOrder, ...]:
        """Those last listed, whole; one whose side or quantity the exchange does not tell is left out here."""
        return tuple(
            VenueOrder(
                self._parts.reader.venue,
                client_id,
                report.venue_order_id,
                self._parts.reader.key(report.symbol),
                report.side,
                report.quantity,
                report.filled,
                report.order_type,
                report.limit_price,
                report.stop_price,
                report.reduce_only,
                report.at,
            )
            for client_id, report in self._orders.items()
            if report.symbol is not None and report.side is not None and report.quantity is not None
        )

    def cancel(self, client_id: str) -> OrderUpdate:
        """Cancel one; raises as every cancellation, `OrderNotFound` where it was not among the open ones."""
        known = self._orders.get(client_id)
        if known is None or known.symbol is None:
            raise OrderNotFound(f"{self._parts.row.name} has no order {client_id!r} that is known here")
        self._send_cancel(known.venue_order_id, known.symbol)
        state = OrderState.PENDING_CANCEL
        with suppress(VenueError):
            known = self._asker.by_own_id(known.venue_order_id, known.symbol)
            state = known.state if known.state is not None and known.state.is_final else state
        return self._update(client_id, replace(known, state=state))

    def _send_cancel(self, number: str, symbol: str) -> None:
        """Where the exchange keeps stops apart, an order that is not found may be one."""
        apart = self._parts.row.dialect.stop_cancel_extra
        try:
            self._desk.send_cancel(number, symbol, {})
        except OrderNotFound:
            if not apart:
                raise
            self._desk.send_cancel(number, symbol, dict(apart))

    def _update(self, client_id: str, report: Report) -> OrderUpdate:
        key = self._parts.reader.key(report.symbol or "")
        return OrderUpdate(
            client_id,
            self._parts.reader.venue,
            key,
            report.state or OrderState.UNKNOWN,
            report.filled,
            report.at,
            report.venue_order_id,
            stop_price=report.stop_price,
        )
