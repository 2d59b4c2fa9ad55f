"""A study: a search for settings that only ever sees folds of the development days, trial by trial, resumable."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from pydantic import ValidationError

from engine.domain.errors import BadInput
from engine.domain.market import CandleArrays, FloatArray, to_ms
from engine.quant.overfitting import sharpe_sample
from engine.simulation.backtest import BacktestEngine, BacktestSetup, run_backtest
from engine.simulation.backtest_setup import Market, market_of
from engine.simulation.evaluation_figures import DAY_MS, days_of
from engine.simulation.search_space import Dimension
from engine.simulation.spread import Runner, in_this_process
from engine.simulation.study_layout import Layout, Span
from engine.simulation.study_searcher import Proposal, Searcher
from engine.storage.research import Trial, TrialState
from engine.strategies import BACKTESTS

AT_ONCE = 4
"""Trials proposed together, whoever runs them: the same on one core and on a cluster, or results would differ."""
MOST_REFUSED = 20
"""Proposals that may be refused for each trial asked for, before a study gives up."""
YEAR_DAYS = 365.0

StudyProgress = Callable[[int, int, str], bool]
"""Told trials done, trials in all and what is known; False cancels."""


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """Everything that decides the trials of a study.

    Attributes
    ----------
    setup : BacktestSetup
        Of the strategy with any settings; ``start`` and ``stop`` are replaced by those of a fold.
    engine : BacktestEngine
    space : tuple of Dimension
    fixed : mapping
        Settings that are not searched.
    layout : Layout
    seed : int
    """

    setup: BacktestSetup
    engine: BacktestEngine
    space: tuple[Dimension, ...]
    fixed: Mapping[str, Any]
    layout: Layout
    seed: int

    def settings(self, searched: Mapping[str, Any]) -> str:
        """Complete settings as JSON; raises `BadInput` where they contradict each other."""
        return settings_json(self.setup.strategy, {**self.fixed, **searched})


def settings_json(strategy: str, values: Mapping[str, Any]) -> str:
    """Complete settings of a strategy as JSON; raises `BadInput` where they contradict each other."""
    try:
        return BACKTESTS[strategy].config(**values).model_dump_json()
    except ValidationError as error:
        raise BadInput("; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())) from error


@dataclass(frozen=True, slots=True)
class FoldTask:
    """One run: complete settings as JSON, and the days to judge them on."""

    settings: str
    span: Span


@dataclass(frozen=True, slots=True)
class FoldWork:
    """What every run of a study shares; holds no candle after the development days.

    Candles are checked and laid out once for each fold and process, however many settings are run over it.
    """

    setup: BacktestSetup
    engine: BacktestEngine
    _markets: dict[Span, Market] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[type[FoldWork], tuple[BacktestSetup, BacktestEngine]]:
        """Travels without what can be laid out again."""
        return FoldWork, (self.setup, self.engine)

    def run(self, task: FoldTask) -> FloatArray:
        """Daily returns after costs of a run that begins flat with the whole capital.

        Parameters
        ----------
        task : FoldTask

        Returns
        -------
        float64[d]

        Raises
        ------
        BadInput
            As `run_backtest`.
        """
        config = replace(self.setup.config, strategies={self.setup.strategy: task.settings})
        setup = replace(self.setup, config=config, start=task.span.start, stop=task.span.stop)
        if task.span not in self._markets:
            self._markets[task.span] = market_of(setup)
        run = run_backtest(setup, self.engine, market=self._markets[task.span])
        assert run is not None, "nothing cancels it"
        return days_of(run).returns


FoldRunner = Runner[FoldTask, FloatArray]


class TrialLog(Protocol):
    """Where trials are kept."""

    def trials(self) -> tuple[Trial, ...]:
        """All that are stored, in order."""

    def add(self, trials: Sequence[Trial]) -> None:
        """Store the next ones."""


def development_setup(plan: StudyPlan) -> BacktestSetup:
    """The setup without any candle that closes after the last fold, so that nothing of the holdout can leak."""
    series = {one: candles_until(candles, plan.layout.development) for one, candles in plan.setup.series.items()}
    fine = {key: candles_until(candles, plan.layout.development) for key, candles in plan.setup.fine.items()}
    span = plan.layout.development
    return replace(plan.setup, series=series, fine=fine, start=span.start, stop=span.stop)


def candles_until(candles: CandleArrays, span: Span) -> CandleArrays:
    """Candles that close by the end of a span."""
    closed = candles.opened_at_ms + candles.timeframe.ms
    return candles.slice(0, int(np.searchsorted(closed, to_ms(span.stop), side="right")))


def score(returns: FloatArray, period_ms: int) -> float:
    """The objective: annualised Sharpe ratio of daily returns after costs; 0 where nothing was risked.

    >>> score(np.zeros(10), DAY_MS)
    0.0
    """
    sharpe = sharpe_sample(returns).sharpe
    return 0.0 if math.isnan(sharpe) else sharpe * math.sqrt(YEAR_DAYS * DAY_MS / period_ms)


def run_study(
    plan: StudyPlan, log: TrialLog, trials: int, runner: FoldRunner | None = None, progress: StudyProgress | None = None
) -> bool:
    """Run until so many trials were measured, those of earlier calls included.

    Parameters
    ----------
    plan : StudyPlan
    log : TrialLog
        Its trials are told to the search first, so a study that was killed goes on where it was: what was not stored is
        proposed and run again.
    trials : int
        Measured ones in all; those refused because settings contradict each other are not counted.
    runner : callable, optional
        Runs folds; default in this process.
    progress : callable, optional
        False cancels between folds.

    Returns
    -------
    bool
        False when ``progress`` cancelled.

    Raises
    ------
    BadInput
        As `run_backtest`, or where nothing the search proposed could be run.
    """
    return _Study(plan, log, runner or in_this_process(FoldWork(development_setup(plan), plan.engine))).run(
        trials, progress or (lambda _done, _total, _text: True)
    )


class _Study:
    """One call of `run_study`."""

    def __init__(self, plan: StudyPlan, log: TrialLog, runner: FoldRunner) -> None:
        self._plan, self._log, self._runner = plan, log, runner
        self._history = _history_bars(plan)

    def run(self, wanted: int, progress: StudyProgress) -> bool:
        stored = list(self._log.trials())
        begun = len(stored) - len(stored) % AT_ONCE
        searcher = Searcher(self._plan.space, self._plan.seed)
        searcher.remember(stored[:begun])
        while (left := wanted - measured(stored)) > 0:
            _require_some(stored, wanted)
            first = len(stored) - len(stored) % AT_ONCE
            proposals = searcher.ask(first, AT_ONCE)
            known = stored[first:]
            if not progress(wanted - left, wanted, _said(stored)):
                return False
            found = self._batch(searcher, proposals[len(known) :], left)
            self._log.add(found)
            stored += found
            if len(stored) % AT_ONCE == 0:
                searcher.tell(stored[first:])
        return progress(wanted, wanted, _said(stored))

    def _batch(self, searcher: Searcher, proposals: Sequence[Proposal], left: int) -> list[Trial]:
        """Run proposals in order until ``left`` of them were measured."""
        checked = [(one, *self._checked(one)) for one in proposals]
        runs = [number for number, (_, settings, _) in enumerate(checked) if settings]
        if len(runs) > left:
            checked = checked[: runs[left]]
        races = {one.number: _Race(one, settings) for one, settings, _ in checked if settings}
        for fold in self._plan.layout.folds:
            running = [race for race in races.values() if not race.pruned]
            results = self._runner([FoldTask(race.complete, fold) for race in running])
            for race, returns in zip(running, results, strict=True):
                race.add(returns, self._plan.layout.period_ms)
            for race in running:
                hopeless = searcher.is_hopeless(race.proposal.number, race.scores)
                race.pruned = hopeless and len(race.scores) < len(self._plan.layout.folds)
        return [
            races[one.number].trial(len(self._plan.layout.folds))
            if settings
            else Trial(one.number, TrialState.REFUSED, one.settings, None, (), np.empty(0), reason)
            for one, settings, reason in checked
        ]

    def _checked(self, proposal: Proposal) -> tuple[str, str]:
        """Complete settings and "", or "" and why they cannot be run."""
        name = self._plan.setup.strategy
        try:
            settings = self._plan.settings(proposal.settings)
        except BadInput as error:
            return "", str(error)
        kind = BACKTESTS[name]
        lookback = kind.build(kind.config(**json.loads(settings))).lookback_bars
        if lookback > self._history:
            there = f"{self._history:,} lie before the first fold"
            return "", f"it needs {lookback:,} candles before its first signal, {there}"
        return settings, ""


@dataclass(slots=True)
class _Race:
    """A proposal on its way through the folds."""

    proposal: Proposal
    complete: str
    parts: tuple[FloatArray, ...] = ()
    scores: tuple[float, ...] = ()
    pruned: bool = False

    @property
    def returns(self) -> FloatArray:
        return np.concatenate(self.parts)

    def add(self, returns: FloatArray, period_ms: int) -> None:
        self.parts += (returns,)
        self.scores += (score(self.returns, period_ms),)

    def trial(self, folds: int) -> Trial:
        state = TrialState.PRUNED if self.pruned else TrialState.COMPLETE
        ended = f"below the median of the complete trials after fold {len(self.scores)} of {folds}"
        reason = ended if self.pruned else ""
        settings = dict(self.proposal.settings)
        return Trial(self.proposal.number, state, settings, self.scores[-1], self.scores, self.returns, reason)


def measured(trials: Sequence[Trial]) -> int:
    """Trials that were run at all: what counts when luck is told apart from skill."""
    return sum(one.state is not TrialState.REFUSED for one in trials)


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The complete trial with the largest objective, the earliest of equals."""
    complete = [one for one in trials if one.state is TrialState.COMPLETE]
    return max(complete, key=lambda one: (one.value, -one.number), default=None)


def _history_bars(plan: StudyPlan) -> int:
    """Candles before the first fold, of the instrument with the fewest."""
    begin = to_ms(plan.layout.development.start)
    return min(int(np.searchsorted(one.opened_at_ms, begin)) for one in plan.setup.series.values())


def _require_some(stored: Sequence[Trial], wanted: int) -> None:
    refused = [one for one in stored if one.state is TrialState.REFUSED]
    if len(refused) >= MOST_REFUSED * wanted:
        raise BadInput(
            f"{len(refused):,} proposals cannot be run, {measured(stored)} could; the last: {refused[-1].reason}. "
            "Fix settings with --set, narrow them with --range, or give more candles"
        )


def _said(stored: Sequence[Trial]) -> str:
    best = best_of(stored)
    return "no trial is complete yet" if best is None else f"best {best.value:.2f} (trial {best.number})"
