"""What was recorded, as pages show it: equity, fills, orders, journal, audit, tax."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from engine.domain.commands import Receipt, Role
from engine.domain.errors import BadInput
from engine.domain.instruments import InstrumentKey
from engine.domain.market import CandleArrays, to_ms
from engine.domain.orders import OrderState
from engine.domain.trail_views import AuditRow, ChainView, JournalRow, LogRow
from engine.domain.views import EquityCurve, FillRow, OrderRow, PageOf, TradeChart
from engine.runtime import logs
from engine.runtime.audit_rows import command_of, outcome_words, without_id
from engine.runtime.csv_export import csv_bytes
from engine.runtime.desk import Desk
from engine.runtime.order_ends import end_reason
from engine.runtime.trail_words import journal_words
from engine.storage import rows as stored
from engine.storage.verify import verify

EXPORT_PAGE = 5000
EXPORT_LIMIT = 500_000
DEMO_BOOK = "demo"


class Records(Desk):
    """Reads the money and control files; never writes them."""

    def equity_curve(self, book: str, since: datetime | None, points: int = 1500) -> EquityCurve:
        """Equity and drawdown by market time, thinned without losing extremes."""
        currency = self.snapshot().book(book).base_currency
        curve = self._services.telemetry.equity.curve(book, since, points, currency)
        first = int(curve.at_ms[0]) if len(curve.at_ms) else 0
        rearmed = map(to_ms, self._services.money.rearmed_at(book))
        return replace(curve, rearmed_ms=tuple(at_ms for at_ms in rearmed if at_ms >= first))

    def fills(self, book: str, page: int, size: int, filters: Mapping[str, str]) -> PageOf[FillRow]:
        """Fills, newest first."""
        found = self._services.money.fills(book, _fill_filters(filters), page, size)
        return PageOf(tuple(_fill(row) for row in found.rows), found.total, found.page, found.size)

    def orders(self, book: str, page: int, size: int, filters: Mapping[str, str]) -> PageOf[OrderRow]:
        """Orders, ended ones included, newest first."""
        found = self._services.money.orders(book, _order_filters(filters), page, size)
        prices = self._services.money.average_prices([row.intent.client_id for row in found.rows if row.filled])
        rows = tuple(_order(row, prices.get(row.intent.client_id)) for row in found.rows)
        return PageOf(rows, found.total, found.page, found.size)

    def trade_chart(self, book: str, instrument: InstrumentKey, sleeve: str | None, bars: int = 300) -> TradeChart:
        """Candles with the sleeve's fills, stop and target."""
        snapshot = self.snapshot().book(book)
        candles = self._history(book, instrument, bars)
        filters = stored.FillFilters(instrument=instrument, sleeve=sleeve)
        fills = self._services.money.fills(book, filters, 1, 200).rows
        held = [p for p in snapshot.positions if p.instrument == instrument and sleeve in (None, p.sleeve)]
        stop = next((float(p.stop_price) for p in held if p.stop_price is not None), None)
        target = next((float(p.target_price) for p in held if p.target_price is not None), None)
        entry = float(held[0].entry_price) if len(held) == 1 else None
        first = int(candles.opened_at_ms[0]) if len(candles) else 0
        shown = tuple(_fill(row) for row in fills if row.fill.at.timestamp() * 1000 >= first)
        chart = chart_of(instrument, candles, snapshot.simulated, shown, stop)
        return replace(chart, entry_price=entry, target_price=target)

    def _history(self, book: str, instrument: InstrumentKey, bars: int) -> CandleArrays:
        return self._services.supervisor.history(book, instrument, bars)

    def journal(self, page: int, size: int, filters: Mapping[str, str]) -> PageOf[JournalRow]:
        """Rows of the hash-chained journal, newest first."""
        chosen = stored.JournalFilters(
            filters.get("kind") or None, filters.get("text", ""), _at(filters, "since"), _at(filters, "until")
        )
        found = self._services.money.journal(filters.get("book") or None, chosen, page, size)
        return PageOf(tuple(_journal(row) for row in found.rows), found.total, found.page, found.size)

    def audit(self, page: int, size: int, filters: Mapping[str, str]) -> PageOf[AuditRow]:
        """Who did what; for operators and admins."""
        self.require(Role.OPERATOR)
        chosen = stored.AuditFilters(
            actor=filters.get("actor") or None, action=filters.get("action") or None, text=filters.get("text", "")
        )
        found = self._services.control.audit.page(chosen, page, size)
        ids = [command_id for r in found.rows if (command_id := command_of(r.action, r.detail)) is not None]
        receipts = self._services.control.receipts(ids)
        made = tuple(_audited(row, receipts) for row in found.rows)
        return PageOf(made, found.total, found.page, found.size)

    def verify_chains(self) -> tuple[ChainView, ...]:
        """Recompute both hash chains."""
        reports = (
            ("journal", verify(self._services.settings.settings.money_file, self._services.chain_key)),
            ("audit", self._services.control.audit.verify()),
        )
        return tuple(ChainView(name, r.rows, r.ok, r.broken_at, r.detail) for name, r in reports)

    def export_csv(self, what: str, filters: Mapping[str, str]) -> tuple[str, bytes]:
        """Everything that matches, as CSV."""
        exports: dict[str, Callable[[Mapping[str, str]], tuple[Sequence[str], Iterator[Sequence[Any]]]]] = {
            "fills": self._fill_cells,
            "orders": self._order_cells,
            "journal": self._journal_cells,
            "audit": self._audit_cells,
        }
        if what not in exports:
            raise BadInput(f"{what!r} cannot be exported; choose one of {', '.join(exports)}")
        header, rows = exports[what](filters)
        stamp = self._services.clock.now().strftime("%Y%m%d-%H%M%S")
        return f"quarterdeck-{what}-{stamp}.csv", csv_bytes(header, rows)

    def _fill_cells(self, filters: Mapping[str, str]) -> tuple[Sequence[str], Iterator[Sequence[Any]]]:
        header = (
            "time", "book", "simulated", "venue", "symbol", "side", "amount", "price", "fee", "fee_currency",
            "liquidity", "strategy", "purpose", "client_order_id", "trade_id",
        )  # fmt: skip
        book = filters.get("book") or DEMO_BOOK

        def rows() -> Iterator[Sequence[Any]]:
            for r in _all(lambda page: self.fills(book, page, EXPORT_PAGE, filters)):
                venue, symbol = r.instrument.split(":", 1)
                yield (
                    r.at, r.book, _simulated(r.simulated), venue, symbol, r.side, r.quantity, r.price, r.fee,
                    r.fee_currency, r.liquidity, r.sleeve, r.purpose, r.client_id, r.trade_id,
                )  # fmt: skip

        return header, rows()

    def _order_cells(self, filters: Mapping[str, str]) -> tuple[Sequence[str], Iterator[Sequence[Any]]]:
        header = (
            "time", "book", "simulated", "venue", "symbol", "side", "type", "amount", "filled", "limit_price",
            "stop_price", "status", "purpose", "strategy", "client_order_id", "exchange_order_id", "reason",
            "post_only", "reduce_only", "end_reason",
        )  # fmt: skip
        book = filters.get("book") or DEMO_BOOK

        def rows() -> Iterator[Sequence[Any]]:
            for r in _all(lambda page: self.orders(book, page, EXPORT_PAGE, filters)):
                venue, symbol = r.instrument.split(":", 1)
                yield (
                    r.created_at, r.book, _simulated(r.simulated), venue, symbol, r.side, r.order_type, r.quantity,
                    r.filled, r.limit_price, r.stop_price, r.state, r.purpose, r.sleeve, r.client_id,
                    r.venue_order_id, r.reason, r.post_only, r.reduce_only, r.end_reason,
                )  # fmt: skip

        return header, rows()

    def _journal_cells(self, filters: Mapping[str, str]) -> tuple[Sequence[str], Iterator[Sequence[Any]]]:
        found = _all(lambda page: self.journal(page, EXPORT_PAGE, filters))
        header = ("sequence", "book", "simulated", "market_time", "wall_time", "kind", "payload")
        return header, (
            (r.sequence, r.book, _simulated(r.book == DEMO_BOOK), r.market_time, r.wall_time, r.kind, r.payload)
            for r in found
        )

    def _audit_cells(self, filters: Mapping[str, str]) -> tuple[Sequence[str], Iterator[Sequence[Any]]]:
        found = _all(lambda page: self.audit(page, EXPORT_PAGE, filters))
        header = ("sequence", "time", "actor", "source", "action", "target", "detail", "outcome")
        return header, ((r.sequence, r.at, r.actor, r.source, r.action, r.target, r.detail, r.outcome) for r in found)

    def log(self, level: str, limit: int) -> tuple[LogRow, ...]:
        """The newest lines of the engine's log."""
        self.require(Role.OPERATOR)
        return logs.newest(level, limit)


