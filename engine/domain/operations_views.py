"""The house as faces draw it: connections, health, alerts, people, backups, settings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engine.domain.commands import Role
from engine.domain.facts import Severity


@dataclass(frozen=True, slots=True)
class ExchangeView:
    """An exchange that can be connected and what the form needs to know."""

    name: str
    title: str
    has_sandbox: bool
    needs_passphrase: bool
    hint: str


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """An account at an exchange: keys are sealed and never shown; ``check`` is the exchange's own last answer.

    One of the settings without stored keys has ``created_at`` None. ``address`` is where it is reached instead of at
    the exchange itself ("" there), ``in_settings`` whether the settings describe it.
    """

    connection_id: str
    exchange: str
    label: str
    sandbox: bool
    created_at: datetime | None
    checked_at: datetime | None
    check_ok: bool | None
    check: str
    address: str = ""
    in_settings: bool = False

    @property
    def has_keys(self) -> bool:
        """Whether its keys are stored."""
        return self.created_at is not None


@dataclass(frozen=True, slots=True)
class HealthFigure:
    """A measured quantity against its threshold; ``value`` None means not measured, ``note`` says why."""

    name: str
    title: str
    value: float | None
    unit: str
    threshold: float
    ok: bool | None
    at: datetime | None
    note: str


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert: repeats of one key are counted in one row until it is acknowledged."""

    alert_id: int
    key: str
    severity: Severity
    title: str
    detail: str
    book: str
    first_at: datetime
    last_at: datetime
    count: int
    acknowledged_by: str
    muted_until: datetime | None
    delivered: str


@dataclass(frozen=True, slots=True)
class ChannelView:
    """Where alerts go; the address is sealed, ``hint`` shows only its kind and host."""

    channel_id: str
    kind: str
    label: str
    hint: str
    minimum_severity: Severity
    last_result: str
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class UserRow:
    """A person who may sign in."""

    name: str
    role: Role
    disabled: bool
    created_at: datetime
    last_seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A live session; ``handle`` names it without being its token."""

    handle: str
    user: str
    address: str
    agent: str
    created_at: datetime
    last_seen_at: datetime
    current: bool


@dataclass(frozen=True, slots=True)
class BackupRow:
    """A backup archive on disk."""

    name: str
    created_at: datetime
    bytes: int
    verified: bool
    detail: str


@dataclass(frozen=True, slots=True)
class SettingRow:
    """An effective setting and where it came from (default, file, console, environment)."""

    name: str
    value: str
    source: str
    description: str
