"""HTTP and websocket on loopback for the stand-in exchange: finds the endpoint, lets planted faults happen, answers."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any, Protocol
from urllib.parse import parse_qsl

from aiohttp import web

from .calls import Answer, Call, Denied, Endpoint
from .control import Control
from .faults import AFTER, BEFORE, Fault
from .orders import Refused
from .world import World

BEAT_S = 0.1
HOLD_S = 120.0
HTML = "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>cloud proxy</body></html>"
GARBAGE = '{"result":{"orderId":"5a1d,,,:'
PREFIXES = {"bybit": "bybit", "binance": "binance", "stream": "binance", "usdm": "usdm"}
"""A first part of the path may name the venue, for websocket addresses that two of them share."""
_MOMENTS = ("signature", "timestamp", "recvWindow", "startTime", "endTime", "fromId")
_PATHS = {
    "/v5/": "bybit",
    "/fapi/": "usdm",
    "/ws-fapi/": "usdm",
    "/private/ws": "usdm",
    "/public/ws": "usdm",
    "/market/ws": "usdm",
    "/api/": "binance",
    "/sapi/": "binance",
    "/dapi/": "binance",
    "/eapi/": "binance",
    "/ws-api/": "binance",
}


class Dialect(Protocol):
    """One exchange's wording."""

    name: str
    places: dict[tuple[str, str], Endpoint]

    def admit(self, call: Call, endpoint: Endpoint) -> None:
        """Raise Denied for a wrong key, signature or time, or too many requests."""

    def good(self, call: Call, endpoint: Endpoint, result: Any) -> Answer:
        """The answer of success."""

    def refused(self, call: Call, error: Refused) -> Answer:
        """The answer to a request that was refused."""

    def failed(self, call: Call, fault: Fault) -> Answer:
        """The answer that a planted fault makes: too many requests, an error, maintenance, a refusal."""

    def emptied(self, body: Any) -> Any:
        """The answer without its rows."""

    def find(self, call: Call) -> Endpoint | None:
        """The endpoint of a path."""

    async def listen(self, request: web.Request, path: str) -> web.StreamResponse:
        """Serve a websocket."""

    def publish(self) -> None:
        """Send public prices to those who listen."""


