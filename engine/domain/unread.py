"""Rows of an exchange's lists of executions that cannot be read, and what a person has decided about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class UnreadRow:
    """A row that cannot be read.

    Attributes
    ----------
    listed : str
        The exchange's list it stands in; "" where only its order cannot be read.
    number : str
        The exchange's number of it; of one without a number, a name made of what it holds.
    words : str
        Why it cannot be read, and when it happened.
    since, until : datetime
        Between which times (aware UTC, the exchange's clock) the exchange lists it.
    """

    listed: str
    number: str
    words: str
    since: datetime
    until: datetime

    @property
    def where(self) -> tuple[str, str]:
        """List and number: what it is known by."""
        return self.listed, self.number

    @property
    def name(self) -> str:
        """What it is called where its number alone could mean another row, too."""
        return f"{self.listed}/{self.number}" if self.listed else self.number

    def is_told_as(self, number: str) -> bool:
        """Whether what an exchange told under this number is this row; trades listed by symbol are numbered by it."""
        kind, _, scope = self.listed.partition(" ")
        if kind == "trades" and "/" in scope:
            return number == f"{scope}:{self.number}"
        return number in (self.number, f"{scope}:{self.number}")

    def is_called(self, name: str) -> bool:
        """Whether a person may have meant it by this name."""
        return name in (self.number, self.name)


@dataclass(frozen=True, slots=True)
class Moved:
    """What a row did, as a person has looked it up at the exchange: it is counted as his own.

    ``what`` is a coin, or the symbol of a derivative; ``amount`` is signed, in the coin or the base coin; ``price`` is
    that of a derivative's execution, quote coin, None for a coin.
    """

    what: str
    amount: Decimal
    price: Decimal | None = None

    @property
    def words(self) -> str:
        """As it is typed."""
        at = "" if self.price is None else f"@{self.price:f}"
        return f"{self.what}={self.amount:+f}{at}"


@dataclass(frozen=True, slots=True)
class RowSetAside:
    """A person has decided that nothing waits for a row any more; ``by`` is who, ``reason`` why, ``moved`` what it did.

    The same row again takes the place of the one before.
    """

    venue: str
    row: UnreadRow
    reason: str
    by: str
    at: datetime
    moved: tuple[Moved, ...] = ()

    @property
    def words(self) -> str:
        """That it is set aside, by whom and why, what it is, and what it counts as."""
        moved = f"; counted as your own: {', '.join(each.words for each in self.moved)}" if self.moved else ""
        return f"row {self.row.name}, set aside by {self.by} ({self.reason}): {self.row.words}{moved}"
