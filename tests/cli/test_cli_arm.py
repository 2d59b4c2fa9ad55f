"""``arm`` beside several books: which it means, and what it says of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.domain.commands import Command, CommandStatus, Rearm, SetTrading
from engine.domain.errors import CannotRecord
from engine.runtime.cli import arming
from engine.runtime.cli.main import main
from engine.storage.control import ControlStore
from engine.storage.migrate import migrate

Verdict = Callable[[Command], tuple[CommandStatus, str]]
HELD = {"state": "CLOSE_ONLY", "latched": False}
LATCHED = {"state": "HALTED", "latched": True}
ACTIVE = {"state": "ACTIVE", "latched": False}


def done(command: Command) -> tuple[CommandStatus, str]:
    return CommandStatus.DONE, f"{command.body.book}: re-armed"


class Beside:
    """A running engine as the command line sees it: its published books, and answers at once."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.mkdir()
        migrate(folder)
        self.books: dict[str, Any] = {}
        self.verdict: Verdict = done
        self.asked: list[Command] = []
        submit = ControlStore.submit

        def answered(store: ControlStore, command: Command) -> bool:
            self.asked.append(command)
            status, detail = self.verdict(command)
            is_new = submit(store, command)
            if status is not CommandStatus.PENDING:
                store.complete(command.command_id, status, detail)
            return is_new

        monkeypatch.setattr(ControlStore, "submit", answered)
        monkeypatch.setattr(arming, "published", lambda folder: {"books": self.books})
        monkeypatch.setattr(arming, "holder", lambda folder: object())

    def named(self) -> list[str | None]:
        return [command.body.book for command in self.asked]


@pytest.fixture
def beside(in_process: Path, monkeypatch: pytest.MonkeyPatch) -> Beside:
    return Beside(in_process, monkeypatch)


def test_arm_without_a_name_then_only_latched_books(beside: Beside, capsys: pytest.CaptureFixture[str]) -> None:
    beside.books = {"demo": LATCHED, "paper": HELD, "other": ACTIVE}
    assert main(["arm", "--yes"]) == 0
    assert [type(command.body) for command in beside.asked] == [Rearm]
    assert beside.named() == ["demo"]
    assert capsys.readouterr().out == "demo: re-armed\n"


@pytest.mark.parametrize("books", [{"demo": HELD}, {"demo": HELD, "paper": ACTIVE}])
def test_arm_without_a_name_when_none_is_latched_then_a_person_s_halt_stays(
    beside: Beside, capsys: pytest.CaptureFixture[str], books: dict[str, Any]
) -> None:
    beside.books = books
    assert main(["arm", "--yes"]) == 4
    assert beside.asked == []
    said = capsys.readouterr().err
    assert "no book is latched" in said
    assert "--book demo" in said


def test_arm_by_name_then_a_book_halted_by_hand_is_set_going(beside: Beside) -> None:
    beside.books = {"demo": HELD, "paper": LATCHED}
    assert main(["arm", "--book", "demo", "--yes"]) == 0
    assert [type(command.body) for command in beside.asked] == [SetTrading]


def one_refused(command: Command) -> tuple[CommandStatus, str]:
    return done(command) if command.body.book == "demo" else (CommandStatus.REFUSED, "NOT FLAT: an order works")


def test_arm_when_one_of_two_is_refused_then_both_answers_and_the_worse_code(
    beside: Beside, capsys: pytest.CaptureFixture[str]
) -> None:
    beside.books, beside.verdict = {"demo": LATCHED, "paper": LATCHED}, one_refused
    assert main(["arm", "--yes"]) == 4
    said = capsys.readouterr()
    assert said.out == "demo: re-armed\n"
    assert "paper: NOT FLAT: an order works" in said.err
    assert main(["arm", "--yes", "--json"]) == 4
    answer = json.loads(capsys.readouterr().out)
    assert {name: book["state"] for name, book in answer["books"].items()} == {"demo": "DONE", "paper": "REFUSED"}
    assert answer["state"] == "REFUSED"


def test_arm_when_one_cannot_be_stored_then_the_other_is_armed_all_the_same(
    beside: Beside, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(command: Command) -> tuple[CommandStatus, str]:
        if command.body.book == "demo":
            raise CannotRecord("the disk is full")
        return done(command)

    beside.books, beside.verdict = {"demo": LATCHED, "paper": LATCHED}, full
    assert main(["arm", "--yes"]) == 1
    said = capsys.readouterr()
    assert said.out == "paper: re-armed\n"
    assert "demo: not ordered: the disk is full" in said.err


@pytest.mark.parametrize("status", [CommandStatus.UNKNOWN, CommandStatus.PENDING])
def test_arm_when_the_outcome_is_not_known_then_fails(beside: Beside, status: CommandStatus) -> None:
    beside.books, beside.verdict = {"demo": LATCHED}, lambda command: (status, "the engine failed over it")
    assert main(["arm", "--yes", "--wait", "0"]) == 1
