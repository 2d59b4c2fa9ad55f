"""What a book still holds: open positions of a stop that is not flat, and dust beneath a venue's least order."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal, localcontext

from engine.domain.codec import plain
from engine.domain.instruments import InstrumentKey, venue_of
from engine.domain.orders import Purpose
from engine.domain.portfolio import StillHeld
from engine.ledger.ledger import EXACT
from engine.risk.context import rounded
from engine.risk.sizing import is_dust
from engine.trading.book import Book
from engine.trading.config import StopScope
from engine.trading.exposure import gross_exposure
from engine.trading.external import EXTERNAL

ZERO = Decimal(0)
_CENT = Decimal("0.01")


def still_held(book: Book, now: datetime) -> tuple[StillHeld, ...]:
    """Positions that a stop of the book is to close and has not, dust apart.

    Parameters
    ----------
    book : Book
    now : datetime
        What the age of a price counts to: wall time at real venues, market time of a simulated market.
    """
    return tuple(
        _held(book, key, quantity, now) for key, quantity in _holdings(book) if not _is_dust(book, key, quantity)
    )


def open_at_worst(book: Book) -> Decimal | None:
    """What a stop of the book has yet to close, positions and unfilled entries; None while a price is missing.

    Base currency. The trader's own is in it only where the stop is for the whole account.
    """
    if book.config.stop_scope is StopScope.ACCOUNT:
        return gross_exposure(book)
    sizes: dict[InstrumentKey, Decimal] = {}
    for key, quantity in _holdings(book):
        sizes[key] = sizes.get(key, ZERO) + quantity
    sizes = {key: abs(quantity) for key, quantity in sizes.items()}
    for order in book.tracker.open_orders():
        if order.intent.purpose is Purpose.ENTRY:
            sizes[order.intent.instrument] = sizes.get(order.intent.instrument, ZERO) + order.remaining
    worths = [(size, book.price(key)) for key, size in sizes.items() if size]
    if any(price is None for _, price in worths):
        return None
    return sum((size * price for size, price in worths if price is not None), ZERO)


def dust(book: Book) -> str:
    """What an emergency stop has left because no venue takes so small an order; "" where nothing is left.

    Sleeves that hold the same are told apart, as each is closed by itself. Of several venues each is named.
    """
    rows = [_dust_words(book, key, quantity) for key, quantity in _holdings(book) if _is_dust(book, key, quantity)]
    return f"flat except dust: {', '.join(rows)}" if rows else ""


def _holdings(book: Book) -> Iterable[tuple[InstrumentKey, Decimal]]:
    spared = EXTERNAL if book.config.stop_scope is StopScope.ENGINE else ""
    return [(key, h.quantity) for sleeve, key, h in book.ledger.open_holdings() if sleeve != spared and h.quantity]


def _is_dust(book: Book, key: InstrumentKey, quantity: Decimal) -> bool:
    price = book.price(key)
    return price is not None and is_dust(quantity, book.ledger.instruments[key], price)


def _held(book: Book, key: InstrumentKey, quantity: Decimal, now: datetime) -> StillHeld:
    mark = book.mark(key)
    if mark is None:
        return StillHeld(key, quantity, None, book.ledger.instruments[key].quote, None)
    with localcontext(EXACT):
        worth = abs(quantity) * mark.price
    age_s = max(0.0, (now - mark.at).total_seconds())
    return StillHeld(key, quantity, worth, book.ledger.instruments[key].quote, age_s)


def _dust_words(book: Book, key: InstrumentKey, quantity: Decimal) -> str:
    instrument, price = book.ledger.instruments[key], book.price(key)
    assert price is not None, key
    worth = abs(quantity) * price
    shown = rounded(worth) if worth >= _CENT else "less than 0.01"
    least = f"the least order of {plain(instrument.min_notional)} {instrument.quote}"
    if worth >= instrument.min_notional:
        least = f"the least amount of {plain(instrument.lot_size)} {instrument.base}"
    several = len({venue_of(each) for each in book.ledger.instruments}) > 1
    where = f" at {venue_of(key)}" if several else ""
    return f"{plain(quantity)} {instrument.base}{where} ({shown} {instrument.quote}), below {least}"
