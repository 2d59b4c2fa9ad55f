"""Questions about orders: how one is found by the engine's own id, and which ones are open."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from engine.domain.conditions import VenueCondition
from engine.domain.errors import OrderNotFound
from engine.domain.instruments import InstrumentKey, Kind
from engine.exchanges.connected.dialects import Given, Listing, Look, VenueRow
from engine.exchanges.connected.fields import Unreadable
from engine.exchanges.connected.lanes import Lane
from engine.exchanges.connected.placing import Listed
from engine.exchanges.connected.reading import Reader, Report, with_sizes

T = TypeVar("T")
MOST_PAGES = 200


class Asks(Protocol):
    """The line to the exchange, as far as questions and orders go; `engine.exchanges.connected.line.Line` is one."""

    def ask(self, lane: Lane, question: Callable[[Any], T], weight: int = 1) -> T:
        """Ask something that changes nothing."""

    def send(self, lane: Lane, call: Callable[[Any], T], weight: int = 1, late: Callable[[T], None] | None = None) -> T:
        """Place, change or cancel an order."""

    @property
    def offset_ms(self) -> int:
        """The exchange's clock less ours, ms."""

    @property
    def condition(self) -> VenueCondition:
        """How the venue is to be dealt with now."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What every part of a connected venue works with."""

    row: VenueRow
    line: Asks
    reader: Reader
    listed: Mapping[InstrumentKey, Listed]

    @property
    def kinds(self) -> frozenset[Kind]:
        """What is traded here by this engine."""
        return frozenset(listed.instrument.kind for listed in self.listed.values())

    def quotes(self, kind: Kind) -> tuple[str, ...]:
        """Quote coins of what is traded of a kind, by name."""
        own = {listed.instrument.quote for listed in self.listed.values() if listed.instrument.kind is kind}
        return tuple(sorted(own))


class Asker:
    """Asks about orders; changes nothing."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._dialect = parts.row.dialect
        self._weights = parts.row.limits.weights

    def order(self, exchange_id: str, symbol: str, *, is_stop: bool, venue_order_id: str | None = None) -> Report:
        """What the exchange says about one order.

        Raises
        ------
        OrderNotFound
            None of the ways to ask finds it, this once.
        VenueUnreachable
            One of them was not answered, or not readably: then nothing is concluded.
        """
        if venue_order_id is not None and (self._dialect.asks_by_own_id or venue_order_id == exchange_id):
            with suppress(OrderNotFound):
                return self._followed(self.by_own_id(venue_order_id, symbol), symbol)
        looks = self._dialect.stop_looks if is_stop and self._dialect.stop_looks else self._dialect.looks
        for look in looks:
            with suppress(OrderNotFound):
                return self._followed(self._look(look, exchange_id, symbol), symbol)
        raise OrderNotFound(f"{self._parts.row.name} does not know order {exchange_id!r}")

    def by_own_id(self, venue_order_id: str, symbol: str) -> Report:
        """What the exchange says about the order it gave that number; raises as `order`."""
        return self._parts.line.ask(
            Lane.STATUS,
            lambda client: self._one(
                client, client.fetch_order(venue_order_id, symbol, dict(self._dialect.own_id_extra))
            ),
            self._weights.ask,
        )

    def open_orders(self) -> list[Report]:
        """Every order that may still fill, the trader's own among them; raises `VenueUnreachable`."""
        found: list[Report] = []
        for listing in self._dialect.open_orders:
            if listing.kind is not None and listing.kind not in self._parts.kinds:
                continue
            for extra in self._per_quote(listing):
                found += self._parts.line.ask(
                    Lane.STATUS, _bound(self._listed, listing, extra), self._weights.open_orders
                )
        return found

    def _per_quote(self, listing: Listing) -> Iterator[dict[str, Any]]:
        if not listing.per_quote:
            yield dict(listing.extra)
            return
        for quote in self._parts.quotes(listing.kind or Kind.PERPETUAL):
            yield {**listing.extra, listing.per_quote: quote}

    def _look(self, look: Look, exchange_id: str, symbol: str) -> Report:
        extra = dict(look.extra)
        if look.given is Given.AS_PARAMETER:
            extra[look.parameter] = exchange_id

        def question(client: Any) -> Report:
            if look.method == "fetch_order":
                return self._one(client, client.fetch_order(None, symbol, extra))
            rows = with_sizes(client, getattr(client, look.method)(symbol, None, None, extra))
            for row in rows:
                if row.get("clientOrderId") == exchange_id:
                    return self._told(row)
            self._require_readable(client)
            raise OrderNotFound(f"{self._parts.row.name} lists no order {exchange_id!r}")

        return self._parts.line.ask(Lane.STATUS, question, self._weights.ask)

    def _one(self, client: Any, answer: Any) -> Report:
        """One order; an answer that can be read and holds none means that there is none."""
        [row] = with_sizes(client, [answer])
        if not row.get("id"):
            self._require_readable(client)
            raise OrderNotFound(f"{self._parts.row.name} answered without an order")
        return self._told(row)

    def _require_readable(self, client: Any) -> None:
        """That nothing was found means something only where the answer could be read."""
        if client.last_json_response is None:
            raise Unreadable(f"{self._parts.row.name} sent something that is no answer")

    def _told(self, row: Mapping[str, Any]) -> Report:
        report = self._parts.reader.report(row)
        if report.state is None:
            raise Unreadable(f"{self._parts.row.name} does not say how order {report.venue_order_id} stands")
        return report

    def _followed(self, report: Report, symbol: str) -> Report:
        """A triggered stop trades on as another order: what became of it is told by that one."""
        if report.traded_as is None:
            return report
        traded = self.by_own_id(report.traded_as, symbol)
        return replace(report, state=traded.state, filled=traded.filled, at=traded.at)

    def _listed(self, listing: Listing, extra: dict[str, Any], client: Any) -> list[Report]:
        return [self._told(row) for row in _pages(listing, extra, client)]


def _pages(listing: Listing, extra: dict[str, Any], client: Any) -> Iterator[Mapping[str, Any]]:
    """The rows of every page of a list of open orders."""
    cursor = ""
    for _ in range(MOST_PAGES):
        page = {**extra, "cursor": cursor} if cursor else dict(extra)
        rows = client.fetch_open_orders(None, None, listing.limit, page)
        yield from with_sizes(client, _of_kind(client, rows, listing.kind))
        told = next_page(rows, listing.cursor)
        if listing.limit is None or len(rows) < listing.limit or not told or told == cursor:
            return
        cursor = told
    raise Unreadable("the list of open orders does not end")


def _of_kind(client: Any, rows: Any, kind: Kind | None) -> Any:
    """The rows read again as orders of one kind, where the exchange writes both kinds of a pair alike."""
    if kind is None or not isinstance(rows, list):
        return rows
    name = "spot" if kind is Kind.SPOT else "swap"
    return [
        client.parse_order(row["info"], client.safe_market(row["info"].get("symbol"), None, None, name)) for row in rows
    ]


def next_page(rows: Sequence[Mapping[str, Any]], field: str) -> str:
    """The name of the next page, which stands on one of the raw rows; "" where none does."""
    if not field:
        return ""
    return next((str(row["info"][field]) for row in rows if row["info"].get(field)), "")


def _bound(
    question: Callable[[Listing, dict[str, Any], Any], T], listing: Listing, extra: dict[str, Any]
) -> Callable[[Any], T]:
    return lambda client: question(listing, extra, client)
