"""A run's journal and clock when nothing has to survive it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from engine.domain.facts import EquityMark, Fact
from engine.domain.orders import Fill
from engine.domain.ports import Appended


class MemoryJournal:
    """Keeps the fills (all a replay reports) and counts the rest."""

    def __init__(self) -> None:
        self.fills: list[Fill] = []
        self.sequence = 0
        self.changes = 0

    def append(self, facts: Sequence[Fact], market_time: datetime) -> Appended:
        """Keep the fills among the facts; ``changes`` counts all but marks of equity, which say what prices say."""
        self.fills.extend(fact for fact in facts if isinstance(fact, Fill))
        self.changes += sum(not isinstance(fact, EquityMark) for fact in facts)
        self.sequence += len(facts)
        return Appended(self.sequence)

    def read(self, after: int) -> Iterator[tuple[int, Fact]]:
        """Nothing: a run begins empty."""
        return iter(())

    def checkpoint(self, sequence: int, state: Mapping[str, Any]) -> None:
        """Nothing is kept."""

    def latest_checkpoint(self) -> tuple[int, Mapping[str, Any]] | None:
        """None: a run begins empty."""
        return None


class MarketClock:
    """A clock that shows the market time of the last event, so that a run never depends on wall time."""

    def __init__(self) -> None:
        self._now = datetime.fromtimestamp(0, UTC)

    def set(self, now: datetime) -> None:
        """Move to the market time of an event."""
        self._now = now

    def now(self) -> datetime:
        """Market time."""
        return self._now

    def monotonic(self) -> float:
        """Market time in seconds."""
        return self._now.timestamp()
