"""What Bybit tells a signed-in account besides its orders: balances, positions, transactions, key rights."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from . import bybit_shapes as shapes
from .amounts import text
from .calls import Call
from .exchange import Exchange
from .keys import Key
from .orders import Refused, Why
from .world import World


class BybitAccount:
    """Account answers, and the dead-man's switch."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.exchange: Exchange = world.exchanges["bybit"]
        self.switch_s: dict[str, int] = {}
        self.alone_since_ms: int | None = None

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
        return shapes.page(call, [row for row in rows if symbol or row["size"] != "0"], 20, 200)

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
        return shapes.page(call, chosen, 20, 50)

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
