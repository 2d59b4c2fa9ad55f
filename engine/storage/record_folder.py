"""A folder of small files that one run or job writes: each replaced whole, and read back or named as damaged."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.domain.errors import CannotRecord, StorageError
from engine.storage.candle_segments import write_atomic


@dataclass(frozen=True, slots=True)
class RecordFolder:
    """The files of one run or job.

    Attributes
    ----------
    path : Path
        It need not exist yet.
    remedy : str
        What a person does about a damaged file; it ends every message.
    """

    path: Path
    remedy: str

    def write(self, name: str, content: bytes) -> None:
        """Replace a file, whole, and make the folder where there is none; raises `CannotRecord`."""
        with recorded(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            write_atomic(self.path / name, content)

    def remove(self, name: str) -> None:
        """Remove a file if it is there; raises `CannotRecord`."""
        with recorded(self.path):
            (self.path / name).unlink(missing_ok=True)

    def read(self, name: str) -> dict[str, Any] | None:
        """The JSON object in a file, None where there is no file.

        Raises
        ------
        StorageError
            It cannot be read, or holds no JSON object.
        """
        try:
            body = json.loads((self.path / name).read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise self.damaged(name, error) from error
        if not isinstance(body, dict):
            raise self.damaged(name, TypeError(f"{body!r:.60} is no object"))
        return body

    def damaged(self, name: str, error: Exception) -> StorageError:
        """What to say about a file that cannot be read."""
        return StorageError(f"{self.path / name} is damaged ({error}); {self.remedy}")


@contextlib.contextmanager
def recorded(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write into `CannotRecord` that names the folder and the way out."""
    try:
        yield
    except OSError as error:
        raise CannotRecord(
            f"{path} cannot be written: {error.strerror or error}; free some space, make the folder writable, or "
            "choose another data folder with QUARTERDECK_DATA_DIR"
        ) from error