def _audited(row: stored.AuditRow, receipts: Mapping[str, Receipt]) -> AuditRow:
    """A row of the trail with what became of its command."""
    command_id = command_of(row.action, row.detail)
    detail = row.detail if command_id is None else without_id(row.detail)
    outcome = "" if command_id is None else outcome_words(receipts.get(command_id))
    return AuditRow(row.sequence, row.at, row.actor, row.source, row.action, row.target, detail, outcome)


def chart_of(
    instrument: InstrumentKey,
    candles: CandleArrays,
    simulated: bool,
    fills: tuple[FillRow, ...] = (),
    stop: float | None = None,
) -> TradeChart:
    """Candles as a chart."""
    return TradeChart(
        instrument=instrument,
        timeframe=str(candles.timeframe),
        simulated=simulated,
        opened_at_ms=candles.opened_at_ms,
        open=candles.open,
        high=candles.high,
        low=candles.low,
        close=candles.close,
        volume=candles.volume,
        fills=fills,
        stop_price=stop,
        target_price=None,
    )


def _all(fetch: Callable[[int], PageOf[Any]]) -> Iterator[Any]:
    page = 1
    while True:
        found = fetch(page)
        if found.total > EXPORT_LIMIT:
            raise BadInput(f"{found.total} rows match; choose a shorter time or a filter, at most {EXPORT_LIMIT} fit")
        yield from found.rows
        if page * found.size >= found.total:
            return
        page += 1


