"""Memory over a simulated week of ticks with 50 symbols. ``python -m benchmarks.memory_week``.

Ten thousand closes of one-minute candles of 50 instruments through a book's loop as fast as it goes: strategies, the
real money file, telemetry, snapshots, quotes through the feed of the connected path (so many of each instrument a
minute, the newest taken before each close, as the engine does once a second), fills by the paper venue with its
journal on the disk. Resident memory is read after every simulated day. A census of every list, dict, set and queue
that the book, venue, feed, store and observations reach says which of them grow; ``--trace`` tells instead which lines
of code allocated what has stayed since the first day (slow).
"""

from __future__ import annotations

import gc
import tempfile
import time
import tracemalloc
from collections import deque
from collections.abc import Iterator, Sized
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.markets import Series, closes, made
from benchmarks.measuring import parser, tell
from engine.domain.facts import SleeveConfigured
from engine.domain.market import Bars, FeedStatus, Timeframe, from_ms
from engine.domain.orders import CashFlow
from engine.exchanges.connected.placing import Listed
from engine.exchanges.connected.quotes import QuoteFeed
from engine.exchanges.paper import FileVenueJournal, PaperCosts, PaperVenue
from engine.execution.identity import ClientIds
from engine.ledger.ledger import Ledger
from engine.risk.limits import RiskConfig
from engine.runtime.clock import SystemClock
from engine.runtime.observing import Observations
from engine.storage.chain import load_or_create_key
from engine.storage.migrate import migrate
from engine.storage.money import MoneyStore
from engine.storage.rows import Decision, EquitySample
from engine.storage.telemetry import TelemetryStore
from engine.strategies import STRATEGIES
from engine.strategies.warm import compile_all
from engine.trading.book import WINDOW_BARS, Book
from engine.trading.config import BookConfig, BrakeMode
from engine.trading.core import TradingCore
from engine.trading.loop import TradingLoop
from engine.trading.report import report
from engine.trading.sleeves import build_strategy

CASH = Decimal(1_000_000)
MINUTE = Timeframe(60)
DAY_BARS = 1440
LOOK_BARS = 10
MEGABYTE = 2**20
GREW = 1.05
LEAST = 50
_CONTAINERS = (dict, list, set, deque)


@dataclass
class Week:
    """One book with everything that lives as long as it."""

    folder: Path
    series: Series
    ticks: int
    strategies: tuple[str, ...]
    days_mb: list[float] = field(default_factory=list)
    censuses: list[dict[str, int]] = field(default_factory=list)
    quotes: int = 0

    def __post_init__(self) -> None:
        instruments = sorted(self.series, key=lambda instrument: instrument.key)
        config = BookConfig("bench", "bench", "b0", True, "USDT", MINUTE, brake=BrakeMode.OFF)
        book = Book(config, ClientIds("b0", "bench", 1), Ledger("USDT"))
        book.set_risk(
            RiskConfig(daily_loss=Decimal("0.5"), strategy_drawdown=Decimal(1), portfolio_drawdown=Decimal(1))
        )
        for instrument in instruments:
            book.add_instrument(instrument)
            book.warm_up(instrument.key, self.series[instrument].slice(0, WINDOW_BARS))
        migrate(self.folder)
        key = load_or_create_key(self.folder / "keys" / "journal.key")
        self.store = MoneyStore(self.folder / "money.sqlite", key, SystemClock())
        self.telemetry = TelemetryStore(self.folder / "telemetry.sqlite")
        self.venue_journal = FileVenueJournal(self.folder / "bench.jsonl", fsync=False)
        self.venue = PaperVenue.open("bench", instruments, PaperCosts(), self.venue_journal, {"USDT": CASH})
        self.observations = Observations(SystemClock())
        journal = self.store.journal("bench", self.store.acquire_lease("bench"))
        observer = self.observations.observer(book)
        self.loop = TradingLoop(TradingCore(book), journal, {"bench": self.venue}, SystemClock(), observer)
        self.feed = QuoteFeed([Listed(each, Decimal(1)) for each in instruments], SystemClock().now)
        at = from_ms(int(self.series[instruments[0]].opened_at_ms[WINDOW_BARS]))
        self.loop.fund([CashFlow("bench", "capital", "USDT", CASH, at, "capital")])
        keys, weight = tuple(instrument.key for instrument in instruments), Decimal("0.3")
        names = self.strategies
        self.loop.take([SleeveConfigured(n, True, build_strategy(n, "{}")[1], keys, weight, at) for n in names], at)
        self.loop.step(FeedStatus("bench", at, True, "made-up candles"))

    def run(self, days: int) -> float:
        """Trade for so many market days; wall seconds it took."""
        process, started = psutil.Process(), time.perf_counter()
        self._note(process)
        for done, bars in zip(count(1), closes(self.series, WINDOW_BARS), strict=False):
            self._tick(bars)
            self.loop.step(bars)
            self.loop.protect()
            self.loop.resolve()
            self.loop.pull()
            self.loop.maybe_checkpoint()
            if done % LOOK_BARS == 0:
                self._look()
            if done % DAY_BARS == 0:
                self._note(process)
            if done == days * DAY_BARS:
                break
        return time.perf_counter() - started

    def _tick(self, bars: Bars) -> None:
        """Quotes of the minute before a close, and what the engine takes of them."""
        opened = bars.at - MINUTE.delta
        for tick in range(self.ticks):
            ms = int(opened.timestamp() * 1000) + 1000 + tick
            for candle in bars.candles:
                price = candle.open
                symbol = candle.instrument.partition(":")[2]
                self.quotes += 1
                self.feed.put({"symbol": symbol, "timestamp": ms, "bid": price, "ask": price + Decimal("0.01")})
        quotes = self.feed.take()
        if quotes is not None:
            self.loop.step(quotes)

    def _look(self) -> None:
        """What the host does every second: store what was observed, publish a snapshot."""
        observed = self.observations.drain()
        self.telemetry.equity.add([item for item in observed if isinstance(item, EquitySample)])
        self.telemetry.log_decisions([item for item in observed if isinstance(item, Decision)])
        report(self.loop.book, (), self.observations.clock.now(), self.loop.sequence)

    def _note(self, process: psutil.Process) -> None:
        self._look()
        gc.collect()
        self.days_mb.append(process.memory_info().rss / MEGABYTE)
        roots = {"loop": self.loop, "venue": self.venue, "feed": self.feed, "store": self.store}
        self.censuses.append(census({**roots, "observations": self.observations, "telemetry": self.telemetry}))

    def close(self) -> None:
        """Give the files back."""
        self.venue_journal.close()
        self.telemetry.close()
        self.store.close()


