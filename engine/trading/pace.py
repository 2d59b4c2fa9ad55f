"""When orders that close may go to a venue again: at once, then ever more seldom while they bring no fill."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
"""Wall seconds between two rounds of flattening orders, doubled while every round brings no fill: a venue that refuses
is not flooded."""


class _Round(NamedTuple):
    due: float
    pause_s: float
    held: tuple[Decimal, ...]


class Pace:
    """The rounds of every venue for itself; a venue that nothing was sent to is never waited for."""

    def __init__(self) -> None:
        self._rounds: dict[str, _Round] = {}

    def is_due(self, venue: str, now: float) -> bool:
        """Whether another round may begin (monotonic seconds)."""
        last = self._rounds.get(venue)
        return last is None or now >= last.due

    def tried(self, venue: str, now: float, held: tuple[Decimal, ...]) -> None:
        """A round is sent, or was refused before it could be; ``held`` is what is open there (signed base)."""
        last = self._rounds.get(venue)
        pause_s = FIRST_PAUSE_S if last is None or held != last.held else min(2 * last.pause_s, LONGEST_PAUSE_S)
        self._rounds[venue] = _Round(now + pause_s, pause_s, held)

    def looked(self, venue: str, now: float) -> None:
        """There was nothing to send: looked at again after the first pause, and the next round is no later for it."""
        last = self._rounds.get(venue, _Round(now, FIRST_PAUSE_S, ()))
        self._rounds[venue] = last._replace(due=now + FIRST_PAUSE_S)

    def forget(self, venue: str = "") -> None:
        """Begin anew, at one venue or at all."""
        if venue:
            self._rounds.pop(venue, None)
        else:
            self._rounds.clear()
