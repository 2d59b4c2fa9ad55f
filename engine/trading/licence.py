"""What a book may do beyond its trading state: whether it is armed, who was promoted, what its strategies show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from engine.domain.codec import decode, encode
from engine.domain.commands import TradingState
from engine.domain.facts import Armed, Promotion, StateChanged

ZERO = Decimal(0)


@dataclass(slots=True)
class Trial:
    """A strategy under one configuration, watched at every close; money in base currency.

    ``trades`` and ``pnl`` are what it had made before, ``best`` its best result since, ``drawdown`` its deepest fall
    from there as a share of its capital.
    """

    values: str
    since: datetime
    trades: int = 0
    pnl: Decimal = ZERO
    days: int = 0
    day: date | None = None
    best: Decimal = ZERO
    drawdown: Decimal = ZERO

    def watch(self, day: date, made: Decimal, capital: Decimal) -> None:
        """Take in one close: what it has made since the trial began, and the capital it began with."""
        if self.day is None or day > self.day:
            self.days, self.day = self.days + 1, day
        self.best = max(self.best, made)
        if capital + self.best > 0:
            self.drawdown = max(self.drawdown, (self.best - made) / (capital + self.best))

    def state(self) -> dict[str, Any]:
        """JSON values of a checkpoint."""
        return {
            "values": self.values,
            "since": self.since.isoformat(),
            "trades": self.trades,
            "pnl": str(self.pnl),
            "days": self.days,
            "day": self.day.isoformat() if self.day else None,
            "best": str(self.best),
            "drawdown": str(self.drawdown),
        }

    @classmethod
    def restored(cls, row: Mapping[str, Any]) -> Trial:
        """From a checkpoint."""
        return cls(
            row["values"],
            datetime.fromisoformat(row["since"]),
            row["trades"],
            Decimal(row["pnl"]),
            row["days"],
            date.fromisoformat(row["day"]) if row["day"] else None,
            Decimal(row["best"]),
            Decimal(row["drawdown"]),
        )


@dataclass(slots=True)
class Licence:
    """The permissions of one book.

    Attributes
    ----------
    armed : Armed or None
        None while it may open nothing, where it needs arming.
    promotions : dict
        Strategies promoted into it.
    trials : dict
        What its strategies have shown.
    obstacles : dict
        What keeps it from being armed, by name; known to the running engine alone.
    """

    armed: Armed | None = None
    promotions: dict[str, Promotion] = field(default_factory=dict)
    trials: dict[str, Trial] = field(default_factory=dict)
    obstacles: dict[str, str] = field(default_factory=dict)

    def apply(self, fact: Armed | Promotion) -> None:
        """Fold arming or a promotion, or the end of one."""
        if isinstance(fact, Armed):
            self.armed = fact if fact.armed else None
            return
        self.promotions.pop(fact.strategy, None)
        if fact.promoted:
            self.promotions[fact.strategy] = fact

    def lapse(self, change: StateChanged) -> None:
        """Whatever halts a book ends its arming, too: it trades again only once a person has armed it."""
        if change.state in (TradingState.HALTED, TradingState.LOCKED):
            self.armed = None

    def state(self) -> dict[str, Any]:
        """JSON values of a checkpoint."""
        return {
            "armed": encode(self.armed) if self.armed is not None else None,
            "promotions": [encode(fact) for fact in self.promotions.values()],
            "trials": {name: trial.state() for name, trial in sorted(self.trials.items())},
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any] | None) -> Licence:
        """From a checkpoint; None is one made before there were licences."""
        licence = cls()
        if state is None:
            return licence
        for fact in (decode(row) for row in (*state["promotions"], *([state["armed"]] if state["armed"] else ()))):
            if isinstance(fact, Promotion | Armed):
                licence.apply(fact)
        licence.trials = {name: Trial.restored(row) for name, row in state["trials"].items()}
        return licence
