"""The stand-in exchange for tests: starts its process, makes real ccxt clients that talk to it, and controls it.

Usage::

    with running(tmp_path) as exchange:                    # or the fixture `exchange` of conftest.py
        client = exchange.client("bybit", "spot")          # ccxt.bybit, keys set, numbers as text
        exchange.fault("ack_lost", "create", venue="bybit")
        exchange.price("BTCUSDT", "50100")
        verdict = judge(exchange.journal, "bybit")         # judge.py
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KEY, SECRET = "standin-key-0001", "standin-secret-0001"
_CCXT = {"bybit": "bybit", "binance": "binance", "usdm": "binanceusdm"}
_STREAMS = {"binance": "stream"}
_HOST = re.compile(r"^(https?|wss?)://[^/]+")


@dataclass
class StandIn:
    """A running stand-in exchange."""

    process: subprocess.Popen[str]
    port: int
    journal: Path

    @property
    def url(self) -> str:
        """Where all exchanges answer by REST."""
        return f"http://127.0.0.1:{self.port}"

    def rest_url(self, venue: str) -> str:
        """The address to move a client's REST calls of one venue to."""
        return f"{self.url}/{venue}"

    def websocket_url(self, venue: str) -> str:
        """The address to move a client's websockets to; ccxt knows Binance's spot by the word "/stream" in it."""
        return f"ws://127.0.0.1:{self.port}/{_STREAMS.get(venue, venue)}"

    # --- control

    def call(self, name: str, **body: Any) -> Any:
        """A control call; a mistake in it is an AssertionError with the reason."""
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/standin/{name}", data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            reason = error.read().decode()
            error.close()
            raise AssertionError(reason) from None

    def fault(self, kind: str, where: str = "any", count: int | None = None, **details: Any) -> None:
        """Plant a fault; see faults.py for kinds, places and details."""
        self.call("fault", kind=kind, where=where, **details, **({} if count is None else {"count": count}))

    def clear(self, kind: str = "") -> None:
        """Forget planted faults."""
        self.call("clear", kind=kind)

    def price(self, symbol: str, price: object, venue: str = "") -> None:
        """Move a market, spot and perpetual, at one venue or all."""
        self.call("price", symbol=symbol, price=str(price), venue=venue)

    def state(self, venue: str) -> dict[str, Any]:
        """Balances, positions, open orders and prices of an account."""
        account: dict[str, Any] = self.call("state")["venues"][venue]
        return account

    def requests(self, **where: str) -> list[dict[str, Any]]:
        """Requests that came, by venue and kind."""
        lines: list[dict[str, Any]] = self.call("requests", **where)
        return lines

    # --- real clients

    def client(self, venue: str, kind: str = "spot", **options: Any) -> Any:
        """A synchronous ccxt client with its addresses moved here."""
        return self._opened(importlib.import_module("ccxt"), venue, kind, options)

    def stream_client(self, venue: str, kind: str = "spot", **options: Any) -> Any:
        """A ccxt.pro client with its addresses moved here; to be made inside a running event loop."""
        return self._opened(importlib.import_module("ccxt.pro"), venue, kind, options)

    def _opened(self, library: Any, venue: str, kind: str, options: dict[str, Any]) -> Any:
        usual = {"apiKey": KEY, "secret": SECRET, "enableRateLimit": False, "timeout": 5000}
        client = getattr(library, _CCXT[venue])(usual | {"options": {"defaultType": kind}} | options)
        client.number = str
        client.urls["api"] = self.moved(client.urls["api"], venue)
        return client

    def moved(self, urls: Any, venue: str) -> Any:
        """ccxt's addresses on this host."""
        if isinstance(urls, dict):
            return {name: self.moved(url, venue) for name, url in urls.items()}
        if not isinstance(urls, str):
            return urls
        return _HOST.sub(self.websocket_url(venue) if urls.startswith("ws") else self.rest_url(venue), urls)


@contextmanager
def running(folder: Path, funds: str = "USDT=10000", seed: int = 1) -> Iterator[StandIn]:
    """A stand-in exchange in a process of its own, gone at the end of the block."""
    journal = folder / "standin.jsonl"
    options = ["--journal", str(journal), "--funds", funds, "--seed", str(seed), "--until-eof"]
    command, pipe = [sys.executable, "-m", "tests.standin", *options], subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, "the stand-in exchange did not start"
            yield StandIn(process, int(line), journal)
        finally:
            process.kill()
