"""Bringing a data folder back: from an archive on request, or by itself at start when a database is damaged."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from engine.domain.errors import BadInput, CannotRecord, StorageError
from engine.storage.archive import Entry, Manifest, extract, read_key, read_manifest, require_space
from engine.storage.backup import BACKUP_FOLDER, HEADS, KEY_FILE, damage, list_backups, open_archive, prove_folder
from engine.storage.backup_research import RUN_FOLDERS
from engine.storage.base import Database, cannot_record, connect, is_corrupt
from engine.storage.chain import AUDIT, JOURNAL, load_or_create_key
from engine.storage.lease import mark_restored, read_epoch_floor, sync_folder, write_durably, write_epoch_floor
from engine.storage.lock import FolderLock

PLAN_FILE = "restore-in-progress.json"
_STAMP = "%Y%m%dT%H%M%S%fZ"
_HEAD_OF = {Database.MONEY: JOURNAL.head_name, Database.CONTROL: AUDIT.head_name}
_ALWAYS_REPLACED = (*HEADS, "venues")
"""Moved aside even when the archive has none: left behind, they would contradict the restored databases."""
_REFUSE_PENDING = (
    "UPDATE commands SET status='refused', detail='not carried out: a backup was restored' WHERE status='pending'"
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """A finished restore.

    Attributes
    ----------
    created_at : datetime
        When the archive was made.
    moved_aside : Path
        Folder that now holds what was there before.
    journal_rows : int
        Rows of the restored journal, every code checked.
    epoch_floor : int
        The next lease is above this.
    missing_candles : tuple of str
        Candle files the archive lists that this data folder does not have; import them again.
    missing_research : tuple of str
        Runs of research that were left out of the archive and that this data folder does not have.
    """

    created_at: datetime
    moved_aside: Path
    journal_rows: int
    epoch_floor: int
    missing_candles: tuple[str, ...]
    missing_research: tuple[str, ...] = ()


def restore(archive: Path, data_folder: Path) -> RestoreReport:
    """Replace the data folder's state by an archive's.

    Everything is unpacked beside, and hashes, databases and chains are proven, before anything is touched. What was
    there is moved aside, never deleted; runs of research that the archive does not have stay. Afterwards the engine
    starts HALTED, under an epoch above every one seen.

    Raises
    ------
    AlreadyRunning
        An engine owns the folder.
    BadInput
        The archive is damaged, changed, unsafe, or its key is missing.
    DatabaseCorrupt, ChainBroken
        A database inside it is damaged.
    CannotRecord
        Disk or rights; nothing was changed, or the next start completes it.
    """
    with FolderLock(data_folder):
        finish_restore(data_folder)
        staging = Path(tempfile.mkdtemp(prefix=".restoring-", dir=data_folder))
        try:
            manifest, rows = _stage(archive, data_folder, staging)
            floor = _raise_epoch(data_folder, staging, manifest)
            aside = data_folder / f"before-restore-{datetime.now(UTC).strftime(_STAMP)}"
            mark_restored(data_folder, f"backup of {manifest.created_at:%Y-%m-%d %H:%M:%S} UTC was restored")
            _plan(data_folder, staging, aside)
        except OSError as error:
            raise CannotRecord(f"nothing was restored: {error.strerror or error}; check disk space") from error
        finally:
            if not (data_folder / PLAN_FILE).exists():
                shutil.rmtree(staging, ignore_errors=True)
        finish_restore(data_folder)
    candles, runs = (
        tuple(name for name, _ in listed if not (data_folder / name).exists())
        for listed in (manifest.candles, manifest.left_out)
    )
    return RestoreReport(manifest.created_at, aside, rows, floor, candles, runs)


def finish_restore(data_folder: Path) -> bool:
    """Carry a planned restore to its end, also one that a crash interrupted; whether there was one.

    Each step is a rename that is skipped when it is done already.

    Raises
    ------
    StorageError
        The plan cannot be read.
    CannotRecord
        A rename failed; the plan stays.
    """
    plan = data_folder / PLAN_FILE
    try:
        document = json.loads(plan.read_text())
        staging, aside = data_folder / document["staging"], data_folder / document["aside"]
        arriving, names = document["arriving"], sorted({*document["arriving"], *_ALWAYS_REPLACED})
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{plan} cannot be read ({error}); restore the archive again after moving it away"
        ) from error
    try:
        for name in names:
            incoming = (staging / name).exists()
            if incoming or name not in arriving:
                _move_aside(data_folder, aside, name)
            if incoming:
                (data_folder / name).parent.mkdir(mode=0o700, exist_ok=True)
                (staging / name).rename(data_folder / name)
        sync_folder(data_folder)
        plan.unlink()
    except OSError as error:
        raise CannotRecord(f"the restore stopped at {name}: {error.strerror}; start again to complete it") from error
    shutil.rmtree(staging, ignore_errors=True)
    return True


def check_at_start(data_folder: Path) -> list[str]:
    """Check every database before the engine opens it; damaged or lost ones are replaced from the newest good backup.

    A damaged file is moved aside (``money.sqlite.corrupt-<time>``), never deleted. To be called by the holder of the
    folder's lock, before `engine.storage.migrate.migrate`.

    Returns
    -------
    list of str
        What was found and done, in words; empty when all is well. Unless only telemetry or research was hit,
        `engine.storage.lease.restored_reason` now answers: the engine must start HALTED.
    """
    halted = finish_restore(data_folder)
    messages = ["an interrupted restore was completed"] if halted else []
    for database in Database:
        problem = _lost(data_folder, database) or _problem(database.path(data_folder))
        if problem:
            messages.append(_replace(data_folder, database, problem))
            halted = halted or database in _HEAD_OF
    if halted:
        mark_restored(data_folder, "; ".join(messages))
    return messages


def _problem(path: Path) -> str:
    """What is wrong with a database that may have the log of a crash beside it; empty when it is whole."""
    if not path.exists() or path.stat().st_size == 0:
        return ""
    try:
        with closing(connect(path)) as connection:  # opening for writing replays the log
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error as error:
        if is_corrupt(error):
            return str(error)
        raise cannot_record(error, path) from error
    return damage(path)


def _lost(data_folder: Path, database: Database) -> str:
    """A database that was there (its signed head is) and now is missing or empty must not be started afresh."""
    head, path = _HEAD_OF.get(database), database.path(data_folder)
    if head is None or not (data_folder / head).exists():
        return ""
    return "is missing" if not path.exists() else "is empty" if path.stat().st_size == 0 else ""


def _replace(data_folder: Path, database: Database, problem: str) -> str:
    stamp = datetime.now(UTC).strftime(_STAMP)
    names = [f"{database.file_name}{end}" for end in ("", "-wal", "-shm")]
    if head := _HEAD_OF.get(database):
        names.append(head)
    for name in names:
        if (data_folder / name).exists():
            (data_folder / name).rename(data_folder / f"{name}.corrupt-{stamp}")
    found = f"{database.file_name} was damaged ({problem}) and moved aside as *.corrupt-{stamp}"
    for info in list_backups(data_folder / BACKUP_FOLDER):
        try:
            _take_back(info.path, data_folder, database)
        except (StorageError, BadInput) as error:
            _log.error("backup is not usable", extra={"archive": info.path.name, "error": str(error)})
            continue
        return f"{found}; it was restored from {info.path.name}"
    return f"{found}; there is no usable backup, it starts empty"


def _take_back(archive: Path, data_folder: Path, database: Database) -> None:
    """Put one database and its head back, after the whole archive was proven."""
    with tempfile.TemporaryDirectory(prefix=".restoring-", dir=data_folder) as work:
        staging = Path(work)
        manifest, _ = _stage(archive, data_folder, staging)
        _raise_epoch(data_folder, staging, manifest)
        if not (staging / database.file_name).exists():
            raise BadInput(f"{archive.name} holds no {database.file_name}")
        for name in (_HEAD_OF.get(database), database.file_name):
            if name is not None and (staging / name).exists():
                (staging / name).rename(data_folder / name)
        sync_folder(data_folder)


def _stage(archive: Path, data_folder: Path, staging: Path) -> tuple[Manifest, int]:
    """Unpack and prove an archive; its manifest and the number of journal rows."""
    with open_archive(archive) as opened:
        unsigned = read_manifest(opened, None)
        names = {entry.name: entry for entry in unsigned.files}
        manifest = read_manifest(opened, key := _key(opened, names.get(KEY_FILE), data_folder))
        require_space(data_folder, sum(entry.bytes for entry in manifest.files) + (16 << 20))
        for entry in manifest.files:
            extract(opened, entry, staging)
    for path in (staging / "keys").glob("**/*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    journal, _ = prove_folder(staging, key)
    _end_what_was_under_way(Database.CONTROL.path(staging))
    return manifest, journal.rows


def _end_what_was_under_way(control: Path) -> None:
    """An old command must not be carried out late, and a session ended since must not come back to life."""
    with closing(connect(control)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_REFUSE_PENDING)
        if connection.execute("SELECT 1 FROM sqlite_schema WHERE name='sessions'").fetchone():
            connection.execute("DELETE FROM sessions")
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode=DELETE")


def _key(archive: zipfile.ZipFile, inside: Entry | None, data_folder: Path) -> bytes:
    """The key that must have signed the archive: the one inside, else the data folder's."""
    if inside is not None:
        return read_key(archive, inside)
    path = data_folder / KEY_FILE
    if not path.exists():
        raise BadInput(
            f"the archive holds no keys and {path} does not exist; put the key files of that time there first"
        )
    return load_or_create_key(path)


