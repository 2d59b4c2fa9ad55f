"""What trips a stop by repetition: failed trades in a row, and a venue's errors within an hour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from engine.domain.errors import BadInput

_WAY_OUT = "restore the state from the journal"


@dataclass(frozen=True, slots=True)
class FailedTrades:
    """Orders a venue rejected and exits that did not fill, in a row; a losing trade is not a failed one.

    Frozen: each result gives the next counter. Once ``limit`` is reached the book goes close-only.
    """

    limit: int
    in_a_row: int = 0

    def __post_init__(self) -> None:
        if self.limit < 1 or self.in_a_row < 0:
            raise BadInput(f"failed trades: limit {self.limit} must be 1 or more, count {self.in_a_row} 0 or more")

    @property
    def tripped(self) -> bool:
        """Whether the limit is reached."""
        return self.in_a_row >= self.limit

    def failed(self) -> FailedTrades:
        """After one more failure."""
        return replace(self, in_a_row=self.in_a_row + 1)

    def succeeded(self) -> FailedTrades:
        """After a fill: the row is broken."""
        return replace(self, in_a_row=0)

    def to_state(self) -> dict[str, Any]:
        """JSON values that `from_state` reads back; the limit comes from the settings."""
        return {"in_a_row": self.in_a_row}

    @classmethod
    def from_state(cls, limit: int, state: Mapping[str, Any]) -> FailedTrades:
        """The counter of ``state`` under a limit; raises `BadInput` naming what cannot be read."""
        count = state.get("in_a_row")
        if not isinstance(count, int) or isinstance(count, bool):
            raise BadInput(f"failed trades in a row: {count!r} is not a count; {_WAY_OUT}")
        return cls(limit, count)


@dataclass(frozen=True, slots=True)
class ErrorWindow:
    """Times of the newest ``limit`` errors of one venue; ``limit`` of them within ``window_s`` trip.

    The caller chooses the clock (market or wall) and keeps to it. Frozen: each error gives the next window. Older
    errors are forgotten, so that its size is bounded and `count` never exceeds the limit.
    """

    limit: int
    window_s: int = 3600
    times: tuple[datetime, ...] = ()

    def __post_init__(self) -> None:
        if self.limit < 1 or self.window_s < 1:
            raise BadInput(f"error window: limit {self.limit} and window {self.window_s} s must be 1 or more")

    def failed(self, at: datetime) -> ErrorWindow:
        """After one more error at ``at`` (aware); times may arrive out of order."""
        return replace(self, times=tuple(sorted((*self.times, at)))[-self.limit :])

    def count(self, at: datetime) -> int:
        """Errors younger than the window at ``at``, at most ``limit``; one dated after ``at`` counts."""
        oldest = at - timedelta(seconds=self.window_s)
        return sum(moment > oldest for moment in self.times)

    def tripped(self, at: datetime) -> bool:
        """Whether the limit is reached at ``at``."""
        return self.count(at) >= self.limit

    def to_state(self) -> dict[str, Any]:
        """JSON values that `from_state` reads back; limit and window come from the settings."""
        return {"times": [moment.isoformat() for moment in self.times]}

    @classmethod
    def from_state(cls, limit: int, state: Mapping[str, Any], window_s: int = 3600) -> ErrorWindow:
        """The window of ``state`` under a limit; raises `BadInput` naming what cannot be read."""
        texts = state.get("times")
        if not isinstance(texts, list):
            raise BadInput(f"error times {texts!r} are not a list; {_WAY_OUT}")
        moments = tuple(sorted(_moment(text) for text in texts))
        return cls(limit, window_s, moments[-limit:])


def _moment(text: Any) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise BadInput(f"error time {text!r} is not a time; {_WAY_OUT}") from error
    if at.tzinfo is None:
        raise BadInput(f"error time {text!r} has no time zone; {_WAY_OUT}")
    return at
