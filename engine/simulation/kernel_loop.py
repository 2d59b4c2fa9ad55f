"""The loop of a kernel run: every instant of market time in the order of the replay's events."""

from __future__ import annotations

import math
from typing import Any

from engine.quant.arrays import kernel
from engine.simulation.kernel_book import (
    look_at_brake,
    look_at_failures,
    mark,
    net_external,
    net_flat,
    pay_funding,
    value_book,
)
from engine.simulation.kernel_compile import part, stamp
from engine.simulation.kernel_decide import follow
from engine.simulation.kernel_fine import is_idle, next_fine_ms, pass_fine, take_row
from engine.simulation.kernel_layout import (
    ACTIVE,
    DECIDED,
    DONE,
    EXIT,
    FLATTEN,
    MORE_FILLS,
    MORE_ORDERS,
    NEVER,
    NO_FUNDING,
    Records,
)
from engine.simulation.kernel_match import match_candle
from engine.simulation.kernel_orders import APPROVED, add_order, is_dust, note, pending_exits, sweep_ended
from engine.simulation.kernel_protect import cover, see_best, trail, withdraw_entries_of
from engine.simulation.kernel_risk import has_failed
from engine.simulation.kernel_send import cancel_all, send
from engine.simulation.kernel_tables import (
    candle_at,
    close_at,
    decision_at,
    instant_at,
    market_at,
    order_at,
    pair_at,
    row_at,
    stamp_at,
)
from engine.simulation.kernel_venue import hear_untold

_PAUSE_MS = 500
_LONGEST_PAUSE_MS = 30_000


@part
def observe(run: Records) -> None:
    """Let the venue match the candles that closed, then make their closes the marks."""
    for m in range(run.markets):
        if market_at(run, m).has_untold:
            hear_untold(run, m)
        if market_at(run, m).row >= 0:
            market_at(run, m).venue_mark = candle_at(run, market_at(run, m).row).close
    for m in range(run.markets):
        market = market_at(run, m)
        is_busy = market.row >= 0 and (market.count > 0 or market.position != 0)
        if is_busy and candle_at(run, market.row).kind != DECIDED:
            match_candle(run, m)
        if market.has_dead:
            sweep_ended(run, m)
    for m in range(run.markets):
        market = market_at(run, m)
        if market.row >= 0 and not mark(market, candle_at(run, market.row).close, run.now_ms):
            market.row = NEVER
            run.rejected += 1


@part
def decide(run: Records) -> None:
    """Stops first, then every strategy about every candle that closed, then the stops that follow the market."""
    net_external(run)
    for k in range(run.sleeves + 1):
        for m in range(run.markets):
            see_best(run, k, m)
            if pair_at(run, k, m).is_touched:
                pair_at(run, k, m).is_touched = 0 if cover(run, k, m) else 1
    for m in range(run.markets):
        if run.state != ACTIVE or has_failed(run, market_at(run, m).venue):
            withdraw_entries_of(run, -1, m)
    for k in range(run.sleeves):
        for m in range(run.markets):
            if market_at(run, m).row >= 0:
                follow(run, k, m)
    for k in range(run.sleeves):
        for m in range(run.markets):
            trail(run, k, m)


@part
def drive_stop(run: Records) -> None:
    """Bring a latched book to flat, one look at each event; see `engine.trading.stopping`."""
    if not run.is_latched:
        run.flatten_due_ms, run.pause_ms = NEVER, _PAUSE_MS
        return
    if not run.is_flat:
        cancel_all(run)
    run.is_flat = 0 if _positions_left(run) else 1
    if not run.is_flat and run.now_ms >= run.flatten_due_ms:
        filled = run.fill_count > run.fills_seen
        run.pause_ms = _PAUSE_MS if filled else min(2 * run.pause_ms, _LONGEST_PAUSE_MS)
        run.fills_seen, run.flatten_due_ms = run.fill_count, run.now_ms + run.pause_ms
        for m in range(run.markets):
            flatten(run, m)
        send(run)


@part
def _positions_left(run: Records) -> bool:
    for m in range(run.markets):
        for k in range(run.sleeves + 1):
            held = pair_at(run, k, m).held
            if held != 0 and not is_dust(market_at(run, m), held):
                return True
    return False


@part
def flatten(run: Records, m: int) -> None:
    """Market orders that bring the account's position to zero; opposite sleeves of a flat one (or dust) are netted."""
    market = market_at(run, m)
    account, pending = market.position, pending_exits(run, -1, m)
    left = abs(account) - pending
    if is_dust(market, account) and pending == 0:
        net_flat(run, m)
    for k in range(run.sleeves + 1):
        held = pair_at(run, k, m).held
        if left <= 0 or held == 0 or (held > 0) != (account > 0):
            continue
        size = min(left, abs(held) - pending_exits(run, k, m))
        if size > 0 and not is_dust(market, size):
            slot = add_order(run, k, m, -1 if account > 0 else 1, size, FLATTEN)
            order_at(run, m, slot).reduces = 1
            note(run, APPROVED, m, slot, 0)
            left -= size


