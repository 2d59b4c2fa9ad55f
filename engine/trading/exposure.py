"""What the gate is told: reservations and exposures from ledger and orders, at worst where the venue owes an answer."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.orders import OrderIntent, OrderState, Purpose, Side
from engine.domain.portfolio import VenueOrder
from engine.risk.gate import GateContext
from engine.trading.book import Book

ZERO = Decimal(0)
_BASIS_POINT = Decimal("0.0001")
_NO_EXPOSURE = (ZERO, ZERO, ZERO)


class Exposures:
    """Exposures and free cash of a book at one instant, each added up once; make it anew after an order."""

    __slots__ = ("_book", "_free", "_parts")

    def __init__(self, book: Book) -> None:
        self._book = book
        self._parts: list[tuple[str, tuple[Decimal, Decimal, Decimal] | None]] = []
        self._free: dict[tuple[str, str], Decimal] = {}
        for key, instrument in book.ledger.instruments.items():
            part = _exposure(book, key)
            if part is not _NO_EXPOSURE:
                self._parts.append((instrument.base, part))

    def gross(self) -> Decimal | None:
        """Sum of absolute notionals of positions and unfilled entries, base currency; None while a mark is missing."""
        total = ZERO
        for _, part in self._parts:
            if part is None:
                return None
            total += abs(part[0]) + part[1]
        return total

    def coin(self, coin: str) -> Decimal | None:
        """Signed notional of a coin over all venues, unfilled entries included; base currency."""
        total = ZERO
        for base, part in self._parts:
            if base == coin:
                if part is None:
                    return None
                total += part[0] + part[2]
        return total

    def free_quote(self, instrument: Instrument) -> Decimal:
        """See `free_quote`."""
        where = (instrument.venue, instrument.quote)
        free = self._free.get(where)
        if free is None:
            free = self._free[where] = free_quote(self._book, instrument)
        return free


def context_for(book: Book, intent: OrderIntent, now: datetime, exposures: Exposures) -> GateContext:
    """Everything the rules may ask about one intent at this instant."""
    key = intent.instrument
    instrument = book.ledger.instruments.get(key)
    mark = book.mark(key)
    feed = book.feeds.get(instrument.venue) if instrument else None
    flatten = intent.purpose is Purpose.FLATTEN
    working = _working_entries(book, key, intent.side)
    return GateContext(
        now=now,
        instrument=instrument,
        price=mark.price if mark else None,
        price_at=mark.at if mark else None,
        bar=book.config.bar,
        state=book.venue_state(key),
        venue_online=feed.online if feed else None,
        equity=book.equity,
        free_balance=exposures.free_quote(instrument) if instrument else None,
        free_base=_free_base(book, instrument, intent.sleeve) if instrument else None,
        account_position=book.ledger.account_position(key),
        sleeve_position=book.ledger.held(intent.sleeve, key),
        gross_exposure=exposures.gross(),
        coin_exposure=exposures.coin(instrument.base) if instrument else None,
        orders_last_minute=book.entries_last_minute(now),
        day_loss=book.units.day_loss if book.equity is not None else None,
        drawdown=book.units.drawdown if book.equity is not None else None,
        sleeve_drawdown=sleeve_drawdown(book, intent.sleeve),
        stop_attached=_is_guarded(book, intent),
        fee_bps=book.config.reserve_bps,
        pending_exits=book.tracker.pending_exits(key, None if flatten else intent.sleeve),
        working_entries=working,
        parent_quantity=_parent_quantity(book, intent),
        base_currency=book.config.base_currency,
        obstacle=why_not_opened(book, key, intent.side) if intent.purpose is Purpose.ENTRY else "",
    )


def _is_guarded(book: Book, intent: OrderIntent) -> bool:
    """Whether a stop lies behind an entry, or the unwind rule of its basket, decided before."""
    if intent.purpose is not Purpose.ENTRY or intent.basket_id is not None:
        return True
    return (intent.sleeve, intent.instrument) in book.stop_prices


def why_not_opened(book: Book, key: InstrumentKey, side: Side) -> str:
    """What speaks against a new position there, beside the trading state; "" where nothing does."""
    for order in book.tracker.open_on(key):
        if order.state is OrderState.UNKNOWN and order.intent.side is side:
            return f"order {order.intent.client_id} on the same side is UNKNOWN until the venue gives proof"
    return book.outside.why_closed(key, book.now)


def free_quote(book: Book, instrument: Instrument) -> Decimal:
    """Quote currency at the venue that nothing claims: cash less reserved buys, margin in use and open losses."""
    venue, quote = instrument.venue, instrument.quote
    free = book.ledger.balances.get((venue, quote), ZERO)
    his = book.external.get((venue, quote), ZERO) - _claimed_by_trader(book, venue, quote)
    free += min(ZERO, his)  # what the trader took, or has promised beyond his own, is not there to be spent
    for key, other in book.ledger.instruments.items():
        if other.venue == venue and other.kind is Kind.PERPETUAL:
            position, mark = book.ledger.account_position(key), book.price(key)
            if position and mark is not None:
                free -= abs(position) * mark / other.max_leverage
                free += min(ZERO, book.ledger.account_unrealised(key, mark))
    for order in book.tracker.open_orders():
        intent = order.intent
        if intent.purpose is not Purpose.ENTRY or not order.remaining:
            continue
        claimed = book.ledger.instruments[intent.instrument]
        if claimed.venue == venue and (claimed.kind is Kind.PERPETUAL or intent.side is Side.BUY):
            price = intent.limit_price or intent.stop_price or intent.reference_price
            reserve = 1 + book.config.reserve_bps * _BASIS_POINT
            free -= order.remaining * price * reserve / claimed.max_leverage
    return free


def _claimed_by_trader(book: Book, venue: str, quote: str) -> Decimal:
    """Quote that the trader's own open orders at a venue may take."""
    total = ZERO
    for order in book.outside.orders.get(venue, ()):
        instrument = book.ledger.instruments.get(order.instrument)
        if instrument is None or instrument.quote != quote or not _may_open(order, instrument):
            continue
        price = order.limit_price or order.stop_price or book.price(order.instrument) or ZERO
        total += order.remaining * price / instrument.max_leverage
    return total


