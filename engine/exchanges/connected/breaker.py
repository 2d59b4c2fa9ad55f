"""A circuit breaker: after failures in a row nothing is asked for a while, then one question decides."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

FAILURES = 5


class Breaker:
    """One lane's breaker.

    Parameters
    ----------
    open_s : float
        Seconds without a question after `FAILURES` failures in a row, and after every failed trial question since.
    monotonic : callable
        Seconds that never go back.
    """

    def __init__(self, open_s: float, monotonic: Callable[[], float]) -> None:
        self._open_s = open_s
        self._now = monotonic
        self._failures = 0
        self._next_try = float("-inf")
        self._lock = Lock()

    def wait_s(self) -> float:
        """Seconds until a question may be asked; 0 lets this one through and holds others back until its answer."""
        with self._lock:
            now = self._now()
            if self._failures < FAILURES:
                return 0.0
            if now < self._next_try:
                return self._next_try - now
            self._next_try = now + self._open_s
            return 0.0

    @property
    def is_open(self) -> bool:
        """Whether questions are held back."""
        return self._failures >= FAILURES

    def succeeded(self) -> None:
        """The venue answered: an answer that refuses is an answer too."""
        with self._lock:
            self._failures = 0

    def failed(self) -> None:
        """No answer, or one that is no answer."""
        with self._lock:
            self._failures += 1
            if self._failures >= FAILURES:
                self._next_try = self._now() + self._open_s
