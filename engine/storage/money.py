"""The money file: one writer, fenced by a lease, that makes facts durable together with what they add up to."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.domain.codec import decode_fact, encode, to_json, utc_text
from engine.domain.errors import BadInput, CannotRecord, ChainBroken, StorageError
from engine.domain.facts import Fact
from engine.domain.ports import Appended, Clock
from engine.storage.base import cannot_read, cannot_record, connect
from engine.storage.chain import JOURNAL, Head, export_head, head_fits, link, read_head
from engine.storage.lease import Leases, newest_epoch, read_epoch_floor, write_epoch_floor
from engine.storage.projections import apply_fact, insert_sql

KEPT_CHECKPOINTS = 5
HEAD_EVERY_ROWS = 500
_READ_ROWS = 2_000
_BOOK_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Tail:
    """The last journal row: what the next one follows."""

    sequence: int
    mac: bytes
    wall_time: str


_Prepared = list[tuple[type, dict[str, Any], str]]


class MoneyStore:
    """The engine's only way to write money tables: one connection, one lock, one epoch.

    Parameters
    ----------
    path : Path
        ``money.sqlite``, already migrated; the signed head and the epoch floor lie beside it.
    key : bytes
        Key of the journal's chain, from `engine.storage.chain.load_or_create_key`.
    clock : Clock
        Gives the wall time that every row carries.

    Raises
    ------
    CannotRecord
        The file cannot be opened for writing.
    """

    def __init__(self, path: Path, key: bytes, clock: Clock) -> None:
        self._path = path
        self._key = key
        self._clock = clock
        self._lock = threading.Lock()
        self._tail: _Tail | None = None
        self._exported: int | None = None
        self._leases = Leases()
        try:
            self._connection = connect(path, shared=True)
        except sqlite3.Error as error:
            raise cannot_record(error, path) from error

    @property
    def path(self) -> Path:
        """The database file."""
        return self._path

    def acquire_lease(self, installation: str) -> int:
        """Become the one that may write; every older `BookJournal` is fenced from now on.

        Parameters
        ----------
        installation : str
            Random name of this installation, stored beside the epoch.

        Returns
        -------
        int
            The epoch: larger than any this file or this data folder has seen, also after an old backup was restored.
        """
        with self._lock:
            with self._transaction() as connection:
                epoch = self._next_epoch(connection, installation)
                self._tail = None
            self._leases = Leases(epoch, epoch)
        self._check_head()
        return epoch

    def renew(self, book: str, installation: str) -> int:
        """A new epoch for one book that starts again: its older journals are fenced, other books go on under theirs."""
        with self._lock:
            with self._transaction() as connection:
                self._leases.require(newest_epoch(connection), book, self._leases.of(book))
                epoch = self._next_epoch(connection, installation)
            self._leases.newest = self._leases.books[book] = epoch
        return epoch

    @property
    def epoch(self) -> int:
        """The newest epoch this store has taken; 0 before the first."""
        return self._leases.newest

    def _next_epoch(self, connection: sqlite3.Connection, installation: str) -> int:
        epoch = max(newest_epoch(connection), read_epoch_floor(self._path.parent)) + 1
        connection.execute(insert_sql("lease"), (epoch, installation, utc_text(self._clock.now())))
        write_epoch_floor(self._path.parent, epoch)
        return epoch

    def journal(self, book: str, epoch: int) -> BookJournal:
        """The journal of one book, written under an epoch that `acquire_lease` gave."""
        if _BOOK_NAME.fullmatch(book) is None:
            raise BadInput(f"book name {book!r} must be 1 to 64 characters of a-z, 0-9, '_', '.', '-'")
        return BookJournal(self, book, epoch)

    def append(self, book: str, epoch: int, facts: Sequence[Fact], market_time: datetime) -> tuple[int, list[Fact]]:
        """Make facts durable in one transaction: journal rows and projections, or nothing.

        Returns
        -------
        (int, list of Fact)
            Sequence of the file's last row, and the fills, payments and flows left out because they are stored already.

        Raises
        ------
        CannotRecord
            Nothing was written; the message says why and what to do.
        Fenced
            A newer engine holds the lease.
        """
        prepared: _Prepared = [(type(fact), data := encode(fact), to_json(data)) for fact in facts]
        market = utc_text(market_time)
        with self._lock:
            with self._transaction() as connection:
                self._leases.require(newest_epoch(connection), book, epoch)
                tail = self._tail or _load_tail(connection, self._key)
                tail, skipped = self._write(connection, tail, (book, market), prepared)
            self._tail = tail
            if self._exported is not None and tail.sequence - self._exported >= HEAD_EVERY_ROWS:
                self._export_head(tail, durable=False)
        return tail.sequence, [facts[index] for index in skipped]

    def checkpoint(self, book: str, epoch: int, sequence: int, state: Mapping[str, Any]) -> None:
        """Store what the facts of a book up to ``sequence`` add up to; the newest five are kept. Raises as `append`."""
        text = json.dumps(state, sort_keys=True, separators=(",", ":"), allow_nan=False)
        with self._lock:
            with self._transaction() as connection:
                self._leases.require(newest_epoch(connection), book, epoch)
                mac = _checkpoint_mac(connection, self._key, (book, sequence, text))
                row = (None, book, sequence, text, utc_text(self._clock.now()), mac)
                connection.execute(insert_sql("checkpoints"), row)
                connection.execute(_DROP_OLD_CHECKPOINTS, (book, book, KEPT_CHECKPOINTS))
                tail = self._tail or _load_tail(connection, self._key)
            if self._exported is not None:
                self._export_head(tail, durable=True)

    def latest_checkpoint(self, book: str) -> tuple[int, Mapping[str, Any]] | None:
        """The newest checkpoint of a book, None before the first.

        Raises
        ------
        ChainBroken
            It was changed, or the journal row it rests on was.
        """
        with self._reading() as connection:
            row = connection.execute(_NEWEST_CHECKPOINT, (book,)).fetchone()
            if row is None:
                return None
            sequence, text, mac = row
            expected = _checkpoint_mac(connection, self._key, (book, sequence, text))
        if mac != expected:
            raise ChainBroken(
                f"the newest checkpoint of book {book} (sequence {sequence}) was changed; restore a backup, or delete "
                "the rows of table checkpoints: the journal rebuilds the state"
            )
        return int(sequence), json.loads(text)

    def read(self, book: str, after: int) -> Iterator[tuple[int, Fact]]:
        """Facts of a book after a sequence, oldest first, read in portions so that no long transaction stays open."""
        while True:
            with self._reading() as connection:
                rows = connection.execute(_READ_BOOK, (book, after, _READ_ROWS)).fetchall()
            for sequence, payload in rows:
                yield sequence, decode_fact(payload)
            if len(rows) < _READ_ROWS:
                return
            after = rows[-1][0]

    def last_written(self, book: str) -> datetime | None:
        """Wall time of a book's newest row; None where it has none."""
        with self._reading() as connection:
            row = connection.execute(_NEWEST_ROW, (book,)).fetchone()
        return None if row is None else datetime.fromisoformat(row[0])

    def close(self) -> None:
        """Export the signed head and close the file; closing twice is harmless."""
        with self._lock:
            if self._tail is not None and self._exported is not None:
                self._export_head(self._tail, durable=True)
            self._tail = None
            self._connection.close()

    def _write(
        self, connection: sqlite3.Connection, tail: _Tail, place: tuple[str, str], prepared: _Prepared
    ) -> tuple[_Tail, list[int]]:
        book, market = place
        sequence, mac = tail.sequence, tail.mac
        wall = max(utc_text(self._clock.now()), tail.wall_time)  # a clock set back must not turn the order around
        rows, skipped = [], []
        for index, (kind, data, payload) in enumerate(prepared):
            if not apply_fact(connection, sequence + 1, book, kind, data):
                skipped.append(index)
                continue
            sequence += 1
            texts = (book, market, wall, kind.__name__, payload)
            mac = link(self._key, mac, sequence, texts)
            rows.append((sequence, *texts, mac))
        connection.executemany(_INSERT_JOURNAL, rows)
        return _Tail(sequence, mac, wall if rows else tail.wall_time), skipped

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            raise cannot_record(error, self._path) from error
        except UnicodeEncodeError as error:
            self._undo()
            raise CannotRecord(f"{self._path.name}: a text holds what is not a character ({error})") from error
        except BaseException:
            self._undo()
            raise

    def _undo(self) -> None:
        # After a failed COMMIT nobody knows; the tail is read from the file again before the next row.
        self._tail = None
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            _log.error("rollback failed", extra={"file": self._path.name, "error": str(error)})

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(connect(self._path, read_only=True)) as connection:
                yield connection
        except sqlite3.Error as error:
            raise cannot_read(error, self._path) from error

    def _check_head(self) -> None:
        """Export the head, unless the file contradicts the one that lies there: that one is evidence and stays."""
        path = JOURNAL.head_path(self._path)
        try:
            head = read_head(path, self._key)
            with self._reading() as connection:
                tail = _load_tail(connection, self._key)
                stored = _mac_at(connection, head.count) if head else None
            fits = head_fits(JOURNAL, self._key, head, stored) if head else tail.sequence == 0
        except StorageError as error:
            _log.error("signed head cannot be used", extra={"file": path.name, "error": str(error)})
            return
        if not fits:
            _log.error("journal does not fit its signed head", extra={"file": path.name, "rows": tail.sequence})
            return
        self._export_head(tail, durable=True)

    def _export_head(self, tail: _Tail, durable: bool) -> None:
        # The facts are durable already: a head that cannot be written must not make them look lost.
        try:
            export_head(JOURNAL.head_path(self._path), self._key, Head(tail.sequence, tail.mac), durable)
        except CannotRecord as error:
            _log.error("signed head not written", extra={"error": str(error)})
        self._exported = tail.sequence


