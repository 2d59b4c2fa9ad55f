"""A kernel run of the simplest kind, looked at only where something happens: all in or out of one spot instrument.

Such a strategy has no stop and is sized by weights, so between two changes of its wish nothing can happen that the next
change does not already know. Fills, money and equity are those of the loop over every bar, to the last bit, and tests
hold them together. What would be out of the ordinary there (a position that has to be topped up, one of a few lots, a
price three times the one before) is noticed, and the whole run is left to the loop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.domain.instruments import Kind
from engine.domain.market import FloatArray, IntArray
from engine.exchanges.paper import PaperCosts
from engine.quant.arrays import kernel
from engine.risk.limits import ALL_IN
from engine.simulation.kernel_compile import part, stamp
from engine.simulation.kernel_layout import TIE
from engine.simulation.kernel_money import CENT, at_most, ceil_ratio, whole
from engine.simulation.kernel_request import KernelRequest
from engine.simulation.kernel_state import limit_numbers, market_row
from engine.simulation.price_grid import price_ticks
from engine.trading.config import BrakeMode

MIN_VALUE, FEE_TOP, FEE_BOTTOM, TAKE_TOP, TAKE_BOTTOM = range(5)
UNIT, LOT, TAKING, RESERVE_FEE, FEE_RATE, RESERVE, CASH = range(7)
BAR, SIGN, LOTS, PRICE = range(4)
"""Columns of a fill; its bar is a row among the candles traded."""

ORDINARY, STRANGE = range(2)
"""How a run ended: as told here, or left to the loop."""

_JUMP = 3
_LARGEST_COST = 0.02
_LEFT, _FEWEST_LOTS = 0.05, 20
"""Cash beside a position, as a share of it, and lots of the position, between which no order of at least a tenth of the
target can come about: costs of up to `_LARGEST_COST` and rounding to whole lots move the target by less."""


@dataclass(frozen=True, slots=True)
class AllIn:
    """What is the same for every strategy that goes all in on an instrument.

    Attributes
    ----------
    open, close : int64[n]
        Ticks of the candles traded.
    whole : int64[5]
        By `MIN_VALUE`, `FEE_TOP`, `FEE_BOTTOM`, `TAKE_TOP`, `TAKE_BOTTOM`; as in `engine.simulation.kernel_layout`.
    real : float64[7]
        By `UNIT`, `LOT`, `TAKING`, `RESERVE_FEE`, `FEE_RATE`, `RESERVE`, `CASH`.
    """

    open: IntArray
    close: IntArray
    whole: IntArray
    real: FloatArray


def all_in_of(request: KernelRequest) -> AllIn | None:
    """The run's candles and rules, None where it is of another kind; its views are not looked at."""
    if len(request.series) != 1 or len(request.views) != 1 or not _is_plain(request):
        return None
    one = request.series[0]
    market, limits = market_row(request, one.instrument, [one.instrument.venue])[0], limit_numbers(request)
    candles, tick_size = one.candles.slice(one.first, one.stop), one.instrument.tick_size
    open_, close = price_ticks(candles.open, tick_size), price_ticks(candles.close, tick_size)
    if _jumps(close) or max(limits["reserve"], market["taking"], market["fee_rate"]) > _LARGEST_COST:
        return None
    names = ("min_value", "fee_top", "fee_bottom", "take_top", "take_bottom")
    whole_ = np.array([int(market[name]) for name in names], dtype=np.int64)
    real = [float(market[name]) for name in ("unit", "lot", "taking", "reserve_fee", "fee_rate")]
    return AllIn(open_, close, whole_, np.array([*real, float(limits["reserve"]), float(request.cash)]))


def _is_plain(request: KernelRequest) -> bool:
    """Whether nothing but the given fee and slippage, and no limit, stands between a wish and its order."""
    one, costs, risk = request.series[0], request.costs, request.risk
    plain = PaperCosts.plain(costs.taker_bps, costs.slippage_bps)
    return (
        one.instrument.kind is Kind.SPOT
        and float(one.instrument.max_leverage) == 1.0
        and one.funding is None
        and one.fine is None
        and one.fine is None
        and costs == plain.model_copy(update={"carry_bars": costs.carry_bars})
        and request.brake is BrakeMode.OFF
        and risk == risk.model_copy(update=ALL_IN)
    )


def _jumps(close: IntArray) -> bool:
    """Whether a close is so far from the one before that it is not believed at once."""
    before, after = close[:-1], close[1:]
    return bool(((after > before * _JUMP) | (after * _JUMP < before)).any())


def wishes_of(convictions: FloatArray, distances: FloatArray) -> NDArray[np.bool_] | None:
    """Whether to be in after each close; None where a conviction is in between, or there is a stop."""
    inside = convictions == 1.0
    if not (inside | (convictions == 0.0) | np.isnan(convictions)).all() or (distances > 0.0).any():
        return None
    # where there is no view nothing changes: only the warm-up has none, and it comes first
    known = ~np.isnan(convictions)
    return inside if known[int(np.argmax(known)) :].all() else None


