"""From conviction to orders inside a kernel run, in the order of `engine.trading.decisions` and `protecting`."""

from __future__ import annotations

import math

from engine.simulation.kernel_compile import part
from engine.simulation.kernel_layout import ENTRY, EXIT, STOP, Records
from engine.simulation.kernel_orders import (
    AMENDS,
    APPROVED,
    CANCELS,
    add_order,
    is_cancelled,
    is_dust,
    note,
    pending_exits,
    remaining,
    tally,
    working,
)
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
        if conviction * pair.latch > 0:
            wished = 0.0
        else:
            pair.latch = 0
    if pair.held == 0 and working(run, k, m) == 0 and (wished == 0.0 or (wished < 0.0 and not market.is_perpetual)):
        return
    target = target_lots(run, k, m, wished, view.distance)
    lots = order_lots(market, target, pair.held, working(run, k, m))
    if lots == 0 or _cancels_opposing(run, k, m, lots):
        return
    if pair.held != 0 and (pair.held > 0) != (lots > 0):
        if not is_dust(market, pair.held):
            _close(run, k, m, min(abs(lots), abs(pair.held)))
    else:
        _enter(run, k, m, lots, view.steps)


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
def _enter(run: Records, k: int, m: int, lots: int, steps: int) -> None:
    """An entry with its stop; both pass the gate or neither is sent."""
    pair, market = pair_at(run, k, m), market_at(run, m)
    sign, before = (1 if lots > 0 else -1), pair.stop
    if pair.held == 0:
        pair.stop = 0
    stop = 0
    if steps >= 0:
        stop = stop_price(market.mark, sign, steps)
        if stop <= 0:
            return
        pair.stop = stop
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
        order_at(run, m, child).stop, order_at(run, m, child).is_child = stop, 1
        order_at(run, m, child).parent = slot
        note(run, APPROVED, m, child, 0)
    tally(run, m)


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


@part
def send_exit(run: Records, k: int, m: int, size: int) -> bool:
    """Send a market exit through the rules for exits; False where they refuse it."""
    pair, market = pair_at(run, k, m), market_at(run, m)
    sign, pending = (-1 if pair.held > 0 else 1), pending_exits(run, k, m)
    closable, account = max(-sign * pair.held - pending, 0), -sign * market.position
    reduces = account > 0 and size <= account
    if size > closable or (reduces and size > max(account - pending, 0)):
        run.refused += 1
        return False
    slot = add_order(run, k, m, sign, size, EXIT)
    order_at(run, m, slot).reduces = 1 if reduces else 0
    note(run, APPROVED, m, slot, 0)
    return True


@part
def withdraw_entries_of(run: Records, k: int, m: int) -> None:
    """Cancel what may still open: of one sleeve, or of all where ``k`` is -1."""
    for slot in range(market_at(run, m).count):
        order = order_at(run, m, slot)
        if (k == -1 or order.sleeve == k) and order.purpose == ENTRY and order.is_sent and remaining(order) > 0:
            note(run, CANCELS, m, slot, 0)


@part
def covered_by(run: Records, m: int, slot: int) -> int:
    """Lots a stop protects: a child just what its entry filled."""
    stop = order_at(run, m, slot)
    if stop.parent < 0 or stop.size != stop.asked:
        return remaining(stop)
    return int(min(remaining(stop), order_at(run, m, stop.parent).filled))


@part
def _is_arming(run: Records, m: int, slot: int) -> bool:
    """Whether the stop belongs to an entry that may still fill."""
    parent = order_at(run, m, slot).parent
    return parent >= 0 and remaining(order_at(run, m, parent)) > 0 and not is_cancelled(run, m, parent)


@part
def cover(run: Records, k: int, m: int) -> bool:
    """Make the sleeve's stops cover its position less what is on its way out; False where one is missing."""
    held, covered, arming = pair_at(run, k, m).held, 0, False
    wanted = max(abs(held) - pending_exits(run, k, m), 0)
    for slot in range(market_at(run, m).count):
        stop = order_at(run, m, slot)
        if stop.sleeve != k or stop.purpose != STOP or not stop.is_open:
            continue
        if stop.sign * held > 0:
            note(run, CANCELS, m, slot, 0)  # its position has turned
        else:
            covered += covered_by(run, m, slot)
            arming = arming or _is_arming(run, m, slot)
    if covered > wanted:
        _shrink(run, k, m, covered - wanted)
    elif covered < wanted and not arming:
        return _add_stop(run, k, m, wanted - covered)
    return True


@part
def _shrink(run: Records, k: int, m: int, surplus: int) -> None:
    held = pair_at(run, k, m).held
    for slot in range(market_at(run, m).count):
        stop = order_at(run, m, slot)
        if stop.sleeve != k or stop.purpose != STOP or not stop.is_open or stop.sign * held > 0:
            continue
        covered = covered_by(run, m, slot)
        if surplus <= 0:
            return
        if covered <= 0:
            continue
        if covered <= surplus and not _is_arming(run, m, slot):
            note(run, CANCELS, m, slot, 0)
        else:
            note(run, AMENDS, m, slot, stop.filled + max(covered - surplus, 0))
        surplus -= covered


@part
def _add_stop(run: Records, k: int, m: int, missing: int) -> bool:
    pair = pair_at(run, k, m)
    if pair.stop == 0:
        return _close_unprotected(run, k, m, missing)
    sign = -1 if pair.held > 0 else 1
    if missing > max(-sign * pair.held - pending_exits(run, k, m), 0):
        run.refused += 1
        return False
    slot = add_order(run, k, m, sign, missing, STOP)
    order_at(run, m, slot).stop = pair.stop
    note(run, APPROVED, m, slot, 0)
    return True


@part
def _close_unprotected(run: Records, k: int, m: int, size: int) -> bool:
    """A strategy's position without a known stop is not kept; by weights it has none."""
    if run.weights or k == run.sleeves or is_dust(market_at(run, m), size):
        return True
    return send_exit(run, k, m, size)
