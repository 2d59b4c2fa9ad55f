"""Executions and funding after a cursor, read to the end: oldest first, each once, and an error is never an empty list.

The cursor is a JSON text: for each list that is read the time of its newest row (ms) and the numbers of the rows
shortly before it. The next look begins that much earlier, because exchanges show some executions late.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from engine.domain.errors import BadInput, VenueError
from engine.domain.instruments import Kind
from engine.domain.market import from_ms, to_ms
from engine.domain.orders import CashFlow, FundingPaid
from engine.exchanges.connected.asking import MOST_PAGES, Parts, next_page
from engine.exchanges.connected.dialects import Funding, Paging, Trades
from engine.exchanges.connected.fields import Unreadable
from engine.exchanges.connected.lanes import Lane
from engine.exchanges.connected.reading import Trade, with_sizes

_log = structlog.get_logger(__name__)
OVERLAP_MS = 20_000
FUNDING_OVERLAP_MS = 3_600_000
FUNDING_ROWS = 100
QUIET_MS = 3_600_000
"""A list in which nothing happens is taken as read up to so long ago."""
FLOW_OVERLAP_MS = 86_400_000
"""A deposit is listed from when it was seen, and counts from when it was confirmed: up to a day later."""
FLOW_EVERY_MS = 60_000
_FUNDING_TYPES = ("Funding",)
Row = Trade | FundingPaid | CashFlow


@dataclass(slots=True)
class _Mark:
    """How far one list was read: its newest time (ms), the numbers near it, and where its beginning was (ms)."""

    at_ms: int
    seen: tuple[str, ...] = ()
    begin_ms: int = 0


@dataclass(frozen=True, slots=True)
class _List:
    """One list: its name in the cursor, what it is of, how it is read, and how much of it is read again (ms)."""

    name: str
    scope: str
    read: Callable[[_Span], list[Row]]
    overlap_ms: int


@dataclass(frozen=True, slots=True)
class _Span:
    """One list to be read from ``since_ms`` to ``until_ms``; ``scope`` is a symbol, a kind, or empty for all."""

    scope: str
    since_ms: int
    until_ms: int


class Executions:
    """Reads what was executed at one venue.

    Parameters
    ----------
    parts : Parts
    now_ms : callable
        The exchange's time, ms.
    history_ms : int
        How long ago the beginning is, which the cursor "" stands for.
    """

    def __init__(self, parts: Parts, now_ms: Callable[[], int], history_ms: int = 86_400_000) -> None:
        self._parts = parts
        self._trades: Trades = parts.row.dialect.trades
        self._now_ms = now_ms
        self._history_ms = history_ms
        self._flows_due_ms = 0

    def since(self, cursor: str) -> tuple[list[Row], str]:
        """Rows after the cursor, oldest first, and the new cursor; raises `VenueUnreachable`, `BadInput`."""
        marks, now_ms = self._read_cursor(cursor), self._now_ms()
        rows: list[Row] = []
        for scope in self._scopes():
            name = f"trades {scope}".strip()
            rows += self._list(_List(name, scope, self._trade_rows, OVERLAP_MS), marks, now_ms)
        for scope in self._funding_scopes():
            name = f"funding {scope}".strip()
            rows += self._list(_List(name, scope, self._funding_rows, FUNDING_OVERLAP_MS), marks, now_ms)
        rows += self._flows(marks, now_ms)
        rows.sort(key=lambda row: row.at)
        values = {name: [mark.at_ms, list(mark.seen), mark.begin_ms] for name, mark in sorted(marks.items())}
        return rows, json.dumps(values)

    def flows_soon(self) -> None:
        """Money has moved: the next look asks for deposits and withdrawals too, so that it is soon explained."""
        self._flows_due_ms = 0

    def _flows(self, marks: dict[str, _Mark], now_ms: int) -> list[Row]:
        """Deposits, withdrawals and the like. Where they cannot be read, executions are told all the same: a balance
        that nothing explains is noticed by whoever compares the books, and the next look explains it.
        """
        rows: list[Row] = []
        if now_ms < self._flows_due_ms:
            return rows
        self._flows_due_ms = now_ms + FLOW_EVERY_MS
        for number, flows in enumerate(self._parts.row.dialect.flows):
            name = f"flows {number}"
            try:
                rows += self._list(_List(name, str(number), self._flow_rows, FLOW_OVERLAP_MS), marks, now_ms)
            except VenueError:
                marks.setdefault(name, _Mark(now_ms, (), now_ms))
                _log.info("flows not read", venue=self._parts.row.name, list=flows.method)
        return rows

    def _list(self, wanted: _List, marks: dict[str, _Mark], now_ms: int) -> list[Row]:
        """What one list holds after its mark, which is moved."""
        name, overlap_ms = wanted.name, wanted.overlap_ms
        mark = marks.get(name)
        first_ms = now_ms - self._history_ms if mark is None else mark.at_ms - overlap_ms
        found: dict[str, Row] = {}
        since_ms = first_ms
        while since_ms <= now_ms:
            until_ms = min(since_ms + self._trades.span_ms - 1, now_ms + overlap_ms)
            found |= {number_of(row): row for row in wanted.read(_Span(wanted.scope, since_ms, until_ms))}
            since_ms = until_ms + 1
        seen, begin_ms = (set(), first_ms) if mark is None else (set(mark.seen), mark.begin_ms)
        before_ms = first_ms if mark is None else mark.at_ms
        newest_ms = max([before_ms, now_ms - QUIET_MS, *(to_ms(row.at) for row in found.values())])
        near = {number for number, row in found.items() if to_ms(row.at) >= newest_ms - overlap_ms}
        if newest_ms == before_ms:  # a list that is suddenly empty, or of long ago, must not have old rows told again
            near |= seen
        marks[name] = _Mark(newest_ms, tuple(sorted(near)), begin_ms)
        told_ms = max(first_ms, begin_ms)
        return [row for number, row in found.items() if number not in seen and to_ms(row.at) >= told_ms]

    def _read_cursor(self, cursor: str) -> dict[str, _Mark]:
        if not cursor:
            return {}
        try:
            values = json.loads(cursor)
            return {name: _Mark(int(at_ms), tuple(seen), int(begin)) for name, (at_ms, seen, begin) in values.items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise BadInput(f"cursor {cursor[:80]!r} is not one of {self._parts.row.name}") from error

    # -- what lists there are -------------------------------------------------------------------------------------

    def _scopes(self) -> list[str]:
        if self._trades.by_symbol:
            return sorted(listed.instrument.symbol for listed in self._parts.listed.values())
        if self._trades.raw_method:
            return sorted("spot" if kind is Kind.SPOT else "linear" for kind in self._parts.kinds)
        return [""]

    def _funding_scopes(self) -> list[str]:
        dialect = self._parts.row.dialect
        if dialect.funding is not Funding.HISTORY or Kind.PERPETUAL not in self._parts.kinds:
            return []
        if not dialect.funding_by_symbol:
            return [""]
        listed = self._parts.listed.values()
        return sorted(each.instrument.symbol for each in listed if each.instrument.kind is Kind.PERPETUAL)

    # -- reading one list -----------------------------------------------------------------------------------------

    def _trade_rows(self, span: _Span) -> list[Row]:
        def question(client: Any) -> list[Row]:
            pages = (
                self._raw_pages(client, span) if self._trades.raw_method else _unified_pages(client, self._trades, span)
            )
            rows: list[Row] = []
            for page in pages:
                rows += [self._row(row) for row in with_sizes(client, page)]
            return [row for row in rows if to_ms(row.at) >= span.since_ms]

        return self._parts.line.ask(Lane.STATUS, question, self._parts.row.limits.weights.trades)

    def _row(self, row: Mapping[str, Any]) -> Row:
        if "code" in row:
            return self._parts.reader.funding(row, paid_is_positive=True)
        return self._parts.reader.trade(row)

    def _raw_pages(self, client: Any, span: _Span) -> Iterator[list[dict[str, Any]]]:
        """The exchange's own execution list: it holds liquidations and funding, which ccxt's method asks not to see."""
        cursor = ""
        for _ in range(MOST_PAGES):
            wanted = {"category": span.scope, "startTime": span.since_ms, "endTime": span.until_ms}
            wanted["limit"] = self._trades.page_rows
            answer = getattr(client, self._trades.raw_method)(wanted | ({"cursor": cursor} if cursor else {}))
            result = answer.get("result") if isinstance(answer, Mapping) else None
            rows = result.get("list") if isinstance(result, Mapping) else None
            if not isinstance(rows, list):
                raise Unreadable(f"{self._parts.row.name} sent something that is no list of executions")
            yield [_parsed(client, row, span.scope) for row in rows]
            cursor = str(result.get("nextPageCursor") or "") if isinstance(result, Mapping) else ""
            if not cursor or len(rows) < self._trades.page_rows:
                return
        raise Unreadable(f"{self._parts.row.name}'s list of executions does not end")

    def _funding_rows(self, span: _Span) -> list[Row]:
        def question(client: Any) -> list[Row]:
            rows: dict[str, Row] = {}
            since_ms = span.since_ms
            for _ in range(MOST_PAGES):
                page = client.fetch_funding_history(span.scope or None, since_ms, FUNDING_ROWS)
                read = [self._parts.reader.funding(row) for row in with_sizes(client, page)]
                rows |= {each.payment_id: each for each in read}
                newest_ms = max((to_ms(each.at) for each in read), default=since_ms)
                if len(read) < FUNDING_ROWS or newest_ms <= since_ms:
                    return [row for row in rows.values() if to_ms(row.at) >= span.since_ms]
                since_ms = newest_ms
            raise Unreadable(f"{self._parts.row.name}'s list of funding does not end")

        return self._parts.line.ask(Lane.STATUS, question, self._parts.row.limits.weights.trades)

    def _flow_rows(self, span: _Span) -> list[Row]:
        flows = self._parts.row.dialect.flows[int(span.scope)]

        def question(client: Any) -> list[Row]:
            extra = {**flows.extra, flows.until: span.until_ms}
            asked = getattr(client, flows.method)(None, span.since_ms, None, extra)
            told = [self._parts.reader.flow(row, flows) for row in with_sizes(client, asked)]
            return [row for row in told if row is not None and to_ms(row.at) >= span.since_ms]

        return self._parts.line.ask(Lane.STATUS, question, self._parts.row.limits.weights.trades)


def number_of(row: Row) -> str:
    """The number an execution, payment or movement of money is known by."""
    if isinstance(row, Trade):
        return row.number
    return row.payment_id if isinstance(row, FundingPaid) else row.flow_id


def _parsed(client: Any, row: Any, category: str) -> Any:
    if not isinstance(row, dict):
        raise Unreadable("the exchange sent an execution that is none")
    market = client.safe_market(row.get("symbol"), None, None, "spot" if category == "spot" else "swap")
    if row.get("execType") in _FUNDING_TYPES:
        return client.parse_income(row, market)
    return client.parse_trade(row, market)


def _unified_pages(client: Any, trades: Trades, span: _Span) -> Iterator[list[dict[str, Any]]]:
    symbol, extra, page = span.scope or None, _first_page(trades, span), 1
    since_ms: int | None = span.since_ms if trades.paging in (Paging.FORWARD, Paging.CURSOR, Paging.NUMBERED) else None
    for _ in range(MOST_PAGES):
        limit = trades.page_rows if trades.paging is Paging.FORWARD else None
        rows = client.fetch_my_trades(symbol, since_ms, limit, dict(extra))
        yield rows
        following = _next(trades, span, rows, extra, page)
        if following is None:
            return
        page += 1
        extra = following
        if trades.paging is Paging.FORWARD:
            newest_ms = max(row["timestamp"] for row in rows)
            if newest_ms == since_ms:
                raise Unreadable(f"more than {trades.page_rows} executions of {symbol} at one instant cannot be read")
            since_ms = newest_ms
    raise Unreadable("the list of executions does not end")


def _first_page(trades: Trades, span: _Span) -> dict[str, Any]:
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


def _next(
    trades: Trades, span: _Span, rows: list[dict[str, Any]], extra: dict[str, Any], page: int
) -> dict[str, Any] | None:
    """Parameters of the page after this one; None where this is the last."""
    match trades.paging:
        case Paging.OFFSET:
            return {**extra, "ofs": extra["ofs"] + len(rows)} if rows else None
        case Paging.CURSOR:
            told = next_page(rows, "cursor")
            return {**extra, "cursor": told} if told and told != extra.get("cursor") else None
        case Paging.NUMBERED:
            return {**extra, "currentPage": page + 1} if len(rows) >= trades.page_rows else None
        case Paging.BACKWARD:
            oldest_ms = min((row["timestamp"] for row in rows), default=span.since_ms)
            more = len(rows) >= trades.page_rows and oldest_ms > span.since_ms
            return {**extra, "lastFillTime": _iso(oldest_ms)} if more else None
        case Paging.FORWARD:
            return extra if len(rows) >= trades.page_rows else None


def _iso(ms: int) -> str:
    return from_ms(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")
