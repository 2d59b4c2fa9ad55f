"""Alerts in ``control.sqlite``: recorded, counted and put into the outbox in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, select, update
from sqlalchemy.dialects import sqlite

from engine.domain.errors import BadInput
from engine.domain.facts import Notice, Severity
from engine.domain.operations_views import AlertRow
from engine.storage.alerts_outbox import GIVEN_UP, ChannelShelf, Message, Outbox, rank
from engine.storage.alerts_tables import alerts, channels, mutes, outbox
from engine.storage.database_file import DatabaseFile
from engine.storage.rows import Page, page_bounds

KEPT = timedelta(days=730)
"""Closed alerts older than this are forgotten."""


@dataclass(frozen=True, slots=True)
class Routing:
    """How a notice is told on: again after ``remind_after`` while it is raised, never to channel ``but``."""

    remind_after: timedelta
    but: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a notice: its alert, how often it was raised, and to how many channels it goes now."""

    alert_id: int
    count: int
    queued: int


class AlertStore:
    """Alerts and muted keys; ``channels`` and ``outbox`` are the file's other parts.

    Parameters
    ----------
    file : DatabaseFile
        ``control.sqlite``, already migrated.
    """

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file
        self.channels = ChannelShelf(file)
        self.outbox = Outbox(file)

    def record(self, notice: Notice, now: datetime, routing: Routing) -> Recorded:
        """Store a notice, or count it with the open alert of its key, and put it into the outbox where it is due.

        Due is a new alert, one that became more severe, and one that was last told ``remind_after`` ago; a muted key
        is not. It goes to every channel whose minimum severity it reaches. A message of the same alert that still
        waits for a channel is replaced, not joined.

        Raises
        ------
        CannotRecord
            Nothing was stored.
        """
        with self._file.write() as connection:
            before = connection.execute(_open_with(notice.key)).first()
            alert_id, count, worst = _store(connection, notice, before, now)
            if _is_muted(connection, notice.key, now) or not _is_due(before, worst, now, routing):
                return Recorded(alert_id, count, 0)
            again = f" ({count} times)" if count > 1 else ""
            told = replace(notice, severity=worst, title=notice.title + again)
            targets = [name for name in _reached(connection, worst) if name != routing.but]
            for channel_id in targets:
                _queue(connection, Message(channel_id, alert_id, told), now)
            if targets:
                _change(connection, alert_id, told_at=now)
            return Recorded(alert_id, count, len(targets))

    def clear(self, key: str, by: str, notice: Notice, now: datetime) -> bool:
        """Close the open alert of a key because its cause is gone, and tell those who were told of it.

        Returns
        -------
        bool
            False when no alert of that key is open.
        """
        with self._file.write() as connection:
            row = connection.execute(_open_with(key)).first()
            if row is None:
                return False
            _change(connection, row.alert_id, closed_by=by, closed_at=now)
            if not _is_muted(connection, key, now):
                told = select(outbox.c.channel_id).where(outbox.c.alert_id == row.alert_id).distinct()
                for channel_id in connection.execute(told).scalars().all():
                    connection.execute(insert(outbox).values(**Message(channel_id, row.alert_id, notice).values(now)))
            return True

    def acknowledge(self, alert_id: int, by: str, now: datetime) -> None:
        """Close an alert because somebody has seen it; what still waits in the outbox is not sent. The first stays.

        Raises
        ------
        BadInput
            There is no such alert.
        """
        with self._file.write() as connection:
            seen = update(alerts).where(alerts.c.alert_id == alert_id, alerts.c.closed_by == "")
            if connection.execute(seen.values(closed_by=by, closed_at=now)).rowcount:
                _end_waiting(connection, outbox.c.alert_id == alert_id, "acknowledged first", now)
            elif connection.execute(select(alerts.c.alert_id).where(alerts.c.alert_id == alert_id)).first() is None:
                raise BadInput(f"there is no alert {alert_id}; load the page again")

    def mute(self, key: str, until: datetime, now: datetime) -> None:
        """Record but do not deliver a key until an instant; what of it still waits in the outbox is not sent."""
        row = sqlite.insert(mutes).values(key=key, until=until)
        with self._file.write() as connection:
            connection.execute(row.on_conflict_do_update(index_elements=["key"], set_={"until": until}))
            _end_waiting(connection, outbox.c.key == key, "muted", now)

    def page(self, page: int, size: int, open_only: bool, now: datetime) -> Page[AlertRow]:
        """Alerts, newest first; the first page is 1."""
        limit, offset = page_bounds(page, size)
        muted = and_(mutes.c.key == alerts.c.key, mutes.c.until > now)
        wanted = select(alerts, mutes.c.until).select_from(alerts.outerjoin(mutes, muted))
        if open_only:
            wanted = wanted.where(alerts.c.closed_by == "")
        with self._file.read() as connection:
            total = connection.execute(select(func.count()).select_from(wanted.subquery())).scalar_one()
            newest = wanted.order_by(alerts.c.last_at.desc(), alerts.c.alert_id.desc()).limit(limit).offset(offset)
            rows = connection.execute(newest).all()
            told = _told(connection, [row.alert_id for row in rows])
        return Page(total, tuple(_alert(row, told.get(row.alert_id, "")) for row in rows), page, size)

    def open_count(self) -> int:
        """How many alerts are open."""
        count = select(func.count()).where(alerts.c.closed_by == "")
        with self._file.read() as connection:
            return int(connection.execute(count).scalar_one())

    def thin(self, now: datetime) -> int:
        """Forget closed alerts of more than two years ago with their messages; how many."""
        old = delete(alerts).where(alerts.c.closed_by != "", alerts.c.last_at < now - KEPT)
        with self._file.write() as connection:
            connection.execute(delete(outbox).where(outbox.c.alert_id.is_(None), outbox.c.ended_at < now - KEPT))
            return int(connection.execute(old).rowcount)


