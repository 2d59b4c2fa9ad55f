"""The way to the venue and back inside a kernel run: withdraw, shrink, then place, as `engine.trading.sending` does."""

from __future__ import annotations

import math

from engine.simulation.kernel_compile import part
from engine.simulation.kernel_layout import ENTRY, EXIT, FLATTEN, STOP, TARGET, Records
from engine.simulation.kernel_money import at_most
from engine.simulation.kernel_orders import AMENDS, APPROVED, CANCELS, MOVES, tally
from engine.simulation.kernel_tables import decision_at, market_at, order_at, pair_at
from engine.simulation.kernel_venue import end_order, free_at_venue, hold_back, resize, tell


@part
def send(run: Records) -> None:
    """Carry out what the step has decided; the venue's answers are heard at once.

    An exit is not sent where what could sell the same could not be withdrawn or shrunk with proof.
    """
    for row in range(run.cancels):
        m, slot = decision_at(run, CANCELS, row).market, decision_at(run, CANCELS, row).slot
        cancel(run, m, slot)
        tally(run, m)
    for row in range(run.amends):
        m, slot = decision_at(run, AMENDS, row).market, decision_at(run, AMENDS, row).slot
        amend(run, m, slot, decision_at(run, AMENDS, row).size)
    for row in range(run.moves):
        m, slot = decision_at(run, MOVES, row).market, decision_at(run, MOVES, row).slot
        move_stop(run, m, slot, decision_at(run, MOVES, row).size)
    for row in range(run.approved):
        m, slot = decision_at(run, APPROVED, row).market, decision_at(run, APPROVED, row).slot
        submit(run, m, slot)
        tally(run, m)
    _forget_doubts(run)
    run.cancels = run.amends = run.moves = run.approved = 0


@part
def _forget_doubts(run: Records) -> None:
    for kind in (CANCELS, AMENDS):
        for row in range(run.cancels if kind == CANCELS else run.amends):
            m = decision_at(run, kind, row).market
            pair_at(run, order_at(run, m, decision_at(run, kind, row).slot).sleeve, m).is_doubtful = 0


@part
def cancel(run: Records, m: int, slot: int) -> None:
    """End an order; one that had ended at the venue untold is heard of now."""
    order = order_at(run, m, slot)
    if not order.is_open:
        return
    if not order.is_sent:
        if order.purpose != ENTRY:
            pair_at(run, order.sleeve, m).is_doubtful = 1
    elif order.venue_open:
        end_order(run, m, slot, False)
    else:
        tell(run, m, order)


@part
def amend(run: Records, m: int, slot: int, size: int) -> None:
    """Give a stop another size; an exit that waited for one that is refused is not sent."""
    order, market = order_at(run, m, slot), market_at(run, m)
    if not order.is_open:
        return
    pair = pair_at(run, order.sleeve, m)
    pair.is_touched = 1
    too_small = not order.is_child and size * market.venue_mark < market.min_value
    if not order.venue_open or size <= order.filled or too_small:
        pair.is_doubtful = 1
    else:
        resize(run, m, slot, size)
        tell(run, m, order)


@part
def move_stop(run: Records, m: int, slot: int, price: int) -> None:
    """Let a stop lie elsewhere; one that has triggered or ended stays as it is."""
    order = order_at(run, m, slot)
    if order.is_open and order.venue_open and not order.triggered:
        order.stop, order.is_moved = price, 1
        pair_at(run, order.sleeve, m).is_touched = 1


@part
def submit(run: Records, m: int, slot: int) -> None:
    """Place an order, or hear that the venue rejects it; a stop is not sent without its entry."""
    order = order_at(run, m, slot)
    if not order.is_open:
        return  # the step itself has withdrawn it
    pair = pair_at(run, order.sleeve, m)
    pair.is_touched = 1
    order.is_sent, order.arrives_ms = 1, run.now_ms + run.latency_ms
    if order.purpose == EXIT and pair.is_doubtful:
        accepted = False
    elif order.purpose == TARGET:
        stop = order_at(run, m, order.pair)
        accepted = stop.venue_open != 0 and stop.triggered == 0
    elif order.parent >= 0:
        parent = order_at(run, m, order.parent)
        accepted = parent.venue_open != 0
    else:
        accepted = _admit(run, m, order)
        if not accepted:
            run.failed += 1
    if accepted:
        order.venue_open = 1
        hold_back(run, m, order)
    else:
        order.is_open, market_at(run, m).has_dead = 0, 1


@part
def _admit(run: Records, m: int, order: Records) -> bool:
    """Whether value and balance suffice; sets what the order will hold back."""
    market = market_at(run, m)
    if order.asked * market.venue_mark < market.min_value:
        return False
    if order.reduces:
        return True
    if not market.is_perpetual and order.sign < 0:
        order.in_base = 1
        return bool(order.asked <= market.position - market.held_base)
    worst = order.stop if order.purpose == STOP else market.venue_mark
    price = worst * market.unit / market.lot * (1.0 + market.taking)
    per_unit = price / market.max_leverage + price * market.reserve_fee
    order.per_unit = math.ceil(per_unit * 1e12) / 1e12 * market.lot
    order.exempt = max(-market.position * order.sign, 0) if market.is_perpetual else 0
    needed = max(order.asked - order.exempt, 0) * order.per_unit
    return bool(needed <= 0.0 or at_most(needed, free_at_venue(run, market.venue)))


@part
def cancel_all(run: Records) -> None:
    """End everything that works but what flattens."""
    for m in range(run.markets):
        for slot in range(market_at(run, m).count):
            if order_at(run, m, slot).purpose != FLATTEN:
                cancel(run, m, slot)
        tally(run, m)
