"""One answer or event in the making: what happens is applied at once, written together, then told."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from engine.domain.instruments import Instrument
from engine.domain.market import FundingRate
from engine.domain.orders import (
    Fill,
    FundingPaid,
    Liquidity,
    OrderIntent,
    OrderType,
    OrderUpdate,
    Purpose,
    Side,
)
from engine.exchanges.paper.accounts import ACCOUNT
from engine.exchanges.paper.costs import PaperCosts, fee_of
from engine.exchanges.paper.orders import Reserve, VenueOrder
from engine.exchanges.paper.records import (
    Accepted,
    Ended,
    Filled,
    Funded,
    Moved,
    Record,
    Resized,
    Triggered,
    Waited,
)
from engine.exchanges.paper.state import VenueState

Message = OrderUpdate | Fill | FundingPaid


class Turn:
    """Applies changes to the state while collecting their records and the messages they lead to.

    Parameters
    ----------
    venue : str
    state : VenueState
    costs : PaperCosts
    at : datetime
        Market time everything in this turn happens at: the close of the candle, the time of the submission.
    """

    def __init__(self, venue: str, state: VenueState, costs: PaperCosts, at: datetime) -> None:
        self.records: list[Record] = []
        self.messages: list[Message] = []
        self.state = state
        self.at = at
        self._venue = venue
        self._costs = costs

    def accept(self, intent: OrderIntent, reserve: Reserve, arrives_at: datetime, reason: str = "") -> VenueOrder:
        """A new order; ``reason`` is given where the venue itself made it."""
        venue_order_id = f"{self._venue}-o{self.state.accepted + 1}"
        self._apply(Accepted(intent, venue_order_id, arrives_at, reserve, reason))
        return self.state.orders[intent.client_id]

    def fill(self, order: VenueOrder, quantity: Decimal, price: Decimal, liquidity: Liquidity) -> None:
        """Execute ``quantity`` (base) at ``price`` (quote); the fee is in quote, rounded up.

        What a target takes its stop loses, and its entry stops filling: its exit has begun.
        """
        intent, stop = order.intent, self.state.stop_of(order)
        if stop is not None:
            self._stop_entry(order, "its target was reached")
        fill = Fill(
            self._venue,
            ACCOUNT,
            self._next_execution(),
            intent.client_id,
            order.venue_order_id,
            intent.instrument,
            intent.side,
            quantity,
            price,
            fee_of(quantity * price, self._costs.fee_rate(liquidity)),
            self.state.instruments[intent.instrument].quote,
            liquidity,
            self.at,
        )
        self._apply(Filled(fill))
        self.messages.append(fill)
        self._tell(order)
        if stop is not None:
            self._take_from(stop, quantity)

    def _take_from(self, stop: VenueOrder, quantity: Decimal) -> None:
        if quantity < stop.remaining:
            self.resize(stop, stop.quantity - quantity)
        else:
            self.end(stop, "its target was filled")

    def _stop_entry(self, child: VenueOrder, reason: str) -> None:
        parent = self.state.orders.get(child.intent.parent_id or "")
        if parent is not None and parent.is_open:
            self.end(parent, reason)

    def resize(self, order: VenueOrder, quantity: Decimal) -> None:
        """Give an order another quantity; one that has filled it already is thereby filled. A target is never larger
        than its stop."""
        self._apply(Resized(order.client_id, quantity))
        self._tell(order)
        target = self.state.target_of(order)
        if target is not None and target.remaining > order.remaining:
            self.resize(target, target.filled + order.remaining)

    def move(self, order: VenueOrder, stop_price: Decimal) -> None:
        """Let a stop lie elsewhere (quote)."""
        self._apply(Moved(order.client_id, stop_price))
        self._tell(order)

    def trigger(self, order: VenueOrder) -> None:
        """A stop was reached: from now on a market order. Its target ends, and a child's entry stops filling."""
        self._apply(Triggered(order.client_id))
        target = self.state.target_of(order)
        if target is not None:
            self.end(target, "its stop was triggered")
        self._stop_entry(order, "its protective stop was triggered")

    def wait(self, order: VenueOrder) -> None:
        """A candle left a rest; after the allowed number of further candles the rest is cancelled."""
        if order.bars_waited >= self._costs.carry_bars:
            self.end(order, f"the rest of {order.remaining} found no volume in {self._costs.carry_bars} more candles")
        else:
            self._apply(Waited(order.client_id))

    def end(self, order: VenueOrder, reason: str) -> None:
        """Cancel an order, and its target with it; children shrink to what it filled, or end where that is nothing."""
        self._apply(Ended(order.client_id, reason))
        self._tell(order)
        target = self.state.target_of(order)
        if target is not None:
            self.end(target, "its stop has ended")
        for client_id in tuple(self.state.children.get(order.client_id, ())):
            child = self.state.orders[client_id]
            if not child.is_open:
                continue  # a target that ended with its stop
            if not order.filled:
                self.end(child, "its entry ended with nothing filled")
            elif child.quantity > order.filled:
                self.resize(child, order.filled)

    def fund(self, event: FundingRate, held: Decimal) -> None:
        """Funding of a position of ``held`` (signed base): longs pay when the rate is positive."""
        amount = -held * event.mark * event.rate
        payment = FundingPaid(
            self._venue,
            ACCOUNT,
            self._next_execution(),
            event.instrument,
            event.rate,
            event.mark,
            amount,
            self.state.instruments[event.instrument].quote,
            self.at,
        )
        self._apply(Funded(payment))
        self.messages.append(payment)

    def liquidate(self, instrument: Instrument, price: Decimal) -> None:
        """Cancel what works on the instrument and close its whole position at ``price`` (quote)."""
        for order in tuple(self.state.open.get(instrument.key, {}).values()):
            if order.is_open:
                self.end(order, "liquidated")
        held = self.state.accounts.held(instrument.key)
        side = Side.SELL if held > 0 else Side.BUY
        intent = OrderIntent(
            f"liq{self.state.accepted + 1}",
            instrument.key,
            side,
            abs(held),
            OrderType.MARKET,
            Purpose.FLATTEN,
            "external",
            self.at,
            price,
            reduce_only=True,
            reason="liquidated",
        )
        order = self.accept(intent, Reserve(instrument.quote, Decimal(0)), self.at, "liquidated")
        self.fill(order, abs(held), price, Liquidity.TAKER)

    def _apply(self, record: Record) -> None:
        self.state.apply(record, self.at)
        self.records.append(record)

    def _tell(self, order: VenueOrder) -> None:
        self.messages.append(order.update(self._venue))

    def _next_execution(self) -> str:
        return f"{self._venue}-{self.state.executed + 1}"
