"""How long a new bar takes to become an order: decided, durable, at the venue. ``python -m benchmarks.bar_to_order``.

The live path: strategies are evaluated on windows of candles at every close, as in the engine's thread. The venue is
the paper venue with its journal in memory, so that the only write on the disk is the engine's own.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.markets import Series, closes, made
from benchmarks.measuring import Spread, parser, tell
from engine.domain.facts import Fact, SleeveConfigured
from engine.domain.market import FeedStatus, Timeframe, from_ms
from engine.domain.orders import CashFlow, OrderIntent
from engine.domain.ports import Appended, Journal
from engine.exchanges.paper import MemoryVenueJournal, PaperCosts, PaperVenue
from engine.execution.identity import ClientIds
from engine.ledger.ledger import Ledger
from engine.risk.limits import RiskConfig
from engine.runtime.clock import SystemClock
from engine.simulation.memory import MemoryJournal
from engine.storage.chain import load_or_create_key
from engine.storage.migrate import migrate
from engine.storage.money import MoneyStore
from engine.strategies import STRATEGIES
from engine.strategies.warm import compile_all
from engine.trading.book import WINDOW_BARS, Book
from engine.trading.config import BookConfig, BrakeMode
from engine.trading.core import TradingCore
from engine.trading.loop import TradingLoop
from engine.trading.sleeves import build_strategy

CASH = Decimal(1_000_000)
MINUTE = Timeframe(60)
WARM_BARS = 200
"""Closes that are taken but not counted: first calls, first growth of buffers."""


@dataclass(slots=True)
class StampedJournal:
    """A journal that notes when it was handed intents, and when they were durable."""

    journal: Journal
    handed_at: float = 0.0
    handed_cpu: float = 0.0
    durable_at: float = 0.0

    def append(self, facts: Sequence[Fact], market_time: datetime) -> Appended:
        """Pass on."""
        if not any(isinstance(fact, OrderIntent) for fact in facts):
            return self.journal.append(facts, market_time)
        self.handed_at, self.handed_cpu = time.perf_counter(), time.thread_time()
        done = self.journal.append(facts, market_time)
        self.durable_at = time.perf_counter()
        return done

    def read(self, after: int) -> Iterator[tuple[int, Fact]]:
        """Pass on."""
        return self.journal.read(after)

    def checkpoint(self, sequence: int, state: Mapping[str, Any]) -> None:
        """Pass on."""
        self.journal.checkpoint(sequence, state)

    def latest_checkpoint(self) -> tuple[int, Mapping[str, Any]] | None:
        """Pass on."""
        return self.journal.latest_checkpoint()


@dataclass(slots=True)
class Times:
    """Seconds, by what was waited for; the first four only of closes that led to an order.

    ``intent_cpu`` is the thread's own processor time: what a machine with nothing else to do would show.
    """

    intent: list[float] = field(default_factory=list)
    intent_cpu: list[float] = field(default_factory=list)
    durable: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    step: list[float] = field(default_factory=list)


def measure(series: Series, journal: Journal) -> Times:
    """Take every close behind the warm-up of the windows through a book's loop."""
    stamps = StampedJournal(journal)
    loop = _loop(series, stamps)
    times = Times()
    for number, bars in enumerate(closes(series, WINDOW_BARS)):
        stamps.handed_at = 0.0
        started, started_cpu = time.perf_counter(), time.thread_time()
        loop.step(bars)
        ended = time.perf_counter()
        if number < WARM_BARS:
            continue
        times.step.append(ended - started)
        if stamps.handed_at:
            times.intent.append(stamps.handed_at - started)
            times.intent_cpu.append(stamps.handed_cpu - started_cpu)
            times.durable.append(stamps.durable_at - started)
            times.sent.append(ended - started)
    return times


def _loop(series: Series, journal: Journal) -> TradingLoop:
    instruments = sorted(series, key=lambda instrument: instrument.key)
    config = BookConfig("bench", "bench", "b0", True, "USDT", MINUTE, brake=BrakeMode.OFF)
    book = Book(config, ClientIds("b0", "bench", 1), Ledger("USDT"))
    book.set_risk(RiskConfig(daily_loss=Decimal("0.5"), strategy_drawdown=Decimal(1), portfolio_drawdown=Decimal(1)))
    for instrument in instruments:
        book.add_instrument(instrument)
        book.warm_up(instrument.key, series[instrument].slice(0, WINDOW_BARS))
    venue = PaperVenue("bench", instruments, PaperCosts(), MemoryVenueJournal(), {"USDT": CASH})
    loop = TradingLoop(TradingCore(book), journal, {"bench": venue}, SystemClock())
    at = from_ms(int(series[instruments[0]].opened_at_ms[WINDOW_BARS]))
    loop.fund([CashFlow("bench", "capital", "USDT", CASH, at, "capital")])
    keys, weight = tuple(instrument.key for instrument in instruments), Decimal("0.3")
    sleeves = [SleeveConfigured(n, True, build_strategy(n, "{}")[1], keys, weight, at) for n in sorted(STRATEGIES)]
    loop.take(sleeves, at)
    loop.step(FeedStatus("bench", at, True, "made-up candles"))
    return loop


def run(symbols: int, bars: int, *, durable: bool) -> Times:
    """One measurement: with the engine's own journal on the disk, or with one in memory."""
    series = made(symbols, WINDOW_BARS + WARM_BARS + bars, MINUTE)
    if not durable:
        return measure(series, MemoryJournal())
    with tempfile.TemporaryDirectory(prefix="quarterdeck-bench-") as name:
        folder = Path(name)
        migrate(folder)
        store = MoneyStore(folder / "money.sqlite", load_or_create_key(folder / "keys" / "journal.key"), SystemClock())
        try:
            return measure(series, store.journal("bench", store.acquire_lease("bench")))
        finally:
            store.close()


def main() -> None:
    """Measure and tell."""
    options = parser(__doc__)
    options.add_argument("--bars", type=int, default=6000, help="closes of one symbol (default 6000)")
    options.add_argument("--many", type=int, default=50, help="symbols of the second measurement (default 50)")
    options.add_argument("--many-bars", type=int, default=400, help="closes of many symbols (default 400)")
    options.add_argument("--frozen", action="store_true", help="take what was built at the start off the collector")
    given = options.parse_args()
    compile_all()
    if given.frozen:
        gc.collect()
        gc.freeze()
    figures: dict[str, Any] = {"unit": "ms", "strategies": len(STRATEGIES), "collector_frozen": given.frozen}
    for symbols, bars in ((1, given.bars), (given.many, given.many_bars)):
        for durable in (False, True):
            times = run(symbols, bars, durable=durable)
            name = f"{symbols} symbol{'s' if symbols > 1 else ''}, {'durable' if durable else 'memory'}"
            figures[f"{name}: bar to order intent"] = Spread.of(times.intent, 1000)
            figures[f"{name}: the same, processor time"] = Spread.of(times.intent_cpu, 1000)
            if durable:
                figures[f"{name}: bar to durable intent"] = Spread.of(times.durable, 1000)
            figures[f"{name}: bar to order at the venue"] = Spread.of(times.sent, 1000)
            figures[f"{name}: every bar"] = Spread.of(times.step, 1000)
    tell("bar to order", figures, as_json=given.json)


if __name__ == "__main__":
    main()
