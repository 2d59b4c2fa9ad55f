"""The funding stamps of one perpetual, as read from a file or an exchange."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from engine.domain.market import IntArray


@dataclass(frozen=True, slots=True)
class FundingSeries:
    """Funding rates, oldest first.

    Attributes
    ----------
    at_ms : int64[n]
        When each rate was settled, ms UTC, strictly rising.
    rates : tuple of Decimal
        Share of the position's notional that longs pay shorts; negative when shorts pay.
    """

    at_ms: IntArray
    rates: tuple[Decimal, ...]

    def __len__(self) -> int:
        return len(self.rates)
