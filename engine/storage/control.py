"""The control file: commands on their way to the engine, and beside them settings, exchange keys and the audit."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Select, insert, select, update

from engine.domain.codec import decode_command, encode, to_json
from engine.domain.commands import Command, CommandStatus, EmergencyStop, Receipt
from engine.domain.errors import BadInput, StorageError
from engine.domain.ports import Clock
from engine.storage.audit import AuditTrail
from engine.storage.control_tables import CommandTable
from engine.storage.credentials import CredentialShelf
from engine.storage.database_file import DatabaseFile
from engine.storage.settings import SettingHistory

_COMMANDS = CommandTable.metadata.tables["commands"]


class ControlStore:
    """Commands, each carried out at most once; ``settings``, ``credentials`` and ``audit`` are the file's other parts.

    Parameters
    ----------
    path : Path
        ``control.sqlite``, already migrated.
    key : bytes
        Key of the audit chain, from `engine.storage.chain.load_or_create_key`.
    clock : Clock
        Dates what is stored.
    """

    def __init__(self, path: Path, key: bytes, clock: Clock) -> None:
        self._clock = clock
        self.file = DatabaseFile(path, full_sync=True)
        self.settings = SettingHistory(self.file, clock)
        self.credentials = CredentialShelf(self.file, clock)
        self.audit = AuditTrail(self.file, key, clock)

    def submit(self, command: Command) -> bool:
        """Store a command for the engine.

        Returns
        -------
        bool
            True when it is new, False when the same command is stored already: a double click, or an answer lost.

        Raises
        ------
        BadInput
            The id was used for something else.
        CannotRecord
            It could not be stored and will not be carried out.
        """
        row = _values(command, self._clock.now())
        with self.file.write() as connection:
            stored = connection.execute(_by_id(command.command_id)).one_or_none()
            if stored is None:
                connection.execute(insert(_COMMANDS).values(row))
                return True
        earlier = decode_command(stored.payload)
        if earlier.body != command.body or earlier.actor.name != command.actor.name:
            raise BadInput(
                f"command id {command.command_id!r} was used by {earlier.actor.name} for {stored.kind}; "
                "load the form again, which gives it a new id"
            )
        return False

    def pending(self, after: int = 0) -> list[tuple[int, Command]]:
        """Commands not yet answered whose position is above ``after``, oldest first, with their positions."""
        query = (
            select(_COMMANDS.c.position, _COMMANDS.c.payload)
            .where(_COMMANDS.c.status == CommandStatus.PENDING.value, _COMMANDS.c.position > after)
            .order_by(_COMMANDS.c.position)
        )
        with self.file.read() as connection:
            rows = connection.execute(query).all()
        return [(row.position, decode_command(row.payload)) for row in rows]

    def last_stop_of_all(self) -> tuple[Command, datetime] | None:
        """The newest emergency stop of every book, and when it was stored; None where there is none."""
        query = (
            select(_COMMANDS.c.payload, _COMMANDS.c.received_at)
            .where(_COMMANDS.c.kind == EmergencyStop.__name__)
            .order_by(_COMMANDS.c.position.desc())
        )
        with self.file.read() as connection:
            for row in connection.execute(query):
                command = decode_command(row.payload)
                if command.body.book is None:
                    return command, row.received_at
        return None

    def complete(self, command_id: str, status: CommandStatus, detail: str) -> None:
        """Store what became of a command; the first answer stays.

        Raises
        ------
        StorageError
            There is no such command.
        CannotRecord
            The answer could not be stored.
        """
        answer = (
            update(_COMMANDS)
            .where(_COMMANDS.c.command_id == command_id, _COMMANDS.c.status == CommandStatus.PENDING.value)
            .values(status=status.value, detail=detail, completed_at=self._clock.now())
        )
        with self.file.write() as connection:
            known = connection.execute(answer).rowcount or connection.execute(_by_id(command_id)).first()
        if not known:
            raise StorageError(f"command {command_id!r} is not stored and cannot be answered")

    def note(self, command_id: str, detail: str) -> None:
        """Store how far a command has come that is not answered yet; raises `CannotRecord`."""
        pending = (_COMMANDS.c.command_id == command_id, _COMMANDS.c.status == CommandStatus.PENDING.value)
        with self.file.write() as connection:
            connection.execute(update(_COMMANDS).where(*pending).values(detail=detail))

    def receipt(self, command_id: str) -> Receipt | None:
        """What became of a command so far, None when the id is unknown."""
        with self.file.read() as connection:
            row = connection.execute(_by_id(command_id)).one_or_none()
        return None if row is None else Receipt(row.command_id, CommandStatus(row.status), row.detail)

    def receipts(self, command_ids: Iterable[str]) -> dict[str, Receipt]:
        """What became of several commands so far; unknown ids are left out."""
        query = select(_COMMANDS).where(_COMMANDS.c.command_id.in_(sorted(set(command_ids))))
        with self.file.read() as connection:
            rows = connection.execute(query).all()
        return {row.command_id: Receipt(row.command_id, CommandStatus(row.status), row.detail) for row in rows}

    def close(self) -> None:
        """Give the connections back."""
        self.file.close()


def _by_id(command_id: str) -> Select[Any]:
    return select(_COMMANDS).where(_COMMANDS.c.command_id == command_id)


def _values(command: Command, received_at: datetime) -> dict[str, Any]:
    return {
        "command_id": command.command_id,
        "kind": type(command.body).__name__,
        "actor": command.actor.name,
        "payload": to_json(encode(command)),
        "received_at": received_at,
        "status": CommandStatus.PENDING.value,
        "detail": "",
        "completed_at": None,
    }
