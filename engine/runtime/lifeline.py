"""Between a book's thread and those who watch over it: signs of life one way, the cut the other."""

from __future__ import annotations

import threading
import time
from datetime import datetime

from engine.domain.errors import Fenced
from engine.domain.ports import Clock
from engine.runtime.starting import Cuttable


class Lifeline:
    """Of one life of one book, from the first moment of its assembly.

    Whoever works on the book's thread looks at the clock before each question to an exchange, so the clock handed to
    the book counts every look as a sign of life: a book that asks one slow question after the other is not taken for
    one that hangs in a single one.

    Parameters
    ----------
    clock : Clock
        Tells the book's wall time.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock: Clock = _TellingClock(clock, self)
        self.heartbeat = time.monotonic()
        self._owner = 0
        self._lines: list[Cuttable] = []
        self._lock = threading.Lock()
        self._cut = threading.Event()

    # -- on the book's thread --------------------------------------------------------------------------------------

    def begin(self) -> None:
        """From here on the calling thread is the book's."""
        self._owner = threading.get_ident()
        self.beat()

    def beat(self) -> None:
        """Give a sign of life; from any other thread it counts for nothing."""
        if threading.get_ident() == self._owner:
            self.heartbeat = time.monotonic()

    def opened(self, line: Cuttable) -> None:
        """Let a line be cut with the rest; raises `Fenced` where that has happened already."""
        with self._lock:
            if not self._cut.is_set():
                self._lines.append(line)
                return
        line.close()
        self.require_uncut()

    def wait(self, seconds: float) -> None:
        """Sleep; raises `Fenced` once cut."""
        self.beat()
        self._cut.wait(seconds)
        self.require_uncut()

    def require_uncut(self) -> None:
        """Raise `Fenced` once the book was given to another thread."""
        if self._cut.is_set():
            raise Fenced("this start of the book was given up while it hung; it must not act any more")

    # -- from any thread -------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Let nothing more go out to an exchange, whatever hangs."""
        self._cut.set()
        with self._lock:
            lines, self._lines = self._lines, []
        for line in lines:
            line.close()

    @property
    def is_cut(self) -> bool:
        """Whether it was given up."""
        return self._cut.is_set()

    @property
    def silent_s(self) -> float:
        """Seconds since the last sign of life."""
        return time.monotonic() - self.heartbeat


class _TellingClock:
    """A clock whose every look is a sign of life."""

    def __init__(self, clock: Clock, lifeline: Lifeline) -> None:
        self._clock = clock
        self._lifeline = lifeline

    def now(self) -> datetime:
        """Aware UTC."""
        self._lifeline.beat()
        return self._clock.now()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        self._lifeline.beat()
        return self._clock.monotonic()
