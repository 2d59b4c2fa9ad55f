"""How the SQLite files are opened, and the words their tables share."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Dialect, Engine, MetaData, Text, create_engine, event
from sqlalchemy.orm import registry
from sqlalchemy.types import TypeDecorator
from sqlmodel import SQLModel

from engine.domain.codec import utc_from_text, utc_text
from engine.domain.errors import CannotRecord, DatabaseCorrupt, StorageError

BUSY_TIMEOUT_MS = 5_000

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class MoneyBase(SQLModel, registry=registry(metadata=MetaData(naming_convention=_NAMES))):
    """Tables of ``money.sqlite``, which only the engine writes."""


class ControlBase(SQLModel, registry=registry(metadata=MetaData(naming_convention=_NAMES))):
    """Tables of ``control.sqlite``: commands, sessions, people, settings, audit."""


class TelemetryBase(SQLModel, registry=registry(metadata=MetaData(naming_convention=_NAMES))):
    """Tables of ``telemetry.sqlite``: what charts read and what may be lost in a power cut."""


class ResearchBase(SQLModel, registry=registry(metadata=MetaData(naming_convention=_NAMES))):
    """Tables of ``research.sqlite``: studies, every trial of them, and when a holdout was looked at."""


class Database(Enum):
    """The files of a data folder."""

    MONEY = "money"
    CONTROL = "control"
    TELEMETRY = "telemetry"
    RESEARCH = "research"

    @property
    def file_name(self) -> str:
        """Name inside the data folder, e.g. ``money.sqlite``."""
        return f"{self.value}.sqlite"

    @property
    def full_sync(self) -> bool:
        """Whether a commit must reach the disk before it returns."""
        return self is not Database.TELEMETRY

    @property
    def is_optional(self) -> bool:
        """Whether the file is made when it is first needed, and a folder without it is complete."""
        return self is Database.RESEARCH

    def path(self, folder: Path) -> Path:
        """Where the file lies in a data folder."""
        return folder / self.file_name


class DecimalText(TypeDecorator[Decimal]):
    """A Decimal kept as its own text, because SQLite numbers are floats."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        """Decimal to text."""
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Decimal | None:
        """Text to Decimal."""
        return None if value is None else Decimal(value)


class UtcText(TypeDecorator[datetime]):
    """An aware instant as ``2026-01-31T23:59:59.000000Z``: fixed width, so that text order is time order."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Aware datetime to text; a naive one is refused."""
        return None if value is None else utc_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        """Text to aware UTC."""
        return None if value is None else utc_from_text(value)


def open_engine(path: Path, full_sync: bool, read_only: bool = False) -> Engine:
    """A SQLAlchemy engine on one SQLite file in WAL mode.

    Every transaction of a writing engine begins IMMEDIATE: what it reads stays true until it commits, and waiting for
    another writer happens at the start (`BUSY_TIMEOUT_MS`), never half-way. Read with a ``read_only`` engine where
    nothing is to be written: it never waits for a writer.

    Parameters
    ----------
    path : Path
        The file; created (with its schema missing) unless ``read_only``.
    full_sync : bool
        True where a commit must survive a power cut (money, control), False for telemetry.
    read_only : bool
        Refuses every write and a missing file.
    """
    mode = "ro" if read_only else "rwc"
    url = URL.create("sqlite", database=f"file:{_quoted(path)}", query={"mode": mode, "uri": "true"})
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "cached_statements": 256})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        apply_pragmas(connection, full_sync, read_only)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def apply_pragmas(connection: sqlite3.Connection, full_sync: bool, read_only: bool) -> None:
    """Durability, waiting and foreign keys of one driver connection."""
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    if read_only:
        connection.execute("PRAGMA query_only=ON")
        return
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={'FULL' if full_sync else 'NORMAL'}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA trusted_schema=OFF")


def connect(path: Path, full_sync: bool = True, read_only: bool = False, shared: bool = False) -> sqlite3.Connection:
    """A driver connection with the same settings as `open_engine`, in autocommit mode.

    ``shared`` lets other threads use it; the caller holds a lock around every use.
    """
    mode = "ro" if read_only else "rwc"
    uri = f"file:{_quoted(path)}?mode={mode}"
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=not shared
    )
    try:
        apply_pragmas(connection, full_sync, read_only)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _quoted(path: Path) -> str:
    """The path for a ``file:`` address: only characters that end or split the address are replaced."""
    text = path.absolute().as_posix()
    return text.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


_CAUSES = {
    sqlite3.SQLITE_FULL: "the disk is full; free space on it, then re-arm",
    sqlite3.SQLITE_READONLY: "the file or its folder is read-only; make it writable for the engine's user",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened; check that the folder exists and is writable",
    sqlite3.SQLITE_PERM: "access is denied; make the file writable for the engine's user",
    sqlite3.SQLITE_BUSY: "another program holds the file locked; close it and try again",
    sqlite3.SQLITE_LOCKED: "another connection holds a table locked; close it and try again",
    sqlite3.SQLITE_IOERR: "the disk answered with an error (full, removed or broken); check it, then re-arm",
    sqlite3.SQLITE_CONSTRAINT: "a value that must be unique is stored already, which is a fault of the program",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restart the engine, which checks and restores it",
    sqlite3.SQLITE_NOTADB: "the file is not a database; restart the engine, which checks and restores it",
}


def cannot_record(error: Exception, path: Path) -> CannotRecord:
    """The error that says which file could not be written, why, and the way out.

    Parameters
    ----------
    error : Exception
        What the driver, SQLAlchemy or the operating system raised.
    path : Path
        The file that was to be written.
    """
    original = getattr(error, "orig", None) or error
    code = getattr(original, "sqlite_errorcode", None)
    cause = _CAUSES.get(code & 0xFF, str(original)) if isinstance(code, int) else str(original)
    return CannotRecord(f"{path.name} could not be written: {cause} ({original})")


def is_corrupt(error: Exception) -> bool:
    """Whether the driver says that the file itself is damaged."""
    original = getattr(error, "orig", None) or error
    code = getattr(original, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def cannot_read(error: Exception, path: Path) -> StorageError:
    """The error that says which file could not be read, and the way out."""
    original = getattr(error, "orig", None) or error
    if is_corrupt(error):
        return DatabaseCorrupt(f"{path.name} is damaged ({original}); restart the engine, which checks and restores it")
    return StorageError(f"{path.name} could not be read: {original}; check that it exists and is readable")
