"""What a strategy says about a whole series, checked before anything is traded on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba.core.errors import NumbaError

from engine.domain.codec import utc_text
from engine.domain.errors import BadInput, QuarterdeckError
from engine.domain.market import CandleArrays, FloatArray, from_ms
from engine.domain.ports import Strategy

STRATEGY_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    NumbaError,
    QuarterdeckError,
    RuntimeError,
    SystemExit,
    TypeError,
    ValueError,
)
"""What a strategy that does not work raises; a machine out of memory or an interrupt is not among them."""


@dataclass(frozen=True, slots=True)
class StrategyValues:
    """A strategy's values over a series.

    Attributes
    ----------
    convictions : float64[n]
        -1 to 1; NaN before the strategy's lookback is full.
    distances : float64[n]
        Stop distances in quote; NaN or 0 where there is no stop.
    """

    convictions: FloatArray
    distances: FloatArray


def asked(name: str, strategy: Strategy, candles: CandleArrays) -> StrategyValues:
    """Ask a strategy about a series.

    Raises
    ------
    BadInput
        It raised, or gave anything but one number a bar; the message names the strategy.
    """
    try:
        answers = [np.array(answer) for answer in (strategy.convictions(candles), strategy.stop_distances(candles))]
    except STRATEGY_ERRORS as error:
        detail = f"{type(error).__name__}: {error}"
        raise BadInput(f"strategy {name} failed on {len(candles):,} bars with {detail:.300}") from error
    for what, values in zip(("convictions", "stop distances"), answers, strict=True):
        if values.shape != (len(candles),):
            given = len(values) if values.ndim == 1 else f"an array of shape {values.shape} as"
            raise BadInput(f"strategy {name} gave {given} {what} for {len(candles)} bars; it must give one a bar")
        if values.dtype.kind not in "fiub":
            # a complex number or a text would lose what it says on its way to a float
            raise BadInput(f"strategy {name} gave {what} of type {values.dtype}; each must be a real number")
    return StrategyValues(*(answer.astype(np.float64) for answer in answers))


def checked_values(name: str, strategy: Strategy, candles: CandleArrays) -> StrategyValues:
    """`asked`, with what no run may trade on refused, and the warm-up as NaN.

    Raises
    ------
    BadInput
        As `asked`; a conviction outside -1 to 1, or NaN once the lookback is full; the message names the bar.
    """
    values = asked(name, strategy, candles)
    warm = min(len(candles), max(0, strategy.lookback_bars - 1))
    with np.errstate(invalid="ignore"):
        outside = np.flatnonzero(~np.isnan(values.convictions) & ~(np.abs(values.convictions) <= 1.0))
    if len(outside):
        bar = int(outside[0])
        raise BadInput(f"strategy {name} gave conviction {values.convictions[bar]} at {_place(candles, bar)}; "
                       "a conviction lies between -1 and 1")  # fmt: skip
    missing = np.flatnonzero(np.isnan(values.convictions[warm:])) + warm
    if len(missing):
        raise BadInput(
            f"strategy {name} gave no number (NaN) at {_place(candles, int(missing[0]))}, past its warm-up of "
            f"{strategy.lookback_bars} bars; it must give 0 where it wants nothing"
        )
    values.convictions[:warm] = np.nan
    return values


def _place(candles: CandleArrays, bar: int) -> str:
    return f"bar {bar} ({utc_text(from_ms(int(candles.opened_at_ms[bar])))})"
