"""Testnet and live switched from the console, in a whole engine at the stand-in exchange."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from connected_book import Engine
from running_engine import order, receipt, until

from config.settings import Settings, load
from engine.domain.commands import Actor, ArmLive, CommandStatus, PlaceOrder, Promote, Role, TradingState
from engine.domain.errors import AccessDenied, BadInput
from engine.domain.facts import Notice
from engine.domain.orders import OrderType, Side
from engine.domain.stage_views import StageView
from engine.runtime.operations import CONSOLE_SETTINGS
from engine.runtime.stages import StageDesk
from engine.runtime.supervisor import Supervisor
from tests.standin.client import StandIn
from tests.standin.client import running as standing_in

D = Decimal
PERP = ["BTC/USDT:USDT"]


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[StandIn]:
    with standing_in(tmp_path, funds="USDT=10000") as process:
        yield process


@pytest.fixture
def settings(exchange: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose two stages lead to the stand-in; the demo is there, and idles."""
    monkeypatch.setattr("engine.exchanges.connected.lanes.Budget.take", lambda *_: 0.0)
    monkeypatch.setattr("ccxt.Exchange.throttle", lambda *_: None)
    values = {"DATA_DIR": str(tmp_path / "data"), "DEMO__SPEED": "1"}
    for label, sandbox in (("PLAY", "true"), ("REAL", "false")):
        values[f"VENUES__{label}__EXCHANGE"] = "bybit"
        values[f"VENUES__{label}__SANDBOX"] = sandbox
        values[f"VENUES__{label}__REST_URL"] = exchange.rest_url("bybit")
        values[f"VENUES__{label}__WEBSOCKET_URL"] = exchange.websocket_url("bybit")
    for name, value in values.items():
        monkeypatch.setenv(f"QUARTERDECK_{name}", value)
    return load().settings


@pytest.fixture
def supervisor(exchange: StandIn, settings: Settings) -> Iterator[Supervisor]:
    with_keys = Engine(exchange, settings.data_dir)
    with_keys.connect("play")
    with_keys.connect("real", sandbox=False)
    with_keys.control.close()
    made = Supervisor(settings)
    made.start()
    try:
        yield made
    finally:
        made.stop()


