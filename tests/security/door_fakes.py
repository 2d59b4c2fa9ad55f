"""A movable clock, a listening audit trail, and access control over a real database for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine.domain.commands import Actor, Role
from engine.domain.people import Caller
from engine.security.access import Access
from engine.security.access_config import AccessConfig
from engine.security.passwords import LEAST_MEMORY_KIB, PasswordHasher
from engine.security.people import Trail
from engine.security.sessions import SignedIn
from engine.storage.base import Database, open_engine
from engine.storage.migrate import migrate
from engine.storage.people import SqlPeople

HERE = Caller("127.0.0.1", "a browser")
THERE = Caller("203.0.113.9", "another browser")
PASSWORD = "seven wet herons"
OTHER_PASSWORD = "nine dry lanterns"


class MovableClock:
    """Wall time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def move(self, **parts: float) -> None:
        self.at += timedelta(**parts)


@dataclass
class ListeningAudit:
    """Remembers rows; raises ``failure`` where one is set."""

    rows: list[tuple[Actor, str, str, str]] = field(default_factory=list)
    failure: Exception | None = None

    def append(self, actor: Actor, action: str, target: str, detail: str) -> None:
        if self.failure is not None:
            raise self.failure
        self.rows.append((actor, action, target, detail))

    def actions(self) -> list[str]:
        return [row[1] for row in self.rows]


@dataclass
class Door:
    """Everything a test of access control touches."""

    access: Access
    clock: MovableClock
    audit: ListeningAudit
    store: SqlPeople
    folder: Path

    def owner(self) -> SignedIn:
        """Make the first account, ``owner``, and its session."""
        return self.access.create_owner(self.access.issue_owner_code(), "owner", PASSWORD, HERE)

    def add(self, name: str, role: Role) -> None:
        """Add a person with `OTHER_PASSWORD`."""
        self.access.people.add(self.access.local_grant("tester"), name, role, OTHER_PASSWORD)


@contextmanager
def open_door(folder: Path, config: AccessConfig | None = None, clock: MovableClock | None = None) -> Iterator[Door]:
    """Access control on ``folder/control.sqlite``; opening it again is a restart."""
    migrate(folder)
    path = Database.CONTROL.path(folder)
    writer, reader = open_engine(path, full_sync=False), open_engine(path, full_sync=False, read_only=True)
    audit, clock = ListeningAudit(), clock or MovableClock()
    store = SqlPeople(writer, reader)
    trail = Trail(store, audit, clock, PasswordHasher(LEAST_MEMORY_KIB, 2))
    try:
        yield Door(Access(trail, config or AccessConfig()), clock, audit, store, folder)
    finally:
        writer.dispose()
        reader.dispose()
