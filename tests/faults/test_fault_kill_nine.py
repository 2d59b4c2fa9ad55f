"""``kill -9`` of a real process between any two lines of the order path; another recovers, and the exchange judges."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from engine.domain.orders import OrderState
from engine.execution.identity import base36
from engine.storage.base import Database
from engine.storage.migrate import migrate_file
from tests.faults.connected import BINANCE_SPOT, BYBIT_PERP, BYBIT_SPOT, USDM, D, Market, stand_in
from tests.faults.connected_compared import booked_fills, order_differences, rows_of
from tests.faults.kill_process import Point, Task
from tests.standin.client import ROOT, StandIn
from tests.standin.judge import Verdict, differences, judge

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is killed as POSIX systems do it")
SEED = int(os.environ.get("QUARTERDECK_KILL_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
SAMPLE = 6
"""Lines chosen by the seed in each market, beside those that were always the hardest."""
FRESH_AFTER = 25
"""Trials at one stand-in exchange: its journal is read from the beginning each time."""
KILLED = -9
HARD = (
    ("entry", "engine/trading/loop.py", "_act", "self.take(self._sender.send"),
    ("entry", "engine/exchanges/connected/desk.py", "_send", "self.hear(order, leg"),
    ("exit", "engine/exchanges/connected/desk.py", "change", "total = self._listed"),
    ("cancel", "engine/exchanges/connected/desk.py", "cancel", "self._confirm(order, leg)"),
    ("entry", "engine/storage/money.py", "append", "self._tail = tail"),
    ("exit", "engine/exchanges/connected/line.py", "_speak", "latency_s = self._clock"),
)
"""Phase, file, function and the beginning of the line: durable and not sent, answered and not taken in, and so on."""
KINDS = {
    "order lost": "orders lost",
    "doubled": "orders doubled",
    "fill lost": "fills lost",
    "fill doubled": "fills doubled",
}
FINE = {"killed", "not reached", "orders judged", "fills judged"}
_numbers = count(1)


class Trials:
    """Trials at one stand-in exchange, each in processes of its own."""

    def __init__(self, exchange: StandIn, forks: subprocess.Popen[str], folder: Path) -> None:
        self.exchange, self.folder, self._forks = exchange, folder, forks
        self.judged: Counter[str] = Counter()
        self._template = folder / "template"
        self._template.mkdir()
        migrate_file(Database.MONEY, self._template)

    def count(self, market: Market) -> list[Point]:
        """Every line of the order path that an undisturbed run passes, by phase."""
        task = self._task(market, "count", None)
        assert self._run(task) == 0, self._error(task)
        told = self._told(task)
        assert told["differences"] == []
        return [(phase, file, line) for phase, file, line, _ in told["points"]]

    def kill(self, market: Market, point: Point) -> list[str] | None:
        """Be killed at a line, recover in another process; everything that is wrong then, None where it came not there.

        Which line is reached may depend on what comes first: an answer, or the look for it.
        """
        task = self._task(market, "trade", point)
        ended = self._run(task)
        if ended == 0:
            return None
        if ended != KILLED:
            return [f"ended with {ended}: {self._error(task)}"]
        again = replace(task, kind="recover", point=None)
        if self._run(again) != 0:
            return [f"the second process failed: {self._error(task)}"]
        return self._wrong(market, task)

    def _task(self, market: Market, kind: str, point: Point | None) -> Task:
        number = next(_numbers)
        folder = self.folder / str(number)
        shutil.copytree(self._template, folder)
        before = judge(self.exchange.journal, market.where)
        installation = base36(number, 5)
        return Task(kind, str(market), str(folder), installation, point, len(before.fills), tuple(before.orders))

    def _run(self, task: Task) -> int:
        assert self._forks.stdin is not None
        assert self._forks.stdout is not None
        self._forks.stdin.write(json.dumps(asdict(task)) + "\n")
        self._forks.stdin.flush()
        return int(self._forks.stdout.readline())

    def _error(self, task: Task) -> str:
        paths = [path for name in ("error.txt", "hung.txt") if (path := Path(task.folder) / name).exists()]
        return "\n".join(path.read_text(encoding="utf-8") for path in paths) or "no word was left"

    def _told(self, task: Task) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((Path(task.folder) / "result.json").read_text(encoding="utf-8"))
        return told

    def _wrong(self, market: Market, task: Task) -> list[str]:
        """What the exchange's journal, the money file and the second process's own words do not agree on."""
        told = self._told(task)
        found: list[str] = told["differences"] + [f"recovery found: {each}" for each in told["recovered"]]
        if told["restart_s"] >= 5:
            found.append(f"the restart took {told['restart_s']:.1f} s")
        if D(told["uncovered"]) >= D("0.001"):
            found.append(f"{told['uncovered']} without a stop")
        if told["state"] != "ACTIVE":
            found.append(f"{told['state']}: {told['notices']}")
        return found + self._differs(Path(task.folder) / "money.sqlite", self._verdict(market, task))

    def _verdict(self, market: Market, task: Task) -> Verdict:
        """What the exchange wrote down of this trial, up to where the account was cleaned for the next one."""
        whole, told = judge(self.exchange.journal, market.where), self._told(task)
        orders = {number: order for number, order in whole.orders.items() if number not in task.orders}
        fills = whole.fills[task.fills : task.fills + told["fills"]]
        return replace(whole, orders=orders, fills=fills)

    def _differs(self, books: Path, verdict: Verdict) -> list[str]:
        """Orders and fills in the money file's own tables against the exchange's journal."""
        rows = rows_of(books, "live")
        with closing(sqlite3.connect(books)) as connection:
            told = connection.execute("SELECT client_id, state FROM orders").fetchall()
            [[fills]] = connection.execute("SELECT count(*) FROM fills")
        states = {name: OrderState(state) for name, state in told}
        self.judged.update({"orders judged": len(verdict.orders), "fills judged": len(verdict.fills)})
        found = differences(verdict, None, booked_fills(rows))
        if fills != len(verdict.fills):
            found.append(f"{fills} fills in the table, {len(verdict.fills)} at the exchange")
        kept = [name for name, state in states.items() if not state.is_final]
        wrong = order_differences(rows, verdict, states, kept)
        return found + [each for each in wrong if " here, " not in each]  # the account was cleaned after the process


@contextmanager
def trials(folder: Path) -> Iterator[Trials]:
    """A stand-in exchange, and the process that forks."""
    folder.mkdir()
    with stand_in(folder) as exchange:
        command = [sys.executable, "-m", "tests.faults.kill_process", str(exchange.port), str(exchange.journal)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as forks:
            try:
                yield Trials(exchange, forks, folder)
            finally:
                forks.kill()


def told_of(made: Trials, market: Market, points: Sequence[Point]) -> Counter[str]:
    """Kill at each point; how many were killed, and whatever went wrong, by what it is."""
    told: Counter[str] = Counter()
    for point in points:
        wrong = made.kill(market, point)
        told["not reached" if wrong is None else "killed"] += 1
        told.update(_kind(each) for each in wrong or ())
        for each in wrong or ():
            print(f"killed at {point} in {market}: {each}", flush=True)
    return told + made.judged


def sweep(folder: Path, market: Market) -> Counter[str]:
    """Kill at every point, in any order, the stand-in exchange made anew now and then."""
    with trials(folder / "count") as made:
        points = made.count(market)
    random.Random(SEED).shuffle(points)
    told: Counter[str] = Counter()
    for first in range(0, len(points), FRESH_AFTER):
        with trials(folder / str(first)) as made:
            told += told_of(made, market, points[first : first + FRESH_AFTER])
        shutil.rmtree(folder / str(first))
        print(f"{market}: {dict(told)} of {len(points)}", flush=True)
    return told


def _kind(sentence: str) -> str:
    kinds = {
        "order lost": "orders lost",
        "doubled:": "orders doubled",
        "fill lost": "fills lost",
        "fill doubled": "fills doubled",
    }
    return next((kind for start, kind in kinds.items() if sentence.startswith(start)), "other")


def hard_points(points: Sequence[Point]) -> list[Point]:
    """The lines of `HARD` as they are numbered now."""
    found = []
    for phase, file, function, start in HARD:
        lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
        begins = next(n for n, line in enumerate(lines) if line.strip().startswith(f"def {function}("))
        number = next(n for n, line in enumerate(lines[begins:], begins + 1) if line.strip().startswith(start))
        assert (phase, file, number) in points, f"{phase} does not pass {file}:{number}"
        found.append((phase, file, number))
    return found


@pytest.mark.parametrize("market", [BYBIT_PERP, BYBIT_SPOT, BINANCE_SPOT], ids=str)
def test_fault_01_to_13_process_killed_at_some_lines_of_the_order_path_then_the_next_has_everything(
    tmp_path: Path, market: Market
) -> None:
    print(f"seed {SEED}; again with QUARTERDECK_KILL_SEED={SEED}")
    with trials(tmp_path / "sample") as made:
        points = made.count(market)
        told = told_of(made, market, [*hard_points(points), *random.Random(SEED).sample(points, SAMPLE)])
    assert told.keys() <= FINE, f"seed {SEED}: {dict(told)}"
    assert told["killed"] >= len(HARD) < told["fills judged"]


@pytest.mark.long
@pytest.mark.timeout(14_400)
@pytest.mark.parametrize("market", [BYBIT_PERP, BYBIT_SPOT, BINANCE_SPOT, USDM], ids=str)
def test_fault_01_to_13_process_killed_at_every_line_of_the_order_path_then_the_next_has_everything(
    tmp_path: Path, market: Market
) -> None:
    told = sweep(tmp_path, market)
    assert told.keys() <= FINE, dict(told)
    assert told["not reached"] < told["killed"] // 20
