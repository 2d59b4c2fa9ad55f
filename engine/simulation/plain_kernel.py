"""The plain backtest at machine speed: one instrument, long or flat, decided at the close and filled at the next open.

Conventions. A wish that rises at the close of bar t buys at the open of bar t + 1, one that falls sells there; a wish
that stays opens nothing again, also after a stop. A stop and a target count from the entry's own bar on: a gap
through either fills at the open, and where both lie in one bar the stop is first. Fills pay a fee of their notional
and move by the slippage against the trader. What is still held at the end is valued at the last close and is no trade.

Prices are compared as whole ticks, so that a tie of averages is a tie. Work is done in blocks that stay in the
processor's cache, and trades are written only where they happen.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from engine.domain.errors import BadInput
from engine.domain.market import CandleArrays, FloatArray, IntArray
from engine.quant.arrays import read_only
from engine.simulation.plain_rules import (
    CASH,
    FEE,
    SIGNAL,
    STOP,
    TARGET,
    Levels,
    PlainRules,
    PlainRun,
    buy_price,
    entry_quantity,
    is_price,
    plain_kernel,
    sell_price,
)
from engine.strategies.sma_cross import SmaCrossConfig

ByteArray = NDArray[np.uint8]
WordArray = NDArray[np.uint64]
BLOCK_BARS = 8192
MOST_TICKS = 2**52
"""Averages are compared by whole numbers below this, which every float of the passes holds exactly."""

_ALL_ONES = np.uint64(0x0101010101010101)
_WORD = 8
_STEP = 4


def run_cross(
    candles: CandleArrays, config: SmaCrossConfig, tick_size: Decimal, rules: PlainRules, levels: Levels | None = None
) -> PlainRun:
    """Backtest the crossing of two averages, as `engine.strategies.sma_cross` decides it.

    Parameters
    ----------
    candles : CandleArrays
        On the grid of ``tick_size``.
    config : SmaCrossConfig
    tick_size : Decimal
        Quote currency.
    rules : PlainRules
    levels : Levels or None

    Raises
    ------
    BadInput
        A price that is not finite and positive, or so many ticks that averages would no longer be exact.
    """
    close = read_only(candles.close)
    most = most_ticks(len(close), config.fast_bars, config.slow_bars)
    wishes, sound = _cross_wishes(close, 1.0 / float(tick_size), config.fast_bars, config.slow_bars, most)
    if not sound:
        raise BadInput(f"a close is not a price of 1 to {most:,} ticks of {tick_size}; check the candles and the tick")
    return _run(candles, wishes, rules, levels)


def run_wishes(
    candles: CandleArrays, wishes: NDArray[np.bool_], rules: PlainRules, levels: Levels | None = None
) -> PlainRun:
    """Backtest any wishes, bool[n]: whether to be long after each close.

    Raises
    ------
    BadInput
        Another length than the candles, or a price that is needed is not finite and positive.
    """
    if len(wishes) != len(candles):
        raise BadInput(f"{len(wishes)} wishes for {len(candles)} candles; there must be one for each")
    padded = np.zeros(-(-len(wishes) // _WORD) * _WORD, dtype=np.uint8)
    padded[: len(wishes)] = wishes
    return _run(candles, padded, rules, levels)


def most_ticks(bars: int, fast_bars: int, slow_bars: int) -> int:
    """Largest price in ticks with which sums over ``bars`` and the comparison of two averages stay exact."""
    return MOST_TICKS // max(bars, fast_bars * slow_bars)


def _run(candles: CandleArrays, wishes: ByteArray, rules: PlainRules, levels: Levels | None) -> PlainRun:
    if not len(candles):
        raise BadInput("there is no candle to test on")
    columns = tuple(map(read_only, (candles.open, candles.high, candles.low, candles.close)))
    open_, high, low, close = columns
    edges = _edges(wishes.view(np.uint64), wishes)
    stops = targets = np.empty(0)
    if levels is not None:
        entries = edges[::2]
        atr, sound = _atr_at(high, low, close, levels.atr_bars, np.ascontiguousarray(entries))
        if not sound:
            raise BadInput("a high or low is not finite and positive; check the candles")
        stops = _levels(close[entries], atr, -levels.stop_multiple, rules)
        targets = _levels(close[entries], atr, levels.target_multiple, rules)
    bars, money, count, end = _trades(open_, high, low, close, edges, stops, targets, rules.numbers())
    cash, held, held_price, held_since = end
    final_equity = cash + held * float(close[-1])
    if not 0.0 <= final_equity < np.inf:
        raise BadInput(f"equity became {final_equity}: a price that was paid is not finite and positive")
    return PlainRun(
        entry_bars=bars[:count, 0],
        exit_bars=bars[:count, 1],
        reasons=bars[:count, 2],
        quantities=money[:count, 0],
        entry_prices=money[:count, 1],
        exit_prices=money[:count, 2],
        fees=money[:count, 3],
        cash=cash,
        held=held,
        held_since=int(held_since),
        held_price=held_price,
        final_equity=final_equity,
    )


def _levels(close: FloatArray, atr: FloatArray, multiple: float, rules: PlainRules) -> FloatArray:
    """Prices ``multiple`` ranges from the closes, on the tick where there is one; NaN (none) for 0 and no range."""
    if multiple == 0.0:
        return np.full(len(close), np.nan)
    levels: FloatArray = close + multiple * atr
    if rules.tick:
        ticks = np.rint(levels / rules.tick)
        levels = ticks / rules.ticks_in_one if rules.ticks_in_one else ticks * rules.tick
    return levels


@plain_kernel
def sum_ticks(close: FloatArray, per_tick: float, most: int, ticks: IntArray, sums: IntArray) -> bool:
    """Fill ``sums[j]`` with the ticks of ``close[:j]``; whether each is 1 to ``most``."""
    strange = False
    for j in range(len(close)):
        ticks[j] = np.int64(np.rint(close[j] * per_tick))
        strange |= (ticks[j] < 1) | (ticks[j] > most)
    total = 0
    sums[0] = 0
    for j in range(len(close)):
        total += ticks[j]
        sums[j + 1] = total
    return not strange


@plain_kernel
def _cross_wishes(close: FloatArray, per_tick: float, fast: int, slow: int, most: int) -> tuple[ByteArray, bool]:
    """1 where the fast mean exceeds the slow one, else 0, padded with 0 to whole words; whether all ticks are sound."""
    n, sound = len(close), True
    wishes = np.zeros(-(-n // _WORD) * _WORD, dtype=np.uint8)
    sums = np.empty(BLOCK_BARS + slow + 1, dtype=np.int64)
    ticks = np.empty(BLOCK_BARS + slow, dtype=np.int64)
    for start in range(slow - 1, n, BLOCK_BARS):
        count = min(n - start, BLOCK_BARS)
        sound &= sum_ticks(close[start + 1 - slow : start + count], per_tick, most, ticks, sums)
        now, before_fast, before_slow = sums[slow : slow + count], sums[slow - fast :], sums[:count]
        block = wishes[start : start + count]
        for i in range(count):
            block[i] = (now[i] - before_fast[i]) * slow > (now[i] - before_slow[i]) * fast
    return wishes, sound


@plain_kernel
def _edges(words: NDArray[np.uint64], wishes: ByteArray) -> IntArray:
    """Bars where the wish changes, a rise first; eight equal bars are passed over at once."""
    out = np.empty(len(wishes) + 1, dtype=np.int64)
    count, held, steady = 0, np.uint8(0), np.uint64(0)
    for j in range(len(words)):
        if words[j] != steady:
            for i in range(_WORD * j, _WORD * j + _WORD):
                out[count] = i
                count += wishes[i] != held
                held = wishes[i]
            steady = _ALL_ONES if held else np.uint64(0)
    return out[:count]


@plain_kernel
def _fill_ranges(high: FloatArray, low: FloatArray, before: FloatArray, ranges: FloatArray) -> bool:
    """True ranges of bars whose previous closes are ``before``; whether every high and low is a price."""
    strange = False
    for i in range(len(high)):
        top = high[i] if high[i] > before[i] else before[i]
        bottom = low[i] if low[i] < before[i] else before[i]
        ranges[i] = top - bottom
        strange |= (not low[i] > 0.0) | (not high[i] < np.inf)
    return not strange


@plain_kernel
def _smooth(ranges: FloatArray, value: float, period: int) -> float:
    """Wilder's average after ``ranges``; four in one step, so that each need not wait for the one before."""
    add = 1.0 / period
    keep = 1.0 - add
    keep_2, keep_3, keep_4 = keep**2, keep**3, keep**4
    whole = len(ranges) // _STEP * _STEP
    for i in range(0, whole, _STEP):
        older, newer = ranges[i] * keep_3 + ranges[i + 1] * keep_2, ranges[i + 2] * keep + ranges[i + 3]
        value = value * keep_4 + add * (older + newer)
    for i in range(whole, len(ranges)):
        value = value * keep + add * ranges[i]
    return value


