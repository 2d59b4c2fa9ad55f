"""Keyed hash chains: every row vouches for all rows before it, and a signed head vouches for their number."""

from __future__ import annotations

import hmac
import json
import os
import secrets
import sqlite3
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.domain.errors import CannotRecord, StorageError

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What a check of a chain found.

    Attributes
    ----------
    rows : int
        Rows that were read.
    ok : bool
        Every row vouches for its predecessor, and none is missing at the end.
    broken_at : int or None
        Sequence of the first row that does not hold, or that is missing.
    detail : str
        The finding in words.
    """

    rows: int
    ok: bool
    broken_at: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class Head:
    """How long a chain was at some moment, and the code of its last row."""

    count: int
    mac: bytes


@dataclass(frozen=True, slots=True)
class Chain:
    """The rules of one chain: its table, the text columns each code covers, and where its signed head lies."""

    table: str
    columns: tuple[str, ...]
    head_name: str

    def genesis(self, key: bytes) -> bytes:
        """What the first row follows; differs by table, so that rows cannot move between chains."""
        return hmac.digest(key, f"genesis:{self.table}".encode(), "sha256")

    def head_path(self, database: Path) -> Path:
        """The signed head lies beside the database file."""
        return database.parent / self.head_name


JOURNAL = Chain("journal", ("book", "market_time", "wall_time", "kind", "payload"), "journal.head")
AUDIT = Chain("audit", ("at", "actor", "source", "action", "target", "detail"), "audit.head")


def link(key: bytes, previous: bytes, sequence: int, texts: tuple[str, ...]) -> bytes:
    """Code of a row: HMAC-SHA256 over the code before it, its sequence and its texts.

    The lengths of the texts stand in front of them, so that no text can flow into its neighbour unnoticed.
    """
    row = f"{sequence}:{','.join([str(len(text)) for text in texts])}|{''.join(texts)}"
    return hmac.digest(key, previous + row.encode(), "sha256")


def export_head(path: Path, key: bytes, head: Head, durable: bool) -> None:
    """Write the signed head beside the database, replacing the older one in one step.

    Parameters
    ----------
    durable : bool
        Wait until the disk has it. An older head after a power cut is no harm: it only vouches for less.

    Raises
    ------
    CannotRecord
        The file cannot be written.
    """
    body = {"count": head.count, "mac": head.mac.hex()}
    text = json.dumps({**body, "signature": _sign(key, path.name, head)}, sort_keys=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with partial.open("w") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise CannotRecord(
            f"{path.name} could not be written: {error.strerror}; check disk space and rights"
        ) from error


def read_head(path: Path, key: bytes) -> Head | None:
    """The signed head; None if there is none. Raises `StorageError` if it is damaged or signed with another key."""
    try:
        data = json.loads(path.read_text())
        head = Head(int(data["count"]), bytes.fromhex(data["mac"]))
        signature = str(data["signature"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path.name} cannot be read: {error}") from error
    if not hmac.compare_digest(signature.encode(), _sign(key, path.name, head).encode()):
        raise StorageError(f"{path.name} is not signed with this key: the file or the key was exchanged")
    return head


def _sign(key: bytes, name: str, head: Head) -> str:
    return hmac.digest(key, f"head:{name}:{head.count}:{head.mac.hex()}".encode(), "sha256").hex()


def head_fits(chain: Chain, key: bytes, head: Head, stored: bytes | None) -> bool:
    """Whether the row a head vouches for is the stored one; ``stored`` is the code at ``head.count``, None if gone."""
    expected = chain.genesis(key) if head.count == 0 else stored
    return expected is not None and hmac.compare_digest(head.mac, expected)


def verify_chain(
    connection: sqlite3.Connection, chain: Chain, key: bytes, head_path: Path, start: Head | None = None
) -> ChainReport:
    """Check the rows of a chain, streaming, and its end against the signed head.

    Changed, removed, reordered and inserted rows break the codes; rows cut off at the end show because the head
    vouches for them (except rows written since the head was last exported).

    Parameters
    ----------
    start : Head or None
        A row known to be good, whose successors are checked; None checks from the first row.
    """
    try:
        head = read_head(head_path, key)
    except StorageError as error:
        return ChainReport(0, False, None, str(error))
    first = start or Head(0, chain.genesis(key))
    columns = ", ".join(("sequence", *chain.columns, "mac"))
    query = f"SELECT {columns} FROM {chain.table} {'WHERE sequence > ?' if start else ''} ORDER BY sequence"  # noqa: S608
    return _check_rows(connection.execute(query, (first.count,) if start else ()), chain, key, (first, head))


def _check_rows(
    rows: Iterable[tuple[object, ...]], chain: Chain, key: bytes, ends: tuple[Head, Head | None]
) -> ChainReport:
    first, head = ends
    count, previous = first.count, first.mac
    for sequence, *texts, mac in rows:
        if sequence != count + 1:
            return ChainReport(count, False, count + 1, f"row {count + 1} is missing")
        if not _holds(key, previous, count + 1, texts, mac):
            return ChainReport(count, False, count + 1, f"row {count + 1} was changed, moved or inserted")
        previous = bytes(mac)  # type: ignore[call-overload]
        count += 1
        if head is not None and count == head.count and not hmac.compare_digest(previous, head.mac):
            return ChainReport(count, False, count, f"row {count} is not the one {chain.head_name} vouches for")
    return _check_end(count, chain, head)


def _holds(key: bytes, previous: bytes, sequence: int, texts: list[object], mac: object) -> bool:
    words = tuple(text for text in texts if isinstance(text, str))
    if len(words) != len(texts) or not isinstance(mac, bytes):
        return False
    return hmac.compare_digest(link(key, previous, sequence, words), mac)


def _check_end(count: int, chain: Chain, head: Head | None) -> ChainReport:
    if head is None and count:
        return ChainReport(count, False, None, f"{chain.head_name} is missing: rows cut off at the end would not show")
    if head is not None and head.count > count:
        missing = f"rows {count + 1} to {head.count} were cut off"
        return ChainReport(count, False, count + 1, f"{missing}: {chain.head_name} vouches for them")
    return ChainReport(count, True, None, f"{count} rows, every code holds")


def load_or_create_key(path: Path) -> bytes:
    """The key of the chains, 32 random bytes; made once, in a folder only its owner can enter.

    Parameters
    ----------
    path : Path
        ``<data>/keys/journal.key``; must be mode 0600 in a folder of mode 0700.

    Raises
    ------
    StorageError
        Others can read the file or enter its folder, or it does not hold 32 bytes.
    CannotRecord
        It does not exist and cannot be created.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _create_key(path)
        _require_private(path.parent, 0o700)
        _require_private(path, 0o600)
        key = path.read_bytes()
    except OSError as error:
        raise CannotRecord(f"key file {path} cannot be made or read: {error.strerror}; check its folder") from error
    if len(key) != KEY_BYTES:
        raise StorageError(f"key file {path} holds {len(key)} bytes instead of {KEY_BYTES}; restore it from a backup")
    return key


def _create_key(path: Path) -> None:
    partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was faster: its key counts
            os.link(partial, path)
    finally:
        partial.unlink()


def _require_private(path: Path, mode: int) -> None:
    if sys.platform == "win32":  # its access lists are not shown by mode bits
        return
    found = stat.S_IMODE(path.lstat().st_mode)
    if path.is_symlink() or found & ~mode:
        raise StorageError(
            f"{path} has mode {found:04o} and can be reached by others; make it private: chmod {mode:o} {path}"
        )


def storable(text: str) -> str:
    """The text with what is not a character (lone surrogates from broken JSON) replaced, so that it can be stored."""
    return text.encode("utf-8", "replace").decode()
