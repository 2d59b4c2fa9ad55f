"""Faults of the process and its host: killed, suspended, locked out, given a damaged or an old file."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import venue_judge
from running_engine import (
    BUSY,
    demo,
    judge_says,
    open_at_the_venues,
    order,
    receipt,
    running,
    settings_for,
    stop_is_flat,
    until,
    wait_for_trades,
)

from engine.domain.commands import CommandStatus, EmergencyStop, PlaceOrder, SetTrading, TradingState
from engine.domain.facts import CommandDone, Notice
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import OrderState, OrderType, Side
from engine.runtime.clock import SystemClock
from engine.runtime.status import read_status
from engine.runtime.supervisor import Supervisor
from engine.storage.backup import backup
from engine.storage.chain import load_or_create_key
from engine.storage.control import ControlStore
from engine.storage.restore import restore
from engine.trading.book import REMEMBERED_COMMANDS, REMEMBERED_PAYMENTS
from engine.trading.unit_value import UnitValue
from tests.trading.harness import D, Desk

ROOT = Path(__file__).resolve().parents[2]
SOL = InstrumentKey("demo-a:SOL/USDT")
FAR_BELOW = D("90.00")
"""Within a price band of 50 % of where the demo's SOL begins, and far enough below to rest."""


class Engine:
    """The engine in a process of its own, which does not outlive its test."""

    def __init__(self, folder: Path, speed: int = 300) -> None:
        settings = {**BUSY, "risk.price_band": "0.50", "demo.deployed": "0.30"}  # leaves cash for orders by hand
        lines = [f"{name} = {value!r}" for name, value in settings.items()]
        (folder / "quarterdeck.toml").write_text("\n".join(lines).replace("'", '"') + "\n", encoding="utf-8")
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine", "run", "--stage", "demo", "--speed", str(speed), "--seed", "7"],
            cwd=ROOT,
            env={**os.environ, "QUARTERDECK_DATA_DIR": str(folder), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=30)

    def ready(self) -> None:
        assert self.process.stdout is not None
        told = []
        for line in self.process.stdout:
            told.append(line)
            if "READY" in line:
                return
        raise AssertionError("".join(told))

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=30)
        return int(self.process.returncode)

    def status(self, name: str) -> Any:
        return (read_status(self.folder) or {}).get(name)


def control_of(folder: Path) -> ControlStore:
    return ControlStore(folder / "control.sqlite", load_or_create_key(folder / "keys" / "journal.key"), SystemClock())


# -- two of them -------------------------------------------------------------------------------------------------------


def test_fault_43_second_process_then_refused_with_the_first_ones_number(tmp_path: Path) -> None:
    with running(tmp_path, demo__speed=1) as supervisor, Engine(tmp_path) as second:
        out, _ = second.process.communicate(timeout=60)
        assert second.process.returncode != 0
        assert f"process {os.getpid()}" in out
        assert "QUARTERDECK_DATA_DIR" in out
        assert supervisor.is_alive()
        assert supervisor.restarts == 0
    assert judge_says(tmp_path) == []


def test_fault_56_kill_nine_with_positions_and_fourteen_resting_orders_then_all_are_still_managed(
    tmp_path: Path,
) -> None:
    with Engine(tmp_path) as engine:
        engine.ready()
        with closing(control_of(tmp_path)) as control:
            there: Any = SimpleNamespace(control=control, clock=SystemClock(), thread=None)
            until(lambda: engine.status("positions"), "a position")
            for number in range(14):
                body = PlaceOrder("demo", SOL, Side.BUY, D("0.5"), OrderType.LIMIT, FAR_BELOW)
                answers = []
                while not answers or answers[-1].status is not CommandStatus.DONE:  # a stale price may refuse one
                    command_id = f"c-{number}-{len(answers)}"
                    order(there, body, command_id)
                    answers.append(receipt(there, command_id))
                    assert len(answers) < 10, answers[-1].detail
        engine.end(signal.SIGKILL)
    with running(tmp_path, demo__speed=1) as again:
        shown = demo(again)
        assert shown.state is TradingState.ACTIVE, shown.state_reason
        manual = [o for o in shown.orders if o.sleeve == "manual"]
        assert len(manual) == 14
        assert {o.state for o in manual} == {OrderState.WORKING}
        open_ = {o.client_id for o in shown.orders}
        for position in shown.positions:
            assert position.stop_price is not None or _is_leaving(shown, position), position
    there = {each.client_id for v in ("demo-a", "demo-b") for each in _judge(tmp_path, v).open_orders}
    assert there == open_
    assert judge_says(tmp_path) == []


