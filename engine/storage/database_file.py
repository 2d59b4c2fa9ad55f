"""One SQLite file as the control and telemetry stores use it: writes in short transactions, reads that never wait."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from engine.storage.base import cannot_read, cannot_record, open_engine


class DatabaseFile:
    """A file with one pool of writing and one of read-only connections.

    Parameters
    ----------
    path : Path
        The file, already migrated.
    full_sync : bool
        Whether a commit must survive a power cut.
    """

    def __init__(self, path: Path, full_sync: bool) -> None:
        self.path = path
        self.writer = open_engine(path, full_sync)
        self.reader = open_engine(path, full_sync, read_only=True)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, which began by waiting for other writers; raises `CannotRecord`."""
        try:
            with self.writer.begin() as connection:
                yield connection
        except (SQLAlchemyError, sqlite3.Error, UnicodeEncodeError) as error:
            raise cannot_record(error, self.path) from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only connection; raises `DatabaseCorrupt`, `StorageError`."""
        try:
            with self.reader.connect() as connection:
                yield connection
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise cannot_read(error, self.path) from error

    def close(self) -> None:
        """Give the connections back."""
        self.writer.dispose()
        self.reader.dispose()
