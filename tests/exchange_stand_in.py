"""A loopback HTTP server that answers like an exchange, or not at all; and a clock that tests move."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Query = dict[str, str]


@dataclass(frozen=True)
class Answer:
    """What goes over the wire."""

    body: Any
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    def payload(self) -> bytes:
        """The body as bytes; anything but text is JSON."""
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return text.encode()


HTML = Answer("<!DOCTYPE html><html><body>Sign in to the hotel network</body></html>", 200, "text/html")
Route = Callable[[Query], Answer]


@dataclass
class StandIn:
    """Routes by path, and every request that came as (path, query, headers)."""

    url: str = ""
    routes: dict[str, Route] = field(default_factory=dict)
    requests: list[tuple[str, Query, dict[str, str]]] = field(default_factory=list)

    def answer(self, path: str, answer: Answer) -> None:
        """Answer ``path`` always the same."""
        self.routes[path] = lambda _query: answer


@contextmanager
def running_stand_in() -> Iterator[StandIn]:
    """A stand-in on a free loopback port, gone at the end of the block."""
    stand_in = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length).decode() if length else ""
            query = dict(parse_qsl(parts.query)) | dict(parse_qsl(body))
            stand_in.requests.append((parts.path, query, dict(self.headers)))
            route = stand_in.routes.get(parts.path)
            answer = route(query) if route else Answer({"code": -1, "msg": f"no route {parts.path}"}, 404)
            payload = answer.payload()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(payload)))
            for name, value in answer.headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = _serve  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Keep the test output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    stand_in.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class MovedClock:
    """A clock that moves when told to, or when something waits on it."""

    now_ms: int
    waits: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.fromtimestamp(self.now_ms / 1000, UTC)

    def monotonic(self) -> float:
        """Seconds."""
        return self.now_ms / 1000

    def wait(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.waits.append(seconds)
        assert len(self.waits) < 500, "the code under test waits for ever"
        self.now_ms += round(seconds * 1000)


MINUTE_MS = 60_000
SYMBOLS = {
    "BTCUSDT": ("BTC", "USDT", "0.01000000", "0.00001000"),
    "ETHUSDT": ("ETH", "USDT", "0.01000000", "0.00010000"),
}


class BinanceCandles:
    """Binance-shaped public answers: minute candles up to the clock's now, the last one unfinished."""

    def __init__(self, stand_in: StandIn, clock: MovedClock) -> None:
        self.clock = clock
        self.stand_in = stand_in
        self.skew_ms = 0
        self.missing: set[tuple[str, int]] = set()
        self.spoiled: dict[tuple[str, int], list[str]] = {}
        stand_in.routes["/api/v3/time"] = lambda _query: Answer({"serverTime": self.now_ms})
        stand_in.routes["/api/v3/exchangeInfo"] = lambda _query: Answer(exchange_info())
        stand_in.routes["/api/v3/klines"] = self.klines

    @property
    def now_ms(self) -> int:
        """The exchange's own time."""
        return self.clock.now_ms + self.skew_ms

    def klines(self, query: Query) -> Answer:
        """Rows from startTime on, at most ``limit``."""
        opened = -(-int(query["startTime"]) // MINUTE_MS) * MINUTE_MS
        rows: list[list[Any]] = []
        while opened <= self.now_ms and len(rows) < int(query["limit"]):
            if (query["symbol"], opened) not in self.missing:
                rows.append(self.row(query["symbol"], opened))
            opened += MINUTE_MS
        return Answer(rows)

    def row(self, symbol: str, opened: int) -> list[Any]:
        """A candle whose close encodes its minute."""
        close = 50_000 + opened // MINUTE_MS % 1000 / 10
        prices = self.spoiled.get((symbol, opened), ["50000.0", "50200.5", "49900.1", f"{close:.2f}"])
        return [opened, *prices, "12.34500000", opened + MINUTE_MS - 1, "1.0", 10, "1.0", "1.0", "0"]


def exchange_info() -> dict[str, Any]:
    """Two spot markets in Binance's shape."""
    symbols = []
    for name, (base, quote, tick, lot) in SYMBOLS.items():
        filters = [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "9000.0", "stepSize": lot},
            {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True},
        ]
        symbols.append(
            {
                "symbol": name,
                "status": "TRADING",
                "baseAsset": base,
                "quoteAsset": quote,
                "baseAssetPrecision": 8,
                "quotePrecision": 8,
                "isSpotTradingAllowed": True,
                "isMarginTradingAllowed": False,
                "orderTypes": ["LIMIT", "MARKET"],
                "permissions": ["SPOT"],
                "filters": filters,
            }
        )
    return {"timezone": "UTC", "serverTime": 0, "rateLimits": [], "exchangeFilters": [], "symbols": symbols}
