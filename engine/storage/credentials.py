"""Exchange keys as sealed bytes: this module never sees what is inside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, insert, select, update

from engine.domain.errors import BadInput
from engine.domain.ports import Clock
from engine.storage.control_tables import VenueCredentialTable
from engine.storage.database_file import DatabaseFile
from engine.storage.rows import CredentialRow

_CREDENTIALS = VenueCredentialTable.metadata.tables["venue_credentials"]


class CredentialShelf:
    """Sealed keys by exchange and label, with what is not secret about them."""

    def __init__(self, file: DatabaseFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock

    def add(self, exchange_id: str, label: str, sealed: bytes, options: Mapping[str, Any]) -> None:
        """Store new sealed keys.

        Parameters
        ----------
        options : mapping
            JSON values that may be shown: sandbox switch, account name.

        Raises
        ------
        BadInput
            That exchange has keys under this label already.
        CannotRecord
            They could not be stored.
        """
        row = {"exchange_id": exchange_id, "label": label, "sealed": sealed, "created_at": self._clock.now()}
        text = json.dumps(dict(options), sort_keys=True)
        with self._file.write() as connection:
            if connection.execute(select(_CREDENTIALS.c.label).where(_named(exchange_id, label))).first():
                raise BadInput(
                    f"{exchange_id} has keys labelled {label!r} already; choose another label or remove them"
                )
            connection.execute(insert(_CREDENTIALS).values(**row, options=text, check_detail=""))

    def reseal(self, exchange_id: str, label: str, before: bytes, sealed: bytes) -> bool:
        """Replace the sealed bytes, for key rotation; False when they are no longer ``before``."""
        known = _named(exchange_id, label) & (_CREDENTIALS.c.sealed == before)
        with self._file.write() as connection:
            return connection.execute(update(_CREDENTIALS).where(known).values(sealed=sealed)).rowcount == 1

    def record_check(self, exchange_id: str, label: str, ok: bool, detail: str) -> None:
        """Store what the exchange answered to a test; raises `BadInput` where there are no such keys."""
        values = {"checked_at": self._clock.now(), "check_ok": int(ok), "check_detail": detail}
        with self._file.write() as connection:
            changed = connection.execute(
                update(_CREDENTIALS).where(_named(exchange_id, label)).values(**values)
            ).rowcount
        if not changed:
            raise _unknown(exchange_id, label)

    def get(self, exchange_id: str, label: str) -> CredentialRow:
        """One row; raises `BadInput` where there is none."""
        with self._file.read() as connection:
            row = connection.execute(select(_CREDENTIALS).where(_named(exchange_id, label))).one_or_none()
        if row is None:
            raise _unknown(exchange_id, label)
        return _credential(row)

    def all(self) -> tuple[CredentialRow, ...]:
        """Every row, by exchange and label."""
        query = select(_CREDENTIALS).order_by(_CREDENTIALS.c.exchange_id, _CREDENTIALS.c.label)
        with self._file.read() as connection:
            return tuple(_credential(row) for row in connection.execute(query))

    def remove(self, exchange_id: str, label: str) -> None:
        """Forget sealed keys; raises `BadInput` where there are none."""
        with self._file.write() as connection:
            removed = connection.execute(delete(_CREDENTIALS).where(_named(exchange_id, label))).rowcount
        if not removed:
            raise _unknown(exchange_id, label)


def _named(exchange_id: str, label: str) -> ColumnElement[bool]:
    return (_CREDENTIALS.c.exchange_id == exchange_id) & (_CREDENTIALS.c.label == label)


def _unknown(exchange_id: str, label: str) -> BadInput:
    return BadInput(f"{exchange_id} has no keys labelled {label!r}")


def _credential(row: Row[Any]) -> CredentialRow:
    return CredentialRow(
        exchange_id=row.exchange_id,
        label=row.label,
        sealed=row.sealed,
        options=row.options,
        created_at=row.created_at,
        checked_at=row.checked_at,
        check_ok=None if row.check_ok is None else bool(row.check_ok),
        check_detail=row.check_detail,
    )
