"""The wrapped data keys: one line per purpose and version, in a file that is worth nothing without the key store."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from engine.security.files import one_process_at_a_time, write_private
from engine.security.keystore import KeyUnsafe, Wrapped

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class DataKey:
    """A wrapped data key. ``uses`` is how many nonces were set aside for it, never fewer than were used."""

    purpose: str
    version: int
    wrapped: Wrapped
    uses: int

    @property
    def context(self) -> bytes:
        """What the wrapping is bound to."""
        return f"quarterdeck data key\x00{self.purpose}\x00{self.version}".encode()


class Keyring:
    """The file; every change is written whole before it counts, inside `changing`.

    Parameters
    ----------
    path : Path
        JSON, mode 0600. It belongs into backups: without it nothing sealed can be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: dict[tuple[str, int], DataKey] = {}
        self.reload()

    def reload(self) -> None:
        """Read what another process may have added; raises `KeyUnsafe`."""
        self._keys = {(key.purpose, key.version): key for key in _read(self._path)}

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep other processes out, and see what they wrote before."""
        with one_process_at_a_time(self._path):
            self.reload()
            yield

    def newest(self, purpose: str) -> DataKey | None:
        """The key that seals for a purpose now."""
        versions = [key for key in self._keys.values() if key.purpose == purpose]
        return max(versions, key=lambda key: key.version, default=None)

    def find(self, purpose: str, version: int) -> DataKey | None:
        """The key of that version."""
        return self._keys.get((purpose, version))

    def all(self) -> tuple[DataKey, ...]:
        """Every key, by purpose and version."""
        return tuple(self._keys[place] for place in sorted(self._keys))

    def put(self, *keys: DataKey) -> None:
        """Add or replace keys in one write; raises `CannotRecord` and changes nothing."""
        changed = {**self._keys, **{(key.purpose, key.version): key for key in keys}}
        rows = [_row(changed[place]) for place in sorted(changed)]
        write_private(self._path, json.dumps({"format": _FORMAT, "keys": rows}, indent=1).encode())
        self._keys = changed

    def set_aside(self, key: DataKey, nonces: int) -> DataKey:
        """Note durably that so many more nonces of a key may be used."""
        counted = replace(key, uses=key.uses + nonces)
        self.put(counted)
        return counted


def _row(key: DataKey) -> dict[str, str | int]:
    return {
        "purpose": key.purpose,
        "version": key.version,
        "wrapped_by": key.wrapped.key_version,
        "wrapped": base64.b64encode(key.wrapped.blob).decode(),
        "uses": key.uses,
    }


def _read(path: Path) -> list[DataKey]:
    if not path.exists():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise KeyUnsafe(f"{path} has format {content['format']!r}; this version reads format {_FORMAT}")
        return [
            DataKey(
                str(row["purpose"]),
                int(row["version"]),
                Wrapped(int(row["wrapped_by"]), base64.b64decode(row["wrapped"], validate=True)),
                int(row["uses"]),
            )
            for row in content["keys"]
        ]
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise KeyUnsafe(f"{path} is damaged; put back a copy of it from a backup") from error