def _simulated(simulated: bool) -> str:
    return "SIMULATED" if simulated else ""


def _at(filters: Mapping[str, str], name: str) -> datetime | None:
    text = filters.get(name, "")
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{name} {text!r} is not a time like 2026-01-31T00:00:00+00:00") from None
    if at.tzinfo is None:
        raise BadInput(f"{name} {text!r} has no time zone; add +00:00 for UTC")
    return at


def _fill_filters(filters: Mapping[str, str]) -> stored.FillFilters:
    return stored.FillFilters(
        filters.get("instrument") or None, filters.get("sleeve") or None, _at(filters, "since"), _at(filters, "until")
    )


def _order_filters(filters: Mapping[str, str]) -> stored.OrderFilters:
    try:
        states = tuple(OrderState(name) for name in filters.get("state", "").split(",") if name)
    except ValueError:
        raise BadInput(f"{filters['state']!r} is not an order state") from None
    return stored.OrderFilters(
        instrument=filters.get("instrument") or None,
        sleeve=filters.get("sleeve") or None,
        states=states,
        since=_at(filters, "since"),
        until=_at(filters, "until"),
    )


def _fill(row: stored.FillRow) -> FillRow:
    fill = row.fill
    return FillRow(
        at=fill.at,
        book=row.book,
        simulated=row.book == DEMO_BOOK,
        instrument=fill.instrument,
        side=fill.side.value,
        quantity=fill.quantity,
        price=fill.price,
        fee=fill.fee,
        fee_currency=fill.fee_currency,
        liquidity=fill.liquidity.value,
        sleeve=row.sleeve,
        purpose=row.purpose.value if row.purpose else "external",
        client_id=fill.client_id,
        trade_id=fill.trade_id,
    )


def _order(row: stored.OrderRow, average_price: Decimal | None) -> OrderRow:
    intent = row.intent
    return OrderRow(
        created_at=intent.created_at,
        updated_at=row.updated_at,
        book=row.book,
        simulated=row.book == DEMO_BOOK,
        client_id=intent.client_id,
        venue_order_id=row.venue_order_id or "",
        instrument=intent.instrument,
        side=intent.side.value,
        order_type=intent.order_type.value,
        quantity=intent.quantity,
        filled=row.filled,
        limit_price=intent.limit_price,
        stop_price=intent.stop_price,
        state=row.state.value,
        purpose=intent.purpose.value,
        sleeve=intent.sleeve,
        reason=intent.reason,
        average_price=average_price,
        post_only=intent.post_only,
        reduce_only=intent.reduce_only,
        end_reason=end_reason(row),
    )


def _journal(row: stored.JournalRow) -> JournalRow:
    return JournalRow(
        row.sequence, row.book, row.market_time, row.wall_time, row.kind, journal_words(row.payload), row.payload
    )
