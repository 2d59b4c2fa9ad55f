"""A console and its engine in two processes: what the one sees of the other, and what a death between them does."""

from __future__ import annotations

import math
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from running_engine import BUSY, running, settings_for, until, wait_for_trades

from config.settings import load
from engine.domain.commands import Actor, Command, CommandStatus, Role, SetTrading, TradingState
from engine.domain.errors import BadInput, NotRunning
from engine.domain.instruments import InstrumentKey
from engine.domain.portfolio import Idea
from engine.runtime.attached import AttachedEngine, engine_is_elsewhere
from engine.runtime.channel import CHANNEL_FILE, Channel, SnapshotMessage, read_door
from engine.runtime.clock import SystemClock
from engine.runtime.host import Host

ROOT = Path(__file__).resolve().parents[2]
BTC = InstrumentKey("demo-a:BTC/USDT")


@contextmanager
def attached(folder: Path) -> Iterator[AttachedEngine]:
    engine = AttachedEngine(settings_for(folder), SystemClock())
    engine.start(10)
    try:
        yield engine
    finally:
        engine.stop()


@contextmanager
def engine_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    env = {name: text for name, text in os.environ.items() if not name.startswith("QUARTERDECK_")}
    env |= {"QUARTERDECK_DATA_DIR": str(folder), "OMP_NUM_THREADS": "1"}
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "engine", "run", "--stage", "demo", "--speed", "1000"]
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        assert "READY" in process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait(timeout=20)
        process.stdout.close()


def test_snapshot_and_candles_when_attached_then_the_same_as_inside(tmp_path: Path) -> None:
    with running(tmp_path) as supervisor:
        channel = Channel(supervisor, tmp_path, SystemClock())
        channel.open()
        try:
            wait_for_trades(supervisor)
            with attached(tmp_path) as engine:
                until(lambda: engine.snapshot() == supervisor.snapshot(), "the same snapshot on both sides")
                assert engine.absence() == ""
                assert engine.state() is supervisor.state()
                mine, theirs = engine.history("demo", BTC, 50), supervisor.history("demo", BTC, 50)
                assert mine.timeframe == theirs.timeframe
                assert len(mine) == 50
                with pytest.raises(BadInput, match="no market source"):
                    engine.history("nobody", BTC, 5)
        finally:
            channel.close()


def test_snapshot_with_a_conviction_that_is_no_number_when_sent_then_arrives(tmp_path: Path) -> None:
    with running(tmp_path) as supervisor:
        wait_for_trades(supervisor)
        snapshot = supervisor.snapshot()
        book = snapshot.books[0]
        sleeve = next(s for s in book.sleeves if s.ideas)
        idea: Idea = replace(sleeve.ideas[0], conviction=float("nan"))
        odd = replace(snapshot, books=(replace(book, sleeves=(replace(sleeve, ideas=(idea,)),)),))

    text = SnapshotMessage.model_construct(snapshot=odd, alive=True).model_dump_json()

    back = SnapshotMessage.model_validate_json(text).snapshot
    assert math.isnan(back.books[0].sleeves[0].ideas[0].conviction)


def test_door_when_engine_runs_then_only_its_owner_can_read_and_only_its_key_opens(tmp_path: Path) -> None:
    with running(tmp_path) as supervisor:
        channel = Channel(supervisor, tmp_path, SystemClock())
        channel.open()
        try:
            if os.name == "posix":
                assert stat.S_IMODE((tmp_path / CHANNEL_FILE).stat().st_mode) == 0o600
            door = read_door(tmp_path)
            assert door is not None
            for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {door.token}x"}):
                request = urllib.request.Request(f"http://127.0.0.1:{door.port}/snapshot", headers=header)
                with pytest.raises(urllib.error.HTTPError) as refused:
                    urllib.request.urlopen(request, timeout=5)
                assert refused.value.code == 403
                refused.value.close()
        finally:
            channel.close()
    assert read_door(tmp_path) is None


def test_attached_before_any_engine_then_says_so_and_claims_nothing(tmp_path: Path) -> None:
    with attached_briefly(tmp_path) as engine:
        assert "no engine" in engine.absence()
        assert not engine.is_alive()
        with pytest.raises(NotRunning, match="engine run"):
            engine.snapshot()


@contextmanager
def attached_briefly(folder: Path) -> Iterator[AttachedEngine]:
    engine = AttachedEngine(settings_for(folder), SystemClock())
    engine.start(0.3)
    try:
        yield engine
    finally:
        engine.stop()


def test_engine_process_killed_then_known_within_two_seconds_and_a_stop_is_first_after_the_restart(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "data"
    settings = load(environment={}, changes={**BUSY, "data_dir": str(folder)})
    with engine_process(folder) as process:
        assert engine_is_elsewhere(settings.settings)
        host = Host(settings, log_to_stderr=False)
        host.start()
        try:
            services = host.services
            until(lambda: services.supervisor.snapshot().books[0].market_time is not None, "market time")
            pause = Command(
                "c-pause", Actor("jo", Role.ADMIN, "test"), services.clock.now(), "test",
                SetTrading("demo", TradingState.CLOSE_ONLY),
            )  # fmt: skip
            services.control.submit(pause)
            services.supervisor.wake()
            until(lambda: services.supervisor.state() is TradingState.CLOSE_ONLY, "the command to reach the engine")

            process.send_signal(signal.SIGKILL)
            killed = time.monotonic()
            until(services.supervisor.absence, "the engine to be missed", 10)
            assert time.monotonic() - killed < 2.0
            until(lambda: "has ended" in services.supervisor.absence(), "the shut door to be noticed", 10)
            until(
                lambda: [a for a in services.alerts.page(1, 10, open_only=True).rows if a.key == "engine-gone"], "alert"
            )
            assert services.supervisor.snapshot().books

            host.post_stop(Actor("jo", Role.OPERATOR, "test"), "engine is gone", "c-stop")
            receipt = services.control.receipt("c-stop")
            assert receipt is not None
            assert receipt.status is CommandStatus.PENDING
            with engine_process(folder):
                until(lambda: services.supervisor.absence() == "", "the engine to be back")
                until(lambda: services.supervisor.snapshot().books[0].latched, "the stop that was ordered meanwhile")
        finally:
            host.stop()


def test_engine_process_that_hangs_then_missed_and_welcome_back(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with engine_process(folder) as process, attached(folder) as engine:
        assert engine.absence() == ""
        process.send_signal(signal.SIGSTOP)
        try:
            until(engine.absence, "the engine to be missed", 10)
        finally:
            process.send_signal(signal.SIGCONT)
        until(lambda: engine.absence() == "", "the engine to answer again")
