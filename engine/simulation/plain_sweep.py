"""Many crossings of averages over the same candles in one pass; results alone are kept, a handful of numbers each.

The candles are taken in blocks that stay in the processor's cache. In each block every average is computed once,
whatever the number of parameter sets that use it, and compared for many bars at once; only bars at which a wish changes
are looked at one by one. Marks between them need no look either where bounds of the closes, shared by all parameter
sets, already exclude a new peak and a deeper drawdown. Memory does not grow with the candles times the parameter sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from engine.domain.errors import BadInput
from engine.domain.market import CandleArrays, FloatArray, IntArray
from engine.quant.arrays import read_only
from engine.quant.volatility import DAYS_PER_YEAR
from engine.simulation.plain_kernel import MOST_TICKS, ByteArray, WordArray, sum_ticks
from engine.simulation.plain_rules import (
    CASH,
    FEE,
    PlainRules,
    buy_price,
    entry_quantity,
    is_price,
    plain_kernel,
    sell_price,
)
from engine.strategies.sma_cross import SmaCrossConfig

DAY_MS = 86_400_000
_LEVELS = 8
_LEVEL_OF = np.array([max(bars.bit_length() - 1, 0) for bars in range(2**_LEVELS)], dtype=np.int64)
_CACHED_VALUES = 65_536
_LEAST_BLOCK, _LARGEST_BLOCK = 256, 8192
_ALL_ONES = np.uint64(0x0101010101010101)
WORD = 8
_SMALLEST_SPREAD = 1e-15

_CASH, _QUANTITY, _PEAK, _DEEPEST, _MARK, _SUM, _SQUARES = range(7)
_LONG, _SINCE, _TRADES, _DAY, _DAY_END = range(5)


@dataclass(frozen=True, slots=True)
class SweepResult:
    """Results of parameter sets, in the order they were given; arrays of one length.

    Attributes
    ----------
    fast_bars, slow_bars : int64[k]
    trades : int64[k]
        Completed ones.
    final_equity : float64[k]
        Quote currency; what is held at the last close.
    drawdown : float64[k]
        Largest, at closes, share of the peak so far (the capital at first), 0 to 1.
    sharpe : float64[k]
        Of returns from the end of one UTC day to that of the next, the first from the capital: mean over sample
        deviation times the root of 365; NaN below two days or without variance.
    """

    fast_bars: IntArray
    slow_bars: IntArray
    trades: IntArray
    final_equity: FloatArray
    drawdown: FloatArray
    sharpe: FloatArray


def sweep_cross(
    candles: CandleArrays, configs: Sequence[SmaCrossConfig], tick_size: Decimal, rules: PlainRules
) -> SweepResult:
    """Backtest every configuration of `sma_cross` over the same candles, each as `run_cross` would.

    Raises
    ------
    BadInput
        Nothing to test, or a price that is not finite, positive and of few enough ticks.
    """
    if not configs or not len(candles):
        raise BadInput(f"{len(configs)} parameter sets on {len(candles)} candles: there is nothing to test")
    pairs = np.array([(one.fast_bars, one.slow_bars) for one in configs], dtype=np.int64)
    windows = np.unique(pairs)
    rows = np.searchsorted(windows, pairs)
    order = np.lexsort((rows[:, 1], rows[:, 0]))
    most = MOST_TICKS // max(len(candles), int((pairs[:, 0] * pairs[:, 1]).max()))
    open_, close = read_only(candles.open), read_only(candles.close)
    day_ends = _day_ends(candles.opened_at_ms)
    states, counts, sound = _sweep(
        open_, close, day_ends, windows, rows[order], 1.0 / float(tick_size), most, rules.numbers()
    )
    if not sound or not np.isfinite(states[:, _MARK]).all():
        raise BadInput(f"a price is not 1 to {most:,} ticks of {tick_size}; check the candles and the tick")
    back = np.argsort(order)
    return SweepResult(
        fast_bars=pairs[:, 0],
        slow_bars=pairs[:, 1],
        trades=counts[back, _TRADES],
        final_equity=states[back, _MARK],
        drawdown=states[back, _DEEPEST],
        sharpe=_sharpe(states[back, _SUM], states[back, _SQUARES], len(day_ends)),
    )


def _day_ends(opened_at_ms: IntArray) -> IntArray:
    """The last bar of every UTC day, the unfinished last one included."""
    days = opened_at_ms // DAY_MS
    return np.append(np.flatnonzero(days[1:] != days[:-1]), len(days) - 1)


def _sharpe(total: FloatArray, squares: FloatArray, count: int) -> FloatArray:
    if count < 2:
        return np.full(len(total), np.nan)
    mean = total / count
    spread = np.sqrt(np.maximum(squares - count * mean**2, 0.0) / (count - 1))
    spread[~(spread > _SMALLEST_SPREAD)] = np.nan
    ratios: FloatArray = mean / spread * np.sqrt(DAYS_PER_YEAR)
    return ratios


@plain_kernel
def _extremes(close: FloatArray) -> FloatArray:
    """float64[2, 8, n]: lowest and highest of the 1, 2, 4 ... 128 closes from each bar on (fewer at the end)."""
    n = len(close)
    out = np.empty((2, _LEVELS, n))
    out[0, 0] = out[1, 0] = close
    for level in range(1, _LEVELS):
        half = 1 << (level - 1)
        for side in range(2):
            before, here = out[side, level - 1], out[side, level]
            here[:] = before
            later = before[half:]
            for t in range(len(later)):
                here[t] = min(before[t], later[t]) if side == 0 else max(before[t], later[t])
    return out


@plain_kernel
def _range(extremes: FloatArray, first: int, last: int) -> tuple[float, float]:
    """Lowest and highest of the closes ``first`` to ``last``: two stretches that overlap, more for a long range."""
    bars = last + 1 - first
    level = _LEVEL_OF[min(bars, len(_LEVEL_OF) - 1)]
    width = 1 << level
    final = last + 1 - width
    low = min(extremes[0, level, first], extremes[0, level, final])
    high = max(extremes[1, level, first], extremes[1, level, final])
    t = first + width
    while t < final:  # a range with a step that is not known ahead would divide
        low, high = min(low, extremes[0, level, t]), max(high, extremes[1, level, t])
        t += width
    return low, high


@plain_kernel
def block_of(windows: int) -> int:
    """Bars of a block, whole words, whose averages of so many windows stay in the cache."""
    return min(_LARGEST_BLOCK, max(_LEAST_BLOCK, _CACHED_VALUES // windows // WORD * WORD))


@plain_kernel
def fill_means(sums: IntArray, longest: int, known: int, windows: IntArray, means: FloatArray) -> None:
    """Rows of means of ticks, a window each: sums are whole numbers, so that equal means are equal floats.

    ``known`` bars precede the block, at most ``longest``; means that lack bars are NaN.
    """
    count = len(sums) - 1 - longest
    now = sums[longest + 1 :]
    for row in range(len(windows)):
        bars = windows[row]
        before, out = sums[longest + 1 - bars :], means[row]
        for i in range(count):
            out[i] = (now[i] - before[i]) / bars
        for i in range(min(count, max(0, bars - 1 - known))):
            out[i] = np.nan


@plain_kernel
def _mark(
    close: FloatArray,
    extremes: FloatArray,
    span: tuple[int, int],
    held: tuple[float, float],
    marks: tuple[float, float],
) -> tuple[float, float]:
    """Peak and deepest drawdown after the closes of ``span`` (first, last), with ``held`` (cash, quantity)."""
    (first, last), (cash, quantity), (peak, deepest) = span, held, marks
    low, high = _range(extremes, first, last)
    bottom, top = cash + quantity * low, cash + quantity * high
    if bottom >= (1.0 - deepest) * max(peak, top):
        return max(peak, top), deepest
    if top <= peak:
        return peak, 1.0 - bottom / peak
    for t in range(first, last + 1):
        equity = cash + quantity * close[t]
        if equity > peak:
            peak = equity
        elif equity < (1.0 - deepest) * peak:
            deepest = 1.0 - equity / peak
    return peak, deepest


@plain_kernel
def _mark_days(close: FloatArray, day_ends: IntArray, stop: int, state: FloatArray, count: IntArray) -> None:
    """Returns of the days that end before bar ``stop``, with what is held."""
    day = count[_DAY]
    while day < len(day_ends) and day_ends[day] < stop:
        equity = state[_CASH] + state[_QUANTITY] * close[day_ends[day]]
        change = equity / state[_MARK] - 1.0
        state[_SUM] += change
        state[_SQUARES] += change * change
        state[_MARK] = equity
        day += 1
    count[_DAY] = day
    count[_DAY_END] = day_ends[day] if day < len(day_ends) else len(close)


@plain_kernel
def fill_edges(wishes: ByteArray, words: WordArray, held: int, edges: IntArray) -> int:
    """Fill ``edges`` with the places where the wish changes; how many. Eight equal bars are passed over at once."""
    count, wish = 0, np.uint8(held)
    steady = _ALL_ONES if held else np.uint64(0)
    for j in range(len(words)):
        if words[j] != steady:
            for i in range(WORD * j, WORD * j + WORD):
                edges[count] = i
                count += wishes[i] != wish
                wish = wishes[i]
            steady = _ALL_ONES if wish else np.uint64(0)
    return count


@plain_kernel
def _walk(
    edges: IntArray,
    open_: FloatArray,
    close: FloatArray,
    extremes: FloatArray,
    day_ends: IntArray,
    rules: FloatArray,
    state: FloatArray,
    count: IntArray,
) -> None:
    """Trade at the open after each edge, buying and selling in turn."""
    for signal in edges:
        fill = signal + 1
        if fill >= len(open_):
            return
        if count[_DAY_END] < fill:
            _mark_days(close, day_ends, fill, state, count)
        cash, quantity = state[_CASH], state[_QUANTITY]
        if count[_LONG] == 0:
            paid = buy_price(open_[fill], rules)
            bought = max(entry_quantity(cash, close[signal], paid, rules), 0.0) if is_price(paid) else np.nan
            state[_CASH], state[_QUANTITY] = cash - bought * paid * (1.0 + rules[FEE]), bought
            count[_SINCE] = fill
        elif quantity != 0.0:
            marks = _mark(close, extremes, (count[_SINCE], signal), (cash, quantity), (state[_PEAK], state[_DEEPEST]))
            price = sell_price(open_[fill], rules)
            cash += quantity * (price if is_price(price) else np.nan) * (1.0 - rules[FEE])
            peak, deepest = max(marks[0], cash), marks[1]
            if cash < (1.0 - deepest) * peak:
                deepest = 1.0 - cash / peak
            state[_CASH], state[_QUANTITY], state[_PEAK], state[_DEEPEST] = cash, 0.0, peak, deepest
            count[_TRADES] += 1
        count[_LONG] = 1 - count[_LONG]


@plain_kernel
def _finish(close: FloatArray, extremes: FloatArray, day_ends: IntArray, state: FloatArray, count: IntArray) -> None:
    """Marks up to the last close."""
    if state[_QUANTITY] > 0.0:
        span, held = (count[_SINCE], len(close) - 1), (state[_CASH], state[_QUANTITY])
        state[_PEAK], state[_DEEPEST] = _mark(close, extremes, span, held, (state[_PEAK], state[_DEEPEST]))
    _mark_days(close, day_ends, len(close), state, count)


@plain_kernel
def _sweep(
    open_: FloatArray,
    close: FloatArray,
    day_ends: IntArray,
    windows: IntArray,
    rows: IntArray,
    per_tick: float,
    most: int,
    rules: FloatArray,
) -> tuple[FloatArray, IntArray, bool]:
    n, longest, sound = len(close), windows[-1], True
    block = block_of(len(windows))
    states, counts = np.zeros((len(rows), 7)), np.zeros((len(rows), 5), dtype=np.int64)
    states[:, _CASH] = states[:, _PEAK] = states[:, _MARK] = rules[CASH]
    counts[:, _DAY_END] = day_ends[0]
    extremes = _extremes(close)
    ticks, sums = np.empty(block + longest, dtype=np.int64), np.zeros(block + longest + 1, dtype=np.int64)
    means, edges = np.empty((len(windows), block)), np.empty(block + WORD, dtype=np.int64)
    words = np.zeros(block // WORD, dtype=np.uint64)
    wishes = words.view(np.uint8)
    for start in range(0, n, block):
        count, known = min(block, n - start), min(start, longest)
        sums[: longest + 1 - known] = 0
        sound &= sum_ticks(close[start - known : start + count], per_tick, most, ticks, sums[longest - known :])
        fill_means(sums[: longest + 1 + count], longest, known, windows, means)
        for k in range(len(rows)):
            fast, slow = means[rows[k, 0]], means[rows[k, 1]]
            for i in range(count):
                wishes[i] = fast[i] > slow[i]
            for i in range(count, block):
                wishes[i] = wishes[count - 1]
            found = fill_edges(wishes, words, counts[k, _LONG], edges)
            for i in range(found):
                edges[i] += start
            _walk(edges[:found], open_, close, extremes, day_ends, rules, states[k], counts[k])
    for k in range(len(rows)):
        _finish(close, extremes, day_ends, states[k], counts[k])
    return states, counts, sound
