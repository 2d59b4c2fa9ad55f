"""What must be known of a venue after a restart: how long it has shut us out, and the highest nonce it was sent."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Lock

from engine.domain.errors import CannotRecord

NONCE_BLOCK_MS = 60_000
"""Nonces are written down as reserved in blocks, so that not every question waits for the disk."""


class VenueMemory:
    """A small file of one venue and key, replaced whole; what cannot be read counts as nothing known.

    Parameters
    ----------
    path : Path
        Made on the first change; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self.banned_until: datetime | None = None
        self._reserved_nonce = 0
        self._last_nonce = 0
        self._read()

    def _read(self) -> None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            values = json.loads(self._path.read_text(encoding="utf-8"))
            until = values.get("banned_until")
            self.banned_until = datetime.fromisoformat(until) if until else None
            self._reserved_nonce = self._last_nonce = int(values.get("nonce", 0))

    def ban(self, until: datetime) -> None:
        """Note that nothing may be asked before ``until``; the later of two ends counts."""
        with self._lock:
            if self.banned_until is None or until > self.banned_until:
                self.banned_until = until
                with suppress(CannotRecord):  # it still holds in this process
                    self._write()

    def next_nonce(self, now_ms: Callable[[], int]) -> int:
        """A number above every one before, also those of earlier processes, near the time in milliseconds.

        Raises
        ------
        CannotRecord
            Where a new block cannot be written down.
        """
        with self._lock:
            nonce = max(self._last_nonce + 1, now_ms())
            if nonce >= self._reserved_nonce:
                self._reserved_nonce = nonce + NONCE_BLOCK_MS
                self._write()
            self._last_nonce = nonce
            return nonce

    def _write(self) -> None:
        until = self.banned_until.isoformat() if self.banned_until else None
        text = json.dumps({"banned_until": until, "nonce": self._reserved_nonce})
        beside = self._path.with_suffix(".new")
        try:
            with beside.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        except OSError as error:
            raise CannotRecord(f"{self._path} cannot be written: {error}") from error
