"""``reconcile``: the running engine compares its books with the exchanges; every difference and its explanation."""

from __future__ import annotations

import argparse
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from engine.domain.commands import Reconcile, SetRowAside
from engine.domain.errors import BadInput, CommandRefused, NotRunning
from engine.domain.unread import Moved
from engine.runtime.cli.asking import Deadline, carried_out, new_command
from engine.runtime.cli.folder import data_folder
from engine.runtime.cli.output import complain, say, say_json, say_table, tell
from engine.runtime.cli.status import published
from engine.runtime.clock import SystemClock
from engine.runtime.reconciled import read_answer
from engine.storage.lock import holder
from engine.trading.reconciling import Kind

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
    if options.set_aside is None and (options.reason is not None or options.moved is not None):
        raise BadInput("--reason and --moved are for --set-aside ROW; name the row, too")
    if options.set_aside is not None:
        _set_aside(options, folder, deadline)
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


def _set_aside(options: argparse.Namespace, folder: Path, deadline: Deadline) -> None:
    """Name the row in words, then set it aside; without a reason only say what would follow."""
    moved = tuple(map(_moved, options.moved or ()))
    book, words = _unreadable_row(options.set_aside, _books(options.book, folder), folder, deadline)
    tell(f"{book}, row {options.set_aside}: {words}")
    tell(
        "Set aside, it is not booked but stays listed, and is asked for every few minutes: booked once it can be read."
    )
    counted = ", ".join(each.words for each in moved)
    if counted:
        tell(f"Until then this counts as your own: {counted}")
    else:
        tell("Coins or a position that it moved are a difference, which halts the book: say what it did with --moved.")
    if not (options.reason or "").strip():
        raise BadInput("nothing was changed; look the row up at the exchange, then say why with --reason TEXT")
    command = new_command("set-aside", options.reason, SetRowAside(book, options.set_aside, moved))
    tell(carried_out(folder, command, deadline.left_s))


def _unreadable_row(name: str, books: list[str], folder: Path, deadline: Deadline) -> tuple[str, str]:
    """Book and words of the one row called so; raises `CommandRefused` where there is not just one."""
    found: list[tuple[str, str]] = []
    there: list[str] = []
    for book in books:
        _, answer = _ask(folder, book, deadline)
        for row in answer["rows"]:
            if row["kind"] == Kind.EXECUTION.value:
                there.append(row["what"])
                if name in (row["what"], row["what"].rpartition("/")[2]):
                    found.append((book, f"{row['venue']} {row['explanation']}"))
    if len(found) != 1:
        what = f"{name} may be any of several" if found else f"no row called {name} cannot be read"
        raise CommandRefused(f"{what}; those that cannot be read now are {', '.join(there) or 'none'}")
    return found[0]


def _moved(text: str) -> Moved:
    """``COIN=AMOUNT`` or ``SYMBOL=AMOUNT@PRICE``; raises `BadInput`.

    >>> _moved("BTC/USDT:USDT=-0.1@50000").words
    'BTC/USDT:USDT=-0.1@50000'
    """
    what, _, numbers = text.partition("=")
    amount, _, price = numbers.partition("@")
    try:
        found = Moved(what.strip(), Decimal(amount), Decimal(price) if price else None)
        if found.amount.is_finite() and (found.price is None or found.price.is_finite()):
            return found
        raise BadInput(f"--moved {text!r} is no amount")
    except InvalidOperation as error:
        raise BadInput(f"--moved {text!r}: write COIN=AMOUNT, or SYMBOL=AMOUNT@PRICE for a perpetual") from error


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
