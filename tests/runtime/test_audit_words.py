"""The trail of people: what was changed from what to what, and what the engine made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.domain.commands import (
    Actor,
    CancelOrder,
    ClosePosition,
    CommandBody,
    CommandStatus,
    ConfigureRisk,
    ConfigureStrategy,
    Demote,
    EmergencyStop,
    InjectFault,
    PlaceOrder,
    Promote,
    Role,
    SetAllocation,
    SetSpeed,
    SetStrategy,
    SetTrading,
    TradingState,
)
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import OrderType, Side
from engine.domain.portfolio import BookSnapshot
from engine.risk.limits import RiskConfig
from engine.runtime.change_words import asked_words
from engine.runtime.clock import SystemClock
from engine.runtime.records import Records
from engine.storage.control import ControlStore
from engine.storage.migrate import migrate
from engine.trading.sleeves import build_strategy
from tests.pages.fake_console import FakeConsole

KEY = InstrumentKey("demo-a:BTC/USDT")
ETH = InstrumentKey("demo-a:ETH/USDT:USDT")
D = Decimal


def a_book() -> BookSnapshot:
    made = FakeConsole().snapshot().book("demo")
    first = replace(
        made.sleeves[0],
        strategy="momentum",
        running=True,
        weight=D("0.25"),
        instruments=(KEY,),
        values=build_strategy("momentum", "{}")[1],
    )
    return replace(made, risk=RiskConfig().model_dump_json(), sleeves=(first,), allocation="fixed", speed=60)


def limits(**changes: Any) -> ConfigureRisk:
    return ConfigureRisk("demo", json.dumps({**RiskConfig().model_dump(mode="json"), **changes}))


ASKED: list[tuple[CommandBody, str]] = [
    (SetTrading("demo", TradingState.HALTED), "ACTIVE → HALTED"),
    (SetStrategy("demo", "momentum", False), "Trend momentum: running → paused"),
    (SetSpeed("demo", 10), "60x → 10x"),
    (limits(brake_drawdown="0.05"), "10 % → 5 %"),
    (limits(brake_drawdown="0.100"), "nothing changes"),
    (limits(mode="aggressive"), "conservative → aggressive"),
    (limits(brake_drawdown="7"), "limits that cannot be used"),
    (SetAllocation("demo", "performance", (("momentum", D("0.4")),)), "method fixed → performance"),
    (SetAllocation("demo", "performance", (("momentum", D("0.4")),)), "Trend momentum 25 % → 40 %"),
    (SetAllocation("demo", "fixed", (("momentum", D("0.25")),)), "nothing changes"),
    (ConfigureStrategy("demo", "momentum", "{}"), "Trend momentum: nothing changes"),
    (ConfigureStrategy("demo", "momentum", "{}", (ETH,)), "instruments BTC/USDT on demo-a → ETH/USDT perp on demo-a"),
    (ConfigureStrategy("demo", "momentum", "not json"), "settings that cannot be used"),
    (PlaceOrder("demo", KEY, Side.BUY, D("0.5"), OrderType.MARKET), "buy 0.5 BTC/USDT on demo-a, market"),
    (PlaceOrder("demo", KEY, Side.BUY, D("1E+9999999"), OrderType.MARKET), "buy 1E+9999999 BTC/USDT"),
    (PlaceOrder("demo", KEY, Side.BUY, D("NaN"), OrderType.LIMIT, D(2)), "buy NaN BTC/USDT on demo-a, limit at 2"),
    (ClosePosition("demo", "momentum", KEY, D("0.5")), "50 % of Trend momentum's BTC/USDT on demo-a"),
    (CancelOrder("demo", "d0abc"), "order d0abc"),
    (InjectFault("demo", "demo-a", "outage", 5), "outage at demo-a for 5 market minutes"),
    (Promote("momentum", "paper", "demo"), "Trend momentum out of paper"),
    (Demote("momentum", "demo"), "Trend momentum"),
    (EmergencyStop(None), ""),
]


@pytest.mark.parametrize(("body", "words"), ASKED, ids=lambda each: type(each).__name__)
def test_command_when_told_then_says_the_old_and_the_new_value(body: CommandBody, words: str) -> None:
    assert words in asked_words(body, a_book())


@pytest.mark.parametrize(("body", "words"), ASKED, ids=lambda each: type(each).__name__)
def test_command_when_the_book_is_not_known_then_told_without_the_old_value(body: CommandBody, words: str) -> None:
    assert len(asked_words(body, None)) < 400


def test_strategy_when_configured_then_only_what_changes_is_told() -> None:
    present = json.loads(a_book().sleeves[0].values)
    name = next(key for key, value in present.items() if isinstance(value, int) and not isinstance(value, bool))
    told = asked_words(ConfigureStrategy("demo", "momentum", json.dumps({name: present[name] + 1})), a_book())
    assert told == f"Trend momentum: {name.replace('_', ' ')} {present[name]} → {present[name] + 1}"


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    migrate(tmp_path)
    control = ControlStore(tmp_path / "control.sqlite", bytes(32), SystemClock())
    snapshot = SimpleNamespace(books=(a_book(),))
    services: Any = SimpleNamespace(
        control=control,
        supervisor=SimpleNamespace(snapshot=lambda: snapshot, wake=lambda: None),
        clock=SimpleNamespace(now=lambda: datetime(2026, 1, 1, tzinfo=UTC)),
        access=SimpleNamespace(stepped_up=lambda handle: True),
        folder=tmp_path,
    )
    yield Records(services, lambda: Actor("jo", Role.ADMIN, "console"), "session")
    control.close()


def control_of(records: Records) -> ControlStore:
    return records._services.control


def test_trail_when_read_then_each_command_shows_its_change_its_reason_and_its_outcome(records: Records) -> None:
    records.submit("c-1", limits(brake_drawdown="0.05"), "nervous")
    records.submit("c-2", SetTrading("demo", TradingState.ACTIVE), "go on")
    records.submit("c-3", SetSpeed("demo", 10), "")
    control_of(records).complete("c-1", CommandStatus.DONE, "demo: limits set")
    control_of(records).complete("c-2", CommandStatus.REFUSED, "demo: a stop is latched; re-arm first")
    speed, trading, risk = records.audit(1, 10, {}).rows
    assert risk.detail.endswith("10 % → 5 %; reason: nervous")
    assert risk.outcome == "done: demo: limits set"
    assert trading.outcome == "refused: demo: a stop is latched; re-arm first"
    assert (speed.detail, speed.outcome) == ("60x → 10x", "waiting for the engine")
    assert control_of(records).audit.verify().ok


def test_trail_when_a_command_was_never_stored_then_says_so(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_of(records), "submit", lambda command: True)
    with pytest.raises(AssertionError):
        records.submit("c-1", SetSpeed("demo", 10), "")
    assert records.audit(1, 10, {}).rows[0].outcome == "never stored, so not carried out"


def test_trail_when_a_row_is_about_no_command_then_it_has_no_outcome(records: Records) -> None:
    control_of(records).audit.append(records.actor, "login", "jo", "from 127.0.0.1 [command c-1]")
    row = records.audit(1, 10, {}).rows[0]
    assert (row.detail, row.outcome) == ("from 127.0.0.1 [command c-1]", "")


def test_trail_when_exported_then_the_outcome_is_a_column(records: Records) -> None:
    records.submit("c-1", SetSpeed("demo", 10), "")
    _, content = records.export_csv("audit", {})
    header, row = content.decode("utf-8-sig").splitlines()
    assert header.endswith("detail,outcome")
    assert row.endswith("waiting for the engine")
