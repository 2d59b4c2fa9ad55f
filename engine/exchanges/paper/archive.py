"""Client ids a simulated venue has used and whose orders it no longer holds: recognised in bounded space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.execution.identity import LENGTH

MOST_SERIES = 64
"""Makers of ids whose marks are kept; ids of all others are looked up in the journal."""
_MAKER = 7
"""Characters of one of the engine's ids that name book and installation; epoch and sequence follow, in fixed width."""


class ArchivedIds:
    """For each maker of ids the highest one that was archived, instead of every id.

    An id above its maker's mark was never archived. One at or below it was, or was never used: `may_hold` then says
    yes, and the older parts of the journal decide. Makers that do not count upwards, or that come after so many
    others, have no mark: of those every id may be held.
    """

    def __init__(self) -> None:
        self._marks: dict[str, tuple[int, str]] = {}
        self._has_others = False

    def add(self, client_id: str) -> None:
        """Remember an id."""
        series, place = _place(client_id)
        known = self._marks.get(series)
        if place is None or (known is None and len(self._marks) >= MOST_SERIES):
            self._has_others = True
        elif known is None or place > known:
            self._marks[series] = place

    def may_hold(self, client_id: str) -> bool:
        """Whether the id may have been added; no is certain."""
        series, place = _place(client_id)
        known = self._marks.get(series)
        if place is None or known is None:
            return self._has_others
        return place <= known

    def dump(self) -> dict[str, Any]:
        """JSON values."""
        marks = {series: list(place) for series, place in sorted(self._marks.items())}
        return {"marks": marks, "has_others": self._has_others}

    @classmethod
    def load(cls, state: Mapping[str, Any] | str) -> ArchivedIds:
        """From what `dump` gave; journals of earlier versions hold every id instead, separated by blanks."""
        archived = cls()
        if isinstance(state, str):
            for client_id in state.split():
                archived.add(client_id)
        else:
            archived._marks = {series: (int(width), text) for series, (width, text) in state["marks"].items()}
            archived._has_others = bool(state["has_others"])
        return archived


def _place(client_id: str) -> tuple[str, tuple[int, str] | None]:
    """The series an id belongs to, and its place there: longer is later, then by the characters.

    >>> _place("d1x7k2p00030000001"), _place("liq12"), _place("mine")
    (('d1x7k2p', (11, '00030000001')), ('liq', (2, '12')), ('mine', None))
    """
    if len(client_id) == LENGTH and client_id.isascii() and client_id.isalnum():
        return client_id[:_MAKER], (LENGTH - _MAKER, client_id[_MAKER:])
    series = client_id.rstrip("0123456789")
    digits = client_id[len(series) :].lstrip("0")
    return series, (len(digits), digits) if series != client_id else None
