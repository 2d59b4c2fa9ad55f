"""Begins lives: of the whole engine with all its books side by side, and of one book beside those that run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.domain.errors import CannotRecord, EngineError, Fenced, QuarterdeckError
from engine.domain.facts import Notice, Severity
from engine.runtime.assembling import BOOKS, SWITCHED, Assembler, Start
from engine.runtime.book_thread import BookThread, Surroundings
from engine.runtime.engine import EngineThread
from engine.storage.money import MoneyStore

READY_TIMEOUT_S = 60.0
OTHERS_WAIT_S = 15.0
"""So long a book that is still starting is waited for where another runs: consoles attach, and say which is missing."""
_LOOK_S = 0.05


class Launcher:
    """Of one data folder.

    Parameters
    ----------
    assembler : Assembler
    around : Surroundings
    money_file : Path
    """

    def __init__(self, assembler: Assembler, around: Surroundings, money_file: Path) -> None:
        self._assembler = assembler
        self._around = around
        self._money_file = money_file
        self._store: MoneyStore | None = None

    def engine(self, starts: list[Start], before: EngineThread | None, restarts: int) -> EngineThread:
        """A new engine under a new lease; what an earlier one wrote under its own is fenced.

        Returns once every book runs or has failed; after `OTHERS_WAIT_S` where one runs, else `READY_TIMEOUT_S`.
        Raises `CannotRecord` and others where the money file cannot be taken.
        """
        store = self._store = self._assembler.open_store(self._money_file)
        engine = EngineThread(store, self._around, BOOKS, restarts)
        threads = [self.thread(engine, start) for start in starts]
        for thread in threads:
            earlier = before.book(thread.book) if before is not None else None
            thread.snapshot = earlier.snapshot if earlier is not None else None
            engine.attach(thread)
        engine.start()
        began = self._around.clock.monotonic()
        while any(not thread.ready.wait(_LOOK_S) for thread in threads):
            waited_s = self._around.clock.monotonic() - began
            if waited_s >= (OTHERS_WAIT_S if any(thread.has_begun for thread in threads) else READY_TIMEOUT_S):
                break
        return engine

    def thread(self, engine: EngineThread, start: Start) -> BookThread:
        """The thread of a book that is to be attached to an engine."""
        assert self._store is not None
        return BookThread(start.book, self._assembler.builder(self._store, start), self._around, engine)

    def require_books(self, engine: EngineThread, *, again: bool) -> list[str]:
        """Leave out the books that cannot be started, and tell; raise why where that leaves none, or concerns all.

        Where the engine is started ``again``, they ran before: they are kept, their commands wait for them, and the
        names of those that are to be tried again are returned.
        """
        threads, left = engine.books, list[str]()
        for thread in threads:
            failure = thread.failure
            if failure is not None and (thread.book not in SWITCHED or isinstance(failure, CannotRecord | Fenced)):
                raise reason(failure) from failure
        stand = [thread for thread in threads if thread.failure is None]
        for thread in threads:
            if thread.failure is not None:
                if not stand and thread is threads[-1]:
                    raise reason(thread.failure) from thread.failure
                why, then = str(reason(thread.failure)), ", and it is tried again" if again else ""
                self._tell(thread, f"could not be started; the others run{then}", why)
                if again:
                    left.append(thread.book)
                else:
                    engine.detach(thread.book, f"it could not be started: {why}")
            elif not thread.ready.is_set():
                self._tell(thread, "is still starting; the others run", "its exchange may be slow")
        if stand and not any(thread.ready.is_set() for thread in stand):
            raise EngineError(f"the engine was not ready within {READY_TIMEOUT_S:.0f} s; see the log")
        return left

    def _tell(self, thread: BookThread, what: str, why: str) -> None:
        title, at = f"The {thread.book} book {what}", self._around.clock.now()
        self._around.observations.tell(Notice(f"{thread.book}-down", Severity.CRITICAL, title, why, "engine", at))

    def bring_in(self, engine: EngineThread, start: Start, is_over: Callable[[], bool]) -> None:
        """Start one book beside the others, and wait until it runs.

        Raises
        ------
        QuarterdeckError
            Why it does not, or that `is_over` says that nobody needs it any more; it has been cut off then.
        """
        thread = self.thread(engine, start)
        engine.attach(thread)
        deadline = self._around.clock.monotonic() + READY_TIMEOUT_S
        while not thread.ready.wait(0.1):
            if is_over():
                thread.retire()
                raise EngineError(f"{start.book} was not started: the engine itself ends or starts again; try again")
            if self._around.clock.monotonic() >= deadline:
                thread.retire()
                raise EngineError(f"{start.book} was not ready within {READY_TIMEOUT_S:.0f} s; see the log")
        if not thread.has_begun:
            failure = thread.failure or EngineError(f"{start.book} ended before it began; see the log")
            raise reason(failure) from failure

    def note_running(self, engine: EngineThread) -> list[str]:
        """Books that run; those that a restore wants HALTED have been."""
        running = [thread.book for thread in engine.books if thread.has_begun]
        self._assembler.note_running(set(running))
        return running


def reason(failure: BaseException) -> QuarterdeckError:
    """Why something could not start, as an error that people can read."""
    if isinstance(failure, QuarterdeckError):
        return failure
    return EngineError(f"the engine could not start: {type(failure).__name__}: {failure}")


def why_broken(engine: EngineThread, *, is_hung: bool) -> str:
    """Why the engine as a whole must be started again; "" where it need not."""
    if engine.failure is not None or not engine.is_alive():
        return f"ended: {engine.failure}"
    return "made no progress" if is_hung else ""
