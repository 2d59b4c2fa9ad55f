"""The thread of one book: builds it, recovers it, then takes one event and one command after another."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from queue import Empty, Full, Queue, SimpleQueue
from typing import Protocol

import structlog

from engine.domain.commands import CommandStatus, EmergencyStop
from engine.domain.errors import BadInput, CannotRecord, EngineError, Fenced, QuarterdeckError, VenueError
from engine.domain.market import Bars, FeedStatus, MarketEvent
from engine.domain.portfolio import Balance, BookSnapshot
from engine.domain.ports import Clock
from engine.runtime.lifeline import Lifeline
from engine.runtime.obeying import Answer, Asked, Order, carry_out
from engine.runtime.observing import Observations
from engine.runtime.receipts import unknown_outcome
from engine.runtime.starting import RunningBook, has_gap, refill
from engine.storage.control import ControlStore
from engine.trading.report import report

_log = structlog.get_logger(__name__)
LONGEST_ASSEMBLY_S = 60.0
"""So long may a book that is being built go without a sign of life: the check of a key is several slow questions."""
LONGEST_QUESTION_S = 20.0
"""So long may a book at an exchange: one question waits up to 15 s for its answer."""
LONGEST_TURN_S = 300.0
"""So long may one turn last, signs of life or not: an endless row of questions is no progress either."""
_TICK_S = 0.1
_QUEUE = 64


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What outlives a restart of a book, and of all of them."""

    folder: Path
    control: ControlStore
    observations: Observations
    clock: Clock
    publish_every_s: float
    started_at: datetime


class Told(Protocol):
    """Who hears of a book what it has done; on the book's thread, and must not keep it."""

    def begun(self, thread: BookThread) -> None:
        """It was built and recovered, and has a snapshot."""

    def answered(self, thread: BookThread, command_id: str, answer: Answer) -> None:
        """A command was carried out or refused."""


