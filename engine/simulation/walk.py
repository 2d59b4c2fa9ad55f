"""Walks ahead from an instant of a replay to the first one that may change anything, in compiled code.

Floats stand in for the money of the core. Every comparison leaves `MARGIN`, a tick or a lot on the side of living
through, so that no rounding can pass over what the core would have decided otherwise. A number that is not one (NaN)
passes no comparison here that lets an instant be passed over.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from engine.domain.market import FloatArray, IntArray
from engine.quant.arrays import BoolArray, kernel
from engine.simulation.kernel_compile import part

MARGIN = 1e-9
"""Relative: a million times what rounding of floats adds up to here."""
_NEAR_TICKS = 1.5

Records = Any
"""A numpy array of the records below, or one of them. Fields are read as attributes, which type hints do not know."""


def _fields(floats: str, whole: str) -> list[tuple[str, str]]:
    return [(name, "f8") for name in floats.split()] + [(name, "i8") for name in whole.split()]


Book = np.dtype(
    _fields(
        "cash units peak brake maintenance oldest_ms share exposure concentration reserve untouched "
        "ratio_high ratio_low schedule_start schedule_end",
        "is_over by_weight",
    )
)
"""``brake`` is the drawdown that trips it, infinite where none does; ``oldest_ms`` the age of a price the brake doubts;
``share``, ``exposure`` and ``concentration`` are the limits of one position, of all, and of a coin; ``untouched`` is
the share of a target that is no order; ``ratio_*`` and ``schedule_*`` are those of `engine.risk.sizing.risk_ratio`.
They are no constants, because machine code that is kept on disk would outlive a change of them."""
Position = np.dtype(_fields("quantity cost tick lot least leverage allowed", "venue coin is_derivative"))
"""The account's, one a lane: signed base, cost (quote) where a derivative; ``leverage`` is the venue's, ``allowed`` the
one sizes may use."""
Place = np.dtype(_fields("held cost", "lane sleeve latch"))
"""A sleeve's place in an instrument, one an ask; ``latch`` as `engine.trading.book.Book.stopped_out`."""
Strategy = np.dtype(_fields("weight pnl peak", "is_asked"))
"""``pnl`` is what it has made but for open positions."""
Resting = np.dtype(_fields("price", "lane is_below begin"))
"""An order that fills where the low comes down to its price (or the high up to it), from the row ``begin`` on."""


class Sights(NamedTuple):
    """What is known ahead, by instant; see `engine.simulation.foresight.Timeline`."""

    instants: IntArray
    forced: BoolArray
    price: FloatArray
    high: FloatArray
    low: FloatArray
    closed_row: IntArray
    funded: BoolArray
    convictions: FloatArray
    distances: FloatArray
    wants: BoolArray


class Standing(NamedTuple):
    """The book as it stands: records as above, and the quote coin at each venue."""

    book: Records
    positions: Records
    places: Records
    strategies: Records
    resting: Records
    balances: FloatArray


@kernel
def next_lived(sights: Sights, standing: Standing, row: int, barrier: int) -> int:
    """The first row after ``row`` that has to be lived through, at most ``barrier``."""
    stop = barrier
    if _was_reached(sights, standing.resting, row):
        stop = row + 1
    for i in range(row + 1, stop):
        if _matters(sights, standing, i):
            stop = i
            break
    return _with_last_closes(sights, row, stop)


@part
def _with_last_closes(sights: Sights, row: int, stop: int) -> int:
    """``stop``, or an earlier row that left a price behind which still counts there."""
    needed = stop
    while True:
        for lane in range(len(sights.price)):
            last = sights.closed_row[lane, stop]
            if row < last < needed:
                needed = last
        if needed == stop:
            return needed
        stop = needed


@part
def _was_reached(sights: Sights, resting: Records, row: int) -> bool:
    """Whether a candle up to ``row`` came to an order that is still there: it may have been triggered unseen."""
    for number in range(len(resting)):
        while resting[number].begin <= row:
            if _reaches(sights, resting[number], resting[number].begin):
                return True
            resting[number].begin += 1
    return False


@part
def _reaches(sights: Sights, order: Records, i: int) -> bool:
    """Whether the candle of a row comes near to an order's price (which has the margin in it already)."""
    if order.is_below:
        return bool(sights.low[order.lane, i] <= order.price)
    return bool(sights.high[order.lane, i] >= order.price)


@part
def _matters(sights: Sights, standing: Standing, i: int) -> bool:
    """Whether anything but the equity may change at a row."""
    if sights.forced[i]:
        return True
    if standing.book[0].is_over:
        return False
    for number in range(len(standing.resting)):
        if _reaches(sights, standing.resting[number], i):
            return True
    equity = _equity(sights, standing, i)
    if not _is_usual(sights, standing, i, equity):
        return True
    for lane in range(len(standing.positions)):
        if standing.positions[lane].quantity != 0.0 and _is_charged(sights, standing, lane, i):
            return True
    discontent = 0
    for ask in range(len(standing.places)):
        discontent += not _is_content(sights, standing, ask, i, equity)
    return discontent > 0


@part
def _equity(sights: Sights, standing: Standing, i: int) -> float:
    equity = standing.book[0].cash
    for lane in range(len(standing.positions)):
        position = standing.positions[lane]
        equity += position.quantity * sights.price[lane, i] - position.cost
    return float(equity)


