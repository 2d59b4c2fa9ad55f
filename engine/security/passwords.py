"""Which passwords are good enough, how they are hashed, and how long that takes for anybody.

New hashes are argon2id (64 MiB, 2 passes, 1 lane: 0.13 s on the reference machine, above the OWASP floor of 19 MiB).
It reads the whole password and costs an attacker memory. bcrypt, which `streamlit_authenticator.Hasher` gives, stops
at 72 bytes and bcrypt 5 raises beyond; hashing first would repair that, but bcrypt stays cheap on graphics cards.
The `Hasher` verifies bcrypt rows that come from a streamlit-authenticator credentials file, once: the row is then
replaced. Its `Validator` is not used: it caps passwords at 20 characters and lets a user name end in a line break.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import os
import re
import threading
import unicodedata
from functools import cache
from pathlib import Path

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from engine.domain.errors import BadInput, SettingsError

SHORTEST = 12
LONGEST = 128
MEMORY_KIB = 65_536
PASSES = 2
LEAST_MEMORY_KIB = 19_456
LEAST_PASSES = 2
PRODUCT_WORDS = ("quarterdeck", "streamlit", "trading", "trader", "crypto", "bitcoin", "ethereum", "password", "admin")
_COMMON_FILE = Path(__file__).with_name("common_passwords.txt")
_LEET = str.maketrans("013457@$!", "oieastasi")
_ARGON = re.compile(r"^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$")
_PBKDF2 = re.compile(r"^pbkdf2_sha256\$(\d{1,8})\$([^$]{1,64})\$([0-9a-f]{64})$")
_WALKS = (
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qazwsxedcrfvtgbyhnujmikolp",
    "1qaz2wsx3edc4rfv5tgb",
    "12345678901234567890",
    "abcdefghijklmnopqrstuvwxyz",
)


class WeakPassword(BadInput):
    """The password would not stand; the message says why and what to do."""


def normalise(password: str) -> str:
    """The one form in which a password is judged and hashed: Unicode NFKC.

    The same text typed on another keyboard (composed or decomposed accents, full-width letters) is the same password.
    Nothing is cut off, trimmed or folded.

    Raises
    ------
    WeakPassword
        The text holds NUL or half a surrogate pair, which no keyboard types.
    """
    if "\x00" in password:
        raise WeakPassword("the password holds a NUL character; choose one that can be typed")
    try:
        password.encode()
    except UnicodeEncodeError as error:
        raise WeakPassword("the password is not valid text; choose one that can be typed") from error
    return unicodedata.normalize("NFKC", password)


def check_strength(password: str, context: tuple[str, ...] = ()) -> None:
    """Refuse passwords that are guessed first; there are no rules about digits or signs.

    Parameters
    ----------
    password : str
        As typed.
    context : tuple of str
        Words an attacker knows, such as the user's name; the product's own are always included.

    Raises
    ------
    WeakPassword
        Shorter than 12 or longer than 128 characters, on the list of common passwords, a pattern, or a known word with
        decoration.
    """
    text = normalise(password)
    if not SHORTEST <= len(text) <= LONGEST:
        raise WeakPassword(f"the password has {len(text)} characters; use {SHORTEST} to {LONGEST}")
    folded = text.casefold()
    if _is_pattern(folded):
        raise WeakPassword("the password repeats itself or runs along the keyboard; use a few unrelated words")
    if not _spellings(folded).isdisjoint(common_passwords()):
        raise WeakPassword("the password is one of the most common ones; use a few unrelated words")
    words = (*PRODUCT_WORDS, *(word for word in re.split(r"[^\w]+", " ".join(context).casefold()) if len(word) > 2))
    if any(_decorates(spelling, words) for spelling in (folded, folded.translate(_LEET))):
        raise WeakPassword("the password is a name or product word with something added; use other words")


@cache
def common_passwords() -> frozenset[str]:
    """The list shipped beside this module: one password a line, lower case."""
    return frozenset(_COMMON_FILE.read_text(encoding="utf-8").split())


def _spellings(folded: str) -> set[str]:
    core = folded.strip("0123456789!?.,-_*#@$+ ")
    plain = folded.translate(_LEET)
    spellings = {folded, core, plain, core.translate(_LEET), plain.strip("!?.,-_*#@$+ "), re.sub(r"[\W_]+", "", folded)}
    return spellings - {""}


def _is_pattern(folded: str) -> bool:
    if len(set(folded)) < 5:
        return True
    if any(folded == (folded[:size] * len(folded))[: len(folded)] for size in range(1, len(folded) // 2 + 1)):
        return True
    return _longest_walk(folded) >= len(folded) - 2


def _longest_walk(folded: str) -> int:
    """Characters covered by runs of four or more along a keyboard row, the digits or the alphabet."""
    rows = [row for walk in _WALKS for row in (walk, walk[::-1])]
    covered = position = 0
    while position < len(folded):
        rest = folded[position:]
        length = next((n for n in range(len(rest), 3, -1) if any(rest[:n] in row for row in rows)), 0)
        covered += length
        position += length or 1
    return covered


def _decorates(folded: str, words: tuple[str, ...]) -> bool:
    rest = folded
    for word in sorted(words, key=len, reverse=True):
        rest = rest.replace(word, " ")
    return rest != folded and len(re.sub(r"[\d\W_]+", "", rest)) < 4


class PasswordHasher:
    """Hashes and verifies; at most two at a time, so that a flood of sign-ins cannot fill the memory.

    A name nobody has costs the same: `verify` with None spends its time on a dummy hash and answers False.
    """

    def __init__(self, memory_kib: int = MEMORY_KIB, passes: int = PASSES) -> None:
        if memory_kib < LEAST_MEMORY_KIB or passes < LEAST_PASSES:
            raise SettingsError(
                f"argon2id with {memory_kib} KiB and {passes} passes is too weak; "
                f"use at least {LEAST_MEMORY_KIB} KiB and {LEAST_PASSES} passes"
            )
        self._memory_kib = memory_kib
        self._passes = passes
        self._places = threading.BoundedSemaphore(2)
        self._dummy = ""

    def hash(self, password: str) -> str:
        """Hash in PHC form with the present parameters."""
        with self._places:
            kdf = Argon2id(
                salt=os.urandom(16), length=32, iterations=self._passes, lanes=1, memory_cost=self._memory_kib
            )
            return kdf.derive_phc_encoded(normalise(password).encode())

    def verify(self, password: str, stored: str | None) -> bool:
        """Whether ``password`` is the one behind ``stored``; None stands for an unknown person."""
        try:
            text = normalise(password)
        except WeakPassword:
            text, stored = "refused", None
        if len(text) > LONGEST:
            text, stored = "refused", None
        if stored is None:
            self._matches("not " + text, self._dummy_hash())
            return False
        return self._matches(text, stored)

    def is_outdated(self, stored: str) -> bool:
        """Whether the hash is of an older kind or of weaker parameters than new ones get."""
        match = _ARGON.match(stored)
        return match is None or int(match[1]) < self._memory_kib or int(match[2]) < self._passes

    def _matches(self, text: str, stored: str) -> bool:
        with self._places:
            if _ARGON.match(stored):
                return _argon_matches(text, stored)
            if pbkdf2 := _PBKDF2.match(stored):
                derived = hashlib.pbkdf2_hmac("sha256", text.encode(), pbkdf2[2].encode(), int(pbkdf2[1]))
                return hmac.compare_digest(derived.hex(), pbkdf2[3])
            return _bcrypt_matches(text, stored)

    def _dummy_hash(self) -> str:
        if not self._dummy:
            self._dummy = self.hash(os.urandom(16).hex())
        return self._dummy


def _argon_matches(text: str, stored: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(text.encode(), stored)
    except InvalidKey:
        return False
    return True


def _bcrypt_matches(text: str, stored: str) -> bool:
    if len(text.encode()) > 72:
        return False
    # Loaded only when such a row is met: the package brings the whole console framework with it.
    hasher = importlib.import_module("streamlit_authenticator.utilities.hasher").Hasher
    return bool(hasher.is_hash(stored) and hasher.check_pw(text, stored))
