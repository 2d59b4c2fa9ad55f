"""The whole numbers a person may choose for a run: one truth for the command line and for what checks a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.domain.errors import BadInput


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number with what is allowed.

    Attributes
    ----------
    least, most : int
        Both are allowed.
    default : int or None
        Taken where none is given; None where somebody else decides.
    """

    least: int
    most: int
    default: int | None = None

    def read(self, name: str, value: Any) -> int:
        """The number, the default for None.

        Raises
        ------
        BadInput
            Names what is wrong and what is allowed.

        Examples
        --------
        >>> FOLDS.read("folds", None), FOLDS.read("folds", 5)
        (4, 5)
        """
        value = self.default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise BadInput(f"{name} {value!r:.80} is not a whole number {self.allowed}")
        return value

    @property
    def allowed(self) -> str:
        """What is allowed, in words.

        >>> TRIALS.allowed
        'from 1 to 100,000'
        """
        return f"from {self.least:,} to {self.most:,}"


TRIALS = Whole(1, 100_000, 100)
FOLDS = Whole(2, 50, 4)
EMBARGO_DAYS = Whole(1, 366, 1)
WORKERS = Whole(1, 256, 1)
SEED = Whole(0, 2**32 - 1, 0)
DRAWS = Whole(100, 100_000, 1_000)
MARKET_SPEED = Whole(1, 1_000)
DEMO_SEED = Whole(0, 2**31)
PORT = Whole(1, 65_535)
"""These three, as the settings have them, which also know the default."""