@part
def _is_usual(sights: Sights, standing: Standing, i: int, equity: float) -> bool:
    """Whether no peak, of the book or of a strategy, is near, nor the brake, and no price that counts is old."""
    book, holds = standing.book[0], False
    for k in range(len(standing.strategies)):
        strategy, open_, moves = standing.strategies[k], 0.0, False
        for ask in range(len(standing.places)):
            place = standing.places[ask]
            if place.sleeve == k and place.held != 0.0:
                moves = True
                open_ += place.held * sights.price[place.lane, i] - place.cost
                if sights.instants[i] - sights.instants[sights.closed_row[place.lane, i]] > book.oldest_ms:
                    return False
        if moves and not strategy.pnl + open_ < strategy.peak - MARGIN * abs(equity):
            return False
        holds = holds or moves
    if not holds:
        return bool(equity > 0.0)
    value = equity / book.units
    return bool(0.0 < value < book.peak * (1.0 - MARGIN) and book.peak - value < (book.brake - MARGIN) * book.peak)


@part
def _is_charged(sights: Sights, standing: Standing, lane: int, i: int) -> bool:
    """Whether a derivative position pays funding or comes near to its liquidation."""
    position, maintenance = standing.positions[lane], standing.book[0].maintenance
    if not position.is_derivative:
        return False
    equity, notional = standing.balances[position.venue], 0.0
    for other in range(len(standing.positions)):
        beside = standing.positions[other]
        if other != lane and beside.is_derivative and beside.venue == position.venue:
            worth = beside.quantity * sights.price[other, i]
            equity += worth - beside.cost
            notional += abs(worth)
    span = position.quantity - maintenance * abs(position.quantity)
    price = (maintenance * notional + position.cost - equity) / span
    near = abs(price) * MARGIN + _NEAR_TICKS * position.tick
    safe = sights.low[lane, i] > price + near if position.quantity > 0.0 else sights.high[lane, i] < price - near
    return bool(sights.funded[lane, i] or not safe)


@part
def _is_content(sights: Sights, standing: Standing, ask: int, i: int, equity: float) -> bool:
    """Whether a strategy, if it is asked at all, wants no order and forgets nothing."""
    place, conviction = standing.places[ask], sights.convictions[ask, i]
    if not standing.strategies[place.sleeve].is_asked or np.isnan(conviction):
        return True
    if place.latch != 0:
        waits = conviction * place.latch > 0.0 and abs(conviction) <= 1.0
        return bool(waits and (place.held == 0.0 or abs(place.latch) > 1))
    if place.held == 0.0:
        return not sights.wants[ask, i]
    if not sights.wants[ask, i]:
        worth = abs(place.held) * sights.price[place.lane, i]
        return bool(worth * (1.0 + MARGIN) < standing.positions[place.lane].least)  # dust that nobody can sell
    return _keeps_size(sights, standing, ask, i, equity)


@part
def _keeps_size(sights: Sights, standing: Standing, ask: int, i: int, equity: float) -> bool:
    """Whether the target surely lies so near to what is held that no order follows; see `engine.risk.sizing`.

    The exact target is a whole number of lots, at most one lot below the one here, and so is the order's size.
    """
    place, conviction = standing.places[ask], sights.convictions[ask, i]
    if not (conviction * place.held > 0.0 and abs(conviction) <= 1.0):
        return False
    position, price = standing.positions[place.lane], sights.price[place.lane, i]
    target = _target(sights, standing, ask, i, equity)
    farthest = (abs(target - abs(place.held)) + 2.0 * position.lot) * (1.0 + MARGIN)
    threshold = max(position.least, standing.book[0].untouched * (target - 2.0 * position.lot) * price)
    return bool(target > 2.0 * position.lot and farthest * price < threshold * (1.0 - MARGIN))


@part
def _target(sights: Sights, standing: Standing, ask: int, i: int, equity: float) -> float:
    """The size before it is cut to whole lots, unsigned base; 0 where there is none."""
    book, place, share = standing.book[0], standing.places[ask], abs(sights.convictions[ask, i])
    position, price, distance = standing.positions[place.lane], sights.price[place.lane, i], sights.distances[ask, i]
    capital = equity * standing.strategies[place.sleeve].weight
    costly = price * (1.0 + book.reserve)
    cap = min(_room(sights, standing, ask, i, equity), position.allowed * capital)
    if book.by_weight:
        return float(max(0.0, min(cap, share * capital) / costly))
    least = 1.01 * position.tick
    if not distance > least or (place.held > 0.0 and not price - distance > least):
        return 0.0
    cap = min(cap, book.share * min(capital, equity))
    return float(max(0.0, min(cap / costly, share * _risk_ratio(book, equity) * capital / distance)))


@part
def _room(sights: Sights, standing: Standing, ask: int, i: int, equity: float) -> float:
    """Notional that exposure, concentration and free cash leave; see `engine.trading.decisions`."""
    book, place = standing.book[0], standing.places[ask]
    position, own = standing.positions[place.lane], place.held * sights.price[place.lane, i]
    gross, coin, free = 0.0, 0.0, standing.balances[position.venue]
    for lane in range(len(standing.positions)):
        other = standing.positions[lane]
        worth = other.quantity * sights.price[lane, i]
        gross += abs(worth)
        coin += worth if other.coin == position.coin else 0.0
        if other.is_derivative and other.venue == position.venue:
            free += min(0.0, worth - other.cost) - abs(worth) / other.leverage
    direction = 1.0 if place.held > 0.0 else -1.0
    by_exposure = book.exposure * equity - max(0.0, gross - abs(own))
    by_coin = book.concentration * equity - direction * (coin - own)
    return float(min(by_exposure, by_coin, abs(own) + max(0.0, free) * position.leverage))


@part
def _risk_ratio(book: Records, equity: float) -> float:
    """See `engine.risk.sizing.risk_ratio`."""
    start, end, high = book.schedule_start, book.schedule_end, book.ratio_high
    inside = min(max(equity, start), end)
    return float(high * (book.ratio_low / high) ** ((inside - start) / (end - start)))
