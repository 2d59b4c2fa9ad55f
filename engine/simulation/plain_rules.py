"""What a plain backtest is told and what it answers, and the arithmetic of one fill that all plain passes share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import ParamSpec, TypeVar, cast

import numba
import numpy as np

from engine.domain.errors import BadInput
from engine.domain.market import FloatArray, IntArray

_P = ParamSpec("_P")
_R = TypeVar("_R")
_LOT_TOLERANCE = 1e-9
CASH, FEE, SLIPPAGE, SHARE, LOT, TICK, TICKS_IN_ONE, AT_CLOSE, RESERVE = range(9)
"""Places of the rules in `PlainRules.numbers`."""

SIGNAL, STOP, TARGET = range(3)
"""Values of `Reason` as compiled passes know them."""


class Reason(IntEnum):
    """Why a trade ended."""

    SIGNAL = 0
    STOP = 1
    TARGET = 2


def plain_kernel(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile as `engine.quant.arrays.kernel` does, but let a division by zero give infinity or NaN.

    A check before each division would keep loops from being vectorised; results are checked once, at the end.
    """
    return cast("Callable[_P, _R]", numba.njit(cache=True, error_model="numpy")(function))


@dataclass(frozen=True, slots=True)
class PlainRules:
    """How the plain backtest trades.

    Attributes
    ----------
    cash : float
        Capital, quote currency.
    fee_bps, slippage_bps : float
        Basis points of the notional; of the price, against the trader.
    share : float
        Of the equity that an entry is for, above 0 to 1; 1 is all in.
    lot : float
        Quantities are whole multiples of it, rounded down; 0: any fraction.
    tick : float
        Fills are whole multiples of it, rounded against the trader; 0: any price.
    sized_at_close : bool
        True: the quantity is decided with the signal, at its close, as the engine does, with ``reserve_bps`` held back,
        and cut to what the cash pays at the fill. False: the quantity is what the money buys at the fill.
    reserve_bps : float
        Basis points of notional held back for fee and slippage where ``sized_at_close``.

    Notes
    -----
    Money is not rounded, while the simulated venue rounds each fee up to 8 decimals: quantities are the replay's to the
    lot as long as a lot is worth much more than the fees' rounding (1e-8 quote) times the number of fills.
    """

    cash: float
    fee_bps: float = 10.0
    slippage_bps: float = 0.0
    share: float = 1.0
    lot: float = 0.0
    tick: float = 0.0
    sized_at_close: bool = False
    reserve_bps: float = 0.0

    def __post_init__(self) -> None:
        if not (0.0 < self.cash < np.inf and 0.0 < self.share <= 1.0):
            raise BadInput(f"cash {self.cash} must be above 0 and share {self.share} above 0 to 1")
        amounts = (self.fee_bps, self.slippage_bps, self.lot, self.tick, self.reserve_bps)
        if not all(0.0 <= amount < np.inf for amount in amounts):
            raise BadInput(f"fee, slippage, lot, tick and reserve must be 0 or more, got {amounts}")

    @property
    def ticks_in_one(self) -> float:
        """Whole ticks in a price of 1; 0 where there is no tick or no whole number of them."""
        whole = float(np.rint(1.0 / self.tick)) if self.tick else 0.0
        return whole if abs(whole * self.tick - 1.0) < _LOT_TOLERANCE else 0.0

    def numbers(self) -> FloatArray:
        """The rules as the compiled passes take them, shares instead of basis points."""
        bps = 1e-4
        return np.array([
            self.cash, self.fee_bps * bps, self.slippage_bps * bps, self.share, self.lot, self.tick, self.ticks_in_one,
            1.0 if self.sized_at_close else 0.0, self.reserve_bps * bps,
        ])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Levels:
    """Protection in multiples of the average true range (Wilder) at the entry's signal, from the close there.

    Attributes
    ----------
    atr_bars : int
        At least 1.
    stop_multiple, target_multiple : float
        0: none.
    """

    atr_bars: int = 14
    stop_multiple: float = 0.0
    target_multiple: float = 0.0

    def __post_init__(self) -> None:
        if self.atr_bars < 1 or not (0.0 <= self.stop_multiple < np.inf and 0.0 <= self.target_multiple < np.inf):
            raise BadInput(
                f"atr_bars {self.atr_bars} must be at least 1, the multiples of stop {self.stop_multiple} and target "
                f"{self.target_multiple} 0 or more"
            )


