"""One page of an exchange's list of executions, funding or flows: its rows, and where the next page begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from engine.domain.market import from_ms
from engine.exchanges.connected.asking import Parts, next_page
from engine.exchanges.connected.calls import UNREADABLE
from engine.exchanges.connected.dialects import Flows, Paging, Trades
from engine.exchanges.connected.fields import Unreadable
from engine.exchanges.connected.reading import with_sizes

FUNDING_ROWS = 100
ODD = "cannot be parsed"
"""Key of a row that even the library could not read: why."""
_FUNDING_TYPES = ("Funding",)
_TIMES = ["time", "execTime", "timestamp", "createdAt", "updatedTime", "insertTime", "fillTime"]
_NUMBERS = ["id", "execId", "tradeId", "trade_id", "fill_id", "tranId"]
Place = Mapping[str, Any]
"""Parameters of a page; a list's first one is made from its span."""
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """One list to be read from ``since_ms`` to ``until_ms``; ``scope`` is a symbol, a kind, or empty for all."""

    scope: str
    since_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in the library's words, and where the next page begins; None after the last."""

    rows: Sequence[Row]
    following: Place | None


PageReader = Callable[[Any, Span, Place | None], Page]
"""Asks a client for one page: the one at a place, or the first."""


def trade_pages(parts: Parts) -> PageReader:
    """How the pages of a venue's executions are read."""
    trades = parts.row.dialect.trades
    if trades.raw_method:
        return lambda client, span, place: _raw_page(client, parts.row.name, trades, span, place)
    return lambda client, span, place: _unified_page(client, trades, span, place)


def _raw_page(client: Any, venue: str, trades: Trades, span: Span, place: Place | None) -> Page:
    """The exchange's own execution list: it holds liquidations and funding, which ccxt's method asks not to see."""
    wanted = {"category": span.scope, "startTime": span.since_ms, "endTime": span.until_ms, "limit": trades.page_rows}
    answer = getattr(client, trades.raw_method)({**wanted, **(place or {})})
    result = answer.get("result") if isinstance(answer, Mapping) else None
    rows = result.get("list") if isinstance(result, Mapping) else None
    if not isinstance(result, Mapping) or not isinstance(rows, list):
        raise Unreadable(f"{venue} sent something that is no list of executions")
    cursor = str(result.get("nextPageCursor") or "")
    more = bool(cursor) and len(rows) >= trades.page_rows
    parsed = [_guarded(client, _parsed, client, row, span.scope) for row in rows]
    return Page(with_sizes(client, parsed), {"cursor": cursor} if more else None)


def _parsed(client: Any, row: Any, category: str) -> Any:
    if not isinstance(row, dict):
        raise Unreadable("the exchange sent an execution that is none")
    market = client.safe_market(row.get("symbol"), None, None, "spot" if category == "spot" else "swap")
    if row.get("execType") not in _FUNDING_TYPES:
        return client.parse_trade(row, market)
    paid = client.parse_income(row, market)
    return paid | {"code": market.get("settle") or paid["code"]}  # the library says USDT for USDC, too


def _unified_page(client: Any, trades: Trades, span: Span, place: Place | None) -> Page:
    extra = dict(place) if place is not None else _first_place(trades, span)
    by_time = trades.paging in (Paging.FORWARD, Paging.CURSOR, Paging.NUMBERED)
    since_ms = extra.pop("since", span.since_ms) if by_time else None
    limit = trades.page_rows if trades.paging is Paging.FORWARD else None
    with _every_row(client, "parse_trade") as told:
        rows = client.fetch_my_trades(span.scope or None, None if "fromId" in extra else since_ms, limit, dict(extra))
        rows = told if told else rows
    return Page(with_sizes(client, rows), _next_place(trades, span, rows, extra, since_ms))


