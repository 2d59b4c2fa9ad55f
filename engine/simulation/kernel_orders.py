"""The book's orders in a kernel run: what works, what is claimed, and what a step has decided so far."""

from __future__ import annotations

from engine.simulation.kernel_compile import part
from engine.simulation.kernel_layout import ENTRY, EXIT, FLATTEN, STOP, TARGET, Records
from engine.simulation.kernel_tables import decision_at, market_at, order_at

CANCELS, AMENDS, MOVES, APPROVED = range(4)


@part
def remaining(order: Records) -> int:
    """Lots that may still fill as far as the book knows."""
    return max(0, order.size - order.filled) if order.is_open else 0


@part
def tally(run: Records, m: int) -> None:
    """Add up an instrument's unfilled entries: lots, signed lots, and the quote they claim with their reserve."""
    market = market_at(run, m)
    lots, net, claim = 0, 0, 0.0
    for slot in range(market.count):
        order = order_at(run, m, slot)
        left = remaining(order)
        if order.purpose == ENTRY and left > 0:
            lots += left
            net += left * order.sign
            if market.is_perpetual or order.sign > 0:
                claim += left * order.reference * market.unit * (1.0 + run.reserve) / market.max_leverage
    market.entry_lots, market.entry_net, market.entry_claim = lots, net, claim


@part
def working(run: Records, k: int, m: int) -> int:
    """Signed lots that entries and exits may still add to a sleeve; protective stops and targets apart."""
    total = 0
    for slot in range(market_at(run, m).count):
        order = order_at(run, m, slot)
        if order.sleeve == k and order.purpose != STOP and order.purpose != TARGET:
            total += remaining(order) * order.sign
    return total


@part
def pending_exits(run: Records, k: int, m: int) -> int:
    """Lots that exits in flight will still take off a sleeve; of the account where ``k`` is -1."""
    total = 0
    for slot in range(market_at(run, m).count):
        order = order_at(run, m, slot)
        if (order.purpose == EXIT or order.purpose == FLATTEN) and (k == -1 or order.sleeve == k):
            total += remaining(order)
    return total


@part
def is_dust(market: Records, lots: int) -> bool:
    """Whether lots are too few to be sold at the mark."""
    return lots == 0 or abs(lots) * market.mark < market.min_value


@part
def note(run: Records, kind: int, m: int, slot: int, size: int) -> None:
    """Add to what the step has decided; of a move, ``size`` is the new price."""
    row = 0
    if kind == CANCELS:
        row = run.cancels
        run.cancels += 1
    elif kind == AMENDS:
        row = run.amends
        run.amends += 1
    elif kind == MOVES:
        row = run.moves
        run.moves += 1
    else:
        row = run.approved
        run.approved += 1
    decision = decision_at(run, kind, row)
    decision.market, decision.slot, decision.size = m, slot, size


@part
def is_cancelled(run: Records, m: int, slot: int) -> bool:
    """Whether the step has asked for this order's end."""
    for row in range(run.cancels):
        if decision_at(run, CANCELS, row).market == m and decision_at(run, CANCELS, row).slot == slot:
            return True
    return False


@part
def add_order(run: Records, k: int, m: int, sign: int, lots: int, purpose: int) -> int:
    """A new order, tracked at once so that the next decision sees it; its slot."""
    market = market_at(run, m)
    slot = market.count
    market.count += 1
    order = order_at(run, m, slot)
    order.sleeve, order.sign, order.purpose = k, sign, purpose
    order.asked = order.size = order.venue_size = lots
    order.filled, order.is_open, order.venue_open, order.is_sent = 0, 1, 0, 0
    order.is_child, order.parent, order.reduces, order.triggered = 0, -1, 0, 0
    order.waited, order.arrives_ms, order.stop, order.reference = 0, 0, 0, market.mark
    order.in_base, order.exempt, order.held_base, order.per_unit, order.held_quote = 0, 0, 0, 0.0, 0.0
    order.untold_size, order.untold_end = -1, 0
    order.limit, order.pair, order.is_aimed, order.trail, order.is_moved = 0, -1, 0, 0, 0
    order.entered_ms, order.served_ms = -1, -1
    return int(slot)


@part
def withdraw(run: Records, m: int, slot: int) -> bool:
    """Take an order out of the step that was not sent yet; False for one that was."""
    order = order_at(run, m, slot)
    if order.is_sent or not order.is_open:
        return False
    order.is_open, market_at(run, m).has_dead = 0, 1
    return True


@part
def withdraw_target(run: Records, m: int, slot: int) -> None:
    """Take a stop's target out of the step, so that a later one may get another."""
    for other in range(slot + 1, market_at(run, m).count):
        if order_at(run, m, other).pair == slot and withdraw(run, m, other):
            order_at(run, m, slot).is_aimed = 0


@part
def sweep_ended(run: Records, m: int) -> None:
    """Forget ended orders; those that stay keep their order, and children of forgotten entries stand alone."""
    market, kept = market_at(run, m), 0
    for slot in range(market.count):
        order = order_at(run, m, slot)
        if not (order.is_open or order.venue_open):
            _relate(run, m, slot, -1)
            continue
        if kept != slot:
            _relate(run, m, slot, kept)
            move(order_at(run, m, kept), order)
        kept += 1
    market.count, market.has_dead = kept, 0


@part
def _relate(run: Records, m: int, slot: int, to: int) -> None:
    """Let what names an order by its slot name it by another."""
    for other in range(slot + 1, market_at(run, m).count):
        order = order_at(run, m, other)
        if order.parent == slot:
            order.parent = to
        if order.pair == slot:
            order.pair = to


@part
def move(to: Records, order: Records) -> None:
    """Copy an order, field by field: records cannot be assigned whole."""
    to.sleeve, to.sign, to.purpose = order.sleeve, order.sign, order.purpose
    to.asked, to.size, to.venue_size = order.asked, order.size, order.venue_size
    to.filled, to.is_open, to.venue_open = order.filled, order.is_open, order.venue_open
    to.is_sent, to.is_child, to.parent = order.is_sent, order.is_child, order.parent
    to.reduces, to.triggered, to.waited = order.reduces, order.triggered, order.waited
    to.arrives_ms, to.stop, to.reference = order.arrives_ms, order.stop, order.reference
    to.in_base, to.exempt, to.held_base = order.in_base, order.exempt, order.held_base
    to.untold_size, to.untold_end, to.per_unit = order.untold_size, order.untold_end, order.per_unit
    to.held_quote, to.limit, to.pair, to.is_aimed = order.held_quote, order.limit, order.pair, order.is_aimed
    to.trail, to.is_moved = order.trail, order.is_moved
    to.entered_ms, to.served_ms = order.entered_ms, order.served_ms