class BookJournal:
    """One book's view of the money file; implements `engine.domain.ports.Journal`."""

    def __init__(self, store: MoneyStore, book: str, epoch: int) -> None:
        self._store = store
        self._book = book
        self._epoch = epoch
        self.duplicates = 0
        """Fills, payments and flows that were left out because they were stored already."""

    def append(self, facts: Sequence[Fact], market_time: datetime) -> Appended:
        """Make the facts durable in one transaction. Raises `CannotRecord`, `Fenced`."""
        sequence, skipped = self._store.append(self._book, self._epoch, facts, market_time)
        for fact in skipped:
            self.duplicates += 1
            _log.warning("stored already, left out", extra={"book": self._book, "fact": repr(fact)})
        return Appended(sequence, tuple(skipped))

    def read(self, after: int) -> Iterator[tuple[int, Fact]]:
        """Facts after a sequence, oldest first."""
        return self._store.read(self._book, after)

    def checkpoint(self, sequence: int, state: Mapping[str, Any]) -> None:
        """Store the state that the facts up to ``sequence`` add up to (JSON values only)."""
        self._store.checkpoint(self._book, self._epoch, sequence, state)

    def latest_checkpoint(self) -> tuple[int, Mapping[str, Any]] | None:
        """The newest checkpoint, or None before the first; raises `ChainBroken` if it was changed."""
        return self._store.latest_checkpoint(self._book)


