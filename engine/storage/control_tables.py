"""Tables of ``control.sqlite`` that belong to no person: commands, settings, sealed credentials, audit."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, Integer, LargeBinary, Text, UniqueConstraint
from sqlmodel import Field

from engine.storage.base import ControlBase, UtcText


class CommandTable(ControlBase, table=True):
    """What people asked of the engine, in the order it arrived."""

    __tablename__ = "commands"
    __table_args__ = (UniqueConstraint("command_id"),)

    position: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True, autoincrement=True))
    command_id: str = Field(sa_type=Text)
    kind: str = Field(sa_type=Text)
    actor: str = Field(sa_type=Text)
    payload: str = Field(sa_type=Text)
    received_at: datetime = Field(sa_type=UtcText)
    status: str = Field(sa_type=Text, index=True)
    detail: str = Field(sa_type=Text)
    completed_at: datetime | None = Field(sa_type=UtcText)


class SettingTable(ControlBase, table=True):
    """Every version of every setting changed in the console; the highest version is in force."""

    __tablename__ = "settings"

    namespace: str = Field(primary_key=True, sa_type=Text)
    key: str = Field(primary_key=True, sa_type=Text)
    version: int = Field(primary_key=True)
    value: str = Field(sa_type=Text)
    actor: str = Field(sa_type=Text)
    note: str = Field(sa_type=Text)
    at: datetime = Field(sa_type=UtcText)


class VenueCredentialTable(ControlBase, table=True):
    """Exchange keys as sealed blobs, and what the last check of them said."""

    __tablename__ = "venue_credentials"

    exchange_id: str = Field(primary_key=True, sa_type=Text)
    label: str = Field(primary_key=True, sa_type=Text)
    sealed: bytes = Field(sa_type=LargeBinary)
    options: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_type=UtcText)
    checked_at: datetime | None = Field(sa_type=UtcText)
    check_ok: int | None = Field(sa_type=Integer)
    check_detail: str = Field(sa_type=Text)


class AuditTable(ControlBase, table=True):
    """Who did what; ``mac`` chains each row to the one before."""

    __tablename__ = "audit"

    sequence: int = Field(primary_key=True)
    at: datetime = Field(sa_type=UtcText)
    actor: str = Field(sa_type=Text)
    source: str = Field(sa_type=Text)
    action: str = Field(sa_type=Text, index=True)
    target: str = Field(sa_type=Text)
    detail: str = Field(sa_type=Text)
    mac: bytes = Field(sa_type=LargeBinary)
