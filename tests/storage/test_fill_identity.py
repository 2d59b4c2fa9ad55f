"""An execution is known by venue, account, instrument and number; files made before that go on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.domain.instruments import InstrumentKey
from engine.runtime.clock import SystemClock
from engine.storage.base import Database
from engine.storage.migrate import migrate
from engine.storage.money import BookJournal, MoneyStore
from engine.storage.verify import verify, verify_projections

ETH = InstrumentKey("demo-a:ETH/USDT")
AS_IT_WAS = """
    DROP INDEX ix_fills_book; DROP INDEX ix_fills_client_id;
    ALTER TABLE fills RENAME TO newer;
    CREATE TABLE fills (
        sequence INTEGER NOT NULL, book TEXT NOT NULL, venue TEXT NOT NULL, account TEXT NOT NULL,
        trade_id TEXT NOT NULL, client_id TEXT NOT NULL, venue_order_id TEXT NOT NULL, instrument TEXT NOT NULL,
        side TEXT NOT NULL, quantity TEXT NOT NULL, price TEXT NOT NULL, fee TEXT NOT NULL,
        fee_currency TEXT NOT NULL, liquidity TEXT NOT NULL, at TEXT NOT NULL,
        CONSTRAINT pk_fills PRIMARY KEY (sequence),
        CONSTRAINT uq_fills_venue_account_trade_id UNIQUE (venue, account, trade_id)
    );
    INSERT INTO fills SELECT * FROM newer;
    DROP TABLE newer;
    CREATE INDEX ix_fills_book ON fills (book, sequence); CREATE INDEX ix_fills_client_id ON fills (client_id);
    UPDATE alembic_version SET version_num = '0001_journal';
"""


def fills(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT sequence, instrument, trade_id FROM fills ORDER BY sequence").fetchall()


def test_append_when_two_instruments_share_a_number_then_both_are_stored_and_each_once(
    journal: BookJournal, make: Any, money_path: Path, key: bytes
) -> None:
    bitcoin = make.fill(trade_id="7")
    ether = replace(bitcoin, instrument=ETH)
    done = journal.append([bitcoin, ether, bitcoin], make.now)
    assert (done.sequence, len(done.left_out)) == (2, 1)
    assert journal.append([ether], make.now).left_out == (ether,)
    assert fills(money_path) == [(1, "demo-a:BTC/USDT", "7"), (2, "demo-a:ETH/USDT", "7")]
    assert verify(money_path, key).ok
    assert verify_projections(money_path) == []


def test_migrate_when_the_money_file_is_of_the_first_schema_then_it_goes_on_with_every_row(
    folder: Path, money_path: Path, key: bytes, make: Any
) -> None:
    store = MoneyStore(money_path, key, SystemClock())
    before = make.fill(trade_id="7")
    store.journal("demo", store.acquire_lease("test")).append([make.cash(), before], make.now)
    store.close()
    with closing(sqlite3.connect(money_path)) as connection:
        connection.executescript(AS_IT_WAS)
    assert migrate(folder) == ["money.sqlite: 0001_journal -> 0002_fill_identity"]
    assert len(list((folder / "backups" / "before-upgrade").glob("money-0001_journal-*.sqlite"))) == 1
    again = MoneyStore(Database.MONEY.path(folder), key, SystemClock())
    journal = again.journal("demo", again.acquire_lease("test"))
    assert len(list(journal.read(0))) == 2
    assert journal.append([before], make.now).left_out == (before,)
    assert journal.append([replace(before, instrument=ETH)], make.now).left_out == ()
    again.close()
    assert [row[1:] for row in fills(money_path)] == [("demo-a:BTC/USDT", "7"), ("demo-a:ETH/USDT", "7")]
    assert verify(money_path, key).ok
    assert verify_projections(money_path) == []


def test_append_when_two_orders_that_were_taken_over_bear_the_same_id_then_both_are_recorded(
    journal: BookJournal, make: Any, money_path: Path, key: bytes
) -> None:
    first = replace(make.intent(), client_id="mine", adopted="17")
    again = replace(first, adopted="18")
    journal.append([first], make.now)
    journal.append([again], make.now)
    assert [fact for _, fact in journal.read(0)] == [first, again]
    assert verify(money_path, key).ok
    assert verify_projections(money_path) == []