def changes_of(wishes: NDArray[np.bool_]) -> IntArray:
    """int64[k]: rows at whose close the wish changes, a rise first."""
    changes: IntArray = np.flatnonzero(np.diff(wishes, prepend=False))
    return changes


def changes_within(changes: IntArray, first: int, stop: int) -> IntArray:
    """The changes of the rows ``first`` up to ``stop``, counted from ``first``; before it nothing is wished.

    >>> changes_within(np.array([2, 5, 9]), 3, 8).tolist(), changes_within(np.array([2, 5, 9]), 5, 8).tolist()
    ([0, 2], [])
    """
    begun = int(np.searchsorted(changes, first, side="right"))
    within = changes[begun : int(np.searchsorted(changes, stop))] - first
    return np.append(0, within) if begun % 2 else within


@part
def fee_of(lots: int, price: int, rules: IntArray) -> float:
    """Fee in quote, rounded up to 8 decimals."""
    fee: float = ceil_ratio(lots * price, rules[FEE_TOP], rules[FEE_BOTTOM]) * CENT
    return fee


@part
def taken(raw: int, sign: int, rules: IntArray) -> int:
    """Ticks paid or received at an open of ``raw``."""
    return max(raw + sign * ceil_ratio(raw, rules[TAKE_TOP], rules[TAKE_BOTTOM]), 1)


@part
def wanted_lots(cash: float, mark: int, real: FloatArray) -> int:
    """Lots that the whole cash is for, decided at a close of ``mark``; a part of it is held back for the costs."""
    costly = mark * real[UNIT] * (1.0 + real[RESERVE])
    return int(min(whole(cash / costly), math.floor(cash * (1.0 + TIE) / costly)))


@part
def passes(cash: float, mark: int, lots: int, real: FloatArray) -> bool:
    """Whether gate and venue take an order for so many lots without a word."""
    worth = mark * real[UNIT]
    if not at_most(lots * worth, cash) or not at_most(lots * worth * real[RESERVE] + lots * worth, cash):
        return False
    return at_most(lots * _reserve_of_one(mark, real), cash)


@part
def _reserve_of_one(mark: int, real: FloatArray) -> float:
    """Quote the venue holds back for a lot."""
    price = mark * real[UNIT] / real[LOT] * (1.0 + real[TAKING])
    held: float = math.ceil((price + price * real[RESERVE_FEE]) * 1e12) / 1e12 * real[LOT]
    return held


@part
def affordable(cash: float, mark: int, lots: int, price: int, rules: IntArray, real: FloatArray) -> int:
    """Lots of those wanted that the cash pays for at the fill."""
    held = lots * _reserve_of_one(mark, real)
    free, worth = cash - held + held, price * real[UNIT]
    if at_most(lots * worth + fee_of(lots, price, rules), free):
        return lots
    lots = min(lots, max(whole(free / (worth + worth * real[FEE_RATE])), 0))
    while lots > 0 and not at_most(lots * worth + fee_of(lots, price, rules), free):
        lots -= 1
    return lots


@part
def is_spent(cash: float, rules: IntArray, real: FloatArray) -> bool:
    """Whether the cash is too little for any order, whatever the price: then nothing can happen any more."""
    spent: bool = cash * (1.0 + 2 * TIE) / (1.0 + real[RESERVE]) < (rules[MIN_VALUE] - 1) * real[UNIT]
    return spent


@part
def needs_no_order(cash: float, lots: int, close: IntArray, span: tuple[int, int], real: FloatArray) -> bool:
    """Whether a position that is wished for needs no further order at the closes of ``span``, the end not included."""
    lowest = close[span[0]] if span[0] < span[1] else 1
    for t in range(span[0], span[1]):
        lowest = min(lowest, close[t])
    return lots >= _FEWEST_LOTS and (span[0] >= span[1] or cash < _LEFT * (lots * lowest * real[UNIT]))


@part
def entry_row(
    cash: float, close: IntArray, span: tuple[int, int], rules: IntArray, real: FloatArray
) -> tuple[int, int]:
    """First close of ``span`` at which the cash is worth an order, and its lots; the end of it where none is."""
    for t in range(span[0], span[1]):
        lots = wanted_lots(cash, close[t], real)
        if lots * close[t] >= rules[MIN_VALUE] and lots > 0:
            return t, lots
        if is_spent(cash, rules, real):
            break
    return span[1], 0


@part
def exit_row(lots: int, close: IntArray, span: tuple[int, int], rules: IntArray) -> int:
    """First close of ``span`` at which the position is worth an order; the end of it where none is."""
    for t in range(span[0], span[1]):
        if lots * close[t] >= rules[MIN_VALUE]:
            return t
    return span[1]


@part
def note(rows: IntArray, row: int, bar: int, change: int, price: int) -> None:
    """Write a fill."""
    rows[row, BAR], rows[row, PRICE] = bar, price
    rows[row, SIGN], rows[row, LOTS] = (1 if change > 0 else -1), abs(change)


