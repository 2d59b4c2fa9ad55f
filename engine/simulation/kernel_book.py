"""Marks, equity, brake and nettings of a kernel run, as `engine.market.marks` and `engine.trading.core` keep them."""

from __future__ import annotations

from engine.simulation.kernel_compile import part
from engine.simulation.kernel_fill import end_trade, record, unguard
from engine.simulation.kernel_layout import ACTIVE, CLOSE_ONLY, HALTED, NEVER, OFF, RESET, Records
from engine.simulation.kernel_money import at_most, booked
from engine.simulation.kernel_tables import market_at, pair_at, sleeve_at, venue_at

_DAY_MS = 86_400_000
_JUMP = 3
_CONFIRMATIONS = 3


@part
def holds(price: int, reference: int) -> bool:
    """Whether a price lies within the jump band around another; see `engine.market.marks.JumpBand`."""
    return price <= reference * _JUMP and price * _JUMP >= reference


@part
def mark(market: Records, price: int, at_ms: int) -> bool:
    """Take a close as the mark; False for a jump that nothing has confirmed yet."""
    if market.mark != 0 and not holds(price, market.mark):
        agrees = market.doubt_count > 0 and holds(price, market.doubt)
        count = market.doubt_count + (1 if at_ms > market.doubt_ms else 0) if agrees else 1
        market.doubt, market.doubt_ms, market.doubt_count = price, at_ms, count
        if count < _CONFIRMATIONS:
            return False
    market.doubt_count = 0
    market.mark, market.mark_ms = price, at_ms
    return True


@part
def value_book(run: Records) -> None:
    """Equity at the marks, value of a unit, its peak and the day's start, and what every strategy has made."""
    equity = 0.0
    for v in range(run.venues):
        equity += venue_at(run, v).cash
    for m in range(run.markets):
        market = market_at(run, m)
        if market.position != 0:
            equity += market.position * market.mark * market.unit
            equity -= market.cost if market.is_perpetual else 0.0
    run.equity = equity
    day = run.now_ms // _DAY_MS
    if day != run.day:
        run.day_start, run.day = run.value, day
    run.value = equity / run.capital
    run.peak = max(run.peak, run.value)
    for k in range(run.sleeves):
        sleeve, open_pnl = sleeve_at(run, k), 0.0
        for m in range(run.markets):
            pair, market = pair_at(run, k, m), market_at(run, m)
            if pair.held != 0:
                open_pnl += pair.held * market.mark * market.unit - pair.cost
        sleeve.pnl = sleeve.booked + open_pnl
        sleeve.peak = max(sleeve.peak, sleeve.pnl)


@part
def look_at_brake(run: Records) -> None:
    """Trip, wait or let go; see `engine.risk.brake`."""
    if run.brake == OFF:
        return
    if run.is_latched:
        _maybe_reset(run)
        return
    if not _marks_are_fresh(run):
        run.unknown_ms = run.now_ms if run.unknown_ms == NEVER else run.unknown_ms
    elif at_most(run.brake_drawdown * run.peak, run.peak - run.value):
        run.tripped_ms, run.unknown_ms = run.now_ms if run.tripped_ms == NEVER else run.tripped_ms, NEVER
    else:
        run.tripped_ms = run.unknown_ms = NEVER
        if run.waits:
            move_state(run, CLOSE_ONLY if run.failed >= run.failed_limit else ACTIVE, 0)
    _act_on_looks(run)


@part
def _act_on_looks(run: Records) -> None:
    close_only = False
    if run.unknown_ms != NEVER:
        close_only = run.tripped_ms != NEVER or run.now_ms - run.unknown_ms >= run.unknown_for_ms
    elif run.tripped_ms != NEVER:
        if run.now_ms - run.tripped_ms >= run.confirm_ms:
            run.state, run.is_latched, run.waits = HALTED, 1, 0
            run.braked_ms, run.has_stop, run.is_flat = run.now_ms, 1, 0
            return
        close_only = True
    if close_only and run.state == ACTIVE:
        move_state(run, CLOSE_ONLY, 1)


@part
def move_state(run: Records, value: int, waits: int) -> None:
    """Move between unlatched states."""
    run.state, run.waits, run.is_latched = value, waits, 0
    run.has_stop, run.is_flat, run.braked_ms = 0, 0, NEVER
    if value == ACTIVE:
        run.failed = 0


@part
def _maybe_reset(run: Records) -> None:
    if run.brake == RESET and run.is_flat and run.now_ms - run.braked_ms >= run.reset_ms:
        run.peak = run.value
        move_state(run, ACTIVE, 0)
        run.tripped_ms = run.unknown_ms = NEVER


@part
def _marks_are_fresh(run: Records) -> bool:
    for m in range(run.markets):
        if market_at(run, m).mark_ms >= run.now_ms - run.max_age_ms:
            continue
        for k in range(run.sleeves + 1):
            if pair_at(run, k, m).held != 0:
                return False
    return True


@part
def look_at_failures(run: Records) -> None:
    """Too many failed trades in a row close the book to entries."""
    if run.failed >= run.failed_limit and run.state == ACTIVE:
        move_state(run, CLOSE_ONLY, 0)


@part
def net_external(run: Records) -> None:
    """Charge a liquidation to the strategies that held what it closed, at its price."""
    outside = run.sleeves
    for m in range(run.markets):
        theirs = pair_at(run, outside, m)
        if theirs.held == 0:
            continue
        worth = theirs.cost / theirs.held
        for k in range(outside):
            held = pair_at(run, k, m).held
            if held != 0 and theirs.held != 0 and (held > 0) != (theirs.held > 0):
                net(run, m, k, outside, min(abs(held), abs(theirs.held)), worth)


@part
def net_flat(run: Records, m: int) -> None:
    """Close opposite sleeves of a flat account against each other at the mark."""
    worth = market_at(run, m).mark * market_at(run, m).unit
    for k in range(run.sleeves + 1):
        for other in range(run.sleeves + 1):
            long, short = pair_at(run, k, m).held, pair_at(run, other, m).held
            if long > 0 and short < 0:
                net(run, m, k, other, min(long, -short), worth)


@part
def net(run: Records, m: int, k: int, other: int, lots: int, worth: float) -> None:
    """Close ``lots`` of two opposite sleeves against each other; cash and account stay as they are."""
    for side in range(2):
        who = k if side == 0 else other
        pair, sleeve = pair_at(run, who, m), sleeve_at(run, who)
        change = -lots if pair.held > 0 else lots
        pair.held, pair.cost, realised = booked(pair.held, pair.cost, change, worth)
        sleeve.booked += realised
        pair.trade += realised
        pair.is_touched = 1
        note = record(run, m, who, change, round(worth / market_at(run, m).unit))
        if pair.held == 0:
            end_trade(sleeve, pair, note)
            unguard(pair)


@part
def pay_funding(run: Records, m: int, amount: float) -> None:
    """Move cash, and split the amount over the sleeves by their share of the account's position."""
    market = market_at(run, m)
    venue_at(run, market.venue).cash += amount
    run.funding += amount
    for k in range(run.sleeves + 1):
        pair = pair_at(run, k, m)
        if pair.held != 0:
            part = amount * pair.held / market.position
            sleeve_at(run, k).booked += part
            pair.trade += part
