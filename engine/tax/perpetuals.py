"""Results of perpetuals: each closing trade against the trades that opened what it closed, first in, first out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from engine.domain.orders import Fill, Side
from engine.tax.lots import SPLIT, ZERO
from engine.tax.trades import Gathered, Market, Problem, Valuation, account_of, add_fee_coin, fee_problem, market_of


@dataclass(frozen=True, slots=True)
class Closed:
    """A part of a position that was closed; nothing was bought or sold, so only the result counts.

    ``is_short``: opened by selling, closed by buying. ``result`` in the report's currency, gross; ``fees`` those of
    this part's opening and closing.
    """

    closed_at: datetime
    opened_at: datetime
    symbol: str
    account: str
    is_short: bool
    quantity: Decimal
    result: Decimal
    fees: Decimal
    closing_id: str
    opening_id: str


@dataclass(slots=True)
class _Opened:
    """What is left of an opening trade; ``quantity`` positive, ``fee`` what it paid for that quantity."""

    fill: Fill
    quantity: Decimal
    fee: Decimal


class _Slice(NamedTuple):
    fill: Fill
    quantity: Decimal
    fee: Decimal


def close_positions(fills: Iterable[Fill], valuation: Valuation, into: Gathered) -> list[Closed]:
    """Match closing fills of perpetuals to opening ones.

    Parameters
    ----------
    fills : iterable of Fill
        Fills of perpetuals only, oldest first, the whole history.
    valuation : Valuation
        Values the settlement coin and the fees.
    into : Gathered
        Receives disposals of coins that fees were paid in, and what could not be valued.

    Returns
    -------
    list of Closed
        In the order of closing. Fees of what is still open are not in it.
    """
    books: dict[tuple[str, str], deque[_Opened]] = {}
    closed: list[Closed] = []
    for fill in fills:
        fee = _fee_value(fill, valuation, into)
        opened = books.setdefault((account_of(fill), fill.instrument), deque())
        left = fill.quantity
        for part in _closing(opened, fill):
            share = fee if part.quantity == left else _split(fee, part.quantity, left)
            left, fee = left - part.quantity, fee - share
            result = _result(fill, part, share, valuation)
            if isinstance(result, Closed):
                closed.append(result)
            else:
                into.problems.append(result)
        if left:
            opened.append(_Opened(fill, left, fee))
    return closed


def _closing(opened: deque[_Opened], fill: Fill) -> Iterator[_Slice]:
    """The parts of open trades that this fill closes; empties what it uses up."""
    left = fill.quantity
    while left and opened and opened[0].fill.side is not fill.side:
        first = opened[0]
        if first.quantity <= left:
            opened.popleft()
            part = _Slice(first.fill, first.quantity, first.fee)
        else:
            part = _Slice(first.fill, left, _split(first.fee, left, first.quantity))
            first.quantity -= part.quantity
            first.fee -= part.fee
        left -= part.quantity
        yield part


def _result(fill: Fill, part: _Slice, fee: Decimal, valuation: Valuation) -> Closed | Problem:
    market: Market = market_of(fill.instrument)
    rate = valuation.worth(market.settle, fill.at)
    if rate is None:
        text = f"trade {fill.trade_id} of {fill.instrument}: no price of {market.settle} in {valuation.currency}"
        return Problem(fill.at, text)
    moved = (fill.price - part.fill.price) * part.fill.side.sign
    return Closed(
        closed_at=fill.at,
        opened_at=part.fill.at,
        symbol=market.symbol,
        account=account_of(fill),
        is_short=part.fill.side is Side.SELL,
        quantity=part.quantity,
        result=moved * part.quantity * rate,
        fees=part.fee + fee,
        closing_id=fill.trade_id,
        opening_id=part.fill.trade_id,
    )


def _fee_value(fill: Fill, valuation: Valuation, into: Gathered) -> Decimal:
    if not fill.fee:
        return ZERO
    rate = valuation.worth(fill.fee_currency, fill.at)
    if rate is None:
        into.problems.append(fee_problem(fill, valuation))
        return ZERO
    if fill.fee_currency != valuation.currency:
        add_fee_coin(fill, fill.fee * rate, into)
    return fill.fee * rate


def _split(whole: Decimal, part: Decimal, of: Decimal) -> Decimal:
    return (whole * part / of).quantize(SPLIT)