class BookThread(threading.Thread):
    """One life of one book. When it ends with an error, another is started through the same path.

    Parameters
    ----------
    book : str
    build : callable
        Makes and recovers the book, on this thread.
    around : Surroundings
    told : Told
    """

    def __init__(self, book: str, build: Callable[[Lifeline], RunningBook], around: Surroundings, told: Told) -> None:
        super().__init__(name=f"book-{book}", daemon=True)
        self.book = book
        self._build = build
        self._around = around
        self._told = told
        self._lifeline = Lifeline(around.clock)
        self._queue: Queue[MarketEvent | None] = Queue(_QUEUE)
        self._inbox: SimpleQueue[Order | Asked] = SimpleQueue()
        self._orders: deque[Order | Asked] = deque()
        self._ending = threading.Event()
        self._balances: dict[str, tuple[Balance, ...]] = {}
        self._at_work: tuple[Order, int] | None = None
        self._due = {"stop": 0.0, "publish": 0.0}
        self._turn_began = time.monotonic()
        self.running: RunningBook | None = None
        self.ready = threading.Event()
        self._is_recovered = self.has_begun = False
        """Whether it was built and recovered; ``ready`` is also set where that failed."""
        self.failure: BaseException | None = None
        self.events = 0
        self.snapshot: BookSnapshot | None = None

    # -- from other threads --------------------------------------------------------------------------------------

    def order(self, order: Order | Asked) -> None:
        """Hand over a command, or a question for the sake of another book; taken in the order they come."""
        self._inbox.put(order)
        with suppress(Full):  # then it is at work, and looks after the event at hand
            self._queue.put_nowait(None)

    def retire(self) -> None:
        """Be replaced: whatever it is stuck in, it must not reach a venue any more. At any moment of its life."""
        self._ending.set()
        self._lifeline.cut()
        running = self.running
        if running is not None:
            running.loop.retire()
            if running.caretaker is not None:
                running.caretaker.cut()

    def end(self) -> None:
        """Finish the event at hand, store a checkpoint and stop."""
        self._ending.set()

    def is_hung(self, after_s: float) -> bool:
        """Whether it has given no sign of life for so many seconds; longer where one question may take longer."""
        silent_s, running = self._lifeline.silent_s, self.running
        if not self.ready.is_set():
            return silent_s > LONGEST_ASSEMBLY_S
        if running is not None and running.caretaker is not None:
            after_s = max(after_s, LONGEST_QUESTION_S)
        return silent_s > after_s or time.monotonic() - self._turn_began > max(after_s, LONGEST_TURN_S)

    @property
    def concerns_all(self) -> bool:
        """Whether what ended it is shared by all books: the record, or its lease. That it was given up is its own."""
        is_fenced = isinstance(self.failure, Fenced) and not self._lifeline.is_cut
        return is_fenced or isinstance(self.failure, CannotRecord)

    @property
    def absence(self) -> str:
        """Why it does not run, in words; "" while it does."""
        if self.failure is None:
            return "" if self._is_recovered else "it is still starting"
        return f"it {'ended' if self._is_recovered else 'could not be started'}: {self.failure}; it is tried again"

    @property
    def queue_length(self) -> int:
        """Events waiting."""
        return self._queue.qsize()

    # -- the thread ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Build, recover, loop; the error that ended it is left in ``failure``."""
        self._lifeline.begin()
        try:
            book = self.running = self._build(self._lifeline)
            if self._lifeline.is_cut:
                book.loop.retire()
                self._lifeline.require_uncut()
            self._begin(book)
            self._is_recovered = True
            self._told.begun(self)  # shown first: whoever hears that it runs finds it as it is now
            self.has_begun = True
            self._turn_began = time.monotonic()
            self.ready.set()
            self._obey(book)  # before the first event: a stop may have been ordered while nobody was there
            threading.Thread(target=self._pump, args=(book,), name=f"source-{book.name}", daemon=True).start()
            while not self._ending.is_set():
                self._turn(book)
            self._finish(book)
        except Exception as error:
            self._fail(error)
        finally:
            self.ready.set()
            self._close()

    def _fail(self, error: Exception) -> None:
        self.failure = self.failure or error
        if self.running is None and isinstance(error, BadInput | VenueError):
            _log.error("the book cannot start so", book=self.book, error=str(error))
        elif isinstance(error, Fenced) and self._lifeline.is_cut:
            _log.warning("a replaced loop has ended", book=self.book, error=str(error))
        else:
            _log.exception("loop of the book ended", book=self.book, error=str(error))
        self._give_up_order(error)

    def _begin(self, book: RunningBook) -> None:
        for difference in book.recovered.differences:
            _log.error("books and venue differ", book=book.name, difference=difference)
        if book.caretaker is not None:
            book.caretaker.drive()
            book.caretaker.start()
        self._publish(book)

    def _pump(self, book: RunningBook) -> None:
        try:
            for event in book.source.events():
                while not self._ending.is_set():
                    try:
                        self._queue.put(event, timeout=0.5)
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

    def _turn(self, book: RunningBook) -> None:
        self._lifeline.beat()
        self._turn_began = time.monotonic()
        try:
            event = self._queue.get(timeout=_TICK_S)
        except Empty:
            event = None
        if event is not None:
            self._take(book, event)
        if not self._ending.is_set():
            self._tick(book)

    def _take(self, book: RunningBook, event: MarketEvent) -> None:
        started = time.perf_counter()
        if (isinstance(event, FeedStatus) and event.online) or (isinstance(event, Bars) and has_gap(book, event)):
            refill(book, event.at)
        book.loop.book.catching_up = self._is_late(book, event)
        book.loop.step(event)
        self.events += 1
        self._around.observations.took(time.perf_counter() - started)
        for venue in book.loop.book.feeds.values():
            if venue.last_market_time == event.at and not isinstance(event, FeedStatus):
                venue.last_wall_time = self._around.clock.now()

    def _is_late(self, book: RunningBook, event: MarketEvent) -> bool:
        """A close of a real market that comes long after it: it fills and values, but decides nothing any more."""
        config, risk = book.loop.book.config, book.loop.book.risk
        if config.simulated:
            return False
        return self._around.clock.now() - event.at > risk.max_price_age_bars * config.bar.delta

    def _tick(self, book: RunningBook) -> None:
        now = time.monotonic()
        self._obey(book)
        book.loop.hear()
        if now >= self._due["stop"]:
            self._due["stop"] = now + 0.2
            if book.caretaker is not None:
                book.caretaker.drive()
            book.stop.drive()
            if not book.loop.book.latched:
                book.loop.resolve()
                book.loop.drive_baskets()
            book.reconciler.drive()
            book.loop.maybe_checkpoint()
        if now >= self._due["publish"]:
            self._publish(book)

    # -- commands ------------------------------------------------------------------------------------------------

    def _obey(self, book: RunningBook) -> None:
        """Carry out what is there, in the order it came; one that waits for another book holds up what follows."""
        while not self._inbox.empty():
            self._orders.append(self._inbox.get())
        while self._orders:
            order = self._orders[0]
            if isinstance(order, Asked):
                order.answer(book)
            elif order.asked is not None and not order.asked.is_due and not self._has_stop():
                return
            else:
                self._carry_out(book, order)
            self._orders.popleft()

    def _has_stop(self) -> bool:
        """Whether an emergency stop waits: it waits for no other book's answer."""
        return any(isinstance(each, Order) and isinstance(each.command.body, EmergencyStop) for each in self._orders)

    def _carry_out(self, book: RunningBook, order: Order) -> None:
        self._at_work = order, book.loop.sequence
        answer = carry_out(book, order)
        self._at_work = None
        self._publish(book)
        self._told.answered(self, order.command.command_id, answer)

    def _give_up_order(self, error: Exception) -> None:
        """A command that breaks the loop must not break the next one too; only a stop is tried for ever."""
        if self._at_work is None or isinstance(error, QuarterdeckError):
            return
        command = self._at_work[0].command
        if not isinstance(command.body, EmergencyStop):
            self._told.answered(self, command.command_id, self._recorded(command.command_id) or unknown_outcome(error))

    def _recorded(self, command_id: str) -> Answer | None:
        """What the book says became of it; None unless that has reached the journal."""
        if self.running is None or self._at_work is None:
            return None
        loop = self.running.loop
        done = loop.book.commands.get(command_id)
        if done is None or loop.sequence <= self._at_work[1]:
            return None
        return CommandStatus(done.status), f"{self.book}: {done.detail}"

    # -- readers -------------------------------------------------------------------------------------------------

    def _publish(self, book: RunningBook) -> None:
        """The book with its venues' own balances; of a venue that does not answer, the last it told."""
        self._due["publish"] = time.monotonic() + self._around.publish_every_s
        for name, venue in book.loop.venues.items():
            try:
                self._balances[name] = tuple(book.loop.book.with_owner(each) for each in venue.known_balances())
            except VenueError:
                continue
        known = tuple(chain.from_iterable(self._balances.get(name, ()) for name in book.loop.venues))
        self.snapshot = report(book.loop.book, known, self._around.clock.now(), book.loop.sequence)

    def _finish(self, book: RunningBook) -> None:
        book.loop.maybe_checkpoint(force=True)
        self._publish(book)

    def _close(self) -> None:
        self._ending.set()
        if self.running is not None:
            self.running.close()
            self.running.release()
