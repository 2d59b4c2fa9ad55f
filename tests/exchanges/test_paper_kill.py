"""``kill -9`` of a process that trades at the simulated venue: whatever it was told is in the journal, once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from paper_market import INSTRUMENTS, bar, order, prices
from venue_judge import judge

from engine.domain.orders import OrderState, Side
from engine.exchanges.paper import FileVenueJournal, PaperCosts, PaperVenue

ROOT = Path(__file__).resolve().parents[2]
VICTIM = """
import itertools, sys
from pathlib import Path
from paper_market import BUY, INSTRUMENTS, LIMIT, PERP, SELL, STOP, T0, bar, dec, fills, order
from engine.exchanges.paper import FileVenueJournal, PaperCosts, PaperVenue

def tell(*words):
    print(*words, flush=True)

journal = FileVenueJournal(Path(sys.argv[1]), rotate_lines=25)
start = {"USDT": dec(1_000_000), "BTC": dec(7)}
venue = PaperVenue.open("demo", INSTRUMENTS, PaperCosts(), journal, start)
first = 0 if venue.resume_time is None else int((venue.resume_time - T0).total_seconds()) // 60
tell("ready")
for minute in itertools.count(first):
    for name, side, kind, price, parent in (
        ("e", BUY, LIMIT, "99.5", None), ("s", SELL, STOP, "98.5", "e"), ("x", BUY, LIMIT, "90", None)
    ):
        client_id = f"{name}{minute}"
        approved = order(client_id, side, "1", kind, price, minute=minute, parent=parent and f"{parent}{minute}")
        tell("ack", venue.submit(approved).client_id)
    tell("end", venue.cancel(f"x{minute}").client_id)
    for fill in fills(venue.observe(bar(minute, 100, 101, 98 + minute % 2, 100, volume=100))):
        tell("fill", fill.trade_id, fill.client_id, fill.price, fill.fee)
"""


def _run_until(path: Path, lines: int) -> list[list[str]]:
    """Run the victim, kill it after so many lines, and return what it managed to say."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    with subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(path)], stdout=subprocess.PIPE, text=True, env=environment
    ) as victim:
        assert victim.stdout is not None
        heard = [victim.stdout.readline() for _ in range(lines)]
        victim.send_signal(signal.SIGKILL)
        heard += victim.stdout.readlines()
    assert victim.returncode == -signal.SIGKILL, heard
    return [line.split() for line in heard if line.endswith("\n")]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_journal_when_the_process_is_killed_again_and_again_then_holds_all_it_told(tmp_path) -> None:
    path = tmp_path / "demo.jsonl"
    chance = random.Random(11)
    told: list[list[str]] = []
    for _ in range(5):
        told += _run_until(path, chance.randint(2, 120))
        verdict = judge(path)
        assert verdict.problems == []
        made = {fill.trade_id: fill for fill in verdict.fills}
        for word, *rest in told:
            if word == "ack":
                assert rest[0] in verdict.orders
            elif word == "end":
                assert verdict.orders[rest[0]].state == "cancelled"
            elif word == "fill":
                fill = made[rest[0]]
                assert [fill.client_id, str(fill.price), str(fill.fee)] == rest[1:]
    assert len(list(tmp_path.glob("demo.*.jsonl"))) > 2
    _go_on(path)


def _go_on(path: Path) -> None:
    """The restored venue agrees with the judge and trades on."""
    venue = PaperVenue.restore("demo", INSTRUMENTS, PaperCosts(), FileVenueJournal(path, rotate_lines=25))
    verdict = judge(path)
    assert {balance.currency: balance.total for balance in venue.balances()} == verdict.balances
    assert {update.client_id for update in venue.open_orders()} == {each.client_id for each in verdict.open_orders}
    assert len(venue.executions_since("")[0]) == len(verdict.fills)
    minute = 100_000
    venue.submit(order("last", Side.BUY, "1", minute=minute))
    assert "last 1@100.1" in prices(venue.observe(bar(minute, 100, 101, 100, 100)))
    assert venue.order("last").state is OrderState.FILLED
    assert judge(path).problems == []
