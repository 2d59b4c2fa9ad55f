"""Keeps keys, signatures, signed addresses and tokens out of logs, even where a library puts them into an exception."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import MutableMapping
from typing import Any

from engine.security.secret import Secret

MASK = "[redacted]"
_NAMES = (
    r"(?:x[-_])?(?:[\w.-]*api[-_]?key|api[-_]?sign|apikey|access[-_]?key(?:[-_]?id)?|access[-_]?token|refresh[-_]?token"
    r"|id[-_]?token|auth[-_]?token|token|secret(?:[-_]?key)?|client[-_]?secret|private[-_]?key|passphrase|password"
    r"|passwd|pwd|signature|sign|sig|mnemonic|otp|totp|kc-api-[\w-]+|[\w-]*bapi-sign|cb-access-[\w-]+"
    r"|set-cookie|cookie|authorization|proxy-authorization|webhook[-_]?url)"
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S), MASK),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), MASK),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), rf"\1 {MASK}"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s:@]*:[^/\s@]+@"), rf"\1{MASK}@"),
    (
        re.compile(
            r"(?i)(hooks\.slack\.com/services/|api\.telegram\.org/bot|discord(?:app)?\.com/api/webhooks/)[^\s\"'?]+"
        ),
        rf"\1{MASK}",
    ),
    (re.compile(rf"(?i)([\"']?\b{_NAMES}[\"']?\s*[:=]\s*)(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"), rf"\1'{MASK}'"),
    (re.compile(r"(?i)(\b(?:set-cookie|cookie|authorization)\s*:\s*)[^\r\n]+"), rf"\1{MASK}"),
    (re.compile(rf"(?i)(\b{_NAMES}\s*[:=]\s*)(?!['\"]|\[redacted)[^\s&,;)}}\]]+"), rf"\1{MASK}"),
)
_SECRET_NAME = re.compile(rf"(?i)^{_NAMES}$")


class Redactor:
    """Takes out what looks like a secret, and every value it was told about."""

    def __init__(self) -> None:
        self._known: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def remember(self, secret: Secret) -> None:
        """Never let this value through, however it is written around; values under 8 characters are too common."""
        text = secret.text()
        if len(text) < 8:
            return
        with self._lock:
            self._known = tuple(sorted({*self._known, text}, key=len, reverse=True))

    def clean(self, text: str) -> str:
        """The text without secrets.

        Examples
        --------
        >>> Redactor().clean("GET https://x.example/order?symbol=BTC&signature=ab12cd34&timestamp=1")
        'GET https://x.example/order?symbol=BTC&signature=[redacted]&timestamp=1'
        """
        for value in self._known:
            text = text.replace(value, MASK)
        for pattern, mask in _PATTERNS:
            text = pattern.sub(mask, text)
        return text

    def clean_value(self, name: str, value: object) -> object:
        """A value of a structured event, by its name and its text; numbers and flags pass."""
        if _SECRET_NAME.match(name):
            return MASK
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict):
            return {key: self.clean_value(str(key), inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.clean_value("", inner) for inner in value]
        return self.clean(value if isinstance(value, str) else str(value))

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """As a structlog processor; place it after the one that formats exceptions."""
        for name, value in list(event.items()):
            event[name] = self.clean_value(name, value)
        return event


class RedactionFilter(logging.Filter):
    """Cleans the finished message and the traceback of every record that passes a handler."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor
        self._formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace the record's text; lets every record through."""
        record.msg, record.args = self._redactor.clean(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = self._formatter.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._redactor.clean(record.exc_text)
            record.exc_info = None
        return True
