"""Bybit's v5 websockets: public prices and the private order, execution, position and wallet topics."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import WSMsgType, web

from . import bybit_shapes as shapes
from .amounts import text
from .bybit_public import MINUTES, BybitPublic
from .hub import Connection
from .market import MINUTE_MS, Market
from .world import World

_TOPICS = {"order": "order", "fill": "execution", "position": "position", "wallet": "wallet"}


class BybitStreams:
    """Serves connections and turns what happens into messages."""

    def __init__(self, world: World, public: BybitPublic) -> None:
        self.world = world
        self.public = public
        self.exchange = world.exchanges["bybit"]
        self.exchange.listeners.append(self._happened)
        self.sent = 0

    async def serve(self, request: web.Request, path: str) -> web.StreamResponse:
        """One connection until it closes."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        connection = Connection(socket, "bybit", path.rsplit("/", 1)[-1], request.transport)
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
        """Every topic that somebody listens to."""
        for connection in self.world.hub.of("bybit"):
            if connection.kind != "private":
                for topic in sorted(connection.topics):
                    self._publish(connection, topic)

    def _asked(self, connection: Connection, message: dict[str, Any]) -> None:
        op, args = message.get("op"), message.get("args") or []
        answer: dict[str, Any] = {"success": True, "ret_msg": "", "conn_id": "standin", "op": op}
        answer |= {"req_id": message["req_id"]} if "req_id" in message else {}
        if op == "auth":
            answer |= self._signed_in(connection, args)
        elif op == "subscribe":
            connection.topics |= set(args)
        elif op == "unsubscribe":
            connection.topics -= set(args)
        elif op == "ping":
            pong = {"op": "pong", "args": [str(self.world.now_ms())]}
            answer |= pong if connection.kind == "private" else {"ret_msg": "pong"}
        self.world.hub.send(connection, answer)
        if op == "subscribe" and connection.kind != "private":
            for topic in args:
                self._publish(connection, topic)

    def _signed_in(self, connection: Connection, args: list[Any]) -> dict[str, Any]:
        key, expires, signature = (str(each) for each in args)
        mine = self.world.keys.get(key)
        if mine is None or mine.revoked or mine.expired:
            return {"success": False, "ret_msg": "API key is invalid.", "retCode": 10003}
        if int(expires) <= self.world.now_ms():
            return {"success": False, "ret_msg": "Params Error: expires is in the past", "retCode": 10002}
        if not mine.signs(f"GET/realtime{expires}", signature):
            return {"success": False, "ret_msg": "error sign", "retCode": 10004}
        connection.private = True
        return {}

    def _happened(self, kind: str, about: Any) -> None:
        topic = _TOPICS[kind]
        listening = [each for each in self.world.hub.of("bybit", private=True) if topic in each.topics]
        if not listening:
            return
        message = {"topic": topic, "id": str(self.sent), "creationTime": self.world.now_ms()}
        message["data"] = [self._shown(kind, about)]
        self.sent += 1
        for connection in listening:
            self.world.hub.send_private(connection, message)

    def _shown(self, kind: str, about: Any) -> dict[str, Any]:
        if kind == "order":
            return shapes.order(about)
        if kind == "fill":
            return shapes.execution(about)
        return shapes.position(self.exchange, about) if kind == "position" else shapes.wallet(self.exchange)

    def _publish(self, connection: Connection, topic: str) -> None:
        name, *middle, symbol = topic.split(".")
        market = self.exchange.markets.get(f"{connection.kind}:{symbol}")
        if market is None:
            return
        message: dict[str, Any] = {"topic": topic, "type": "snapshot", "ts": self.world.now_ms()}
        if name == "orderbook":
            quote = self.world.quotes.of("bybit", market)
            data: Any = self.public.levels(market, quote, int(middle[0]))
        elif name == "tickers":
            data = self.public.ticker(market)
        elif name == "kline":
            data = self._candles(connection, topic, market, middle[0])
        else:
            data = self._print(connection, topic, market)
        if data:
            self.world.hub.send(connection, message | {"data": data, "cts": message["ts"]})

    def _candles(self, connection: Connection, topic: str, market: Market, interval: str) -> list[dict[str, Any]]:
        """The candle that grows, and the one before once more when it has just been finished."""
        now, span = self.world.now_ms(), MINUTES[interval] * MINUTE_MS
        opened = now - now % span
        before = connection.memory.get(topic, opened)
        connection.memory[topic] = opened
        rows = market.candles(MINUTES[interval], before, now, 1000)
        shown = []
        for row in rows:
            opening, high, low, close = self.world.quotes.candle("bybit", market, row, row is rows[-1])
            shown.append(
                {
                    "start": row.opened_ms,
                    "end": row.opened_ms + span - 1,
                    "interval": interval,
                    "open": opening,
                    "high": high,
                    "low": low,
                    "close": close,
                    "volume": text(row.volume),
                    "turnover": text(row.volume * row.close),
                    "confirm": row.opened_ms < opened,
                    "timestamp": now,
                }
            )
        return shown

    def _print(self, connection: Connection, topic: str, market: Market) -> list[dict[str, Any]]:
        """Public trades since the last message."""
        last = connection.memory.get(topic, 0)
        new = [each for each in market.prints if each.number > last]
        connection.memory[topic] = new[-1].number if new else last
        symbol = market.instrument.symbol
        return [
            {
                "T": p.at_ms,
                "s": symbol,
                "S": p.side.capitalize(),
                "v": text(p.size),
                "p": text(p.price),
                "i": str(p.number),
            }
            for p in new
        ]
