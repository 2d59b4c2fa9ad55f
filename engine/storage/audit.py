"""The audit trail: append-only rows, each vouching for all before it."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, insert, or_, select

from engine.domain.codec import utc_text
from engine.domain.commands import Actor
from engine.domain.errors import StorageError
from engine.domain.ports import Clock
from engine.storage.chain import AUDIT, ChainReport, Head, export_head, head_fits, link, read_head, storable
from engine.storage.control_tables import AuditTable
from engine.storage.database_file import DatabaseFile
from engine.storage.rows import AuditFilters, AuditRow, Page, page_bounds
from engine.storage.verify import verify_audit

_AUDIT = AuditTable.metadata.tables["audit"]
_log = logging.getLogger(__name__)


class AuditTrail:
    """Who did what. Several processes may append; the database lets one at a time."""

    def __init__(self, file: DatabaseFile, key: bytes, clock: Clock) -> None:
        self._file = file
        self._key = key
        self._clock = clock

    def append(self, actor: Actor, action: str, target: str, detail: str) -> int:
        """Make a row durable before the action happens; its sequence.

        Parameters
        ----------
        actor : Actor
            Who, and from where.
        action, target : str
            What is done, to what, e.g. ``user_added``, ``jo``.
        detail : str
            Text or JSON; never a secret.

        Raises
        ------
        CannotRecord
            Not stored: the action must be refused, unless it stops or closes something.
        """
        texts = tuple(storable(text) for text in (actor.name, actor.source, action, target, detail))
        with self._file.write() as connection:
            before = self._tail(connection)
            head = _append(connection, before, self._key, (self._clock.now(), texts))
        self._export(before, head)
        return head.count

    def page(self, filters: AuditFilters, page: int = 1, size: int = 50) -> Page[AuditRow]:
        """Rows that match, newest first; raises `BadInput` for a page that cannot be."""
        limit, offset = page_bounds(page, size)
        query = _matching(filters)
        counting = select(func.count()).select_from(query.subquery())
        with self._file.read() as connection:
            total = connection.execute(counting).scalar_one()
            rows = connection.execute(query.order_by(_AUDIT.c.sequence.desc()).limit(limit).offset(offset)).all()
        return Page(total, tuple(AuditRow(*row) for row in rows), page, size)

    def verify(self) -> ChainReport:
        """Check every row and the end of the chain; raises `StorageError` where the file cannot be read."""
        return verify_audit(self._file.path, self._key)

    def _tail(self, connection: Connection) -> Head:
        row = connection.execute(_newest()).one_or_none()
        return Head(0, AUDIT.genesis(self._key)) if row is None else Head(row.sequence, row.mac)

    def _export(self, before: Head, head: Head) -> None:
        """Move the signed head on, unless the one that lies there vouches for rows that are gone: that is evidence."""
        path = AUDIT.head_path(self._file.path)
        try:
            known = read_head(path, self._key)
            if known is None and before.count == 0:
                known = before
            if known is None or not head_fits(AUDIT, self._key, known, self._mac_at(known.count)):
                _log.error("audit does not fit its signed head", extra={"file": path.name, "rows": head.count})
            elif known.count < head.count:
                export_head(path, self._key, head, durable=True)
        except StorageError as error:
            _log.error("signed head not written", extra={"file": path.name, "error": str(error)})

    def _mac_at(self, sequence: int) -> bytes | None:
        with self._file.read() as connection:
            return connection.execute(select(_AUDIT.c.mac).where(_AUDIT.c.sequence == sequence)).scalar_one_or_none()


def _newest() -> Select[Any]:
    return select(_AUDIT.c.sequence, _AUDIT.c.mac).order_by(_AUDIT.c.sequence.desc()).limit(1)


def _append(connection: Connection, before: Head, key: bytes, said: tuple[datetime, tuple[str, ...]]) -> Head:
    at, texts = said
    covered = (utc_text(at), *texts)
    head = Head(before.count + 1, link(key, before.mac, before.count + 1, covered))
    names = ("actor", "source", "action", "target", "detail")
    row = dict(zip(names, texts, strict=True))
    connection.execute(insert(_AUDIT).values(sequence=head.count, at=at, mac=head.mac, **row))
    return head


def _matching(filters: AuditFilters) -> Select[Any]:
    query = select(*[column for column in _AUDIT.columns if column.name != "mac"])
    if filters.actor is not None:
        query = query.where(_AUDIT.c.actor == filters.actor)
    if filters.action is not None:
        query = query.where(_AUDIT.c.action == filters.action)
    if filters.text:
        columns = (_AUDIT.c.action, _AUDIT.c.target, _AUDIT.c.detail, _AUDIT.c.actor)
        query = query.where(or_(*[column.icontains(filters.text, autoescape=True) for column in columns]))
    if filters.since is not None:
        query = query.where(_AUDIT.c.at >= filters.since)
    if filters.until is not None:
        query = query.where(_AUDIT.c.at < filters.until)
    return query
