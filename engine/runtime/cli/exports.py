"""``export``: orders, fills and the journal, read beside a running engine."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TypeVar

from engine.domain.errors import BadInput
from engine.domain.orders import Fill
from engine.runtime.cli.context import effective
from engine.runtime.cli.folder import used_folder
from engine.runtime.cli.output import say_json_rows
from engine.runtime.clock import SystemClock
from engine.runtime.csv_export import csv_bytes
from engine.runtime.order_ends import end_reason
from engine.runtime.records import DEMO_BOOK
from engine.runtime.status import rounded_average
from engine.storage.money_reader import MoneyReader
from engine.storage.rows import MAX_PAGE_SIZE, FillFilters, FillRow, JournalFilters, OrderFilters, OrderRow, Page

Cells = dict[str, Any]


class _Numbered(Protocol):
    @property
    def sequence(self) -> int: ...


Stored = TypeVar("Stored", bound=_Numbered)


def export(options: argparse.Namespace) -> int:
    """Write everything that matches to stdout, oldest first."""
    used_folder()
    reader = MoneyReader(_money_file())
    try:
        kinds: dict[str, Callable[[MoneyReader, str | None], Iterator[Cells]]] = {
            "orders": _orders,
            "fills": _fills,
            "journal": _journal,
        }
        rows = kinds[options.what](reader, options.book)
        if options.csv:
            _write_csv(rows, _COLUMNS[options.what])
        else:
            say_json_rows(rows)
    finally:
        reader.close()
    return 0


def _money_file() -> Path:
    path = effective().settings.money_file
    if not path.exists():
        raise BadInput(f"{path} does not exist: no engine has traded in this data folder")
    return path


_COLUMNS = {
    "orders": (
        "client_order_id", "exchange_order_id", "book", "simulated", "venue", "symbol", "side", "type", "amount",
        "filled", "average_price", "limit_price", "stop_price", "reduce_only", "status", "purpose", "strategy",
        "reason", "created_at", "updated_at", "post_only", "end_reason",
    ),
    "fills": (
        "trade_id", "client_order_id", "exchange_order_id", "book", "simulated", "venue", "symbol", "side", "amount",
        "price", "fee", "fee_currency", "liquidity", "strategy", "purpose", "time",
    ),
    "journal": ("sequence", "book", "simulated", "market_time", "wall_time", "kind", "payload"),
}  # fmt: skip


def _write_csv(rows: Iterable[Cells], columns: tuple[str, ...]) -> None:
    cells = ([_csv_cell(name, row[name]) for name in columns] for row in rows)
    sys.stdout.buffer.write(csv_bytes(columns, cells))
    sys.stdout.buffer.flush()


def _csv_cell(name: str, value: object) -> object:
    if name == "simulated":
        return "SIMULATED" if value else ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def _orders(reader: MoneyReader, book: str | None) -> Iterator[Cells]:
    averages = _average_prices(row.fill for row in _every_fill(reader, book))
    for row in _oldest_first(lambda page: reader.orders(book, OrderFilters(), page, MAX_PAGE_SIZE)):
        yield order_cells(row, averages.get(row.intent.client_id))


def order_cells(row: OrderRow, average: Decimal | None) -> Cells:
    """An order as exports carry it; ``average`` is the price its fills came to, quote."""
    intent = row.intent
    venue, _, symbol = intent.instrument.partition(":")
    values = (
        intent.client_id, row.venue_order_id, row.book, row.book == DEMO_BOOK, venue, symbol, intent.side,
        intent.order_type, intent.quantity, row.filled, average, intent.limit_price, intent.stop_price,
        intent.reduce_only, row.state, intent.purpose, intent.sleeve, row.venue_reason or intent.reason,
        intent.created_at, row.updated_at, intent.post_only, end_reason(row),
    )  # fmt: skip
    return dict(zip(_COLUMNS["orders"], values, strict=True))


def average_price(reader: MoneyReader, client_id: str) -> Decimal | None:
    """What the fills of an order came to, quote; None before the first."""
    return _average_prices(reader.fills_of(client_id)).get(client_id)


def _average_prices(fills: Iterable[Fill]) -> dict[str, Decimal]:
    """Price by client order id, weighted by quantity; the finest fill price says how many decimals it keeps."""
    zero, bought = Decimal(0), dict[str, tuple[Decimal, Decimal, Decimal]]()
    for fill in fills:
        quantity, value, finest = bought.get(fill.client_id, (zero, zero, Decimal(1)))
        finest = min(finest, Decimal(1).scaleb(_places(fill.price)))
        bought[fill.client_id] = (quantity + fill.quantity, value + fill.quantity * fill.price, finest)
    return {
        client_id: rounded_average(value / quantity, finest) for client_id, (quantity, value, finest) in bought.items()
    }


def _places(price: Decimal) -> int:
    exponent = price.normalize().as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def _fills(reader: MoneyReader, book: str | None) -> Iterator[Cells]:
    for row in _every_fill(reader, book):
        fill = row.fill
        venue, _, symbol = fill.instrument.partition(":")
        values = (
            trade_number(fill.trade_id, symbol), fill.client_id, fill.venue_order_id, row.book, row.book == DEMO_BOOK,
            venue, symbol, fill.side, fill.quantity, fill.price, fill.fee, fill.fee_currency, fill.liquidity,
            row.sleeve, row.purpose, fill.at,
        )  # fmt: skip
        yield dict(zip(_COLUMNS["fills"], values, strict=True))


def trade_number(trade_id: str, symbol: str) -> str:
    """The exchange's own number of an execution; books put the symbol before it where each symbol is counted apart."""
    return trade_id.removeprefix(f"{symbol}:")


def _every_fill(reader: MoneyReader, book: str | None) -> list[FillRow]:
    return _oldest_first(lambda page: reader.fills(book, FillFilters(), page, MAX_PAGE_SIZE))


def _oldest_first(fetch: Callable[[int], Page[Stored]]) -> list[Stored]:
    """All rows; those an engine adds meanwhile push others to a later page, where they are seen a second time."""
    first = fetch(1)
    pages = (fetch(page).rows for page in range(2, first.pages + 1))
    rows = {row.sequence: row for row in chain(first.rows, *pages)}
    return [rows[sequence] for sequence in sorted(rows)]


def _journal(reader: MoneyReader, book: str | None) -> Iterator[Cells]:
    # What was written until now does not change any more: its pages can be taken from the last to the first.
    until = JournalFilters(until=SystemClock().now())
    for page in range(reader.journal(book, until, 1, MAX_PAGE_SIZE).pages, 0, -1):
        for row in reversed(reader.journal(book, until, page, MAX_PAGE_SIZE).rows):
            values = (
                row.sequence, row.book, row.book == DEMO_BOOK, row.market_time, row.wall_time, row.kind,
                json.loads(row.payload),
            )  # fmt: skip
            yield dict(zip(_COLUMNS["journal"], values, strict=True))
