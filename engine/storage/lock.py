"""One engine per data folder: a lock the system itself takes back when the process dies, however it dies."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from engine.domain.codec import utc_from_text, utc_text
from engine.domain.errors import AlreadyRunning, CannotRecord

LOCK_FILE = "engine.lock"
_LOCKED_BYTE = 1 << 30  # Windows locks bytes: one far behind the text, so that the text stays readable
_TRIES = 5
_TRY_AGAIN_S = 0.02


@dataclass(frozen=True, slots=True)
class Holder:
    """The engine that owns a data folder, as it described itself."""

    pid: int
    host: str
    started_at: datetime


class FolderLock:
    """Ownership of a data folder, from `acquire` until `release` or the end of the process.

    Examples
    --------
    ::

        with FolderLock(folder):
            run()
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None
        self._abandoned_by: Holder | None = None

    @property
    def abandoned_by(self) -> Holder | None:
        """The engine that owned the folder last and died without giving it back; None after an orderly end."""
        return self._abandoned_by

    def acquire(self) -> None:
        """Own the folder.

        Raises
        ------
        AlreadyRunning
            Another engine does; the message names its process and the way out.
        CannotRecord
            The lock file cannot be written.
        """
        assert self._descriptor is None, "the lock is held already"
        path = self._folder / LOCK_FILE
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise CannotRecord(f"{path} cannot be written: {error.strerror}; make the data folder writable") from error
        if not _locked_soon(descriptor):
            os.close(descriptor)
            raise AlreadyRunning(_occupied(self._folder))
        self._descriptor = descriptor
        self._abandoned_by = _read(path)
        _close_in_children(descriptor)
        _describe(descriptor)

    def release(self) -> None:
        """Give the folder back; harmless when it is not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        _open_locks.discard(descriptor)
        os.ftruncate(descriptor, 0)
        os.close(descriptor)

    def __enter__(self) -> FolderLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def holder(folder: Path) -> Holder | None:
    """Who owns the folder now; None when nobody does. A dead engine's text is not mistaken for a live one."""
    path = folder / LOCK_FILE
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CannotRecord(f"{path} cannot be opened: {error.strerror}; check the folder's rights") from error
    try:
        if _try_lock(descriptor):
            return None
    finally:
        os.close(descriptor)
    return _read(path) or Holder(0, "", datetime.now(UTC))


def _locked_soon(descriptor: int) -> bool:
    # Someone who only asks (`holder`) has the lock for some microseconds.
    for _ in range(_TRIES):
        if _try_lock(descriptor):
            return True
        time.sleep(_TRY_AGAIN_S)
    return False


def _occupied(folder: Path) -> str:
    found = _read(folder / LOCK_FILE)
    who = "an engine" if found is None else f"process {found.pid} on {found.host} since {utc_text(found.started_at)}"
    return (
        f"data folder {folder} is in use by {who}; stop it first, "
        "or give this one another folder with QUARTERDECK_DATA_DIR"
    )


def _describe(descriptor: int) -> None:
    body = {"pid": os.getpid(), "host": platform.node(), "started_at": utc_text(datetime.now(UTC))}
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, json.dumps(body).encode())


def _read(path: Path) -> Holder | None:
    try:
        body = json.loads(path.read_text())
        return Holder(int(body["pid"]), str(body["host"]), utc_from_text(body["started_at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # it has locked the file and not yet described itself


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


# A worker process forked from the engine would keep the lock alive after the engine's death.
_open_locks: set[int] = set()


def _close_in_children(descriptor: int) -> None:
    _open_locks.add(descriptor)


def _forget_locks() -> None:
    for descriptor in _open_locks:
        os.close(descriptor)
    _open_locks.clear()


_register: Any = getattr(os, "register_at_fork", None)
if _register is not None:
    _register(after_in_child=_forget_locks)
