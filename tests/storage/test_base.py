"""How the files are opened: durable where money is, read-only where asked, errors that name cause and way out."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from engine.domain.errors import CannotRecord, DatabaseCorrupt
from engine.storage.base import cannot_read, cannot_record, connect, is_corrupt, open_engine


@pytest.mark.parametrize(("full_sync", "level"), [(True, 2), (False, 1)], ids=["money", "telemetry"])
def test_open_engine_when_written_then_wal_and_the_asked_durability(
    tmp_path: Path, full_sync: bool, level: int
) -> None:
    engine = open_engine(tmp_path / "a.sqlite", full_sync)
    with engine.begin() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == level
        assert connection.execute(text("PRAGMA foreign_keys")).scalar_one() == 1
        assert connection.execute(text("PRAGMA busy_timeout")).scalar_one() >= 1000
    engine.dispose()


def test_open_engine_when_the_path_holds_question_and_hash_marks_then_it_is_that_file(tmp_path: Path) -> None:
    path = tmp_path / "a?b#c%20d.sqlite"
    engine = open_engine(path, full_sync=True)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (a INTEGER)"))
    engine.dispose()
    assert path.exists()


def test_open_engine_when_read_only_then_writes_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    reader = open_engine(path, full_sync=True, read_only=True)
    with pytest.raises(SQLAlchemyError), reader.connect() as connection:
        connection.execute(text("SELECT 1"))
    connect(path).close()
    with pytest.raises(SQLAlchemyError, match="readonly"), reader.begin() as connection:
        connection.execute(text("CREATE TABLE t (a INTEGER)"))
    reader.dispose()
    assert not list(tmp_path.glob("*-journal"))


def test_open_engine_when_a_transaction_fails_then_also_its_tables_are_gone(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "a.sqlite", full_sync=True)
    connection = engine.connect()
    connection.execute(text("CREATE TABLE t (a INTEGER)"))
    with pytest.raises(SQLAlchemyError):
        connection.execute(text("nonsense"))
    connection.close()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM sqlite_schema")).scalar_one() == 0
    engine.dispose()


def test_cannot_record_when_the_driver_says_full_then_the_message_does_and_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    connection = connect(path)
    connection.execute("CREATE TABLE t (a BLOB)")
    connection.execute(f"PRAGMA max_page_count={connection.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("INSERT INTO t VALUES (zeroblob(1000000))")
    connection.close()
    error = cannot_record(caught.value, path)
    assert isinstance(error, CannotRecord)
    assert "a.sqlite" in str(error)
    assert "disk is full; free space" in str(error)


def test_cannot_read_when_the_file_is_no_database_then_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(b"this is not a database at all" * 100)
    with closing(connect(path, read_only=True)) as connection, pytest.raises(sqlite3.DatabaseError) as caught:
        connection.execute("SELECT * FROM sqlite_schema")
    assert is_corrupt(caught.value)
    assert isinstance(cannot_read(caught.value, path), DatabaseCorrupt)


def test_cannot_record_when_the_system_refuses_then_its_words_are_in_the_message(tmp_path: Path) -> None:
    error = cannot_record(OSError(30, "Read-only file system"), tmp_path / "money.sqlite")
    assert "Read-only file system" in str(error)


def test_utc_text_column_when_a_time_is_naive_then_refused() -> None:
    from engine.storage.base import UtcText

    column = UtcText()
    assert column.process_bind_param(None, None) is None  # type: ignore[arg-type]
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert column.process_result_value(column.process_bind_param(at, None), None) == at  # type: ignore[arg-type]
