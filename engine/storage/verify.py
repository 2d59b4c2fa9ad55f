"""Proof that the stored record is whole: chain, checkpoints, and projections against a replay."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from engine.domain.codec import decode_fact, encode
from engine.domain.errors import StorageError
from engine.storage.base import cannot_read, connect
from engine.storage.chain import AUDIT, JOURNAL, ChainReport, Head, link, verify_chain
from engine.storage.projections import TABLES, apply_fact


def verify(path: Path, key: bytes) -> ChainReport:
    """Check the journal's chain, its end against the signed head, and the checkpoints that rest on it.

    Parameters
    ----------
    path : Path
        ``money.sqlite``; read only, an engine may be writing.
    key : bytes
        Key of the chain.

    Raises
    ------
    DatabaseCorrupt
        The file is damaged.
    StorageError
        It cannot be read.
    """
    with _opened(path) as connection:
        report = verify_chain(connection, JOURNAL, key, JOURNAL.head_path(path))
        if not report.ok:
            return report
        broken = _broken_checkpoint(connection, key)
    return report if broken is None else ChainReport(report.rows, False, broken, f"the checkpoint at {broken} changed")


def verify_tail(path: Path, key: bytes) -> ChainReport:
    """Check the journal from the newest checkpoint on: what a start can afford when the journal is long.

    The checkpoint's own code proves the row it rests on; without one everything is checked. Raises as `verify`.
    """
    with _opened(path) as connection:
        broken = _broken_checkpoint(connection, key)
        if broken is not None:
            return ChainReport(0, False, broken, f"the checkpoint at {broken} changed")
        row = connection.execute(_NEWEST_CHECKED).fetchone()
        start = None if row is None else Head(row[0], bytes(row[1]))
        return verify_chain(connection, JOURNAL, key, JOURNAL.head_path(path), start)


def verify_audit(path: Path, key: bytes) -> ChainReport:
    """Check the audit chain of ``control.sqlite`` and its end. Raises as `verify`."""
    with _opened(path) as connection:
        return verify_chain(connection, AUDIT, key, AUDIT.head_path(path))


def verify_projections(path: Path) -> list[str]:
    """Replay the journal into empty tables and compare them with the stored ones.

    Returns
    -------
    list of str
        One line per table that differs, with the number of rows on either side; empty when all agree.
    """
    with closing(sqlite3.connect("", isolation_level=None, uri=True)) as replay:
        try:
            replay.execute("ATTACH ? AS stored", (f"{path.absolute().as_uri()}?mode=ro",))
            _replay(replay)
            return [line for table in TABLES if (line := _difference(replay, table))]
        except sqlite3.Error as error:
            raise cannot_read(error, path) from error


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(connect(path, read_only=True)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise cannot_read(error, path) from error


def _broken_checkpoint(connection: sqlite3.Connection, key: bytes) -> int | None:
    query = (
        "SELECT c.book, c.sequence, c.state, c.mac, j.mac FROM checkpoints c LEFT JOIN journal j USING (sequence) "
        "ORDER BY c.checkpoint_id"
    )
    for book, sequence, state, mac, before in connection.execute(query):
        previous = JOURNAL.genesis(key) if sequence == 0 else before
        if previous is None or mac != link(key, b"checkpoint" + previous, sequence, (book, state)):
            return int(sequence)
    return None


def _replay(replay: sqlite3.Connection) -> None:
    for table in TABLES:
        create = replay.execute("SELECT sql FROM stored.sqlite_schema WHERE name=?", (table,)).fetchone()
        if create is None:
            raise StorageError(f"table {table} is missing; run the migration")
        replay.execute(create[0])
    replay.execute("BEGIN")
    for sequence, book, payload in _journal_rows(replay):
        fact = decode_fact(payload)
        apply_fact(replay, sequence, book, type(fact), encode(fact))
    replay.execute("COMMIT")


def _journal_rows(connection: sqlite3.Connection) -> Iterator[tuple[int, str, str]]:
    yield from connection.execute("SELECT sequence, book, payload FROM stored.journal ORDER BY sequence")


def _difference(replay: sqlite3.Connection, table: str) -> str | None:
    extra = _surplus(replay, f"stored.{table}", f"main.{table}")
    missing = _surplus(replay, f"main.{table}", f"stored.{table}")
    if not extra and not missing:
        return None
    return f"{table}: {extra} rows differ from the journal, {missing} rows of the journal are not there"


def _surplus(replay: sqlite3.Connection, left: str, right: str) -> int:
    query = f"SELECT count(*) FROM (SELECT * FROM {left} EXCEPT SELECT * FROM {right})"  # noqa: S608 - our own names
    return int(replay.execute(query).fetchone()[0])


_NEWEST_CHECKED = (
    "SELECT j.sequence, j.mac FROM checkpoints c JOIN journal j USING (sequence) ORDER BY j.sequence DESC LIMIT 1"
)
