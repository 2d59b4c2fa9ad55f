"""Whose order an answer or an execution is about, and what it does to the orders the gateway knows."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from decimal import Decimal

from engine.domain.errors import OrderNotFound, VenueError
from engine.domain.instruments import Kind
from engine.domain.orders import Fill, OrderType
from engine.exchanges.connected.asking import Asker, Parts
from engine.exchanges.connected.desk import Desk
from engine.exchanges.connected.holdings import Holdings
from engine.exchanges.connected.inbox import HeardOrder, HeardTrade, LateAnswer, Message, News
from engine.exchanges.connected.legs import KeptOrder, Leg, engine_id
from engine.exchanges.connected.reading import Report, Trade
from engine.exchanges.connected.registry import Registry

ZERO = Decimal(0)


class Hearing:
    """Takes in what the exchange tells, in answers, in lists, and by itself; on the engine's thread.

    Parameters
    ----------
    parts, desk, asker, registry, holdings
        The venue's own.
    """

    def __init__(
        self,
        parts: Parts,
        desk: Desk,
        asker: Asker,
        registry: Registry,
        holdings: Holdings,
    ) -> None:
        self._parts = parts
        self._desk = desk
        self._asker = asker
        self._registry = registry
        self._holdings = holdings

    def report(self, report: Report, exchange_id: str | None = None, *, by_itself: bool = False) -> KeptOrder | None:
        """Take in an order's state; None where the order is not the engine's.

        What came ``by_itself`` may have been made before a change that the exchange has agreed to since: it does not
        put the old quantity or stop back.
        """
        number = report.venue_order_id
        exchange_id = exchange_id or report.client_id or self._registry.owner(number) or self._registry.adopted(number)
        if exchange_id is None:
            return None
        found = self._registry.named(exchange_id)
        if found is None:
            self._registry.own(report.venue_order_id, exchange_id)
            return None
        order, leg = found
        self._desk.hear(order, leg, leg.sized_since(report) if by_itself else report)
        return order

    def trades(self, trades: Iterable[Trade]) -> tuple[list[Fill], list[KeptOrder]]:
        """Executions as fills of their orders, and the engine's orders among those; raises `VenueUnreachable`."""
        fills: list[Fill] = []
        orders: dict[str, KeptOrder] = {}
        for trade in trades:
            exchange_id = self._owner(trade)
            found = self._registry.named(exchange_id)
            fill = self._parts.reader.fill(trade, engine_id(exchange_id))
            fills.append(fill)
            if found is not None:
                order, leg = found
                if trade.number not in leg.trades:
                    self._book(order, leg, trade)
                orders[order.client_id] = order
        return fills, list(orders.values())

    def _book(self, order: KeptOrder, leg: Leg, trade: Trade) -> None:
        if leg.venue_order_id is None:
            leg.venue_order_id = trade.venue_order_id
        leg.book(trade.number, trade.quantity)
        leg.waits = False
        if trade.at > order.at:
            order.at = trade.at
        listed = self._parts.listed.get(order.intent.instrument)
        if listed is not None and listed.instrument.kind is Kind.SPOT and trade.fee_currency == listed.instrument.base:
            order.fees += trade.fee
        self._holdings.note(order, leg)
        self._registry.note(order, leg)

    def _owner(self, trade: Trade) -> str:
        """Client id at the exchange of the order behind an execution; the exchange's own number where it has none."""
        if trade.client_id is not None:
            return trade.client_id
        if self._parts.row.dialect.trades.client_id_field:
            return trade.venue_order_id  # it would have told
        known = self._registry.owner(trade.venue_order_id) or self._triggered(trade)
        if known is not None:
            return known
        exchange_id = trade.venue_order_id
        with suppress(OrderNotFound):
            report = self._asker.by_own_id(trade.venue_order_id, trade.symbol)
            exchange_id = report.client_id or trade.venue_order_id
        self._registry.own(trade.venue_order_id, exchange_id)
        return exchange_id

    def _triggered(self, trade: Trade) -> str | None:
        """A stop that trades under another number once it was triggered: ask the stops that wait there."""
        if not self._parts.row.dialect.traded_as:
            return None
        key = self._parts.reader.key(trade.symbol)
        for order in self._registry.open():
            leg, intent = order.leg, order.intent
            same = intent.instrument == key and intent.side is trade.side and intent.order_type is OrderType.STOP
            if same and leg is not None and leg.is_stop and leg.traded_as is None:
                with suppress(OrderNotFound):
                    self._desk.refresh(order, leg)
        return self._registry.owner(trade.venue_order_id)

    def news(self, news: Iterable[News]) -> tuple[list[Message], list[KeptOrder]]:
        """Take in what came by itself: messages for the core, and the engine's orders of which there is news.

        What cannot be read or placed is left: the next look at the exchange's own lists tells it again.
        """
        messages: list[Message] = []
        orders: dict[str, KeptOrder] = {}
        for each in news:
            with suppress(VenueError):
                told, touched = self._one(each)
                messages += told
                orders |= {order.client_id: order for order in touched}
        return messages, list(orders.values())

    def _one(self, news: News) -> tuple[list[Message], list[KeptOrder]]:
        if isinstance(news, HeardTrade):
            fills, touched = self.trades([self._parts.reader.trade(news.answer)])
            return [*fills], touched
        if isinstance(news, Trade):
            fills, touched = self.trades([news])
            return [*fills], touched
        if isinstance(news, Report):
            order = self.report(news, by_itself=True)
            return [], [] if order is None else [order]
        if isinstance(news, HeardOrder | LateAnswer):
            if isinstance(news, LateAnswer):
                order = self.report(news.report, news.exchange_id, by_itself=True)
            else:
                order = self.report(self._parts.reader.report(news.answer), by_itself=True)
            return [], [] if order is None else [order]
        return [news], []