class Server:
    """Routes requests to dialects and control calls."""

    def __init__(self, world: World, dialects: dict[str, Dialect]) -> None:
        self.world = world
        self.dialects = dialects
        self.control = Control(world)
        self.last_good: dict[str, Answer] = {}

    def application(self) -> web.Application:
        """The aiohttp application with its heartbeat."""
        app = web.Application(client_max_size=4_000_000)
        app.router.add_route("*", "/{path:.*}", self.serve)
        app.cleanup_ctx.append(self._heartbeat)
        return app

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Every request comes here."""
        path = request.path
        first, _, rest = path.lstrip("/").partition("/")
        if first == "standin":
            return _sent(await self.control.answer(request, rest))
        path = f"/{rest}" if first in PREFIXES else path
        named = [venue for start, venue in _PATHS.items() if path.startswith(start)]
        dialect = self.dialects[named[0] if named else PREFIXES.get(first, "binance")]
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._listen(request, dialect, path)
        return await self._answer(request, dialect, await _call(request, path))

    async def _listen(self, request: web.Request, dialect: Dialect, path: str) -> web.StreamResponse:
        if self.world.faults.take(("stream_refuse",), venue=dialect.name) is not None:
            return web.Response(status=503)
        return await dialect.listen(request, path)

    async def _answer(self, request: web.Request, dialect: Dialect, call: Call) -> web.StreamResponse:
        endpoint = dialect.find(call)
        if endpoint is None:
            self.world.noted(dialect.name, "unknown", call)["status"] = 404
            return _sent(Answer({"code": -1, "msg": f"the stand-in has no {call.method} {call.path}"}, 404))
        note = self.world.noted(dialect.name, endpoint.where, call)
        before = BEFORE if endpoint.where != "system" else tuple(kind for kind in BEFORE if kind != "maintenance")
        fault = self.world.faults.take(before, endpoint.where, dialect.name, call.get("symbol"))
        if fault is not None and fault.kind == "reset_before":
            return _reset(request)
        if fault is not None and fault.kind.endswith("_before") and fault.kind != "error_before":
            await self._wait(fault)
            fault = None
        spoiled = self.world.faults.take(AFTER, endpoint.where, dialect.name, call.get("symbol"))
        if fault is not None:
            answer = dialect.failed(call, fault)
        elif spoiled is not None and spoiled.kind in ("html", "garbage") and not spoiled.accept:
            answer = Answer({})
        else:
            answer = self._carry_out(dialect, endpoint, call)
        note["status"] = answer.status
        return await self._send(request, dialect, call, answer, spoiled)

    def _carry_out(self, dialect: Dialect, endpoint: Endpoint, call: Call) -> Answer:
        try:
            dialect.admit(call, endpoint)
            return dialect.good(call, endpoint, endpoint.reply(call))
        except Denied as denied:
            return denied.answer
        except Refused as refused:
            return dialect.refused(call, refused)

    async def _send(
        self, request: web.Request, dialect: Dialect, call: Call, answer: Answer, fault: Fault | None
    ) -> web.StreamResponse:
        kind = fault.kind if fault is not None else ""
        name = f"{dialect.name} {call.path} {_asked(call)}"
        if fault is not None and kind in ("slow", "hold"):
            await self._wait(fault)
        if fault is not None and kind == "stale":
            told, answer = answer, self.last_good.setdefault(name, answer)
            fault.vain += _same(told, answer)
        elif answer.status == 200 and call.method == "GET":
            self.last_good[name] = answer
        if kind in ("ack_lost", "reset_after"):
            return _reset(request, hard=kind == "reset_after")
        if kind == "cut_body":
            return await _cut(request, answer)
        if kind in ("html", "garbage"):
            answer = Answer(HTML, 200, content_type="text/html") if kind == "html" else Answer(GARBAGE)
        if fault is not None and kind == "error_after":
            answer = dialect.failed(call, fault)
        if fault is not None and kind == "empty_list":
            told, answer = answer, Answer(dialect.emptied(answer.body), answer.status, answer.headers)
            fault.vain += _same(told, answer)
        return _sent(answer)

    async def _wait(self, fault: Fault) -> None:
        if fault.kind.startswith("hold"):
            await self.control.released(HOLD_S)
        else:
            await asyncio.sleep(fault.seconds)

    async def _heartbeat(self, _app: web.Application) -> Any:
        task = asyncio.get_running_loop().create_task(self._beat())
        yield
        task.cancel()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            self.world.beat()
            for dialect in self.dialects.values():
                dialect.publish()


async def _call(request: web.Request, path: str) -> Call:
    body = await request.text()
    query = request.rel_url.raw_query_string
    params: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    if body.lstrip().startswith("{"):
        params |= json.loads(body)
    else:
        params |= dict(parse_qsl(body, keep_blank_values=True))
    address = request.headers.get("X-Forwarded-For", request.remote or "")
    return Call(request.method, path, query, body, params, dict(request.headers), address)


def _asked(call: Call) -> str:
    """What a question asks for, whenever and from whenever on: its old answer is that to the one before it."""
    shown = {name: str(value) for name, value in call.params.items() if name not in _MOMENTS}
    return json.dumps(shown, sort_keys=True)


def _same(one: Answer, other: Answer) -> bool:
    """Whether two answers say the same, the time of answering aside."""
    bodies = [each.body if isinstance(each.body, dict) else {"": each.body} for each in (one, other)]
    first, second = ({name: value for name, value in body.items() if name != "time"} for body in bodies)
    return first == second


def _sent(answer: Answer) -> web.Response:
    return web.Response(
        body=answer.payload(), status=answer.status, headers=answer.headers, content_type=answer.content_type
    )


def _reset(request: web.Request, hard: bool = True) -> web.Response:
    """Cut the connection: with a reset, or quietly as a router that forgot it."""
    transport = request.transport
    if transport is not None:
        raw = transport.get_extra_info("socket")
        if hard and raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


async def _cut(request: web.Request, answer: Answer) -> web.StreamResponse:
    """Headers and half of the body, then nothing more."""
    payload = answer.payload()
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_type, response.content_length = answer.content_type, len(payload)
    await response.prepare(request)
    await response.write(payload[: len(payload) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
