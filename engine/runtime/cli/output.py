"""What the command line writes: results to stdout, everything said about them to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from engine.domain.codec import plain


def say(text: str) -> None:
    """A line of the result."""
    sys.stdout.write(f"{text}\n")


def tell(text: str) -> None:
    """A line about what is going on."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def complain(text: str) -> None:
    """One line that says what went wrong."""
    tell(f"quarterdeck: {' '.join(text.split())}")


def plain_value(value: object) -> object:
    """As JSON has it: money a decimal string, times ISO UTC, counts integers.

    >>> plain_value({"price": Decimal("1.50"), "fills": 3})
    {'price': '1.5', 'fills': 3}
    """
    match value:
        case Decimal():
            return plain(value)
        case datetime():
            return value.isoformat()
        case Enum():
            return value.value
        case dict():
            return {key: plain_value(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain_value(inner) for inner in value]
        case _:
            return value


def say_json(value: object) -> None:
    """The whole result as one JSON document."""
    say(json.dumps(plain_value(value), indent=2, ensure_ascii=False))


def say_json_rows(rows: Iterable[dict[str, Any]]) -> None:
    """A JSON array, a row a line, written as the rows come."""
    write = sys.stdout.write
    write("[")
    for number, row in enumerate(rows):
        write(f"{',' if number else ''}\n{json.dumps(plain_value(row), ensure_ascii=False)}")
    write("\n]\n")


def say_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns for people; numbers to the right."""
    texts = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(header), *texts]) for i in range(len(header))]
    right = [bool(rows) and all(isinstance(row[i], int | float | Decimal) for row in rows) for i in range(len(header))]
    for line in [list(header), *texts]:
        cells = (t.rjust(w) if r else t.ljust(w) for t, w, r in zip(line, widths, right, strict=True))
        say("  ".join(cells).rstrip())


def _cell(value: object) -> str:
    shown = plain_value(value)
    return "" if shown is None else str(shown)


def say_remarks(series: Iterable[Mapping[str, Any]]) -> None:
    """What is to be known of the candles before a figure of them is believed; a line each, none where all is well."""
    for one in series:
        for remark in one["remarks"]:
            say(f"{one['instrument']}: {remark}")
