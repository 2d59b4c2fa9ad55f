"""Backups: a consistent copy of the data folder, proven readable before it gets its name."""

from __future__ import annotations

import logging
import os
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine.domain.errors import BadInput, CannotRecord, ChainBroken, DatabaseCorrupt, StorageError
from engine.storage.archive import Entry, Manifest, add_bytes, add_file, extract, read_manifest, write_manifest
from engine.storage.backup_research import ResearchChoice, choose_research, read_whole
from engine.storage.base import Database, cannot_read, connect
from engine.storage.chain import AUDIT, JOURNAL, ChainReport, load_or_create_key
from engine.storage.lease import read_epoch_floor, sync_folder
from engine.storage.verify import verify, verify_audit

BACKUP_FOLDER = "backups"
KEY_FILE = "keys/journal.key"
SETTINGS_FILE = "quarterdeck.toml"
HEADS = (JOURNAL.head_name, AUDIT.head_name)
DAILY_KEPT = 14
_STAMP = "%Y%m%dT%H%M%S%fZ"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BackupReport:
    """A finished, verified backup.

    Attributes
    ----------
    path : Path
        The archive, mode 0600.
    created_at : datetime
        Wall time of the copy.
    bytes, files : int
        Size of the archive and number of files in it.
    journal_rows, audit_rows : int
        Rows whose chains were checked inside the archive.
    with_keys : bool
        True when the folder of keys is inside, in clear: whoever has the archive has the keys.
    left_out : tuple of str
        Runs of research that are not inside, the newest first, because the archive would grow too large.
    """

    path: Path
    created_at: datetime
    bytes: int
    files: int
    journal_rows: int
    audit_rows: int
    with_keys: bool
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BackupInfo:
    """An archive as found on disk; ``problem`` is empty when its manifest can be read."""

    path: Path
    created_at: datetime
    bytes: int
    with_keys: bool
    problem: str


def backup(data_folder: Path, target: Path, with_keys: bool = False, label: str = "") -> BackupReport:
    """Copy databases, heads, venue journals, results of research and the settings file, and prove the copy.

    The engine may be running: SQLite's online backup gives each database as of one instant, money first and simulated
    venues after it, so that a venue never knows less than the ledger. Candles are listed, not copied; of research, see
    `engine.storage.backup_research`. The folder
    ``keys/`` stays out unless ``with_keys``: without it exchange keys in the archive stay sealed, and restoring
    needs the key files kept elsewhere.

    Parameters
    ----------
    target : Path
        Folder for the archive; made if missing.
    label : str
        Ends the archive's name, e.g. ``daily``.

    Raises
    ------
    CannotRecord
        The archive could not be written; nothing is left behind.
    DatabaseCorrupt, ChainBroken
        What was to be saved is damaged; no archive is made of it.
    """
    key = load_or_create_key(data_folder / KEY_FILE)
    now = datetime.now(UTC)
    name = f"quarterdeck-{now.strftime(_STAMP)}{f'-{label}' if label else ''}.zip"
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=target) as work:
            draft = Path(work) / name
            manifest = _write(draft, data_folder, key, Manifest(now, 0, with_keys, (), ()))
            journal, audit = prove(draft, key)
            draft.chmod(0o600)
            final = draft.replace(target / name)
            sync_folder(target)
    except OSError as error:
        raise CannotRecord(f"no backup in {target}: {error.strerror or error}; check disk space and rights") from error
    size = final.stat().st_size
    left_out = tuple(name for name, _ in manifest.left_out)
    return BackupReport(final, now, size, len(manifest.files), journal.rows, audit.rows, with_keys, left_out)


def backup_if_due(
    data_folder: Path, target: Path | None = None, every: timedelta = timedelta(days=1), keep: int = DAILY_KEPT
) -> BackupReport | None:
    """Make the daily backup if the newest one is older than ``every``; keep the newest ``keep`` daily ones.

    Returns
    -------
    BackupReport or None
        None when it is not due. Raises as `backup`.
    """
    folder = target or data_folder / BACKUP_FOLDER
    daily = [info for info in list_backups(folder) if info.path.stem.endswith("-daily")]
    if daily and datetime.now(UTC) - daily[0].created_at < every:
        return None
    report = backup(data_folder, folder, label="daily")
    for old in daily[keep - 1 :]:
        with suppress(OSError):
            old.path.unlink()
    return report


def list_backups(folder: Path) -> tuple[BackupInfo, ...]:
    """Archives in a folder, newest first; each was verified before it got its name. Raises `StorageError`."""
    try:
        found = [_info(path) for path in sorted(folder.glob("quarterdeck-*.zip"), reverse=True)]
    except OSError as error:
        raise StorageError(f"{folder} cannot be read: {error.strerror}") from error
    return tuple(sorted(found, key=lambda info: info.created_at, reverse=True))


