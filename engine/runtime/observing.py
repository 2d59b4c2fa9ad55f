"""What the books tell the outside: collected without waiting on their threads, stored by another."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from engine.domain.commands import Command
from engine.domain.facts import Notice, Outcome
from engine.domain.market import Bars, MarketEvent
from engine.domain.ports import Clock
from engine.storage.rows import Decision, EquitySample
from engine.trading.book import Book
from engine.trading.loop import Observer

Observed = Notice | Decision | EquitySample
LATENCIES = 4000


@dataclass(slots=True)
class Observations:
    """A queue of what was observed and the newest step times; bounded, because the reader may be slow.

    Every book puts in from its own thread.
    """

    clock: Clock
    limit: int = 50_000
    step_s: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES))
    calls: int = 0
    errors: int = 0
    dropped: int = 0
    _queue: SimpleQueue[Observed] = field(default_factory=SimpleQueue)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def observer(self, book: Book) -> Observer:
        """The observer of one book's loop."""

        def observe(event: MarketEvent | Command | None, outcome: Outcome) -> None:
            for notice in outcome.notices:
                self._put(notice)
            for refused in outcome.refused:
                detail = f"{refused.detail} (value {refused.value}, limit {refused.limit})"
                self._put(
                    Decision(book.config.name, refused.at, refused.sleeve, refused.instrument, refused.rule, detail)
                )
            if isinstance(event, Bars) and book.equity is not None:
                self._put(self._sample(book, event))

        return observe

    def _sample(self, book: Book, bars: Bars) -> EquitySample:
        assert book.equity is not None
        return EquitySample(
            book=book.config.name,
            market_at=bars.at,
            wall_at=self.clock.now(),
            equity=book.equity,
            cash=book.ledger.cash(),
            drawdown=book.units.drawdown,
            unrealised=book.ledger.unrealised(book.price),
            sleeves={name: book.sleeve_pnl(name) for name in sorted(book.ledger.sleeves)},
        )

    def _put(self, item: Observed) -> None:
        if self._queue.qsize() >= self.limit and not isinstance(item, Notice):
            with self._lock:
                self.dropped += 1
            return
        self._queue.put(item)

    def took(self, seconds: float) -> None:
        """Note how long a step of a book took."""
        with self._lock:
            self.step_s.append(seconds)

    def steps(self) -> tuple[float, ...]:
        """The newest step times of all books, seconds."""
        with self._lock:
            return tuple(self.step_s)

    def forget_steps(self) -> None:
        """Leave the steps of a start out of the percentiles."""
        with self._lock:
            self.step_s.clear()

    def tell(self, notice: Notice) -> None:
        """Add a notice of the process itself."""
        self._queue.put(notice)

    def drain(self) -> list[Observed]:
        """Everything observed since the last call, oldest first."""
        items: list[Observed] = []
        while True:
            try:
                items.append(self._queue.get_nowait())
            except Empty:
                return items
