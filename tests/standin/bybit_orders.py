"""What Bybit's order endpoints do: place, amend, cancel, ask, list, and the executions that came of it."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from . import bybit_shapes as shapes
from .amounts import number
from .calls import Call
from .exchange import Exchange
from .orders import Order, Refused, Why, Wish
from .world import World

_RISES = {"1": True, "2": False}
_FORCES = {"PostOnly": "PO", "GTC": "GTC", "IOC": "IOC", "FOK": "FOK"}


class BybitOrders:
    """Orders of a signed-in account."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.exchange: Exchange = world.exchanges["bybit"]

    def create(self, call: Call) -> Any:
        order = self.exchange.place(self._wish(call))
        return {"orderId": order.id, "orderLinkId": order.client_id}

    def amend(self, call: Call) -> Any:
        order = self._named(call)
        if not order.open:
            raise Refused(Why.NOT_FOUND)
        changes = (number(call.get(name)) for name in ("qty", "price", "triggerPrice"))
        self.exchange.amend(order, *changes)
        return {"orderId": order.id, "orderLinkId": order.client_id}

    def cancel(self, call: Call) -> Any:
        order = self._named(call)
        self._race(call, order)
        if not order.open or (call.get("category") == "spot" and not _is_of(order, call.get("orderFilter", "Order"))):
            raise Refused(Why.NOT_FOUND)
        self.exchange.cancel(order)
        return {"orderId": order.id, "orderLinkId": order.client_id}

    def cancel_all(self, call: Call) -> Any:
        default = "Order" if call.get("category") == "spot" else ""
        chosen = [
            order
            for order in self._matching(call, self.exchange.open_orders())
            if _is_of(order, call.get("orderFilter", default))
        ]
        for order in chosen:
            self.exchange.cancel(order)
        return {"list": [{"orderId": each.id, "orderLinkId": each.client_id} for each in chosen], "success": "1"}

    def realtime(self, call: Call) -> Any:
        """Open orders; with a name, or ``openOnly`` 1, closed ones too, as far as the list remembers."""
        named = bool(call.get("orderId") or call.get("orderLinkId"))
        closed = call.get("openOnly") == "1"
        latest = list(self.exchange.orders.values())[-500:]
        recent = [each for each in latest if each.open or each.number >= self.exchange.first_recent]
        recent = recent if named or closed else self.exchange.open_orders()
        rows = [each for each in self._matching(call, recent) if named or each.open != closed]
        rows = [each for each in rows if _is_of(each, call.get("orderFilter"))]
        return shapes.page(call, [shapes.order(each) for each in reversed(rows)], 20, 50)

    def history(self, call: Call) -> Any:
        """Closed orders, newest first."""
        since, until = call.integer("startTime", 0), call.integer("endTime", 1 << 62)
        rows = [
            shapes.order(each)
            for each in self._matching(call, self.exchange.orders.values())
            if not each.open and since <= each.created_ms <= until and _is_of(each, call.get("orderFilter"))
        ]
        wanted = call.get("orderStatus")
        return shapes.page(call, [row for row in reversed(rows) if wanted in ("", row["orderStatus"])], 20, 50)

    def executions(self, call: Call) -> Any:
        """Fills, funding and liquidations, newest first."""
        wanted, symbol = call.get("category"), call.get("symbol")
        rows = [shapes.execution(each) for each in self.exchange.fills]
        rows += [shapes.funding(each) for each in self.exchange.wallet.entries if each.kind == "SETTLEMENT"]
        since, until = call.integer("startTime", 0), call.integer("endTime", 1 << 62)
        chosen = [
            row
            for row in rows
            if row["category"] == wanted
            and symbol in ("", row["symbol"])
            and call.get("execType") in ("", row["execType"])
            and call.get("orderId") in ("", row["orderId"])
            and call.get("orderLinkId") in ("", row["orderLinkId"])
            and since <= int(row["execTime"]) <= until
        ]
        chosen.sort(key=lambda row: int(row["execTime"]), reverse=True)
        return shapes.page(call, chosen, 50, 100)

    # --- details

    def _wish(self, call: Call) -> Wish:
        instrument = self.exchange.instrument(call.get("category") == "linear", call.get("symbol"))
        quantity, price = number(call.get("qty")), number(call.get("price"))
        market = call.get("orderType") == "Market"
        if quantity is None or call.get("side") not in ("Buy", "Sell") or (price is None and not market):
            raise Refused(Why.PARAMETER, "qty, side or price")
        if call.get("takeProfit") or call.get("stopLoss"):
            raise Refused(Why.PARAMETER, "the stand-in has no attached stops")
        in_quote = _in_quote(call, instrument.perpetual, market)
        return Wish(
            instrument=instrument,
            side=call.get("side").lower(),
            market=market,
            quantity=quantity,
            client_id=call.get("orderLinkId"),
            price=None if market else price,
            time_in_force="GTC" if market else _FORCES[call.get("timeInForce") or "GTC"],
            reduce_only=call.true("reduceOnly") and instrument.perpetual,
            trigger=number(call.get("triggerPrice")),
            rises=_RISES.get(call.get("triggerDirection")),
            quote_quantity=quantity if in_quote else None,
            locks=call.get("orderFilter") != "StopOrder",
            kind="tpslOrder" if call.get("orderFilter") == "tpslOrder" else "",
        )

    def _named(self, call: Call) -> Order:
        found = self.exchange.find(call.get("orderId"), call.get("orderLinkId"))
        if found is None or shapes.category(found.instrument) != call.get("category"):
            raise Refused(Why.NOT_FOUND)
        return found

    def _race(self, call: Call, order: Order) -> None:
        """A planted partial fill just before the cancel is looked at."""
        fault = self.world.faults.take(("fill_before_cancel",), "cancel", "bybit", call.get("symbol"))
        if fault is not None and order.open:
            self.exchange.matching.fill_share(order, Decimal(fault.share))

    def _matching(self, call: Call, orders: Iterable[Order]) -> list[Order]:
        symbol, settle, base = call.get("symbol"), call.get("settleCoin"), call.get("baseCoin")
        return [
            each
            for each in orders
            if shapes.category(each.instrument) == call.get("category")
            and symbol in ("", each.instrument.symbol)
            and settle in ("", each.instrument.quote)
            and base in ("", each.instrument.base)
            and call.get("orderId") in ("", each.id)
            and call.get("orderLinkId") in ("", each.client_id)
        ]


def _in_quote(call: Call, perpetual: bool, market: bool) -> bool:
    """Bybit's spot market buy is in quote coin unless said otherwise."""
    unit = call.get("marketUnit")
    return market and not perpetual and (unit == "quoteCoin" or (not unit and call.get("side") == "Buy"))


def _is_of(order: Order, wanted: str) -> bool:
    """Whether an order belongs to a filter; stops that wait are not plain orders."""
    waits = order.is_stop and not order.triggered
    if wanted == "StopOrder":
        return order.is_stop and order.wish.kind != "tpslOrder"
    if wanted == "tpslOrder":
        return order.wish.kind == "tpslOrder"
    return not (wanted == "Order" and waits)
