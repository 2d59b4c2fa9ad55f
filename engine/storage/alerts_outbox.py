"""Channels with sealed addresses, and the messages on their way to them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, case, delete, func, insert, or_, select, update

from engine.domain.errors import BadInput
from engine.domain.facts import Notice, Severity
from engine.domain.operations_views import ChannelView
from engine.storage.alerts_tables import channels, outbox
from engine.storage.database_file import DatabaseFile

DELIVERED = "delivered"
GIVEN_UP = "given up"


def rank(severity: Severity) -> int:
    """0 INFO to 2 CRITICAL."""
    return list(Severity).index(severity)


@dataclass(frozen=True, slots=True)
class Message:
    """A notice on its way to one channel; ``alert_id`` None is a test."""

    channel_id: str
    alert_id: int | None
    notice: Notice

    def values(self, next_at: datetime) -> dict[str, Any]:
        """Columns of a message that waits."""
        notice = self.notice
        return {
            "channel_id": self.channel_id,
            "alert_id": self.alert_id,
            "key": notice.key,
            "severity": notice.severity.value,
            "title": notice.title,
            "detail": notice.detail,
            "book": notice.book,
            "market_at": notice.at,
            "attempts": 0,
            "next_at": next_at,
            "outcome": "",
            "last_error": "",
        }


@dataclass(frozen=True, slots=True)
class WaitingMessage:
    """A message that is due, and how often it was tried."""

    message_id: int
    channel_id: str
    notice: Notice
    attempts: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt: the next one (None: given up), and until when the channel is left alone."""

    message_id: int
    channel_id: str
    error: str
    at: datetime
    next_at: datetime | None
    paused_until: datetime


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A channel as stored; ``sealed`` is opened by the key store only."""

    channel_id: str
    kind: str
    label: str
    hint: str
    sealed: bytes
    minimum_severity: Severity
    failures: int
    last_result: str
    last_at: datetime | None

    def __repr__(self) -> str:
        return f"ChannelRow({self.channel_id!r}, {self.kind!r}, {self.label!r}, {len(self.sealed)} sealed bytes)"

    def view(self) -> ChannelView:
        """What may be shown."""
        return ChannelView(
            self.channel_id, self.kind, self.label, self.hint, self.minimum_severity, self.last_result, self.last_at
        )


class ChannelShelf:
    """Where alerts go."""

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file

    def add(self, view: ChannelView, sealed: bytes, now: datetime) -> None:
        """Store a channel; raises `BadInput` where the label is taken."""
        row = {"channel_id": view.channel_id, "kind": view.kind, "label": view.label, "hint": view.hint}
        with self._file.write() as connection:
            if connection.execute(select(channels.c.label).where(channels.c.label == view.label)).first():
                raise BadInput(f"there is already a channel {view.label!r}; choose another label")
            connection.execute(
                insert(channels).values(
                    **row, sealed=sealed, minimum_severity=view.minimum_severity.value, created_at=now,
                    failures=0, last_result="",
                )
            )  # fmt: skip

    def all(self) -> tuple[ChannelRow, ...]:
        """Every channel, oldest first."""
        with self._file.read() as connection:
            rows = connection.execute(select(channels).order_by(channels.c.created_at, channels.c.channel_id))
            return tuple(_channel(row) for row in rows)

    def get(self, channel_id: str) -> ChannelRow:
        """One channel; raises `BadInput` where there is none."""
        with self._file.read() as connection:
            row = connection.execute(select(channels).where(channels.c.channel_id == channel_id)).first()
        if row is None:
            raise _unknown(channel_id)
        return _channel(row)

    def remove(self, channel_id: str) -> None:
        """Forget a channel and what waits for it; raises `BadInput` where there is none."""
        with self._file.write() as connection:
            if not connection.execute(delete(channels).where(channels.c.channel_id == channel_id)).rowcount:
                raise _unknown(channel_id)

    def answered(self, channel_id: str, result: str, worked: bool, now: datetime) -> None:
        """Store what a test of the channel said; one that worked ends its pause."""
        values: dict[str, Any] = {"last_result": result, "last_at": now}
        if worked:
            values |= {"failures": 0, "paused_until": None}
        with self._file.write() as connection:
            connection.execute(update(channels).where(channels.c.channel_id == channel_id).values(**values))


class Outbox:
    """Messages that wait, and what became of them."""

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file

    def due(self, now: datetime, limit: int) -> tuple[WaitingMessage, ...]:
        """Messages to send now, the most severe first, of channels that are not paused."""
        severity = case({item.value: rank(item) for item in Severity}, value=outbox.c.severity)
        query = (
            select(outbox)
            .join(channels, channels.c.channel_id == outbox.c.channel_id)
            .where(outbox.c.outcome == "", outbox.c.next_at <= now)
            .where(or_(channels.c.paused_until.is_(None), channels.c.paused_until <= now))
            .order_by(severity.desc(), outbox.c.attempts, outbox.c.message_id)
            .limit(limit)
        )
        with self._file.read() as connection:
            return tuple(_waiting(row) for row in connection.execute(query))

    def waiting(self) -> int:
        """How many messages wait, due or not."""
        count = select(func.count()).where(outbox.c.outcome == "")
        with self._file.read() as connection:
            return int(connection.execute(count).scalar_one())

    def add_test(self, channel_id: str, notice: Notice, now: datetime) -> None:
        """Queue a message that belongs to no alert, unless one waits for that channel already."""
        waits = select(outbox.c.message_id).where(
            outbox.c.channel_id == channel_id, outbox.c.alert_id.is_(None), outbox.c.outcome == ""
        )
        with self._file.write() as connection:
            if connection.execute(waits).first() is None:
                connection.execute(insert(outbox).values(**Message(channel_id, None, notice).values(now)))

    def sent(self, message: int, channel_id: str, answer: str, now: datetime) -> None:
        """A message was accepted by its channel, whose failures are forgotten."""
        with self._file.write() as connection:
            connection.execute(
                update(outbox)
                .where(outbox.c.message_id == message)
                .values(outcome=DELIVERED, ended_at=now, attempts=outbox.c.attempts + 1, last_error="")
            )
            connection.execute(
                update(channels)
                .where(channels.c.channel_id == channel_id)
                .values(failures=0, paused_until=None, last_result=answer, last_at=now)
            )

    def failed(self, failure: Failure) -> int:
        """A message was not accepted; how often the channel has failed in a row."""
        values: dict[str, Any] = {"attempts": outbox.c.attempts + 1, "last_error": failure.error}
        if failure.next_at is None:
            values |= {"outcome": GIVEN_UP, "ended_at": failure.at}
        else:
            values["next_at"] = failure.next_at
        result = {"last_result": failure.error, "last_at": failure.at, "paused_until": failure.paused_until}
        with self._file.write() as connection:
            connection.execute(update(outbox).where(outbox.c.message_id == failure.message_id).values(**values))
            counted = (
                update(channels)
                .where(channels.c.channel_id == failure.channel_id)
                .values(**result, failures=channels.c.failures + 1)
                .returning(channels.c.failures)
            )
            return int(connection.execute(counted).scalar() or 0)


def _unknown(channel_id: str) -> BadInput:
    return BadInput(f"there is no channel {channel_id[:40]!r}; load the page again")


def _channel(row: Row[Any]) -> ChannelRow:
    return ChannelRow(
        channel_id=row.channel_id,
        kind=row.kind,
        label=row.label,
        hint=row.hint,
        sealed=row.sealed,
        minimum_severity=Severity(row.minimum_severity),
        failures=row.failures,
        last_result=row.last_result,
        last_at=row.last_at,
    )


def _waiting(row: Row[Any]) -> WaitingMessage:
    notice = Notice(row.key, Severity(row.severity), row.title, row.detail, row.book, row.market_at)
    return WaitingMessage(row.message_id, row.channel_id, notice, row.attempts)