def _first_place(trades: Trades, span: Span) -> dict[str, Any]:
    match trades.paging:
        case Paging.NUMBERED:
            return {"until": span.until_ms, "pageSize": trades.page_rows, "currentPage": 1}
        case Paging.OFFSET:
            return {"start": span.since_ms // 1000, "until": span.until_ms, "ofs": 0}
        case Paging.BACKWARD:
            return {"lastFillTime": _iso(span.until_ms)}
        case Paging.CURSOR:
            return {"until": span.until_ms, "limit": trades.page_rows}
        case Paging.FORWARD:
            return {"until": span.until_ms}


def _next_place(
    trades: Trades, span: Span, rows: Sequence[Row], extra: dict[str, Any], since_ms: int | None
) -> Place | None:
    is_full = len(rows) >= trades.page_rows
    match trades.paging:
        case Paging.OFFSET:
            return {**extra, "ofs": extra["ofs"] + len(rows)} if rows else None
        case Paging.CURSOR:
            told = next_page(rows, "cursor")
            return {**extra, "cursor": told} if told and told != extra.get("cursor") else None
        case Paging.NUMBERED:
            return {**extra, "currentPage": extra["currentPage"] + 1} if is_full else None
        case Paging.BACKWARD:
            oldest_ms = min(_times(rows), default=span.since_ms)
            more = is_full and oldest_ms > span.since_ms
            return {**extra, "lastFillTime": _iso(oldest_ms + 1)} if more else None  # others of that instant, too
        case Paging.FORWARD:
            return _forward(trades, rows, extra, since_ms) if is_full else None


def _forward(trades: Trades, rows: Sequence[Row], extra: dict[str, Any], since_ms: int | None) -> Place:
    """After the newest row by time; by number where a page holds nothing but one instant."""
    newest_ms = max(_times(rows), default=None)
    if newest_ms is not None and "fromId" not in extra and newest_ms != since_ms:
        return {**extra, "since": newest_ms}
    numbers = [int(row["id"]) for row in rows if str(row.get("id") or "").isdigit()]
    if not numbers:
        raise Unreadable(f"more than {trades.page_rows} executions at one instant cannot be read")
    return {"fromId": max(numbers) + 1}


def funding_page(client: Any, span: Span, place: Place | None) -> Page:
    """One page of a history of funding, oldest first."""
    since_ms = span.since_ms if place is None else place["since"]
    with _every_row(client, "parse_income") as told:
        rows = client.fetch_funding_history(span.scope or None, since_ms, FUNDING_ROWS)
        rows = told if told else rows
    sized = with_sizes(client, rows)
    newest_ms = max(_times(sized), default=since_ms)
    more = len(sized) >= FUNDING_ROWS and newest_ms > since_ms
    return Page(sized, {"since": newest_ms} if more else None)


def flow_pages(flows: Flows) -> PageReader:
    """How the pages of a list of flows are read: newest first, where it is cut at a number of rows at all."""

    def page(client: Any, span: Span, place: Place | None) -> Page:
        until_ms = span.until_ms if place is None else place[flows.until]
        extra = {**flows.extra, flows.until: until_ms}
        rows = with_sizes(client, getattr(client, flows.method)(None, span.since_ms, None, extra))
        oldest_ms = min(_times(rows), default=span.since_ms)
        more = len(rows) >= flows.extra.get("limit", len(rows) + 1) and span.since_ms < oldest_ms < until_ms
        return Page(rows, {flows.until: oldest_ms} if more else None)

    return page


def _times(rows: Sequence[Row]) -> Iterator[int]:
    return (row["timestamp"] for row in rows if type(row.get("timestamp")) is int and row["timestamp"] > 0)


@contextmanager
def _every_row(client: Any, parser: str) -> Iterator[list[Row]]:
    """Collect what a parser of the library makes of every row, those it fails at and those it would leave out, too."""
    told: list[Row] = []
    parse = getattr(client, parser, None)
    if parse is None:
        yield told
        return

    def kept(row: Any, *more: Any) -> Row:
        told.append(_guarded(client, parse, row, *more))
        return told[-1]

    own = vars(client).get(parser)
    setattr(client, parser, kept)
    try:
        yield told
    finally:
        delattr(client, parser)
        if own is not None:
            setattr(client, parser, own)


def _guarded(client: Any, parse: Callable[..., Any], *arguments: Any) -> Row:
    """What a parser makes of a row; where it fails, the row with why, and its number and time as far as told."""
    try:
        row: Row = parse(*arguments)
        return row
    except (Unreadable, *UNREADABLE) as error:
        raw = next((each for each in arguments if isinstance(each, dict)), {})
        at_ms, number = client.safe_integer_n(raw, _TIMES, 0), client.safe_string_n(raw, _NUMBERS, "")
        why = str(error) if isinstance(error, Unreadable) else f"{type(error).__name__}"
        return {"info": raw, "id": number, "symbol": raw.get("symbol"), "timestamp": at_ms, ODD: why}


def _iso(ms: int) -> str:
    return from_ms(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")
