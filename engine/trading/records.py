"""What every strategy of a book has made, market day by market day."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from engine.risk.allocation import StrategyRecord

KEPT_DAYS = 365
_RETURN_STEP = Decimal("1E-12")


@dataclass(frozen=True, slots=True)
class DayStart:
    """Where a strategy stood when the market day began: P&L of its life and its capital, base currency."""

    pnl: Decimal
    equity: Decimal


@dataclass(slots=True)
class DailyRecords:
    """Returns of every strategy, one a UTC market day, newest last, at most `KEPT_DAYS`.

    They rest on marks, which no fact holds: a checkpoint keeps them, and a book rebuilt from facts alone measures anew.
    """

    day: date | None = None
    starts: dict[str, DayStart] = field(default_factory=dict)
    returns: dict[str, deque[Decimal]] = field(default_factory=dict)

    def turn(self, day: date, now: Mapping[str, DayStart]) -> bool:
        """Close the day that has ended, if one has, and begin another.

        Parameters
        ----------
        day : date
            UTC day of the close at hand.
        now : mapping
            What every strategy that runs has made and has to trade with; one that was not there when the day began, or
            had no capital then, has no return of that day.

        Returns
        -------
        bool
            True when a day was closed.
        """
        if self.day is not None and day <= self.day:
            return False
        closed = self.day is not None
        for name, end in now.items():
            start = self.starts.get(name)
            if start is not None and start.equity > 0:
                made = ((end.pnl - start.pnl) / start.equity).quantize(_RETURN_STEP)
                self.returns.setdefault(name, deque(maxlen=KEPT_DAYS)).append(made)
        self.day, self.starts = day, dict(now)
        return closed

    def of(self, name: str) -> StrategyRecord:
        """The record of a strategy, oldest day first."""
        return StrategyRecord(name, tuple(self.returns.get(name, ())))

    def state(self) -> dict[str, Any]:
        """JSON values of a checkpoint."""
        return {
            "day": self.day.isoformat() if self.day else None,
            "starts": {name: [str(s.pnl), str(s.equity)] for name, s in sorted(self.starts.items())},
            "returns": {name: [str(r) for r in days] for name, days in sorted(self.returns.items())},
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any] | None) -> DailyRecords:
        """From a checkpoint; None (one made before there were records) is an empty one."""
        if state is None:
            return cls()
        day = date.fromisoformat(state["day"]) if state["day"] else None
        starts = {name: DayStart(Decimal(pnl), Decimal(equity)) for name, (pnl, equity) in state["starts"].items()}
        days = {name: deque(map(Decimal, row), maxlen=KEPT_DAYS) for name, row in state["returns"].items()}
        return cls(day, starts, days)
