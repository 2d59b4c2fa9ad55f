"""A result names the code that made it."""

from __future__ import annotations

import re

from engine.runtime.code_revision import code_revision


def test_revision_when_asked_then_hex_and_the_same_again() -> None:
    first = code_revision()
    code_revision.cache_clear()
    assert re.fullmatch(r"[0-9a-f]{16}", first)
    assert code_revision() == first
