"""What Binance's order endpoints do, spot and USD-M alike: place, ask, cancel, replace, list."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from . import binance_shapes as shapes
from .amounts import ZERO, number
from .calls import Answer, Call, Denied
from .orders import Order, Refused, State, Why, Wish
from .world import World

_STOPS = ("STOP_LOSS", "STOP_LOSS_LIMIT", "STOP", "STOP_MARKET")
_TARGETS = ("TAKE_PROFIT", "TAKE_PROFIT_LIMIT", "TAKE_PROFIT_MARKET")
_MARKETS = ("MARKET", "STOP_LOSS", "STOP_MARKET", "TAKE_PROFIT_MARKET")
_FORCES = {"GTX": "PO", "": "GTC"}


class BinanceOrders:
    """Orders of one of the two accounts; ``explain`` gives Binance's words for a refusal."""

    def __init__(self, world: World, venue: str, explain: Callable[[Refused], dict[str, Any]]) -> None:
        self.world = world
        self.venue = venue
        self.exchange = world.exchanges[venue]
        self.perpetual = venue == "usdm"
        self.explain = explain

    def create(self, call: Call) -> Any:
        """Conditional orders of USD-M have an endpoint of their own."""
        if self.perpetual and call.get("type") in (*_STOPS, *_TARGETS):
            raise Refused(Why.PARAMETER, "-4120")
        order = self.exchange.place(self._wish(call, call.get("type"), "newClientOrderId"))
        if self.perpetual:
            return shapes.order(order)
        return shapes.placed(order, call.get("newOrderRespType", "FULL") == "FULL")

    def create_algo(self, call: Call) -> Any:
        return shapes.algo(self.exchange.place(self._wish(call, call.get("type"), "clientAlgoId")))

    def ask(self, call: Call) -> Any:
        order = self._named(call)
        if order is None or self._is_hidden(order):
            raise Refused(Why.NOT_FOUND)
        return shapes.order(order)

    def ask_algo(self, call: Call) -> Any:
        order = self._algo(call)
        if order is None:
            raise Refused(Why.NOT_FOUND)
        return shapes.algo(order)

    def cancel(self, call: Call) -> Any:
        order = self._named(call)
        self._race(call, order)
        if order is None or not order.open or self._is_hidden(order):
            raise Refused(Why.FINISHED)
        return self._cancelled(self.exchange.cancel(order))

    def cancel_algo(self, call: Call) -> Any:
        order = self._algo(call)
        self._race(call, order)
        if order is None or order.state is not State.WAITING:
            raise Refused(Why.FINISHED)
        self.exchange.cancel(order)
        names = {"algoId": shapes.ALGO_FIRST + order.number, "clientAlgoId": order.client_id}
        return {**names, "code": "200", "msg": "success"}

    def cancel_all(self, call: Call) -> Any:
        chosen = [each for each in self._open(call) if not self._is_hidden(each)]
        if not self.perpetual and not chosen:
            raise Refused(Why.FINISHED)
        for order in chosen:
            self.exchange.cancel(order)
        if self.perpetual:
            return {"code": 200, "msg": "The operation of cancel all open order is done."}
        return [self._cancelled(order) for order in chosen]

    def cancel_all_algo(self, call: Call) -> Any:
        for order in self._open(call):
            if order.state is State.WAITING:
                self.exchange.cancel(order)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def amend(self, call: Call) -> Any:
        """USD-M changes an order in its place."""
        order = self._named(call)
        if order is None or not order.open:
            raise Refused(Why.NOT_FOUND)
        return shapes.order(self.exchange.amend(order, number(call.get("quantity")), number(call.get("price")), None))

    def replace(self, call: Call) -> Any:
        """Cancel, then place; each half may fail, and then the answer says which."""
        old = self.exchange.find(call.get("cancelOrderId"), call.get("cancelOrigClientOrderId"))
        result: dict[str, Any] = {"cancelResult": "FAILURE", "newOrderResult": "NOT_ATTEMPTED"}
        result |= {"cancelResponse": None, "newOrderResponse": None}
        try:
            self._race(call, old)
            if old is None or not old.open:
                raise Refused(Why.FINISHED)
            result |= {"cancelResponse": self._cancelled(self.exchange.cancel(old)), "cancelResult": "SUCCESS"}
        except Refused as refused:
            result["cancelResponse"] = self.explain(refused)
        goes_on = result["cancelResult"] == "SUCCESS" or call.get("cancelReplaceMode") == "ALLOW_FAILURE"
        if goes_on:
            try:
                result |= {"newOrderResponse": self.create(call), "newOrderResult": "SUCCESS"}
            except Refused as refused:
                result |= {"newOrderResponse": self.explain(refused), "newOrderResult": "FAILURE"}
        good = (result["cancelResult"] == "SUCCESS") + (result["newOrderResult"] == "SUCCESS")
        if good == 2:
            return result
        half = {"code": -2021, "msg": "Order cancel-replace partially failed.", "data": result}
        none = {"code": -2022, "msg": "Order cancel-replace failed.", "data": result}
        raise Denied(Answer(half, 409) if good else Answer(none, 400))

    def open(self, call: Call) -> Any:
        return [shapes.order(each) for each in self._open(call) if not self._is_hidden(each)]

    def open_algo(self, call: Call) -> Any:
        return [shapes.algo(each) for each in self._open(call) if each.state is State.WAITING]

    def all(self, call: Call) -> Any:
        rows = [each for each in self._matching(call, list(self.exchange.orders.values())) if not self._is_hidden(each)]
        return [shapes.order(each) for each in self._window(call, rows, lambda order: order.created_ms)]

    def all_algo(self, call: Call) -> Any:
        rows = [each for each in self._matching(call, list(self.exchange.orders.values())) if each.is_stop]
        return [shapes.algo(each) for each in self._window(call, rows, lambda order: order.created_ms)]

    def trades(self, call: Call) -> Any:
        """Oldest first; from ``fromId`` or ``startTime`` on, else the last ones."""
        rows = [each for each in self.exchange.fills if each.order.instrument.symbol == call.get("symbol")]
        if call.get("orderId"):
            rows = [each for each in rows if each.order.id == call.get("orderId")]
        if call.get("fromId"):
            rows = [each for each in rows if int(each.trade_id) >= call.integer("fromId", 0)]
            return [shapes.trade(each) for each in rows[: call.integer("limit", 500)]]
        return [shapes.trade(each) for each in self._window(call, rows, lambda fill: fill.at_ms)]

    # --- details

    def _wish(self, call: Call, kind: str, name: str) -> Wish:
        instrument = self.exchange.instrument(self.perpetual, call.get("symbol"))
        quantity, value = number(call.get("quantity")), number(call.get("quoteOrderQty"))
        price, market = number(call.get("price")), kind in _MARKETS or (kind == "TAKE_PROFIT" and not self.perpetual)
        trigger = number(call.get("triggerPrice") or call.get("stopPrice"))
        side = call.get("side").lower()
        conditional = kind in (*_STOPS, *_TARGETS)
        wrong = side not in ("buy", "sell") or (quantity is None and value is None) or (price is None and not market)
        if wrong or (conditional and trigger is None):
            raise Refused(Why.PARAMETER, "-1102")
        post_only = kind == "LIMIT_MAKER"
        given = call.get("timeInForce")
        return Wish(
            instrument=instrument,
            side=side,
            market=market,
            quantity=quantity or ZERO,
            client_id=call.get(name),
            price=None if market else price,
            time_in_force="PO" if post_only else _FORCES.get(given, given) if not market else "GTC",
            reduce_only=call.true("reduceOnly") and self.perpetual,
            trigger=trigger if conditional else None,
            rises=((side == "buy") == (kind in _STOPS)) if conditional else None,
            quote_quantity=value,
            kind=kind if conditional else "",
        )

    def _named(self, call: Call) -> Order | None:
        found = self.exchange.find(call.get("orderId"), call.get("origClientOrderId"))
        return found if found is not None and found.instrument.symbol == call.get("symbol") else None

    def _algo(self, call: Call) -> Order | None:
        if not call.get("algoId"):
            found = self.exchange.find(None, call.get("clientAlgoId"))
            return found if found is not None and found.is_stop else None
        wanted = call.integer("algoId", 0) - shapes.ALGO_FIRST
        return next((each for each in self.exchange.orders.values() if each.is_stop and each.number == wanted), None)

    def _is_hidden(self, order: Order) -> bool:
        """A conditional order of USD-M is no order until it is triggered."""
        return self.perpetual and order.is_stop and not order.triggered

    def _open(self, call: Call) -> list[Order]:
        return self._matching(call, self.exchange.open_orders())

    def _matching(self, call: Call, orders: list[Order]) -> list[Order]:
        symbol = call.get("symbol")
        if symbol:
            self.exchange.instrument(self.perpetual, symbol)
        return [each for each in orders if symbol in ("", each.instrument.symbol)]

    def _window(self, call: Call, rows: list[Any], at: Callable[[Any], int]) -> list[Any]:
        limit = min(call.integer("limit", 500), 1000)
        if call.get("orderId"):
            return rows[:limit]
        if not call.get("startTime") and not call.get("endTime"):
            return rows[-limit:]
        since, until = call.integer("startTime", 0), call.integer("endTime", 1 << 62)
        return [row for row in rows if since <= at(row) <= until][:limit]

    def _cancelled(self, order: Order) -> dict[str, Any]:
        if self.perpetual:
            return shapes.order(order)
        row = shapes.placed(order, False)
        return {**row, "origClientOrderId": order.client_id, "clientOrderId": f"cancel-{order.id}"}

    def _race(self, call: Call, order: Order | None) -> None:
        """A planted partial fill just before the cancel is looked at."""
        fault = self.world.faults.take(("fill_before_cancel",), "cancel", self.venue, call.get("symbol"))
        if fault is not None and order is not None and order.open:
            self.exchange.matching.fill_share(order, Decimal(fault.share))
