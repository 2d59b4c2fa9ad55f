"""The book as readers see it: one frozen snapshot, built between two events."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from engine.domain.commands import TradingState
from engine.domain.facts import Gap
from engine.domain.instruments import Instrument, InstrumentKey, Kind, venue_of
from engine.domain.orders import OrderState, Purpose
from engine.domain.portfolio import (
    Balance,
    BookSnapshot,
    FeedView,
    LimitUse,
    Position,
    QuoteView,
    SleeveView,
    StopView,
    WorkingOrder,
)
from engine.execution.tracker import TrackedOrder
from engine.ledger.holdings import Holding, SleeveTotals
from engine.risk.limits import limit_rows
from engine.risk.sizing import is_dust
from engine.trading.book import Book
from engine.trading.by_hand import hand_stops
from engine.trading.coin_fees import unpriced_fees
from engine.trading.config import StopScope
from engine.trading.core import TRADES_FAILED
from engine.trading.exposure import coin_exposure, gross_exposure, sleeve_drawdown
from engine.trading.external import EXTERNAL
from engine.trading.gaps import lasting_gaps
from engine.trading.graduation import evidence_of
from engine.trading.remainders import dust, open_at_worst, still_held

ZERO = Decimal(0)
_CHECKED_PER_ORDER = frozenset({"price_band", "brake_confirm_s", "brake_unknown_s"})
"""Settings that bind a single order or a delay: they have no use that could be shown beside them."""


def report(book: Book, balances: tuple[Balance, ...], published_at: datetime, sequence: int) -> BookSnapshot:
    """Everything a page may say about the book now; ``balances`` are the venues' own words."""
    totals = book.ledger.sleeves.values()
    unpriced = [k for _, k, _ in book.ledger.open_holdings() if book.price(k) is None]
    at_marks = book.ledger.equity(book.price)  # fills since the last close included
    equity = at_marks if at_marks is not None else book.equity
    units = book.units.at_equity(equity) if equity is not None else book.units
    snapshot = BookSnapshot(
        name=book.config.name,
        stage=book.config.stage,
        simulated=book.config.simulated,
        base_currency=book.config.base_currency,
        state=book.state,
        latched=book.latched,
        state_reason=book.state_reason,
        market_time=book.now,
        published_at=published_at,
        sequence=sequence,
        equity=equity if equity is not None else book.last_equity,
        cash=book.ledger.cash(),
        capital=book.ledger.capital,
        unrealised=book.ledger.unrealised(book.price),
        realised=sum((t.realised for t in totals), ZERO),
        fees=sum((t.fees for t in totals), ZERO),
        funding=sum((t.funding for t in totals), ZERO),
        peak_equity=units.peak * units.units,
        drawdown=units.drawdown,
        pnl=units.pnl(),
        speed=book.speed,
        positions=_positions(book, published_at),
        orders=(*(_order(o) for o in book.tracker.open_orders() if not o.state.is_final), *_own_orders(book)),
        sleeves=tuple(_sleeve(book, name, equity) for name in _names(book)),
        allocation=book.allocation.value,
        balances=balances,
        instruments=tuple(book.ledger.instruments.values()),
        marks=tuple((k, m.price) for k in book.ledger.instruments if (m := book.mark(k)) is not None),
        feeds=tuple(_feed(book, venue) for venue in sorted(book.feeds)),
        limits=_limits(book),
        risk=book.risk.model_dump_json(),
        refused=tuple(reversed(book.refused)),
        stop=_stop(book, published_at),
        fills=book.ledger.fills,
        unpriced=(*dict.fromkeys(unpriced), *unpriced_fees(book)),
        is_valued=equity is not None,
    )
    return _with_permissions(book, snapshot)


def _with_permissions(book: Book, snapshot: BookSnapshot) -> BookSnapshot:
    """What the book may do beyond its trading state, and what it sees and does across markets."""
    return replace(
        snapshot,
        needs_arming=book.config.needs_arming,
        armed=book.licence.armed is not None,
        stop_spares_own=book.config.stop_scope is StopScope.ENGINE,
        obstacles=tuple(sorted(book.licence.obstacles.items())),
        promotions=tuple(book.licence.promotions.values()),
        opportunities=tuple(reversed(book.baskets.sighted.values())),
        baskets=book.baskets.views(),
        quotes=_quotes(book),
        fee_bps=book.config.taker_bps,
    )


def _quotes(book: Book) -> tuple[QuoteView, ...]:
    found = []
    for key in book.ledger.instruments:
        mark, top = book.mark(key), book.baskets.tops.get(key)
        if mark is not None:
            best = (top.bid, top.ask, top.at) if top is not None else (None, None, None)
            found.append(QuoteView(key, mark.price, mark.source.value, mark.at, *best))
    return tuple(found)


