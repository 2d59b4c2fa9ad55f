"""From conviction to orders inside a kernel run, in the order of `engine.trading.decisions` and `protecting`."""

from __future__ import annotations

import math

from engine.simulation.kernel_compile import part
from engine.simulation.kernel_layout import ENTRY, EXIT, STOP, TAKEN, Records
from engine.simulation.kernel_orders import (
    APPROVED,
    CANCELS,
    add_order,
    is_dust,
    note,
    pending_exits,
    remaining,
    tally,
    working,
)
from engine.simulation.kernel_protect import aim, cover, send_exit, withdraw_entries_of
from engine.simulation.kernel_risk import entry_passes, order_lots, target_lots
from engine.simulation.kernel_tables import entry_times, market_at, order_at, pair_at, view_at


@part
def follow(run: Records, k: int, m: int) -> None:
    """Move a sleeve towards the target its conviction implies; NaN is no view and changes nothing."""
    view = view_at(run, k, market_at(run, m).row)
    conviction = view.conviction
    if math.isnan(conviction):
        return
    pair, market = pair_at(run, k, m), market_at(run, m)
    wished = conviction
    if pair.latch != 0:
        if conviction * pair.latch > 0 and abs(pair.latch) == TAKEN:
            withdraw_entries_of(run, k, m)
            return
        if conviction * pair.latch > 0:
            wished = 0.0
        else:
            pair.latch = 0
    if pair.held == 0 and working(run, k, m) == 0 and (wished == 0.0 or (wished < 0.0 and not market.is_perpetual)):
        pair.too_small = 0
        return
    target = target_lots(run, k, m, wished, view.distance)
    lots = order_lots(market, target, pair.held, working(run, k, m))
    _count_too_small(run, k, m, _too_small(run, market, wished, target, view.distance))
    if lots == 0 or _cancels_opposing(run, k, m, lots):
        return
    if pair.held != 0 and (pair.held > 0) != (lots > 0):
        if not is_dust(market, pair.held):
            _close(run, k, m, min(abs(lots), abs(pair.held)))
    else:
        _enter(run, k, m, lots, view)


@part
def _count_too_small(run: Records, k: int, m: int, sign: int) -> None:
    """Count a wish whose order would be too small, where nothing is held or works; until it changes, it is one."""
    pair = pair_at(run, k, m)
    if sign != 0 and (working(run, k, m) != 0 or not is_dust(market_at(run, m), pair.held)):
        sign = 0
    if sign != 0 and pair.too_small != sign:
        run.below_minimum += 1
    pair.too_small = sign


@part
def _too_small(run: Records, market: Records, wished: float, target: int, distance: float) -> int:
    """The sign of a wish to open a position for which an order is below the venue's minimum, else 0."""
    if wished == 0.0 or (wished < 0.0 and not market.is_perpetual) or not is_dust(market, target):
        return 0
    if not run.weights and (distance < 1.0 or (wished > 0.0 and market.mark - distance < 1.0)):
        return 0  # there is no stop to size it by
    return 1 if wished > 0.0 else -1


@part
def _cancels_opposing(run: Records, k: int, m: int, lots: int) -> bool:
    found = False
    for slot in range(market_at(run, m).count):
        order = order_at(run, m, slot)
        if order.sleeve == k and order.purpose <= EXIT and remaining(order) > 0 and (order.sign > 0) != (lots > 0):
            note(run, CANCELS, m, slot, 0)
            found = True
    return found


@part
def stop_price(price: int, sign: int, steps: int) -> int:
    """Ticks of a stop ``steps`` half ticks away, rounded half to even."""
    stop = price - sign * (steps // 2)
    if steps % 2 and stop % 2:
        stop -= sign
    return stop


@part
def _enter(run: Records, k: int, m: int, lots: int, view: Records) -> None:
    """An entry with its stop and target; all pass the gate or none is sent."""
    pair, market, steps = pair_at(run, k, m), market_at(run, m), view.steps
    sign, before, opens = (1 if lots > 0 else -1), pair.stop, _opens(run, k, m)
    if opens:
        pair.stop = 0
    stop = 0
    if steps >= 0:
        stop = stop_price(market.mark, sign, steps)
        if stop <= 0:
            return
        pair.stop = pair.stop if pair.stop > 0 else stop
    if not entry_passes(run, k, m, sign, abs(lots)):
        pair.stop = before
        run.refused += 1
        return
    if stop > 0 and sign * pair.held < pending_exits(run, k, m):
        pair.stop = before  # its stop would not pass, so neither is sent
        run.refused += 1
        return
    slot = add_order(run, k, m, sign, abs(lots), ENTRY)
    note(run, APPROVED, m, slot, 0)
    times = entry_times(run)
    times[run.entries % len(times)] = run.now_ms
    run.entries += 1
    if stop > 0:
        child = add_order(run, k, m, -sign, abs(lots), STOP)
        order = order_at(run, m, child)
        order.stop, order.is_child, order.parent, order.trail = stop, 1, slot, view.trail
        note(run, APPROVED, m, child, 0)
        target = max(market.mark + sign * view.reach, 0) if view.reach > 0 else 0
        _guard(pair, sign, stop, view.trail, opens)
        pair.target = target if opens else pair.target
        if target > 0:
            order = aim(run, m, child, abs(lots), target)
            order.parent, order.is_child = slot, 1
    tally(run, m)


@part
def _opens(run: Records, k: int, m: int) -> bool:
    """Whether an entry opens a position: no other works, and at most dust is held."""
    for slot in range(market_at(run, m).count):
        order = order_at(run, m, slot)
        if order.sleeve == k and order.purpose == ENTRY and remaining(order) > 0:
            return False
    return is_dust(market_at(run, m), pair_at(run, k, m).held)


@part
def _guard(pair: Records, sign: int, stop: int, trail: int, opens: bool) -> None:
    """Remember where a stop lies and how it trails; an entry that adds to a position never loosens it."""
    if opens:
        pair.stop, pair.trail = stop, trail
        return
    if (stop - pair.stop) * sign > 0:
        pair.stop = stop
    if trail > 0 and (pair.trail == 0 or trail < pair.trail):
        pair.trail = trail


@part
def _close(run: Records, k: int, m: int, lots: int) -> None:
    """A market exit of at most ``lots``; the stops shrink to the rest."""
    pair, market = pair_at(run, k, m), market_at(run, m)
    withdraw_entries_of(run, k, m)
    size = min(lots, abs(pair.held) - pending_exits(run, k, m))
    if size <= 0 or is_dust(market, size):
        return
    if send_exit(run, k, m, size):
        cover(run, k, m)
