"""The caretakers of a book's venues, as one."""

from __future__ import annotations

from collections.abc import Sequence

from engine.runtime.caretaker import Caretaker


class Caretakers:
    """Of one book at real exchanges: one for each of its venues.

    Parameters
    ----------
    each : sequence of Caretaker
        One at least.
    """

    def __init__(self, each: Sequence[Caretaker]) -> None:
        self.each = tuple(each)

    def start(self) -> None:
        """Listen to every venue, and begin to look."""
        for caretaker in self.each:
            caretaker.start()

    def cut(self) -> None:
        """Let nothing more go out to any venue; safe from any thread, whatever hangs."""
        for caretaker in self.each:
            caretaker.cut()

    def close(self) -> None:
        """Look no more, and let every venue go; all are cut before the first is waited for."""
        self.cut()
        for caretaker in self.each:
            caretaker.close()

    def check_key(self) -> None:
        """Ask about every key now; the outcome is taken in by `drive`."""
        for caretaker in self.each:
            caretaker.check_key()

    def heed_test(self) -> None:
        """Check keys that were refused at once, where a test of theirs has passed since."""
        for caretaker in self.each:
            caretaker.heed_test()

    def drive(self) -> None:
        """Take in what was found."""
        for caretaker in self.each:
            caretaker.drive()

    def reconcile(self) -> None:
        """Compare the book with all its venues now: what differs, or that one was silent, keeps it from being armed."""
        self.each[0].reconcile()
