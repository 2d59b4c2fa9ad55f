"""Which code made a result: a hash of the engine's own sources, true also where they were changed and not committed."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

_ENGINE = Path(__file__).resolve().parents[1]
_DIGITS = 16


@cache
def code_revision() -> str:
    """First 16 hex digits of the SHA-256 over names and texts of all of the engine's Python files, sorted by name."""
    digest = hashlib.sha256()
    for path in sorted(_ENGINE.rglob("*.py")):
        text = path.read_bytes().replace(b"\r\n", b"\n")
        name = path.relative_to(_ENGINE).as_posix().encode()
        digest.update(b"%d %s %d\n" % (len(name), name, len(text)))
        digest.update(text)
    return digest.hexdigest()[:_DIGITS]
