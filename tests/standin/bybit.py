"""Bybit's v5 API: paths, signatures, error codes, limits."""

from __future__ import annotations

from collections import Counter
from typing import Any

from aiohttp import web

from .bybit_account import BybitAccount
from .bybit_orders import BybitOrders
from .bybit_public import BybitPublic
from .bybit_streams import BybitStreams
from .calls import Answer, Call, Denied, Endpoint
from .faults import Fault
from .orders import Refused, Why
from .world import World

_LINEAR = {
    Why.DUPLICATE: (110072, "OrderLinkedID is duplicate"),
    Why.FUNDS: (110007, "ab not enough for new order"),
    Why.NOTIONAL: (110094, "Order does not meet minimum order value 5USDT"),
    Why.QUANTITY: (10001, "The number of contracts exceeds minimum limit allowed"),
    Why.TICK: (10001, "params error: Price invalid"),
    Why.LOT: (10001, "Qty invalid"),
    Why.NOT_FOUND: (110001, "order not exists or too late to cancel"),
    Why.FINISHED: (110001, "order not exists or too late to cancel"),
    Why.NO_POSITION: (110017, "current position is zero, cannot fix reduce-only order qty"),
    Why.SYMBOL: (10001, "params error: symbol invalid"),
    Why.HALTED: (110074, "This contract is not live"),
    Why.TRIGGERED: (110092, "expect Rising or Falling, but trigger_price is past current price??LastPrice"),
    Why.PARAMETER: (10001, "params error"),
    Why.UNCHANGED: (10001, "The order remains unchanged as the parameters entered match the existing ones."),
}
_SPOT = _LINEAR | {
    Why.DUPLICATE: (170141, "Duplicate clientOrderId"),
    Why.FUNDS: (170131, "Insufficient balance."),
    Why.NOTIONAL: (170140, "Order value exceeded lower limit."),
    Why.QUANTITY: (170136, "Order quantity exceeded lower limit."),
    Why.TICK: (170134, "Order price has too many decimals."),
    Why.LOT: (170137, "Order quantity has too many decimals."),
    Why.NOT_FOUND: (170213, "Order does not exist."),
    Why.FINISHED: (170213, "Order does not exist."),
    Why.SYMBOL: (170121, "Invalid symbol."),
    Why.HALTED: (170121, "Invalid symbol."),
}
_UNCHANGED = {
    "leverage": (110043, "Set leverage has not been modified."),
    "mode": (110025, "Position mode has not been modified."),
}
LIMITS = {"create": 10, "cancel": 10, "amend": 10, "cancel_all": 10}
"""Requests a second for perpetuals; spot may send twice as many, and reading is 50 a second."""
READS = 50


