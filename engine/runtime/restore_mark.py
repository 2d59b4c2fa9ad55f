"""The mark that a restore leaves: every book that had begun is halted once by it, whenever it next starts."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from engine.storage.lease import clear_restored, halted_by_restore, note_halted, restored_reason


class RestoreMark:
    """The mark of one data folder.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reason = restored_reason(folder) or ""
        self._halted = halted_by_restore(folder)

    def halt_of(self, book: str) -> str:
        """Why a book must start HALTED; "" where it need not, or was halted for it before."""
        return "" if book in self._halted else self._reason

    def note(self, running: Collection[str], begun: Collection[str]) -> None:
        """Books that run have been halted; the mark stays until every one that has begun was: one may start later."""
        if not self._reason:
            return
        self._halted |= set(running)
        if self._halted >= set(begun):
            clear_restored(self._folder)
            self._reason = ""
        else:
            note_halted(self._folder, self._halted)