@plain_kernel
def _atr_at(
    high: FloatArray, low: FloatArray, close: FloatArray, period: int, bars: IntArray
) -> tuple[FloatArray, bool]:
    """Wilder's average true range at rising ``bars``; NaN before ``period``; and whether every high and low is a price.

    Equal to `engine.quant.indicators.atr` but for rounding.
    """
    out = np.full(len(bars), np.nan)
    ranges = np.empty(BLOCK_BARS)
    k, value, sound = 0, 0.0, low[0] > 0.0 and high[0] < np.inf
    for start in range(1, len(close), BLOCK_BARS):
        stop = min(len(close), start + BLOCK_BARS)
        sound &= _fill_ranges(high[start:stop], low[start:stop], close[start - 1 : stop - 1], ranges)
        t = start
        while k < len(bars) and t < stop:
            until = min(stop, bars[k] + 1)
            seeded = min(until, max(t, period + 1))
            for i in range(t, seeded):
                value += ranges[i - start] / period
            value = _smooth(ranges[seeded - start : until - start], value, period)
            t = until
            if until == bars[k] + 1:
                out[k] = value if bars[k] >= period else np.nan
                k += 1
    return out, sound


@plain_kernel
def _first_touch(low: FloatArray, high: FloatArray, first: int, last: int, stop: float, target: float) -> int:
    """First bar from ``first`` to ``last`` that reaches a level (NaN: none); ``last + 1`` where none does."""
    for t in range(first, last + 1):
        if low[t] <= stop or high[t] >= target:
            return t
    return last + 1


