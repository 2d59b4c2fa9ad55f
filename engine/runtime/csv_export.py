"""CSV for spreadsheets: numbers stay numbers, and no text cell is ever read as a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum

from engine.domain.codec import plain

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def cell(value: object) -> str:
    """One cell: Decimals without exponent, times ISO UTC, text that begins like a formula with a quote before it.

    >>> cell(Decimal("-1.50")), cell("=1+1"), cell(None)
    ('-1.5', "'=1+1", '')
    """
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bool | int | float):
        return str(value)
    text = str(value.value) if isinstance(value, Enum) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A CSV file, UTF-8 with a byte order mark so that spreadsheets read it as such."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([cell(value) for value in row])
    return out.getvalue().encode("utf-8-sig")
