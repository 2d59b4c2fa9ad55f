"""The desk: who may send what, what asks for the password again, and how a stop gets through when storage fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.domain.commands import (
    REQUIRED_ROLE,
    Actor,
    AdoptOrder,
    ArmLive,
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
    Rearm,
    Reconcile,
    Role,
    SetAllocation,
    SetRowAside,
    SetSpeed,
    SetStrategy,
    SetTrading,
    TradingState,
)
from engine.domain.errors import AccessDenied, BadInput, CannotRecord, CommandRefused, StorageError
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import OrderType, Side
from engine.risk.limits import RiskConfig
from engine.runtime.clock import SystemClock
from engine.runtime.desk import Desk
from engine.runtime.limit_words import title_of_limit
from engine.runtime.sentinel import SENTINEL
from engine.storage.control import ControlStore
from engine.storage.migrate import migrate
from engine.storage.rows import AuditFilters
from tests.pages.fake_console import FakeConsole
from tests.trading.harness import D

KEY = InstrumentKey("demo-a:BTC/USDT")
PRESENT = RiskConfig()


def limits(**changes: Any) -> ConfigureRisk:
    return ConfigureRisk("demo", json.dumps({**PRESENT.model_dump(mode="json"), **changes}))


BODIES: list[CommandBody] = [
    AdoptOrder("demo", "7"),
    EmergencyStop(None),
    Rearm("demo"),
    SetTrading("demo", TradingState.HALTED),
    ClosePosition("demo", "momentum", KEY, D(1)),
    CancelOrder("demo", "x"),
    PlaceOrder("demo", KEY, Side.BUY, D(1), OrderType.MARKET),
    SetStrategy("demo", "momentum", False),
    ConfigureStrategy("demo", "momentum", "{}"),
    SetAllocation("demo", "fixed", (("momentum", D("0.1")),)),
    limits(brake_drawdown="0.05"),
    SetSpeed("demo", 10),
    InjectFault("demo", "demo-a", "outage", 5),
    ArmLive("demo"),
    Promote("momentum", "paper", "demo"),
    Demote("momentum", "demo"),
    Reconcile("demo"),
    SetRowAside("demo", "7"),
]


class Person:
    """Someone signed in, whose role and proof a test changes."""

    def __init__(self, folder: Path) -> None:
        migrate(folder)
        self.role, self.proven = Role.ADMIN, False
        self.control = ControlStore(folder / "control.sqlite", bytes(32), SystemClock())
        self.woken = 0
        book = replace(FakeConsole(empty=True).snapshot().book("demo"), risk=PRESENT.model_dump_json())
        supervisor = SimpleNamespace(snapshot=lambda: SimpleNamespace(books=(book,)), wake=self.wake)
        self.services = SimpleNamespace(
            control=self.control,
            supervisor=supervisor,
            clock=SimpleNamespace(now=lambda: datetime(2026, 1, 1, tzinfo=UTC)),
            access=SimpleNamespace(stepped_up=lambda handle: self.proven, step_up=self._prove),
            folder=folder,
        )

    def wake(self) -> None:
        self.woken += 1

    def _prove(self, handle: str, password: str) -> None:
        self.proven = password == "right"

    def desk(self, handle: str = "session") -> Desk:
        return Desk(self.services, lambda: Actor("jo", self.role, "console"), handle)  # type: ignore[arg-type]


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    person = Person(tmp_path)
    yield person
    person.control.close()


def stored(person: Person) -> list[str]:
    return [command.command_id for _, command in person.control.pending()]


def named(body: CommandBody) -> str:
    return type(body).__name__


def test_every_command_then_has_a_role_and_a_test() -> None:
    assert {type(body) for body in BODIES} == set(REQUIRED_ROLE)


@pytest.mark.parametrize("body", BODIES, ids=named)
def test_viewer_then_may_send_nothing(person: Person, body: CommandBody) -> None:
    person.role, person.proven = Role.VIEWER, True
    with pytest.raises(AccessDenied, match="needs the role"):
        person.desk().submit("c-1", body, "why")
    assert stored(person) == []
    assert person.woken == 0


@pytest.mark.parametrize("body", BODIES, ids=named)
def test_operator_then_may_send_all_but_limits(person: Person, body: CommandBody) -> None:
    person.role, person.proven = Role.OPERATOR, True
    if isinstance(body, ConfigureRisk):
        with pytest.raises(AccessDenied, match="needs the role admin"):
            person.desk().submit("c-1", body, "why")
        return
    answer = person.desk().submit("c-1", body, "why")
    assert (answer.status, person.woken, stored(person)) == (CommandStatus.PENDING, 1, ["c-1"])


def test_rearm_then_needs_the_password_again(person: Person) -> None:
    desk = person.desk()
    with pytest.raises(AccessDenied, match="re-arming needs your password again"):
        desk.submit("c-1", Rearm("demo"), "all is well")
    desk.step_up("wrong")
    with pytest.raises(AccessDenied):
        desk.submit("c-1", Rearm("demo"), "all is well")
    desk.step_up("right")
    assert desk.submit("c-1", Rearm("demo"), "all is well").status is CommandStatus.PENDING


@pytest.mark.parametrize("body", [ArmLive("live"), Promote("momentum", "paper", "live")], ids=named)
def test_way_into_real_money_then_needs_the_password_again(person: Person, body: CommandBody) -> None:
    with pytest.raises(AccessDenied, match="needs your password again"):
        person.desk().submit("c-1", body, "ready")
    assert stored(person) == []


@pytest.mark.parametrize(
    "change",
    [{"brake_drawdown": "0.2"}, {"max_leverage": "3"}, {"mode": "aggressive"}, {"failed_trades_limit": 9}],
    ids=str,
)
def test_fault_57_limits_when_loosened_then_need_the_password_again(person: Person, change: dict[str, Any]) -> None:
    with pytest.raises(AccessDenied, match=f"loosening {title_of_limit(next(iter(change)))}"):
        person.desk().submit("c-1", limits(**change), "braver")
    assert stored(person) == []
    person.proven = True
    person.desk().submit("c-1", limits(**change), "braver")
    assert stored(person) == ["c-1"]


def test_fault_57_limits_when_tightened_then_pass_at_once(person: Person) -> None:
    person.desk().submit("c-1", limits(brake_drawdown="0.05"), "calmer")
    assert stored(person) == ["c-1"]


@pytest.mark.parametrize(("values", "problem"), [("no json", "refused"), ('{"brake_drawdown": 7}', "brake_drawdown")])
def test_limits_when_they_cannot_be_read_then_say_which(person: Person, values: str, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        person.desk().submit("c-1", ConfigureRisk("demo", values), "why")


def test_limits_of_a_book_that_does_not_run_then_refused_by_name(person: Person) -> None:
    with pytest.raises(CommandRefused, match="there are demo"):
        person.desk().submit("c-1", ConfigureRisk("paper", "{}"), "why")


def test_command_line_then_is_trusted_like_the_owner_of_the_folder(person: Person) -> None:
    person.desk("").submit("c-1", Rearm("demo"), "from the shell")
    assert stored(person) == ["c-1"]


def test_same_id_when_sent_twice_then_one_command_one_audit_row_and_its_answer(person: Person) -> None:
    desk = person.desk()
    first = desk.submit("c-1", EmergencyStop(None), "enough")
    person.control.complete("c-1", CommandStatus.DONE, "latched")
    again = desk.submit("c-1", EmergencyStop(None), "enough")
    assert first.status is CommandStatus.PENDING
    assert (again.status, again.detail) == (CommandStatus.DONE, "latched")
    assert person.control.audit.page(AuditFilters()).total == 1


def test_same_id_for_something_else_then_refused_and_not_taken_for_done(person: Person) -> None:
    person.desk().submit("c-1", SetStrategy("demo", "momentum", False), "why")
    with pytest.raises(BadInput, match="was used by jo"):
        person.desk().submit("c-1", EmergencyStop(None), "why")


def test_new_ids_then_are_never_the_same(person: Person) -> None:
    desk = person.desk()
    assert len({desk.new_command_id() for _ in range(200)}) == 200


def test_audit_that_cannot_be_written_then_only_ways_out_pass(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise CannotRecord("the disk is full")

    monkeypatch.setattr(person.control.audit, "append", full)
    with pytest.raises(CannotRecord):
        person.desk().submit("c-1", PlaceOrder("demo", KEY, Side.BUY, D(1), OrderType.MARKET), "why")
    person.desk().submit("c-2", ClosePosition("demo", "momentum", KEY, D(1)), "why")
    person.desk().submit("c-3", EmergencyStop(None), "why")
    assert stored(person) == ["c-2", "c-3"]


@pytest.mark.parametrize("call", ["submit", "receipt"])
def test_fault_65_stop_when_the_control_file_fails_then_is_ordered_by_the_sentinel_file(
    person: Person, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def broken(*_: Any) -> None:
        raise StorageError("control.sqlite is gone")

    monkeypatch.setattr(person.control, call, broken)
    answer = person.desk().submit("c-1", EmergencyStop(None), "enough")
    assert "by file" in answer.detail
    assert (person.services.folder / SENTINEL).read_text(encoding="utf-8") == "jo: enough"
    with pytest.raises(StorageError):
        person.desk().submit("c-2", SetTrading("demo", TradingState.ACTIVE), "why")


def test_stop_when_even_the_file_cannot_be_written_then_says_both(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    def broken(*_: Any) -> None:
        raise CannotRecord("control.sqlite could not be written")

    monkeypatch.setattr(person.control, "submit", broken)
    monkeypatch.setattr(Path, "write_text", full)
    both = r"control\.sqlite could not be written; the file .*STOP could not be written"
    with pytest.raises(CannotRecord, match=both):
        person.desk().submit("c-1", EmergencyStop(None), "enough")
