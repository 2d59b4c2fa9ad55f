"""Where the key-encryption key lives: a protocol, and the first keeper, a key file that only its owner can read."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from engine.domain.errors import QuarterdeckError
from engine.security.files import write_private

KEY_BYTES = 32
NONCE_BYTES = 12
_FIRST_LINE = "quarterdeck key file 1"


class VaultError(QuarterdeckError):
    """A secret or a key cannot be used; never answered by falling back to plain text."""


class KeyUnsafe(VaultError):
    """The key file can be read by others or is no key; the message holds the command that repairs it."""


class KeyUnavailable(VaultError):
    """The key that is needed is not there (any more)."""


class SecretUnreadable(VaultError):
    """The sealed value was changed, moved, or sealed under another key; nothing of it is given out."""


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A data key as the keeper returns it, with the version of the key that wrapped it."""

    key_version: int
    blob: bytes


class KeyStore(Protocol):
    """Keeps the key-encryption key and never gives it out."""

    @property
    def name(self) -> str:
        """Name in `engine.security.KEY_STORES`."""

    @property
    def version(self) -> int:
        """Version of the key that wraps now."""

    def wrap(self, data_key: bytes, context: bytes) -> Wrapped:
        """Encrypt a data key, bound to ``context``."""

    def unwrap(self, wrapped: Wrapped, context: bytes) -> bytes:
        """The data key; raises `SecretUnreadable`, `KeyUnavailable`."""

    def begin_rotation(self) -> None:
        """Make a new version that wraps from now on; older ones still unwrap."""

    def finish_rotation(self) -> None:
        """Forget every version but the newest."""


class FileKeyStore:
    """A key file of mode 0600 in a folder of mode 0700, made on first use.

    Parameters
    ----------
    folder : Path
        Folder of its own; never inside a backup together with the database.

    Raises
    ------
    KeyUnsafe
        Others can read the file or its folder, it is a link, or its content is no key. The message names the chmod.
    """

    name = "file"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "vault.key"
        if not self._path.exists() and not self._path.is_symlink():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_private(folder, 0o700)
            _write_keys(self._path, {1: os.urandom(KEY_BYTES)})
        check_private(folder, 0o700)
        check_private(self._path, 0o600)
        self._keys = _read_keys(self._path)

    @property
    def version(self) -> int:
        """Version of the key that wraps now."""
        return max(self._keys)

    def wrap(self, data_key: bytes, context: bytes) -> Wrapped:
        """Encrypt a data key with AES-256-GCM under a fresh nonce, bound to ``context``."""
        self._keys = _read_keys(self._path)
        nonce = os.urandom(NONCE_BYTES)
        return Wrapped(self.version, nonce + AESGCM(self._keys[self.version]).encrypt(nonce, data_key, context))

    def unwrap(self, wrapped: Wrapped, context: bytes) -> bytes:
        """The data key; raises `SecretUnreadable`, `KeyUnavailable`."""
        if wrapped.key_version not in self._keys:
            self._keys = _read_keys(self._path)
        key = self._keys.get(wrapped.key_version)
        if key is None:
            have = ", ".join(map(str, sorted(self._keys)))
            raise KeyUnavailable(
                f"key version {wrapped.key_version} is not in {self._path} (it holds {have}); "
                "put the key file back that belongs to this data folder"
            )
        try:
            return AESGCM(key).decrypt(wrapped.blob[:NONCE_BYTES], wrapped.blob[NONCE_BYTES:], context)
        except (InvalidTag, ValueError) as error:
            raise SecretUnreadable(
                f"{self._path} does not open the keys of this data folder; put the key file back that belongs to it"
            ) from error

    def begin_rotation(self) -> None:
        """Add a new version; the file then holds both until `finish_rotation`."""
        self._keys = _read_keys(self._path)
        keys = {**self._keys, self.version + 1: os.urandom(KEY_BYTES)}
        _write_keys(self._path, keys)
        self._keys = keys

    def finish_rotation(self) -> None:
        """Forget every version but the newest."""
        keys = {self.version: self._keys[self.version]}
        if keys != self._keys:
            _write_keys(self._path, keys)
            self._keys = keys


def check_private(path: Path, mode: int) -> None:
    """Refuse a file or folder that others can reach.

    Raises
    ------
    KeyUnsafe
        Wrong mode, wrong owner or a link; with the command that repairs it.
    """
    facts = path.lstat()
    if stat.S_ISLNK(facts.st_mode):
        raise KeyUnsafe(f"{path} is a link; keep the key itself there")
    if os.name == "nt":
        return
    if facts.st_uid != os.geteuid():
        raise KeyUnsafe(f"{path} belongs to another user; run: chown {os.geteuid()} '{path}'")
    found = stat.S_IMODE(facts.st_mode)
    if found & ~mode:
        raise KeyUnsafe(f"{path} has mode {found:04o}, others can reach it; run: chmod {mode:o} '{path}'")


def check_key(key: bytes) -> bytes:
    """The key, if it can be one: 32 bytes that were drawn at random; raises `KeyUnsafe`."""
    if len(key) != KEY_BYTES:
        raise KeyUnsafe(f"a key of {len(key)} bytes cannot be used; it must have {KEY_BYTES}")
    # 32 random bytes hold fewer than 16 different values once in more than 10^20 draws.
    if len(set(key)) < 16 or all(32 <= byte < 127 for byte in key):
        raise KeyUnsafe("the key is not random; delete the file to have a new one made, if nothing was sealed yet")
    return key


def _read_keys(path: Path) -> dict[int, bytes]:
    lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    if not lines or lines[0] != _FIRST_LINE or len(lines) < 2:
        raise KeyUnsafe(f"{path} is not a key file; put back the one that belongs to this data folder")
    try:
        pairs = [line.split(" ") for line in lines[1:]]
        return {int(version): check_key(base64.b64decode(key, validate=True)) for version, key in pairs}
    except (ValueError, binascii.Error) as error:
        raise KeyUnsafe(f"{path} is damaged; put back a copy of it") from error


def _write_keys(path: Path, keys: dict[int, bytes]) -> None:
    lines = [_FIRST_LINE, *(f"{version} {base64.b64encode(key).decode()}" for version, key in sorted(keys.items()))]
    write_private(path, ("\n".join(lines) + "\n").encode())