def _open_with(key: str) -> Any:
    return select(alerts).where(alerts.c.key == key, alerts.c.closed_by == "")


def _store(connection: Connection, notice: Notice, before: Row[Any] | None, now: datetime) -> tuple[int, int, Severity]:
    """Insert or count; the alert's id, its count and its worst severity so far."""
    latest = {"title": notice.title, "detail": notice.detail, "book": notice.book, "market_at": notice.at}
    if before is None:
        row = {**latest, "key": notice.key, "severity": notice.severity.value, "times": 1, "closed_by": ""}
        new = insert(alerts).values(**row, first_at=now, last_at=now).returning(alerts.c.alert_id)
        return connection.execute(new).scalar_one(), 1, notice.severity
    worst = max(Severity(before.severity), notice.severity, key=rank)
    count = before.times + 1
    _change(connection, before.alert_id, **latest, severity=worst.value, last_at=now, times=count)
    return before.alert_id, count, worst


def _change(connection: Connection, alert_id: int, **values: Any) -> None:
    connection.execute(update(alerts).where(alerts.c.alert_id == alert_id).values(**values))


def _is_due(before: Row[Any] | None, worst: Severity, now: datetime, routing: Routing) -> bool:
    if before is None or before.told_at is None or rank(worst) > rank(Severity(before.severity)):
        return True
    return bool(before.told_at + routing.remind_after <= now)


def _is_muted(connection: Connection, key: str, now: datetime) -> bool:
    muted = select(mutes.c.key).where(mutes.c.key == key, mutes.c.until > now)
    return connection.execute(muted).first() is not None


def _reached(connection: Connection, severity: Severity) -> list[str]:
    rows = connection.execute(select(channels.c.channel_id, channels.c.minimum_severity)).all()
    return [row.channel_id for row in rows if rank(Severity(row.minimum_severity)) <= rank(severity)]


def _queue(connection: Connection, message: Message, now: datetime) -> None:
    values = message.values(now)
    waiting = and_(
        outbox.c.channel_id == message.channel_id, outbox.c.alert_id == message.alert_id, outbox.c.outcome == ""
    )
    text = {name: values[name] for name in ("severity", "title", "detail", "market_at")}
    if not connection.execute(update(outbox).where(waiting).values(**text)).rowcount:
        connection.execute(insert(outbox).values(**values))


def _end_waiting(connection: Connection, which: Any, outcome: str, now: datetime) -> None:
    connection.execute(update(outbox).where(which, outbox.c.outcome == "").values(outcome=outcome, ended_at=now))


def _told(connection: Connection, alert_ids: Sequence[int]) -> dict[int, str]:
    """By alert, the newest message to each channel in words."""
    newest = (
        select(func.max(outbox.c.message_id))
        .where(outbox.c.alert_id.in_(alert_ids))
        .group_by(outbox.c.alert_id, outbox.c.channel_id)
    )
    query = (
        select(outbox, channels.c.label)
        .join(channels, channels.c.channel_id == outbox.c.channel_id)
        .where(outbox.c.message_id.in_(newest))
        .order_by(outbox.c.message_id)
    )
    told: dict[int, list[str]] = {}
    for row in connection.execute(query):
        told.setdefault(row.alert_id, []).append(f"{row.label}: {_outcome(row)}")
    return {alert_id: "; ".join(parts) for alert_id, parts in told.items()}


def _outcome(row: Row[Any]) -> str:
    if row.outcome:
        return f"{row.outcome}: {row.last_error}" if row.outcome == GIVEN_UP else str(row.outcome)
    return f"waiting after {row.attempts} attempts: {row.last_error}" if row.attempts else "waiting"


def _alert(row: Row[Any], delivered: str) -> AlertRow:
    return AlertRow(
        alert_id=row.alert_id,
        key=row.key,
        severity=Severity(row.severity),
        title=row.title,
        detail=row.detail,
        book=row.book,
        first_at=row.first_at,
        last_at=row.last_at,
        count=row.times,
        acknowledged_by=row.closed_by,
        muted_until=row.until,
        delivered=delivered,
    )
