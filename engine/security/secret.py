"""A value that cannot be shown by accident: not by repr, str, format, pickle or a traceback's locals."""

from __future__ import annotations

import hmac
from typing import NoReturn

_MASK = "Secret(***)"


class Secret:
    """Bytes that only `reveal` and `text` give away.

    Examples
    --------
    >>> key = Secret(b"abc")
    >>> f"{key} {key!r} {key:>20}".count("abc")
    0
    >>> key.text()
    'abc'
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes | str) -> None:
        self._value = value.encode() if isinstance(value, str) else bytes(value)

    def reveal(self) -> bytes:
        """The value; call it where it is used, keep no copy."""
        return self._value

    def text(self) -> str:
        """The value as UTF-8 text."""
        return self._value.decode()

    def __repr__(self) -> str:
        return _MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return _MASK

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        raise TypeError("a secret is not a key of a dict or a member of a set")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled or copied; pass it on by reference")