def _may_open(order: VenueOrder, instrument: Instrument) -> bool:
    """Whether an order of the trader may add risk: on spot he sells what is his."""
    return not order.reduce_only and (instrument.kind is Kind.PERPETUAL or order.side is Side.BUY)


def gross_exposure(book: Book) -> Decimal | None:
    """See `Exposures.gross`."""
    return Exposures(book).gross()


def coin_exposure(book: Book, coin: str) -> Decimal | None:
    """See `Exposures.coin`."""
    return Exposures(book).coin(coin)


def _exposure(book: Book, key: InstrumentKey) -> tuple[Decimal, Decimal, Decimal] | None:
    """Position notional (signed), unfilled entries (absolute, signed); None without a mark for them."""
    position = book.ledger.account_position(key)
    entries = [(o.remaining, o.intent.side) for o in book.tracker.open_on(key) if o.intent.purpose is Purpose.ENTRY]
    if book.outside.orders:
        instrument = book.ledger.instruments[key]
        entries += [(o.remaining, o.side) for o in book.outside.orders_on(key) if _may_open(o, instrument)]
    if not position and not entries:
        return _NO_EXPOSURE
    mark = book.price(key)
    if mark is None:
        return None
    if not entries:
        return position * mark, ZERO, ZERO
    unsigned = sum((size for size, _ in entries), ZERO) * mark
    signed = sum((size * side.sign for size, side in entries), ZERO) * mark
    return position * mark, unsigned, signed


def sleeve_drawdown(book: Book, name: str) -> Decimal | None:
    """Fall of a sleeve's P&L from its best, as a share of its capital plus that best; 0 for manual orders."""
    if name not in book.sleeves:
        return ZERO
    best = book.sleeve_peaks.get(name, ZERO)
    capital = book.sleeve_equity(name) - book.sleeve_pnl(name) + best
    return max(ZERO, (best - book.sleeve_pnl(name)) / capital) if capital > 0 else None


def _free_base(book: Book, instrument: Instrument, sleeve: str) -> Decimal | None:
    if instrument.kind is not Kind.SPOT:
        return None
    return book.ledger.held(sleeve, instrument.key) - book.tracker.pending_exits(instrument.key, sleeve)


def _working_entries(book: Book, key: InstrumentKey, side: Side) -> Decimal:
    return sum(
        (
            order.remaining
            for order in book.tracker.open_on(key)
            if order.intent.side is side and order.intent.purpose is Purpose.ENTRY
        ),
        ZERO,
    )


def _parent_quantity(book: Book, intent: OrderIntent) -> Decimal:
    parent = book.tracker.get(intent.parent_id) if intent.parent_id else None
    return parent.remaining * parent.intent.side.sign if parent else ZERO
