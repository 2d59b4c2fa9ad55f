"""Disk space kept in reserve, so that exits can still be recorded when the disk is full."""

from __future__ import annotations

import os
from pathlib import Path

from engine.domain.errors import CannotRecord

BALLAST_FILE = "ballast"
BALLAST_BYTES = 16 * 1024**2
_BLOCK = bytes(1 << 20)


class Ballast:
    """A file that only takes space. When a write fails for lack of it, `release` makes room for closing positions.

    Parameters
    ----------
    folder : Path
        The data folder: on the same disk as the databases.
    size : int
        Bytes; 16 MiB hold the records of several thousand exits.
    """

    def __init__(self, folder: Path, size: int = BALLAST_BYTES) -> None:
        self._path = folder / BALLAST_FILE
        self._size = size

    def ensure(self) -> None:
        """Take the space, really written (a sparse file would reserve nothing); quick when it is taken already.

        Raises
        ------
        CannotRecord
            There is not enough space, or no right to write.
        """
        if self._path.exists() and self._path.stat().st_size >= self._size:
            return
        try:
            with self._path.open("wb") as file:
                for start in range(0, self._size, len(_BLOCK)):
                    file.write(_BLOCK[: self._size - start])
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self._path.unlink(missing_ok=True)
            raise CannotRecord(
                f"{self._path}: {self._size >> 20} MiB could not be kept in reserve ({error.strerror}); free disk space"
            ) from error

    def release(self) -> bool:
        """Give the space back; False when there was none left to give. Raises `CannotRecord`."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise CannotRecord(f"{self._path} could not be removed: {error.strerror}; remove it by hand") from error
        return True
