"""What the engine adds to an order at a real exchange, network left out. ``python -m benchmarks.order_overhead``.

From the command, or the close of a candle, in the loop to the first byte of the order handed to the socket, and from
the last byte of the answer to the moment the fact is durable. A testnet book as the engine builds it: real money
file (`synchronous=FULL`), gate, gateway, line, ccxt with its signatures, requests, urllib3; the socket is one in memory
whose other end is the stand-in exchange, and its time is taken off. In between, and in the same minute, ccxt alone
sends the same order through the same socket. There is no TLS.

Three phases: the machine as it is, beside research at the priority the product gives its jobs, and beside as many busy
processes as there are cores, in sessions of their own and at the same priority: the engine then has half of each core.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from benchmarks.exchange_in_memory import Exchanged, ExchangeInMemory, exchange_in_memory
from benchmarks.markets import Series, made
from benchmarks.measuring import ROOT, Spread, parser, tell
from engine.domain.commands import CancelOrder, PlaceOrder
from engine.domain.facts import Fact
from engine.domain.instruments import InstrumentKey
from engine.domain.market import Bars, Candle, FeedStatus, Timeframe, from_ms
from engine.domain.orders import OrderIntent, OrderType, Side
from engine.domain.ports import Appended, Journal
from engine.exchanges.connected.lanes import Budget, Pace
from engine.exchanges.connected.line import Line
from engine.exchanges.connected.venue import ConnectedVenue
from engine.runtime import collector
from engine.strategies.warm import compile_all
from engine.trading.book import WINDOW_BARS
from engine.trading.loop import TradingLoop
from tests.connected_book import Engine

SYMBOL = "BTC/USDT:USDT"
KEY = InstrumentKey(f"bybit:{SYMBOL}")
MINUTE = Timeframe(60)
PRICE, LIMIT, SIZE = Decimal(50_000), Decimal(49_000), Decimal("0.01")
SCALE = Decimal(500)
"""Made-up candles begin at 100."""
UNCOUNTED = 50
DISK_BYTES = 32_768
"""What one fact of an order adds to the database's log, about."""
PAUSE_S = 0.003
BLOCK = 50
"""So many orders at a time it is looked how busy others were."""
QUIET_CORES = 0.15
QUICK: Mapping[str, Any] = {
    "testnet__strategies": ["momentum"],
    "testnet__deployed": "0.9",
    "testnet__strategy_settings.momentum": {
        "fast_ema_bars": 2, "slow_ema_bars": 4, "entry_gap_atr": 0.05, "exit_gap_atr": 0.0,
        "higher_timeframe_factor": 2, "higher_timeframe_bars": 2, "max_hold_bars": 5, "volume_window_bars": 5,
    },
    "risk__brake_drawdown": "0.40",
    "risk__daily_loss": "0.50",
    "risk__strategy_drawdown": "1",
    "risk__portfolio_drawdown": "1",
}  # fmt: skip
"""A strategy that trades every few candles, and limits that let it."""
PHASES = {"alone": "", "jobs": "job", "equals": "equal"}
"""By command: the machine as it is, and beside what."""
LOADS = {"job": "from engine.runtime.job_start import yield_to_others; yield_to_others()", "equal": ""}
BURN = """
import os, zlib
parent, data = os.getppid(), os.urandom(1 << 20)
while os.getppid() == parent:
    zlib.compress(data)
"""
"""Ends with its parent, however that ends."""


@dataclass(slots=True)
class Stamped:
    """A journal that notes when it was first handed intents, when they were durable, and the same of the last facts."""

    journal: Journal
    handed: float = 0.0
    durable: float = 0.0
    last_handed: float = 0.0
    last_durable: float = 0.0
    intents: int = 0

    def append(self, facts: Sequence[Fact], market_time: datetime) -> Appended:
        """Pass on."""
        intents = sum(isinstance(fact, OrderIntent) for fact in facts)
        handed = time.perf_counter()
        done = self.journal.append(facts, market_time)
        self.last_handed, self.last_durable = handed, time.perf_counter()
        if intents and not self.intents:
            self.handed, self.durable = handed, self.last_durable
        self.intents += intents
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self.journal, name)


