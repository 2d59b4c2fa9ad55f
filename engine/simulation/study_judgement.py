"""What a study may claim: how much of its best result is the choice among many, and whether it stands on a plateau."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.domain.market import FloatArray, IntArray
from engine.quant.cscv import backtest_overfitting
from engine.quant.overfitting import trial_variance
from engine.quant.plateau import Plateau, plateau_within
from engine.quant.validation import Split, combinatorial_purged, label_spans, purged_k_fold
from engine.simulation.evaluation_figures import DAY_MS
from engine.simulation.evaluation_luck import StudyFacts
from engine.simulation.spread import Team, in_this_process
from engine.simulation.study import YEAR_DAYS, StudyPlan, best_of, measured, score
from engine.simulation.study_searcher import as_numbers
from engine.simulation.study_selection import SelectionWork
from engine.storage.research import Trial, TrialState

_MOST_BLOCKS, _FEWEST_BLOCKS = 16, 4
_FEWEST_COMPLETE = 2
_GROUPS, _TEST_GROUPS = 6, 2


@dataclass(frozen=True, slots=True)
class Choice:
    """What the folds before a fold choose, and what it does there; annualised Sharpe ratios.

    Attributes
    ----------
    fold : int
        From 1; before the first there is nothing to choose by.
    trial : int
        Number of the chosen one.
    learned, unseen : float
        On the days it was chosen by, and on those of the fold.
    """

    fold: int
    trial: int
    learned: float
    unseen: float


@dataclass(frozen=True, slots=True)
class Selection:
    """What choosing the best by some days gave on the days it did not see; annualised Sharpe ratios.

    Attributes
    ----------
    walk_forward : tuple of Choice
        For each fold after the first: the best of the folds before it.
    k_fold : float or None
        Each fold of days once unseen, all unseen days joined.
    paths : tuple of float
        Combinatorial purged cross-validation, a path each.
    reason : str
        Why there is none.
    k_folds : tuple of Choice
        For each fold of days: the best of the others.
    """

    walk_forward: tuple[Choice, ...]
    k_fold: float | None
    paths: tuple[float, ...]
    reason: str = ""
    k_folds: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is known of a study.

    Attributes
    ----------
    best : Trial or None
    facts : StudyFacts
        For the evaluation of the best: trials that were run, variance of their Sharpe ratios, overfitting.
    overfitting_reason : str
        Why the probability of overfitting is not known.
    plateau : Plateau or None
    selection : Selection
    """

    best: Trial | None
    facts: StudyFacts
    overfitting_reason: str
    plateau: Plateau | None
    selection: Selection


def judge_study(plan: StudyPlan, trials: Sequence[Trial], team: Team | None = None) -> Judgement:
    """Measure a study.

    Every trial that was run counts, abandoned ones as `comparable` has them. Overfitting and selection need the same
    days of every trial and so the complete ones. For the probability of overfitting this errs on the strict side: those
    left out were the worse ones, and a chosen trial ranks lower without them. For k-fold and the paths it is too kind:
    which trials are complete was decided by all folds, the days that are held to be unseen included. In walk-forward
    choices no fold is judged that had a part in it.

    Parameters
    ----------
    plan : StudyPlan
    trials : sequence of Trial
        All stored ones.
    team : Team, optional
        Who cross-validates; this process by default.
    """
    run = [one for one in trials if one.state is not TrialState.REFUSED]
    complete = [one for one in run if one.state is TrialState.COMPLETE]
    table = np.column_stack([one.returns for one in complete]) if complete else np.empty((0, 0))
    probability, reason = _overfitting(table)
    daily = np.array(comparable(run)) * math.sqrt(plan.layout.period_ms / (YEAR_DAYS * DAY_MS))
    variance = trial_variance(daily) if len(run) else math.nan
    facts = StudyFacts(max(1, measured(trials)), variance, probability)
    return Judgement(best_of(trials), facts, reason, _plateau(plan, run), _selection(plan, complete, table, team))


