"""Does a strategy see the future, or need more of the past than it says? Finds out by taking candles away.

Look-ahead: with everything after a bar cut off, no value up to that bar may change. Recursion: the last value of a
window of ``lookback_bars`` equals that of the whole series, or a live book would decide otherwise than a backtest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

import numpy as np

from engine.domain.codec import utc_text
from engine.domain.errors import BadInput
from engine.domain.market import CandleArrays, FloatArray, IntArray, from_ms
from engine.domain.ports import Strategy
from engine.quant.arrays import BoolArray
from engine.simulation.strategy_values import StrategyValues, asked

TOLERANCE = 1e-9
"""Largest difference that is rounding: absolute of a conviction, relative of a stop distance."""
_SPARE_BARS = 50
_COLUMNS = ("open", "high", "low", "close", "volume")


class FaultKind(Enum):
    """What can be wrong."""

    FAILED = "it does not work"
    RANGE = "a value no book may trade on"
    UNSTEADY = "two answers to one question"
    LOOK_AHEAD = "look-ahead"
    RECURSION = "needs more history than it says"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and where: the bar counts from 0 and is None where no single bar is to blame."""

    kind: FaultKind
    bar: int | None
    at: datetime | None
    detail: str


@dataclass(frozen=True, slots=True)
class CausalityPlan:
    """How hard to look.

    Attributes
    ----------
    cuts : int
        Bars after which the future is cut off; half of them where the conviction changes.
    windows : int
        Bars all over the series at which a window is compared with the whole.
    stretch : int
        Bars in a row at which it is compared as well: what peeks now and then is found by looking at every bar.
    seed : int
    """

    cuts: int = 60
    windows: int = 200
    stretch: int = 3_000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class CausalityReport:
    """Findings about one strategy on one series.

    Attributes
    ----------
    strategy : str
    bars, lookback_bars, cuts, windows : int
        What was looked at.
    opinions : int
        Bars with a conviction other than 0; with none of them little was shown.
    has_stops : bool
        Whether every such bar has a stop distance; a strategy without can only be backtested.
    fault : Fault or None
        The first that was found.
    """

    strategy: str
    bars: int
    lookback_bars: int
    cuts: int
    windows: int
    opinions: int
    has_stops: bool
    fault: Fault | None

    @property
    def line(self) -> str:
        """The finding in one line."""
        if self.fault is None:
            return (
                f"{self.strategy}: no look-ahead was found at {self.windows:,} of {self.bars:,} bars, nor a need for "
                f"more than its {self.lookback_bars:,} bars of history; the future was cut off at {self.cuts:,} bars"
            )
        fault = self.fault
        where = "" if fault.bar is None else f" at bar {fault.bar}"
        when = "" if fault.at is None else f" ({utc_text(fault.at)})"
        return f"{self.strategy}: {fault.kind.value}{where}{when}: {fault.detail}"


def check_causality(
    name: str, strategy: Strategy, candles: CandleArrays, plan: CausalityPlan | None = None
) -> CausalityReport:
    """Look for what would make a backtest of the strategy untrue.

    Parameters
    ----------
    name : str
    strategy : Strategy
    candles : CandleArrays
        At least 50 more than the strategy's lookback; without gaps or with, as it will be traded.
    plan : CausalityPlan, optional

    Returns
    -------
    CausalityReport
        With the first fault in the order of `FaultKind`.

    Raises
    ------
    BadInput
        Too few candles, or a lookback that is not a whole number of at least 1.
    """
    plan = plan or CausalityPlan()
    lookback = _lookback_of(name, strategy, candles)
    check = _Check(name, strategy, frozen(candles), lookback)
    fault, cuts, windows = check.fault_of_whole(), 0, 0
    if fault is None:
        chosen = _bars_to_look_at(check.whole, lookback, plan)
        cut_at, look_at = chosen(plan.cuts), sorted({*chosen(plan.windows), *_stretch(len(candles), lookback, plan)})
        cuts, fault = len(cut_at), check.look_ahead(cut_at)
        if fault is None:
            windows, fault = len(look_at), check.recursion(look_at)
    wanted = check.wanted
    stops = bool(len(wanted)) and bool((check.whole.distances[wanted] > 0.0).all())
    return CausalityReport(name, len(candles), lookback, cuts, windows, len(wanted), stops, fault)


def _lookback_of(name: str, strategy: Strategy, candles: CandleArrays) -> int:
    lookback = getattr(strategy, "lookback_bars", None)
    missing = [part for part in ("convictions", "stop_distances") if not callable(getattr(strategy, part, None))]
    if missing:
        raise BadInput(f"{name} is no strategy: it has no {' and no '.join(missing)}")
    if isinstance(lookback, bool) or not isinstance(lookback, int | np.integer) or lookback < 1:
        raise BadInput(f"{name}: lookback_bars is {lookback!r:.80}; it must be a whole number of at least 1")
    if len(candles) < lookback + _SPARE_BARS:
        raise BadInput(
            f"{name} needs {lookback:,} bars before its first value; {len(candles):,} candles are too few to check it, "
            f"give at least {lookback + _SPARE_BARS:,}"
        )
    return int(lookback)


def frozen(candles: CandleArrays) -> CandleArrays:
    """The same candles in arrays that cannot be written to, nor be made so: they lie over bytes."""
    columns = (getattr(candles, name) for name in ("opened_at_ms", *_COLUMNS))
    return CandleArrays(candles.timeframe, *(np.frombuffer(one.tobytes(), dtype=one.dtype) for one in columns))


def _stretch(count: int, lookback: int, plan: CausalityPlan) -> range:
    """Bars in a row, all past the warm-up, begun at random where there are more."""
    first = lookback - 1
    spare = max(0, count - first - plan.stretch)
    begin = first + int(np.random.default_rng(plan.seed).integers(0, spare + 1))
    return range(begin, min(count, begin + plan.stretch))