def _positions(book: Book, published_at: datetime) -> tuple[Position, ...]:
    by_hand = hand_stops(book)
    return tuple(
        replace(_position(book, sleeve, key, holding, published_at), by_hand=by_hand.get((sleeve, key)))
        for sleeve, key, holding in book.ledger.open_holdings()
    )


def _position(book: Book, sleeve: str, key: InstrumentKey, holding: Holding, published_at: datetime) -> Position:
    mark = book.mark(key)
    stops, targets = book.tracker.stops(sleeve, key), book.tracker.targets(sleeve, key)
    bare = book.gaps.get((sleeve, key, Gap.STOP_TOO_SMALL))
    return Position(
        sleeve=sleeve,
        instrument=key,
        quantity=holding.quantity,
        entry_price=holding.entry_price,
        mark=mark.price if mark else None,
        mark_source=mark.source.value if mark else "none",
        mark_at=mark.at if mark else None,
        unrealised=holding.unrealised(mark.price) if mark else None,
        realised=holding.realised,
        fees=holding.fees,
        opened_at=holding.opened_at or published_at,
        stop_price=stops[-1].stop_price if stops else None,
        notional=holding.quantity * mark.price if mark else None,
        target_price=targets[-1].intent.limit_price if targets else None,
        trails=bool(stops) and stops[-1].intent.trail_distance is not None,
        unprotected=bare.quantity if bare is not None else ZERO,
        warnings=(*_warnings(book, key), *lasting_gaps(book.gaps, sleeve, key)),
        managed=not book.outside.is_locked(venue_of(key)),
        is_dust=mark is not None and is_dust(holding.quantity, book.ledger.instruments[key], mark.price),
    )


def _warnings(book: Book, key: InstrumentKey) -> tuple[str, ...]:
    venue = venue_of(key)
    closed = book.outside.closed.get(key, "")
    warnings = (f"closed to entries: {closed}",) if closed else ()
    if not book.outside.is_locked(venue):
        return warnings
    return (
        f"UNMANAGED: {venue} does not accept the key; its stop may still work there, nothing else does",
        *warnings,
    )


def _order(order: TrackedOrder) -> WorkingOrder:
    intent = order.intent
    return WorkingOrder(
        client_id=intent.client_id,
        venue_order_id=order.venue_order_id,
        instrument=intent.instrument,
        side=intent.side,
        quantity=order.quantity,
        filled=order.filled,
        order_type=intent.order_type,
        limit_price=intent.limit_price,
        stop_price=order.stop_price,
        state=order.state,
        purpose=intent.purpose,
        sleeve=intent.sleeve,
        created_at=intent.created_at,
        post_only=intent.post_only,
        reduce_only=intent.reduce_only,
    )


def _own_orders(book: Book) -> list[WorkingOrder]:
    """The trader's own orders at the venues: in sight, and nobody's business but his."""
    return [
        WorkingOrder(
            client_id=order.client_id,
            venue_order_id=order.venue_order_id,
            instrument=order.instrument,
            side=order.side,
            quantity=order.quantity,
            filled=order.filled,
            order_type=order.order_type,
            limit_price=order.limit_price,
            stop_price=order.stop_price,
            state=OrderState.PARTIAL if order.filled else OrderState.WORKING,
            purpose=Purpose.EXIT if order.reduce_only else Purpose.ENTRY,
            sleeve=EXTERNAL,
            created_at=order.at,
            reduce_only=order.reduce_only,
        )
        for orders in book.outside.orders.values()
        for order in orders
    ]


def _stop(book: Book, published_at: datetime) -> StopView | None:
    """The stop with what is still open while it is not flat, and the dust it leaves once it is."""
    if book.stop is None:
        return None
    view = book.stop.view()
    if view.flat:
        return replace(view, dust=dust(book))
    now = book.now if book.config.simulated and book.now is not None else published_at
    return replace(view, exposure=open_at_worst(book), held=still_held(book, now))


def _names(book: Book) -> list[str]:
    return [*sorted(book.sleeves), *sorted(set(book.ledger.sleeves) - set(book.sleeves))]


def _sleeve(book: Book, name: str, equity: Decimal | None) -> SleeveView:
    sleeve = book.sleeves.get(name)
    totals = book.ledger.sleeves.get(name) or SleeveTotals()
    ideas = sorted(sleeve.ideas.values(), key=lambda idea: idea.instrument) if sleeve else []
    return SleeveView(
        strategy=name,
        running=sleeve.running if sleeve else False,
        quarantined=sleeve.quarantined if sleeve else "",
        values=sleeve.values if sleeve else "{}",
        instruments=sleeve.instruments if sleeve else (),
        weight=sleeve.weight if sleeve else ZERO,
        equity=(equity or ZERO) * sleeve.weight if sleeve else ZERO,
        realised=totals.realised,
        unrealised=book.ledger.unrealised(book.price, name),
        fees=totals.fees,
        funding=totals.funding,
        fills=totals.fills,
        trades=totals.trades,
        wins=totals.wins,
        ideas=tuple(ideas),
        evidence=evidence_of(book, name),
    )


