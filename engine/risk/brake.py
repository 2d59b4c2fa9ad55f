"""The emergency brake's eye: how far unit value is below its peak, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum

from engine.domain.errors import BadInput
from engine.risk.context import ONE, ZERO, known
from engine.risk.limits import RiskConfig


class BrakeVerdict(Enum):
    """One look at unit value."""

    OK = "ok"
    TRIP = "trip"
    UNKNOWN = "unknown"


class BrakeAdvice(Enum):
    """What the book does about its looks so far."""

    GO_ON = "go on"
    CLOSE_ONLY = "close only"
    FLATTEN = "flatten"


def drawdown(unit_value: Decimal | None, peak: Decimal | None) -> Decimal | None:
    """Share that unit value lies below its peak, 0 at or above it; None when either is unknown or the peak is 0.

    >>> drawdown(Decimal(95), Decimal(100))
    Decimal('0.05')
    """
    if not known(unit_value) or not known(peak) or peak <= 0:
        return None
    return max(ZERO, ONE - unit_value / peak)


@dataclass(frozen=True, slots=True)
class Brake:
    """Trips at a drawdown of ``limit``: exactly 10 % below the peak trips a 10 % brake.

    Unit value is equity per unit, from which deposits and withdrawals are removed; the peak is kept by the ledger and
    survives restarts.
    """

    limit: Decimal

    def __post_init__(self) -> None:
        if not known(self.limit) or not ZERO < self.limit <= ONE:
            raise BadInput(f"brake limit {self.limit} must be above 0 and at most 1")

    def look(self, unit_value: Decimal | None, peak: Decimal | None) -> BrakeVerdict:
        """Judge one look.

        Parameters
        ----------
        unit_value, peak : Decimal or None
            Base currency per unit. A unit value of zero or less is a total loss, not an unknown one.

        Returns
        -------
        BrakeVerdict
            UNKNOWN when a value is missing or not a number, or the peak is not positive.
        """
        if not known(unit_value) or not known(peak) or peak <= 0:
            return BrakeVerdict.UNKNOWN
        # compared without a division, so that the boundary is exact
        return BrakeVerdict.TRIP if peak - unit_value >= self.limit * peak else BrakeVerdict.OK


@dataclass(frozen=True, slots=True)
class BrakeWatch:
    """Remembers since when looks have been bad, and turns looks into advice; frozen, each look gives the next watch.

    A drawdown must last ``confirm_s`` of market time before it flattens (0: the first look does), so that one bad
    mark need not sell everything; while it waits, and once equity has been unknown for ``unknown_s``, nothing may be
    opened.
    """

    confirm_s: int
    unknown_s: int
    tripped_since: datetime | None = None
    unknown_since: datetime | None = None

    @classmethod
    def from_config(cls, config: RiskConfig) -> BrakeWatch:
        """A watch that has seen nothing yet."""
        return cls(config.brake_confirm_s, config.brake_unknown_s)

    def after(self, verdict: BrakeVerdict, at: datetime) -> BrakeWatch:
        """The watch after a look at market time ``at``.

        An UNKNOWN look keeps a drawdown in mind: losing sight of equity neither confirms nor clears it.
        """
        if verdict is BrakeVerdict.OK:
            return replace(self, tripped_since=None, unknown_since=None)
        if verdict is BrakeVerdict.TRIP:
            return replace(self, tripped_since=self.tripped_since or at, unknown_since=None)
        return replace(self, unknown_since=self.unknown_since or at)

    def advice(self, at: datetime) -> BrakeAdvice:
        """What to do at market time ``at``, the time of the last look or later."""
        if self.unknown_since is not None:
            waiting = self.tripped_since is not None or _lasted(self.unknown_since, at, self.unknown_s)
            return BrakeAdvice.CLOSE_ONLY if waiting else BrakeAdvice.GO_ON
        if self.tripped_since is None:
            return BrakeAdvice.GO_ON
        confirmed = _lasted(self.tripped_since, at, self.confirm_s)
        return BrakeAdvice.FLATTEN if confirmed else BrakeAdvice.CLOSE_ONLY

    def to_state(self) -> dict[str, str | None]:
        """JSON values that `from_state` reads back."""
        return {"tripped_since": _text(self.tripped_since), "unknown_since": _text(self.unknown_since)}

    def from_state(self, state: dict[str, str | None]) -> BrakeWatch:
        """This watch with the memory of ``state``; raises `BadInput` naming what cannot be read."""
        return replace(
            self,
            tripped_since=_moment(state, "tripped_since"),
            unknown_since=_moment(state, "unknown_since"),
        )


def _lasted(since: datetime, at: datetime, seconds: int) -> bool:
    return at - since >= timedelta(seconds=seconds)


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _moment(state: dict[str, str | None], name: str) -> datetime | None:
    value = state.get(name)
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise BadInput(f"brake state {name}={value!r} is not a time; restore the state from the journal") from error
    if at.tzinfo is None:
        raise BadInput(f"brake state {name}={value!r} has no time zone; restore the state from the journal")
    return at
