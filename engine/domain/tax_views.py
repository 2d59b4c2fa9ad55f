"""A tax report as faces draw it: computed by the engine, never by a page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum


class TaxKind(Enum):
    """What a row of a tax report is: coins sold, a position in a perpetual closed, or funding received or paid."""

    SALE = "sale"
    LONG = "long closed"
    SHORT = "short closed"
    INCOME = "funding received"
    EXPENSE = "funding paid"

    @property
    def is_funding(self) -> bool:
        """Whether the row is income or expense and disposes of nothing."""
        return self in (TaxKind.INCOME, TaxKind.EXPENSE)


@dataclass(frozen=True, slots=True)
class TaxRow:
    """A disposal matched to one lot, a closed position matched to its opening, or a payment of funding.

    ``disposed_at`` is the sale, the closing or the payment, ``acquired_at`` the purchase or the opening: a short is
    opened by a sale and closed by a purchase. Funding has no ``asset``; ``detail`` names its perpetual. Money in the
    quote currency of the fills.
    """

    kind: TaxKind
    disposed_at: datetime
    acquired_at: datetime
    asset: str
    venue: str
    quantity: Decimal
    proceeds: Decimal
    cost: Decimal
    fees: Decimal
    gain: Decimal
    held_days: int
    disposal_trade_id: str
    acquisition_trade_id: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TaxReport:
    """Realised gains of a year by FIFO; ``problems`` name fills that could not be matched.

    ``proceeds``, ``cost`` and ``gain`` are of sales and closed positions, ``income`` and ``expense`` (both positive)
    of funding; ``result = gain + income - expense``. ``counted_at`` is the wall time the fills were read.
    """

    year: int
    zone: str
    method: str
    currency: str
    simulated: bool
    rows: tuple[TaxRow, ...]
    proceeds: Decimal
    cost: Decimal
    gain: Decimal
    income: Decimal
    expense: Decimal
    result: Decimal
    problems: tuple[str, ...]
    counted_at: datetime | None = None
