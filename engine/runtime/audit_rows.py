"""Rows of the audit trail that are about commands: each carries the id by which its outcome is found later."""

from __future__ import annotations

import re

from engine.domain.commands import REQUIRED_ROLE, CommandStatus, Receipt
from engine.runtime.titles import with_titles

_KINDS = frozenset(kind.__name__ for kind in REQUIRED_ROLE)
_ID = re.compile(r" \[command (\S+)\]$")
_OUTCOMES = {
    CommandStatus.PENDING: "waiting for the engine",
    CommandStatus.DONE: "done",
    CommandStatus.REFUSED: "refused",
    CommandStatus.UNKNOWN: "not known",
}


def commanded(asked: str, reason: str, command_id: str) -> str:
    """Detail of a command's row: what, why, and the id that its outcome is found by.

    >>> commanded("ACTIVE → HALTED", "a drill", "c-1"), commanded("", "", "c-2")
    ('ACTIVE → HALTED; reason: a drill [command c-1]', 'no reason given [command c-2]')
    """
    words = "; ".join(part for part in (asked, f"reason: {reason}" if reason else "") if part)
    return f"{words or 'no reason given'} [command {command_id}]"


def command_of(action: str, detail: str) -> str | None:
    """The command a row of the trail is about, None for any other row.

    >>> command_of("SetTrading", "ACTIVE → HALTED [command c-1]"), command_of("login", "[command c-1]")
    ('c-1', None)
    """
    found = _ID.search(detail) if action in _KINDS else None
    return found[1] if found else None


def without_id(detail: str) -> str:
    """The detail of a command's row as people read it."""
    return _ID.sub("", detail)


def outcome_words(receipt: Receipt | None) -> str:
    """What the engine made of a command.

    >>> outcome_words(Receipt("c-1", CommandStatus.REFUSED, "demo: nothing is latched")), outcome_words(None)
    ('refused: demo: nothing is latched', 'never stored, so not carried out')
    """
    if receipt is None:
        return "never stored, so not carried out"
    said = receipt.detail.partition("\n")[0]  # what follows is for programs
    return _OUTCOMES[receipt.status] + (f": {with_titles(said)}" if said else "")
