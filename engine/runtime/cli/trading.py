"""``stop`` and ``arm``: commands to the engine, durable before anything else."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.domain.commands import (
    Command,
    CommandBody,
    CommandStatus,
    EmergencyStop,
    Rearm,
    Receipt,
    SetTrading,
    TradingState,
)
from engine.domain.errors import BadInput, CannotRecord, CommandRefused, EngineError, NotRunning, StorageError
from engine.runtime.audit_rows import commanded
from engine.runtime.cli.context import command_id, control_of, system_actor
from engine.runtime.cli.folder import data_folder
from engine.runtime.cli.output import complain, say, say_json, tell
from engine.runtime.cli.status import published
from engine.runtime.clock import SystemClock
from engine.runtime.sentinel import SENTINEL, order_stop_by_file
from engine.storage.control import ControlStore
from engine.storage.lock import holder

FLAT, STOPPING, PENDING, REFUSED = "VERIFIED FLAT", "STOPPING", "PENDING", "REFUSED"
_LOOK_EVERY_S = 0.2
_CODES = {FLAT: 0, STOPPING: 1, PENDING: 3, REFUSED: 4}
_ARM_CODES = {CommandStatus.DONE: 0, CommandStatus.UNKNOWN: 1, CommandStatus.REFUSED: 4}


@dataclass(frozen=True, slots=True)
class _Order:
    """A stop that has been ordered; without ``control`` by the sentinel file."""

    command: Command
    folder: Path
    control: ControlStore | None
    deadline: float


def stop(options: argparse.Namespace) -> int:
    """Order an emergency stop durably, then watch it being carried out."""
    folder = data_folder()
    command = _command("stop", _reason(options.reason), EmergencyStop(options.book))
    deadline = time.monotonic() + options.wait_s
    try:
        with control_of(folder) as control:
            with suppress(CannotRecord):  # a stop is carried out even where the audit trail cannot be written
                _audit(control, command)
            control.submit(command)
            return _finish(_Order(command, folder, control, deadline), options.json)
    except StorageError as error:
        _drop_sentinel(folder, command, error)
    return _finish(_Order(command, folder, None, deadline), options.json)


def _drop_sentinel(folder: Path, command: Command, error: StorageError) -> None:
    book = getattr(command.body, "book", None)
    if book is not None:
        raise EngineError(
            f"the stop of {book} could not be stored ({error}); stop everything: leave --book out"
        ) from error
    try:
        order_stop_by_file(folder, f"{command.actor.name}: {command.reason}")
    except CannotRecord as failure:
        owner = holder(folder)
        way_out = f"end process {owner.pid}" if owner else "make the folder writable and order it again"
        raise EngineError(f"the stop could not be stored: {failure}; {way_out}") from failure
    complain(f"the control file cannot be written ({error}); the file {SENTINEL} in {folder} orders the stop")


def _finish(order: _Order, as_json: bool) -> int:
    state, books = _watch(order)
    answer = {
        "state": state,
        "command_id": order.command.command_id,
        "reason": order.command.reason,
        "actor": order.command.actor.name,
        "ordered_at": order.command.at,
        "detail": _detail(order, state),
        "steps": next(iter(books.values()))["steps"] if books else [],
        "books": books,
    }
    if as_json:
        say_json(answer)
    else:
        say(f"{state}: {answer['detail']}")
    return _CODES[state]


def _detail(order: _Order, state: str) -> str:
    match state:
        case "VERIFIED FLAT":
            return "no open order and no position, each seen twice; trading stays halted until arm"
        case "STOPPING":
            return "the engine goes on with it; look again with status"
        case "REFUSED":
            receipt = order.control.receipt(order.command.command_id) if order.control else None
            return receipt.detail if receipt else "refused"
        case _:
            return f"no engine runs in {order.folder}; the next start carries the stop out before anything else"


def _watch(order: _Order) -> tuple[str, dict[str, Any]]:
    """How far the stop is at its end or at the deadline, and the addressed books by name."""
    books: dict[str, Any] = {}
    told = 0
    while holder(order.folder) is not None:
        receipt = order.control.receipt(order.command.command_id) if order.control else None
        if receipt is not None and receipt.status is CommandStatus.REFUSED:
            return REFUSED, books
        if _is_taken(order, receipt):
            books = _books(order)
            told = _tell_steps(books, told)
            if books and all(book["flat"] for book in books.values()):
                return FLAT, books
        if time.monotonic() >= order.deadline:
            return STOPPING, books
        time.sleep(_LOOK_EVERY_S)
    return PENDING, books


def _is_taken(order: _Order, receipt: Receipt | None) -> bool:
    """Whether the engine has begun: what it publishes from now on is about this stop."""
    if order.control is None:
        return not (order.folder / SENTINEL).exists()
    return receipt is not None and receipt.status is CommandStatus.DONE


def _books(order: _Order) -> dict[str, Any]:
    try:
        status = published(order.folder)
    except NotRunning:
        return {}
    wanted = getattr(order.command.body, "book", None)
    return {
        name: {
            "trading_state": book["state"],
            "latched": book["latched"],
            "flat": bool(book["stop"] and book["stop"]["flat"]),
            "waiting_for": book["stop"]["waiting_for"] if book["stop"] else "the engine to begin",
            "stop_id": book["stop"]["id"] if book["stop"] else None,
            "steps": book["stop"]["steps"] if book["stop"] else [],
        }
        for name, book in status["books"].items()
        if wanted in (None, name)
    }


def _tell_steps(books: dict[str, Any], told: int) -> int:
    """Tell on stderr what was proven since the last look."""
    lines = [f"{name}: {row['step']} ({row['detail']})" for name, book in books.items() for row in book["steps"]]
    for line in lines[told:]:
        tell(line)
    return max(told, len(lines))


def arm(options: argparse.Namespace) -> int:
    """Let a stopped book trade again; without a name, every latched one. The exit code is that of the worst answer."""
    folder = data_folder()
    reason, status = _reason(options.reason), published(folder)
    ways_back = [_way_back(book, status) for book in _to_arm(options.book, status)]
    if not options.yes:
        _confirm(", ".join(str(body.book) for body in ways_back))
    deadline = time.monotonic() + options.wait_s
    books = _arm_all([_command("arm", reason, body) for body in ways_back], folder, deadline)
    worst = max(books.values(), key=lambda answer: answer.code)
    if options.json:
        say_json({**worst.shown(), "books": {book: answer.shown() for book, answer in books.items()}})
    for book, answer in books.items():
        line = answer.detail if answer.detail.startswith(f"{book}: ") else f"{book}: {answer.detail}"
        if answer.code:
            complain(line)
        elif not options.json:
            say(line)
    return worst.code


@dataclass(frozen=True, slots=True)
class _Armed:
    """What became of one book; ``code`` is the exit code it calls for."""

    command_id: str
    state: str
    detail: str
    code: int

    def shown(self) -> dict[str, str]:
        return {"command_id": self.command_id, "state": self.state, "detail": self.detail}


def _arm_all(commands: Sequence[Command], folder: Path, deadline: float) -> dict[str, _Armed]:
    """Send every command, then wait for each: what fails for one book changes nothing about another."""
    with control_of(folder) as control:
        unsent = {command.command_id: failure for command in commands if (failure := _submit(control, command))}
        return {
            str(command.body.book): unsent.get(command.command_id)
            or _answer(control, folder, command.command_id, deadline)
            for command in commands
        }


def _submit(control: ControlStore, command: Command) -> _Armed | None:
    """Store a command; the failure where it could not be."""
    try:
        _audit(control, command)
        control.submit(command)
    except StorageError as error:
        return _Armed(command.command_id, "FAILED", f"not ordered: {error}", 1)
    return None


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


def _way_back(book: str, status: dict[str, Any]) -> CommandBody:
    """A latch is released; a book that is halted without one (after a restore, say) is set going."""
    known = status["books"].get(book)
    if known is None:
        raise BadInput(f"there is no book {book!r}; there are {', '.join(status['books'])}")
    halted = known["state"] in (TradingState.HALTED.value, TradingState.CLOSE_ONLY.value)
    return SetTrading(book, TradingState.ACTIVE) if halted and not known["latched"] else Rearm(book)


def _confirm(names: str) -> None:
    if not sys.stdin.isatty():
        raise BadInput("there is no terminal to confirm in; add --yes if arming is really meant")
    sys.stderr.write(f"Arming lets {names} trade again at once. Type {names!r} without the quotes to confirm: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != names:
        raise BadInput("not confirmed; nothing was changed")


def _answer(control: ControlStore, folder: Path, name: str, deadline: float) -> _Armed:
    while True:
        receipt = control.receipt(name)
        if receipt is not None and receipt.status is not CommandStatus.PENDING:
            return _Armed(name, receipt.status.value.upper(), receipt.detail, _ARM_CODES[receipt.status])
        if holder(folder) is None:
            detail = "the engine ended before it answered; the next start looks at the order"
            return _Armed(name, "PENDING", detail, 3)
        if time.monotonic() >= deadline:
            return _Armed(name, "PENDING", "the engine has not answered yet; look again with status", 1)
        time.sleep(_LOOK_EVERY_S)


def _command(kind: str, reason: str, body: CommandBody) -> Command:
    return Command(command_id(kind), system_actor(), SystemClock().now(), reason, body)


def _audit(control: ControlStore, command: Command) -> None:
    target = str(getattr(command.body, "book", None) or "all books")
    detail = commanded("", command.reason, command.command_id)
    control.audit.append(command.actor, type(command.body).__name__, target, detail)


def _reason(text: str) -> str:
    reason = text.strip()
    if not reason:
        raise BadInput("--reason is empty; say in a few words why, it stands in the journal")
    return reason