def _is_leaving(shown: Any, position: Any) -> bool:
    return any(o.sleeve == position.sleeve and o.instrument == position.instrument for o in shown.orders)


def _judge(folder: Path, venue: str) -> venue_judge.Verdict:
    return venue_judge.judge(folder / "venues" / f"{venue}.jsonl")


# -- time --------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system cannot suspend a process")
def test_fault_45_process_suspended_then_goes_on_without_a_burst_and_books_agree(tmp_path: Path) -> None:
    with Engine(tmp_path) as engine:
        engine.ready()
        until(lambda: (engine.status("fills") or 0) > 0, "a trade")
        before = datetime.fromisoformat(engine.status("market_time"))
        engine.process.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        engine.process.send_signal(signal.SIGCONT)
        published = engine.status("published_at")
        until(lambda: engine.status("published_at") != published, "a new snapshot")
        after = datetime.fromisoformat(engine.status("market_time"))
        assert after - before < timedelta(seconds=300 * 4), "market time does not make up for the pause"
        assert engine.status("state") == "ACTIVE"
        assert engine.end() == 0
    assert judge_says(tmp_path) == []


@pytest.mark.parametrize("jump", [timedelta(hours=-1), timedelta(hours=30)], ids=["back", "ahead"])
def test_fault_46_wall_clock_jumps_then_trading_and_the_stop_go_on(tmp_path: Path, jump: timedelta) -> None:
    class Jumping(SystemClock):
        offset = timedelta()

        def now(self) -> datetime:
            return super().now() + self.offset

    clock = Jumping()
    supervisor = Supervisor(settings_for(tmp_path), clock)
    supervisor.start()
    try:
        wait_for_trades(supervisor)
        clock.offset = jump
        fills = demo(supervisor).fills
        until(lambda: demo(supervisor).fills > fills, "another fill")
        assert demo(supervisor).state is TradingState.ACTIVE
        assert supervisor.restarts == 0
        order(supervisor, SetTrading("demo", TradingState.HALTED), "c-1")
        assert receipt(supervisor, "c-1").status is CommandStatus.DONE
    finally:
        supervisor.stop()
    with closing(sqlite3.connect(tmp_path / "money.sqlite")) as connection:
        walls = [row[0] for row in connection.execute("SELECT wall_time FROM journal ORDER BY sequence")]
    assert walls == sorted(walls)
    assert judge_says(tmp_path) == []


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="this system cannot change the zone of a process")
@pytest.mark.parametrize("zone", ["UTC", "Australia/Sydney", "America/New_York"])
@pytest.mark.parametrize("day", [datetime(2026, 4, 5, tzinfo=UTC), datetime(2026, 10, 4, tzinfo=UTC)])
def test_fault_47_day_then_turns_at_midnight_utc_whatever_the_machines_zone(
    monkeypatch: pytest.MonkeyPatch, zone: str, day: datetime
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        units = UnitValue()
        units.flow(D(1000))
        start = day - timedelta(minutes=30)
        turned = [units.observe(D(1000), start + timedelta(minutes=minute)) is not None for minute in range(60 * 26)]
        midnights = [number for number, has_turned in enumerate(turned) if has_turned]
        assert midnights == [0, 30, 30 + 24 * 60]
    finally:
        monkeypatch.undo()
        time.tzset()


# -- files -------------------------------------------------------------------------------------------------------------


def test_fault_49_database_locked_then_nothing_is_sent_and_trading_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.storage.base.BUSY_TIMEOUT_MS", 300)
    with running(tmp_path) as supervisor:
        wait_for_trades(supervisor)
        with closing(sqlite3.connect(tmp_path / "money.sqlite", isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            until(lambda: supervisor.restarts >= 1, "the loop to give up")
            sent = {v: len(_judge(tmp_path, v).orders) for v in ("demo-a", "demo-b")}
            time.sleep(0.2)
            assert {v: len(_judge(tmp_path, v).orders) for v in ("demo-a", "demo-b")} == sent
            connection.execute("ROLLBACK")
        until(lambda: supervisor.is_alive() and supervisor.snapshot().restarts >= 1, "the loop to be started again")
        fills = demo(supervisor).fills
        until(lambda: demo(supervisor).state is not TradingState.ACTIVE or demo(supervisor).fills > fills, "a trade")
    assert judge_says(tmp_path) == []


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = slice(4096, min(len(content), 4096 * 6))
    content[middle] = os.urandom(len(content[middle]))
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("saved", [True, False], ids=["backup", "no-backup"])
def test_fault_50_database_damaged_then_moved_aside_restored_and_halted(tmp_path: Path, saved: bool) -> None:
    with running(tmp_path) as supervisor:
        wait_for_trades(supervisor)
    if saved:
        backup(tmp_path, tmp_path / "backups")
    spoil(tmp_path / "money.sqlite")
    with running(tmp_path) as again:
        shown = demo(again)
        assert shown.state is TradingState.HALTED
        assert list(tmp_path.glob("money.sqlite.corrupt-*"))
        told = [n.detail for n in again.observations.drain() if isinstance(n, Notice)]
        assert any("was damaged" in text for text in told)
        assert again.snapshot().epoch > supervisor.snapshot().epoch
        assert shown.cash == (demo(supervisor).cash if saved else shown.capital)
        assert shown.fills == (demo(supervisor).fills if saved else 0)
        order(again, SetTrading("demo", TradingState.ACTIVE), "c-look")
        assert receipt(again, "c-look").status is CommandStatus.DONE


def test_fault_52_old_backup_restored_then_halted_under_a_new_epoch_and_nothing_stale_is_sent(tmp_path: Path) -> None:
    with running(tmp_path) as supervisor:
        wait_for_trades(supervisor)
    saved = demo(supervisor)
    archive = backup(tmp_path, tmp_path / "backups")
    with running(tmp_path) as supervisor:
        until(lambda: demo(supervisor).fills > saved.fills + 5, "more trades")
    epoch = supervisor.snapshot().epoch
    restore(archive.path, tmp_path)
    with running(tmp_path) as again:
        shown = demo(again)
        assert again.snapshot().epoch > epoch
        assert shown.state is TradingState.HALTED
        assert "backup of" in shown.state_reason
        assert (shown.fills, shown.cash) == (saved.fills, saved.cash)
        order(again, SetTrading("demo", TradingState.ACTIVE), "c-look")
        until(lambda: demo(again).fills > saved.fills, "trades after a person has looked")
    assert judge_says(tmp_path) == []


# -- memory and queues -------------------------------------------------------------------------------------------------


def test_fault_54_memory_of_what_was_then_is_bounded() -> None:
    desk = Desk()
    for number in range(REMEMBERED_COMMANDS + 50):
        desk.book.remember(CommandDone(f"c-{number}", "done", "", desk.at))
    for number in range(REMEMBERED_PAYMENTS + 50):
        desk.book.note_payment("v", f"p-{number}")
    desk.loop.pull()
    assert len(desk.book.commands) == REMEMBERED_COMMANDS
    assert len(desk.book.payments) == REMEMBERED_PAYMENTS
    assert "v|p-2049" in desk.book.payments
    assert desk.book.refused.maxlen is not None


# -- the way out -------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_fault_62_kill_nine_in_the_middle_of_a_stop_then_carried_on_before_anything_else(tmp_path: Path) -> None:
    with Engine(tmp_path) as engine:
        engine.ready()
        with closing(control_of(tmp_path)) as control:
            there: Any = SimpleNamespace(control=control, clock=SystemClock(), thread=None)
            until(lambda: engine.status("positions"), "a position")
            order(there, EmergencyStop(None), "c-stop")
            receipt(there, "c-stop")
        engine.end(signal.SIGKILL)
    with running(tmp_path) as again:
        stop = demo(again).stop
        assert stop is not None
        assert (stop.stop_id, demo(again).latched) == ("c-stop", True)
        until(lambda: stop_is_flat(again), "VERIFIED FLAT")
    assert open_at_the_venues(tmp_path) == []
    assert judge_says(tmp_path) == []
