"""Average-cost arithmetic of a position, the same for ledger and simulated venues: they agree to the last digit."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import NamedTuple

CENT = Decimal("1E-8")
_EXACT = Context(prec=60)


class Booked(NamedTuple):
    """Position after a fill: signed base, signed cost in quote, and the P&L realised in quote (gross of fees)."""

    quantity: Decimal
    cost: Decimal
    realised: Decimal


def book_change(quantity: Decimal, cost: Decimal, change: Decimal, price: Decimal) -> Booked:
    """Apply a signed change at a price.

    The cost of a part that is closed is its share of the whole, rounded to 1e-8; what is rounded off stays in the rest,
    so that realised and unrealised P&L always add up exactly.

    Parameters
    ----------
    quantity, cost : Decimal
        Before: signed base and signed quote (quantity times average entry).
    change : Decimal
        Signed base bought or sold, not zero.
    price : Decimal
        Quote.

    Examples
    --------
    >>> book_change(Decimal(2), Decimal(200), Decimal(-1), Decimal(130))
    Booked(quantity=Decimal('1'), cost=Decimal('100.00000000'), realised=Decimal('30.00000000'))
    >>> book_change(Decimal(1), Decimal(100), Decimal(-3), Decimal(90))
    Booked(quantity=Decimal('-2'), cost=Decimal('-180'), realised=Decimal('-10'))
    """
    if not quantity or (quantity > 0) == (change > 0):
        return Booked(quantity + change, cost + change * price, Decimal(0))
    sign = 1 if quantity > 0 else -1
    closed = min(abs(quantity), abs(change))
    part = cost if closed == abs(quantity) else _part(cost * closed, abs(quantity))
    realised = price * closed * sign - part
    opened = change + closed * sign
    return Booked(quantity + change, cost - part + opened * price, realised)


def _part(amount: Decimal, of: Decimal) -> Decimal:
    return _EXACT.divide(amount, of).quantize(CENT, ROUND_HALF_EVEN, _EXACT)
