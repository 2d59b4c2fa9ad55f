"""The money file as pages read it: on connections of their own, which never wait for the engine nor hold it up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Select, Table, func, select
from sqlalchemy.exc import SQLAlchemyError

from engine.domain.codec import decode_fact
from engine.domain.facts import StateChanged
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import Fill, FundingPaid, Liquidity, OrderIntent, OrderState, OrderType, Purpose, Side
from engine.storage.base import cannot_read, open_engine
from engine.storage.money_tables import JournalTable
from engine.storage.rows import (
    BookCounts,
    FillFilters,
    FillRow,
    FundingRow,
    JournalFilters,
    JournalRow,
    OrderFilters,
    OrderRow,
    Page,
    page_bounds,
)

T = TypeVar("T")
_TABLES = JournalTable.metadata.tables
_JOURNAL, _ORDERS, _FILLS, _FUNDING = (_TABLES[name] for name in ("journal", "orders", "fills", "funding"))


class MoneyReader:
    """Read-only questions to ``money.sqlite``. ``book`` None means every book.

    Every method raises `DatabaseCorrupt` or `StorageError` when the file cannot be read; an empty page means that
    there is nothing, never that something failed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine = open_engine(path, full_sync=True, read_only=True)

    def orders(self, book: str | None, filters: OrderFilters, page: int = 1, size: int = 50) -> Page[OrderRow]:
        """Orders that match, newest first."""
        query = _of_book(select(_ORDERS), _ORDERS, book)
        query = _between(query, _ORDERS.c.created_at, filters.since, filters.until)
        if filters.instrument is not None:
            query = query.where(_ORDERS.c.instrument == filters.instrument)
        if filters.sleeve is not None:
            query = query.where(_ORDERS.c.sleeve == filters.sleeve)
        if filters.states:
            query = query.where(_ORDERS.c.state.in_([state.value for state in filters.states]))
        return self._page(query.order_by(_ORDERS.c.sequence.desc()), _order_row, page, size)

    def order(self, client_id: str) -> OrderRow | None:
        """The order of that client id, None where no book has one."""
        with self._connected() as connection:
            row = connection.execute(select(_ORDERS).where(_ORDERS.c.client_id == client_id)).one_or_none()
        return None if row is None else _order_row(row)

    def fills_of(self, client_id: str) -> tuple[Fill, ...]:
        """Every fill of an order, oldest first."""
        query = select(_FILLS).where(_FILLS.c.client_id == client_id).order_by(_FILLS.c.sequence)
        with self._connected() as connection:
            return tuple(map(_fill, connection.execute(query)))

    def average_prices(self, client_ids: Sequence[str]) -> dict[str, Decimal]:
        """Average price (quote, weighted by quantity) of the fills of each order that has any."""
        query = select(_FILLS.c.client_id, _FILLS.c.quantity, _FILLS.c.price).where(_FILLS.c.client_id.in_(client_ids))
        sums: dict[str, tuple[Decimal, Decimal]] = {}
        with self._connected() as connection:
            for client_id, quantity, price in connection.execute(query):
                filled, cost = sums.get(client_id, (Decimal(0), Decimal(0)))
                sums[client_id] = (filled + quantity, cost + quantity * price)
        return {client_id: cost / filled for client_id, (filled, cost) in sums.items() if filled}

    def fills(self, book: str | None, filters: FillFilters, page: int = 1, size: int = 50) -> Page[FillRow]:
        """Fills that match, newest first, with the sleeve and purpose of their order."""
        joined = _FILLS.outerjoin(_ORDERS, _FILLS.c.client_id == _ORDERS.c.client_id)
        query = select(_FILLS, _ORDERS.c.sleeve, _ORDERS.c.purpose).select_from(joined)
        query = _between(_of_book(query, _FILLS, book), _FILLS.c.at, filters.since, filters.until)
        if filters.instrument is not None:
            query = query.where(_FILLS.c.instrument == filters.instrument)
        if filters.sleeve is not None:
            query = query.where(func.coalesce(_ORDERS.c.sleeve, "external") == filters.sleeve)
        return self._page(query.order_by(_FILLS.c.sequence.desc()), _fill_row, page, size)

    def funding(self, book: str | None, page: int = 1, size: int = 50) -> Page[FundingRow]:
        """Funding payments, newest first."""
        columns = (_FUNDING.c[name] for name in ("sequence", "book", "instrument", "amount", "currency", "at"))
        query = _of_book(select(*columns), _FUNDING, book).order_by(_FUNDING.c.sequence.desc())
        return self._page(query, _funding_row, page, size)

    def funding_paid(self, book: str) -> Iterator[FundingPaid]:
        """Every funding payment of a book in the order it became durable."""
        query = select(_FUNDING).where(_FUNDING.c.book == book).order_by(_FUNDING.c.sequence)
        with self._connected() as connection:
            for row in connection.execution_options(yield_per=1_000).execute(query):
                yield _funding_paid(row)

    def journal(self, book: str | None, filters: JournalFilters, page: int = 1, size: int = 50) -> Page[JournalRow]:
        """Journal rows that match, newest first."""
        columns = [column for column in _JOURNAL.columns if column.name != "mac"]
        query = _of_book(select(*columns), _JOURNAL, book)
        query = _between(query, _JOURNAL.c.wall_time, filters.since, filters.until)
        if filters.kind is not None:
            query = query.where(_JOURNAL.c.kind == filters.kind)
        if filters.text:
            query = query.where(_JOURNAL.c.payload.icontains(json.dumps(filters.text)[1:-1], autoescape=True))
        return self._page(query.order_by(_JOURNAL.c.sequence.desc()), _journal_row, page, size)

    def rearmed_at(self, book: str) -> tuple[datetime, ...]:
        """Market times at which the latch of a book was released, oldest first."""
        query = select(_JOURNAL.c.payload).where(_JOURNAL.c.book == book, _JOURNAL.c.kind == StateChanged.__name__)
        with self._connected() as connection:
            payloads = connection.execute(query.order_by(_JOURNAL.c.sequence)).scalars().all()
        changes = [fact for fact in map(decode_fact, payloads) if isinstance(fact, StateChanged)]
        return tuple(after.at for before, after in pairwise(changes) if before.latched and not after.latched)

    def fills_for_digest(self, book: str) -> Iterator[Fill]:
        """Every fill of a book in the order it became durable, for `engine.domain.codec.digest_of`."""
        query = select(_FILLS).where(_FILLS.c.book == book).order_by(_FILLS.c.sequence)
        with self._connected() as connection:
            for row in connection.execution_options(yield_per=1_000).execute(query):
                yield _fill(row)

    def counts(self, book: str | None = None) -> BookCounts:
        """How much is stored."""
        with self._connected() as connection:
            numbers = [
                connection.execute(_of_book(select(func.count()).select_from(table), table, book)).scalar_one()
                for table in (_JOURNAL, _ORDERS, _FILLS, _FUNDING, _TABLES["cash_flows"])
            ]
        return BookCounts(*numbers)

    def kinds(self, book: str | None = None) -> tuple[str, ...]:
        """The kinds of facts the journal holds, sorted, for a filter."""
        query = _of_book(select(_JOURNAL.c.kind).distinct(), _JOURNAL, book).order_by(_JOURNAL.c.kind)
        with self._connected() as connection:
            return tuple(connection.execute(query).scalars())

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def _page(self, query: Select[Any], make: Callable[[Row[Any]], T], page: int, size: int) -> Page[T]:
        limit, offset = page_bounds(page, size)
        counting = select(func.count()).select_from(query.order_by(None).subquery())
        with self._connected() as connection:
            total = connection.execute(counting).scalar_one()
            rows = connection.execute(query.limit(limit).offset(offset)).all()
        return Page(total, tuple(make(row) for row in rows), page, size)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise cannot_read(error, self._path) from error