@dataclass(slots=True)
class Times:
    """Seconds of one kind of order, in the order they were taken; ``others`` are cores that others used meanwhile."""

    parts: dict[str, list[float]] = field(default_factory=dict)
    others: list[float] = field(default_factory=list)

    def add(self, parts: Mapping[str, float]) -> None:
        """One order."""
        for name, seconds in parts.items():
            self.parts.setdefault(name, []).append(seconds)

    def close_block(self, others: float) -> None:
        """Note how busy others were since the last time."""
        count = len(next(iter(self.parts.values()), []))
        self.others += [others] * (count - len(self.others))

    def figures(self, name: str, *, quiet: bool) -> dict[str, Spread]:
        """Percentiles in milliseconds; ``quiet``: only of blocks during which others left the machine alone."""
        told = {}
        for part, values in self.parts.items():
            chosen = [v for v, o in zip(values, self.others, strict=True) if not quiet or o <= QUIET_CORES]
            told[f"{name}: {part}"] = Spread.of(chosen, 1000)
        return told


class Unhurried(Budget):
    """The exchange's limits are what is not measured here."""

    def told(self, share: float) -> None:
        """Whatever the exchange says, there is room."""
        super().told(0.0)


class Bench:
    """A testnet book at the exchange in memory, and a bare client of the library."""

    def __init__(self, exchange: ExchangeInMemory, folder: Path, **settings: Any) -> None:
        self.exchange = exchange
        self.engine = Engine(exchange, folder, "bybit", risk__max_orders_per_minute=10_000, **settings)  # type: ignore[arg-type]
        self.engine.connect()
        self.running = self.engine.start("testnet")
        self.loop: TradingLoop = self.running.loop
        self.stamps = self.loop._journal = Stamped(self.loop._journal)  # type: ignore[assignment]
        [venue] = self.loop.venues.values()
        assert isinstance(venue, ConnectedVenue)
        line = venue._line
        assert isinstance(line, Line), "Bybit has no dead-man's switch that would stand in between"
        self.line = line
        self.line._budget = Unhurried(Pace(1_000_000, 1.0), time.monotonic)
        self.bare = self.line._setup.open_client(True)
        self.bare.enableRateLimit = False
        self.line.give_markets(self.bare)
        self._file = os.open(folder / "bytes", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self.numbers = 0
        collector.set_aside()

    def place(self) -> tuple[dict[str, float], dict[str, float]]:
        """A limit order by command, then its cancellation; what each took."""
        body = PlaceOrder("testnet", KEY, Side.BUY, SIZE, OrderType.LIMIT, LIMIT)
        placed = self._timed(lambda: self.engine.command(body).status)
        [order] = self.loop.book.tracker.open_orders()
        cancelled = self._timed(lambda: self.engine.command(CancelOrder("testnet", order.intent.client_id)).status)
        return placed, cancelled

    def _timed(self, act: Callable[[], str]) -> dict[str, float]:
        self.exchange.asked.clear()
        self.stamps.intents = 0
        started, cpu = time.perf_counter(), time.process_time()
        status = act()
        used = time.process_time() - cpu
        assert status == "done", status
        return self.parts(started) | {"processor time, exchange included": used}

    def parts(self, started: float) -> dict[str, float]:
        """Where the time of the last act went, the exchange's own taken off."""
        asked, stamps = self.exchange.asked, self.stamps
        before = asked[0].first_byte - started
        after = stamps.last_durable - asked[-1].answered
        between = sum(following.first_byte - one.answered for one, following in pairwise(asked))
        told = {"to the first byte": before, "from the last byte to durable": after}
        if stamps.intents:
            told |= {
                "of it: deciding": stamps.handed - started,
                "of it: intent on the disk": stamps.durable - stamps.handed,
                "of it: signing, library, threads": asked[0].first_byte - stamps.durable,
                "of it: reading the answer, threads": stamps.last_handed - asked[-1].answered,
                "of it: answer on the disk": stamps.last_durable - stamps.last_handed,
            }
        if len(asked) > 1:
            told["between its questions"] = between
        return {"engine, all": before + between + after, **told}

    def alone(self) -> dict[str, float]:
        """The same order by the library alone, on this thread; cancelled afterwards."""
        self.numbers += 1
        extra = {"orderLinkId": f"bare{self.numbers:012d}", "timeInForce": "GTC"}
        self.exchange.asked.clear()
        started = time.perf_counter()
        answer = self.bare.create_order(SYMBOL, "limit", "buy", str(SIZE), str(LIMIT), extra)
        ended = time.perf_counter()
        [asked] = self.exchange.asked
        self.bare.cancel_order(answer["id"], SYMBOL)
        before, after = asked.first_byte - started, ended - asked.answered
        return {"all": before + after, "to the first byte": before, "from the last byte": after}

    def disk(self) -> dict[str, float]:
        """Bytes added to a file until they are on the disk: an order needs two such writes."""
        started = time.perf_counter()
        os.write(self._file, bytes(DISK_BYTES))
        os.fdatasync(self._file)
        return {f"{DISK_BYTES // 1024} kB": time.perf_counter() - started}

    def close(self) -> None:
        """End everything."""
        os.close(self._file)
        self.engine.close()


@contextmanager
def bench_in(folder: Path, **settings: Any) -> Iterator[Bench]:
    """A bench with an exchange of its own."""
    with exchange_in_memory({"bybit": {"USDT": Decimal(1_000_000)}}) as exchange:
        bench = Bench(exchange, folder, **settings)
        try:
            yield bench
        finally:
            bench.close()


def by_command(bench: Bench, orders: int) -> dict[str, Times]:
    """Orders by command, and in turn the library alone, and the disk."""
    times = {name: Times() for name in ("order by command", "its cancellation", "ccxt alone", "the disk alone")}
    bench.engine.candle({SYMBOL: str(PRICE)})
    for number in range(UNCOUNTED + orders):
        if number == UNCOUNTED:
            others = Others()
        placed, cancelled = bench.place()
        alone, disk = bench.alone(), bench.disk()
        bench.loop.maybe_checkpoint()
        time.sleep(PAUSE_S)
        if number < UNCOUNTED:
            continue
        for name, parts in zip(times, (placed, cancelled, alone, disk), strict=True):
            times[name].add(parts)
        if (number - UNCOUNTED + 1) % BLOCK == 0 or number == UNCOUNTED + orders - 1:
            used = others.used()
            for each in times.values():
                each.close_block(used)
        if number % 1000 == 999:
            bench.engine.candle({SYMBOL: str(PRICE)})
    return times


class Others:
    """Cores in use by other processes than this one since the last look."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._last = self._read()

    def used(self) -> float:
        """Cores, on the average."""
        last, self._last = self._last, self._read()
        wall, busy, own = (new - old for new, old in zip(self._last, last, strict=True))
        return max(0.0, busy - own) / wall if wall else 0.0

    def _read(self) -> tuple[float, float, float]:
        total, own = psutil.cpu_times(), self._process.cpu_times()
        busy = sum(total) - total.idle - getattr(total, "iowait", 0.0) - getattr(total, "guest", 0.0)
        return time.monotonic(), busy, own.user + own.system


def by_close(bench: Bench, bars: int) -> dict[str, Times]:
    """A strategy's orders: from a close to its entry with a stop, or its exit, at the exchange."""
    series = made(1, WINDOW_BARS + bars, MINUTE)
    times = Times()
    book = bench.loop.book
    book.warm_up(KEY, next(iter(series.values())).slice(0, WINDOW_BARS))
    candles = list(_candles(series, bars))
    bench.loop.step(FeedStatus("bybit", candles[0].opened_at, True, "made-up candles"))
    others = Others()
    for number, candle in enumerate(candles):
        bench.exchange.world.exchanges["bybit"].set_price("linear:BTCUSDT", candle.close)
        bench.exchange.asked.clear()
        bench.stamps.intents = 0
        started = time.perf_counter()
        bench.loop.step(Bars(candle.opened_at + MINUTE.delta, (candle,)))
        if bench.stamps.intents and any(_is_order(each) for each in bench.exchange.asked):
            times.add({"all of the step": bench.parts(started)["engine, all"], **_of_step(bench, started)})
        bench.loop.pull()
        bench.loop.maybe_checkpoint()
        if number % BLOCK == BLOCK - 1:
            times.close_block(others.used())
    times.close_block(others.used())
    return {"close to order": times}


def _of_step(bench: Bench, started: float) -> dict[str, float]:
    first = bench.exchange.asked[0]
    return {
        "to the first byte": first.first_byte - started,
        "of it: deciding": bench.stamps.handed - started,
        "of it: intents on the disk": bench.stamps.durable - bench.stamps.handed,
        "of it: signing, library, threads": first.first_byte - bench.stamps.durable,
    }


def _is_order(asked: Exchanged) -> bool:
    return asked.what == "POST v5/order/create"


def _candles(series: Series, bars: int) -> Iterator[Candle]:
    """The closes behind the warm-up, moved to the exchange's price and to now."""
    [arrays] = series.values()
    now_ms = int(datetime.now(UTC).timestamp() * 1000) // MINUTE.ms * MINUTE.ms
    for row in range(WINDOW_BARS, WINDOW_BARS + bars):
        prices = (arrays.open, arrays.high, arrays.low, arrays.close)
        open_, high, low, close = (Decimal(f"{column[row]:.2f}") * SCALE for column in prices)
        opened_at = from_ms(now_ms - (WINDOW_BARS + bars - row) * MINUTE.ms)
        yield Candle(KEY, MINUTE, opened_at, open_, high, low, close, Decimal(repr(float(arrays.volume[row]))))


@contextmanager
def load(kind: str) -> Iterator[None]:
    """As many busy processes as cores, each in a session of its own."""
    with ExitStack() as stack:
        for _ in range((psutil.cpu_count() or 1) if kind else 0):
            process = subprocess.Popen(
                [sys.executable, "-c", f"{LOADS[kind]}\n{BURN}"], cwd=ROOT, start_new_session=True
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
        if kind:
            time.sleep(1.5)
        yield


def measure(folder: Path, phases: Sequence[str], orders: int, bars: int) -> Iterator[tuple[str, Any]]:
    """Figures by name, phase after phase."""
    for phase in phases:
        if phase == "close":
            with bench_in(folder / phase, **QUICK) as bench:
                times = by_close(bench, bars)
        else:
            with bench_in(folder / phase) as bench, load(PHASES[phase]):
                times = by_command(bench, orders)
        for what, each in times.items():
            yield from each.figures(f"{phase}: {what}", quiet=False).items()
            if phase in ("alone", "close") and min(each.others) <= QUIET_CORES < max(each.others):
                yield from each.figures(f"{phase}, quiet blocks: {what}", quiet=True).items()
        used = sorted(next(iter(times.values())).others)
        yield f"{phase}: cores others used", {"median": round(used[len(used) // 2], 2), "most": round(used[-1], 2)}


def main() -> None:
    """Measure and tell."""
    options = parser(__doc__)
    options.add_argument("--orders", type=int, default=2000, help="orders by command in each phase (default 2000)")
    options.add_argument("--bars", type=int, default=1500, help="closes a strategy decides on (default 1500)")
    options.add_argument("--phases", nargs="+", choices=(*PHASES, "close"), default=(*PHASES, "close"))
    options.add_argument("--folder", type=Path, help="where the data folders are made (default: the system's)")
    given = options.parse_args()
    compile_all()
    with tempfile.TemporaryDirectory(prefix="quarterdeck-bench-", dir=given.folder) as name:
        figures = {"unit": "ms", **dict(measure(Path(name), given.phases, given.orders, given.bars))}
    gc.unfreeze()
    tell("order overhead", figures, as_json=given.json)


if __name__ == "__main__":
    main()
