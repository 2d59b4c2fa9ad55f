"""Seals secrets for the database: AES-256-GCM under a data key per purpose, bound to the place they belong to."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from engine.domain.errors import BadInput
from engine.security.keyring import DataKey, Keyring
from engine.security.keystore import NONCE_BYTES, KeyStore, KeyUnavailable, SecretUnreadable, Wrapped
from engine.security.secret import Secret

MAGIC = b"QDV"
FORMAT = 1
AES_256_GCM = 1
MOST_USES = 2**30
"""Seals per data key before a new one takes over; NIST SP 800-38D allows 2^32 random nonces."""
_BLOCK = 1_024
_CHECK = "key check"


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did: data keys wrapped anew, and how many are left on an old key (0 once it is complete)."""

    key_version: int
    rewrapped: int
    left_on_old: int


class Vault:
    """Seals and opens; thread-safe. Opening needs no disk, so an unreachable key store stops no running engine.

    A blob is ``QDV``, format, algorithm, length and name of the key store, version of the data key (4 bytes), nonce
    (12 bytes), ciphertext with tag. Everything before the nonce, and purpose, row and field, are associated data: a
    blob moved to another place, or with any bit changed, does not open. Put the row's own version into ``row`` where
    an older blob of the same row must not open either.

    Parameters
    ----------
    keys : KeyStore
        Wraps the data keys.
    ring : Path
        File of the wrapped data keys; created on first use.

    Raises
    ------
    SecretUnreadable, KeyUnavailable
        The key store holds another key than the one that wrapped this ring. Nothing is written.
    """

    def __init__(self, keys: KeyStore, ring: Path) -> None:
        self._store = keys
        self._ring = Keyring(ring)
        self._lock = threading.Lock()
        self._open_keys: dict[tuple[str, int], bytes] = {}
        self._left: dict[tuple[str, int], int] = {}
        with self._ring.changing():
            for key in self._ring.all():
                self._unwrapped(key)
            if self._ring.newest(_CHECK) is None:
                self._new_key(_CHECK)
            self._finish_rotation()

    def seal(self, purpose: str, row: str, field: str, plaintext: Secret | bytes) -> bytes:
        """Encrypt a value for one place.

        Parameters
        ----------
        purpose : str
            What the value is for, e.g. ``exchange-keys``; has a data key of its own.
        row, field : str
            Where it will be stored.
        plaintext : Secret or bytes

        Returns
        -------
        bytes
            The blob to store.

        Raises
        ------
        CannotRecord
            A new data key or its count could not be written.
        """
        key = self._key_for_sealing(purpose)
        header = _header(self._store.name, key.version)
        nonce = os.urandom(NONCE_BYTES)
        value = plaintext.reveal() if isinstance(plaintext, Secret) else plaintext
        cipher = AESGCM(self._unwrapped(key))
        return header + nonce + cipher.encrypt(nonce, value, _bound(header, purpose, row, field))

    def open(self, purpose: str, row: str, field: str, blob: bytes) -> Secret:
        """Decrypt a value of that place.

        Raises
        ------
        SecretUnreadable
            Changed, moved, cut, or of an unknown format: enter the value again.
        KeyUnavailable
            Its data key is not in the ring.
        """
        version, start = self._parsed(blob)
        key = self._ring.find(purpose, version)
        if key is None:
            self._ring.reload()
            key = self._ring.find(purpose, version)
        if key is None:
            raise KeyUnavailable(f"data key {version} for {purpose!r} is missing; restore the key ring from a backup")
        header, nonce, sealed = blob[:start], blob[start : start + NONCE_BYTES], blob[start + NONCE_BYTES :]
        try:
            return Secret(AESGCM(self._unwrapped(key)).decrypt(nonce, sealed, _bound(header, purpose, row, field)))
        except (InvalidTag, ValueError) as error:
            raise SecretUnreadable(
                f"the sealed {field} of {purpose} {row} was changed or moved and cannot be opened; enter it again"
            ) from error

    def rotate(self) -> Rotation:
        """Wrap every data key under a new key of the store and forget the old one.

        Resumes after a crash: while both keys exist either opens, and the next start finishes. Sealed rows stay as
        they are. Raises `CannotRecord`.
        """
        with self._lock, self._ring.changing():
            self._store.begin_rotation()
            return self._finish_rotation()

    def renew(self, purpose: str) -> int:
        """Seal with a new data key from now on; its version. Older blobs still open; seal them again to move them."""
        with self._lock, self._ring.changing():
            return self._new_key(purpose).version

    def _finish_rotation(self) -> Rotation:
        newest = self._store.version
        old = [key for key in self._ring.all() if key.wrapped.key_version != newest]
        fresh = [replace(key, wrapped=self._store.wrap(self._unwrapped(key), key.context)) for key in old]
        if fresh:
            self._ring.put(*fresh)
        left = sum(key.wrapped.key_version != newest for key in self._ring.all())
        if not left:
            self._store.finish_rotation()
        return Rotation(newest, len(fresh), left)

    def _key_for_sealing(self, purpose: str) -> DataKey:
        with self._lock:
            key = self._ring.newest(purpose)
            if key is None or not self._left.get((purpose, key.version)):
                key = self._with_nonces(purpose)
            self._left[purpose, key.version] -= 1
            return key

    def _with_nonces(self, purpose: str) -> DataKey:
        with self._ring.changing():
            key = self._ring.newest(purpose)
            if key is None or key.uses >= MOST_USES:
                key = self._new_key(purpose)
            self._left[purpose, key.version] = _BLOCK
            return self._ring.set_aside(key, _BLOCK)

    def _new_key(self, purpose: str) -> DataKey:
        if not purpose or "\x00" in purpose:
            raise BadInput(f"{purpose!r} cannot be the purpose of a key; use a plain word")
        last = self._ring.newest(purpose)
        version = last.version + 1 if last else 1
        data_key = AESGCM.generate_key(256)
        bare = DataKey(purpose, version, Wrapped(0, b""), 0)
        key = replace(bare, wrapped=self._store.wrap(data_key, bare.context))
        self._ring.put(key)
        return key

    def _unwrapped(self, key: DataKey) -> bytes:
        place = (key.purpose, key.version)
        if place not in self._open_keys:
            self._open_keys[place] = self._store.unwrap(key.wrapped, key.context)
        return self._open_keys[place]

    def _parsed(self, blob: bytes) -> tuple[int, int]:
        """Version of the data key and where the nonce begins; raises `SecretUnreadable`."""
        name_end = 6 + (blob[5] if len(blob) > 5 else 0)
        start = name_end + 4
        if blob[:3] != MAGIC or len(blob) < start + NONCE_BYTES + 16:
            raise SecretUnreadable("this is not a sealed value; enter it again")
        if blob[3] != FORMAT or blob[4] != AES_256_GCM or blob[6:name_end] != self._store.name.encode():
            raise SecretUnreadable(
                f"sealed with format {blob[3]}, algorithm {blob[4]}, key store {blob[6:name_end]!r}; "
                f"this vault opens format {FORMAT}, algorithm {AES_256_GCM}, key store {self._store.name!r} only"
            )
        return int.from_bytes(blob[name_end:start], "big"), start


def _header(store: str, key_version: int) -> bytes:
    name = store.encode()
    return MAGIC + bytes((FORMAT, AES_256_GCM, len(name))) + name + key_version.to_bytes(4, "big")


def _bound(header: bytes, purpose: str, row: str, field: str) -> bytes:
    """Associated data; each part with its length, so that no two places read the same."""
    parts = (purpose.encode(), row.encode(), field.encode())
    return header + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
