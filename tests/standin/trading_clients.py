"""What the stand-in exchange's own tests do alike at every venue: names, clients, one look at an order."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from itertools import count
from typing import Any

from tests.standin.client import StandIn

VENUES = (
    ("bybit", "spot", "BTC/USDT"),
    ("bybit", "swap", "BTC/USDT:USDT"),
    ("binance", "spot", "BTC/USDT"),
    ("usdm", "swap", "BTC/USDT:USDT"),
)
_NUMBERS = count(1)


def name() -> str:
    """A client id that was never used."""
    return f"t{next(_NUMBERS):07d}"


def trader(exchange: StandIn, venue: str, kind: str) -> Any:
    """A ccxt client with its markets loaded."""
    client = exchange.client(venue, kind)
    client.options["warnOnFetchOpenOrdersWithoutSymbol"] = False
    client.load_markets()
    return client


def limit(client: Any, symbol: str, price: str, client_id: str, **params: Any) -> Any:
    """A small limit buy."""
    return client.create_order(symbol, "limit", "buy", "0.01", price, {"clientOrderId": client_id, **params})


def at_venue(exchange: StandIn, venue: str, client_id: str) -> list[dict[str, Any]]:
    """Open orders under a client id, by the exchange's own word."""
    return [order for order in exchange.state(venue)["open_orders"] if order["client_id"] == client_id]


def accepted(exchange: StandIn, client_id: str) -> int:
    """How often the journal says an order was accepted under a client id."""
    lines = exchange.call("journal")
    return sum(line["kind"] == "accepted" and line["order"]["client_id"] == client_id for line in lines)


def seen(client: Any, venue: str, symbol: str, order_id: str) -> Any:
    """An order as the exchange shows it now, whatever its state."""
    params = {"acknowledged": True} if venue == "bybit" else {}
    return client.fetch_order(order_id, symbol, params)


def until(condition: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
    """Return as soon as the condition holds; fail with ``what`` was waited for once the time is over."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.005)


def number(raw: Any) -> Decimal:
    return Decimal(str(raw))
