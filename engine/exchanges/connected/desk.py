"""What is done at the exchange for one order: placing, cancelling and changing its legs, each with an honest end."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

from engine.domain.errors import OrderNotFound, VenueAmbiguous, VenueError, VenueRejected, VenueUnreachable
from engine.domain.instruments import Kind
from engine.domain.orders import ON_REQUEST, OrderState, OrderType, Purpose
from engine.exchanges.connected.asking import Asker, Parts
from engine.exchanges.connected.dialects import Amending
from engine.exchanges.connected.holdings import Holdings
from engine.exchanges.connected.inbox import Inbox, LateAnswer
from engine.exchanges.connected.lanes import Lane
from engine.exchanges.connected.legs import KeptOrder, Leg
from engine.exchanges.connected.placing import Listed, Wish, amount, lane_of, placement
from engine.exchanges.connected.reading import Report, with_sizes
from engine.exchanges.connected.registry import Registry

NONE = Decimal(0)
CLOCKS_APART = timedelta(milliseconds=500)
"""How wrong the exchange's time may be known: news of an order up to so long after a change may be of before it."""
_PROTECTIVE = (Purpose.STOP, Purpose.TARGET)


class StopPassed(VenueRejected):
    """The market is beyond the price of a stop that was to replace another."""


class Desk:
    """Changes orders at one exchange; used by the engine's thread alone.

    Parameters
    ----------
    parts : Parts
    asker : Asker
    registry : Registry
    inbox : Inbox
        Gets answers that come after patience has ended.
    holdings : Holdings
    """

    def __init__(
        self,
        parts: Parts,
        asker: Asker,
        registry: Registry,
        inbox: Inbox,
        holdings: Holdings,
    ) -> None:
        self._parts = parts
        self._dialect = parts.row.dialect
        self._weights = parts.row.limits.weights
        self._asker = asker
        self._registry = registry
        self._inbox = inbox
        self._holdings = holdings

    # -- placing --------------------------------------------------------------------------------------------------

    def place(
        self, order: KeptOrder, quantity: Decimal, *, as_market: bool = False, beside_another: bool = False
    ) -> Leg:
        """Send one more leg of ``quantity`` (base). A stop the market has passed already is sent as a market order, but
        not ``beside_another``, which may have sold the same by then.

        Raises
        ------
        VenueRejected, VenueUnreachable
            There is no such leg; `StopPassed` where it would have been that market order.
        VenueAmbiguous
            There may be one; it stays with the order as UNKNOWN.
        """
        listed = self._listed(order)
        stop_price = None if as_market or order.intent.order_type is not OrderType.STOP else order.stop_price
        leg = order.new_leg(listed.instrument.round_quantity(quantity), waits=stop_price is not None)
        try:
            self._send(order, leg, listed, stop_price)
        except VenueAmbiguous:
            leg.state = OrderState.UNKNOWN
            raise
        except VenueRejected as error:
            order.drop_leg(leg)
            if stop_price is not None and any(words in str(error) for words in self._dialect.passed_stop):
                if beside_another:
                    raise StopPassed(str(error)) from error
                return self.place(order, quantity, as_market=True)
            raise
        except VenueUnreachable:
            order.drop_leg(leg)
            raise
        return leg

    def _send(self, order: KeptOrder, leg: Leg, listed: Listed, stop_price: Decimal | None) -> None:
        wish = Wish(order.intent, leg.exchange_id, leg.quantity, stop_price, self._reduces(order, leg.quantity))
        wanted = placement(wish, listed, self._dialect)

        def call(client: Any) -> Report:
            [row] = with_sizes(client, [wanted.send(client)])
            return self._parts.reader.report(row)

        def late(report: Report) -> None:
            self._inbox.put(LateAnswer(leg.exchange_id, report))

        self.hear(order, leg, self._parts.line.send(lane_of(order.intent), call, self._weights.order, late))

    def _reduces(self, order: KeptOrder, quantity: Decimal) -> bool:
        """Whether the exchange may be told that the order only makes the account's position smaller.

        Stops and targets are, where the position is known to be that large: sleeves on opposite sides share it.
        """
        intent = order.intent
        if intent.reduce_only or intent.purpose not in _PROTECTIVE:
            return intent.reduce_only
        held = self._holdings.held(intent.instrument)
        return held is not None and held * intent.side.sign < 0 and abs(held) >= quantity

    # -- asking ---------------------------------------------------------------------------------------------------

    def hear(self, order: KeptOrder, leg: Leg, report: Report) -> None:
        """Take over what the exchange says about a leg."""
        leg.hear(report)
        if report.at > order.at:
            order.at = report.at
        is_newest = order.legs[-1] is leg
        if report.stop_price is not None and leg.waits and is_newest and order.intent.order_type is OrderType.STOP:
            order.stop_price = report.stop_price
        if is_newest and report.quantity is not None:
            parent = self._registry.known(order.intent.parent_id or "")
            entry = parent.leg if parent is not None else None
            order.learn(leg, may_grow=entry is not None and entry.state in (OrderState.WORKING, OrderState.PARTIAL))
        self._holdings.note(order, leg)
        self._registry.note(order, leg)

    def refresh(self, order: KeptOrder, leg: Leg) -> None:
        """Ask about one leg; raises `OrderNotFound`, `VenueUnreachable`."""
        symbol = self._listed(order).instrument.symbol
        report = self._asker.order(leg.exchange_id, symbol, is_stop=leg.is_stop, venue_order_id=leg.venue_order_id)
        self.hear(order, leg, report)

    # -- cancelling -----------------------------------------------------------------------------------------------

    def cancel(self, order: KeptOrder, leg: Leg, reason: str = ON_REQUEST) -> None:
        """Have a leg ended, with the exchange's evidence; without it, it stays PENDING_CANCEL.

        Raises
        ------
        OrderNotFound
            The exchange knows it neither to cancel nor to tell: neither alive nor dead.
        VenueRejected, VenueUnreachable
            It works on.
        VenueAmbiguous
            It may have ended.
        """
        as_stop = leg.waits
        try:
            self._send_cancel(order, leg, as_stop=as_stop)
        except VenueAmbiguous:
            self._pend(leg)
            raise
        except (OrderNotFound, VenueRejected) as error:
            self.refresh(order, leg)
            if leg.is_over:
                return
            if not leg.is_stop or not self._dialect.stop_cancel_extra:
                raise error from None
            self._send_cancel(order, leg, as_stop=not as_stop)
        self._confirm(order, leg)
        if leg.state is OrderState.CANCELLED:
            order.reason = reason

    def _confirm(self, order: KeptOrder, leg: Leg) -> None:
        """An accepted cancellation is asked about: only then is it known how much had been filled."""
        try:
            self.refresh(order, leg)
        except VenueError:
            self._pend(leg)
            return
        if not leg.is_over:
            self._pend(leg)

    def _pend(self, leg: Leg) -> None:
        if not leg.is_over:
            leg.state = OrderState.PENDING_CANCEL

    def _send_cancel(self, order: KeptOrder, leg: Leg, *, as_stop: bool) -> None:
        listed, dialect = self._listed(order), self._dialect
        number: str | None = None
        by_id = bool(dialect.cancel_id) and leg.exchange_id != leg.venue_order_id
        extra: dict[str, Any] = {dialect.cancel_id: leg.exchange_id} if by_id else {}
        if not by_id:
            if leg.venue_order_id is None:
                self.refresh(order, leg)
            number = leg.venue_order_id
        if as_stop and listed.instrument.kind is Kind.SPOT:
            extra |= dialect.spot_stop_extra
        if as_stop:
            extra |= dialect.stop_cancel_extra
        self.send_cancel(number, listed.instrument.symbol, extra)

    def send_cancel(self, number: str | None, symbol: str, extra: dict[str, Any]) -> None:
        """One cancellation, whosever the order is; raises as the line does."""
        self._parts.line.send(
            Lane.CLOSE, lambda client: client.cancel_order(number, symbol, extra), self._weights.order
        )

    # -- changing -------------------------------------------------------------------------------------------------

    def change(self, order: KeptOrder, leg: Leg, total: Decimal, stop_price: Decimal | None) -> None:
        """Give a working leg another quantity (base, what it has filled included) and stop price (quote).

        Raises
        ------
        VenueRejected, VenueUnreachable, OrderNotFound
            It works on as it was.
        VenueAmbiguous
            It is not known which of the two holds; where a new leg was sent it stays with the order as UNKNOWN.
        """
        total = self._listed(order).instrument.round_quantity(total)
        if total == leg.quantity and stop_price in (None, order.stop_price):
            return
        if self._dialect.amending is Amending.IN_PLACE:
            self._edit(order, leg, total, stop_price)
        elif leg.is_stop and self._listed(order).instrument.kind is Kind.PERPETUAL:
            self._overlap(order, leg, total, stop_price)
        else:
            self._swap(order, leg, total, stop_price)

    def _edit(self, order: KeptOrder, leg: Leg, total: Decimal, stop_price: Decimal | None) -> None:
        listed, intent, dialect = self._listed(order), order.intent, self._dialect
        size = amount(total, listed, dialect) if total != leg.quantity else None
        extra: dict[str, Any] = {dialect.cancel_id: leg.exchange_id} if dialect.cancel_id else {}
        moved = stop_price is not None and stop_price != order.stop_price and leg.waits
        if moved:
            extra[dialect.amend_trigger] = format(stop_price.normalize(), "f") if stop_price else None
        kind = "limit" if intent.order_type is OrderType.LIMIT else "market"

        def call(client: Any) -> None:
            answer = client.edit_order(
                leg.venue_order_id, listed.instrument.symbol, kind, intent.side.value, size, None, extra
            )
            with_sizes(client, [answer])

        self._parts.line.send(lane_of(intent), call, self._weights.order)
        leg.quantity, leg.changed_at = total, self._parts.reader.now() + CLOCKS_APART
        if moved:
            order.stop_price = stop_price

    def _overlap(self, order: KeptOrder, leg: Leg, total: Decimal, stop_price: Decimal | None) -> None:
        """The new leg is accepted before the old one ends: the position is never without. Where the market has passed
        the stop, what the old one has sold is known first.
        """
        before = order.stop_price
        order.stop_price = stop_price if stop_price is not None else before
        try:
            self.place(order, total - leg.done, beside_another=True)
        except StopPassed:
            order.stop_price = before
            self._swap(order, leg, total, stop_price)
            return
        except VenueAmbiguous:
            with suppress(VenueError):  # both may rest there now: known within moments, most often
                self.refresh(order, order.legs[-1])
                self.settle(order)
            if leg.is_over:
                return
            raise
        except (VenueRejected, VenueUnreachable):
            order.stop_price = before
            raise
        self.cancel(order, leg)

    def _swap(self, order: KeptOrder, leg: Leg, total: Decimal, stop_price: Decimal | None) -> None:
        """Coins can be promised once, and two limits could both fill: the old leg ends with proof, then the new one is
        sent.
        """
        self.cancel(order, leg)
        if not leg.is_over:
            raise VenueAmbiguous(f"{order.client_id}: the exchange has not confirmed that it ended; not replaced")
        left = total - leg.done
        if leg.state is not OrderState.CANCELLED or left <= 0:
            return
        order.stop_price = stop_price if stop_price is not None else order.stop_price
        try:
            self.place(order, left)
        except VenueAmbiguous as error:
            order.reason = str(error)
        except (VenueRejected, VenueUnreachable) as error:
            order.reason = f"ended to be replaced, and the new one was not accepted: {error}"

    def settle(self, order: KeptOrder) -> None:
        """Finish a replacement that was cut short: once the newest leg is proven, the ones before it end, and it loses
        what they filled meanwhile.
        """
        alive = [leg for leg in order.legs if not leg.is_over]
        if not alive or alive[-1].state not in (OrderState.WORKING, OrderState.PARTIAL):
            return
        for leg in alive[:-1]:
            self.cancel(order, leg)
        newest = alive[-1]
        room = order.quantity - (order.filled - newest.done)
        if len(order.legs) < 2 or newest.is_over or newest.quantity <= room:
            return
        if room > newest.done:
            self.change(order, newest, room, None)
        else:
            self.cancel(order, newest)

    def try_cancel(self, order: KeptOrder, reason: str) -> bool:
        """Cancel every leg; whether nothing of it can fill any more. Troubles are left for the next look."""
        for leg in [leg for leg in order.legs if not leg.is_over]:
            try:
                self.cancel(order, leg, reason)
            except VenueError:
                return False
        return order.leg is None

    def _listed(self, order: KeptOrder) -> Listed:
        try:
            return self._parts.listed[order.intent.instrument]
        except KeyError:
            raise VenueRejected(
                f"{order.intent.instrument} is not traded here; choose one of {', '.join(sorted(self._parts.listed))}"
            ) from None
