"""Technical indicators with the seeds and warm-ups of TA-Lib, so that numbers agree with what traders see elsewhere.

Every function takes series of one length ``n`` (prices in quote currency, volume in base) and returns float64[n]
with NaN during warm-up; the value at a bar uses bars up to and including it. A NaN in the input of a recursive
indicator (EMA, Wilder) stays in every later value: refuse bad bars before they come here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from engine.quant import rolling
from engine.quant.arrays import FloatArray, kernel, read_only, read_only_together, require_at_least


@dataclass(frozen=True, slots=True)
class Bands:
    """Three lines in the unit of the price, float64[n] each."""

    upper: FloatArray
    middle: FloatArray
    lower: FloatArray


@dataclass(frozen=True, slots=True)
class Macd:
    """MACD line, its signal line, and their difference, in the unit of the price, float64[n] each."""

    line: FloatArray
    signal: FloatArray
    histogram: FloatArray


@dataclass(frozen=True, slots=True)
class DirectionalMovement:
    """Wilder's ADX, +DI and -DI, 0 to 100, float64[n] each."""

    adx: FloatArray
    plus_di: FloatArray
    minus_di: FloatArray


@kernel
def _ema(x: FloatArray, n: int, first: int) -> FloatArray:
    """EMA whose seed, at index ``first``, is the mean of the ``n`` values that end there."""
    out = np.full(len(x), np.nan)
    if first >= len(x):
        return out
    weight = 2.0 / (n + 1)
    value = rolling.window_sum(x, first - n + 1, first + 1) / n
    out[first] = value
    for t in range(first + 1, len(x)):
        value += weight * (x[t] - value)
        out[t] = value
    return out


@kernel
def _true_range(high: FloatArray, low: FloatArray, close: FloatArray) -> FloatArray:
    out = np.full(len(close), np.nan)
    for t in range(1, len(close)):
        previous = close[t - 1]
        out[t] = max(high[t], previous) - min(low[t], previous)
    return out


@kernel
def _wilder(x: FloatArray, n: int) -> FloatArray:
    """Wilder's average of values that start at index 1: mean of the first ``n``, then weight 1/n."""
    out = np.full(len(x), np.nan)
    if n >= len(x):
        return out
    weight = 1.0 / n
    value = rolling.window_sum(x, 1, n + 1) / n
    out[n] = value
    for t in range(n + 1, len(x)):
        value += weight * (x[t] - value)
        out[t] = value
    return out


@kernel
def _directional_moves(high: FloatArray, low: FloatArray) -> tuple[FloatArray, FloatArray]:
    plus = np.zeros(len(high))
    minus = np.zeros(len(high))
    for t in range(1, len(high)):
        up = high[t] - high[t - 1]
        down = low[t - 1] - low[t]
        if down > 0.0 and up < down:
            minus[t] = down
        elif up > 0.0 and up > down:
            plus[t] = up
    return plus, minus


@kernel
def _wilder_sum(x: FloatArray, n: int) -> FloatArray:
    """Wilder's running sum: the first n-1 values from index 1 are added up, then 1/n decays each bar."""
    out = np.full(len(x), np.nan)
    total = 0.0
    for t in range(1, len(x)):
        total = total + x[t] if t < n else total - total / n + x[t]
        if t >= n:
            out[t] = total
    return out


@kernel
def _adx(plus_di: FloatArray, minus_di: FloatArray, n: int) -> FloatArray:
    """Mean of the first ``n`` directional indices, then Wilder; a bar without any movement changes nothing."""
    out = np.full(len(plus_di), np.nan)
    value = 0.0
    for t in range(n, len(plus_di)):
        total = plus_di[t] + minus_di[t]
        index = 100.0 * abs(plus_di[t] - minus_di[t]) / total if total > 0.0 else math.nan
        if t < 2 * n:
            value += index / n if total > 0.0 else 0.0
        elif total > 0.0:
            value = (value * (n - 1) + index) / n
        if t >= 2 * n - 1:
            out[t] = value
    return out


@kernel
def _obv(close: FloatArray, volume: FloatArray) -> FloatArray:
    out = volume.copy()
    for t in range(1, len(close)):
        out[t] = out[t - 1] + np.sign(close[t] - close[t - 1]) * volume[t]
    return out


