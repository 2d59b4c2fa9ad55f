"""The rows of one venue's lists that a person has set aside, for its gateway and its watch alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from engine.domain.unread import UnreadRow


class Aside:
    """Written by the book's thread, read by any: what is there is replaced whole."""

    def __init__(self) -> None:
        self._rows: Mapping[tuple[str, str], UnreadRow] = {}

    def leave(self, rows: Collection[UnreadRow]) -> None:
        """These, and no others."""
        self._rows = {row.where: row for row in rows}

    def holds(self, listed: str, number: str) -> bool:
        """Whether nothing waits for a row."""
        return (listed, number) in self._rows

    @property
    def rows(self) -> tuple[UnreadRow, ...]:
        """All of them, those first that were left first."""
        return tuple(self._rows.values())
