"""Which orders a candle fills inside a kernel run, with the rules of `engine.exchanges.paper`."""

from __future__ import annotations

from engine.quant.candle_impact import IMPACT_STEPS, candle_impact, candle_volatility
from engine.simulation.kernel_compile import part
from engine.simulation.kernel_fill import book_sleeve, fill, move_account, record
from engine.simulation.kernel_layout import INSIDE, LIQUIDATION, STOP, TARGET, Records
from engine.simulation.kernel_money import at_most, ceil_ratio, fee_of, taken_price, whole
from engine.simulation.kernel_orders import tally
from engine.simulation.kernel_tables import candle_at, market_at, order_at, venue_at
from engine.simulation.kernel_venue import end_order, end_target, free_at_venue

_candle_impact, _candle_volatility = part(candle_impact), part(candle_volatility)


@part
def match_candle(run: Records, m: int) -> None:
    """One instrument's orders, then its position, against the candle that has closed."""
    market = market_at(run, m)
    candle, count = candle_at(run, market.row), market.count
    for slot in range(count):
        order = order_at(run, m, slot)
        arrived = order.purpose != STOP and candle.opened_ms >= order.arrives_ms
        if order.purpose == TARGET:
            if arrived and not order.is_child and candle.opened_ms - run.bar_ms < order.arrives_ms:
                take_target(run, m, slot)
        elif order.venue_open and (order.triggered or arrived):
            take(run, m, slot, candle.open)
    for slot in range(count):
        order = order_at(run, m, slot)
        if order.purpose == TARGET and order.parent >= 0 and order_at(run, m, order.parent).entered_ms == run.now_ms:
            take_target(run, m, slot)
    for slot in range(count):
        match_stop(run, m, slot)
    for slot in range(count):
        match_target(run, m, slot)
    if market.is_perpetual and market.position != 0:
        liquidate_if_exhausted(run, m)
    tally(run, m)


@part
def match_stop(run: Records, m: int, slot: int) -> None:
    """A stop the candle reached fills at the worse of stop and open; its entry stops filling."""
    order, candle = order_at(run, m, slot), candle_at(run, market_at(run, m).row)
    if order.purpose != STOP or order.triggered or not order.venue_open:
        return
    reached = candle.low <= order.stop if order.sign < 0 else candle.high >= order.stop
    counts = candle.opened_ms >= order.arrives_ms
    if order.is_child or order.reduces:
        counts = run.now_ms > order.arrives_ms
    if not reached or not counts or live_lots(run, m, order) <= 0:
        return
    worse = min(order.stop, candle.open) if order.sign < 0 else max(order.stop, candle.open)
    order.triggered = 1
    if order.parent >= 0 and order_at(run, m, order.parent).venue_open:
        end_order(run, m, order.parent, True)
    end_target(run, m, slot)
    take(run, m, slot, worse)


@part
def take_target(run: Records, m: int, slot: int) -> None:
    """A target that arrives at the open takes where the open, less half the spread, has reached it already."""
    order, market = order_at(run, m, slot), market_at(run, m)
    start = candle_at(run, market.row).open
    half_spread = ceil_ratio(start, market.half_top, market.half_bottom)
    if order.venue_open and half_spread <= (order.limit - start) * order.sign:
        take(run, m, slot, start)


@part
def match_target(run: Records, m: int, slot: int) -> None:
    """A target that the candle trades through by a tick fills at its price."""
    order, candle = order_at(run, m, slot), candle_at(run, market_at(run, m).row)
    if order.purpose != TARGET or not order.venue_open or order.served_ms == run.now_ms:
        return
    through = candle.low <= order.limit - 1 if order.sign > 0 else candle.high >= order.limit + 1
    if through and candle.opened_ms >= order.arrives_ms and live_lots(run, m, order) > 0:
        execute(run, m, slot, order.limit, True)


@part
def live_lots(run: Records, m: int, order: Records) -> int:
    """Lots that may execute now: of a child, only what its entry has filled."""
    if order.parent >= 0:
        parent = order_at(run, m, order.parent)
        if parent.venue_open:
            return int(min(order.venue_size, parent.filled) - order.filled)
    return int(order.venue_size - order.filled)


@part
def take(run: Records, m: int, slot: int, raw: int) -> None:
    """Execute at ``raw`` with half the spread, slippage and impact, a target at worst at its limit."""
    order, market = order_at(run, m, slot), market_at(run, m)
    lots = min(live_lots(run, m, order), candle_at(run, market.row).cap)
    price = taken_price(market, raw, order.sign, impact_of(run, m, lots))
    if order.purpose == TARGET:
        price = min(price, order.limit) if order.sign > 0 else max(price, order.limit)
    execute(run, m, slot, price, False)


