"""A book compared with its exchanges because a person asked: a sentence for the trail, and every row behind it."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import Enum
from typing import Any

from engine.domain.errors import EngineError
from engine.runtime.starting import RunningBook
from engine.trading.reconciling import Reconciliation, reconcile


def answer_of(running: RunningBook) -> str:
    """Compare a running book now; what the receipt says: a sentence, then the rows as JSON on a line of their own."""
    found, book = reconcile(running.loop), running.loop.book
    why = [*found.unexplained, *(f"{name} could not be asked: {reason}" for name, reason in found.silent)]
    book.licence.obstacles.pop("reconciliation", None)
    if why and book.config.needs_arming:
        book.licence.obstacles["reconciliation"] = f"books and exchange were not found equal: {'; '.join(why)}"
    return f"{sentence(found)}\n{json.dumps(_plain(found), ensure_ascii=False)}"


def sentence(found: Reconciliation) -> str:
    """What was found, for people.

    >>> sentence(Reconciliation("testnet", ()))
    'testnet: books and exchange are equal, nothing differs'
    """
    open_ = sum(not row.equal for row in found.rows)
    explained = len(found.rows) - open_
    if found.silent:
        silent = ", ".join(name for name, _ in found.silent)
        return f"{found.book}: not compared whole, no answer of {silent}; {open_} differences unexplained"
    if open_:
        return f"{found.book}: books and exchange differ, {open_} unexplained, {explained} explained"
    return f"{found.book}: books and exchange are equal, {_counted(explained)}"


def read_answer(detail: str) -> tuple[str, dict[str, Any]]:
    """Sentence and rows of a receipt; raises `EngineError` where it is no answer of `answer_of`."""
    said, _, rows = detail.partition("\n")
    try:
        found: dict[str, Any] = json.loads(rows)
    except ValueError as error:
        raise EngineError(f"the engine's answer cannot be read: {said or 'it is empty'}") from error
    return said, found


def _counted(explained: int) -> str:
    return f"{explained} differences explained" if explained else "nothing differs"


def _plain(found: Reconciliation) -> dict[str, Any]:
    rows = [
        {name: value.value if isinstance(value, Enum) else value for name, value in asdict(row).items()}
        for row in found.rows
    ]
    silent = [{"venue": name, "why": why} for name, why in found.silent]
    return {"book": found.book, "equal": found.equal, "rows": rows, "silent": silent}
