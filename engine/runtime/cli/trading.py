"""``stop``: the red button on the command line, durable before anything else."""

from __future__ import annotations

import argparse
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.domain.commands import (
    Command,
    CommandBody,
    CommandStatus,
    EmergencyStop,
    Receipt,
)
from engine.domain.errors import CannotRecord, EngineError, NotRunning, StorageError
from engine.runtime.audit_rows import commanded
from engine.runtime.cli.context import checked_reason, command_id, control_of, system_actor
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


@dataclass(frozen=True, slots=True)
class _Order:
    """A stop that has been ordered; without ``control`` by the sentinel file."""

    command: Command
    folder: Path
    control: ControlStore | None
    deadline: float

    @property
    def receipt(self) -> Receipt | None:
        """What became of it so far; None where that is not stored."""
        return self.control.receipt(self.command.command_id) if self.control is not None else None


def stop(options: argparse.Namespace) -> int:
    """Order an emergency stop durably, then watch it being carried out."""
    folder = data_folder()
    command = _command("stop", checked_reason(options.reason), EmergencyStop(options.book))
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
        "detail": _detail(order, state, books),
        "steps": next(iter(books.values()))["steps"] if books else [],
        "books": books,
    }
    if as_json:
        say_json(answer)
    else:
        say(f"{state}: {answer['detail']}")
    return _CODES[state]


def _detail(order: _Order, state: str, books: dict[str, Any]) -> str:
    match state:
        case "VERIFIED FLAT":
            return f"{_proof(books)}; trading stays halted until arm"
        case "STOPPING":
            receipt = order.receipt
            unsure = receipt is not None and receipt.status is CommandStatus.UNKNOWN
            if receipt and unsure:
                return receipt.detail
            how = receipt.detail if receipt and receipt.status is CommandStatus.PENDING else ""
            return f"{how}; look again with status" if how else "the engine goes on with it; look again with status"
        case "REFUSED":
            return order.receipt.detail if order.receipt else "refused"
        case _:
            return f"no engine runs in {order.folder}; the next start carries the stop out before anything else"


def _proof(books: dict[str, Any]) -> str:
    """What the last step of each book says; the dust it left is named, with the book where there are several."""
    proofs: dict[str, str] = {name: book["steps"][-1]["detail"] for name, book in books.items() if book["steps"]}
    if len(set(proofs.values())) == 1:
        return next(iter(proofs.values()))
    return "; ".join(f"{name}: {proof}" for name, proof in proofs.items()) or "every book is flat"


def _watch(order: _Order) -> tuple[str, dict[str, Any]]:
    """How far the stop is at its end or at the deadline, and the addressed books by name."""
    books: dict[str, Any] = {}
    told = 0
    while holder(order.folder) is not None:
        receipt = order.receipt
        if receipt is not None and receipt.status is CommandStatus.REFUSED:
            return REFUSED, books
        is_taken = _is_taken(order, receipt)
        books = _books(order) if is_taken else _begun(order)
        told = _tell_steps(books, told)
        if is_taken and books and all(book["flat"] for book in books.values()):
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


def _begun(order: _Order) -> dict[str, Any]:
    """The books that have taken the stop in while another still holds it up."""
    try:
        books = _books(order)
    except EngineError:  # it has published nothing yet
        return {}
    return {name: book for name, book in books.items() if book["stop_id"] == order.command.command_id}


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


def _command(kind: str, reason: str, body: CommandBody) -> Command:
    return Command(command_id(kind), system_actor(), SystemClock().now(), reason, body)


def _audit(control: ControlStore, command: Command) -> None:
    target = str(getattr(command.body, "book", None) or "all books")
    detail = commanded("", command.reason, command.command_id)
    control.audit.append(command.actor, type(command.body).__name__, target, detail)
