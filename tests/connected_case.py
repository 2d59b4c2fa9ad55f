"""A connected venue over the real line to the stand-in exchange, as tests want it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from engine.domain.instruments import InstrumentKey
from engine.domain.market import Bars, Candle, Quotes, Timeframe
from engine.domain.orders import Approved, OrderIntent, OrderType, Purpose, Side
from engine.exchanges import EXCHANGES
from engine.exchanges.connected.dialects import VenueRow
from engine.exchanges.connected.line import Line
from engine.exchanges.connected.line_setup import LineSetup
from engine.exchanges.connected.listing import read_listed
from engine.exchanges.connected.venue import ConnectedVenue
from engine.runtime.clock import SystemClock
from tests.standin.client import SECRET, StandIn

STAND_IN = {"bybit": ("bybit", "swap"), "binance": ("binance", "spot"), "binance-perp": ("usdm", "swap")}
"""Venue rows that the stand-in exchange can be, and how it calls them."""


def client_id(number: int, epoch: int = 1) -> str:
    """The id of the n-th order of a book."""
    return f"t1x7k2p{epoch:04d}{number:07d}"


def intent(
    number: int,
    symbol: str,
    side: Side,
    quantity: str,
    order_type: OrderType = OrderType.MARKET,
    purpose: Purpose = Purpose.ENTRY,
    **more: Any,
) -> OrderIntent:
    """An order of venue ``bybit`` unless ``symbol`` names another."""
    key = symbol if symbol.count(":") == 2 or symbol.split(":")[0].islower() else f"bybit:{symbol}"
    for name in ("limit_price", "stop_price", "reference_price"):
        if isinstance(more.get(name), str):
            more[name] = Decimal(more[name])
    for name in ("parent_id", "pair_id"):
        if isinstance(more.get(name), int):
            more[name] = client_id(more[name])
    return OrderIntent(
        client_id(number),
        InstrumentKey(key),
        side,
        Decimal(quantity),
        order_type,
        purpose,
        more.pop("sleeve", "momentum"),
        datetime.now(UTC),
        more.pop("reference_price", Decimal(50_000)),
        **more,
    )


class Case:
    """A venue at the stand-in exchange, and the intents its book knows."""

    def __init__(self, exchange: StandIn, row: VenueRow, symbols: tuple[str, ...], folder: Path) -> None:
        self.exchange = exchange
        self.row = row
        self.intents: dict[str, OrderIntent] = {}
        self.where, kind = STAND_IN[row.name]
        self._folder = folder
        self._symbols = symbols
        self._kind = kind
        self.line = self._line()
        self.venue = self._venue()

    def _line(self) -> Line:
        def opened(_keyed: bool) -> Any:
            client = self.exchange.client(self.where, self._kind)
            client.enableLastJsonResponse = client.enableLastResponseHeaders = True
            client.options |= dict(self.row.dialect.options)
            return client

        exchange_row = replace(EXCHANGES["binance" if self.row.name.startswith("binance") else "bybit"])
        memory = self._folder / f"{self.row.name}.json"
        limits = self.row.limits
        doubts, refusals = limits.doubtful_codes, limits.refusals
        setup = LineSetup(
            self.row.name, exchange_row, opened, memory, (SECRET,), doubtful_codes=doubts, refusals=refusals
        )
        return Line(setup, SystemClock())

    def _venue(self) -> ConnectedVenue:
        listed = read_listed(self.row, self.line.load_markets(), self._symbols)
        self.line.measure_offset()
        return ConnectedVenue(self.row, self.line, listed, SystemClock(), self.intents.get)

    def submit(self, wanted: OrderIntent) -> Any:
        """Submit an intent that the book knows."""
        self.intents[wanted.client_id] = wanted
        return self.venue.submit(Approved(wanted))

    def restart(self) -> None:
        """A new gateway that knows nothing but the book's intents."""
        self.line.close()
        self.line = self._line()
        self.venue = self._venue()

    def close(self) -> None:
        """Let the line go."""
        self.line.close()


@contextmanager
def connected(exchange: StandIn, row: VenueRow, symbols: tuple[str, ...], folder: Path) -> Iterator[Case]:
    """A venue for the length of the block."""
    case = Case(exchange, row, symbols, folder)
    try:
        yield case
    finally:
        case.close()


def bars(key: str, low: str, high: str, close: str) -> Bars:
    """One candle of one instrument that closes now."""
    at = datetime.now(UTC)
    minute, last = Timeframe(60), Decimal(close)
    opened_at = at - minute.delta
    candle = Candle(InstrumentKey(key), minute, opened_at, last, Decimal(high), Decimal(low), last, Decimal(1))
    return Bars(at, (candle,))


def quiet() -> Quotes:
    """A market event without any price."""
    return Quotes(datetime.now(UTC), ())


def until(condition: Callable[[], bool], patience_s: float = 5.0) -> None:
    """Wait for something that happens in another process."""
    deadline = monotonic() + patience_s
    while not condition():
        assert monotonic() < deadline, "it did not happen"
        sleep(0.02)
