"""What the journal adds up to, as tables: written in the transaction of the fact, checked against a replay."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from operator import itemgetter
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import sqlite

from engine.domain.facts import CommandDone, EquityMark, Fact
from engine.domain.orders import CashFlow, Fill, FundingPaid, OrderIntent, OrderUpdate
from engine.storage.money_tables import JournalTable

TABLES = ("orders", "fills", "funding", "cash_flows", "commands_done", "equity_marks")

_DIALECT = sqlite.dialect(paramstyle="qmark")
_UPDATE_ORDER = """
    UPDATE orders
    SET state = :state, filled = :filled, updated_at = :at,
        venue_order_id = coalesce(:venue_order_id, venue_order_id),
        quantity = coalesce(:quantity, quantity),
        stop_price = coalesce(:stop_price, stop_price),
        venue_reason = coalesce(nullif(:reason, ''), venue_reason)
    WHERE client_id = :client_id
"""
_Encoded = dict[str, Any]
_Apply = Callable[[sqlite3.Connection, int, str, _Encoded], bool]


def insert_sql(table: str, unless: tuple[str, ...] = ()) -> str:
    """An INSERT of all columns in table order, compiled once so that the order path pays only for the driver.

    Parameters
    ----------
    unless : tuple of str
        Columns of a unique constraint: a row that repeats them is left out instead of being an error.
    """
    statement = sqlite.insert(_table(table))
    if unless:
        statement = statement.on_conflict_do_nothing(index_elements=list(unless))
    return str(statement.compile(dialect=_DIALECT))


def _table(name: str) -> Table:
    return JournalTable.metadata.tables[name]


def apply_fact(connection: sqlite3.Connection, sequence: int, book: str, kind: type, data: _Encoded) -> bool:
    """Bring the tables up to date with one fact.

    Parameters
    ----------
    data : mapping
        The fact as `engine.domain.codec.encode` made it: its texts are the columns.

    Returns
    -------
    bool
        False when the fact is a fill, payment or cash flow that is stored already: nothing was written.
    """
    apply = _APPLY.get(kind)
    return True if apply is None else apply(connection, sequence, book, data)


def _columns(table: str) -> Callable[[_Encoded], tuple[Any, ...]]:
    return itemgetter(*[column.name for column in _table(table).columns if column.name not in ("sequence", "book")])


def _appender(table: str, unique: tuple[str, ...] = ()) -> _Apply:
    sql = insert_sql(table, unique)
    values = _columns(table)

    def run(connection: sqlite3.Connection, sequence: int, book: str, data: _Encoded) -> bool:
        return connection.execute(sql, (sequence, book, *values(data))).rowcount == 1

    return run


def _order_inserter() -> _Apply:
    sql = insert_sql("orders")
    anew = sql.replace("INSERT INTO", "INSERT OR REPLACE INTO", 1)  # whoever placed it may use an id twice
    names = [column.name for column in _table("orders").columns]
    values = itemgetter(*names)

    def run(connection: sqlite3.Connection, sequence: int, book: str, data: _Encoded) -> bool:
        start = {"sequence": sequence, "book": book, "state": "intent", "filled": "0", "venue_order_id": None}
        row = {**data, **start, "venue_reason": "", "updated_at": data["created_at"]}
        connection.execute(anew if data.get("adopted") else sql, values(row))
        return True

    return run


def _update_order(connection: sqlite3.Connection, sequence: int, book: str, data: _Encoded) -> bool:
    connection.execute(_UPDATE_ORDER, data)
    return True


def _command_marker() -> _Apply:
    sql = insert_sql("commands_done").replace("INSERT INTO", "INSERT OR REPLACE INTO", 1)

    def run(connection: sqlite3.Connection, sequence: int, book: str, data: _Encoded) -> bool:
        connection.execute(sql, (book, data["command_id"], sequence, data["status"], data["detail"], data["at"]))
        return True

    return run


_APPLY: dict[type[Fact], _Apply] = {
    OrderIntent: _order_inserter(),
    OrderUpdate: _update_order,
    Fill: _appender("fills", ("venue", "account", "instrument", "trade_id")),
    FundingPaid: _appender("funding", ("venue", "account", "payment_id")),
    CashFlow: _appender("cash_flows", ("book", "venue", "flow_id")),
    CommandDone: _command_marker(),
    EquityMark: _appender("equity_marks"),
}