def _load_tail(connection: sqlite3.Connection, key: bytes) -> _Tail:
    row = connection.execute("SELECT sequence, mac, wall_time FROM journal ORDER BY sequence DESC LIMIT 1").fetchone()
    return _Tail(0, JOURNAL.genesis(key), "") if row is None else _Tail(row[0], bytes(row[1]), row[2])


def _mac_at(connection: sqlite3.Connection, sequence: int) -> bytes | None:
    row = connection.execute("SELECT mac FROM journal WHERE sequence=?", (sequence,)).fetchone()
    return None if row is None else bytes(row[0])


def _checkpoint_mac(connection: sqlite3.Connection, key: bytes, row: tuple[str, int, str]) -> bytes:
    book, sequence, state = row
    before = _mac_at(connection, sequence)
    if before is None and sequence:
        raise ChainBroken(f"checkpoint of book {book} names journal row {sequence}, which does not exist")
    previous = JOURNAL.genesis(key) if before is None else before
    return link(key, b"checkpoint" + previous, sequence, (book, state))


_INSERT_JOURNAL = insert_sql("journal")
_READ_BOOK = "SELECT sequence, payload FROM journal NOT INDEXED WHERE book=? AND sequence>? ORDER BY sequence LIMIT ?"
_NEWEST_ROW = "SELECT wall_time FROM journal NOT INDEXED WHERE book=? ORDER BY sequence DESC LIMIT 1"
_NEWEST_CHECKPOINT = "SELECT sequence, state, mac FROM checkpoints WHERE book=? ORDER BY checkpoint_id DESC LIMIT 1"
_DROP_OLD_CHECKPOINTS = """
    DELETE FROM checkpoints WHERE book=? AND checkpoint_id NOT IN
        (SELECT checkpoint_id FROM checkpoints WHERE book=? ORDER BY checkpoint_id DESC LIMIT ?)
"""
