"""An exchange that answers nothing, in a whole engine: its own book waits, and no other does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from connected_book import Engine
from running_engine import BUSY, demo, judge_says, order, receipt, stop_is_flat, until, wait_for_trades

from config.settings import Settings
from engine.domain.commands import CommandStatus, EmergencyStop
from engine.runtime.supervisor import Supervisor
from engine.storage.chain import load_or_create_key
from engine.storage.verify import verify, verify_projections
from tests.standin.client import StandIn
from tests.standin.client import running as standing_in

ALWAYS = 100_000


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[StandIn]:
    with standing_in(tmp_path, funds="USDT=10000") as process:
        yield process


@pytest.fixture
def settings(exchange: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr("engine.exchanges.connected.lanes.Budget.take", lambda *_: 0.0)
    monkeypatch.setattr("ccxt.Exchange.throttle", lambda *_: None)
    with_key = Engine(exchange, tmp_path / "data", **BUSY, live__enabled=False)
    with_key.connect("main")
    with_key.control.close()
    return with_key.settings


def silence(exchange: StandIn) -> None:
    """Let every request hang before it is looked at."""
    exchange.fault("hold_before", "any", count=ALWAYS, venue="bybit")


def let_go(exchange: StandIn) -> None:
    exchange.clear()
    exchange.call("release")


def test_fault_25_exchange_answers_nothing_then_the_other_book_trades_and_stops_at_once(
    exchange: StandIn, settings: Settings
) -> None:
    supervisor = Supervisor(settings)
    supervisor.start()
    try:
        wait_for_trades(supervisor)
        until(lambda: not supervisor.snapshot().book("testnet").feeds[0].awaits, "books and exchange to be compared")
        silence(exchange)
        fills = demo(supervisor).fills
        until(lambda: demo(supervisor).fills > fills + 5, "the demo to trade while the exchange hangs")
        order(supervisor, EmergencyStop(None), "c-stop")
        until(lambda: stop_is_flat(supervisor), "the demo to be proven flat while the exchange hangs")
        answer = receipt(supervisor, "c-stop")
        assert answer.status is CommandStatus.DONE
        assert "testnet: latched" in answer.detail
        let_go(exchange)
        until(lambda: supervisor.snapshot().book("testnet").latched, "the stop of the slow book to be shown")
        assert supervisor.restarts == 0
    finally:
        let_go(exchange)
        supervisor.stop()
    folder = settings.data_dir
    assert verify(folder / "money.sqlite", load_or_create_key(folder / "keys" / "journal.key")).ok
    assert verify_projections(folder / "money.sqlite") == []
    assert judge_says(folder) == []


def test_book_when_its_exchange_hangs_at_the_start_then_the_demo_trades_meanwhile(
    exchange: StandIn, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.runtime.venue_wallets.TIMEOUT_S", 1.0)
    supervisor = Supervisor(settings)
    silence(exchange)
    supervisor.start()
    try:
        wait_for_trades(supervisor)
        assert [book.name for book in supervisor.snapshot().books] == ["demo"]
        assert supervisor.thread is not None
        trading = supervisor.thread.book("demo")
        let_go(exchange)
        supervisor.switch_book("testnet", settings, wanted=True)
        assert [book.name for book in supervisor.snapshot().books] == ["demo", "testnet"]
        assert supervisor.thread.book("demo") is trading
        fills = demo(supervisor).fills
        until(lambda: demo(supervisor).fills > fills, "the demo to trade on")
    finally:
        let_go(exchange)
        supervisor.stop()
    assert judge_says(settings.data_dir) == []