class Bybit:
    """The unified account at Bybit."""

    name = "bybit"

    def __init__(self, world: World) -> None:
        self.world = world
        self.orders = BybitOrders(world)
        self.account = BybitAccount(world)
        self.public = BybitPublic(world)
        self.streams = BybitStreams(world, self.public)
        self.used: Counter[tuple[int, str]] = Counter()
        self.places = self._places()

    def _places(self) -> dict[tuple[str, str], Endpoint]:
        public, orders, account = self.public, self.orders, self.account
        rows = {
            ("GET", "market/time"): Endpoint("time", public.time),
            ("GET", "system/status"): Endpoint("system", public.system),
            ("GET", "market/instruments-info"): Endpoint("markets", public.instruments),
            ("GET", "market/tickers"): Endpoint("ticker", public.tickers),
            ("GET", "market/orderbook"): Endpoint("book", public.book),
            ("GET", "market/kline"): Endpoint("candles", public.candles),
            ("GET", "market/mark-price-kline"): Endpoint("candles", public.candles),
            ("GET", "market/recent-trade"): Endpoint("trades", public.trades),
            ("POST", "order/create"): Endpoint("create", orders.create, True, True),
            ("POST", "order/amend"): Endpoint("amend", orders.amend, True, True),
            ("POST", "order/cancel"): Endpoint("cancel", orders.cancel, True, True),
            ("POST", "order/cancel-all"): Endpoint("cancel_all", orders.cancel_all, True, True),
            ("POST", "order/disconnected-cancel-all"): Endpoint("deadman", account.set_switch, True, True),
            ("GET", "account/query-dcp-info"): Endpoint("deadman", account.switch_info, True),
            ("GET", "order/realtime"): Endpoint("orders", orders.realtime, True),
            ("GET", "order/history"): Endpoint("history", orders.history, True),
            ("GET", "execution/list"): Endpoint("fills", orders.executions, True),
            ("GET", "account/wallet-balance"): Endpoint("balance", account.wallet, True),
            ("GET", "asset/transfer/query-account-coins-balance"): Endpoint("balance", account.funding_wallet, True),
            ("GET", "account/transaction-log"): Endpoint("ledger", account.log, True),
            ("GET", "account/info"): Endpoint("account", account.account, True),
            ("GET", "account/fee-rate"): Endpoint("account", account.fee_rate, True),
            ("GET", "position/list"): Endpoint("positions", account.positions, True),
            ("POST", "position/set-leverage"): Endpoint("leverage", account.set_leverage, True, True),
            ("POST", "position/switch-mode"): Endpoint("leverage", account.switch_mode, True, True),
            ("GET", "user/query-api"): Endpoint("key", account.key, True),
            ("GET", "asset/coin/query-info"): Endpoint("currencies", account.coins, True),
        }
        return {(method, f"/v5/{path}"): endpoint for (method, path), endpoint in rows.items()}

    def find(self, call: Call) -> Endpoint | None:
        """An order asked for by name is a status question."""
        found = self.places.get((call.method, call.path))
        if found is not None and (found.where in ("orders", "history", "fills")):
            named = call.get("orderId") or call.get("orderLinkId")
            if named and found.where != "fills":
                return Endpoint("status", found.reply, True)
            if call.get("execType") == "Funding":
                return Endpoint("funding", found.reply, True)
        return found

    def admit(self, call: Call, endpoint: Endpoint) -> None:
        """Key, address, time, signature, right, limit: in the order in which Bybit looks."""
        self._count(call, endpoint)
        if not endpoint.private:
            return
        mine = self.world.keys.get(call.headers.get("X-BAPI-API-KEY", ""))
        if mine is None or mine.revoked:
            raise Denied(self._answer(10003, "API key is invalid.", status=401))
        if mine.expired:
            raise Denied(self._answer(33004, "Your api key has expired.", status=401))
        if mine.addresses and call.address not in mine.addresses:
            raise Denied(self._answer(10010, "Unmatched IP, please check your API key's bound IP addresses."))
        stamp, window = call.headers.get("X-BAPI-TIMESTAMP", "0"), call.headers.get("X-BAPI-RECV-WINDOW", "5000")
        now = self.world.now_ms()
        if not now - int(window) <= int(stamp) < now + 1000:
            words = f"req_timestamp[{stamp}],server_timestamp[{now}],recv_window[{window}]"
            text = f"invalid request, please check your server timestamp or recv_window param. {words}"
            raise Denied(self._answer(10002, text))
        signed = stamp + mine.key + window + (call.body if call.method == "POST" else call.query)
        if not mine.signs(signed, call.headers.get("X-BAPI-SIGN", "")):
            raise Denied(self._answer(10004, "error sign! please check your signature generation algorithm."))
        if endpoint.trades and not mine.can_trade:
            raise Denied(self._answer(10005, "Permission denied, please check your API key permissions."))

    def good(self, call: Call, endpoint: Endpoint, result: Any) -> Answer:
        answer = self._answer(0, "OK", result)
        second = self.world.now_ms() // 1000
        limit = self._limit(call, endpoint)
        left = max(0, limit - self.used[(second, endpoint.where)])
        answer.headers = {
            "X-Bapi-Limit": str(limit),
            "X-Bapi-Limit-Status": str(left),
            "X-Bapi-Limit-Reset-Timestamp": str((second + 1) * 1000),
        }
        return answer

    def refused(self, call: Call, error: Refused) -> Answer:
        table = _SPOT if call.get("category") == "spot" else _LINEAR
        code, words = table.get(error.why, (10001, error.detail))
        if error.why is Why.UNCHANGED and error.detail in _UNCHANGED:
            code, words = _UNCHANGED[error.detail]
        return self._answer(code, words)

    def failed(self, call: Call, fault: Fault) -> Answer:
        retry = {"Retry-After": f"{fault.seconds:g}"}
        if fault.kind == "rate_limit":
            return self._answer(10006, "Too many visits. Exceeded the API Rate Limit.", headers=retry, status=429)
        if fault.kind == "ban":
            return Answer({"retCode": 10018, "retMsg": "Exceeded the IP Rate Limit."}, 403, retry)
        if fault.kind == "maintenance":
            return self._answer(10016, "Service not available during maintenance.", status=503)
        if fault.kind == "refuse":
            return self._answer(int(fault.code or 10001), fault.message or "refused")
        return Answer("upstream connect error", fault.status, content_type="text/plain")

    def emptied(self, body: Any) -> Any:
        if not isinstance(body, dict) or not isinstance(body.get("result"), dict):
            return body
        rows = {name: [] if isinstance(value, list) else value for name, value in body["result"].items()}
        return {**body, "result": rows | ({"nextPageCursor": ""} if "nextPageCursor" in rows else {})}

    async def listen(self, request: web.Request, path: str) -> web.StreamResponse:
        return await self.streams.serve(request, path)

    def publish(self) -> None:
        self.streams.publish()
        self.account.watch_switch(bool(self.world.hub.of("bybit", private=True)))

    def _count(self, call: Call, endpoint: Endpoint) -> None:
        second = self.world.now_ms() // 1000
        self.used[(second, endpoint.where)] += 1
        if self.world.enforce_limits and self.used[(second, endpoint.where)] > self._limit(call, endpoint):
            raise Denied(self._answer(10006, "Too many visits. Exceeded the API Rate Limit."))
        for old in [each for each in self.used if each[0] < second - 2]:
            del self.used[old]

    def _limit(self, call: Call, endpoint: Endpoint) -> int:
        limit = LIMITS.get(endpoint.where, READS)
        return limit * 2 if endpoint.where in LIMITS and call.get("category") == "spot" else limit

    def _answer(
        self, code: int, words: str, result: Any = None, headers: dict[str, str] | None = None, status: int = 200
    ) -> Answer:
        body = {"retCode": code, "retMsg": words, "result": result or {}, "retExtInfo": {}, "time": self.world.now_ms()}
        return Answer(body, status, headers or {})
