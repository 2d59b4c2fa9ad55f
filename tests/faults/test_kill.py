"""``kill -9`` at random instants under load, judged by the simulated venues' own journals."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
import venue_judge

ROOT = Path(__file__).resolve().parents[2]
SEED = 20260105
VENUES = ("demo-a", "demo-b")
BUSY = """
[risk]
brake_drawdown = "0.40"
daily_loss = "0.50"
strategy_drawdown = "1"
portfolio_drawdown = "1"
[demo]
deployed = "0.9"
[demo.strategy_settings.momentum]
fast_ema_bars = 2
slow_ema_bars = 4
entry_gap_atr = 0.05
exit_gap_atr = 0.0
higher_timeframe_factor = 2
higher_timeframe_bars = 2
max_hold_bars = 5
volume_window_bars = 5
stop_atr_multiple = 2.0
[demo.strategy_settings.mean_reversion]
zscore_window_bars = 10
entry_z = 0.8
exit_z = 0.2
stationarity_window_bars = 60
max_hold_bars = 4
stop_atr_multiple = 3.0
[demo.strategy_settings.breakout]
channel_bars = 5
exit_channel_bars = 3
entry_buffer_atr = 0.0
volatility_window_bars = 30
max_hold_bars = 6
stop_atr_multiple = 2.0
"""
"""Strategies so quick that every market minute has orders in flight."""


def start(folder: Path, speed: int) -> subprocess.Popen[str]:
    """The engine in a process of its own; returns once it says that it is ready."""
    env = {**os.environ, "QUARTERDECK_DATA_DIR": str(folder), "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-m", "engine", "run", "--stage", "demo", "--speed", str(speed), "--seed", "7"]
    process = subprocess.Popen(
        arguments, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "ready" in line.lower(), line
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=20)
    close(process)


def close(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    process.stdout.close()


def status(folder: Path) -> dict[str, object]:
    result: dict[str, object] = json.loads((folder / "status.json").read_text(encoding="utf-8"))
    return result


def books(folder: Path) -> dict[str, list[str]]:
    with closing(sqlite3.connect(folder / "money.sqlite")) as connection:
        rows = connection.execute("SELECT venue, trade_id FROM fills ORDER BY sequence").fetchall()
    return {venue: [trade_id for v, trade_id in rows if v == venue] for venue in VENUES}


def check_against_the_judge(folder: Path) -> int:
    """Compare what the books hold with the venues' journals; how many fills were compared."""
    mine = books(folder)
    for venue in VENUES:
        verdict = venue_judge.judge(folder / "venues" / f"{venue}.jsonl")
        theirs = [fill.trade_id for fill in verdict.fills]
        assert len(mine[venue]) == len(set(mine[venue])), f"{venue}: a fill is doubled"
        assert sorted(mine[venue]) == sorted(theirs), f"{venue}: fills differ"
        assert verdict.problems == []
        compare_orders(folder, venue, verdict)
    return sum(len(ids) for ids in mine.values())


def compare_orders(folder: Path, venue: str, verdict: venue_judge.Verdict) -> None:
    with closing(sqlite3.connect(folder / "money.sqlite")) as connection:
        rows = connection.execute("SELECT client_id, filled FROM orders WHERE instrument LIKE ?", (f"{venue}:%",))
        known = {client_id: Decimal(filled) for client_id, filled in rows}
    missing = set(verdict.orders) - set(known)
    assert not missing, f"{venue}: orders the books have lost: {sorted(missing)[:5]}"
    for client_id, order in verdict.orders.items():
        assert known[client_id] == order.filled, f"{venue} {client_id}: filled differs"


def wait_for_quiet(folder: Path, process: subprocess.Popen[str]) -> None:
    """Stop cleanly, so that everything the venue did is booked."""
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)
    close(process)


def kills(folder: Path, count: int) -> int:
    (folder / "quarterdeck.toml").write_text(BUSY, encoding="utf-8")
    rng = random.Random(SEED)
    for number in range(count):
        begun = time.monotonic()
        process = start(folder, 1000)
        assert number == 0 or time.monotonic() - begun < 30, "restart took too long"
        time.sleep(rng.uniform(0.1, 1.6))
        kill(process)
    process = start(folder, 1)
    wait_for_quiet(folder, process)
    state = status(folder)
    assert state["state"] == "ACTIVE", state["state_reason"]
    return check_against_the_judge(folder)


def test_kill_nine_ten_times_under_load_then_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    assert kills(tmp_path, 10) > 50


@pytest.mark.long
@pytest.mark.timeout(900)
def test_kill_nine_sixty_times_under_load_then_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    assert kills(tmp_path, 60) > 300
