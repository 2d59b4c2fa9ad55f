"""Rows of a venue's executions that cannot be read: told, waited for, and set aside where a person has decided so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from engine.domain.codec import plain
from engine.domain.commands import SetRowAside, TradingState
from engine.domain.errors import CommandRefused
from engine.domain.facts import Notice, Severity
from engine.domain.instruments import InstrumentKey, Kind, venue_of
from engine.domain.ports import ReadInParts
from engine.domain.unread import Moved, RowSetAside, UnreadRow
from engine.trading.book import Book
from engine.trading.outside import Outside
from engine.trading.sending import MarketVenue

MOST_DIGITS = 24
"""Before or after the decimal point; what is larger or smaller was moved by nobody."""
_THEN = "They are not booked, and asked for at every look; nothing is opened there until they can be read"
_WAY_OUT = "Look at the exchange's own list of trades. What can never be read is set aside by reconcile --set-aside"


class Telling(Protocol):
    """What is needed of the loop."""

    book: Book

    def market_time(self) -> datetime:
        """Market time."""

    def tell(self, notice: Notice) -> None:
        """Hand out a notice."""


def hand_over(outside: Outside, name: str, venue: MarketVenue) -> None:
    """Let a venue know what was set aside, before it is asked."""
    if isinstance(venue, ReadInParts):
        venue.leave_aside([each.row for each in outside.aside.get(name, ())])


def take_stock(loop: Telling, name: str, venue: MarketVenue) -> None:
    """Note which rows cannot be read: a person is told, and again when they change."""
    if not isinstance(venue, ReadInParts):
        return
    book, rows = loop.book, tuple(venue.unreadable)
    before = book.outside.unreadable.get(name, ())
    book.outside.unreadable[name] = rows
    if [row.words for row in rows] == [row.words for row in before]:
        return
    severity, title = Severity.CRITICAL, f"Executions at {name} cannot be read"
    detail = f"{'; '.join(row.words for row in rows)}. {_THEN}. {_WAY_OUT}"
    if not rows:
        left = len(book.outside.aside.get(name, ()))
        detail = f"all but {left}, which are set aside, are booked" if left else "all of them are booked"
        severity, title = Severity.INFO, f"Executions at {name} can be read again"
    key = f"{book.config.name}:unreadable-{name}"
    loop.tell(Notice(key, severity, title, detail, book.config.name, loop.market_time()))


def to_set_aside(book: Book, body: SetRowAside, reason: str, by: str, at: datetime) -> RowSetAside:
    """The fact that sets one row aside, or says anew what one did that is set aside.

    Raises
    ------
    CommandRefused
        No row is called so, or two are; nothing says why; or what it did cannot be counted.
    """
    name, there = body.row, list(_rows(book.outside))
    found = [(venue, row) for venue, row in there if row.is_called(name)]
    if not found:
        names = ", ".join(row.name for _, row in there)
        rows = f"those are {names}" if names else "there is none"
        raise CommandRefused(f"{name} is no row that {book.config.name} could not read at its last look; {rows}")
    if len(found) > 1:
        names = ", ".join(f"{row.name} at {venue}" for venue, row in found)
        raise CommandRefused(f"{name} may be any of {names}; name one in full")
    if not reason.strip():
        raise CommandRefused("say why it is set aside: the record keeps it")
    [(venue, row)] = found
    for each in body.moved:
        _require_countable(book, venue, each)
    return RowSetAside(venue, row, reason.strip(), by, at, body.moved)


def _require_countable(book: Book, venue: str, moved: Moved) -> None:
    numbers = [moved.amount] if moved.price is None else [moved.amount, moved.price]
    if any(not number or abs(number.adjusted()) > MOST_DIGITS for number in numbers):
        raise CommandRefused(f"{moved.words}: no such number can have been moved")
    if moved.price is None:
        if "/" in moved.what or not moved.what:
            raise CommandRefused(f"{moved.words}: name a coin, or a derivative with its price as SYMBOL=AMOUNT@PRICE")
        return
    instrument = book.ledger.instruments.get(InstrumentKey(f"{venue}:{moved.what}"))
    if instrument is None or instrument.kind is not Kind.PERPETUAL or moved.price < 0:
        raise CommandRefused(
            f"{moved.words}: {moved.what} is no derivative of {book.config.name} at {venue}; name coins"
        )


def consequence(book: Book, row: RowSetAside) -> str:
    """What follows from setting a row aside, for people."""
    lacking = [
        f"order {order.intent.client_id} has executed {plain(order.reported)}, {plain(order.filled)} of it is booked"
        for order in book.tracker.open_orders()
        if order.reported > order.filled and venue_of(order.intent.instrument) == row.venue
    ]
    own = (
        f"{'; '.join(lacking)}: if the row is of that order, nobody manages what it holds; close that. "
        if lacking
        else ""
    )
    halts = "" if row.moved else "Where it moved coins or a position, that is a difference, and halts the book. "
    stands = "" if book.state is TradingState.ACTIVE else f"; the book is {book.state.value}, which a person ends then"
    return f"{own}{halts}Entries at {row.venue} go on once books and exchange are found equal{stands}"


def _rows(outside: Outside) -> Iterator[tuple[str, UnreadRow]]:
    for venue in sorted({*outside.unreadable, *outside.aside}):
        for row in outside.unreadable.get(venue, ()):
            yield venue, row
        for each in outside.aside.get(venue, ()):
            yield venue, each.row