def _of_book(query: Select[Any], table: Table, book: str | None) -> Select[Any]:
    return query if book is None else query.where(table.c.book == book)


def _between(query: Select[Any], column: Any, since: datetime | None, until: datetime | None) -> Select[Any]:
    if since is not None:
        query = query.where(column >= since)
    if until is not None:
        query = query.where(column < until)
    return query


def _order_row(row: Row[Any]) -> OrderRow:
    intent = OrderIntent(
        client_id=row.client_id,
        instrument=InstrumentKey(row.instrument),
        side=Side(row.side),
        quantity=row.quantity,
        order_type=OrderType(row.order_type),
        purpose=Purpose(row.purpose),
        sleeve=row.sleeve,
        created_at=row.created_at,
        reference_price=row.reference_price,
        limit_price=row.limit_price,
        stop_price=row.stop_price,
        reduce_only=bool(row.reduce_only),
        parent_id=row.parent_id,
        reason=row.reason,
    )
    return OrderRow(
        sequence=row.sequence,
        book=row.book,
        intent=intent,
        state=OrderState(row.state),
        filled=row.filled,
        venue_order_id=row.venue_order_id,
        venue_reason=row.venue_reason,
        updated_at=row.updated_at,
    )


def _fill(row: Row[Any]) -> Fill:
    return Fill(
        venue=row.venue,
        account=row.account,
        trade_id=row.trade_id,
        client_id=row.client_id,
        venue_order_id=row.venue_order_id,
        instrument=InstrumentKey(row.instrument),
        side=Side(row.side),
        quantity=row.quantity,
        price=row.price,
        fee=row.fee,
        fee_currency=row.fee_currency,
        liquidity=Liquidity(row.liquidity),
        at=row.at,
    )


def _fill_row(row: Row[Any]) -> FillRow:
    purpose = None if row.purpose is None else Purpose(row.purpose)
    return FillRow(row.sequence, row.book, row.sleeve or "external", purpose, _fill(row))


def _funding_row(row: Row[Any]) -> FundingRow:
    return FundingRow(row.sequence, row.book, InstrumentKey(row.instrument), row.amount, row.currency, row.at)


def _funding_paid(row: Row[Any]) -> FundingPaid:
    return FundingPaid(
        venue=row.venue,
        account=row.account,
        payment_id=row.payment_id,
        instrument=InstrumentKey(row.instrument),
        rate=row.rate,
        mark=row.mark,
        amount=row.amount,
        currency=row.currency,
        at=row.at,
    )


def _journal_row(row: Row[Any]) -> JournalRow:
    return JournalRow(row.sequence, row.book, row.market_time, row.wall_time, row.kind, row.payload)
