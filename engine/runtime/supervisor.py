"""Owns the data folder and keeps one loop alive in it: start, watch, restart through recovery, stop."""

from __future__ import annotations

import threading
import time
from collections import deque
from pathlib import Path

import structlog

from config.settings import Settings
from engine.domain.commands import TradingState
from engine.domain.errors import BadInput, CannotRecord, EngineError, Fenced, QuarterdeckError
from engine.domain.facts import Notice, Severity
from engine.domain.instruments import InstrumentKey
from engine.domain.market import CandleArrays
from engine.domain.portfolio import EngineSnapshot
from engine.runtime.build import build_demo, build_paper, installation_id
from engine.runtime.build_connected import STAGES, build_stage
from engine.runtime.clock import SystemClock
from engine.runtime.connections import Connections
from engine.runtime.engine import Assembly, EngineThread, Surroundings
from engine.runtime.observing import Observations
from engine.runtime.restore_mark import RestoreMark
from engine.runtime.start_report import StartReport
from engine.runtime.starting import Parts, RunningBook
from engine.security import KEY_STORES
from engine.security.vault import Vault
from engine.storage.ballast import Ballast
from engine.storage.chain import load_or_create_key
from engine.storage.control import ControlStore
from engine.storage.lock import FolderLock
from engine.storage.migrate import migrate
from engine.storage.money import MoneyStore
from engine.storage.restore import check_at_start

