"""From triggers to a steady wish: hold after an entry until an exit, and never longer than a bounded number of bars.

The bound is what makes a window of bars enough: whatever happened more than ``max_hold_bars`` ago is forgotten, so
that the last bars alone give the same answer as the whole history.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.domain.market import CandleArrays, FloatArray
from engine.quant.arrays import BoolArray, kernel

DirectionArray = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Triggers:
    """What each bar says by itself; all arrays have one length.

    Attributes
    ----------
    entry : int8[n]
        1 enter or confirm a long, -1 a short, 0 neither. Must not depend on what is held.
    full_size : bool[n]
        Whether an entry at this bar deserves the whole size; half otherwise.
    exit_long, exit_short : bool[n]
        Whether a long or short ends here. An entry at the same bar wins.
    """

    entry: DirectionArray
    full_size: BoolArray
    exit_long: BoolArray
    exit_short: BoolArray


@kernel
def _hold(
    entry: DirectionArray, full_size: BoolArray, exit_long: BoolArray, exit_short: BoolArray, max_hold_bars: int
) -> FloatArray:
    out = np.zeros(len(entry))
    direction = 0
    since_entry = since_full = max_hold_bars
    for t in range(len(entry)):
        since_entry += 1
        since_full += 1
        if entry[t] != 0:
            if entry[t] != direction:
                since_full = max_hold_bars
            direction = int(entry[t])
            since_entry = 0
            if full_size[t]:
                since_full = 0
        elif (direction > 0 and exit_long[t]) or (direction < 0 and exit_short[t]):
            direction = 0
        if since_entry >= max_hold_bars:
            direction = 0
        out[t] = direction * (1.0 if since_full < max_hold_bars else 0.5)
    return out


def hold(triggers: Triggers, max_hold_bars: int) -> FloatArray:
    """Conviction at each bar: the direction of the last entry, until its exit or ``max_hold_bars`` after it.

    An entry in the same direction renews the holding time. The size is 1 once an entry of the present holding was
    full within the last ``max_hold_bars``, else 0.5.

    Parameters
    ----------
    triggers : Triggers
    max_hold_bars : int
        At least 1. The value at a bar depends on the triggers of this many bars and on no others.

    Returns
    -------
    float64[n]
        -1, -0.5, 0, 0.5 or 1.
    """
    return _hold(triggers.entry, triggers.full_size, triggers.exit_long, triggers.exit_short, max_hold_bars)


def held(
    candles: CandleArrays,
    lookback_bars: int,
    max_hold_bars: int,
    triggers: Callable[[CandleArrays, int], Triggers],
) -> FloatArray:
    """Convictions of a strategy that enters, holds and leaves, as `engine.domain.ports.Strategy` asks for them.

    Parameters
    ----------
    candles : CandleArrays
    lookback_bars : int
        Bars that fix the last value; the memory of the triggers is what is left after ``max_hold_bars``.
    max_hold_bars : int
    triggers : callable
        Given the candles and the index of the first bar whose triggers are known; what the bars from there on say.

    Returns
    -------
    float64[n]
        As `hold`; NaN before bar ``lookback_bars - 1``.
    """
    out = np.full(len(candles), np.nan)
    if len(candles) < lookback_bars:
        return out
    warm = lookback_bars - max_hold_bars
    out[lookback_bars - 1 :] = hold(triggers(candles, warm), max_hold_bars)[max_hold_bars - 1 :]
    return out
