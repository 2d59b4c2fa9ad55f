"""Bare numba loops that do just the work of each workload of `backtest`: what a kernel can at best come close to."""

from __future__ import annotations

import numba
import numpy as np

from engine.domain.market import FloatArray, IntArray


@numba.njit(cache=True)
def cross(open_: FloatArray, close: FloatArray, fast: int, slow: int, cash: float, fee: float) -> tuple[int, float]:
    """All in while the fast sum exceeds the slow one; trades and final equity. ``close`` counts whole ticks."""
    quantity, trades = 0.0, 0
    fast_sum = close[slow - fast : slow].sum()
    slow_sum = close[:slow].sum()
    last = len(close) - 1
    for t in range(slow - 1, last):
        above = fast_sum * slow > slow_sum * fast
        if above != (quantity > 0.0):
            if above:
                quantity = cash / (open_[t + 1] * (1.0 + fee))
                cash = 0.0
            else:
                cash = quantity * open_[t + 1] * (1.0 - fee)
                quantity = 0.0
                trades += 1
        fast_sum += close[t + 1] - close[t + 1 - fast]
        slow_sum += close[t + 1] - close[t + 1 - slow]
    return trades, cash + quantity * close[last]


@numba.njit(cache=True)
def cross_with_levels(
    prices: tuple[FloatArray, FloatArray, FloatArray, FloatArray], fast: int, slow: int, cash: float, fee: float
) -> tuple[int, float]:
    """The same with a stop 2 and a target 4 average true ranges (14) from the signal's close, checked in every bar."""
    open_, high, low, close = prices
    quantity, trades, held, atr, stop, target = 0.0, 0, False, 0.0, 0.0, 0.0
    fast_sum = close[slow - fast : slow].sum()
    slow_sum = close[:slow].sum()
    last = len(close) - 1
    for t in range(1, slow):
        true_range = max(high[t], close[t - 1]) - min(low[t], close[t - 1])
        atr = atr + true_range / 14.0 if t <= 14 else atr * (13.0 / 14.0) + true_range * (1.0 / 14.0)
    for t in range(slow - 1, last):
        above = fast_sum * slow > slow_sum * fast
        if above != held:
            held = above
            if above:
                quantity = cash / (open_[t + 1] * (1.0 + fee))
                cash, stop, target = 0.0, close[t] - 2.0 * atr, close[t] + 4.0 * atr
            elif quantity > 0.0:
                cash = quantity * open_[t + 1] * (1.0 - fee)
                quantity = 0.0
                trades += 1
        n = t + 1
        if quantity > 0.0 and (low[n] <= stop or high[n] >= target):
            price = min(open_[n], stop) if low[n] <= stop else max(open_[n], target)
            cash = quantity * price * (1.0 - fee)
            quantity = 0.0
            trades += 1
        true_range = max(high[n], close[t]) - min(low[n], close[t])
        atr = atr * (13.0 / 14.0) + true_range * (1.0 / 14.0)
        fast_sum += close[n] - close[n - fast]
        slow_sum += close[n] - close[n - slow]
    return trades, cash + quantity * close[last]


@numba.njit(cache=True)
def sweep_in_lanes(
    open_: FloatArray, means: FloatArray, fast_rows: IntArray, slow_rows: IntArray, fee: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Parameter sets side by side in vector lanes, a bar at a time, over means that are given; nothing but equity.

    ``means[t]`` holds every average at bar ``t``. ``slow_rows`` follow each other, so that lanes need no gathering;
    each is paired with each of ``fast_rows``. The value of a lane is cash while it is flat, a quantity while long.
    """
    groups, lanes, n = len(fast_rows), len(slow_rows), len(open_)
    value, held, trades = np.ones((groups, lanes)), np.zeros((groups, lanes)), np.zeros((groups, lanes))
    for t in range(n - 1):
        buy, sell = 1.0 / (open_[t + 1] * (1.0 + fee)), open_[t + 1] * (1.0 - fee)
        slow = means[t, slow_rows[0] : slow_rows[0] + lanes]
        for group in range(groups):
            fast = means[t, fast_rows[group]]
            values, holds, done = value[group], held[group], trades[group]
            for lane in range(lanes):
                wish = 1.0 if fast > slow[lane] else 0.0
                change = wish - holds[lane]
                values[lane] *= buy if change > 0.0 else (sell if change < 0.0 else 1.0)
                done[lane] += 1.0 if change < 0.0 else 0.0
                holds[lane] = wish
    return trades, value, held


@numba.njit(cache=True)
def top_momentum(
    opens: FloatArray, closes: FloatArray, choice: tuple[int, int, int], cash: float, rates: tuple[float, float]
) -> tuple[int, float]:
    """Orders and final equity of equal parts in the ``top`` columns that rose most."""
    (lookback, every, top), (fee, share) = choice, rates
    n, assets = opens.shape
    quantities, orders = np.zeros(assets), 0
    best, chosen = np.empty(top), np.zeros(top, dtype=np.int64)
    for t in range(-(-(lookback + 1) // every) * every - 1, n - 1, every):
        now, before, price = closes[t], closes[t - lookback], opens[t + 1]
        best[:] = -np.inf
        for column in range(assets):
            rise = now[column] / before[column]
            place = top
            while place > 0 and rise > best[place - 1]:
                if place < top:
                    best[place], chosen[place] = best[place - 1], chosen[place - 1]
                place -= 1
            if place < top:
                best[place], chosen[place] = rise, column
        value = cash + (quantities * price).sum()
        for column in range(assets):
            target = 0.0
            for one in chosen:
                if one == column:
                    target = share * value / (top * price[column])
            change = target - quantities[column]
            if change != 0.0:
                cash -= change * price[column] + abs(change) * price[column] * fee
                quantities[column] = target
                orders += 1
    return orders, cash + (quantities * closes[n - 1]).sum()