def _overfitting(table: FloatArray) -> tuple[float | None, str]:
    rows, trials = table.shape
    blocks = min(_MOST_BLOCKS, rows // 2 // 2 * 2)
    if trials < _FEWEST_COMPLETE or blocks < _FEWEST_BLOCKS:
        return None, f"{trials} complete trials of {rows} days; {_FEWEST_COMPLETE} of {2 * _FEWEST_BLOCKS} are needed"
    return backtest_overfitting(table, blocks).probability, ""


def _plateau(plan: StudyPlan, run: Sequence[Trial]) -> Plateau | None:
    best = best_of(run)
    if best is None:
        return None
    parameters = [as_numbers(plan.space, one.settings) for one in run]
    return plateau_within(parameters, comparable(run), run.index(best))


def comparable(run: Sequence[Trial]) -> list[float]:
    """Objectives on one scale: an abandoned trial differs from the mean of the complete ones as it did when it ended.

    Its own score is of the folds it ran, which may have been easy ones for every trial.

    Parameters
    ----------
    run : sequence of Trial
        Complete and abandoned ones; the scores of the latter stay as they are where none is complete.
    """
    complete = [one.fold_scores for one in run if one.state is TrialState.COMPLETE]
    means = np.mean(complete, axis=0) if complete else np.zeros(0)
    values = []
    for one in run:
        ended = len(one.fold_scores) - 1
        moved = float(means[-1] - means[ended]) if len(means) else 0.0
        values.append(one.fold_scores[-1] + moved)
    return values


def _selection(plan: StudyPlan, complete: Sequence[Trial], table: FloatArray, team: Team | None) -> Selection:
    rows = len(table)
    if len(complete) < _FEWEST_COMPLETE or rows < 2 * _GROUPS:
        reason = f"{len(complete)} complete trials of {rows} days give nothing to choose among"
        return Selection((), None, (), reason)
    ends, period = label_spans(rows, 1), plan.layout.period_ms
    forward, folds = _forward(complete[0], plan), purged_k_fold(ends, len(plan.layout.folds), 1)
    combined = combinatorial_purged(ends, _GROUPS, _TEST_GROUPS, 1)
    splits, work = [*forward, *folds, *combined.splits], SelectionWork(table)
    columns = list((team.runner(work) if team else in_this_process(work))(splits))
    unseen = [table[split.test, column] for split, column in zip(splits, columns, strict=True)]
    paths = combined.joined(unseen[len(forward) + len(folds) :])
    made = [
        Choice(0, complete[column].number, score(table[split.train, column], period), score(days, period))
        for split, column, days in zip(splits, columns, unseen, strict=True)
    ]
    return Selection(
        tuple(replace(one, fold=fold) for fold, one in enumerate(made[: len(forward)], start=2)),
        score(np.concatenate(unseen[len(forward) : len(forward) + len(folds)]), period),
        tuple(score(path, period) for path in paths),
        k_folds=tuple(replace(one, fold=n) for n, one in enumerate(made[len(forward) :][: len(folds)], start=1)),
    )


def _forward(trial: Trial, plan: StudyPlan) -> list[Split]:
    """Each fold after the first, with all days of the folds before it; the folds themselves lie apart."""
    return [Split(np.arange(begin), np.arange(begin, end)) for begin, end in _fold_rows(len(trial.returns), plan)[1:]]


def _fold_rows(rows: int, plan: StudyPlan) -> list[tuple[int, int]]:
    """Rows of each fold: days without a candle at a fold's ends are in no trial, so lengths are shared out."""
    lengths = [(one.stop - one.start).total_seconds() * 1000 / plan.layout.period_ms for one in plan.layout.folds]
    ends: IntArray = np.rint(np.cumsum(lengths) * rows / sum(lengths)).astype(np.int64)
    return list(zip([0, *ends.tolist()[:-1]], ends.tolist(), strict=True))
