"""Long while the fast mean of closes is above the slow one, else flat: the reference other tools are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.domain.errors import BadInput
from engine.domain.market import CandleArrays, FloatArray, IntArray
from engine.quant.arrays import kernel

UNIT = 1e-8
"""Closes are added up as whole multiples of this, which is finer than any tick an exchange uses."""

COARSE_UNIT = 1e-2
"""The same where a close reaches `COARSE_FROM`: whole multiples of `UNIT` would no longer be exact."""

COARSE_FROM = 1e7
_LARGEST_CLOSE = 1e13


class SmaCrossConfig(BaseModel):
    """Settings of `SmaCross`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    fast_bars: int = Field(20, ge=1, le=999, description="Fast average (bars)")
    slow_bars: int = Field(100, ge=2, le=1000, description="Slow average (bars)")

    @model_validator(mode="after")
    def _averages_in_order(self) -> Self:
        if self.fast_bars >= self.slow_bars:
            raise ValueError(f"fast_bars ({self.fast_bars}) must be below slow_bars ({self.slow_bars})")
        return self


@dataclass(frozen=True, slots=True)
class SmaCross:
    """All in while the mean of the last ``fast_bars`` closes exceeds that of the last ``slow_bars``, else flat.

    The means are compared as sums of whole numbers, so that a tie is a tie (flat) and never a matter of rounding:
    sums of floats drift and move an exact tie by a bar. It has no stop, so it can only be backtested.
    """

    config: SmaCrossConfig

    @property
    def lookback_bars(self) -> int:
        """The slow average's bars: nothing older matters."""
        return self.config.slow_bars

    def convictions(self, candles: CandleArrays) -> FloatArray:
        """float64[n] of 0 and 1; NaN before bar ``slow_bars - 1``."""
        return _above(_units(candles.close), self.config.fast_bars, self.config.slow_bars)

    def stop_distances(self, candles: CandleArrays) -> FloatArray:
        """float64[n] of NaN: there is no stop."""
        return np.full(len(candles), np.nan)


def _units(close: FloatArray) -> IntArray:
    """Closes as whole numbers, exact for every price on a decimal grid."""
    largest = float(close.max(initial=0.0))
    if not 0.0 <= largest < _LARGEST_CLOSE:
        raise BadInput(f"close {largest} is no price that averages can be taken of; it must be below 1e13")
    unit = UNIT if largest < COARSE_FROM else COARSE_UNIT
    return np.rint(close * (1.0 / unit)).astype(np.int64)


@kernel
def _above(units: IntArray, fast_bars: int, slow_bars: int) -> FloatArray:
    out = np.full(len(units), np.nan)
    fast = slow = 0
    for t in range(len(units)):
        fast += units[t]
        slow += units[t]
        if t >= fast_bars:
            fast -= units[t - fast_bars]
        if t >= slow_bars:
            slow -= units[t - slow_bars]
        if t >= slow_bars - 1:
            out[t] = 1.0 if _is_greater(fast, fast_bars, slow, slow_bars) else 0.0
    return out


@kernel
def _is_greater(fast: int, fast_bars: int, slow: int, slow_bars: int) -> bool:
    """Whether ``fast / fast_bars > slow / slow_bars``; by whole parts first, as cross products could overflow."""
    fast_part, slow_part = fast // fast_bars, slow // slow_bars
    if fast_part != slow_part:
        return fast_part > slow_part
    return (fast - fast_part * fast_bars) * slow_bars > (slow - slow_part * slow_bars) * fast_bars
