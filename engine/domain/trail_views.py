"""Rows of what happened, for a reader: journal, audit trail, hash chains, log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class JournalRow:
    """A row of the hash-chained journal."""

    sequence: int
    book: str
    market_time: datetime
    wall_time: datetime
    kind: str
    summary: str
    payload: str


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who did what, from where, when and why (wall time).

    ``outcome`` is what the engine made of a command: done, refused and why, or waiting; empty for anything else.
    """

    sequence: int
    at: datetime
    actor: str
    source: str
    action: str
    target: str
    detail: str
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class ChainView:
    """Verdict over a hash chain."""

    name: str
    rows: int
    holds: bool
    broken_at: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class LogRow:
    """A line of the structured log."""

    at: datetime
    level: str
    event: str
    detail: str
