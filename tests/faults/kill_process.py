"""A process that trades and is killed at a line of the order path, and another that recovers what it left behind.

``python -m tests.faults.kill_process PORT JOURNAL`` forks one process for each task it reads, so that every trial is a
process of its own with files of its own, and nothing has to be imported again. A task is a line of JSON; its answer is
how the process ended. The books are ``money.sqlite`` in the task's folder, the judge is the exchange's own journal.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import ccxt  # noqa: F401  the engine loads it when it needs it, each forked process anew

from engine.domain.commands import ClosePosition
from engine.storage.chain import load_or_create_key
from engine.storage.money import MoneyStore
from engine.trading.recovery import recover
from tests.faults.connected import FOUR, D, Rig
from tests.faults.connected_compared import rows_of
from tests.faults.connected_driven import Start
from tests.faults.connected_markets import MovedClock
from tests.standin.client import StandIn

ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 60
"""A trial that takes longer hangs: it says where, and is ended."""
PATH = tuple(
    str(ROOT / "engine" / name)
    for name in (
        "trading/loop.py", "trading/sending.py", "storage/money.py", "storage/projections.py",
        "exchanges/connected/venue.py", "exchanges/connected/ordering.py", "exchanges/connected/desk.py",
        "exchanges/connected/placing.py", "exchanges/connected/children.py", "exchanges/connected/legs.py",
        "exchanges/connected/line.py", "exchanges/connected/calls.py", "exchanges/connected/registry.py",
        "exchanges/connected/spot_pairs.py",
    )
)  # fmt: skip
"""Where an order passes, on the engine's thread and on those of the line."""
MARKETS = {str(market): market for market in FOUR}
Point = tuple[str, str, int]
"""A phase of the trial, a file of the order path, a line of it."""


@dataclass(frozen=True)
class Task:
    """One trial.

    Attributes
    ----------
    kind : str
        "count" trades and tells the lines it passed, "trade" is killed at ``point``, "recover" takes over.
    market : str
        Name of a market of `FOUR`.
    folder : str
        Holds ``money.sqlite``, already migrated.
    installation : str
        Five characters that no other trial has: client ids are never used again.
    point : Point or None
    fills, orders
        What the exchange's journal held before the trial.
    """

    kind: str
    market: str
    folder: str
    installation: str
    point: Point | None = None
    fills: int = 0
    orders: tuple[str, ...] = ()


class Stored(Rig):
    """A book whose journal is a file; ``resumes`` where another process began it."""

    def __init__(self, exchange: StandIn, task: Task, *, resumes: bool) -> None:
        folder, market = Path(task.folder), MARKETS[task.market]
        state = exchange.call("state")
        clock = MovedClock(ahead_s=state["skew_ms"] / 1000 + (0 if resumes else 1))
        exchange.call("clock", skew_ms=round(clock.ahead_s * 1000))
        self.resumes = resumes
        self.store = MoneyStore(folder / "money.sqlite", load_or_create_key(folder / "keys" / "journal.key"), clock)
        prices = state["venues"][market.where]["prices"]
        price = D(prices["linear:BTCUSDT" if market.is_perpetual else "spot:BTCUSDT"]) if resumes else D(50_000)
        super().__init__(exchange, market, folder, installation=task.installation, price=price, clock=clock)
        self.start = Start(task.fills, frozenset(task.orders))

    def _take_over(self) -> None:
        self.epoch = self.store.acquire_lease(self.installation)
        self.journal = Rows(self.store, self.epoch)

    def _begin(self, sleeves: Any) -> None:
        if not self.resumes:
            super()._begin(sleeves)
            return
        self.want(1.0)
        self.loop.load()
        self.recovered = recover(self.loop, lambda s: self.pass_time(max(s, 3.0)))
        self._go_online()


