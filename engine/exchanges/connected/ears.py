"""What a private stream tells, sorted: what can be taken at its word, and what the exchange must be asked about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from engine.domain.errors import VenueError
from engine.domain.market import to_ms
from engine.exchanges.connected.calls import UNREADABLE
from engine.exchanges.connected.reading import Reader, Report, with_sizes
from engine.exchanges.connected.stream_rows import StreamRow

REMEMBERED = 10_000
"""Numbers of executions that were told, kept to find out whether one was not."""


class Hears(Protocol):
    """Who takes the news; `engine.exchanges.connected.venue.ConnectedVenue` does."""

    def hear_order(self, answer: Mapping[str, Any]) -> None:
        """An order, in ccxt's words; from any thread."""

    def hear_trade(self, answer: Mapping[str, Any]) -> None:
        """An execution, in ccxt's words; from any thread."""


class Ears:
    """Hears the events of one venue's private streams; used by the stream's thread.

    Parameters
    ----------
    row : StreamRow
    reader : Reader
    venue : Hears
    doubt : callable
        Called where an event tells that something happened and not exactly what: the exchange is to be asked.
    since_ms : int
        Executions of before (exchange time) are not this stream's to tell: exchanges show old ones when it begins.
    """

    def __init__(self, row: StreamRow, reader: Reader, venue: Hears, doubt: Callable[[], None], since_ms: int) -> None:
        self._row = row
        self._reader = reader
        self._venue = venue
        self._doubt = doubt
        self._since_ms = since_ms
        self._heard: dict[str, None] = {}

    def has_heard(self, number: str) -> bool:
        """Whether an execution was told; from any thread."""
        return number in self._heard

    def order(self, client: Any, row: Mapping[str, Any]) -> None:
        """An order event; what cannot be taken at its word raises a doubt instead."""
        try:
            told = self._order(client, row)
            report = self._reader.report(told)
        except (VenueError, *UNREADABLE):
            self._doubt()
            return
        if self._is_clear(told, report):
            self._venue.hear_order(told)
        if not self._is_clear(told, report) or (report.filled and not self._row.tells_trades):
            self._doubt()

    def trade(self, client: Any, row: Mapping[str, Any]) -> None:
        """An execution event."""
        try:
            told = self._trade(client, row)
            trade = self._reader.trade(told)
        except (VenueError, *UNREADABLE):
            self._doubt()
            return
        if to_ms(trade.at) < self._since_ms:
            return
        self._heard[trade.number] = None
        if len(self._heard) > REMEMBERED:
            del self._heard[next(iter(self._heard))]
        self._venue.hear_trade(told)

    def _is_clear(self, told: Mapping[str, Any], report: Report) -> bool:
        """Whether the event says how the order stands, and not only that something became of it."""
        if self._row.apart_field and self._row.apart_field in told["info"]:
            return told.get("status") == "open"
        ended = report.state is None or report.state.is_final
        return not (ended and self._row.filled_field and told["info"].get(self._row.filled_field) is None)

    def _order(self, client: Any, row: Mapping[str, Any]) -> dict[str, Any]:
        told = self._sized(client, row)
        info = told["info"]
        if self._row.client_id_field:
            told["clientOrderId"] = info.get(self._row.client_id_field) or None
        if self._row.filled_field:
            told["filled"] = info.get(self._row.filled_field)
        if not self._row.tells_quantity:
            told["amount"] = None
        return told

    def _trade(self, client: Any, row: Mapping[str, Any]) -> dict[str, Any]:
        told = self._sized(client, row)
        if self._row.trade_client_id:
            here, there = self._row.trade_client_id
            told["info"] = {**told["info"], there: told["info"].get(here)}
        return told

    def _sized(self, client: Any, row: Mapping[str, Any]) -> dict[str, Any]:
        told = dict(row)
        info = told["info"] = dict(told.get("info") or {})
        kind = info.get(self._row.kind_field) if self._row.kind_field else None
        if kind is not None:
            name = "spot" if kind == "spot" else "swap"
            told["symbol"] = client.safe_market(info.get("symbol"), None, None, name)["symbol"]
        return with_sizes(client, [told])[0]
