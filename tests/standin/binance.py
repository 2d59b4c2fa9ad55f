"""Binance's APIs, spot and USD-M: paths, signatures, error codes, weights."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from aiohttp import web

from .binance_account import BinanceAccount
from .binance_orders import BinanceOrders
from .binance_public import BinancePublic
from .binance_routes import spot_routes, usdm_routes
from .binance_streams import BinanceStreams
from .calls import Answer, Call, Denied, Endpoint
from .faults import Fault
from .orders import Refused, Why
from .world import World

_SPOT = {
    Why.DUPLICATE: (-2010, "Duplicate order sent."),
    Why.FUNDS: (-2010, "Account has insufficient balance for requested action."),
    Why.NOTIONAL: (-1013, "Filter failure: NOTIONAL"),
    Why.QUANTITY: (-1013, "Filter failure: LOT_SIZE"),
    Why.TICK: (-1013, "Filter failure: PRICE_FILTER"),
    Why.LOT: (-1013, "Filter failure: LOT_SIZE"),
    Why.NOT_FOUND: (-2013, "Order does not exist."),
    Why.FINISHED: (-2011, "Unknown order sent."),
    Why.SYMBOL: (-1121, "Invalid symbol."),
    Why.HALTED: (-1013, "Market is closed."),
    Why.TRIGGERED: (-2010, "Stop price would trigger immediately."),
    Why.TAKES: (-2010, "Order would immediately match and take."),
    Why.PARAMETER: (-1102, "Mandatory parameter was not sent, was empty/null, or malformed."),
}
_USDM = _SPOT | {
    Why.DUPLICATE: (-4116, "ClientOrderId is duplicated."),
    Why.FUNDS: (-2019, "Margin is insufficient."),
    Why.NOTIONAL: (-4164, "Order's notional must be no smaller than 5 (unless you choose reduce only)."),
    Why.QUANTITY: (-4003, "Quantity less than or equal to zero."),
    Why.TICK: (-4014, "Price not increased by tick size."),
    Why.LOT: (-1111, "Precision is over the maximum defined for this asset."),
    Why.NO_POSITION: (-2022, "ReduceOnly Order is rejected."),
    Why.HALTED: (-4140, "Invalid symbol status for opening position."),
    Why.TRIGGERED: (-2021, "Order would immediately trigger."),
    Why.TAKES: (-5022, "Due to the order could not be executed as maker, the Post Only order will be rejected."),
    Why.UNCHANGED: (-5027, "No need to modify the order."),
}
_NAMED = {
    "-4120": (-4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."),
    "-4046": (-4046, "No need to change margin type."),
    "-4059": (-4059, "No need to change position side."),
}
WEIGHTS = {"binance": 6000, "usdm": 2400}
"""Request weight a minute."""
PATIENCE = 1.2
BAN_MS = 120_000
_SIGNATURE = re.compile(r"&?signature=[0-9a-f]+")
_KEY_ONLY = "listen"


class Binance:
    """One account at Binance: "binance" is spot, "usdm" the perpetuals."""

    def __init__(self, world: World, venue: str) -> None:
        self.name = venue
        self.world = world
        self.account = BinanceAccount(world, venue)
        self.orders = BinanceOrders(world, venue, self.explain)
        self.public = BinancePublic(world, venue)
        self.streams = BinanceStreams(world, self.public)
        self.used: Counter[int] = Counter()
        self.sent: Counter[int] = Counter()
        self.banned_until_ms = 0
        routes = usdm_routes if venue == "usdm" else spot_routes
        self.places = routes(self.public, self.orders, self.account, self.streams)

    def find(self, call: Call) -> Endpoint | None:
        found = self.places.get((call.method, call.path))
        if found is not None and found.where == "ledger" and call.get("incomeType") == "FUNDING_FEE":
            return Endpoint("funding", found.reply, True)
        return found

    def admit(self, call: Call, endpoint: Endpoint) -> None:
        """Weight, key, address, right, signature, time: in the order in which Binance looks."""
        self._count(endpoint)
        if not endpoint.private:
            return
        mine = self.world.keys.get(call.headers.get("X-MBX-APIKEY", ""))
        bad = mine is None or mine.revoked or mine.expired
        if mine is None or bad or (mine.addresses and call.address not in mine.addresses):
            raise Denied(_error(-2015, "Invalid API-key, IP, or permissions for action.", 401))
        if endpoint.trades and not mine.can_trade:
            raise Denied(_error(-2015, "Invalid API-key, IP, or permissions for action.", 401))
        if endpoint.where == _KEY_ONLY:
            return
        signed = _SIGNATURE.sub("", call.query) + _SIGNATURE.sub("", call.body)
        if not mine.signs(signed, call.get("signature")):
            raise Denied(_error(-1022, "Signature for this request is not valid."))
        self.check_time(call.integer("timestamp", 0), call.integer("recvWindow", 5000))

    def check_time(self, stamp: int, window: int) -> None:
        """A stamp may be a second ahead, and as old as the window."""
        now = self.world.now_ms()
        if stamp >= now + 1000:
            raise Denied(_error(-1021, "Timestamp for this request was 1000ms ahead of the server's time."))
        if now - stamp > window:
            raise Denied(_error(-1021, "Timestamp for this request is outside of the recvWindow."))

    def good(self, call: Call, endpoint: Endpoint, result: Any) -> Answer:
        minute, ten = self.world.now_ms() // 60_000, self.world.now_ms() // 10_000
        headers = {"X-MBX-USED-WEIGHT-1M": str(self.used[minute]), "X-MBX-USED-WEIGHT": str(self.used[minute])}
        if endpoint.where == "create":
            self.sent[ten] += 1
            headers["X-MBX-ORDER-COUNT-10S"] = str(self.sent[ten])
        return Answer(result, 200, headers)

    def explain(self, error: Refused) -> dict[str, Any]:
        """Code and words for a refusal."""
        table = _USDM if self.name == "usdm" else _SPOT
        code, words = _NAMED.get(error.detail) or table.get(error.why, (-1000, error.detail))
        return {"code": code, "msg": words}

    def refused(self, call: Call, error: Refused) -> Answer:
        return Answer(self.explain(error), 400)

    def failed(self, call: Call, fault: Fault) -> Answer:
        retry = {"Retry-After": f"{fault.seconds:g}"}
        if fault.kind == "rate_limit":
            return Answer(
                {"code": -1003, "msg": "Too many requests; current limit is 6000 request weight per 1 MINUTE."},
                429,
                retry,
            )
        if fault.kind == "ban":
            until = self.world.now_ms() + round(fault.seconds * 1000)
            words = (
                f"Way too many requests; IP(127.0.0.1) banned until {until}. Please use the websocket for live updates."
            )
            return Answer({"code": -1003, "msg": words}, 418, retry)
        if fault.kind == "maintenance":
            return Answer({"code": 1, "msg": "System is under maintenance."}, 503)
        if fault.kind == "refuse":
            return Answer({"code": int(fault.code or -2010), "msg": fault.message or "NEW_ORDER_REJECTED"}, 400)
        return Answer("upstream connect error", fault.status, content_type="text/plain")

    def emptied(self, body: Any) -> Any:
        if isinstance(body, list):
            return []
        if isinstance(body, dict):
            return {name: [] if isinstance(value, list) else value for name, value in body.items()}
        return body

    async def listen(self, request: web.Request, path: str) -> web.StreamResponse:
        return await self.streams.serve(request, path)

    def publish(self) -> None:
        self.streams.publish()
        self.account.watch_countdown()

    def _count(self, endpoint: Endpoint) -> None:
        minute = self.world.now_ms() // 60_000
        self.used[minute] += endpoint.weight
        for old in [each for each in self.used if each < minute - 1]:
            del self.used[old]
        if self.world.enforce_limits and self.used[minute] > WEIGHTS[self.name]:
            self._stop(minute)

    def _stop(self, minute: int) -> None:
        """Over the limit; who goes on asking is banned."""
        now = self.world.now_ms()
        if self.used[minute] > WEIGHTS[self.name] * PATIENCE and self.banned_until_ms < now:
            self.banned_until_ms = now + BAN_MS
        left_ms = max(self.banned_until_ms - now, 60_000 - now % 60_000)
        status, words = (418, "Way too many requests") if self.banned_until_ms > now else (429, "Too many requests")
        raise Denied(Answer({"code": -1003, "msg": words}, status, {"Retry-After": str(left_ms // 1000 + 1)}))


def _error(code: int, words: str, status: int = 400) -> Answer:
    return Answer({"code": code, "msg": words}, status)
