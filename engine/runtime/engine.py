"""The engine's thread: builds the books, recovers them, then takes one event after another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from queue import Empty, Full, Queue

import numpy as np
import structlog

from engine.domain.commands import (
    Actor,
    Command,
    CommandStatus,
    EmergencyStop,
    Role,
)
from engine.domain.errors import BadInput, EngineError, QuarterdeckError, StorageError, VenueError
from engine.domain.market import Bars, FeedStatus, MarketEvent
from engine.domain.portfolio import Balance, BookSnapshot, EngineSnapshot
from engine.domain.ports import Clock, MarketSource
from engine.runtime.obeying import carry_out
from engine.runtime.observing import Observations
from engine.runtime.receipts import unknown_outcome
from engine.runtime.sentinel import SENTINEL
from engine.runtime.starting import RunningBook, has_gap, refill
from engine.storage.control import ControlStore
from engine.storage.money import MoneyStore
from engine.trading.report import report

VERSION = "0.1.0"
_log = structlog.get_logger(__name__)
SLOW_EXCHANGES = 4
"""So many times longer may a loop with books at exchanges go without a turn: each question waits up to its patience."""
_TICK_S = 0.1
_QUEUE = 64


@dataclass(frozen=True, slots=True)
class Assembly:
    """What a start of the loop yields: the open store, its epoch and the recovered books."""

    store: MoneyStore
    epoch: int
    books: tuple[RunningBook, ...]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What outlives a restart of the loop."""

    folder: Path
    control: ControlStore
    observations: Observations
    clock: Clock
    publish_every_s: float
    started_at: datetime


