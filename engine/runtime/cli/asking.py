"""A command on its way to the running engine: audited, stored durably, and waited for until it is answered."""

from __future__ import annotations

import time
from pathlib import Path

from engine.domain.commands import REQUIRED_ROLE, Actor, Command, CommandBody, CommandStatus, Receipt
from engine.domain.errors import AccessDenied, CommandRefused, EngineError, NotRunning
from engine.runtime.audit_rows import commanded
from engine.runtime.change_words import asked_words
from engine.runtime.cli.context import command_id, control_of, system_actor
from engine.runtime.cli.folder import running_engine
from engine.runtime.clock import SystemClock
from engine.storage.control import ControlStore
from engine.storage.lock import holder

LOOK_EVERY_S = 0.1


class Deadline:
    """How long a command waits for another process."""

    def __init__(self, wait_s: float) -> None:
        self._ends = time.monotonic() + wait_s

    @property
    def left_s(self) -> float:
        """Seconds that are left; 0 once it is over."""
        return max(0.0, self._ends - time.monotonic())

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return self.left_s <= 0

    def pause(self, seconds: float = LOOK_EVERY_S) -> None:
        """Wait before the next look."""
        time.sleep(seconds)


def new_command(kind: str, reason: str, body: CommandBody, actor: Actor | None = None) -> Command:
    """A command that nobody has given yet; ``actor`` None is the user of the operating system."""
    return Command(command_id(kind), actor or system_actor(), SystemClock().now(), reason, body)


def carried_out(folder: Path, command: Command, wait_s: float) -> str:
    """Give a command to the running engine and wait for its answer; what was done, in its words.

    Raises
    ------
    NotRunning
        No engine runs, or it ended before it answered.
    AccessDenied, CommandRefused
        Whoever asks may not do it, or the engine refused; nothing was done.
    EngineError
        No answer in time, or nothing tells whether it was done.
    """
    running_engine(folder)
    needed = REQUIRED_ROLE[type(command.body)]
    if not command.actor.role.allows(needed):
        raise AccessDenied(f"this needs the role {needed.value}; {command.actor.name} is {command.actor.role.value}")
    with control_of(folder) as control:
        audit(control, command)
        control.submit(command)
        receipt = _answer(control, folder, command, Deadline(wait_s))
    if receipt.status is CommandStatus.REFUSED:
        raise CommandRefused(receipt.detail)
    if receipt.status is not CommandStatus.DONE:
        raise EngineError(f"nothing tells what became of command {command.command_id}: {receipt.detail}")
    return receipt.detail


def audit(control: ControlStore, command: Command) -> None:
    """Write down who asks for what; raises `CannotRecord`, and then it must not happen."""
    body = command.body
    detail = commanded(asked_words(body, None), command.reason, command.command_id)
    control.audit.append(command.actor, type(body).__name__, str(body.book or "all books"), detail)


def _answer(control: ControlStore, folder: Path, command: Command, deadline: Deadline) -> Receipt:
    name = command.command_id
    while True:
        receipt = control.receipt(name)
        if receipt is not None and receipt.status is not CommandStatus.PENDING:
            return receipt
        if holder(folder) is None:
            raise NotRunning(f"the engine ended before it answered; its next start looks at command {name}")
        if deadline.is_over:
            raise EngineError(f"the engine has not answered command {name} yet; look again with status")
        deadline.pause()
