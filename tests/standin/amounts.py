"""Exact amounts of the stand-in exchange: decimals in, plain text out."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Decimal, InvalidOperation, getcontext

ZERO = Decimal(0)
CENT = Decimal("0.00000001")
"""Money is kept to eight digits, as the exchanges keep it."""


def widen() -> None:
    """No product of two amounts is ever rounded on the way."""
    getcontext().prec = 60


def text(amount: Decimal | None) -> str:
    """Plain digits without an exponent and without trailing zeros; nothing for None."""
    if amount is None:
        return ""
    return format(amount.normalize(), "f") if amount else "0"


def number(raw: object) -> Decimal | None:
    """The number a client sent, None where it is absent, empty or no number."""
    if raw is None or raw == "":
        return None
    try:
        found = Decimal(str(raw))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def is_multiple(amount: Decimal, step: Decimal) -> bool:
    """Whether ``amount`` is a whole number of steps."""
    return amount % step == 0


def down(amount: Decimal, step: Decimal) -> Decimal:
    """The next whole number of steps towards zero."""
    return (amount / step).to_integral_value(ROUND_DOWN) * step


def fee_of(amount: Decimal, rate: Decimal) -> Decimal:
    """A fee, rounded against the trader."""
    return (amount * rate).quantize(CENT, ROUND_UP)


def to_cent(amount: Decimal) -> Decimal:
    """Eight digits, half to even."""
    return amount.quantize(CENT, ROUND_HALF_EVEN)
