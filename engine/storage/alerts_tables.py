"""Tables of alerts, of the channels they go to, and of the messages on their way."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Integer, LargeBinary, Table, Text, text
from sqlmodel import Field

from engine.storage.base import ControlBase, UtcText


class AlertTable(ControlBase, table=True):
    """An alert; open while ``closed_by`` is empty, and at most one is open per key. Wall times."""

    __tablename__ = "alerts"
    __table_args__ = (
        Index("ix_alerts_open_key", "key", unique=True, sqlite_where=text("closed_by = ''")),
        Index("ix_alerts_last_at", "last_at"),
    )

    alert_id: int | None = Field(default=None, primary_key=True)
    key: str = Field(sa_type=Text)
    severity: str = Field(sa_type=Text)
    title: str = Field(sa_type=Text)
    detail: str = Field(sa_type=Text)
    book: str = Field(sa_type=Text)
    market_at: datetime = Field(sa_type=UtcText)
    first_at: datetime = Field(sa_type=UtcText)
    last_at: datetime = Field(sa_type=UtcText)
    times: int = Field(sa_type=Integer)
    closed_by: str = Field(sa_type=Text)
    closed_at: datetime | None = Field(default=None, sa_type=UtcText)
    told_at: datetime | None = Field(default=None, sa_type=UtcText)


class AlertMuteTable(ControlBase, table=True):
    """A key that is recorded but not delivered until an instant."""

    __tablename__ = "alert_mutes"

    key: str = Field(primary_key=True, sa_type=Text)
    until: datetime = Field(sa_type=UtcText)


class AlertChannelTable(ControlBase, table=True):
    """Where alerts go; the address is a sealed blob, ``hint`` may be shown."""

    __tablename__ = "alert_channels"

    channel_id: str = Field(primary_key=True, sa_type=Text)
    kind: str = Field(sa_type=Text)
    label: str = Field(sa_type=Text)
    hint: str = Field(sa_type=Text)
    sealed: bytes = Field(sa_type=LargeBinary)
    minimum_severity: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_type=UtcText)
    failures: int = Field(sa_type=Integer)
    paused_until: datetime | None = Field(default=None, sa_type=UtcText)
    last_result: str = Field(sa_type=Text)
    last_at: datetime | None = Field(default=None, sa_type=UtcText)


class AlertMessageTable(ControlBase, table=True):
    """A message to one channel; waiting while ``outcome`` is empty. ``alert_id`` is None for the daily test."""

    __tablename__ = "alert_outbox"
    __table_args__ = (Index("ix_alert_outbox_waiting", "next_at", sqlite_where=text("outcome = ''")),)

    message_id: int | None = Field(default=None, primary_key=True)
    channel_id: str = Field(foreign_key="alert_channels.channel_id", ondelete="CASCADE", index=True, sa_type=Text)
    alert_id: int | None = Field(
        default=None, foreign_key="alerts.alert_id", ondelete="CASCADE", index=True, sa_type=Integer
    )
    key: str = Field(sa_type=Text)
    severity: str = Field(sa_type=Text)
    title: str = Field(sa_type=Text)
    detail: str = Field(sa_type=Text)
    book: str = Field(sa_type=Text)
    market_at: datetime = Field(sa_type=UtcText)
    attempts: int = Field(sa_type=Integer)
    next_at: datetime = Field(sa_type=UtcText)
    outcome: str = Field(sa_type=Text)
    last_error: str = Field(sa_type=Text)
    ended_at: datetime | None = Field(default=None, sa_type=UtcText)


def _table(name: str) -> Table:
    return ControlBase.metadata.tables[name]


alerts = _table("alerts")
mutes = _table("alert_mutes")
channels = _table("alert_channels")
outbox = _table("alert_outbox")