def _filling(version: str) -> Any:
    """The compiled pass over the changes; ``version`` is a constant in it, so that no other comes from the disk."""

    def fills(
        open_: IntArray, close: IntArray, changes: IntArray, rules: IntArray, real: FloatArray
    ) -> tuple[IntArray, FloatArray, int, int]:
        rows, fees = np.empty((len(changes), 4), dtype=np.int64), np.empty(len(changes))
        cash, held, count, n = real[CASH], 0, 0, len(open_) if len(version) else 0
        for k in range(len(changes)):
            begin, end = changes[k], changes[k + 1] if k + 1 < len(changes) else n
            if k % 2 == 1:
                signal = exit_row(held, close, (begin, end), rules) if held > 0 else end
                if signal < min(end, n - 1):
                    price = taken(open_[signal + 1], -1, rules)
                    fees[count] = fee_of(held, price, rules)
                    cash = cash - -held * (price * real[UNIT]) - fees[count]
                    note(rows, count, signal + 1, -held, price)
                    count, held = count + 1, 0
                continue
            since = begin
            if held == 0:
                signal, lots = entry_row(cash, close, (begin, end), rules, real)
                if signal >= min(end, n - 1):
                    continue
                if not passes(cash, close[signal], lots, real):
                    return rows, fees, count, STRANGE
                since = signal + 1
                price = taken(open_[since], 1, rules)
                held = affordable(cash, close[signal], lots, price, rules, real)
                fees[count] = fee_of(held, price, rules)
                cash = cash - held * (price * real[UNIT]) - fees[count]
                note(rows, count, since, held, price)
                count += 1
            if not needs_no_order(cash, held, close, (since, end), real):
                return rows, fees, count, STRANGE
        return rows, fees, count, ORDINARY

    return kernel(fills)


def _curves(version: str) -> Any:
    """The compiled pass over every close."""

    def curve(close: IntArray, rows: IntArray, fees: FloatArray, real: FloatArray) -> tuple[FloatArray, FloatArray]:
        n, cash, held, peak, k = len(close), real[CASH], 0, 1.0, 0
        equity, drawdown = np.empty(n), np.empty(n)
        stop = rows[0, 0] if len(rows) else n
        t = 0
        while t < n and len(version) > 0:
            while t < stop:
                equity[t] = cash + held * close[t] * real[UNIT] if held != 0 else cash
                value = equity[t] / real[CASH]
                peak = max(peak, value)
                drawdown[t] = 1.0 - value / peak
                t += 1
            if k < len(rows):
                change = rows[k, 1] * rows[k, 2]
                cash -= change * (rows[k, 3] * real[UNIT])
                cash -= fees[k]
                held += change
                k += 1
                stop = rows[k, 0] if k < len(rows) else n
        return equity, drawdown

    return kernel(curve)


@part
def deepest_within(
    close: IntArray, span: tuple[int, int], held: tuple[float, int], best: tuple[float, float], real: FloatArray
) -> tuple[float, float]:
    """Peak of the capital's multiple and deepest drawdown after the closes of a span, with (cash, lots) held."""
    (cash, lots), (peak, deepest), capital = held, best, real[CASH]
    for t in range(span[0], span[1]):
        equity = cash + lots * close[t] * real[UNIT]
        if equity > peak * capital * (1.0 - TIE):
            peak = max(peak, equity / capital)
        if equity < (1.0 - deepest) * peak * capital * (1.0 + TIE):
            deepest = max(deepest, 1.0 - equity / capital / peak)
    return peak, deepest


def _marking(version: str) -> Any:
    """The compiled pass from fills to what a sweep keeps of them."""

    def marks(
        close: IntArray, rows: IntArray, fees: FloatArray, days: IntArray, real: FloatArray
    ) -> tuple[FloatArray, float]:
        n, cash, held, day, best = len(close), real[CASH], 0, 0, (1.0, 0.0)
        levels = np.empty(len(days))
        since = 0
        for k in range(len(rows) + 1):
            stop = rows[k, BAR] if k < len(rows) else n
            while day < len(days) and days[day] < stop:
                levels[day] = cash + held * close[days[day]] * real[UNIT] if held != 0 else cash
                day += 1
            # out of the market equity stands still: one look is enough
            last = stop if held != 0 or len(version) == 0 else min(since + 1, stop)
            best = deepest_within(close, (since, last), (cash, held), best, real)
            if k < len(rows):
                change = rows[k, SIGN] * rows[k, LOTS]
                cash -= change * (rows[k, PRICE] * real[UNIT])
                cash -= fees[k]
                held += change
                since = stop
        return levels, best[1]

    return kernel(marks)


run_marks = _marking(stamp())
"""Equity at the ends of days (rows of closes), and the deepest drawdown."""

run_fills, run_curve = _filling(stamp()), _curves(stamp())
