"""Settings changed in the console, every version of them kept."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select

from engine.domain.errors import BadInput
from engine.domain.ports import Clock
from engine.storage.control_tables import SettingTable
from engine.storage.database_file import DatabaseFile
from engine.storage.rows import SettingRow

CONSOLE_SETTINGS = "settings"
"""Namespace of what is set on the Settings page: one of the layers that settings are read from."""
_SETTINGS = SettingTable.metadata.tables["settings"]


class SettingHistory:
    """Values by namespace and key (``engine``, ``user:jo``, ...); the highest version is in force."""

    def __init__(self, file: DatabaseFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock

    def put(self, namespace: str, key: str, value: Any, actor: str, note: str = "") -> int:
        """Set a value; its version.

        Parameters
        ----------
        value : JSON value
            None means "not set": the layer below (file, default) counts again.

        Raises
        ------
        BadInput
            The value is not JSON.
        CannotRecord
            It could not be stored; the old value stays in force.
        """
        try:
            text = json.dumps(value, sort_keys=True, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise BadInput(f"setting {namespace}.{key}: {value!r} cannot be stored ({error})") from error
        with self._file.write() as connection:
            return _append(connection, (namespace, key, text), (actor, note, self._clock.now()))

    def get(self, namespace: str, key: str) -> Any:
        """The value in force, None where it was never set."""
        row = self._newest(namespace, key)
        return None if row is None else json.loads(row.value)

    def values(self, namespace: str) -> dict[str, Any]:
        """Every value in force of a namespace; keys set to None are left out."""
        newest = select(_SETTINGS.c.key, func.max(_SETTINGS.c.version).label("version"))
        newest_rows = newest.where(_SETTINGS.c.namespace == namespace).group_by(_SETTINGS.c.key).subquery()
        query = select(_SETTINGS.c.key, _SETTINGS.c.value).join(
            newest_rows, (_SETTINGS.c.key == newest_rows.c.key) & (_SETTINGS.c.version == newest_rows.c.version)
        )
        with self._file.read() as connection:
            rows = connection.execute(query.where(_SETTINGS.c.namespace == namespace)).all()
        return {row.key: value for row in rows if (value := json.loads(row.value)) is not None}

    def history(self, namespace: str, key: str) -> tuple[SettingRow, ...]:
        """Every version, newest first."""
        with self._file.read() as connection:
            rows = connection.execute(_versions(namespace, key)).all()
        return tuple(SettingRow(*row) for row in rows)

    def rollback(self, namespace: str, key: str, version: int, actor: str) -> int:
        """Put the value of an earlier version in force again, as a new version.

        Raises
        ------
        BadInput
            There is no such version.
        CannotRecord
            It could not be stored; the present value stays in force.
        """
        with self._file.write() as connection:
            row = connection.execute(_versions(namespace, key).where(_SETTINGS.c.version == version)).one_or_none()
            if row is None:
                raise BadInput(f"setting {namespace}.{key} has no version {version}")
            note = f"back to version {version}"
            return _append(connection, (namespace, key, row.value), (actor, note, self._clock.now()))

    def _newest(self, namespace: str, key: str) -> Row[Any] | None:
        with self._file.read() as connection:
            return connection.execute(_versions(namespace, key).limit(1)).one_or_none()


def _versions(namespace: str, key: str) -> Select[Any]:
    chosen = select(_SETTINGS).where(_SETTINGS.c.namespace == namespace, _SETTINGS.c.key == key)
    return chosen.order_by(_SETTINGS.c.version.desc())


def _append(connection: Connection, entry: tuple[str, str, str], change: tuple[str, str, datetime]) -> int:
    (namespace, key, text), (actor, note, at) = entry, change
    newest = select(func.coalesce(func.max(_SETTINGS.c.version), 0))
    query = newest.where(_SETTINGS.c.namespace == namespace, _SETTINGS.c.key == key)
    version = int(connection.execute(query).scalar_one()) + 1
    row = {"namespace": namespace, "key": key, "version": version, "value": text}
    connection.execute(insert(_SETTINGS).values(**row, actor=actor, note=note, at=at))
    return version
