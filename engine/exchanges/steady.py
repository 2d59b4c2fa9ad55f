"""Threads that do one thing over and over: an error that nobody foresaw ends one turn, never the thread; it is told."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread

import structlog

FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 60.0
_log = structlog.get_logger(__name__)


def _nobody(_words: str) -> None:
    """Nobody is told beside the log."""


def attempt(work: Callable[[], object]) -> BaseException | None:
    """Do something; the error that ended it, whatever it is, None where it was done."""
    try:
        work()
    except BaseException as error:
        return error
    return None


def words_of(error: BaseException) -> str:
    """An error of the engine's own, for people."""
    return f"an error of the engine's own, {type(error).__name__}: {error}"


class Steady:
    """A thread of turns.

    Parameters
    ----------
    name : str
        Of the thread.
    turn : callable
        One turn, its waiting included; what it raises ends it alone.
    over : Event
        Ends the thread.
    failed : callable
        Is told on this thread why a turn failed, once until one succeeds.
    """

    def __init__(self, name: str, turn: Callable[[], object], over: Event, failed: Callable[[str], None] = _nobody):
        self._turn = turn
        self._over = over
        self._failed = failed
        self._words = ""
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for its end, where it was begun."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    @property
    def fault(self) -> str:
        """Why its last turn failed, in words; "" where it did not. From any thread."""
        if self._thread.ident is not None and not self._thread.is_alive() and not self._over.is_set():
            return f"the thread {self._thread.name} has ended by itself"
        return self._words

    def _run(self) -> None:
        failures = 0
        while not self._over.is_set():
            error = attempt(self._turn)
            if error is None:
                failures, self._words = 0, ""
                continue
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures, 10))
            failures += 1
            self._words = words_of(error)
            _log.error("a turn failed", thread=self._thread.name, again_in_s=pause_s, exc_info=error)
            if failures == 1:
                attempt(lambda: self._failed(self._words))
            self._over.wait(pause_s)
