"""The engine: its books, each on a thread of its own, the commands they are given, and one snapshot of them all."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import structlog

from engine.domain.commands import Actor, Command, EmergencyStop, Role
from engine.domain.errors import EngineError, StorageError
from engine.domain.portfolio import EngineSnapshot
from engine.domain.ports import MarketSource
from engine.runtime.book_thread import BookThread, Surroundings
from engine.runtime.errands import Errands
from engine.runtime.obeying import Answer
from engine.runtime.sentinel import SENTINEL, done_path

VERSION = "0.1.0"
_log = structlog.get_logger(__name__)
_TICK_S = 0.05
_LOOK_S = 0.25


class Lent(Protocol):
    """The money file as one engine holds it: `engine.storage.money.MoneyStore`."""

    @property
    def epoch(self) -> int:
        """The newest epoch taken."""

    def close(self) -> None:
        """Let go of it."""


class EngineThread(threading.Thread):
    """One life of the engine: hands commands to the books and composes what they tell; it never waits for one.

    Parameters
    ----------
    store : Lent
        Closed at the end, once no book writes any more.
    around : Surroundings
    order : sequence of str
        Books in the order they are shown; others come last.
    restarts : int
        How often the engine or one of its books was started again before.
    """

    def __init__(self, store: Lent, around: Surroundings, order: Sequence[str], restarts: int) -> None:
        super().__init__(name=f"engine-{restarts}", daemon=True)
        self.restarts = restarts
        self._store = store
        self._around = around
        self._order = tuple(order)
        self._errands = Errands(around.clock)
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._abandoned = threading.Event()
        self._wake = threading.Event()
        self._after = self._events_before = 0
        self._due = {"look": 0.0, "publish": 0.0}
        self._unmoved = ""
        self._left_out: dict[str, str] = {}
        self.failure: BaseException | None = None
        self.heartbeat = time.monotonic()
        self.snapshot: EngineSnapshot | None = None

    # -- books, from other threads -------------------------------------------------------------------------------

    def attach(self, thread: BookThread) -> None:
        """Start a book's thread; commands that an earlier life of the book has not answered are its first.

        Raises
        ------
        EngineError
            The engine is ending.
        """
        with self._lock:
            if self._ending.is_set():
                raise EngineError(f"the engine is ending; {thread.book} was not started")
            before = self._errands.books.get(thread.book)
            if before is not None:
                thread.snapshot = thread.snapshot or before.snapshot
                self._events_before += before.events
            self._left_out.pop(thread.book, None)
            books = {**self._errands.books, thread.book: thread}
            self._errands.join(dict(sorted(books.items(), key=lambda each: self._rank(each[0]))), thread)
        thread.start()

    def detach(self, book: str, why: str = "") -> None:
        """Know a book no more; its thread has ended or was retired. It is shown as absent where there is a ``why``."""
        with self._lock:
            if why:
                self._left_out[book] = why
            books = dict(self._errands.books)
            gone = books.pop(book, None)
            self._events_before += gone.events if gone is not None else 0
            self._errands.leave(books, book)
        self.publish()

    def _rank(self, book: str) -> int:
        return self._order.index(book) if book in self._order else len(self._order)

    @property
    def books(self) -> tuple[BookThread, ...]:
        """The threads of the books, in the order the books are shown."""
        return tuple(self._errands.books.values())

    def book(self, name: str) -> BookThread | None:
        """The thread of one book; None where it does not run."""
        return self._errands.books.get(name)

    def source(self, book: str) -> MarketSource | None:
        """The market source of a book, for charts."""
        thread = self.book(book)
        return thread.running.source if thread is not None and thread.running is not None else None

    def begun(self, thread: BookThread) -> None:
        """A book was recovered, and may be shown."""
        self.publish()

    def answered(self, thread: BookThread, command_id: str, answer: Answer) -> None:
        """A book has taken a command in."""
        self._errands.answered(thread, command_id, answer)
        self._wake.set()

    # -- life, from other threads --------------------------------------------------------------------------------

    def wake(self) -> None:
        """Look for commands at once."""
        self._due["look"] = 0.0
        self._wake.set()

    def retire(self) -> None:
        """Be replaced: no book may reach a venue any more, whatever it is stuck in, and none is waited for."""
        self._abandoned.set()
        self._ending.set()
        for thread in self.books:
            thread.retire()

    def end(self) -> None:
        """Let every book finish its event, store a checkpoint and stop."""
        self._ending.set()

    def is_hung(self, after_s: float) -> bool:
        """Whether the coordination itself has made no turn for so many seconds; books are judged one by one."""
        return time.monotonic() - self.heartbeat > after_s

    # -- the thread ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Coordinate until told to end; the error that ended it is left in ``failure``."""
        try:
            while not self._ending.is_set():
                self._turn()
                self._wake.wait(max(0.0, min(self._due.values()) - time.monotonic()))
                self._wake.clear()
            self._wind_up()
        except Exception as error:
            self.failure = error
            _log.exception("engine ended", error=str(error))
        finally:
            self._close()

    def _turn(self) -> None:
        self.heartbeat = now = time.monotonic()
        if now >= self._due["look"]:
            self._due["look"] = now + _LOOK_S
            self._look_for_sentinel()
            self._look_for_commands()
            self._tell_late()
        self._errands.settle()
        if now >= self._due["publish"]:
            self.publish()

    def _wind_up(self) -> None:
        """What the books do on their way to the end is still answered and shown."""
        self._wait_for_books()
        self._errands.settle()
        self.publish()

    def _wait_for_books(self) -> None:
        """As long as anybody does: a book that is stuck is retired by whoever wants the end."""
        for thread in self.books:
            thread.end()
        while any(thread.is_alive() for thread in self.books) and not self._abandoned.is_set():
            self.heartbeat = time.monotonic()
            self._wake.wait(_TICK_S)
            self._wake.clear()
            self._errands.settle()

    def _close(self) -> None:
        self._ending.set()
        for thread in self.books:
            thread.end()
        while any(thread.is_alive() for thread in self.books) and not self._abandoned.wait(_TICK_S):
            continue
        self._store.close()

    # -- commands ------------------------------------------------------------------------------------------------

    def _look_for_commands(self) -> None:
        if not self.books:
            return
        try:
            pending = self._around.control.pending(self._after)
        except StorageError as error:
            _log.error("commands cannot be read", error=str(error))
            return
        for position, command in pending:
            self._after = position
            self._errands.hand_out(command, partial(self._complete, command))

    def _complete(self, command: Command, answer: Answer) -> bool:
        """Show what the books look like now, then store what became of a command."""
        self.heartbeat = time.monotonic()
        self.publish()
        try:
            self._around.control.complete(command.command_id, *answer)
        except StorageError as error:
            _log.error("command could not be answered", command=command.command_id, error=str(error))
            return False
        return True

    def _tell_late(self) -> None:
        for command_id, progress in self._errands.late():
            _log.warning("command is held up", command=command_id, progress=progress)
            try:
                self._around.control.note(command_id, progress)
            except StorageError as error:
                _log.error("progress of a command could not be stored", command=command_id, error=str(error))

    def _look_for_sentinel(self) -> None:
        path = self._around.folder / SENTINEL
        try:
            stamp = path.stat().st_mtime_ns
        except FileNotFoundError:
            return
        command_id = f"sentinel-{stamp}"
        if not self.books or command_id in self._errands or command_id == self._unmoved:
            return
        actor = Actor("sentinel file", Role.OPERATOR, "file")
        command = Command(command_id, actor, self._around.clock.now(), f"file {SENTINEL} found", EmergencyStop(None))
        self._errands.hand_out(command, partial(self._move_away, path, stamp))

    def _move_away(self, path: Path, stamp: int, _answer: Answer) -> bool:
        """Once every book has taken the stop in: until then a crash must find the file again."""
        try:
            path.replace(done_path(path, stamp))
        except OSError as error:
            self._unmoved = f"sentinel-{stamp}"
            _log.error("sentinel file could not be moved away; remove it by hand", error=str(error))
        return True

    # -- readers -------------------------------------------------------------------------------------------------

    def publish(self) -> None:
        """Compose the newest snapshot of every book; a busy one shows its last, which says from when it is."""
        self._due["publish"] = time.monotonic() + self._around.publish_every_s
        steps = np.asarray(self._around.observations.steps())
        p50, p99 = (float(x) for x in np.percentile(steps, (50, 99))) if len(steps) else (None, None)
        with self._lock:
            threads = self.books
            absent = {**self._left_out, **{thread.book: thread.absence for thread in threads if thread.absence}}
            self.snapshot = EngineSnapshot(
                started_at=self._around.started_at,
                published_at=self._around.clock.now(),
                version=VERSION,
                epoch=self._store.epoch,
                restarts=self.restarts,
                books=tuple(thread.snapshot for thread in threads if thread.snapshot is not None),
                loop_p50_s=p50,
                loop_p99_s=p99,
                queue_length=sum(thread.queue_length for thread in threads),
                events=self._events_before + sum(thread.events for thread in threads),
                absent=tuple(absent.items()),
            )