@lru_cache
def ema_memory_bars(period_bars: int, dropped_weight: float = 1e-12) -> int:
    """Bars after which an EMA no longer knows where it was started, up to ``dropped_weight`` of the difference.

    >>> ema_memory_bars(24)
    356
    """
    return period_bars + math.ceil(math.log(dropped_weight) / math.log1p(-2.0 / (period_bars + 1)))


@lru_cache
def wilder_memory_bars(period_bars: int, dropped_weight: float = 1e-12) -> int:
    """The same for Wilder's average (ATR), whose weight is 1/period; includes the bar before the first true range.

    >>> wilder_memory_bars(14)
    388
    """
    return period_bars + 1 + math.ceil(math.log(dropped_weight) / math.log1p(-1.0 / period_bars))


def sma(values: ArrayLike, period_bars: int) -> FloatArray:
    """Simple moving average; first value at index ``period_bars - 1``.

    >>> sma([1.0, 2.0, 3.0], 3).tolist()
    [nan, nan, 2.0]
    """
    return rolling.mean(values, period_bars)


def ema(values: ArrayLike, period_bars: int) -> FloatArray:
    """Exponential moving average with weight 2/(n+1), seeded by the mean of the first n values at index n-1.

    pandas' ``ewm(adjust=False)`` seeds with the first value instead and differs for about five periods.

    >>> ema([1.0, 2.0, 3.0, 6.0], 3).tolist()
    [nan, nan, 2.0, 4.0]
    """
    require_at_least(period_bars, 1, "period_bars")
    return _ema(read_only(values), period_bars, period_bars - 1)


def rsi(close: ArrayLike, period_bars: int = 14) -> FloatArray:
    """Wilder's relative strength index, 0 to 100; first value at index ``period_bars``.

    A series that never moved has no strength: NaN, where TA-Lib answers 0 and a dead feed would look oversold.

    Parameters
    ----------
    close : array_like, shape (n,)
    period_bars : int
        At least 1; 14 is Wilder's own.

    Returns
    -------
    float64[n]

    Examples
    --------
    >>> rsi([1.0, 2.0, 3.0, 2.0], 2).tolist()
    [nan, nan, 100.0, 50.0]
    """
    require_at_least(period_bars, 1, "period_bars")
    prices = read_only(close, "close")
    changes = np.diff(prices, prepend=np.nan)
    gains = _wilder(read_only(np.maximum(changes, 0.0)), period_bars)
    losses = _wilder(read_only(np.maximum(-changes, 0.0)), period_bars)
    moved = gains + losses
    strength = np.full(len(prices), np.nan)
    np.divide(100.0 * gains, moved, out=strength, where=moved > 0.0)
    return strength


def macd(close: ArrayLike, fast_bars: int = 12, slow_bars: int = 26, signal_bars: int = 9) -> Macd:
    """MACD with TA-Lib's seeds: both averages start at bar ``slow_bars - 1``, all lines share one first bar.

    Parameters
    ----------
    close : array_like, shape (n,)
    fast_bars, slow_bars, signal_bars : int
        Periods; fast below slow. 12, 26, 9 are Appel's.

    Returns
    -------
    Macd
        NaN before index ``slow_bars + signal_bars - 2``.

    Examples
    --------
    >>> macd([float(i) for i in range(40)]).line[33:35].tolist()
    [7.0, 7.0]
    """
    require_at_least(slow_bars, fast_bars + 1, "slow_bars")
    require_at_least(min(fast_bars, signal_bars), 1, "fast_bars and signal_bars")
    prices = read_only(close, "close")
    line = _ema(prices, fast_bars, slow_bars - 1) - _ema(prices, slow_bars, slow_bars - 1)
    first = slow_bars + signal_bars - 2
    signal = _ema(read_only(line), signal_bars, first)
    line[:first] = np.nan
    return Macd(line, signal, line - signal)


def bollinger(close: ArrayLike, period_bars: int = 20, width_deviations: float = 2.0) -> Bands:
    """Mean plus and minus ``width_deviations`` population standard deviations (ddof 0, as Bollinger defined them).

    >>> float(bollinger([1.0, 3.0], 2).upper[1])
    4.0
    """
    middle = rolling.mean(close, period_bars)
    width = width_deviations * rolling.deviation(close, period_bars, ddof=0)
    return Bands(middle + width, middle, middle - width)