def _bars_to_look_at(whole: StrategyValues, lookback: int, plan: CausalityPlan) -> Callable[[int], list[int]]:
    """Chooses bars past the warm-up: its first, the last, half where the conviction changes, the rest at random."""
    rng = np.random.default_rng(plan.seed)
    first, count = lookback - 1, len(whole.convictions)
    changes = np.flatnonzero(np.diff(whole.convictions) != 0.0) + 1
    changes = changes[changes >= first]

    def chosen(number: int) -> list[int]:
        near = rng.choice(changes, min(len(changes), number // 2), replace=False)
        random = rng.integers(first, count, max(0, number - len(near)))
        return sorted({first, count - 2, *near.tolist(), *random.tolist()})

    return chosen


def _nothing() -> StrategyValues:
    return StrategyValues(np.empty(0), np.empty(0))


@dataclass(slots=True)
class _Check:
    """One strategy on one series."""

    name: str
    strategy: Strategy
    candles: CandleArrays
    lookback: int
    whole: StrategyValues = field(default_factory=_nothing)

    @property
    def wanted(self) -> IntArray:
        """Bars with a conviction other than 0."""
        values = self.whole.convictions
        return np.flatnonzero(~np.isnan(values) & (values != 0.0))

    def fault_of_whole(self) -> Fault | None:
        """One number a bar, within its bounds, none missing once warm, and the same when asked again."""
        answer, again = self._asked(self.candles, None), self._asked(self.candles, None)
        if isinstance(answer, Fault):
            return answer
        if isinstance(again, Fault):
            return again
        self.whole = answer
        convictions, distances = answer.convictions, answer.distances
        warm = self.lookback - 1
        with np.errstate(invalid="ignore"):
            outside = np.flatnonzero(~np.isnan(convictions) & ~(np.abs(convictions) <= 1.0))
            negative = np.flatnonzero((distances < 0.0) | np.isinf(distances))
        missing = np.flatnonzero(np.isnan(convictions[warm:])) + warm
        if len(missing):
            detail = f"no number (NaN) past the warm-up of {self.lookback:,} bars; give 0 where nothing is wanted"
            return self._fault(FaultKind.RANGE, missing[0], detail)
        if len(outside):
            detail = f"conviction {convictions[outside[0]]} lies outside -1 to 1"
            return self._fault(FaultKind.RANGE, outside[0], detail)
        if len(negative):
            detail = f"stop distance {distances[negative[0]]} is not a finite number above 0"
            return self._fault(FaultKind.RANGE, negative[0], detail)
        changed = _differing(answer, again, len(convictions))
        return self._fault(FaultKind.UNSTEADY, changed[0], _change(answer, again, changed[0])) if len(changed) else None

    def look_ahead(self, bars: Sequence[int]) -> Fault | None:
        """The first value up to each bar that changes when everything after the bar is cut off."""
        for bar in bars:
            cut = self._asked(self.candles.slice(0, bar + 1), bar)
            if isinstance(cut, Fault):
                return cut
            changed = _differing(self.whole, cut, bar + 1)
            if len(changed):
                detail = f"{_change(self.whole, cut, changed[0])} once everything after bar {bar} is cut off"
                return self._fault(FaultKind.LOOK_AHEAD, changed[0], f"{detail}: the value uses later bars")
        return None

    def recursion(self, bars: Sequence[int]) -> Fault | None:
        """The first bar at which a window of ``lookback_bars`` ends in another value than the whole series."""
        for bar in bars:
            window = self._asked(self.candles.slice(bar + 1 - self.lookback, bar + 1), bar)
            if isinstance(window, Fault):
                return window
            last = StrategyValues(self.whole.convictions[bar : bar + 1], self.whole.distances[bar : bar + 1])
            ours = StrategyValues(window.convictions[-1:], window.distances[-1:])
            if len(_differing(last, ours, 1)):
                if (later := self.look_ahead([bar])) is not None:
                    return later
                detail = f"{_pair(last, 0)} over the whole series is {_pair(ours, 0)}"
                words = f"{detail} from the {self.lookback:,} bars of lookback_bars alone: raise it"
                return self._fault(FaultKind.RECURSION, bar, words)
        return None

    def _asked(self, candles: CandleArrays, bar: int | None) -> StrategyValues | Fault:
        try:
            return asked(self.name, self.strategy, candles)
        except BadInput as error:
            return self._fault(FaultKind.FAILED, bar, str(error))

    def _fault(self, kind: FaultKind, bar: int | None, detail: str) -> Fault:
        at = None if bar is None else from_ms(int(self.candles.opened_at_ms[bar]))
        return Fault(kind, None if bar is None else int(bar), at, detail)


def _change(one: StrategyValues, other: StrategyValues, bar: int) -> str:
    return f"{_pair(one, bar)} becomes {_pair(other, bar)}"


def _pair(values: StrategyValues, bar: int) -> str:
    return f"conviction {values.convictions[bar]:.6g} with stop distance {values.distances[bar]:.6g}"


def _differing(whole: StrategyValues, other: StrategyValues, bars: int) -> IntArray:
    """The first ``bars`` where the two differ by more than rounding; NaN equals NaN."""
    return np.flatnonzero(
        _apart(whole.convictions[:bars], other.convictions[:bars], TOLERANCE, 0.0)
        | _apart(whole.distances[:bars], other.distances[:bars], 0.0, TOLERANCE)
    )


def _apart(one: FloatArray, other: FloatArray, absolute: float, relative: float) -> BoolArray:
    return ~np.isclose(one, other, rtol=relative, atol=absolute, equal_nan=True)
