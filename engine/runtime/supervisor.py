"""Owns the data folder and keeps one engine alive in it: start, watch, restart through recovery, stop."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import structlog

from config.settings import Settings
from engine.domain.commands import TradingState
from engine.domain.errors import BadInput, CannotRecord, EngineError, QuarterdeckError
from engine.domain.facts import Notice, Severity
from engine.domain.instruments import InstrumentKey
from engine.domain.market import CandleArrays
from engine.domain.portfolio import EngineSnapshot
from engine.exchanges.steady import Steady
from engine.runtime.assembling import BOOKS, SWITCHED, Assembler, Start
from engine.runtime.book_thread import BookThread, Surroundings
from engine.runtime.clock import SystemClock
from engine.runtime.engine import EngineThread
from engine.runtime.launching import Launcher, why_broken
from engine.runtime.observing import Observations
from engine.runtime.restarts import Restarts
from engine.runtime.start_report import StartReport
from engine.storage.ballast import Ballast
from engine.storage.control import ControlStore
from engine.storage.lock import FolderLock
from engine.storage.migrate import migrate
from engine.storage.restore import check_at_start

__all__ = ["BOOKS", "SWITCHED", "Supervisor"]
_log = structlog.get_logger(__name__)
END_TIMEOUT_S = 10.0
RETIRE_TIMEOUT_S = 2.0
WATCH_EVERY_S = 0.5
_ENGINE = ""
"""The name under which restarts of the whole engine are counted."""


class Supervisor:
    """The engine of one data folder.

    Parameters
    ----------
    settings : Settings
    clock : SystemClock
    """

    def __init__(self, settings: Settings, clock: SystemClock | None = None) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.folder: Path = settings.data_dir
        self.observations = Observations(self.clock)
        self.restarts = 0
        self._lock = FolderLock(self.folder)
        self._counts: defaultdict[str, Restarts] = defaultdict(lambda: Restarts(self.clock))
        self._wanted = {"demo": settings.demo.enabled, "paper": settings.paper.enabled}
        self._wanted |= {name: stage.enabled for name, stage in settings.stages.items()}
        self._ending = threading.Event()
        self._changing = threading.Lock()
        self._switching = threading.Lock()
        self._in_hand = ""
        self._thread: EngineThread | None = None
        self._last_snapshot: EngineSnapshot | None = None
        self.control: ControlStore | None = None
        self.start_report: StartReport | None = None

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take the folder, check and migrate what lies in it, recover, and trade.

        Raises
        ------
        AlreadyRunning
            Another engine owns the folder.
        QuarterdeckError
            What prevents the start, with the way out.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock.acquire()
        try:
            self._check()
            self._start_engine()
        except BaseException:
            self._lock.release()
            raise
        Steady("watchdog", self._watch, self._ending, self._watch_failed).start()

    def _check(self) -> None:
        found = check_at_start(self.folder)
        migrate(self.folder)
        assembler = Assembler(self.folder, self.clock, self.observations)
        self.control = control = assembler.control
        every_s, started_at = self.settings.engine.publish_every_s, self.clock.now()
        around = Surroundings(self.folder, control, self.observations, self.clock, every_s, started_at)
        self._launcher = Launcher(assembler, around, self.settings.money_file)
        self._keep_reserve()
        for text in found:
            self._notice("storage", "A database was repaired", text)

    def _keep_reserve(self) -> None:
        try:
            Ballast(self.folder).ensure()
        except CannotRecord as error:
            self._notice("reserve", "No disk space is kept in reserve", str(error))

    def _start_engine(self, *, again: bool = False) -> None:
        """All books that are wanted, side by side; one that cannot start or takes long holds up no other."""
        halt = self._counts[_ENGINE].halt
        for name in BOOKS if halt else ():
            self._counts[name].halt = halt
        starts = [self._start_of(name) for name in BOOKS if self._wanted[name]]
        engine = self._launcher.engine(starts, self._thread, self.restarts)
        try:
            left = self._launcher.require_books(engine, again=again)
        except BaseException:
            self._end(engine)
            raise
        self._thread = engine
        self._last_snapshot = engine.snapshot
        self._counts[_ENGINE].succeeded()
        for book in left:
            self._counts[book].failed()
        self._note_running(engine)
        found = {each.book: each.running.recovered for each in engine.books if each.running is not None}
        self.start_report = self.start_report or StartReport(self._lock.abandoned_by, found, self.snapshot().epoch == 1)

    def _start_of(self, book: str, *, again: bool = False) -> Start:
        return Start(book, self.settings, self._counts[book].halt, again)

    def _note_running(self, engine: EngineThread) -> None:
        for book in self._launcher.note_running(engine):
            self._counts[book].succeeded()

    def stop(self) -> None:
        """Finish the events at hand, store checkpoints, release the folder."""
        self._ending.set()
        with self._changing:
            if self._thread is not None:
                self._end(self._thread)
            if self.control is not None:
                self.control.close()
            self._lock.release()

    # -- watching ------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        if not self._ending.wait(WATCH_EVERY_S) and self._thread is not None:
            self._look_after(self._thread)

    def _watch_failed(self, words: str) -> None:
        self._notice(
            "watchdog", "The engine could not be looked after", f"{words}. It is tried again, ever more slowly"
        )

    def _look_after(self, engine: EngineThread) -> None:
        """Start again what has ended or hangs: one book alone where it alone is concerned, else the whole engine."""
        after_s = self.settings.engine.hung_after_s
        why = why_broken(engine, is_hung=engine.is_hung(after_s))
        if why:
            self._restart(engine, why, engine.failure)
            return
        self._note_running(engine)
        threads = engine.books
        hung = {thread.book for thread in threads if thread.is_alive() and thread.is_hung(after_s)}
        broken = [each for each in threads if each.book in hung or not each.is_alive()]
        shared = next((each.failure for each in broken if each.concerns_all), None)
        if shared is not None:
            self._restart(engine, f"ended: {shared}", shared)
        elif threads and len(hung) == len(threads):
            self._restart(engine, "made no progress", None)
        else:
            for thread in broken:
                why = "made no progress" if thread.book in hung else f"ended: {thread.failure}"
                self._restart_book(engine, thread, why)

    def _restart(self, engine: EngineThread, why: str, failure: BaseException | None) -> None:
        """The engine as a whole, under a new lease: where what the books share is concerned."""
        with self._changing:
            if self._ending.is_set() or self._thread is not engine:
                return  # stopped, or replaced meanwhile
            engine.end()
            engine.join(timeout=RETIRE_TIMEOUT_S)
            engine.retire()
            engine.join(timeout=RETIRE_TIMEOUT_S)
            self.restarts += 1
            count = self._counts[_ENGINE]
            count.halt = self._too_many(count, why) or self._out_of_space(failure) or count.halt
            self._notice("engine", "The engine was started again", f"the loop {why}")
            try:
                self._start_engine(again=True)
            except QuarterdeckError as error:
                _log.error("engine restart failed", error=str(error))
                self._notice("engine-down", "The engine could not be started again", str(error))
                self._ending.wait(2.0)

    def _restart_book(self, engine: EngineThread, thread: BookThread, why: str) -> None:
        """One book, under a new epoch of its own, while the others run on."""
        with self._changing:
            if self._ending.is_set() or self._thread is not engine or engine.book(thread.book) is not thread:
                return
            count = self._counts[thread.book]
            if self._in_hand == thread.book or not count.may_try:
                return
            thread.retire()
            thread.join(timeout=RETIRE_TIMEOUT_S / 4)
            self.restarts += 1
            engine.restarts = self.restarts
            if thread.has_begun:  # a life that never began has done no harm
                count.halt = self._too_many(count, why) or count.halt
                title = f"The {thread.book} book was started again; the others ran on"
                self._notice(f"{thread.book}-again", title, f"its loop {why}")
            else:
                title = f"The {thread.book} book could not be started again; the others run, and it is tried again"
                self._notice(f"{thread.book}-down", title, why)
                count.failed()
            engine.attach(self._launcher.thread(engine, self._start_of(thread.book, again=True)))

    def _out_of_space(self, failure: BaseException | None) -> str:
        """Nothing is opened on a disk that is full; the space kept in reserve lets exits be recorded."""
        if not isinstance(failure, CannotRecord):
            return ""
        try:
            released = Ballast(self.folder).release()
        except CannotRecord as error:
            _log.error("reserve could not be released", error=str(error))
            return ""
        return f"{failure}; the space in reserve was released for exits" if released else ""

    def _too_many(self, count: Restarts, why: str) -> str:
        return count.count(why, self.settings.engine.max_restarts, self.settings.engine.restart_window_s)

    def _notice(self, key: str, title: str, detail: str) -> None:
        self.observations.tell(Notice(key, Severity.CRITICAL, title, detail, "engine", self.clock.now()))

    def _end(self, engine: EngineThread) -> None:
        """Let the books finish; one that is stuck in a call must not reach a venue once it wakes."""
        engine.end()
        engine.join(timeout=END_TIMEOUT_S)
        if engine.is_alive():
            engine.retire()
            _log.error("engine did not end in time; what was left was retired", timeout_s=END_TIMEOUT_S)
            engine.join(timeout=RETIRE_TIMEOUT_S)

    # -- for the console -----------------------------------------------------------------------------------------

    @property
    def thread(self) -> EngineThread | None:
        """The living engine."""
        return self._thread

    def snapshot(self) -> EngineSnapshot:
        """The newest snapshot; raises `EngineError` before the first."""
        engine = self._thread
        snapshot = engine.snapshot if engine is not None else None
        snapshot = snapshot or self._last_snapshot
        if snapshot is None:
            raise EngineError("the engine has not started yet")
        self._last_snapshot = snapshot
        return snapshot

    def is_alive(self) -> bool:
        """Whether the engine answers and at least one of its books makes progress."""
        engine, after_s = self._thread, self.settings.engine.hung_after_s
        if engine is None or not engine.is_alive() or engine.is_hung(after_s):
            return False
        threads = engine.books
        return not threads or any(t.is_alive() and t.has_begun and not t.is_hung(after_s) for t in threads)

    def absence(self) -> str:
        """Why nobody trades now; "" while any book makes progress."""
        return "" if self.is_alive() else "its loop makes no progress; it is being started again"

    def wake(self) -> None:
        """Look for commands at once."""
        if self._thread is not None:
            self._thread.wake()

    def history(self, book: str, instrument: InstrumentKey, bars: int) -> CandleArrays:
        """The last closed candles of a book's market; raises `BadInput` where it has none."""
        source = self._thread.source(book) if self._thread is not None else None
        if source is None:
            raise BadInput(f"the book {book!r} has no market source now; its candles cannot be shown")
        return source.history(instrument, bars)

    def state(self) -> TradingState:
        """The most restrictive state of all books."""
        books = self.snapshot().books
        return max((b.state for b in books), key=lambda s: s.severity, default=TradingState.ACTIVE)

    def switch_book(self, book: str, settings: Settings, wanted: bool) -> None:
        """Add or remove a book while the others run on; one that ran with other settings ends first.

        Raises
        ------
        QuarterdeckError
            Why the book cannot run so; what ran before runs again.
        """
        if book not in SWITCHED:
            raise BadInput(f"{book!r} cannot be switched; {', '.join(SWITCHED)} can")
        with self._switching:
            self._in_hand = book
            try:
                while not self._is_switched(book, settings, wanted):
                    continue
            finally:
                self._in_hand = ""

    def _is_switched(self, book: str, settings: Settings, wanted: bool) -> bool:
        """Switch; False where the engine was started again meanwhile, with the book as it was before."""
        engine = self._thread
        if engine is not None:
            self._switch(engine, book, settings, wanted)
        with self._changing:
            if self._thread is engine:
                self.settings, self._wanted = settings, {**self._wanted, book: wanted}
            return self._thread is engine

    def _switch(self, engine: EngineThread, book: str, settings: Settings, wanted: bool) -> None:
        ran = engine.book(book)
        if ran is not None:
            self._end_book(ran)
        try:
            if wanted:
                halt = self._counts[book].halt
                self._launcher.bring_in(engine, Start(book, settings, halt, again=True), self._is_over(engine))
        except QuarterdeckError:
            if ran is None:
                engine.detach(book)
            elif not self._is_over(engine)():
                self._launcher.bring_in(engine, self._start_of(book, again=True), self._is_over(engine))
            raise
        if not wanted:
            engine.detach(book)
        self._note_running(engine)

    def _is_over(self, engine: EngineThread) -> Callable[[], bool]:
        return lambda: self._ending.is_set() or self._thread is not engine

    def _end_book(self, thread: BookThread) -> None:
        """Let one book finish; stuck in a call, it must not reach a venue once it wakes."""
        thread.end()
        thread.join(timeout=END_TIMEOUT_S)
        if thread.is_alive():
            thread.retire()
            _log.error("book did not end in time; it was retired", book=thread.book, timeout_s=END_TIMEOUT_S)