def true_range(high: ArrayLike, low: ArrayLike, close: ArrayLike) -> FloatArray:
    """Range of the bar joined with the previous close; NaN at index 0, where there is none.

    >>> true_range([2.0, 5.0], [1.0, 4.0], [1.5, 4.5]).tolist()
    [nan, 3.5]
    """
    return _true_range(*read_only_together(high=high, low=low, close=close))


def atr(high: ArrayLike, low: ArrayLike, close: ArrayLike, period_bars: int = 14) -> FloatArray:
    """Wilder's average true range in quote currency, at least 0; first value at index ``period_bars``.

    >>> atr([2.0, 3.0, 4.0], [1.0, 2.0, 3.0], [1.5, 2.5, 3.5], 2).tolist()
    [nan, nan, 1.5]
    """
    require_at_least(period_bars, 1, "period_bars")
    return _wilder(read_only(true_range(high, low, close)), period_bars)


def adx(high: ArrayLike, low: ArrayLike, close: ArrayLike, period_bars: int = 14) -> DirectionalMovement:
    """Wilder's directional movement.

    Parameters
    ----------
    high, low, close : array_like, shape (n,)
    period_bars : int
        At least 2; 14 is Wilder's own.

    Returns
    -------
    DirectionalMovement
        DI from index ``period_bars``, ADX from index ``2 * period_bars - 1``. A flat series gives 0 (no trend).

    Examples
    --------
    >>> rising = np.arange(1.0, 6.0)
    >>> adx(rising + 0.5, rising - 0.5, rising, 2).adx.tolist()
    [nan, nan, nan, 100.0, 100.0]
    """
    require_at_least(period_bars, 2, "period_bars")
    highs, lows, closes = read_only_together(high=high, low=low, close=close)
    ranges = _wilder_sum(read_only(_true_range(highs, lows, closes)), period_bars)
    plus, minus = _directional_moves(highs, lows)
    lines = []
    for moves in (plus, minus):
        line = np.where(np.isnan(ranges), np.nan, 0.0)
        np.divide(100.0 * _wilder_sum(read_only(moves), period_bars), ranges, out=line, where=ranges > 0.0)
        lines.append(line)
    return DirectionalMovement(_adx(read_only(lines[0]), read_only(lines[1]), period_bars), lines[0], lines[1])


def obv(close: ArrayLike, volume: ArrayLike) -> FloatArray:
    """On-balance volume in base currency, starting at the first bar's volume; only differences mean anything.

    >>> obv([1.0, 2.0, 1.0], [5.0, 3.0, 4.0]).tolist()
    [5.0, 8.0, 4.0]
    """
    return _obv(*read_only_together(close=close, volume=volume))


def donchian(high: ArrayLike, low: ArrayLike, period_bars: int = 20) -> Bands:
    """Highest high and lowest low, current bar included.

    A breakout test must compare with the channel of the previous bars (`rolling.shifted`): a close never lies
    beyond a channel that includes its own bar.

    >>> donchian([2.0, 3.0], [1.0, 2.0], 2).middle.tolist()
    [nan, 2.0]
    """
    highs, lows = read_only_together(high=high, low=low)
    upper, lower = rolling.highest(highs, period_bars), rolling.lowest(lows, period_bars)
    return Bands(upper, (upper + lower) / 2.0, lower)


@dataclass(frozen=True, slots=True)
class KeltnerRule:
    """Periods of the Keltner channel; the defaults are the StockCharts convention."""

    ema_bars: int = 20
    atr_bars: int = 10
    width_atr: float = 2.0


def keltner(high: ArrayLike, low: ArrayLike, close: ArrayLike, rule: KeltnerRule | None = None) -> Bands:
    """EMA of the close plus and minus a multiple of the ATR; NaN until both exist.

    >>> flat = [10.0] * 25
    >>> float(keltner([11.0] * 25, [9.0] * 25, flat).upper[24])
    14.0
    """
    chosen = rule or KeltnerRule()
    width = chosen.width_atr * atr(high, low, close, chosen.atr_bars)
    middle = ema(close, chosen.ema_bars)
    return Bands(middle + width, middle, middle - width)
