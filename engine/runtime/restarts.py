"""How often something was started again: too often within a while halts it, and a start that fails waits longer."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from engine.domain.ports import Clock

FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 60.0


@dataclass(slots=True)
class Restarts:
    """Of the whole engine, or of one book.

    ``halt`` is why it starts HALTED until a start succeeds, "" where it need not.
    """

    clock: Clock
    halt: str = ""
    _times: deque[float] = field(default_factory=deque)
    _failed: int = 0
    _next: float = 0.0

    def count(self, why: str, most: int, window_s: float) -> str:
        """Count one; why there were too many within the window, "" where there were not."""
        now = self.clock.monotonic()
        self._times.append(now)
        while self._times and now - self._times[0] > window_s:
            self._times.popleft()
        if len(self._times) <= most:
            return ""
        return f"{len(self._times)} restarts within {window_s} s; the loop {why}"

    @property
    def may_try(self) -> bool:
        """Whether the pause after the last failed start is over."""
        return self.clock.monotonic() >= self._next

    def failed(self) -> None:
        """A start failed: the next waits twice as long."""
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._failed, 10))
        self._failed += 1
        self._next = self.clock.monotonic() + pause_s

    def succeeded(self) -> None:
        """It runs."""
        self.halt, self._failed, self._next = "", 0, 0.0
