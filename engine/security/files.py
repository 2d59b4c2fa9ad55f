"""Private files: written whole or not at all, and changed by one process at a time."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.domain.errors import CannotRecord

if sys.platform != "win32":
    import fcntl


def write_private(path: Path, content: bytes) -> None:
    """Replace ``path`` (mode 0600) in one step that survives a power cut; raises `CannotRecord`."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise CannotRecord(f"{path} could not be written ({error}); check the disk and the folder's rights") from error


@contextmanager
def one_process_at_a_time(path: Path) -> Iterator[None]:
    """Hold the lock file beside ``path``; the system lets go of it when a process dies. Not re-entrant."""
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform != "win32":
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
