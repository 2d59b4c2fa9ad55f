"""The paper venue's orders inside a kernel run: what they promise, how they end, and what the book hears of it."""

from __future__ import annotations

from engine.simulation.kernel_compile import part
from engine.simulation.kernel_layout import EXIT, Records
from engine.simulation.kernel_tables import market_at, order_at, pair_at, venue_at


@part
def hold_back(run: Records, m: int, order: Records) -> None:
    """Promise what an order still needs, in quote or in lots of the coin."""
    market = market_at(run, m)
    left = max(order.venue_size - order.filled - order.exempt, 0) if order.venue_open else 0
    if order.in_base:
        market.held_base += left - order.held_base
        order.held_base = left
        return
    wanted = left * order.per_unit
    if wanted != order.held_quote:
        venue_at(run, market.venue).held_quote += wanted - order.held_quote
        order.held_quote = wanted


@part
def free_at_venue(run: Records, venue: int) -> float:
    """Quote a new order may use there: total less promises, margin in use and open losses."""
    account, gain = venue_at(run, venue), 0.0
    free = account.cash - account.held_quote
    for m in range(run.markets):
        market = market_at(run, m)
        if market.is_perpetual and market.venue == venue and market.position != 0:
            free -= abs(market.cost) / market.max_leverage
            gain += market.position * market.venue_mark * market.unit - market.cost
    return float(free + min(gain, 0.0))


@part
def tell(run: Records, m: int, order: Records) -> None:
    """The book learns what has become of an order."""
    if order.is_open:
        order.is_open = order.venue_open
        if order.venue_open:
            order.size = order.venue_size
        else:
            market_at(run, m).has_dead = 1
    pair_at(run, order.sleeve, m).is_touched = 1


@part
def end_order(run: Records, m: int, slot: int, at_once: bool) -> None:
    """Cancel an order at the venue, and a stop's target with it; children shrink to what it filled, or end with it.

    ``at_once`` is whether the venue itself ends it: then it tells of the children now, and an exit that got nothing is
    a failed trade. Of what was asked for, it tells of the children only at the next event.
    """
    order = order_at(run, m, slot)
    if at_once and order.is_open and order.purpose == EXIT and order.filled == 0:
        run.failed += 1
    order.venue_open = 0
    hold_back(run, m, order)
    tell(run, m, order)
    end_target(run, m, slot)
    for other in range(slot + 1, market_at(run, m).count):
        child = order_at(run, m, other)
        if child.parent != slot or not child.venue_open:
            continue
        if order.filled == 0:
            child.venue_open = 0
            end_target(run, m, other)
        elif child.venue_size > order.filled:
            resize(run, m, other, order.filled)
        else:
            continue
        hold_back(run, m, child)
        if at_once:
            tell(run, m, child)
        else:
            child.untold_size, child.untold_end = child.venue_size, 1 - child.venue_open
            market_at(run, m).has_untold = 1


@part
def end_target(run: Records, m: int, slot: int) -> None:
    """End the target beside a stop. Nothing is decided by what the book knows of a target, so it is told at once."""
    if order_at(run, m, slot).is_aimed:
        for other in range(slot + 1, market_at(run, m).count):
            target = order_at(run, m, other)
            if target.pair == slot and target.venue_open:
                target.venue_open = 0
                tell(run, m, target)


@part
def resize(run: Records, m: int, slot: int, lots: int) -> None:
    """Give an order another size; one that has filled it already is thereby filled. A target never exceeds its stop."""
    order = order_at(run, m, slot)
    order.venue_size = lots
    if order.venue_size <= order.filled:
        order.venue_open = 0
    hold_back(run, m, order)
    if order.is_aimed:
        for other in range(slot + 1, market_at(run, m).count):
            target = order_at(run, m, other)
            if target.pair == slot and target.venue_open and target.venue_size - target.filled > lots - order.filled:
                target.venue_size = target.size = target.filled + lots - order.filled


@part
def hear_untold(run: Records, m: int) -> None:
    """Deliver what the venue kept for the next event: how the orders stand by then."""
    market = market_at(run, m)
    for slot in range(market.count):
        order = order_at(run, m, slot)
        if order.untold_size >= 0:
            pair_at(run, order.sleeve, m).is_touched = 1
            if order.is_open:
                if order.venue_open:
                    order.size = order.venue_size
                else:
                    order.is_open, market.has_dead = 0, 1
            order.untold_size, order.untold_end = -1, 0
    market.has_untold = 0