_log = structlog.get_logger(__name__)
READY_TIMEOUT_S = 60.0
END_TIMEOUT_S = 10.0
WATCH_EVERY_S = 0.5
BOOKS = ("demo", "paper", *STAGES)
"""Every book there can be; each that has a journal is halted once after a restore, whenever it next starts."""
SWITCHED = BOOKS[1:]
"""Those that are added and removed while the engine runs."""


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
        self._restart_times: deque[float] = deque()
        self._wanted = {"paper": settings.paper.enabled} | {n: s.enabled for n, s in settings.stages.items()}
        self._must_start = ""
        self._halt = ""
        self._mark: RestoreMark | None = None
        self._begun: set[str] = set()
        self._ending = threading.Event()
        self._changing = threading.Lock()
        self._thread: EngineThread | None = None
        self._last_snapshot: EngineSnapshot | None = None
        self._started_at = self.clock.now()
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
            self._start_thread()
        except BaseException:
            self._lock.release()
            raise
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def _check(self) -> None:
        found = check_at_start(self.folder)
        migrate(self.folder)
        self._key = load_or_create_key(self.folder / "keys" / "journal.key")
        self._installation = installation_id(self.folder)
        self.control = ControlStore(self.folder / "control.sqlite", self._key, self.clock)
        self._mark = RestoreMark(self.folder)
        vault = Vault(KEY_STORES["file"](self.folder / "keys"), self.folder / "keys" / "keyring.json")
        self._connections = Connections(self.control, vault)
        self._keep_reserve()
        for text in found:
            self._notice("storage", "A database was repaired", text)

    def _keep_reserve(self) -> None:
        try:
            Ballast(self.folder).ensure()
        except CannotRecord as error:
            self._notice("reserve", "No disk space is kept in reserve", str(error))

    def _start_thread(self) -> None:
        assert self.control is not None
        around = Surroundings(
            self.folder,
            self.control,
            self.observations,
            self.clock,
            self.settings.engine.publish_every_s,
            self._started_at,
        )
        thread = EngineThread(self._assemble, around, self.restarts)
        thread.start()
        thread.ready.wait(READY_TIMEOUT_S)
        if thread.failure is not None:
            raise self._reason(thread.failure) from thread.failure
        if not thread.ready.is_set():
            thread.retire()
            raise EngineError(f"the engine was not ready within {READY_TIMEOUT_S:.0f} s; see the log")
        self._thread = thread
        self._last_snapshot = thread.snapshot
        self._halt = ""
        if self._mark is not None:
            self._mark.note({book.name for book in self.snapshot().books}, self._begun)

    def _halt_of(self, book: str) -> str:
        assert self._mark is not None
        return self._halt or self._mark.halt_of(book)

    def _reason(self, failure: BaseException) -> QuarterdeckError:
        if isinstance(failure, QuarterdeckError):
            return failure
        return EngineError(f"the engine could not start: {type(failure).__name__}: {failure}")

    def _assemble(self) -> Assembly:
        """Runs on the engine's thread, which owns the money file's only writing connection."""
        store = MoneyStore(self.settings.money_file, self._key, self.clock)
        books: list[RunningBook] = []
        try:
            epoch = store.acquire_lease(self._installation)
            self._begun = {name for name in BOOKS if store.latest_checkpoint(name) is not None}
            self._build(books, self._parts(store, epoch))
        except BaseException:
            for book in books:
                book.close()
                book.release()
            store.close()
            raise
        recovered = {book.name: book.recovered for book in books}
        self.start_report = self.start_report or StartReport(self._lock.abandoned_by, recovered)
        return Assembly(store, epoch, tuple(books))

    def _build(self, books: list[RunningBook], parts: Parts) -> None:
        if self.settings.demo.enabled:
            books.append(build_demo(parts, self.settings.demo))
        for name in SWITCHED:
            if self._wanted[name]:
                self._build_switched(name, books, parts)

    def _build_switched(self, name: str, books: list[RunningBook], parts: Parts) -> None:
        """One of the books that can be switched; where it cannot start, that is told, and the others run."""
        try:
            if name == "paper":
                books.append(build_paper(parts, self.settings.paper))
            else:
                books.append(build_stage(parts, STAGES[name], self.settings.stages[name]))
        except (CannotRecord, Fenced):
            raise
        except QuarterdeckError as error:
            is_last = not any(self._wanted[later] for later in SWITCHED[SWITCHED.index(name) + 1 :])
            if self._must_start == name or (is_last and not books):
                raise
            self._notice(f"{name}-down", f"The {name} book could not be started; the others run", str(error))

    def _parts(self, store: MoneyStore, epoch: int) -> Parts:
        return Parts(
            settings=self.settings,
            clock=self.clock,
            epoch=epoch,
            installation=self._installation,
            journal_of=lambda book: store.journal(book, epoch),
            observe=self.observations.observer,
            wait=time.sleep,
            halt_of=self._halt_of,
            tell=self.observations.tell,
            connections=self._connections,
        )

    def stop(self) -> None:
        """Finish the event at hand, store checkpoints, release the folder."""
        self._ending.set()
        with self._changing:
            thread = self._thread
            if thread is not None:
                self._end(thread)
            if self.control is not None:
                self.control.close()
            self._lock.release()

    # -- watching ------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._ending.wait(WATCH_EVERY_S):
            thread = self._thread
            if thread is None:
                continue
            hung = thread.is_hung(self.settings.engine.hung_after_s)
            if thread.is_alive() and not hung:
                continue
            why = "made no progress" if hung else f"ended: {thread.failure}"
            self._restart(thread, why)

    def _restart(self, thread: EngineThread, why: str) -> None:
        with self._changing:
            if self._ending.is_set() or self._thread is not thread:
                return  # stopped, or replaced by a change of books, while this waited
            thread.retire()
            thread.join(timeout=2)
            self.restarts += 1
            self._halt = self._too_many(why) or self._out_of_space(thread.failure) or self._halt
            self._notice("engine", "The engine was started again", f"the loop {why}")
            try:
                self._start_thread()
            except QuarterdeckError as error:
                _log.error("engine restart failed", error=str(error))
                self._notice("engine-down", "The engine could not be started again", str(error))
                self._ending.wait(2.0)

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

    def _too_many(self, why: str) -> str:
        now = time.monotonic()
        self._restart_times.append(now)
        while self._restart_times and now - self._restart_times[0] > self.settings.engine.restart_window_s:
            self._restart_times.popleft()
        if len(self._restart_times) <= self.settings.engine.max_restarts:
            return ""
        return f"{len(self._restart_times)} restarts within {self.settings.engine.restart_window_s} s; the loop {why}"

    def _notice(self, key: str, title: str, detail: str) -> None:
        self.observations.tell(Notice(key, Severity.CRITICAL, title, detail, "engine", self.clock.now()))

    def _end(self, thread: EngineThread) -> None:
        """Let a loop finish; one that is stuck in a call must not reach a venue once it wakes."""
        thread.end()
        thread.join(timeout=END_TIMEOUT_S)
        if thread.is_alive():
            thread.retire()
            _log.error("engine loop did not end in time; it was retired", timeout_s=END_TIMEOUT_S)

    # -- for the console -----------------------------------------------------------------------------------------

    @property
    def thread(self) -> EngineThread | None:
        """The living loop."""
        return self._thread

    def snapshot(self) -> EngineSnapshot:
        """The newest snapshot; raises `EngineError` before the first."""
        thread = self._thread
        snapshot = thread.snapshot if thread is not None else None
        snapshot = snapshot or self._last_snapshot
        if snapshot is None:
            raise EngineError("the engine has not started yet")
        self._last_snapshot = snapshot
        return snapshot

    def is_alive(self) -> bool:
        """Whether the loop makes progress."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            return False
        return not thread.is_hung(self.settings.engine.hung_after_s)

    def absence(self) -> str:
        """Why nobody trades now; "" while the loop makes progress."""
        return "" if self.is_alive() else "its loop makes no progress; it is being started again"

    def wake(self) -> None:
        """Look for commands at once."""
        thread = self._thread
        if thread is not None:
            thread.wake()

    def history(self, book: str, instrument: InstrumentKey, bars: int) -> CandleArrays:
        """The last closed candles of a book's market; raises `BadInput` where it has none."""
        thread = self._thread
        source = thread.source(book) if thread is not None else None
        if source is None:
            raise BadInput(f"the book {book!r} has no market source now; its candles cannot be shown")
        return source.history(instrument, bars)

    def state(self) -> TradingState:
        """The most restrictive state of all books."""
        books = self.snapshot().books
        return max((b.state for b in books), key=lambda s: s.severity, default=TradingState.ACTIVE)

    def switch_book(self, book: str, settings: Settings, wanted: bool) -> None:
        """Add or remove a book; the loop starts again through recovery, which loses nothing.

        Raises
        ------
        QuarterdeckError
            Why the book cannot run so; the books run on as before.
        """
        if book not in SWITCHED:
            raise BadInput(f"{book!r} cannot be switched; {', '.join(SWITCHED)} can")
        with self._changing:
            before = self.settings, self._wanted
            self.settings, self._wanted = settings, {**self._wanted, book: wanted}
            self._must_start = book if wanted else ""
            if self._thread is not None:
                self._end(self._thread)
            try:
                self._start_thread()
            except QuarterdeckError:
                self.settings, self._wanted = before
                self._must_start = ""
                self._start_thread()
                raise
            finally:
                self._must_start = ""