def _feed(book: Book, venue: str) -> FeedView:
    feed = book.feeds[venue]
    market, wall = feed.last_market_time, feed.last_wall_time
    told = (feed.online, feed.detail, market, wall, feed.latency_s, feed.calls, feed.failures)
    outside = book.outside
    return FeedView(venue, book.config.simulated, *told, outside.shown(venue), outside.awaiting.get(venue, ""))


def _limits(book: Book) -> tuple[LimitUse, ...]:
    used = _used(book)
    rows = (row for row in limit_rows(book.risk) if row.name not in _CHECKED_PER_ORDER)
    return tuple(row.with_use(used.get(row.name)) for row in rows)


def _used(book: Book) -> dict[str, Decimal | None]:
    equity = book.equity
    gross = gross_exposure(book)
    share = gross / equity if gross is not None and equity else None
    drawdown = book.units.drawdown if equity is not None else None
    return {
        "brake_drawdown": drawdown,
        "portfolio_drawdown": drawdown,
        "daily_loss": max(ZERO, book.units.day_loss) if equity is not None else None,
        "max_exposure": share,
        "max_position_share": _largest_position(book, equity),
        "max_concentration": _largest_coin(book, equity),
        "max_leverage": _leverage(book, equity),
        "max_orders_per_minute": Decimal(book.entries_last_minute(book.now)) if book.now else ZERO,
        "strategy_drawdown": _worst_sleeve(book),
        "max_price_age_bars": _oldest_mark(book),
        "failed_trades_limit": Decimal(_failed_trades(book)),
        "api_errors_limit": _errors(book),
    }


def _failed_trades(book: Book) -> int:
    """Failures in a row; those that closed the book to entries stay on show, although a fill has ended the row."""
    count, _, what = book.state_reason.partition(" ")
    closed_by = book.state is TradingState.CLOSE_ONLY and what == TRADES_FAILED and count.isdecimal()
    return max(int(count) if closed_by else 0, book.failed_trades.in_a_row)


def _worst_sleeve(book: Book) -> Decimal | None:
    falls = [sleeve_drawdown(book, name) for name in book.sleeves]
    known = [fall for fall in falls if fall is not None]
    return max(known, default=ZERO) if len(known) == len(falls) else None


def _oldest_mark(book: Book) -> Decimal | None:
    """Age of the oldest mark, in bars; None while an instrument has none."""
    if book.now is None:
        return None
    ages = [book.marks.age(key, book.now) for key in book.ledger.instruments]
    if any(age is None for age in ages):
        return None
    oldest = max((age.total_seconds() for age in ages if age is not None), default=0.0)
    return Decimal(int(oldest)) // book.config.bar.seconds


def _largest_position(book: Book, equity: Decimal | None) -> Decimal | None:
    return _largest([_notional(book, key) for key in book.ledger.instruments], equity)


def _largest_coin(book: Book, equity: Decimal | None) -> Decimal | None:
    coins = sorted({i.base for i in book.ledger.instruments.values()})
    return _largest([coin_exposure(book, coin) for coin in coins], equity)


def _leverage(book: Book, equity: Decimal | None) -> Decimal | None:
    perpetuals = [i for i in book.ledger.instruments.values() if i.kind is Kind.PERPETUAL]
    notionals = [_absolute(book, i) for i in perpetuals]
    if equity is None or equity <= 0 or any(n is None for n in notionals):
        return None
    return sum((n for n in notionals if n is not None), ZERO) / equity


def _absolute(book: Book, instrument: Instrument) -> Decimal | None:
    notional = _notional(book, instrument.key)
    return abs(notional) if notional is not None else None


def _notional(book: Book, key: InstrumentKey) -> Decimal | None:
    held, price = book.ledger.account_position(key), book.price(key)
    if not held:
        return ZERO
    return held * price if price is not None else None


def _largest(values: list[Decimal | None], equity: Decimal | None) -> Decimal | None:
    if equity is None or equity <= 0 or any(v is None for v in values):
        return None
    return max((abs(v) for v in values if v is not None), default=ZERO) / equity


def _errors(book: Book) -> Decimal:
    if book.now is None:
        return ZERO
    return Decimal(max((e.count(book.now) for e in book.venue_errors.values()), default=0))