@dataclass(frozen=True, slots=True)
class PlainRun:
    """What a plain backtest did; arrays of one length, a trade each, oldest first.

    Attributes
    ----------
    entry_bars, exit_bars : int64[k]
        Bars whose opens (or levels) were paid.
    reasons : int64[k]
        `Reason` of the exit.
    quantities : float64[k]
        Base currency.
    entry_prices, exit_prices : float64[k]
        Quote currency, slippage included.
    fees : float64[k]
        Quote currency, entry and exit together.
    cash : float
        Quote currency at the end.
    held : float
        Base currency still held at the end, 0 or more; bought at ``held_since`` for ``held_price``.
    held_since : int
        Bar of that entry; -1 where nothing is held.
    held_price : float
    final_equity : float
        Quote currency; what is held at the last close.
    """

    entry_bars: IntArray
    exit_bars: IntArray
    reasons: IntArray
    quantities: FloatArray
    entry_prices: FloatArray
    exit_prices: FloatArray
    fees: FloatArray
    cash: float
    held: float
    held_since: int
    held_price: float
    final_equity: float

    @property
    def trades(self) -> int:
        """Completed trades."""
        return len(self.entry_bars)

    @property
    def profits(self) -> FloatArray:
        """float64[k], quote currency, after fees."""
        return self.quantities * (self.exit_prices - self.entry_prices) - self.fees


@plain_kernel
def price_of(ticks: float, rules: FloatArray) -> float:
    """The float nearest to a price on the grid, as files hold it, so that touching a level is exact."""
    price: float = ticks / rules[TICKS_IN_ONE] if rules[TICKS_IN_ONE] > 0.0 else ticks * rules[TICK]
    return price


@plain_kernel
def buy_price(price: float, rules: FloatArray) -> float:
    """A price with slippage, rounded up to the tick."""
    moved: float = price * (1.0 + rules[SLIPPAGE])
    if rules[TICK] == 0.0:
        return moved
    ticks = moved / rules[TICK]
    return price_of(np.ceil(ticks - _LOT_TOLERANCE * ticks), rules)


@plain_kernel
def sell_price(price: float, rules: FloatArray) -> float:
    """A price with slippage, rounded down to the tick, at least one tick."""
    moved: float = price * (1.0 - rules[SLIPPAGE])
    if rules[TICK] == 0.0:
        return moved
    ticks = moved / rules[TICK]
    return price_of(max(1.0, np.floor(ticks + _LOT_TOLERANCE * ticks)), rules)


@plain_kernel
def whole_lots(quantity: float, lot: float) -> float:
    """A quantity rounded down to the lot; one within 1e-9 of the next whole lot counts as that."""
    return np.floor(quantity / lot + _LOT_TOLERANCE) * lot if lot > 0.0 else quantity


@plain_kernel
def entry_quantity(cash: float, decided_at: float, paid: float, rules: FloatArray) -> float:
    """What an entry buys: see `PlainRules`."""
    affordable = cash / (paid * (1.0 + rules[FEE]))
    if rules[AT_CLOSE] > 0.0:
        wanted = rules[SHARE] * cash / (decided_at * (1.0 + rules[RESERVE]))
        return min(whole_lots(wanted, rules[LOT]), whole_lots(affordable, rules[LOT]))
    return whole_lots(rules[SHARE] * affordable, rules[LOT])


@plain_kernel
def is_price(price: float) -> bool:
    """Whether a price is finite and positive."""
    return 0.0 < price < np.inf
