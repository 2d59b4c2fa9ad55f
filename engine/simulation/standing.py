"""A book's positions, orders and limits as plain records, for the walk ahead."""

from __future__ import annotations

import numpy as np

from engine.domain.instruments import Kind
from engine.domain.market import FloatArray, to_ms
from engine.domain.orders import OrderState, OrderType, Purpose, Side
from engine.execution.tracker import TrackedOrder
from engine.risk.limits import RiskMode, Sizer
from engine.risk.sizing import (
    AGGRESSIVE_HIGH,
    AGGRESSIVE_LOW,
    CONSERVATIVE_RATIO,
    NO_ORDER_SHARE,
    SCHEDULE_END,
    SCHEDULE_START,
)
from engine.simulation import walk
from engine.simulation.foresight import Timeline
from engine.simulation.walk import Records, Standing
from engine.trading.book import Book
from engine.trading.config import BrakeMode

_RESTING = (Purpose.STOP, Purpose.TARGET)
_BASIS_POINT = 1e-4
_RATIOS = {
    RiskMode.CONSERVATIVE: (CONSERVATIVE_RATIO, CONSERVATIVE_RATIO),
    RiskMode.AGGRESSIVE: (AGGRESSIVE_HIGH, AGGRESSIVE_LOW),
}
_NEAR_TICKS = 1.5


def standing_of(timeline: Timeline, book: Book, maintenance: float) -> Standing | None:
    """The book as it stands; None while an order works that is neither a resting stop nor a resting target.

    Parameters
    ----------
    timeline : Timeline
    book : Book
    maintenance : float
        Share of open notional below which a simulated venue liquidates.
    """
    orders = list(book.tracker.open_orders())
    if not all(_rests(book, order) for order in orders):
        return None
    standing = Standing(
        _limits(book, maintenance),
        _positions(timeline, book),
        _places(timeline, book),
        _strategies(timeline, book),
        _resting(timeline, orders),
        _balances(timeline, book),
    )
    refresh(standing, timeline, book)
    return standing


def refresh(standing: Standing, timeline: Timeline, book: Book) -> None:
    """Take over what changes without a fact: the peaks."""
    standing.book["peak"] = float(book.units.peak)
    for number, name in enumerate(timeline.sleeves):
        standing.strategies["peak"][number] = float(book.sleeve_peaks.get(name, 0))


def _rests(book: Book, order: TrackedOrder) -> bool:
    """Whether an order waits untouched for its price, beside a position that no entry adds to."""
    intent = order.intent
    parent = book.tracker.get(intent.parent_id or "")
    untouched = order.state is OrderState.WORKING and not order.filled and not order.reported
    return intent.purpose in _RESTING and untouched and (parent is None or not parent.remaining)


def _limits(book: Book, maintenance: float) -> Records:
    risk, bar = book.risk, book.config.bar
    is_off = book.config.brake is BrakeMode.OFF
    row = (
        float(book.ledger.cash()), float(book.units.units), 0.0, np.inf if is_off else float(risk.brake_drawdown),
        maintenance, np.inf if is_off else float(risk.max_price_age_bars * bar.ms), float(risk.max_position_share),
        float(risk.max_exposure), float(risk.max_concentration), float(book.config.reserve_bps) * _BASIS_POINT,
        float(NO_ORDER_SHARE), *map(float, _RATIOS[risk.mode]), float(SCHEDULE_START), float(SCHEDULE_END),
        book.latched, risk.sizer is Sizer.WEIGHTS,
    )  # fmt: skip
    return np.array([row], dtype=walk.Book)


def _positions(timeline: Timeline, book: Book) -> Records:
    accounts = dict(book.ledger.accounts())
    rows = []
    for key, lane in timeline.lanes.items():
        one, account = lane.instrument, accounts.get(key)
        is_derivative = one.kind is Kind.PERPETUAL
        quantity, cost = (float(account.quantity), float(account.cost)) if account else (0.0, 0.0)
        allowed = float(min(book.risk.max_leverage, one.max_leverage)) if is_derivative else 1.0
        rows.append(
            (
                quantity, cost if is_derivative else 0.0, float(one.tick_size), float(one.lot_size),
                float(one.min_notional), float(one.max_leverage), allowed, timeline.venues.index(one.venue),
                timeline.coins.index(one.base), is_derivative,
            )
        )  # fmt: skip
    return np.array(rows, dtype=walk.Position)


def _places(timeline: Timeline, book: Book) -> Records:
    lanes, rows = list(timeline.lanes), []
    for name, key in timeline.asks:
        holding = book.ledger.holdings.get((name, key))
        held, cost = (float(holding.quantity), float(holding.cost)) if holding is not None else (0.0, 0.0)
        rows.append((held, cost, lanes.index(key), timeline.sleeves.index(name), book.stopped_out.get((name, key), 0)))
    return np.array(rows, dtype=walk.Place)


def _strategies(timeline: Timeline, book: Book) -> Records:
    rows = []
    for name in timeline.sleeves:
        sleeve, totals = book.sleeves[name], book.ledger.sleeves.get(name)
        pnl = float(totals.realised - totals.fees + totals.funding) if totals is not None else 0.0
        rows.append((float(sleeve.weight), pnl, 0.0, sleeve.running and not sleeve.quarantined))
    return np.array(rows, dtype=walk.Strategy)


def _resting(timeline: Timeline, orders: list[TrackedOrder]) -> Records:
    """Each with the price at which it is near, a tick and a half before its own."""
    lanes, rows = list(timeline.lanes), []
    for order in orders:
        intent = order.intent
        is_stop = intent.order_type is OrderType.STOP
        price, is_below = order.stop_price if is_stop else intent.limit_price, (intent.side is Side.SELL) is is_stop
        assert price is not None, "stops and limits have a price since they were made"
        near = _NEAR_TICKS * float(timeline.lanes[intent.instrument].instrument.tick_size)
        begin = timeline.row(to_ms(intent.created_at)) + 1
        rows.append((float(price) + (near if is_below else -near), lanes.index(intent.instrument), is_below, begin))
    return np.array(rows, dtype=walk.Resting)


def _balances(timeline: Timeline, book: Book) -> FloatArray:
    quote = book.ledger.base_currency
    return np.array([float(book.ledger.balances.get((venue, quote), 0)) for venue in timeline.venues])
