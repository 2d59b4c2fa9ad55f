"""Executions that are not ours, a liquidation or the trader's own doing: charged to who held the position."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal, localcontext

from engine.domain.facts import Netted
from engine.domain.instruments import InstrumentKey, Kind
from engine.domain.orders import Fill, Side
from engine.ledger.ledger import EXACT
from engine.trading.book import Book

ZERO = Decimal(0)

EXTERNAL = "external"


def book_external(book: Book, fill: Fill) -> None:
    """Book an execution that no order of ours explains.

    A derivative position is the account's, so it is booked whole. Coins of a spot account are the trader's own as long
    as he has any beside the engine's: they move what is his. What he sells beyond that was the engine's.

    Parameters
    ----------
    book : Book
    fill : Fill
        Booked once; the caller has refused repeats.
    """
    with localcontext(EXACT):
        instrument = book.ledger.instruments.get(fill.instrument)
        if instrument is not None and instrument.kind is Kind.PERPETUAL:
            book.ledger.apply_fill(fill, EXTERNAL)
            return
        base, quote = _coins(fill.instrument)
        his = max(ZERO, book.external.get((fill.venue, base), ZERO))
        engines = max(ZERO, fill.quantity - his) if fill.side is Side.SELL and instrument is not None else ZERO
        own = fill.quantity - engines
        _move(book, (fill.venue, base), own * fill.side.sign)
        _move(book, (fill.venue, quote), -own * fill.side.sign * fill.price)
        if engines:
            book.ledger.apply_fill(replace(fill, quantity=engines), EXTERNAL)
        else:
            _move(book, (fill.venue, fill.fee_currency), -fill.fee)


def _coins(key: InstrumentKey) -> tuple[str, str]:
    base, _, quote = key.partition(":")[2].partition("/")
    return base, quote.partition(":")[0]


def _move(book: Book, where: tuple[str, str], amount: Decimal) -> None:
    book.external[where] = book.external.get(where, ZERO) + amount


def netted_external(book: Book, at: datetime) -> list[Netted]:
    """Close what others sold against the strategies that held it, so that nobody protects a position that is gone.

    Parameters
    ----------
    book : Book
    at : datetime
        Market time.

    Returns
    -------
    list of Netted
        Not applied yet; at the price of the external execution, so that the loss falls on who held.
    """
    facts: list[Netted] = []
    if EXTERNAL not in book.ledger.sleeves:
        return facts
    theirs = [(key, h) for (sleeve, key), h in book.ledger.holdings.items() if sleeve == EXTERNAL and h.quantity]
    for key, holding in sorted(theirs):
        left = holding.quantity
        for other, other_key, held in book.ledger.open_holdings():
            if other_key != key or other == EXTERNAL or held.quantity * left >= 0:
                continue
            size = min(abs(left), abs(held.quantity))
            long, short = (EXTERNAL, other) if left > 0 else (other, EXTERNAL)
            facts.append(Netted(key, long, short, size, holding.entry_price, at))
            left -= size if left > 0 else -size
    return facts
