"""The stand-in exchange behind a socket in memory, so that everything but the network and the exchange is measured.

ccxt, requests, urllib3 and http.client run as they are; only the kernel's socket is exchanged for one whose other end
is the stand-in exchange of the tests, called directly. It notes when the first byte of each request was handed to it
and when the last byte of the answer lay ready, so that its own time can be taken off. Requests do not overlap.
"""

from __future__ import annotations

import io
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from urllib3.connection import HTTPConnection

from tests.standin.calls import Answer, Call
from tests.standin.dialects import dialects
from tests.standin.journal import Journal
from tests.standin.server import Server
from tests.standin.world import World

HOST = "http://127.0.0.1:9"


class _Forgetful(Journal):
    """Writes nothing: the exchange's own disk is not what is measured."""

    def __init__(self) -> None:
        self.lines = 0
        self.path = Path()

    def write(self, at_ms: int, venue: str, kind: str, body: dict[str, Any]) -> None:
        """Count."""
        self.lines += 1


@dataclass(slots=True)
class Exchanged:
    """One request: what it was, when its first byte left, and when the last byte of its answer lay ready (seconds)."""

    what: str
    first_byte: float
    answered: float


@dataclass
class ExchangeInMemory:
    """Bybit and Binance in this process; the fields are as those of `tests.standin.client.StandIn`."""

    funds: dict[str, dict[str, Any]]
    asked: list[Exchanged] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world = World(_Forgetful(), 1, self.funds)
        self._dialects = dialects(self.world)
        self._server = Server(self.world, self._dialects)

    def rest_url(self, venue: str) -> str:
        """Where a client's REST calls of one venue go."""
        return f"{HOST}/{venue}"

    def websocket_url(self, venue: str) -> str:
        """Nobody listens there."""
        return f"ws://127.0.0.1:9/{venue}"

    def answer(self, request: bytes, first_byte: float) -> bytes:
        """The HTTP answer to an HTTP request."""
        head, _, body = request.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ", 2)
        headers = dict(each.split(": ", 1) for each in fields)
        path, _, query = target.partition("?")
        venue, _, rest = path.lstrip("/").partition("/")
        told = self._told(venue, Call(method, f"/{rest}", query, body.decode(), {}, headers, "127.0.0.1"))
        payload = told.payload()
        lines = [f"HTTP/1.1 {told.status} OK", f"Content-Type: {told.content_type}", f"Content-Length: {len(payload)}"]
        lines += [f"{name}: {value}" for name, value in told.headers.items()]
        answer = "\r\n".join([*lines, "", ""]).encode() + payload
        self.asked.append(Exchanged(f"{method} {rest}", first_byte, time.perf_counter()))
        return answer

    def _told(self, venue: str, call: Call) -> Answer:
        call.params |= dict(parse_qsl(call.query, keep_blank_values=True))
        if call.body.startswith("{"):
            call.params |= json.loads(call.body)
        else:
            call.params |= dict(parse_qsl(call.body, keep_blank_values=True))
        dialect = self._dialects[venue]
        endpoint = dialect.find(call)
        if endpoint is None:
            return Answer({"code": -1, "msg": f"no {call.path}"}, 404)
        return self._server._carry_out(dialect, endpoint, call)


class _Socket(socket.socket):
    """One end of a pair that nothing ever comes through: what is sent goes to the exchange, answers are read here."""

    def __init__(self, exchange: ExchangeInMemory) -> None:
        ours, self._theirs = socket.socketpair()
        super().__init__(fileno=ours.detach())
        self._exchange = exchange
        self._sent = b""
        self._began = 0.0
        self._answer = b""

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Take a part of a request; the whole is answered at once."""
        if not self._sent:
            self._began = time.perf_counter()
        self._sent += bytes(data)
        head, _, body = self._sent.partition(b"\r\n\r\n")
        length = next((int(x[15:]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length:")), 0)
        if b"\r\n\r\n" in self._sent and len(body) >= length:
            self._answer, self._sent = self._exchange.answer(self._sent, self._began), b""

    def makefile(self, *_: Any, **__: Any) -> Any:
        """The answer to the last request."""
        return io.BytesIO(self._answer)

    def close(self) -> None:
        """Both ends."""
        super().close()
        self._theirs.close()


@contextmanager
def exchange_in_memory(funds: dict[str, dict[str, Any]]) -> Iterator[ExchangeInMemory]:
    """While it lasts, every plain HTTP connection of this process ends at this exchange."""
    exchange = ExchangeInMemory(funds)
    opened = HTTPConnection._new_conn
    HTTPConnection._new_conn = lambda _self: _Socket(exchange)  # type: ignore[method-assign]
    try:
        yield exchange
    finally:
        HTTPConnection._new_conn = opened  # type: ignore[method-assign]
