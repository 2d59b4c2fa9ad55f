"""``reconcile``: the running engine compares its books with the exchanges; every difference and its explanation."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from engine.domain.commands import Reconcile
from engine.domain.errors import BadInput, NotRunning
from engine.runtime.cli.asking import Deadline, carried_out, new_command
from engine.runtime.cli.folder import data_folder
from engine.runtime.cli.output import complain, say, say_json, say_table, tell
from engine.runtime.cli.status import published
from engine.runtime.clock import SystemClock
from engine.runtime.reconciled import read_answer
from engine.storage.lock import holder

LOOK_AGAIN_S = 2.0
"""Between two looks: one odd answer is no difference."""
_HEADINGS = ("book", "venue", "kind", "what", "books", "exchange", "equal", "explanation")


def reconcile(options: argparse.Namespace) -> int:
    """Compare every running book, or one; 1 where something is unexplained or an exchange was silent."""
    folder, deadline = data_folder(), Deadline(options.wait_s)
    if holder(folder) is None:
        raise NotRunning(
            f"no engine runs in {folder}, and only the engine compares its books: start it with "
            "python -m engine run --stage testnet (or live), or make run; every start compares before it trades"
        )
    found = [_compared(folder, book, deadline) for book in _books(options.book, folder)]
    equal = all(each["equal"] for _, each in found)
    if options.json:
        say_json(_answer(found, equal=equal))
    else:
        _say(found)
    for said, each in found:
        if not each["equal"]:
            complain(said)
    return 0 if equal else 1


def _books(wanted: str | None, folder: Path) -> list[str]:
    books = list(published(folder)["books"])
    if wanted is not None and wanted not in books:
        raise BadInput(f"there is no book {wanted!r}; there are {', '.join(books)}")
    return books if wanted is None else [wanted]


def _compared(folder: Path, book: str, deadline: Deadline) -> tuple[str, dict[str, Any]]:
    """The engine's answer about one book; the second one, where the first held something unexplained."""
    said, found = _ask(folder, book, deadline)
    if not found["equal"] and deadline.left_s > LOOK_AGAIN_S:
        tell(f"{said}; looking a second time")
        deadline.pause(LOOK_AGAIN_S)
        said, found = _ask(folder, book, deadline)
    return said, found


def _ask(folder: Path, book: str, deadline: Deadline) -> tuple[str, dict[str, Any]]:
    command = new_command("reconcile", "by command", Reconcile(book))
    return read_answer(carried_out(folder, command, deadline.left_s))


def _answer(found: list[tuple[str, dict[str, Any]]], *, equal: bool) -> dict[str, Any]:
    return {
        "equal": equal,
        "at": SystemClock().now(),
        "rows": [{"book": each["book"], **row} for _, each in found for row in each["rows"]],
        "silent": [{"book": each["book"], **row} for _, each in found for row in each["silent"]],
        "books": {each["book"]: {"equal": each["equal"], "detail": said} for said, each in found},
    }


def _say(found: list[tuple[str, dict[str, Any]]]) -> None:
    rows = [{"book": each["book"], **row} for _, each in found for row in each["rows"]]
    if rows:
        say_table(_HEADINGS, [[_cell(row[name]) for name in _HEADINGS] for row in rows])
    for said, each in found:
        say(said)
        for silent in each["silent"]:
            say(f"  {silent['venue']} gave no answer: {silent['why']}")


def _cell(value: Any) -> Any:
    return ("yes" if value else "no") if isinstance(value, bool) else value
