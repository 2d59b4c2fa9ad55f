"""Which combinations a sweep tries, on which days, and the run that tries those which are not stored yet."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
from pydantic import BaseModel

from engine.domain.errors import BadInput
from engine.domain.market import from_ms, to_ms
from engine.simulation.backtest_setup import BacktestEngine, BacktestSetup
from engine.simulation.search_space import Value, checked_fixed
from engine.simulation.spread import Team
from engine.simulation.study import candles_until, settings_json
from engine.simulation.study_layout import FEWEST_FOLD_DAYS, LayoutPlan, Span, layout_of
from engine.simulation.sweep import Combination, SweepTask, SweepWork, combinations_at_once
from engine.storage.research import Trial, TrialState
from engine.strategies import BACKTESTS

MOST_COMBINATIONS = 100_000
MOST_RETURNS = 2**26
"""Daily returns that a sweep stores (half a gigabyte); a larger one keeps its figures alone."""
_FOLDS = 2

SweepProgress = Callable[[int, int], bool]
"""Told combinations done and combinations in all; False cancels."""
Grid = Mapping[str, tuple[Value, ...]]


def read_grid(name: str, text: str) -> tuple[Value, ...]:
    """The values of one setting.

    Parameters
    ----------
    name : str
        Of the setting, for the error.
    text : str
        ``LOW:HIGH:STEP``, both ends tried where the step meets them, or values apart by commas.

    Raises
    ------
    BadInput
        Another form, a step that is not above 0, or more values than a sweep may have.

    Examples
    --------
    >>> read_grid("fast_bars", "5:20:5"), read_grid("share", "0.1:0.3:0.1"), read_grid("kind", "a,b")
    ((5, 10, 15, 20), (0.1, 0.2, 0.3), ('a', 'b'))
    """
    parts = text.split(":")
    if len(parts) == 1:
        return tuple(_value(part.strip()) for part in text.split(",") if part.strip())
    try:
        low, high, step = (Decimal(part.strip()) for part in parts)
    except (ValueError, InvalidOperation):
        raise BadInput(
            f"grid {text!r:.80} of {name} is not LOW:HIGH:STEP, such as 10:200:10, or values as 5,10"
        ) from None
    if not (low.is_finite() and high.is_finite() and step.is_finite() and step > 0 and low <= high):
        raise BadInput(f"grid {text!r:.80} of {name} must rise from LOW to HIGH by a STEP above 0")
    count = int((high - low) / step) + 1
    if count > MOST_COMBINATIONS:
        raise BadInput(f"grid {text!r:.80} of {name} has {count:,} values; a sweep has {MOST_COMBINATIONS:,} at most")
    return tuple(_number(low + number * step) for number in range(count))


def _value(text: str) -> Value:
    if text in ("true", "false"):
        return text == "true"
    try:
        return _number(Decimal(text))
    except InvalidOperation:
        return text


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def checked_grid(config: type[BaseModel], grid: Mapping[str, Sequence[Value]], fixed: Mapping[str, Any]) -> Grid:
    """The grid with each value checked alone against its setting; raises `BadInput` that names it."""
    if not grid:
        raise BadInput("nothing to sweep; give at least one --grid KEY=LOW:HIGH:STEP")
    both = sorted(set(grid) & set(fixed))
    if both:
        raise BadInput(f"{', '.join(both)} is fixed and in the grid; give one of the two")
    checked = {}
    for name, values in grid.items():
        found = tuple(checked_fixed(config, {name: value})[name] for value in values)
        if not found or len(set(found)) < len(found):
            raise BadInput(f"grid of {name} has no value, or one of them twice")
        checked[name] = found
    count = math.prod(len(values) for values in checked.values())
    if count > MOST_COMBINATIONS:
        raise BadInput(f"the grid has {count:,} combinations, more than {MOST_COMBINATIONS:,}; take wider steps")
    return checked


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """Everything that decides the trials of a sweep.

    Attributes
    ----------
    setup : BacktestSetup
        Without any candle after the development days, which are its range.
    engine : BacktestEngine
    grid : Grid
        By setting; the last one changes fastest.
    fixed : mapping
        Settings that are the same in every combination.
    holdout : Span
        The latest days, which a sweep never sees.
    """

    setup: BacktestSetup
    engine: BacktestEngine
    grid: Grid
    fixed: Mapping[str, Any]
    holdout: Span

    @property
    def development(self) -> Span:
        """The days every combination is run on."""
        assert self.setup.start is not None, "a plan has its range"
        assert self.setup.stop is not None, "a plan has its range"
        return Span(self.setup.start, self.setup.stop)

    @property
    def count(self) -> int:
        """Combinations, those that contradict themselves included."""
        return math.prod(len(values) for values in self.grid.values())

    @property
    def stores_returns(self) -> bool:
        """Whether the daily returns of all combinations are few enough to be kept."""
        days = (self.development.stop - self.development.start).days
        return days * self.count <= MOST_RETURNS

    def chosen(self, number: int) -> dict[str, Value]:
        """The values of a combination."""
        places = np.unravel_index(number, [len(values) for values in self.grid.values()])
        return {name: values[int(at)] for (name, values), at in zip(self.grid.items(), places, strict=True)}

    def settings(self, chosen: Mapping[str, Value]) -> str:
        """Complete settings as JSON; raises `BadInput` where they contradict each other."""
        return settings_json(self.setup.strategy, {**self.fixed, **chosen})


def sweep_plan(
    setup: BacktestSetup, engine: BacktestEngine, grid: Grid, fixed: Mapping[str, Any], embargo_days: int
) -> SweepPlan:
    """Put the sweep on its days: all but the holdout, from where the longest lookback of the grid is full.

    Raises
    ------
    BadInput
        Too few days; or no combination can be run.
    """
    layout = layout_of(setup, LayoutPlan(_FOLDS, embargo_days, in_one_piece=True))
    stop = layout.development.stop
    plan = SweepPlan(replace(setup, start=layout.development.start, stop=stop), engine, grid, fixed, layout.holdout)
    begin = _warm_ms(plan, _longest_lookback(plan))
    begin = -(-max(begin, to_ms(setup.start) if setup.start else begin) // layout.period_ms) * layout.period_ms
    if to_ms(stop) - begin < FEWEST_FOLD_DAYS * layout.period_ms:
        raise BadInput(
            f"the longest lookback of the grid is full on {from_ms(begin):%Y-%m-%d}, and {FEWEST_FOLD_DAYS} days "
            f"before {stop:%Y-%m-%d} are needed to judge by; give more candles or a smaller grid"
        )
    series = {one: candles_until(candles, layout.development) for one, candles in setup.series.items()}
    fine = {key: candles_until(candles, layout.development) for key, candles in setup.fine.items()}
    return replace(plan, setup=replace(plan.setup, series=series, fine=fine, start=from_ms(begin)))


def _warm_ms(plan: SweepPlan, lookback: int) -> int:
    """Close of the candle with which every instrument has so many."""
    closes = []
    for one, candles in plan.setup.series.items():
        if len(candles) < lookback:
            raise BadInput(f"{one.key} has {len(candles):,} candles, the grid needs {lookback:,} before a first signal")
        closes.append(int(candles.opened_at_ms[max(0, lookback - 1)]))
    return max(closes)


def _longest_lookback(plan: SweepPlan) -> int:
    kind = BACKTESTS[plan.setup.strategy]
    longest, refusal = -1, ""
    for number in range(plan.count):
        try:
            settings = plan.settings(plan.chosen(number))
        except BadInput as error:
            refusal = str(error)
            continue
        longest = max(longest, kind.build(kind.config.model_validate_json(settings)).lookback_bars)
    if longest < 0:
        raise BadInput(f"no combination of the grid can be run: {refusal}")
    return longest


def run_sweep(
    plan: SweepPlan, stored: int, keep: Callable[[Sequence[Trial]], None], team: Team, progress: SweepProgress
) -> bool:
    """Run the combinations that are not stored yet and hand them on in order, some at once.

    Parameters
    ----------
    plan : SweepPlan
    stored : int
        Combinations that were handed on before.
    keep : callable
        Stores the next ones; nothing else of them stays in memory.
    team : Team
    progress : callable

    Returns
    -------
    bool
        False when ``progress`` cancelled.
    """
    size = combinations_at_once(sum(len(candles) for candles in plan.setup.series.values()))
    batches = [_Batch.of(plan, range(at, min(at + size, plan.count))) for at in range(stored, plan.count, size)]
    results = team.runner(SweepWork(plan.setup, plan.engine))([batch.task for batch in batches])
    with closing(results):
        for batch in batches:
            if not progress(batch.first, plan.count):
                return False
            keep(batch.trials(plan, next(results)))
    return progress(plan.count, plan.count)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Combinations that are run together: number, complete settings or "", and why they cannot be run."""

    rows: tuple[tuple[int, str, str], ...]

    @classmethod
    def of(cls, plan: SweepPlan, numbers: Iterable[int]) -> _Batch:
        return cls(tuple((number, *_checked(plan, number)) for number in numbers))

    @property
    def first(self) -> int:
        return self.rows[0][0]

    @property
    def task(self) -> SweepTask:
        return SweepTask(tuple(settings for _, settings, _ in self.rows if settings))

    def trials(self, plan: SweepPlan, found: Sequence[Combination]) -> list[Trial]:
        left, made = iter(found), []
        for number, settings, reason in self.rows:
            chosen, none = plan.chosen(number), np.empty(0)
            if not settings:
                made.append(Trial(number, TrialState.REFUSED, chosen, None, (), none, reason))
                continue
            one = next(left)
            returns = one.returns if plan.stores_returns else none
            state, scores = TrialState.COMPLETE, (one.sharpe,)
            made.append(Trial(number, state, chosen, one.sharpe, scores, returns, "", one.figures()))
        return made


def _checked(plan: SweepPlan, number: int) -> tuple[str, str]:
    try:
        return plan.settings(plan.chosen(number)), ""
    except BadInput as error:
        return "", str(error)