class EngineThread(threading.Thread):
    """One life of the loop. When it ends with an error the supervisor starts another through the same path."""

    def __init__(self, assemble: Callable[[], Assembly], around: Surroundings, restarts: int) -> None:
        super().__init__(name=f"engine-{restarts}", daemon=True)
        self._assemble = assemble
        self._around = around
        self._restarts = restarts
        self._queue: Queue[tuple[str, MarketEvent]] = Queue(_QUEUE)
        self._ending = threading.Event()
        self._wake = threading.Event()
        self._books: dict[str, RunningBook] = {}
        self._balances: dict[tuple[str, str], tuple[Balance, ...]] = {}
        self._at_work: Command | None = None
        self._before: dict[str, int] = {}
        self._epoch = 0
        self._after = 0
        self._due = {"commands": 0.0, "stop": 0.0, "publish": 0.0}
        self.ready = threading.Event()
        self.failure: BaseException | None = None
        self.heartbeat = time.monotonic()
        self.events = 0
        self.snapshot: EngineSnapshot | None = None

    # -- from other threads --------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Look for commands at once."""
        self._wake.set()

    def retire(self) -> None:
        """Be replaced: whatever it is stuck in, it must not reach a venue any more."""
        self._ending.set()
        for book in self._books.values():
            book.loop.retire()
            if book.caretaker is not None:
                book.caretaker.cut()

    def end(self) -> None:
        """Finish the event at hand, store a checkpoint and stop."""
        self._ending.set()

    def is_hung(self, after_s: float) -> bool:
        """Whether it has made no turn for so many seconds; longer where exchanges may answer slowly, one by one."""
        waits = any(book.caretaker is not None for book in self._books.values())
        return time.monotonic() - self.heartbeat > after_s * (SLOW_EXCHANGES if waits else 1)

    @property
    def queue_length(self) -> int:
        """Events waiting."""
        return self._queue.qsize()

    def source(self, book: str) -> MarketSource | None:
        """The market source of a book, for charts."""
        running = self._books.get(book)
        return running.source if running else None

    # -- the thread ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Build, recover, loop; the error that ended it is left in ``failure``."""
        assembly: Assembly | None = None
        try:
            assembly = self._assemble()
            self._epoch = assembly.epoch
            self._books = {book.name: book for book in assembly.books}
            self._begin()
            self.ready.set()
            while not self._ending.is_set():
                self._turn()
            self._finish()
        except Exception as error:
            self.failure = self.failure or error
            if assembly is None and isinstance(error, BadInput):
                _log.error("the books cannot start so", error=str(error))
            else:
                _log.exception("engine loop ended", error=str(error))
            self._give_up_command(error)
        finally:
            self.ready.set()
            self._close(assembly)

    def _begin(self) -> None:
        for book in self._books.values():
            for difference in book.recovered.differences:
                _log.error("books and venue differ", book=book.name, difference=difference)
            if book.caretaker is not None:
                book.caretaker.drive()
                book.caretaker.start()
            threading.Thread(target=self._pump, args=(book,), name=f"source-{book.name}", daemon=True).start()
        self._publish()

    def _pump(self, book: RunningBook) -> None:
        try:
            for event in book.source.events():
                while not self._ending.is_set():
                    try:
                        self._queue.put((book.name, event), timeout=0.5)
                        break
                    except Full:
                        continue
                if self._ending.is_set():
                    return
            if not self._ending.is_set():
                raise EngineError(f"the market source of {book.name} ended by itself")
        except Exception as error:
            self.failure = self.failure or error
            self._ending.set()

    def _turn(self) -> None:
        self.heartbeat = time.monotonic()
        try:
            name, event = self._queue.get(timeout=_TICK_S)
        except Empty:
            self._tick()
            return
        self._take(self._books[name], event)
        if not self._ending.is_set():
            self._tick()

    def _take(self, book: RunningBook, event: MarketEvent) -> None:
        started = time.perf_counter()
        if (isinstance(event, FeedStatus) and event.online) or (isinstance(event, Bars) and has_gap(book, event)):
            refill(book, event.at)
        book.loop.book.catching_up = self._is_late(book, event)
        book.loop.step(event)
        self.events += 1
        self._around.observations.step_s.append(time.perf_counter() - started)
        for venue in book.loop.book.feeds.values():
            if venue.last_market_time == event.at and not isinstance(event, FeedStatus):
                venue.last_wall_time = self._around.clock.now()

    def _is_late(self, book: RunningBook, event: MarketEvent) -> bool:
        """A close of a real market that comes long after it: it fills and values, but decides nothing any more."""
        config, risk = book.loop.book.config, book.loop.book.risk
        if config.simulated:
            return False
        return self._around.clock.now() - event.at > risk.max_price_age_bars * config.bar.delta

    def _tick(self) -> None:
        now = time.monotonic()
        if self._wake.is_set() or now >= self._due["commands"]:
            self._wake.clear()
            self._due["commands"] = now + 0.25
            self._obey()
        for book in self._books.values():
            book.loop.hear()
        if now >= self._due["stop"]:
            self._due["stop"] = now + 0.2
            for book in self._books.values():
                if book.caretaker is not None:
                    book.caretaker.drive()
                book.stop.drive()
                if not book.loop.book.latched:
                    book.loop.resolve()
                    book.loop.drive_baskets()
                book.reconciler.drive()
                book.loop.maybe_checkpoint()
        if now >= self._due["publish"]:
            self._due["publish"] = now + self._around.publish_every_s
            self._publish()

    # -- commands ------------------------------------------------------------------------------------------------

    def _obey(self) -> None:
        self._look_for_sentinel()
        try:
            pending = self._around.control.pending(self._after)
        except StorageError as error:
            _log.error("commands cannot be read", error=str(error))
            return
        for position, command in pending:
            self._at_work = command
            self._before = {name: book.loop.sequence for name, book in self._books.items()}
            status, detail = carry_out(self._books, command)
            if not self._answer(command.command_id, status, detail):
                return
            self._at_work = None
            self._after = position
            self._publish()

    def _answer(self, command_id: str, status: CommandStatus, detail: str) -> bool:
        """Store what became of a command; where that fails it is asked about again, and not carried out twice."""
        try:
            self._around.control.complete(command_id, status, detail)
        except StorageError as error:
            _log.error("command could not be answered", command=command_id, error=str(error))
            return False
        return True

    def _give_up_command(self, error: Exception) -> None:
        """A command that breaks the loop must not break the next one too; only a stop is tried for ever."""
        command = self._at_work
        if command is None or isinstance(error, QuarterdeckError) or isinstance(command.body, EmergencyStop):
            return
        self._answer(command.command_id, *(self._recorded(command) or unknown_outcome(error)))

    def _recorded(self, command: Command) -> tuple[CommandStatus, str] | None:
        """What the books say became of it; None unless that has reached the journal."""
        for name, book in self._books.items():
            done = book.loop.book.commands.get(command.command_id)
            if done is not None and book.loop.sequence > self._before[name]:
                return CommandStatus(done.status), f"{name}: {done.detail}"
        return None

    def _look_for_sentinel(self) -> None:
        path = self._around.folder / SENTINEL
        try:
            stamp = path.stat().st_mtime_ns
        except FileNotFoundError:
            return
        actor = Actor("sentinel file", Role.OPERATOR, "file")
        body = EmergencyStop(None)
        at, why = self._around.clock.now(), f"file {SENTINEL} found"
        carry_out(self._books, Command(f"sentinel-{stamp}", actor, at, why, body))
        try:
            path.replace(path.with_name(f"{SENTINEL}.done-{stamp}"))
        except OSError as error:
            _log.error("sentinel file could not be moved away; remove it by hand", error=str(error))

    # -- readers -------------------------------------------------------------------------------------------------

    def _publish(self) -> None:
        now = self._around.clock.now()
        steps = np.asarray(self._around.observations.step_s)
        p50, p99 = (float(x) for x in np.percentile(steps, (50, 99))) if len(steps) else (None, None)
        self.snapshot = EngineSnapshot(
            started_at=self._around.started_at,
            published_at=now,
            version=VERSION,
            epoch=self._epoch,
            restarts=self._restarts,
            books=tuple(self._snapshot_of(book, now) for book in self._books.values()),
            loop_p50_s=p50,
            loop_p99_s=p99,
            queue_length=self._queue.qsize(),
            events=self.events,
        )

    def _snapshot_of(self, book: RunningBook, now: datetime) -> BookSnapshot:
        """The book with its venues' own balances; of a venue that does not answer, the last it told."""
        for name, venue in book.loop.venues.items():
            try:
                told = tuple(book.loop.book.with_owner(balance) for balance in venue.known_balances())
            except VenueError:
                continue
            self._balances[book.name, name] = told
        known = [self._balances.get((book.name, name), ()) for name in book.loop.venues]
        return report(book.loop.book, tuple(chain.from_iterable(known)), now, book.loop.sequence)

    def _finish(self) -> None:
        for book in self._books.values():
            book.loop.maybe_checkpoint(force=True)
        self._publish()

    def _close(self, assembly: Assembly | None) -> None:
        self._ending.set()
        for book in self._books.values():
            book.close()
            book.release()
        if assembly is not None:
            assembly.store.close()
