"""Binance's websockets: public streams by subscription, and the user data stream by signature (spot) or key (USD-M)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from aiohttp import WSMsgType, web

from . import binance_shapes as shapes
from .amounts import text
from .binance_public import MINUTES, BinancePublic
from .calls import Call
from .hub import Connection
from .market import MINUTE_MS, Market
from .orders import Order, State
from .world import World


class BinanceStreams:
    """Serves connections and turns what happens into messages."""

    def __init__(self, world: World, public: BinancePublic) -> None:
        self.world = world
        self.public = public
        self.venue = public.venue
        self.perpetual = public.perpetual
        self.exchange = public.exchange
        self.exchange.listeners.append(self._happened)
        self.listen_keys: set[str] = set()

    def listen_key(self, _: Call) -> Any:
        """One key per account, the same until it is forgotten."""
        self.listen_keys = self.listen_keys or {f"listen{self.world.now_ms()}"}
        return {"listenKey": next(iter(self.listen_keys))}

    def forget_key(self, _: Call) -> Any:
        self.listen_keys.clear()
        return {}

    async def serve(self, request: web.Request, path: str) -> web.StreamResponse:
        """One connection until it closes."""
        key = request.query.get("listenKey", "") or path.rsplit("/", 1)[-1]
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        kind = "api" if "ws-api" in path or "ws-fapi" in path else "stream"
        connection = Connection(socket, self.venue, kind, request.transport)
        connection.private = key in self.listen_keys
        pump = self.world.hub.add(connection)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._asked(connection, json.loads(message.data))
        finally:
            pump.cancel()
            self.world.hub.connections.discard(connection)
        return socket

    def publish(self) -> None:
        """Every stream that somebody listens to."""
        for connection in self.world.hub.of(self.venue):
            for topic in sorted(connection.topics):
                self._publish(connection, topic)

    def _asked(self, connection: Connection, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params") or []
        if method == "userDataStream.subscribe.signature":
            self.world.hub.send(connection, {"id": message.get("id"), **self._signed_in(connection, params)})
            return
        if method == "SUBSCRIBE":
            connection.topics |= set(params)
            connection.memory |= {topic: self._number(topic) for topic in params if "@depth" in topic}
        elif method == "UNSUBSCRIBE":
            connection.topics -= set(params)
        self.world.hub.send(connection, {"result": None, "id": message.get("id")})

    def _number(self, topic: str) -> int:
        """The book's number when somebody begins to listen; changes are told from the next one on."""
        return self.public.market(topic.partition("@")[0]).changes

    def _signed_in(self, connection: Connection, params: Any) -> dict[str, Any]:
        """Spot's user data stream belongs to the connection that asked for it."""
        mine = self.world.keys.get(str(params.get("apiKey")))
        payload = urlencode(sorted((name, value) for name, value in params.items() if name != "signature"))
        if mine is None or mine.revoked or mine.expired:
            return _refused(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        if not mine.signs(payload, str(params.get("signature"))):
            return _refused(-1022, "Signature for this request is not valid.", 400)
        now, stamp = self.world.now_ms(), int(params.get("timestamp", 0))
        if not now - int(params.get("recvWindow", 5000)) <= stamp < now + 1000:
            return _refused(-1021, "Timestamp for this request is outside of the recvWindow.", 400)
        connection.private = True
        return {"status": 200, "result": {"subscriptionId": 0}}

    # --- the account

    def _happened(self, kind: str, about: Any) -> None:
        now = self.world.now_ms()
        if kind == "fill":
            self._send(shapes.report(about.order, about, now))
        elif kind == "order":
            self._order(about, now)
        elif kind == "wallet" and self.perpetual:
            self._send(self._account([], about, now))
        elif kind == "position":
            self._send(self._account([about], [about.quote], now))
        elif kind == "wallet":
            self._send(self._spot_account(about, now))

    def _order(self, order: Order, now: int) -> None:
        """A fill has told its own story; a conditional order of USD-M has events of its own."""
        if self.perpetual and order.is_stop:
            self._send({"e": "ALGO_UPDATE", "E": now, "T": order.updated_ms, "o": _algo_update(order)})
            if not order.triggered:
                return
        if order.state is State.FILLED or (order.state is State.WORKING and order.filled):
            return
        self._send(shapes.report(order, None, now))

    def _account(self, instruments: list[Any], coins: list[str], now: int) -> dict[str, Any]:
        wallet = self.exchange.wallet
        balances = [
            {"a": coin, "wb": text(wallet.total(coin)), "cw": text(wallet.total(coin)), "bc": "0"} for coin in coins
        ]
        positions = [
            {
                "s": each.symbol,
                "pa": text(wallet.position(each).quantity),
                "ep": text(wallet.position(each).entry),
                "up": text(wallet.unrealised(each)),
                "cr": text(wallet.position(each).realised),
                "mt": "cross",
                "iw": "0",
                "ps": "BOTH",
            }
            for each in instruments
        ]
        return {"e": "ACCOUNT_UPDATE", "E": now, "T": now, "a": {"m": "ORDER", "B": balances, "P": positions}}

    def _spot_account(self, coins: list[str], now: int) -> dict[str, Any]:
        working, rows = self.exchange.open_orders(), []
        for coin in dict.fromkeys(coins):
            locked = self.exchange.wallet.locked(coin, working)
            rows.append({"a": coin, "f": text(self.exchange.wallet.total(coin) - locked), "l": text(locked)})
        return {"e": "outboundAccountPosition", "E": now, "u": now, "B": rows}

    def _send(self, event: dict[str, Any]) -> None:
        for connection in self.world.hub.of(self.venue, private=True):
            wrapped = {"subscriptionId": 0, "event": event} if connection.kind == "api" else event
            self.world.hub.send_private(connection, wrapped)

    # --- the market

    def _publish(self, connection: Connection, topic: str) -> None:
        symbol, _, name = topic.partition("@")
        market = self.exchange.markets.get(f"{'linear' if self.perpetual else 'spot'}:{symbol.upper()}")
        if market is None:
            return
        if name.startswith("kline_"):
            self._candles(connection, topic, market, name.removeprefix("kline_"))
        elif name.startswith("depth"):
            self._changes(connection, topic, market)
        elif name in ("trade", "aggTrade"):
            self._prints(connection, topic, market, name)
        else:
            self.world.hub.send(connection, self._ticker(market, name))

    def _ticker(self, market: Market, name: str) -> dict[str, Any]:
        now, symbol = self.world.now_ms(), market.instrument.symbol
        quote = self.world.quotes.of(self.venue, market)
        best = {"b": quote.bid[0], "B": quote.bid[1], "a": quote.ask[0], "A": quote.ask[1]}
        if name == "bookTicker":
            about = {"e": "bookTicker", "E": now, "T": now} if self.perpetual else {}
            return {**about, "u": quote.number, "s": symbol, **best}
        if name.startswith("markPrice"):
            row = {"e": "markPriceUpdate", "E": now, "s": symbol, "p": quote.last, "i": quote.last, "P": quote.last}
            return {**row, "r": "0.0001", "T": (now // 28_800_000 + 1) * 28_800_000}
        if name.startswith("miniTicker"):
            row = {"e": "24hrMiniTicker", "E": now, "s": symbol, "c": quote.last, "o": quote.last, "h": quote.last}
            return {**row, "l": quote.last, "v": "2000", "q": "100000000"}
        row = {"e": "24hrTicker", "E": now, "s": symbol, "p": "0", "P": "0", "w": quote.last, "c": quote.last, "Q": "1"}
        day = {"o": quote.last, "h": quote.last, "l": quote.last, "v": "2000", "q": "100000000", "O": now, "C": now}
        return {**row, **day, **({} if self.perpetual else best), "F": 1, "L": quote.number, "n": quote.number}

    def _changes(self, connection: Connection, topic: str, market: Market) -> None:
        """What changed in the book since the last message; the numbers follow each other without a gap."""
        now, quote = self.world.now_ms(), self.world.quotes.of(self.venue, market)
        last = connection.memory[topic]
        if quote.number <= last:
            return
        connection.memory[topic] = quote.number
        row = {"e": "depthUpdate", "E": now, "T": now, "s": market.instrument.symbol, "U": last + 1, "u": quote.number}
        row |= {"pu": last} if self.perpetual else {}
        sides = {}
        for name, levels, left in zip("ba", (quote.bids, quote.asks), market.gone_since(last), strict=True):
            gone = {text(price) for price in left} - {price for price, _ in levels}
            sides[name] = [list(level) for level in levels] + [[price, "0"] for price in sorted(gone)]
        self.world.hub.send(connection, row | sides)

    def _candles(self, connection: Connection, topic: str, market: Market, interval: str) -> None:
        """The candle that grows, and the one before once more when it has just been finished."""
        now, span, symbol = self.world.now_ms(), MINUTES[interval] * MINUTE_MS, market.instrument.symbol
        opened = now - now % span
        before = connection.memory.get(topic, opened)
        connection.memory[topic] = opened
        rows = market.candles(MINUTES[interval], before, now, 1000)
        for row in rows:
            opening, high, low, close = self.world.quotes.candle(self.venue, market, row, row is rows[-1])
            shown = {"t": row.opened_ms, "T": row.opened_ms + span - 1, "s": symbol, "i": interval, "f": 1, "L": 2}
            shown |= {"o": opening, "c": close, "h": high, "l": low, "v": text(row.volume), "n": 1}
            shown |= {"x": row.opened_ms < opened, "q": text(row.volume * row.close), "V": "0", "Q": "0", "B": "0"}
            self.world.hub.send(connection, {"e": "kline", "E": now, "s": symbol, "k": shown})

    def _prints(self, connection: Connection, topic: str, market: Market, name: str) -> None:
        last = connection.memory.get(topic, 0)
        for each in [row for row in market.prints if row.number > last]:
            connection.memory[topic] = each.number
            row = {"e": name, "E": each.at_ms, "T": each.at_ms, "s": market.instrument.symbol, "t": each.number}
            row |= {"a": each.number, "p": text(each.price), "q": text(each.size), "m": each.side == "sell", "M": True}
            self.world.hub.send(connection, row)


def _algo_update(order: Order) -> dict[str, Any]:
    shown = shapes.algo(order)
    return {
        "caid": shown["clientAlgoId"],
        "aid": shown["algoId"],
        "at": "CONDITIONAL",
        "o": shown["orderType"],
        "s": shown["symbol"],
        "S": shown["side"],
        "ps": "BOTH",
        "f": shown["timeInForce"],
        "q": shown["quantity"],
        "X": shown["algoStatus"],
        "ai": shown["actualOrderId"],
        "ap": shown["actualPrice"],
        "tp": shown["triggerPrice"],
        "p": shown["price"],
        "wt": "CONTRACT_PRICE",
        "R": shown["reduceOnly"],
    }


def _refused(code: int, words: str, status: int) -> dict[str, Any]:
    return {"status": status, "error": {"code": code, "msg": words}}
