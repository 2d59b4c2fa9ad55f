"""What is not ours: executions of the trader or of the venue, charged to who held the position; and his own money."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal, localcontext

from engine.domain.codec import plain
from engine.domain.facts import Netted
from engine.domain.instruments import InstrumentKey, Kind
from engine.domain.orders import CashFlow, Fill, FundingPaid, Side
from engine.domain.positions import Booked, book_change
from engine.domain.unread import RowSetAside
from engine.ledger.ledger import EXACT
from engine.trading.book import Book
from engine.trading.coin_fees import book_coin_fee

ZERO = Decimal(0)

EXTERNAL = "external"
TAKEN_FROM_ENGINE = "the engine's own money was taken"


def book_external(book: Book, fill: Fill) -> None:
    """Book an execution that no order of ours explains.

    A derivative position is the account's, so it is booked whole; in an instrument that the book does not trade it is
    the trader's alone. Coins of a spot account are the trader's own as long as he has any beside the engine's: they
    move what is his. What he sells beyond that was the engine's.

    Parameters
    ----------
    book : Book
    fill : Fill
        Booked once; the caller has refused repeats.
    """
    with localcontext(EXACT):
        instrument = book.ledger.instruments.get(fill.instrument)
        if instrument is not None and instrument.kind is Kind.PERPETUAL:
            book_coin_fee(book, fill, EXTERNAL)
            book.ledger.apply_fill(fill, EXTERNAL)
            return
        if _is_perpetual(fill.instrument):
            _book_elsewhere(book, fill)
            return
        base, quote = coins_of(fill.instrument)
        his = max(ZERO, book.external.get((fill.venue, base), ZERO))
        engines = max(ZERO, fill.quantity - his) if fill.side is Side.SELL and instrument is not None else ZERO
        own = fill.quantity - engines
        _move(book, (fill.venue, base), own * fill.side.sign)
        _move(book, (fill.venue, quote), -own * fill.side.sign * fill.price)
        if engines:
            book_coin_fee(book, fill, EXTERNAL)
            book.ledger.apply_fill(replace(fill, quantity=engines), EXTERNAL)
        else:
            _move(book, (fill.venue, fill.fee_currency), -fill.fee)


def is_wholly_his(book: Book, fill: Fill) -> bool:
    """Whether an execution that is not ours, about to be booked, moves nothing but what is the trader's own."""
    instrument = book.ledger.instruments.get(fill.instrument)
    if instrument is None:
        return True
    if instrument.kind is Kind.PERPETUAL:
        return False
    return fill.side is Side.BUY or fill.quantity <= book.external.get((fill.venue, instrument.base), ZERO)


def _is_perpetual(key: InstrumentKey) -> bool:
    return ":" in key.partition(":")[2]


def _book_elsewhere(book: Book, fill: Fill) -> None:
    """A derivative that the book does not trade: what it realises, and its fee, move the trader's own money."""
    before = book.outside.positions.get(fill.instrument, Booked(ZERO, ZERO, ZERO))
    after = book_change(before.quantity, before.cost, fill.quantity * fill.side.sign, fill.price)
    book.outside.positions[fill.instrument] = after
    _move(book, (fill.venue, coins_of(fill.instrument)[1]), after.realised)
    _move(book, (fill.venue, fill.fee_currency), -fill.fee)


def book_funding(book: Book, paid: FundingPaid) -> None:
    """Book a payment; that of a position the book does not trade is the trader's own."""
    if paid.instrument in book.ledger.instruments:
        book.ledger.apply_funding(paid)
        return
    with localcontext(EXACT):
        _move(book, (paid.venue, paid.currency), paid.amount)


def book_flow(book: Book, flow: CashFlow) -> None:
    """Book money that moved: capital of the book, or what is the trader's own, which is neither capital nor P&L."""
    if not flow.own:
        book.ledger.apply_flow(flow)
        return
    with localcontext(EXACT):
        _move(book, (flow.venue, flow.currency), flow.amount)
    book.note_payment(flow.venue, flow_number(flow))


def flow_number(flow: CashFlow) -> str:
    """What a flow is remembered by among the payments of its venue."""
    return f"flow:{flow.flow_id}"


def book_row_set_aside(book: Book, row: RowSetAside) -> None:
    """Count what a row did, as a person has stated it, as his own; what he stated of it before counts no more."""
    with localcontext(EXACT):
        for before in book.outside.set_aside(row):
            _count_moved(book, before, -1)
        _count_moved(book, row, 1)


def book_told(book: Book, fact: Fill | FundingPaid | CashFlow) -> None:
    """A row that was set aside has been told after all: what was counted in its place counts no more."""
    with localcontext(EXACT):
        for before in book.outside.note_told(fact):
            _count_moved(book, before, -1)


def _count_moved(book: Book, row: RowSetAside, sign: int) -> None:
    for each in row.moved:
        if each.price is None:
            _move(book, (row.venue, each.what), sign * each.amount)
        else:
            key = InstrumentKey(f"{row.venue}:{each.what}")
            book.ledger.take_over(EXTERNAL, key, sign * each.amount, each.price)


def words_of_flow(flow: CashFlow) -> str:
    """A flow for people.

    >>> from datetime import UTC
    >>> words_of_flow(CashFlow("bybit", "7", "USDT", Decimal("-5.0"), datetime(2026, 1, 1, tzinfo=UTC), "withdrawal"))
    '5 USDT left bybit: withdrawal'
    """
    way = "came to" if flow.amount > 0 else "left"
    return f"{plain(abs(flow.amount))} {flow.currency} {way} {flow.venue}: {flow.reason}"


def taken_from_engine(book: Book, flow: CashFlow) -> Decimal:
    """How much of a withdrawal that is about to be booked is the engine's own, in its coin; 0 where nothing is."""
    missing = -flow.amount - max(ZERO, book.external.get((flow.venue, flow.currency), ZERO))
    held = book.ledger.balances.get((flow.venue, flow.currency), ZERO)
    return ZERO if flow.amount >= 0 or held <= 0 else max(ZERO, missing)


def coins_of(key: InstrumentKey) -> tuple[str, str]:
    """Base and quote of an instrument by its key.

    >>> coins_of(InstrumentKey("bybit:BTC/USDT:USDT"))
    ('BTC', 'USDT')
    """
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
