"""Facts about the data folder that must outlive its databases: the highest epoch ever used, and a restore."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from engine.domain.codec import utc_text
from engine.domain.errors import CannotRecord, Fenced, StorageError

EPOCH_FILE = "epoch"
RESTORED_FILE = "restored.json"


@dataclass(slots=True)
class Leases:
    """Epochs that one writer has taken: its first, the newest of all, and those of books that started again since."""

    first: int = 0
    newest: int = 0
    books: dict[str, int] = field(default_factory=dict)

    def of(self, book: str) -> int:
        """The epoch under which a book is written."""
        return self.books.get(book, self.first)

    def require(self, stored: int, book: str, epoch: int) -> None:
        """Raise `Fenced` unless a book may be written under an epoch.

        Parameters
        ----------
        stored : int
            The newest epoch in the file; higher than ours once another writer has taken over.
        book : str
        epoch : int
            A writer that has taken none itself may write under the newest.
        """
        holder = self.of(book) if stored == self.newest else stored
        is_replaced = self.newest and stored != self.newest
        if is_replaced or epoch != holder:
            raise Fenced(f"epoch {epoch} has ended, epoch {holder} holds the lease; this engine must stop")


def newest_epoch(connection: sqlite3.Connection) -> int:
    """The newest epoch in the money file, 0 before the first."""
    return int(connection.execute("SELECT coalesce(max(epoch), 0) FROM lease").fetchone()[0])


def read_epoch_floor(folder: Path) -> int:
    """The highest epoch this folder has used, 0 in a new one.

    It lies outside the database, so that restoring an old backup cannot bring an epoch back whose client order ids
    an exchange has seen.

    Raises
    ------
    StorageError
        The file does not hold a number.
    """
    path = folder / EPOCH_FILE
    try:
        return int(path.read_text().strip())
    except FileNotFoundError:
        return 0
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{path} cannot be read ({error}); write a number into it that is higher than any epoch "
            "in the client order ids at your exchanges"
        ) from error


def write_epoch_floor(folder: Path, epoch: int) -> None:
    """Remember an epoch durably; a lower one than stored is ignored. Raises `CannotRecord`."""
    if epoch > read_epoch_floor(folder):
        write_durably(folder / EPOCH_FILE, f"{epoch}\n".encode())


def mark_restored(folder: Path, reason: str) -> None:
    """Leave word that the databases were replaced: the next engine starts HALTED with a new epoch."""
    body = {"reason": reason, "at": utc_text(datetime.now(UTC))}
    write_durably(folder / RESTORED_FILE, json.dumps(body).encode())


def restored_reason(folder: Path) -> str | None:
    """Why the next start must be HALTED, or None when nothing was restored."""
    path = folder / RESTORED_FILE
    try:
        return str(json.loads(path.read_text())["reason"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{path.name} cannot be read ({error})"


def halted_by_restore(folder: Path) -> frozenset[str]:
    """Books whose journal holds the HALTED state that the restore asks for; none where the mark cannot be read."""
    try:
        return frozenset(map(str, json.loads((folder / RESTORED_FILE).read_text()).get("halted", ())))
    except (OSError, ValueError, AttributeError, TypeError):
        return frozenset()


def note_halted(folder: Path, books: Iterable[str]) -> None:
    """Remember which books the restore has halted, so that one that starts later is halted too. Raises `CannotRecord`.

    Nothing is written where nothing was restored.
    """
    reason = restored_reason(folder)
    if reason is not None:
        body = {"reason": reason, "halted": sorted({*books, *halted_by_restore(folder)})}
        write_durably(folder / RESTORED_FILE, json.dumps(body).encode())


def clear_restored(folder: Path) -> None:
    """Forget the restore, once the HALTED state of every book is in the journal."""
    (folder / RESTORED_FILE).unlink(missing_ok=True)


def write_durably(path: Path, content: bytes) -> None:
    """Replace a small file in one step and wait until the disk has it. Raises `CannotRecord`."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise CannotRecord(f"{path} could not be written: {error.strerror}; check disk space and rights") from error


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable, where the system can (Windows does it by itself)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
