"""``arm``: lets stopped books trade again, and real money be traded once an operator has proven who asks."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.domain.commands import (
    REQUIRED_ROLE,
    Actor,
    ArmLive,
    Command,
    CommandBody,
    CommandStatus,
    Rearm,
    SetTrading,
    TradingState,
)
from engine.domain.errors import AccessDenied, BadInput, CommandRefused, StorageError
from engine.domain.people import Caller
from engine.runtime.cli.asking import Deadline, audit, new_command
from engine.runtime.cli.context import access_of, checked_reason, control_of, effective, system_actor
from engine.runtime.cli.folder import data_folder
from engine.runtime.cli.output import complain, say, say_json
from engine.runtime.cli.status import published
from engine.storage.control import ControlStore
from engine.storage.lock import holder

_CODES = {CommandStatus.DONE: 0, CommandStatus.UNKNOWN: 1, CommandStatus.REFUSED: 4}
_TERMINAL = Caller("127.0.0.1", "python -m engine arm")
_LOOK_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class _Armed:
    """What became of one book; ``code`` is the exit code it calls for."""

    command_id: str
    state: str
    detail: str
    code: int

    def shown(self) -> dict[str, str]:
        return {"command_id": self.command_id, "state": self.state, "detail": self.detail}


def arm(options: argparse.Namespace) -> int:
    """Let a stopped book trade again; without a name, every latched one. The exit code is that of the worst answer."""
    folder = data_folder()
    reason, status = checked_reason(options.reason), published(folder)
    steps = {book: _way_back(book, status, is_named=options.book is not None) for book in _to_arm(options.book, status)}
    is_proof_needed = any(isinstance(body, ArmLive) for bodies in steps.values() for body in bodies)
    if not options.yes and not is_proof_needed:
        _confirm(", ".join(steps))
    actor = _proven(options, folder) if is_proof_needed else system_actor()
    plans = {book: [new_command("arm", reason, body, actor) for body in bodies] for book, bodies in steps.items()}
    books = _arm_all(plans, folder, Deadline(options.wait_s))
    return _finish(books, as_json=options.json)


def _finish(books: Mapping[str, _Armed], *, as_json: bool) -> int:
    worst = max(books.values(), key=lambda answer: answer.code)
    if as_json:
        say_json({**worst.shown(), "books": {book: answer.shown() for book, answer in books.items()}})
    for book, answer in books.items():
        line = answer.detail if answer.detail.startswith(f"{book}: ") else f"{book}: {answer.detail}"
        if answer.code:
            complain(line)
        elif not as_json:
            say(line)
    return worst.code


# -- which books, and what each needs ---------------------------------------------------------------------------------


def _to_arm(book: str | None, status: dict[str, Any]) -> list[str]:
    """The book that was named, else every latched one: what a person has halted by hand is only armed by its name."""
    if book is not None:
        return [book]
    states = {name: each["state"] for name, each in status["books"].items()}
    latched = [name for name, each in status["books"].items() if each["latched"]]
    if latched:
        return latched
    resting = [name for name, state in states.items() if state != TradingState.ACTIVE.value]
    way_out = f"; name the one that is meant: --book {resting[0]}" if resting else ""
    shown = ", ".join(f"{name} is {state}" for name, state in states.items())
    raise CommandRefused(f"no book is latched ({shown}){way_out}")


def _way_back(book: str, status: dict[str, Any], *, is_named: bool) -> Sequence[CommandBody]:
    """What lets a book trade, one after the other: its latch is released, it is set going, real money is armed.

    A book halted without a latch (after a restore, say) is set going. One that needs arming is armed only by its name:
    releasing its latch leaves it HALTED.
    """
    known = status["books"].get(book)
    if known is None:
        raise BadInput(f"there is no book {book!r}; there are {', '.join(status['books'])}")
    waits = bool(known.get("needs_arming")) and (known["latched"] or not known.get("armed"))
    if waits and is_named:
        return (Rearm(book), ArmLive(book)) if known["latched"] else (ArmLive(book),)
    halted = known["state"] in (TradingState.HALTED.value, TradingState.CLOSE_ONLY.value)
    return (SetTrading(book, TradingState.ACTIVE) if halted and not known["latched"] else Rearm(book),)


def _confirm(names: str) -> None:
    if not sys.stdin.isatty():
        raise BadInput("there is no terminal to confirm in; add --yes if arming is really meant")
    sys.stderr.write(f"Arming lets {names} trade again at once. Type {names!r} without the quotes to confirm: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != names:
        raise BadInput("not confirmed; nothing was changed")


# -- who asks ---------------------------------------------------------------------------------------------------------


def _proven(options: argparse.Namespace, folder: Path) -> Actor:
    """The operator who arms real money: name and password are checked as at sign-in, wrong tries are counted there.

    Raises
    ------
    BadInput
        Neither a terminal nor options to take them from.
    AccessDenied
        The name or the password is wrong, or too many were, or the person is no operator.
    """
    name, password = _name_and_password(options)
    with control_of(folder) as control, access_of(control, folder, effective().settings.access) as access:
        if access.needs_owner():
            raise BadInput(
                "nobody can arm real money: there is no person yet; add one with "
                "python -m engine users add NAME --role admin"
            )
        session = access.sign_in(name, password, _TERMINAL).session
        try:
            actor = access.actor(session.handle, "cli")
        finally:
            access.sign_out(session)
    needed = REQUIRED_ROLE[ArmLive]
    if not actor.role.allows(needed):
        raise AccessDenied(f"arming needs the role {needed.value}; {actor.name} is {actor.role.value}")
    return actor


def _name_and_password(options: argparse.Namespace) -> tuple[str, str]:
    if options.password_stdin:
        if options.operator is None:
            raise BadInput("--password-stdin needs --operator NAME: whose password it is")
        line = sys.stdin.readline()
        if not line:
            raise BadInput("no password came on stdin; pipe one line into the command")
        return options.operator, line.rstrip("\r\n")
    if not sys.stdin.isatty():
        raise BadInput(
            "arming real money asks who arms it: there is no terminal, so give --operator NAME and pipe the password "
            "in with --password-stdin"
        )
    name = options.operator
    if name is None:
        sys.stderr.write("Arming lets real money be traded at once. Name of the operator: ")
        sys.stderr.flush()
        name = sys.stdin.readline().strip()
    return name, getpass.getpass(f"Password of {name}: ")


# -- carried out ------------------------------------------------------------------------------------------------------


def _arm_all(plans: Mapping[str, Sequence[Command]], folder: Path, deadline: Deadline) -> dict[str, _Armed]:
    """Send the first command of every book, then wait for each, then the next: one book's failure is its own."""
    found: dict[str, _Armed] = {}
    with control_of(folder) as control:
        for step in range(max(map(len, plans.values()))):
            due = {
                book: commands[step]
                for book, commands in plans.items()
                if step < len(commands) and (step == 0 or not found[book].code)
            }
            unsent = {book: failure for book, command in due.items() if (failure := _submit(control, command))}
            found |= {
                book: unsent.get(book) or _answer(control, folder, command.command_id, deadline)
                for book, command in due.items()
            }
    return found


def _submit(control: ControlStore, command: Command) -> _Armed | None:
    """Store a command; the failure where it could not be."""
    try:
        audit(control, command)
        control.submit(command)
    except StorageError as error:
        return _Armed(command.command_id, "FAILED", f"not ordered: {error}", 1)
    return None


def _answer(control: ControlStore, folder: Path, name: str, deadline: Deadline) -> _Armed:
    while True:
        receipt = control.receipt(name)
        if receipt is not None and receipt.status is not CommandStatus.PENDING:
            return _Armed(name, receipt.status.value.upper(), receipt.detail, _CODES[receipt.status])
        if holder(folder) is None:
            detail = "the engine ended before it answered; the next start looks at the order"
            return _Armed(name, "PENDING", detail, 3)
        if deadline.is_over:
            return _Armed(name, "PENDING", "the engine has not answered yet; look again with status", 1)
        deadline.pause(_LOOK_EVERY_S)
