"""Which columns of a market-data file are read."""

from __future__ import annotations

from collections.abc import Sequence

from engine.domain.errors import CandleError

TIMESTAMP = "timestamp"
_MOST_COLUMNS = 200


def choose_columns(name: str, columns: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The file's own spelling of each column wanted; case and spaces around a name do not matter.

    Raises
    ------
    CandleError
        The file has absurdly many columns, lacks one that is wanted or has it twice; the message names it.
    """
    if len(columns) > _MOST_COLUMNS:
        raise CandleError(f"{name} has {len(columns)} columns; candles have six")
    plain = [column.strip().lower() for column in columns]
    missing = [column for column in wanted if column not in plain]
    if missing:
        found = ", ".join(column[:30] for column in columns[:12]) or "none"
        raise CandleError(f"{name} has no column {', '.join(missing)}; its columns are {found}")
    double = [column for column in wanted if plain.count(column) > 1]
    if double:
        raise CandleError(f"{name} has more than one column {', '.join(double)}")
    return [columns[plain.index(column)] for column in wanted]


def too_large(name: str, size_bytes: int, limit_bytes: int) -> CandleError:
    """The error for a file that unpacks to more than is accepted."""
    return CandleError(
        f"{name} unpacks to {size_bytes / 2**20:,.0f} MiB, over the limit of {limit_bytes / 2**20:,.0f} MiB; split it "
        "by year"
    )