@plain_kernel
def _level_exit(prices: tuple[float, float, float], stop: float, target: float, rules: FloatArray) -> tuple[float, int]:
    """Price and reason in a bar that reaches a level: the open beyond it, the stop before the target."""
    open_, low, _ = prices
    if low <= stop:
        return sell_price(min(open_, stop), rules), STOP
    return max(open_, target), TARGET


@plain_kernel
def _trades(
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    edges: IntArray,
    stops: FloatArray,
    targets: FloatArray,
    rules: FloatArray,
) -> tuple[IntArray, FloatArray, int, tuple[float, float, float, float]]:
    n, cash, count, fee = len(open_), rules[CASH], 0, rules[FEE]
    bars = np.empty(((len(edges) + 1) // 2, 3), dtype=np.int64)
    money = np.empty((len(bars), 4))
    for k in range(len(bars)):
        signal = edges[2 * k]
        entry, leave = signal + 1, edges[2 * k + 1] + 1 if 2 * k + 1 < len(edges) else n
        if entry >= n:
            break
        paid = buy_price(open_[entry], rules)
        quantity = entry_quantity(cash, close[signal], paid, rules)
        if not is_price(paid):
            return bars, money, count, (np.nan, 0.0, 0.0, -1.0)
        if quantity <= 0.0:
            continue
        cash -= quantity * paid * (1.0 + fee)
        end, price, reason = leave, 0.0, SIGNAL
        if len(stops):
            end = _first_touch(low, high, entry, min(leave, n) - 1, stops[k], targets[k])
        if end < min(leave, n):
            price, reason = _level_exit((open_[end], low[end], high[end]), stops[k], targets[k], rules)
        elif leave < n:
            price = sell_price(open_[leave], rules)
        else:
            return bars, money, count, (cash, quantity, paid, float(entry))
        if not is_price(price):
            return bars, money, count, (np.nan, 0.0, 0.0, -1.0)
        cash += quantity * price * (1.0 - fee)
        bars[count, 0], bars[count, 1], bars[count, 2] = entry, end, reason
        money[count, 0], money[count, 1], money[count, 2] = quantity, paid, price
        money[count, 3] = quantity * (paid + price) * fee
        count += 1
    return bars, money, count, (cash, 0.0, 0.0, -1.0)