class Person:
    """Someone signed in, who has proven the password or not."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.proven = False
        services = SimpleNamespace(
            control=supervisor.control,
            supervisor=supervisor,
            access=SimpleNamespace(stepped_up=lambda _handle: self.proven),
        )
        self.desk = StageDesk(cast(Any, services), lambda: Actor("jo", Role.OPERATOR, "console"), "session")
        self._control = supervisor.control

    def stored(self) -> dict[str, Any]:
        assert self._control is not None
        return dict(self._control.settings.values(CONSOLE_SETTINGS))

    def stage(self, name: str) -> StageView:
        return next(view for view in self.desk.stages() if view.stage == name)

    def conditions(self, name: str) -> dict[str, bool | None]:
        view = self.stage(name)
        needs = dict(view.by_account)
        rows = [row for account in view.chosen for row in needs[account]]
        return {each.name: each.ok for each in (*rows, *view.conditions)}


def waits(supervisor: Supervisor, book: str) -> list[str]:
    """Why entries wait at the venues of a book."""
    told = [feed.condition for feed in supervisor.snapshot().book(book).feeds]
    return [each.waits for each in told if each is not None and each.waits]


def names(supervisor: Supervisor) -> list[str]:
    return [book.name for book in supervisor.snapshot().books]


def test_testnet_when_started_from_the_console_then_it_trades_and_stops_again(supervisor: Supervisor) -> None:
    person = Person(supervisor)
    view = person.stage("testnet")
    assert (view.running, view.connections) == (False, ("bybit/play",))
    assert "KuCoin, Kraken and Coinbase (spot) have no sandbox" in view.note
    person.desk.start_stage("testnet", ["bybit/play"], PERP, "1m", D(500))
    assert person.stored()["testnet.enabled"] is True
    until(lambda: supervisor.snapshot().book("testnet").marks, "the market to be heard")
    book = supervisor.snapshot().book("testnet")
    assert (book.state, book.capital) == (TradingState.ACTIVE, D(500))
    until(lambda: not supervisor.snapshot().book("testnet").feeds[0].awaits, "books and exchange to be compared")
    until(lambda: supervisor.snapshot().book("testnet").feeds[0].last_wall_time, "the market to be fresh")
    until(lambda: not waits(supervisor, "testnet"), "the streams to be connected")
    until(lambda: not supervisor.snapshot().book("testnet").feeds[0].awaits, "what the streams missed to be asked")
    order(supervisor, PlaceOrder("testnet", book.instruments[0].key, Side.BUY, D("0.001"), OrderType.MARKET), "c-buy")
    assert receipt(supervisor, "c-buy").status is CommandStatus.DONE, receipt(supervisor, "c-buy").detail
    until(lambda: supervisor.snapshot().book("testnet").positions, "the fill to be told by the stream")
    assert person.conditions("testnet")["state"] is True
    person.desk.stop_stage("testnet")
    assert names(supervisor) == ["demo"]
    assert person.stored()["testnet.enabled"] is False


def test_stage_when_refused_then_nothing_is_stored_and_the_others_run_on(supervisor: Supervisor) -> None:
    person = Person(supervisor)
    with pytest.raises(BadInput, match="does not trade 'NOSUCH/USDT"):
        person.desk.start_stage("testnet", ["bybit/play"], ["NOSUCH/USDT:USDT"], "1m", D(500))
    with pytest.raises(BadInput, match="marked as such"):
        person.desk.start_stage("testnet", ["bybit/real"], PERP, "1m", D(500))
    with pytest.raises(BadInput, match="choose one of testnet, live"):
        person.desk.start_stage("paper", ["bybit/play"], PERP, "1m", D(500))
    assert person.stored() == {}
    assert names(supervisor) == ["demo"]


def test_live_when_started_from_the_console_then_it_asks_for_the_password_and_waits_to_be_armed(
    supervisor: Supervisor,
) -> None:
    person = Person(supervisor)
    with pytest.raises(AccessDenied, match="starting the live book needs your password"):
        person.desk.start_stage("live", ["bybit/real"], PERP, "1m", D(500))
    person.proven = True
    person.desk.start_stage("live", ["bybit/real"], PERP, "1m", D(500))
    until(lambda: supervisor.snapshot().book("live").marks, "the market to be heard")
    told = person.conditions("live")
    assert (told["connection"], told["key"], told["arming"], told["promotion"]) == (True, True, False, False)
    order(supervisor, Promote("momentum", "paper", "live"), "c-promote")
    assert "the book it comes from does not run" in receipt(supervisor, "c-promote").detail
    order(supervisor, ArmLive("live"), "c-arm")
    assert receipt(supervisor, "c-arm").status is CommandStatus.DONE, receipt(supervisor, "c-arm").detail
    assert supervisor.snapshot().book("live").armed
    assert person.conditions("live")["arming"] is True
    [view] = [each for each in person.desk.candidates("paper") if each.strategy == "momentum"]
    assert "does not run" in view.refusal


def test_stage_when_it_cannot_start_then_that_is_told_and_the_others_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTERDECK_LIVE__ENABLED", "true")
    monkeypatch.setenv("QUARTERDECK_LIVE__CONNECTIONS", "bybit/gone")
    made = Supervisor(load().settings)
    made.start()
    try:
        assert names(made) == ["demo"]
        told = [item for item in made.observations.drain() if isinstance(item, Notice)]
        assert [item.key for item in told] == ["live-down"]
        assert "no connection 'bybit/gone'" in told[0].detail
    finally:
        made.stop()


def test_stage_when_it_is_the_only_book_and_cannot_start_then_the_engine_refuses_with_the_reason(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTERDECK_DEMO__ENABLED", "false")
    monkeypatch.setenv("QUARTERDECK_LIVE__ENABLED", "true")
    monkeypatch.setenv("QUARTERDECK_LIVE__CONNECTIONS", "bybit/gone")
    with pytest.raises(BadInput, match="connect an account on the Exchanges page first"):
        Supervisor(load().settings).start()