def prove(path: Path, key: bytes) -> tuple[ChainReport, ChainReport]:
    """Read an archive back: manifest, hashes, databases and chains; the reports of journal and audit.

    Raises
    ------
    BadInput
        The archive is not what its manifest says.
    DatabaseCorrupt, ChainBroken
        A database in it is damaged.
    """
    with tempfile.TemporaryDirectory(prefix=".prove-", dir=path.parent) as work, open_archive(path) as archive:
        folder = Path(work)
        for entry in read_manifest(archive, key).files:
            extract(archive, entry, folder)
        return prove_folder(folder, key)


def prove_folder(folder: Path, key: bytes) -> tuple[ChainReport, ChainReport]:
    """Check the databases of an unpacked archive and the chains in them. Raises `DatabaseCorrupt`, `ChainBroken`."""
    for database in Database:
        if database.is_optional and not database.path(folder).exists():
            continue
        if problem := damage(database.path(folder)):
            raise DatabaseCorrupt(f"{database.file_name}: {problem}")
    reports = verify(Database.MONEY.path(folder), key), verify_audit(Database.CONTROL.path(folder), key)
    for name, report in zip(("journal", "audit"), reports, strict=True):
        if not report.ok:
            raise ChainBroken(f"{name}: {report.detail}; run `python -m engine audit verify` and keep older backups")
    return reports


def damage(path: Path) -> str:
    """What SQLite's own check says is wrong with a file; empty when it is whole."""
    try:
        with closing(connect(path, read_only=True)) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if found == ["ok"] else "; ".join(found)


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open an archive; raises `BadInput` when it is missing or no zip."""
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path} is not a backup archive: {error}") from error


def _write(draft: Path, folder: Path, key: bytes, empty: Manifest) -> Manifest:
    entries: list[Entry] = []
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        # Heads first: they may vouch for fewer rows than the databases copied after them, never for more.
        for name in (*HEADS, SETTINGS_FILE):
            if (folder / name).exists():
                entries.append(add_file(archive, folder / name, name))
        for database in Database:
            if database.is_optional and not database.path(folder).exists():
                continue
            copy = draft.with_name(database.file_name)
            copy_database(database.path(folder), copy)
            entries.append(add_file(archive, copy, database.file_name))
        for path in _files_below(folder, "venues", *(["keys"] if empty.with_keys else [])):
            with suppress(FileNotFoundError):  # a venue starts a new part now and then
                entries.append(add_file(archive, path, path.relative_to(folder).as_posix()))
        research = choose_research(folder)
        entries.extend(_add_research(archive, research, folder))
        manifest = Manifest(
            created_at=empty.created_at,
            epoch=read_epoch_floor(folder),
            with_keys=empty.with_keys,
            files=tuple(sorted(entries, key=lambda entry: entry.name)),
            candles=tuple(_candles(folder)),
            left_out=tuple((run.name, run.bytes) for run in research.left_out),
        )
        write_manifest(archive, manifest, key)
    with draft.open("rb+") as file:
        os.fsync(file.fileno())
    return manifest


def _add_research(archive: zipfile.ZipFile, research: ResearchChoice, folder: Path) -> Iterator[Entry]:
    for run in research.taken:
        for path, content in read_whole(run):
            yield add_bytes(archive, content, path.relative_to(folder).as_posix())


def copy_database(source: Path, target: Path) -> None:
    """Copy a database as of one instant, while others write it; the copy is one file without a log beside it."""
    try:
        with closing(connect(source, read_only=True)) as live, closing(sqlite3.connect(target)) as copy:
            live.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise cannot_read(error, source) from error


def _files_below(folder: Path, *names: str) -> Iterator[Path]:
    for name in names:
        yield from sorted(path for path in (folder / name).rglob("*") if path.is_file() and not path.is_symlink())


def _candles(folder: Path) -> Iterator[tuple[str, int]]:
    for path in _files_below(folder, "candles"):
        with suppress(FileNotFoundError):  # an import may be replacing it
            yield path.relative_to(folder).as_posix(), path.stat().st_size


def _info(path: Path) -> BackupInfo:
    status = path.stat()
    try:
        with open_archive(path) as archive:
            manifest = read_manifest(archive, None)
    except BadInput as error:
        changed = datetime.fromtimestamp(status.st_mtime, UTC)
        return BackupInfo(path, changed, status.st_size, False, str(error))
    return BackupInfo(path, manifest.created_at, status.st_size, manifest.with_keys, "")