class Rows:
    """The journal of the book in the money file, its rows also as plain values."""

    def __init__(self, store: MoneyStore, epoch: int) -> None:
        self._path, book = store.path, store.journal("live", epoch)
        self.append, self.read, self.checkpoint = book.append, book.read, book.checkpoint
        self.latest_checkpoint = book.latest_checkpoint

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Every fact, in order."""
        return rows_of(self._path, "live")


@dataclass
class Lines:
    """Counts the lines of the order path by phase, or kills this process just before one of them is run."""

    kill_at: Point | None = None
    phase: str = ""
    seen: dict[Point, int] = field(default_factory=dict)

    def watch(self, phase: str, book: Rig, work: Callable[[], object]) -> None:
        """Run a phase, this thread and those of the line under watch."""
        self.phase = phase
        self._trace(book, self._call)
        try:
            work()
        finally:
            self._trace(book, None)

    def _trace(self, book: Rig, tracer: Callable[..., Any] | None) -> None:
        threading.settrace(tracer)  # type: ignore[arg-type]
        for pool in book.line._pools.values():
            pool.submit(sys.settrace, tracer).result()
        sys.settrace(tracer)

    def _call(self, frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any] | None:
        return self._line if frame.f_code.co_filename in PATH else None

    def _line(self, frame: FrameType, event: str, _argument: Any) -> Callable[..., Any]:
        if event == "line":
            point = (self.phase, Path(frame.f_code.co_filename).relative_to(ROOT).as_posix(), frame.f_lineno)
            self.seen[point] = self.seen.get(point, 0) + 1
            if point == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
        return self._line


def phases(book: Rig) -> Iterator[tuple[str, Callable[[], object]]]:
    """An entry with its stop, half of it closed so that the stop is changed, an order cancelled, the stop hit."""

    def enter() -> None:
        book.want(1.0)
        book.bar()
        book.live(15, 5.0)

    def close_half() -> None:
        book.book.sleeves["momentum"].running = False
        book.command(ClosePosition("live", "momentum", book.key, D("0.5")))
        book.live(12, 6.0)

    def cancel() -> None:
        client_id = book.buy("0.01", 49_500)
        book.cancel(client_id)
        book.live(12, 6.0)

    def lose() -> None:
        book.bar("45900")
        book.live(12, 6.0)

    yield from (("entry", enter), ("exit", close_half), ("cancel", cancel), ("stop", lose))


def trade(exchange: StandIn, task: Task) -> dict[str, Any]:
    """Go through all phases, or as far as the process lives."""
    lines = Lines(task.point)
    book = Stored(exchange, task, resumes=False)
    for phase, work in phases(book):
        if task.point is None or phase == task.point[0]:
            lines.watch(phase, book, work)
        else:
            work()
    told = {"points": [[*point, times] for point, times in sorted(lines.seen.items())]}
    return told | _end(book)


def take_over(exchange: StandIn, task: Task) -> dict[str, Any]:
    """Recover what another process left behind, and let every doubt end; how long that took is its own work's time."""
    started_s = time.process_time()
    book = Stored(exchange, task, resumes=True)
    restart_s = time.process_time() - started_s
    assert book.recovered is not None
    book.settle()
    told = {"restart_s": restart_s, "recovered": list(book.recovered.differences), "state": book.book.state.value}
    return told | _end(book)


def _end(book: Stored) -> dict[str, Any]:
    """What book and exchange say to each other, before the account is cleaned for the next trial."""
    told = {
        "differences": book.differences(),
        "uncovered": str(book.uncovered()),
        "notices": book.titles(),
        "sent": len(book.sent()),
        "fills": len(book.at_exchange().fills),
    }
    book.close()
    book.store.close()
    return told


def run(port: int, journal: Path, task: Task) -> None:
    """Do one task in this process, and leave ``result.json``."""
    exchange: Any = StandIn(None, port, journal)  # type: ignore[arg-type]
    with (Path(task.folder) / "hung.txt").open("w", encoding="utf-8") as where:
        faulthandler.dump_traceback_later(LONGEST_S, exit=True, file=where)
        told = take_over(exchange, task) if task.kind == "recover" else trade(exchange, task)
        faulthandler.cancel_dump_traceback_later()
    (Path(task.folder) / "result.json").write_text(json.dumps(told), encoding="utf-8")


def serve(port: int, journal: Path) -> None:
    """Fork one process for each line of standard input, and tell how it ended."""
    for line in sys.stdin:
        told = json.loads(line)
        task = Task(**{**told, "point": tuple(told["point"]) if told["point"] else None})
        child = os.fork()
        if child == 0:
            code = 1
            try:
                run(port, journal, task)
                code = 0
            except BaseException:  # noqa: BLE001  a forked process must not return into the parent's loop
                (Path(task.folder) / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]))
