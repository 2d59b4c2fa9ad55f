"""What keeps positions small inside a kernel run: stops, targets and exits, as `engine.trading.protecting` has them."""

from __future__ import annotations

from engine.simulation.kernel_book import holds
from engine.simulation.kernel_compile import part
from engine.simulation.kernel_layout import ENTRY, EXIT, STOP, TARGET, Records
from engine.simulation.kernel_orders import (
    AMENDS,
    APPROVED,
    CANCELS,
    MOVES,
    add_order,
    is_cancelled,
    is_dust,
    note,
    pending_exits,
    remaining,
    withdraw,
    withdraw_target,
)
from engine.simulation.kernel_tables import candle_at, market_at, order_at, pair_at


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
    wanted = max(abs(pair_at(run, k, m).held) - pending_exits(run, k, m), 0)
    covered = _look(run, k, m)
    if covered > wanted and _withdraw_unsent(run, k, m):
        covered = _look(run, k, m)
    if covered > wanted:
        _shrink(run, k, m, covered - wanted)
        return True
    is_covered = covered == wanted or _add_stop(run, k, m, wanted - covered)
    _add_targets(run, k, m)
    return is_covered


@part
def _look(run: Records, k: int, m: int) -> int:
    """Lots that the sleeve's stops cover; one whose position has turned is cancelled."""
    held, covered = pair_at(run, k, m).held, 0
    for slot in range(market_at(run, m).count):
        stop = order_at(run, m, slot)
        if stop.sleeve != k or stop.purpose != STOP or not stop.is_open:
            continue
        if stop.sign * held > 0:
            note(run, CANCELS, m, slot, 0)
        else:
            covered += covered_by(run, m, slot)
    return covered


@part
def _withdraw_unsent(run: Records, k: int, m: int) -> bool:
    """Take stops out of the step that it has added itself; whether there were any."""
    found, held = False, pair_at(run, k, m).held
    for slot in range(market_at(run, m).count):
        stop = order_at(run, m, slot)
        if stop.sleeve != k or stop.purpose != STOP or stop.is_child or stop.sign * held > 0:
            continue
        if withdraw(run, m, slot):
            withdraw_target(run, m, slot)
            found = True
    return found


@part
def _add_targets(run: Records, k: int, m: int) -> None:
    """Give every stop the target it lacks."""
    held = pair_at(run, k, m).held
    for slot in range(market_at(run, m).count):
        stop = order_at(run, m, slot)
        if stop.sleeve != k or stop.purpose != STOP or not stop.is_open or stop.sign * held > 0:
            continue
        works = stop.is_sent and stop.filled == 0 and not stop.is_aimed
        if works and covered_by(run, m, slot) > 0 and not _is_arming(run, m, slot):
            add_target(run, m, slot, covered_by(run, m, slot))


@part
def add_target(run: Records, m: int, slot: int, lots: int) -> None:
    """The position's take-profit beside a stop; none that is too small to be taken."""
    price = pair_at(run, order_at(run, m, slot).sleeve, m).target
    if price > 0 and lots * price >= market_at(run, m).min_value:
        aim(run, m, slot, lots, price)


@part
def aim(run: Records, m: int, slot: int, lots: int, price: int) -> Records:
    """A take-profit beside a stop."""
    stop = order_at(run, m, slot)
    target = order_at(run, m, add_order(run, stop.sleeve, m, stop.sign, lots, TARGET))
    target.limit, target.pair, stop.is_aimed = price, slot, 1
    note(run, APPROVED, m, market_at(run, m).count - 1, 0)
    return target


@part
def see_best(run: Records, k: int, m: int) -> None:
    """Take in what a candle did to the best price of a position whose stop trails."""
    pair, market = pair_at(run, k, m), market_at(run, m)
    if pair.trail == 0 or pair.held == 0 or market.row < 0:
        return
    sign, candle = (1 if pair.held > 0 else -1), candle_at(run, market.row)
    price = candle.high if sign > 0 else candle.low
    if not holds(price, market.mark) or (pair.best != 0 and (price - pair.best) * sign <= 0):
        return
    pair.best = price
    moved = price - sign * pair.trail
    if pair.stop != 0 and (moved - pair.stop) * sign > 0:
        pair.stop = moved


@part
def trail(run: Records, k: int, m: int) -> None:
    """Move the stops that trail to where the best price leaves them; none ever moves back."""
    pair = pair_at(run, k, m)
    if pair.best == 0:
        return
    for slot in range(market_at(run, m).count):
        stop = order_at(run, m, slot)
        works = stop.purpose == STOP and stop.sleeve == k and stop.is_open and stop.is_sent and stop.filled == 0
        if not works or stop.trail == 0 or stop.sign * pair.held >= 0 or is_cancelled(run, m, slot):
            continue
        price = pair.best + stop.sign * stop.trail
        if (price - stop.stop) * stop.sign < 0 and price > 0 and covered_by(run, m, slot) > 0:
            note(run, MOVES, m, slot, price)


@part
def _shrink(run: Records, k: int, m: int, surplus: int) -> None:
    held, market = pair_at(run, k, m).held, market_at(run, m)
    for slot in range(market.count):
        stop = order_at(run, m, slot)
        if stop.sleeve != k or stop.purpose != STOP or not stop.is_open or stop.sign * held > 0:
            continue
        covered = covered_by(run, m, slot)
        if surplus <= 0:
            return
        if covered <= 0:
            continue
        withdraw_target(run, m, slot)
        rest = stop.filled + max(covered - surplus, 0)
        is_too_small = not stop.is_child and is_dust(market, rest)
        if is_too_small or (covered <= surplus and not _is_arming(run, m, slot)):
            note(run, CANCELS, m, slot, 0)
        else:
            note(run, AMENDS, m, slot, rest)
        surplus -= covered


@part
def _add_stop(run: Records, k: int, m: int, missing: int) -> bool:
    pair = pair_at(run, k, m)
    if pair.stop == 0:
        return _close_unprotected(run, k, m, missing)
    if is_dust(market_at(run, m), missing):
        return False
    sign = -1 if pair.held > 0 else 1
    if missing > max(-sign * pair.held - pending_exits(run, k, m), 0):
        run.refused += 1
        return False
    slot = add_order(run, k, m, sign, missing, STOP)
    order_at(run, m, slot).stop, order_at(run, m, slot).trail = pair.stop, pair.trail
    note(run, APPROVED, m, slot, 0)
    add_target(run, m, slot, missing)
    return True


@part
def _close_unprotected(run: Records, k: int, m: int, size: int) -> bool:
    """A strategy's position without a known stop is not kept; by weights it has none."""
    if run.weights or k == run.sleeves:
        return True
    return not is_dust(market_at(run, m), size) and send_exit(run, k, m, size)
