"""Sizes and refusals inside a kernel run, with the rules of `engine.risk`."""

from __future__ import annotations

import math

from engine.simulation.kernel_compile import part
from engine.simulation.kernel_layout import ACTIVE, ENTRY, Records
from engine.simulation.kernel_money import at_most, whole
from engine.simulation.kernel_orders import pending_exits, remaining, working
from engine.simulation.kernel_tables import (
    entry_times,
    error_times,
    market_at,
    order_at,
    pair_at,
    sleeve_at,
    venue_at,
)

_DECAY = math.log(4.0) / 90_000.0
_MINUTE_MS = 60_000
_HOUR_MS = 3_600_000


@part
def risk_ratio(run: Records, equity: float) -> float:
    """Share of equity a trade may lose at its stop; see `engine.risk.sizing.risk_ratio`."""
    if equity < 0.0:
        return 0.0
    if not run.aggressive:
        return 0.01
    if equity <= 10_000.0:
        return 0.02
    if equity >= 100_000.0:
        return 0.005
    return math.floor(0.02 * math.exp((10_000.0 - equity) * _DECAY) * 1e15) / 1e15


@part
def free_quote(run: Records, venue: int) -> float:
    """Quote that nothing claims, as the book counts: cash less reserved buys, margin in use and open losses."""
    free = venue_at(run, venue).cash
    for m in range(run.markets):
        market = market_at(run, m)
        if market.venue != venue:
            continue
        if market.is_perpetual and market.position != 0:
            worth = market.position * market.mark * market.unit
            free -= abs(worth) / market.max_leverage
            free += min(worth - market.cost, 0.0)
        free -= market.entry_claim
    return float(free)


@part
def exposures(run: Records, coin: int) -> tuple[float, float]:
    """Gross notional of everything held and unfilled, and the signed notional of one coin."""
    gross, held = 0.0, 0.0
    for m in range(run.markets):
        market = market_at(run, m)
        if market.position == 0 and market.entry_lots == 0:
            continue
        worth = market.mark * market.unit
        gross += (abs(market.position) + market.entry_lots) * worth
        if market.coin == coin:
            held += (market.position + market.entry_net) * worth
    return gross, held


@part
def room(run: Records, k: int, m: int, direction: int) -> float:
    """Largest notional that limits over all holdings and free cash leave for a position in ``direction``."""
    market, equity = market_at(run, m), run.equity
    gross, coin = exposures(run, market.coin)
    own = (pair_at(run, k, m).held + working(run, k, m)) * market.mark * market.unit
    by_exposure = run.exposure * equity - max(gross - abs(own), 0.0)
    by_coin = run.concentration * equity - direction * (coin - own)
    same_way = abs(own) if own * direction > 0 else 0.0
    by_cash = same_way + max(free_quote(run, market.venue), 0.0) * market.max_leverage
    return float(min(max(min(by_exposure, by_coin), 0.0), by_cash))


@part
def target_lots(run: Records, k: int, m: int, conviction: float, distance: float) -> int:
    """Position (signed lots) a sleeve should have; see `engine.risk.sizing.target_quantity`."""
    market = market_at(run, m)
    share = abs(conviction)
    if share == 0.0 or (conviction < 0.0 and not market.is_perpetual):
        return 0
    sleeve = run.equity * sleeve_at(run, k).weight
    if min(sleeve, run.equity) <= 0.0:
        return 0
    direction = 1 if conviction > 0.0 else -1
    costly = market.mark * market.unit * (1.0 + run.reserve)
    lots = whole(room(run, k, m, direction) / costly)
    sleeve *= sleeve_at(run, k).tie
    if run.weights:
        own = min(share, market.allowed_leverage) * sleeve / costly
    elif distance < 1.0 or (direction > 0 and market.mark - distance < 1.0):
        return 0
    else:
        at_risk = share * risk_ratio(run, run.equity) * sleeve
        own = min(market.allowed_leverage, run.position_share) * sleeve / costly
        own = min(own, at_risk / (distance * market.unit))
    return int(direction * min(lots, math.floor(own)))


@part
def order_lots(market: Records, target: int, held: int, unfilled: int) -> int:
    """Order that moves a sleeve to its target; see `engine.risk.sizing.order_quantity`."""
    effective = held + unfilled
    if target == 0 or target * effective < 0:
        return -effective
    difference = target - effective
    if abs(difference) * 10 < abs(target) or abs(difference) * market.mark < market.min_value:
        return 0
    return difference


@part
def has_failed(run: Records, venue: int) -> bool:
    """Whether the venue has refused so many calls within an hour that nothing may be opened there."""
    errors, times = venue_at(run, venue).errors, error_times(run, venue)
    return bool(errors >= len(times) and times[errors % len(times)] > run.now_ms - _HOUR_MS)


@part
def entry_passes(run: Records, k: int, m: int, sign: int, lots: int) -> bool:
    """Whether no rule of the gate objects to an entry of ``lots`` at the mark."""
    market = market_at(run, m)
    if run.state != ACTIVE or has_failed(run, market.venue) or lots * market.mark < market.min_value:
        return False
    if not run.weights and not _risk_allows(run, k, m):
        return False
    worth = market.mark * market.unit
    waiting = 0
    for slot in range(market.count):
        order = order_at(run, m, slot)
        if order.purpose == ENTRY and order.sign == sign:
            waiting += remaining(order)
    after = abs(market.position + sign * (waiting + lots))
    grows = after > abs(market.position)
    if grows and not run.weights and not at_most(after * worth, run.position_share * run.equity):
        return False
    if grows and not at_most(after * worth, market.allowed_leverage * run.equity):
        return False
    opening = max(lots - max(-sign * market.position - pending_exits(run, k, m), 0), 0)
    if not run.weights and not _exposure_allows(run, m, sign, lots, opening):
        return False
    needed = lots * worth * run.reserve
    needed += opening * worth / market.allowed_leverage if market.is_perpetual else lots * worth
    return at_most(needed, free_quote(run, market.venue))


@part
def _exposure_allows(run: Records, m: int, sign: int, lots: int, opening: int) -> bool:
    market, equity = market_at(run, m), run.equity
    worth = market.mark * market.unit
    gross, coin = exposures(run, market.coin)
    if opening > 0 and not at_most(gross + opening * worth, run.exposure * equity):
        return False
    after = abs(coin + sign * lots * worth)
    return at_most(after, run.concentration * equity) or after <= abs(coin)


@part
def _risk_allows(run: Records, k: int, m: int) -> bool:
    """Stop, order rate, loss of the day and drawdowns."""
    if pair_at(run, k, m).stop == 0:
        return False
    times = entry_times(run)
    if run.entries >= len(times) and times[run.entries % len(times)] > run.now_ms - _MINUTE_MS:
        return False
    if run.day_start != 0.0 and at_most(run.daily_loss, 1.0 - run.value / run.day_start):
        return False
    if at_most(run.entry_drawdown, 1.0 - run.value / run.peak):
        return False
    sleeve = sleeve_at(run, k)
    capital = run.equity * sleeve.weight - sleeve.pnl + sleeve.peak
    if capital <= 0.0:
        return False
    return not at_most(run.strategy_drawdown, max(0.0, (sleeve.peak - sleeve.pnl) / capital))
