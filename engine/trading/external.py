"""Executions that are not ours: a liquidation, or what the trader did on the venue, charged to who held the position."""

from __future__ import annotations

from datetime import datetime

from engine.domain.facts import Netted
from engine.domain.instruments import Kind
from engine.trading.book import Book

EXTERNAL = "external"


def netted_external(book: Book, at: datetime) -> list[Netted]:
    """Close what others sold against the strategies that held it, so that nobody protects a position that is gone.

    Only derivatives: an account has one position there, and what reduces it reduces a strategy's. Coins of a spot
    account may be the trader's own.

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
        if book.ledger.instruments[key].kind is not Kind.PERPETUAL:
            continue
        left = holding.quantity
        for other, other_key, held in book.ledger.open_holdings():
            if other_key != key or other == EXTERNAL or held.quantity * left >= 0:
                continue
            size = min(abs(left), abs(held.quantity))
            long, short = (EXTERNAL, other) if left > 0 else (other, EXTERNAL)
            facts.append(Netted(key, long, short, size, holding.entry_price, at))
            left -= size if left > 0 else -size
    return facts
