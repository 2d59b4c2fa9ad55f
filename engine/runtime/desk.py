"""Live state, and commands on their way to the engine: who may send what is decided here."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from engine.domain.commands import (
    REQUIRED_ROLE,
    Actor,
    ArmLive,
    ClosePosition,
    Command,
    CommandBody,
    CommandStatus,
    ConfigureRisk,
    EmergencyStop,
    Promote,
    Rearm,
    Receipt,
    Role,
)
from engine.domain.errors import AccessDenied, CannotRecord, CommandRefused, StorageError
from engine.domain.portfolio import EngineSnapshot
from engine.risk.limits import RiskConfig, loosened, read_config
from engine.runtime.audit_rows import commanded
from engine.runtime.change_words import asked_words
from engine.runtime.limit_words import title_of_limit
from engine.runtime.sentinel import order_stop_by_file
from engine.runtime.services import Services

ALWAYS_ALLOWED = (EmergencyStop, ClosePosition)
"""What must work even when the audit trail cannot be written: the ways out."""


class Desk:
    """The trading desk of one signed-in person.

    Parameters
    ----------
    services : Services
    who : callable
        Who is asking, with the role as it is now; raises `AccessDenied` once the session has ended.
    handle : str
        Name of the session; empty for the command line, whose user owns the data folder.
    """

    def __init__(self, services: Services, who: Callable[[], Actor], handle: str) -> None:
        self._services = services
        self._who = who
        self._handle = handle

    @property
    def actor(self) -> Actor:
        """Who is asking."""
        return self._who()

    def require(self, role: Role) -> None:
        """Raise `AccessDenied` unless the person has at least this role."""
        actor = self.actor
        if not actor.role.allows(role):
            raise AccessDenied(f"this needs the role {role.value}; {actor.name} is {actor.role.value}")

    def require_step_up(self, what: str) -> None:
        """Raise `AccessDenied` unless the password was proven again within the last minutes."""
        if self._handle and not self.stepped_up():
            raise AccessDenied(f"{what} needs your password again; it then counts for a few minutes")

    def snapshot(self) -> EngineSnapshot:
        """The newest immutable snapshot."""
        return self._services.supervisor.snapshot()

    def absence(self) -> str:
        """Why nobody trades now; "" while the engine answers."""
        return self._services.supervisor.absence()

    def new_command_id(self) -> str:
        """An id for a form that is being drawn."""
        return f"c-{secrets.token_hex(12)}"

    def submit(self, command_id: str, body: CommandBody, reason: str) -> Receipt:
        """Store the command durably and wake the engine."""
        self.require(REQUIRED_ROLE[type(body)])
        self._require_proof(body)
        actor = self.actor
        command = Command(command_id, actor, self._services.clock.now(), reason, body)
        try:
            if self._services.control.receipt(command_id) is None:
                self._audit(command)
            self._services.control.submit(command)
        except StorageError as error:
            return self._stop_by_file(command, error)
        self._services.supervisor.wake()
        receipt = self._services.control.receipt(command_id)
        assert receipt is not None
        return receipt

    def _stop_by_file(self, command: Command, error: StorageError) -> Receipt:
        """Where a command cannot be stored, the sentinel file still stops everything; nothing else goes this way."""
        if not isinstance(command.body, EmergencyStop):
            raise error
        try:
            order_stop_by_file(self._services.folder, f"{command.actor.name}: {command.reason}")
        except CannotRecord as also:
            raise CannotRecord(f"not stopped: {error}; {also}") from error
        detail = "the command could not be stored, so a stop of every book was ordered by file"
        return Receipt(command.command_id, CommandStatus.PENDING, detail)

    def _require_proof(self, body: CommandBody) -> None:
        if isinstance(body, Rearm):
            self.require_step_up("re-arming")
        if isinstance(body, ArmLive):
            self.require_step_up("arming")
        if isinstance(body, Promote):
            self.require_step_up("promoting a strategy")
        if isinstance(body, ConfigureRisk):
            known = {book.name: book.risk for book in self.snapshot().books}
            if body.book not in known:
                raise CommandRefused(f"no book {body.book!r} is running; there are {', '.join(known)}")
            present = RiskConfig.model_validate_json(known[body.book])
            looser = loosened(present, read_config(body.values))
            if looser:
                self.require_step_up(f"loosening {', '.join(map(title_of_limit, looser))}")

    def _audit(self, command: Command) -> None:
        """Before it is stored: who asks for what, old and new; the row carries the id that its outcome is found by."""
        body = command.body
        detail = commanded(self._asked(body), command.reason, command.command_id)
        target = str(body.book or "all books")
        try:
            self._services.control.audit.append(command.actor, type(body).__name__, target, detail)
        except CannotRecord:
            if not isinstance(body, ALWAYS_ALLOWED):
                raise

    def _asked(self, body: CommandBody) -> str:
        """What is asked for; a way out waits for nothing, so it is told without the present state."""
        if isinstance(body, ALWAYS_ALLOWED):
            return asked_words(body, None)
        return asked_words(body, next((book for book in self.snapshot().books if book.name == body.book), None))

    def receipt(self, command_id: str) -> Receipt | None:
        """What became of a command."""
        return self._services.control.receipt(command_id)

    def step_up(self, password: str) -> None:
        """Prove the password again."""
        self._services.access.step_up(self._handle, password)

    def stepped_up(self) -> bool:
        """Whether the last step-up still holds."""
        return self._services.access.stepped_up(self._handle)
