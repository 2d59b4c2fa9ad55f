"""Books with scripted sources on an engine's threads, one of which may hang at its venue."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import numpy as np
from running_engine import until

from engine.domain.commands import Actor, Command, CommandBody, CommandStatus, Receipt, Role
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.market import Bars, Candle, CandleArrays, MarketEvent
from engine.domain.portfolio import BookSnapshot
from engine.runtime.book_thread import BookThread, Surroundings
from engine.runtime.clock import SystemClock
from engine.runtime.engine import EngineThread
from engine.runtime.lifeline import Lifeline
from engine.runtime.observing import Observations
from engine.runtime.starting import RunningBook
from engine.storage.control import ControlStore
from engine.storage.migrate import migrate
from engine.trading.recovery import Reconciler, Recovered
from tests.trading.harness import MINUTE, SPOT, D, Desk

KEY = bytes(32)


@dataclass
class ScriptedSource:
    """Events a test puts in; a text ends the source, an error breaks it."""

    closed: bool = False
    waiting: Queue[MarketEvent | Exception | str] = field(default_factory=Queue)
    asked: list[InstrumentKey] = field(default_factory=list)
    past: list[int] = field(default_factory=list)

    def instruments(self) -> Sequence[Instrument]:
        return (SPOT,)

    def history(self, key: InstrumentKey, bars: int) -> CandleArrays:
        self.asked.append(key)
        prices = np.full(len(self.past), 100.0)
        return CandleArrays(MINUTE, np.array(self.past, dtype=np.int64), prices, prices, prices, prices, prices)

    def events(self) -> Iterator[MarketEvent]:
        while not self.closed:
            try:
                item = self.waiting.get(timeout=0.01)
            except Empty:
                continue
            if isinstance(item, Exception):
                raise item
            if isinstance(item, str):
                return
            yield item

    def close(self) -> None:
        self.closed = True


class NoStore:
    epoch = 7

    def close(self) -> None:
        pass


class HungVenue:
    """A venue that answers no question until it is let go; what it has told before can still be read."""

    def __init__(self, venue: Any) -> None:
        self._venue = venue
        self.asked, self.go = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._venue, name)
        if not callable(attribute) or name == "known_balances":
            return attribute

        def ask(*arguments: Any, **named: Any) -> Any:
            self.asked.set()
            self.go.wait(30)
            return attribute(*arguments, **named)

        return ask


class ScriptedBook:
    """A book whose events come from a test."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.desk = Desk()
        self.desk.book.config = replace(self.desk.book.config, name=name)
        self.desk.bar("100")
        self.source = ScriptedSource()

    def build(self, _lifeline: Lifeline) -> RunningBook:
        """What its thread runs."""
        loop = self.desk.loop
        watch = Reconciler(loop, self.desk.clock)
        return RunningBook(self.name, loop, self.desk.stop, watch, self.source, (), Recovered(0, 0, ()))

    def next_bar(self, price: str = "100", minutes_later: int = 0) -> Bars:
        """The candle that closes next."""
        self.desk.at += MINUTE.delta * minutes_later
        candle = Candle(SPOT.key, MINUTE, self.desk.at, D(price), D(price), D(price), D(price), D(1000))
        self.desk.at = candle.closed_at
        return Bars(candle.closed_at, (candle,))

    def hang(self) -> HungVenue:
        """Let its venue answer nothing from now on, and wait until it has been asked."""
        hung = HungVenue(self.desk.loop.venues["v"])
        self.desk.loop.venues["v"] = hung  # type: ignore[assignment]
        self.source.waiting.put(self.next_bar())
        assert hung.asked.wait(10)
        return hung


class Books:
    """An engine over scripted books."""

    def __init__(self, folder: Path, *names: str) -> None:
        migrate(folder)
        self.folder = folder
        self.clock = SystemClock()
        self.control = ControlStore(folder / "control.sqlite", KEY, self.clock)
        self.around = Surroundings(folder, self.control, Observations(self.clock), self.clock, 0.05, datetime.now(UTC))
        self.engine = EngineThread(NoStore(), self.around, names, 0)
        self.books: dict[str, ScriptedBook] = {}
        self._gone: list[ScriptedBook] = []

    def thread(self, name: str, build: Callable[[Lifeline], RunningBook] | None = None) -> BookThread:
        """A new life of a book, not begun."""
        if name in self.books:
            self._gone.append(self.books[name])
        self.books[name] = ScriptedBook(name)
        return BookThread(name, build or self.books[name].build, self.around, self.engine)

    def begin(self, *names: str) -> None:
        """Start the engine with these books."""
        threads = [self.thread(name) for name in names]
        for thread in threads:
            self.engine.attach(thread)
        self.engine.start()
        for thread in threads:
            assert thread.ready.wait(10)

    def life(self, name: str) -> BookThread:
        """The thread a book runs on."""
        found = self.engine.book(name)
        assert found is not None
        return found

    def shown(self, name: str) -> BookSnapshot:
        """A book as readers see it."""
        assert self.engine.snapshot is not None
        return self.engine.snapshot.book(name)

    def command(self, body: CommandBody, command_id: str) -> None:
        """Store a command, and wake the engine."""
        actor = Actor("jo", Role.ADMIN, "test")
        self.control.submit(Command(command_id, actor, self.clock.now(), "test", body))
        self.engine.wake()

    def receipt(self, command_id: str) -> Receipt:
        """What is told of a command so far."""
        answer = self.control.receipt(command_id)
        assert answer is not None
        return answer

    def answer_to(self, command_id: str) -> Receipt:
        """What became of a command, once that is known."""
        until(lambda: self.receipt(command_id).status is not CommandStatus.PENDING, f"an answer to {command_id}")
        return self.receipt(command_id)

    def close(self) -> None:
        """End everything that does not hang."""
        self.engine.end()
        for book in [*self.books.values(), *self._gone]:
            book.source.close()
        self.engine.join(10)
        self.control.close()