@part
def fund(run: Records) -> bool:
    """Pay the funding stamps of this instant; False where a held position's rate is missing."""
    while run.next_stamp < run.stamps and stamp_at(run, run.next_stamp).at_ms == run.now_ms:
        stamp = stamp_at(run, run.next_stamp)
        market = market_at(run, stamp.market)
        if market.position != 0:
            if math.isnan(stamp.rate):
                return False
            pay_funding(run, stamp.market, -market.position * market.unit * stamp.mark * stamp.rate)
        run.next_stamp += 1
        drive_stop(run)
    return True


@part
def has_space(run: Records) -> int:
    """Whether one more step fits into the tables; else which to enlarge."""
    if run.fills + run.markets * (run.slots + 4 * run.sleeves + 4) > run.fill_rows:
        return MORE_FILLS
    for m in range(run.markets):
        if market_at(run, m).count + 8 * run.sleeves + 5 > run.slots:
            return MORE_ORDERS
    return DONE


@part
def take_candles(run: Records, t: int) -> bool:
    """Find the candles that close at an instant; whether there is one."""
    closes = False
    for m in range(run.markets):
        row = row_at(run, t, m)
        market_at(run, m).row = row
        if row >= 0:
            market_at(run, m).bar = row
            closes = True
    return closes


@part
def take_fine(run: Records, until_ms: int) -> int:
    """Let the finer candles that close up to an instant fill what works; then whether one more step has space."""
    if is_idle(run):
        pass_fine(run, until_ms)
    while True:
        at_ms = next_fine_ms(run)
        if at_ms == NEVER or at_ms > until_ms:
            return has_space(run)
        lacks = has_space(run)
        if lacks != DONE:
            return lacks
        run.now_ms = at_ms
        for m in range(run.markets):
            take_row(run, m)
        step_inside(run)


@part
def step_inside(run: Records) -> None:
    """Finer candles of one close: match, and see to the stops; nothing is valued, and no strategy is asked."""
    length_ms = run.bar_ms
    run.bar_ms = run.fine_ms
    for m in range(run.markets):
        if market_at(run, m).has_untold:
            hear_untold(run, m)
        if market_at(run, m).row >= 0:
            market_at(run, m).venue_mark = candle_at(run, market_at(run, m).row).close
    for m in range(run.markets):
        market = market_at(run, m)
        if market.row >= 0 and (market.count > 0 or market.position != 0):
            match_candle(run, m)
        if market.has_dead:
            sweep_ended(run, m)
    run.bar_ms = length_ms
    if not run.is_latched:
        protect(run)
        send_and_look(run)
    drive_stop(run)


@part
def protect(run: Records) -> None:
    """Give every position the stop it lacks, where something has happened to one."""
    is_unsure = False
    for k in range(run.sleeves + 1):
        for m in range(run.markets):
            is_unsure = is_unsure or pair_at(run, k, m).is_touched != 0
    if is_unsure:
        net_external(run)
        for k in range(run.sleeves + 1):
            for m in range(run.markets):
                if pair_at(run, k, m).is_touched:
                    pair_at(run, k, m).is_touched = 0 if cover(run, k, m) else 1


@part
def send_and_look(run: Records) -> None:
    """Send, then give a position its stop back where the answers have undone the exit that took the stop's place."""
    looks = run.cancels > 0
    for row in range(run.approved):
        decision = decision_at(run, APPROVED, row)
        looks = looks or order_at(run, decision.market, decision.slot).purpose == EXIT
    send(run)
    if looks:
        protect(run)
        send(run)


@part
def step(run: Records) -> None:
    """One close: match, value, look at the brake, decide, send."""
    observe(run)
    value_book(run)
    look_at_brake(run)
    look_at_failures(run)
    if not run.is_latched:
        decide(run)
        send_and_look(run)
    drive_stop(run)
    if run.has_stop and run.stopped_ms == NEVER:
        run.stopped_ms = run.now_ms


def _loop(version: str) -> Any:
    """The compiled loop; ``version`` is a constant in it, so that no code of another version is taken from the disk."""

    def take_instants(runs: Records, stop: int) -> int:
        """Take instants until ``stop``, of a table of one `Run`; why it came back. Call again to go on."""
        run = runs[0]
        while run.next < stop and len(version) > 0:
            t = run.next
            at_ms = instant_at(run, t)
            lacks = take_fine(run, at_ms - 1) if run.fine_ms > 0 else has_space(run)
            if lacks != DONE:
                return lacks
            run.now_ms = at_ms
            if not fund(run):
                return NO_FUNDING
            if run.fine_ms > 0:
                lacks = take_fine(run, at_ms)
                if lacks != DONE:
                    return lacks
                run.now_ms = at_ms
            run.next += 1
            if take_candles(run, t):
                step(run)
                close = close_at(run, t)
                close.equity, close.drawdown = run.equity, 1.0 - run.value / run.peak
        return DONE

    return kernel(take_instants)


run_loop = _loop(stamp())
"""Advances a `Run`; compiled at the first call, taken from the disk afterwards."""
