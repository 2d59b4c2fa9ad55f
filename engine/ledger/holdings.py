"""Rows of the ledger: a sleeve's position, its sums, and what a book's equity is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from engine.domain.instruments import InstrumentKey

ZERO = Decimal(0)
PriceOf = Callable[[InstrumentKey], Decimal | None]


@dataclass(slots=True)
class Holding:
    """A sleeve's position in one instrument. ``quantity`` signed base, ``cost`` signed quote, money in quote."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    opened_at: datetime | None = None
    trade_pnl: Decimal = ZERO
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO

    def unrealised(self, mark: Decimal) -> Decimal:
        """P&L of the open quantity at ``mark``, quote currency, positive is a gain."""
        return mark * self.quantity - self.cost

    @property
    def entry_price(self) -> Decimal:
        """Average entry, quote; zero where flat."""
        return self.cost / self.quantity if self.quantity else ZERO


@dataclass(slots=True)
class SleeveTotals:
    """Sums over a sleeve's life; money in quote. A trade is a round trip that ended flat; a win made money net."""

    realised: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    fills: int = 0
    trades: int = 0
    wins: int = 0


@dataclass(frozen=True, slots=True)
class Worth:
    """What equity is made of between two bookings: only the prices are left to be asked.

    Attributes
    ----------
    cash : Decimal
        Base currency.
    parts : tuple of (InstrumentKey, Decimal, Decimal)
        Account positions: signed base, and the cost (quote) that a derivative's value is counted beyond; 0 for spot.
    """

    cash: Decimal
    parts: tuple[tuple[InstrumentKey, Decimal, Decimal], ...]

    def at(self, price_of: PriceOf) -> Decimal | None:
        """Equity in base currency; None while a held instrument has no trustworthy mark."""
        prices = []
        for key, _, _ in self.parts:
            mark = price_of(key)
            if mark is None:
                return None
            prices.append(mark)
        return self.of(prices)

    def of(self, prices: Iterable[Decimal]) -> Decimal:
        """Equity in base currency; ``prices`` (quote) in the order of ``parts``."""
        total = self.cash
        for (_, quantity, cost), price in zip(self.parts, prices, strict=True):
            total += price * quantity
            total -= cost
        return total


def dump(row: Holding | SleeveTotals) -> list[Any]:
    """JSON values of a position or of a sleeve's sums, money as text."""
    if isinstance(row, SleeveTotals):
        return [str(row.realised), str(row.fees), str(row.funding), row.fills, row.trades, row.wins]
    opened = row.opened_at.isoformat() if row.opened_at else None
    money = (row.quantity, row.cost, row.trade_pnl, row.realised, row.fees, row.funding)
    return [*(str(x) for x in money), opened]


def load_holding(row: list[Any]) -> Holding:
    """A position of a checkpoint."""
    quantity, cost, trade, realised, fees, funding = (Decimal(x) for x in row[:6])
    opened = datetime.fromisoformat(row[6]) if row[6] else None
    return Holding(quantity, cost, opened, trade, realised, fees, funding)


def load_totals(row: list[Any]) -> SleeveTotals:
    """The sums of a checkpoint."""
    realised, fees, funding = (Decimal(x) for x in row[:3])
    return SleeveTotals(realised, fees, funding, *row[3:])
