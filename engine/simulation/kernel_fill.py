"""An execution inside a kernel run: cash and position at the venue, then what the book makes of it."""

from __future__ import annotations

from engine.simulation.kernel_compile import part
from engine.simulation.kernel_layout import ENTRY, NETTING, STOP, TAKEN, TARGET, TRAILED, Records
from engine.simulation.kernel_money import CENT, booked, fee_of
from engine.simulation.kernel_tables import fill_at, market_at, order_at, pair_at, sleeve_at, venue_at
from engine.simulation.kernel_venue import end_order, hold_back, resize, tell


@part
def fill(run: Records, m: int, slot: int, lots: int, price: int, is_maker: bool) -> None:
    """Execute lots: cash and position at the venue, then what the book makes of it.

    What a target takes its stop loses, and its entry stops filling.
    """
    order = order_at(run, m, slot)
    k, change = order.sleeve, lots * order.sign
    if order.purpose == TARGET and order.parent >= 0 and order_at(run, m, order.parent).venue_open:
        end_order(run, m, order.parent, True)
    is_first = order.filled == 0
    if is_first:
        order.entered_ms = run.now_ms
    order.filled += lots
    if order.filled >= order.venue_size:
        order.venue_open = 0
    note = record(run, m, k, change, price)
    note.purpose = TRAILED if order.purpose == STOP and order.is_moved else order.purpose
    note.fee = move_account(run, m, change, price, is_maker)
    hold_back(run, m, order)
    closed = book_sleeve(run, m, k, change, note)
    pair = pair_at(run, k, m)
    run.failed = 0
    if order.purpose == STOP:
        pair.latch = -order.sign
    elif order.purpose == TARGET:
        pair.latch = -order.sign * TAKEN
    elif order.purpose == ENTRY:
        pair.latch = 0
        pair.best = 0 if is_first else pair.best
    if closed and pair.held == 0:
        unguard(pair)
    tell(run, m, order)
    if order.purpose == TARGET:
        take_from_stop(run, m, order.pair, lots)


@part
def take_from_stop(run: Records, m: int, slot: int, lots: int) -> None:
    """Take off a stop what its target has filled."""
    stop = order_at(run, m, slot)
    if lots < stop.venue_size - stop.filled:
        resize(run, m, slot, stop.venue_size - lots)
        tell(run, m, stop)
    else:
        end_order(run, m, slot, True)


@part
def unguard(pair: Records) -> None:
    """Forget the stop, target and best price of a position that is gone."""
    pair.stop = pair.target = pair.trail = pair.best = 0


@part
def move_account(run: Records, m: int, change: int, price: int, is_maker: bool) -> float:
    """Move cash, coins or the derivative position, and take the fee; returns it."""
    market = market_at(run, m)
    account, worth = venue_at(run, market.venue), price * market.unit
    if market.is_perpetual:
        market.position, market.cost, realised = booked(market.position, market.cost, change, worth)
        account.cash += realised
    else:
        market.position += change
        account.cash -= change * worth
    fee = fee_of(market, abs(change), price, is_maker)
    account.cash -= fee
    return fee


@part
def record(run: Records, m: int, k: int, change: int, price: int) -> Records:
    """Begin a row of the run's book."""
    note, market = fill_at(run, run.fills), market_at(run, m)
    run.fills += 1
    bar = market.row if market.row < run.views else market.bar + 1
    note.bar, note.at_ms, note.market, note.sleeve = bar - market.first, run.now_ms, m, k
    note.sign, note.lots, note.price = 1 if change > 0 else -1, abs(change), price
    note.purpose, note.fee, note.pnl, note.closes = NETTING, 0.0, 0.0, 0
    note.stop = pair_at(run, k, m).stop
    return note


@part
def book_sleeve(run: Records, m: int, k: int, change: int, note: Records) -> bool:
    """Move a sleeve's position and totals by an execution; whether a round trip has ended."""
    pair, sleeve = pair_at(run, k, m), sleeve_at(run, k)
    before, worth = pair.held, note.price * market_at(run, m).unit
    pair.held, pair.cost, realised = booked(before, pair.cost, change, worth)
    sleeve.booked += realised - note.fee
    pair.trade += realised - note.fee
    pair.is_touched = 1
    run.fill_count += 1
    run.is_flat = 0
    closed = before != 0 and (pair.held == 0 or (before > 0) != (pair.held > 0))
    if closed:
        end_trade(sleeve, pair, note)
    return bool(closed)


@part
def end_trade(sleeve: Records, pair: Records, note: Records) -> None:
    """Count a round trip that has ended."""
    sleeve.trades += 1
    sleeve.wins += 1 if pair.trade > CENT / 10 else 0
    note.closes, note.pnl = 1, pair.trade
    pair.trade = 0.0