def census(roots: dict[str, Any]) -> dict[str, int]:
    """How many items every container holds that the roots reach through objects of the engine, by its path."""
    found: dict[str, int] = {}
    seen: set[int] = set()
    waiting = list(roots.items())
    while waiting:
        path, thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, _CONTAINERS) and isinstance(thing, Sized):
            found[path] = found.get(path, 0) + len(thing)
            items = thing.values() if isinstance(thing, dict) else thing
            waiting += [(f"{path}[]", item) for item in items]
        elif type(thing).__module__.startswith("engine."):
            waiting += [(f"{path}.{name}", value) for name, value in _fields(thing)]
    return found


def _fields(thing: Any) -> Iterator[tuple[str, Any]]:
    yield from getattr(thing, "__dict__", {}).items()
    for kind in type(thing).__mro__:
        for name in getattr(kind, "__slots__", ()):
            if hasattr(thing, name):
                yield name, getattr(thing, name)


def grown(first: dict[str, int], last: dict[str, int]) -> dict[str, str]:
    """Containers that hold more at the end than after the first day, largest growth first."""
    more = {path: (first.get(path, 0), n) for path, n in last.items() if n > GREW * first.get(path, 0) + LEAST}
    return {path: f"{a} to {b}" for path, (a, b) in sorted(more.items(), key=lambda item: item[1][0] - item[1][1])}


def _traced(week: Week, days: int) -> list[str]:
    """Lines whose allocations grew from the end of the first day to the end."""
    tracemalloc.start(8)
    week.run(1)
    before = tracemalloc.take_snapshot()
    week.series = {key: candles.slice(DAY_BARS, len(candles)) for key, candles in week.series.items()}
    week.run(days - 1)
    return [str(each) for each in tracemalloc.take_snapshot().compare_to(before, "lineno")[:15]]


def main() -> None:
    """Measure and tell."""
    options = parser(__doc__)
    options.add_argument("--days", type=int, default=7, help="simulated days (default 7)")
    options.add_argument("--symbols", type=int, default=50, help="instruments (default 50)")
    options.add_argument("--ticks", type=int, default=4, help="quotes of each instrument in a minute (default 4)")
    options.add_argument("--strategies", nargs="+", choices=sorted(STRATEGIES), default=sorted(STRATEGIES))
    options.add_argument("--trace", action="store_true", help="tell which lines of code keep more every day")
    given = options.parse_args()
    compile_all()
    with tempfile.TemporaryDirectory(prefix="quarterdeck-bench-") as name:
        series = made(given.symbols, WINDOW_BARS + given.days * DAY_BARS + 1, MINUTE)
        week = Week(Path(name), series, given.ticks, tuple(given.strategies))
        traced = _traced(week, given.days) if given.trace else None
        seconds = 0.0 if given.trace else week.run(given.days)
        fills = week.loop.book.ledger.fills
        week.close()
    days = week.days_mb
    slope = float(np.polyfit(np.arange(len(days) - 1), days[1:], 1)[0]) if len(days) > 2 else 0.0
    figures: dict[str, Any] = {
        "unit": "MB resident",
        "closes": f"{given.days * DAY_BARS} of {given.symbols} symbols",
        "strategies": ", ".join(given.strategies),
        "quotes": week.quotes,
        "fills": fills,
        "wall seconds": round(seconds, 1),
        "at the start": round(days[0], 1),
        "day by day": [round(day, 1) for day in days[1:]],
        "growth a day after the first": round(slope, 3),
    }
    if traced is not None:
        figures["allocated since the first day"] = traced
    elif len(week.censuses) > 2:
        figures |= {f"grew: {path}": told for path, told in grown(week.censuses[1], week.censuses[-1]).items()}
    tell("memory over a simulated week", figures, as_json=given.json)


if __name__ == "__main__":
    main()