@part
def execute(run: Records, m: int, slot: int, price: int, is_maker: bool) -> None:
    """Fill what candle, position and balance allow; the rest is tried in the next candles, or cancelled."""
    order, market = order_at(run, m, slot), market_at(run, m)
    live, cap = live_lots(run, m, order), candle_at(run, market.row).cap
    order.served_ms = run.now_ms
    allowed = covered(run, m, order, live, price, is_maker)
    lots = min(allowed, cap)
    if lots > 0:
        fill(run, m, slot, lots, price, is_maker)
    if not order.venue_open:
        return
    waits_on = order.purpose != TARGET and candle_at(run, market.row).kind != INSIDE
    if (lots == allowed and allowed < live) or (waits_on and order.waited >= run.carry_bars):
        end_order(run, m, slot, True)
    elif waits_on:
        order.waited += 1


@part
def impact_of(run: Records, m: int, lots: int) -> int:
    """Market impact of lots in the candle that has closed, in 1e-8 of the price."""
    if run.impact == 0.0 or lots <= 0:
        return 0
    market = market_at(run, m)
    candle = candle_at(run, market.row)
    volatility = _candle_volatility(candle.open, candle.high, candle.low)
    return int(_candle_impact(run.impact, volatility, lots * market.lot, candle.volume))


@part
def covered(run: Records, m: int, order: Records, wanted: int, price: int, is_maker: bool) -> int:
    """How many of the wanted lots position and balance cover."""
    market = market_at(run, m)
    if not market.is_perpetual and order.sign < 0:
        own = order.held_base + (order_at(run, m, order.pair).held_base if order.pair >= 0 else 0)
        return int(min(wanted, max(market.position - (market.held_base - own), 0)))
    position = market.position if market.is_perpetual else 0
    reducing = max(min(wanted, -position * order.sign), 0)
    if order.reduces or reducing == wanted:
        return int(reducing)
    free = free_at_venue(run, market.venue) + order.held_quote
    if reducing > 0:
        free -= fee_of(market, reducing, price, is_maker)
    worth = price * market.unit
    margin = worth / market.max_leverage
    lots = wanted - reducing
    if at_most(lots * margin + fee_of(market, lots, price, is_maker), free):
        return wanted
    rate = market.maker_rate if is_maker else market.fee_rate
    lots = min(lots, max(whole(free / (margin + worth * rate)), 0))
    while lots > 0 and not at_most(lots * margin + fee_of(market, lots, price, is_maker), free):
        lots -= 1
    return int(reducing + lots)


@part
def liquidate_if_exhausted(run: Records, m: int) -> None:
    """Close the position where the candle reached the price at which the account's margin is exhausted."""
    market = market_at(run, m)
    equity, notional = venue_at(run, market.venue).cash, 0.0
    for n in range(run.markets):
        other = market_at(run, n)
        if n != m and other.is_perpetual and other.venue == market.venue and other.position != 0:
            worth = other.venue_mark * other.unit
            equity += other.position * worth - other.cost
            notional += abs(other.position) * worth
    span = (market.position - run.maintenance * abs(market.position)) * market.unit
    limit = (run.maintenance * notional + market.cost - equity) / span
    candle = candle_at(run, market.row)
    low, high, start = candle.low, candle.high, candle.open
    taking = market.taking + impact_of(run, m, abs(market.position)) / IMPACT_STEPS
    if market.position > 0 and low <= limit * (1.0 + 1e-12):
        raw = min(limit, start) * (1.0 - taking)
        liquidate(run, m, max(whole(raw), 1))
    elif market.position < 0 and high >= limit * (1.0 - 1e-12):
        raw = max(limit, start) * (1.0 + taking)
        liquidate(run, m, max(-whole(-raw), 1))


@part
def liquidate(run: Records, m: int, price: int) -> None:
    """Cancel what works on the instrument and close its whole position, whatever the volume."""
    market, outside = market_at(run, m), run.sleeves
    for slot in range(market.count):
        if order_at(run, m, slot).venue_open:
            end_order(run, m, slot, True)
    change = -market.position
    note = record(run, m, outside, change, price)
    note.purpose, note.fee = LIQUIDATION, move_account(run, m, change, price, False)
    book_sleeve(run, m, outside, change, note)
