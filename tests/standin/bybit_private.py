"""What Bybit's account endpoints do: orders, executions, balances, positions, the transaction log, key rights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from . import bybit_shapes as shapes
from .amounts import number, text
from .calls import Call
from .exchange import Exchange
from .keys import Key
from .orders import Order, Refused, Why, Wish
from .world import World

_RISES = {"1": True, "2": False}
_FORCES = {"PostOnly": "PO", "GTC": "GTC", "IOC": "IOC", "FOK": "FOK"}


class BybitPrivate:
    """Answers of a signed-in account."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.exchange: Exchange = world.exchanges["bybit"]
        self.switch_s: dict[str, int] = {}
        self.alone_since_ms: int | None = None

    # --- orders

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
        return self._page(call, [shapes.order(each) for each in reversed(rows)], 20, 50)

    def history(self, call: Call) -> Any:
        """Closed orders, newest first."""
        since, until = call.integer("startTime", 0), call.integer("endTime", 1 << 62)
        rows = [
            shapes.order(each)
            for each in self._matching(call, self.exchange.orders.values())
            if not each.open and since <= each.created_ms <= until and _is_of(each, call.get("orderFilter"))
        ]
        wanted = call.get("orderStatus")
        return self._page(call, [row for row in reversed(rows) if wanted in ("", row["orderStatus"])], 20, 50)

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
        return self._page(call, chosen, 50, 100)

    # --- account

    def wallet(self, call: Call) -> Any:
        if call.get("accountType") != "UNIFIED":
            return {"list": []}
        return {"list": [shapes.wallet(self.exchange)]}

    def funding_wallet(self, call: Call) -> Any:
        return {"memberId": "1", "accountType": call.get("accountType"), "balance": []}

    def positions(self, call: Call) -> Any:
        symbol = call.get("symbol")
        rows = [
            shapes.position(self.exchange, each)
            for each in self.exchange.instruments.values()
            if each.perpetual and call.get("category") == "linear" and symbol in ("", each.symbol)
        ]
        return self._page(call, [row for row in rows if symbol or row["size"] != "0"], 20, 200)

    def log(self, call: Call) -> Any:
        """The transaction log, newest first."""
        since, until = call.integer("startTime", 0), call.integer("endTime", 1 << 62)
        rows = [shapes.entry(each) for each in reversed(self.exchange.wallet.entries)]
        chosen = [
            row
            for row in rows
            if call.get("currency") in ("", row["currency"])
            and call.get("category") in ("", row["category"])
            and call.get("type") in ("", row["type"])
            and since <= int(row["transactionTime"]) <= until
        ]
        return self._page(call, chosen, 20, 50)

    def account(self, _: Call) -> Any:
        return {"marginMode": "REGULAR_MARGIN", "unifiedMarginStatus": 6, "dcpStatus": "OFF", "timeWindow": 10}

    def key(self, call: Call) -> Any:
        """What the key may do."""
        mine: Key = self.world.keys[call.headers["X-BAPI-API-KEY"]]
        wallet = ["AccountTransfer", *(["Withdraw"] if mine.can_withdraw else [])]
        return {
            "id": "1",
            "apiKey": mine.key,
            "readOnly": 0 if mine.can_trade else 1,
            "permissions": {
                "ContractTrade": ["Order", "Position"] if mine.can_trade else [],
                "Spot": ["SpotTrade"] if mine.can_trade else [],
                "Wallet": wallet,
                "Options": [],
                "Derivatives": ["DerivativesTrade"] if mine.can_trade else [],
                "Exchange": [],
            },
            "ips": list(mine.addresses) or ["*"],
            "type": 1,
            "deadlineDay": 83,
            "expiredAt": "2033-05-15T03:21:05Z",
            "unified": 0,
            "uta": 1,
            "userID": 1,
            "isMaster": True,
        }

    def coins(self, _: Call) -> Any:
        coins = sorted({coin for each in self.exchange.instruments.values() for coin in (each.base, each.quote)})
        return {"rows": [{"name": coin, "coin": coin, "remainAmount": "0", "chains": []} for coin in coins]}

    def fee_rate(self, call: Call) -> Any:
        each = self.exchange.instrument(call.get("category") == "linear", call.get("symbol"))
        fees = {"takerFeeRate": text(each.taker), "makerFeeRate": text(each.maker)}
        return {"list": [{"symbol": each.symbol, **fees}]}

    def set_leverage(self, call: Call) -> Any:
        held = self.exchange.wallet.position(self.exchange.instrument(True, call.get("symbol")))
        wanted = Decimal(call.get("buyLeverage"))
        if held.leverage == wanted:
            raise Refused(Why.UNCHANGED, "leverage")
        held.leverage = wanted
        return {}

    def switch_mode(self, call: Call) -> Any:
        """One-way only: the exchange would keep the mode it has."""
        if call.get("mode") == "0":
            raise Refused(Why.UNCHANGED, "mode")
        return {}

    # --- dead-man's switch

    def set_switch(self, call: Call) -> Any:
        """Cancel a product's orders once no private stream has been there for ``timeWindow`` seconds."""
        self.switch_s[call.get("product", "OPTIONS")] = call.integer("timeWindow", 10)
        return {}

    def switch_info(self, _: Call) -> Any:
        rows = [
            {"product": name, "dcpStatus": "ON", "timeWindow": str(seconds)} for name, seconds in self.switch_s.items()
        ]
        return {"dcpInfos": rows}

    def watch_switch(self, connected: bool) -> None:
        """Called at every beat."""
        now = self.world.now_ms()
        if connected or not self.switch_s:
            self.alone_since_ms = None
            return
        self.alone_since_ms = now if self.alone_since_ms is None else self.alone_since_ms
        for product, seconds in list(self.switch_s.items()):
            if now - self.alone_since_ms >= seconds * 1000:
                for order in self.exchange.open_orders():
                    if order.instrument.perpetual == (product == "DERIVATIVES"):
                        self.exchange.cancel(order, "switch")

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

    def _page(self, call: Call, rows: Sequence[dict[str, Any]], usual: int, most: int) -> dict[str, Any]:
        """One page and the name of the next."""
        first = call.integer("cursor", 0)
        size = min(call.integer("limit", usual), most)
        following = str(first + size) if len(rows) > first + size else ""
        page = {"category": call.get("category"), "list": rows[first : first + size]}
        return {**page, "nextPageCursor": following}


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
