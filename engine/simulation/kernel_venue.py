"""The paper venue inside a kernel run: which orders a candle fills, with the rules of `engine.exchanges.paper`."""

from __future__ import annotations

from engine.simulation.kernel_compile import part
from engine.simulation.kernel_layout import ENTRY, EXIT, LIQUIDATION, NETTING, STOP, Records
from engine.simulation.kernel_money import CENT, at_most, booked, fee_of, taken_price, whole
from engine.simulation.kernel_orders import tally
from engine.simulation.kernel_tables import candle_at, fill_at, market_at, order_at, pair_at, sleeve_at, venue_at


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
    """Cancel an order at the venue; its children shrink to what it filled, or end with it when that is nothing.

    ``at_once`` is whether the venue itself ends it: then it tells of the children now, and an exit that got nothing is
    a failed trade. Of what was asked for, it tells of the children only at the next event.
    """
    order = order_at(run, m, slot)
    if at_once and order.is_open and order.purpose == EXIT and order.filled == 0:
        run.failed += 1
    order.venue_open = 0
    hold_back(run, m, order)
    tell(run, m, order)
    for other in range(slot + 1, market_at(run, m).count):
        child = order_at(run, m, other)
        if child.parent != slot or not child.venue_open:
            continue
        if order.filled == 0:
            child.venue_open = 0
        elif child.venue_size > order.filled:
            resize(run, m, child, order.filled)
        else:
            continue
        hold_back(run, m, child)
        if at_once:
            tell(run, m, child)
        else:
            child.untold_size, child.untold_end = child.venue_size, 1 - child.venue_open
            market_at(run, m).has_untold = 1


@part
def resize(run: Records, m: int, order: Records, lots: int) -> None:
    """Give an order another size; one that has filled it already is thereby filled."""
    order.venue_size = lots
    if order.venue_size <= order.filled:
        order.venue_open = 0
    hold_back(run, m, order)


@part
def hear_untold(run: Records, m: int) -> None:
    """Deliver what the venue kept for the next event; a size told late overwrites a later amendment."""
    market = market_at(run, m)
    for slot in range(market.count):
        order = order_at(run, m, slot)
        if order.untold_size >= 0:
            pair_at(run, order.sleeve, m).is_touched = 1
            if order.is_open:
                if order.untold_end:
                    order.is_open, market.has_dead = 0, 1
                else:
                    order.size = order.untold_size
            order.untold_size, order.untold_end = -1, 0
    market.has_untold = 0


@part
def match_candle(run: Records, m: int) -> None:
    """One instrument's orders, then its position, against the candle that has closed."""
    market = market_at(run, m)
    candle, count = candle_at(run, market.row), market.count
    for slot in range(count):
        order = order_at(run, m, slot)
        arrived = order.purpose != STOP and candle.opened_ms >= order.arrives_ms
        if order.venue_open and (order.triggered or arrived):
            execute(run, m, slot, candle.open)
    for slot in range(count):
        match_stop(run, m, slot)
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
    execute(run, m, slot, worse)


@part
def live_lots(run: Records, m: int, order: Records) -> int:
    """Lots that may execute now: of a child, only what its entry has filled."""
    if order.parent >= 0:
        parent = order_at(run, m, order.parent)
        if parent.venue_open:
            return int(min(order.venue_size, parent.filled) - order.filled)
    return int(order.venue_size - order.filled)


@part
def execute(run: Records, m: int, slot: int, raw: int) -> None:
    """Fill what candle, position and balance allow; the rest is tried in the next candles, or cancelled."""
    order, market = order_at(run, m, slot), market_at(run, m)
    price = taken_price(market, raw, order.sign)
    live = live_lots(run, m, order)
    allowed = covered(run, m, order, live, price)
    lots = min(allowed, candle_at(run, market.row).cap)
    if lots > 0:
        fill(run, m, slot, lots, price)
    if not order.venue_open:
        return
    if (lots == allowed and allowed < live) or order.waited >= run.carry_bars:
        end_order(run, m, slot, True)
    else:
        order.waited += 1


@part
def covered(run: Records, m: int, order: Records, wanted: int, price: int) -> int:
    """How many of the wanted lots position and balance cover."""
    market = market_at(run, m)
    if not market.is_perpetual and order.sign < 0:
        return int(min(wanted, max(market.position - (market.held_base - order.held_base), 0)))
    position = market.position if market.is_perpetual else 0
    reducing = max(min(wanted, -position * order.sign), 0)
    if order.reduces or reducing == wanted:
        return int(reducing)
    free = free_at_venue(run, market.venue) + order.held_quote
    if reducing > 0:
        free -= fee_of(market, reducing, price)
    worth = price * market.unit
    margin = worth / market.max_leverage
    lots = wanted - reducing
    if at_most(lots * margin + fee_of(market, lots, price), free):
        return wanted
    lots = min(lots, max(whole(free / (margin + worth * market.fee_rate)), 0))
    while lots > 0 and not at_most(lots * margin + fee_of(market, lots, price), free):
        lots -= 1
    return int(reducing + lots)


@part
def fill(run: Records, m: int, slot: int, lots: int, price: int) -> None:
    """Execute lots: cash and position at the venue, then what the book makes of it."""
    order = order_at(run, m, slot)
    k, change = order.sleeve, lots * order.sign
    order.filled += lots
    if order.filled >= order.venue_size:
        order.venue_open = 0
    note = record(run, m, k, change, price)
    note.purpose, note.fee = order.purpose, move_account(run, m, change, price)
    hold_back(run, m, order)
    closed = book_sleeve(run, m, k, change, note)
    pair = pair_at(run, k, m)
    run.failed = 0
    if order.purpose == STOP:
        pair.latch = -order.sign
    elif order.purpose == ENTRY:
        pair.latch = 0
    if closed and pair.held == 0:
        pair.stop = 0
    tell(run, m, order)


@part
def move_account(run: Records, m: int, change: int, price: int) -> float:
    """Move cash, coins or the derivative position, and take the fee; returns it."""
    market = market_at(run, m)
    account, worth = venue_at(run, market.venue), price * market.unit
    if market.is_perpetual:
        market.position, market.cost, realised = booked(market.position, market.cost, change, worth)
        account.cash += realised
    else:
        market.position += change
        account.cash -= change * worth
    fee = fee_of(market, abs(change), price)
    account.cash -= fee
    return fee


@part
def record(run: Records, m: int, k: int, change: int, price: int) -> Records:
    """Begin a row of the run's book."""
    note, market = fill_at(run, run.fills), market_at(run, m)
    run.fills += 1
    note.bar, note.at_ms, note.market, note.sleeve = market.row - market.first, run.now_ms, m, k
    note.sign, note.lots, note.price = 1 if change > 0 else -1, abs(change), price
    note.purpose, note.fee, note.pnl, note.closes = NETTING, 0.0, 0.0, 0
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
    if market.position > 0 and low <= limit * (1.0 + 1e-12):
        raw = min(limit, start) * (1.0 - market.taking)
        liquidate(run, m, max(whole(raw), 1))
    elif market.position < 0 and high >= limit * (1.0 - 1e-12):
        raw = max(limit, start) * (1.0 + market.taking)
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
    note.purpose, note.fee = LIQUIDATION, move_account(run, m, change, price)
    book_sleeve(run, m, outside, change, note)
