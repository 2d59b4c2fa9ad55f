"""The stand-in exchange's own journal: a JSON line for whatever happened, on the disk before it is answered."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Journal:
    """Appends lines; ``n`` counts them, so that a missing one shows."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.lines = 0
        self._file = path.open("ab")

    def write(self, at_ms: int, venue: str, kind: str, body: dict[str, Any]) -> None:
        """One line, flushed to the disk."""
        self.lines += 1
        line = {"n": self.lines, "at": at_ms, "venue": venue, "kind": kind, **body}
        self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        os.fdatasync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