def _raise_epoch(data_folder: Path, staging: Path, manifest: Manifest) -> int:
    """Lift the floor above every epoch the archive or the present database knows; the floor."""
    seen = [manifest.epoch, read_epoch_floor(data_folder)]
    for path in (Database.MONEY.path(staging), Database.MONEY.path(data_folder)):
        try:
            with closing(connect(path, read_only=True)) as connection:
                seen.append(connection.execute("SELECT coalesce(max(epoch), 0) FROM lease").fetchone()[0])
        except sqlite3.Error as error:
            _log.warning("epochs not readable", extra={"file": str(path), "error": str(error)})
    write_epoch_floor(data_folder, max(seen))
    return max(seen)


def _plan(data_folder: Path, staging: Path, aside: Path) -> None:
    aside.mkdir(mode=0o700)
    sync_folder(data_folder)
    arriving = sorted(_arriving(staging))
    document = {"staging": staging.name, "aside": aside.name, "arriving": arriving}
    write_durably(data_folder / PLAN_FILE, json.dumps(document).encode())


def _arriving(staging: Path) -> Iterator[str]:
    """What is put in place as a whole: of research each run by itself, since newer ones contradict nothing."""
    for path in staging.iterdir():
        if path.name in RUN_FOLDERS:
            yield from (f"{path.name}/{run.name}" for run in path.iterdir())
        else:
            yield path.name


def _move_aside(data_folder: Path, aside: Path, name: str) -> None:
    # The log goes first: without its database it does nothing, beside the new database it would.
    for end in ("-wal", "-shm", "") if name.endswith(".sqlite") else ("",):
        if (data_folder / f"{name}{end}").exists():
            (aside / name).parent.mkdir(mode=0o700, exist_ok=True)
            (data_folder / f"{name}{end}").rename(aside / f"{name}{end}")
