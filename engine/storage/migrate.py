"""Brings the files of a data folder to the newest schema: whole or not at all."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from engine.domain.errors import StorageError
from engine.storage.base import Database, cannot_read, cannot_record, connect, is_corrupt, open_engine

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(folder: Path) -> list[str]:
    """Upgrade money, control, telemetry and, where it was made already, research to their newest revision.

    Each file is upgraded in one transaction whose last write is the version row, so a power cut leaves the old schema.
    A file with data in it is copied to ``backups/before-upgrade`` first. Files already at their newest revision are
    recognised by one query each, without loading the migration library.

    Parameters
    ----------
    folder : Path
        The data folder; created (mode 0700) if missing.

    Returns
    -------
    list of str
        One line per upgraded file, empty when all were current.

    Raises
    ------
    CannotRecord
        The folder or a file cannot be written.
    DatabaseCorrupt
        A file is not a database.
    StorageError
        A file comes from a newer version of the program, or a revision failed (and was rolled back).
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_record(error, folder) from error
    present = [one for one in Database if not one.is_optional or one.path(folder).exists()]
    return [line for database in present if (line := migrate_file(database, folder))]


def migrate_file(database: Database, folder: Path) -> str | None:
    """Upgrade one file; what was done in words, or None when it was current. Raises as `migrate`."""
    path = database.path(folder)
    known = _revisions(MIGRATIONS / database.value)
    current = current_revision(path)
    if current == known[-1]:
        return None
    if current is not None and current not in known:
        raise StorageError(
            f"{path.name} is at schema {current}, which this version does not know (newest: {known[-1]}); "
            "start the newer version of the program, or restore a backup made by this one"
        )
    if current is None:
        _create_private(path)
    else:
        _copy_before_upgrade(path, current)
    _upgrade(path, database)
    return f"{path.name}: {current or 'new'} -> {known[-1]}"


def current_revision(path: Path) -> str | None:
    """Revision stored in the file; None for a missing or empty one. Raises `DatabaseCorrupt`, `StorageError`."""
    if not path.exists() or path.stat().st_size == 0:
        return None
    try:
        with closing(connect(path, read_only=True)) as connection:
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type='table'")}
            if not tables:
                return None
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        if "alembic_version" in str(error):
            raise StorageError(
                f"{path.name} has tables but no schema version; it is not ours: move it out of the data folder"
            ) from error
        raise cannot_read(error, path) from error
    return None if row is None else str(row[0])


@cache
def _revisions(scripts: Path) -> list[str]:
    """Revision ids, oldest first: a revision's id is the name of its file, which begins with its number."""
    return sorted(file.stem for file in scripts.glob("[0-9]*.py"))


def _create_private(path: Path) -> None:
    # SQLite gives its log files the rights of the database.
    try:
        path.touch(0o600)
    except OSError as error:
        raise cannot_record(error, path) from error


def _copy_before_upgrade(path: Path, revision: str) -> None:
    target = path.parent / "backups" / "before-upgrade"
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy = target / f"{path.stem}-{revision}-{stamp}.sqlite"
        with closing(connect(path, read_only=True)) as source, closing(sqlite3.connect(copy)) as destination:
            source.backup(destination)
    except (sqlite3.Error, OSError) as error:
        raise cannot_record(error, path) from error


def _upgrade(path: Path, database: Database) -> None:
    # Alembic takes 0.2 s to import; a start with current files must not pay for it.
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.util.exc import CommandError
    from sqlalchemy.exc import SQLAlchemyError

    folder = MIGRATIONS / database.value
    scripts = ScriptDirectory(str(folder), version_locations=[str(folder)])
    engine = open_engine(path, full_sync=True)
    try:
        with engine.begin() as connection:
            context = MigrationContext.configure(
                connection,
                opts={
                    "fn": lambda revision, _context: scripts._upgrade_revs("heads", revision),
                    "transactional_ddl": True,
                    "transaction_per_migration": False,
                },
            )
            with Operations.context(context):
                context.run_migrations()
    except (SQLAlchemyError, CommandError, sqlite3.Error, OSError) as error:
        if is_corrupt(error):
            raise cannot_read(error, path) from error
        raise StorageError(f"{path.name} keeps its old schema, the upgrade failed: {error}") from error
    finally:
        engine.dispose()
