"""What a sweep may claim: its best combination, the ground around it, and how much of it is the choice among many."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from engine.domain.market import FloatArray
from engine.quant.cscv import BlockSums, block_sums, overfitting_of
from engine.quant.overfitting import trial_variance
from engine.quant.plateau import Plateau, plateau_on_grid
from engine.simulation.evaluation_figures import DAY_MS
from engine.simulation.evaluation_luck import StudyFacts
from engine.simulation.study import YEAR_DAYS
from engine.simulation.sweep_plan import SweepPlan
from engine.storage.research import Trial, TrialState

_MOST_BLOCKS, _FEWEST_BLOCKS, _FEWEST_TRIALS = 16, 4, 2
_MOST_WORK = 2**25
"""Halvings times combinations that are still computed within a second or two; more combinations have fewer blocks."""


@dataclass(frozen=True, slots=True)
class SweepJudgement:
    """What is known of a sweep.

    Attributes
    ----------
    best : Trial
        Largest Sharpe ratio, the earliest of equals.
    facts : StudyFacts
        Combinations that were run, variance of their Sharpe ratios, overfitting.
    blocks : int
        Blocks of days the probability of overfitting was computed with, 0 where it is not known.
    overfitting_reason : str
        Why it is not known.
    plateau : Plateau
        Around the best: every setting at most one step of the grid away.
    """

    best: Trial
    facts: StudyFacts
    blocks: int
    overfitting_reason: str
    plateau: Plateau


def judge_sweep(plan: SweepPlan, outcomes: Sequence[Trial], pages: Iterable[Sequence[Trial]]) -> SweepJudgement:
    """Measure a sweep; every combination that was run counts.

    Parameters
    ----------
    plan : SweepPlan
    outcomes : sequence of Trial
        All stored ones, returns or not.
    pages : iterable of sequences of Trial
        The same with their returns, some at a time: they are never all in memory.
    """
    run = [one for one in outcomes if one.state is TrialState.COMPLETE]
    values = np.array([one.value for one in run], dtype=np.float64)
    best = int(np.argmax(values))
    probability, blocks, reason = _overfitting(plan, len(run), pages)
    period_ms = max(DAY_MS, *(candles.timeframe.ms for candles in plan.setup.series.values()))
    daily = values * math.sqrt(period_ms / (YEAR_DAYS * DAY_MS))
    facts = StudyFacts(len(run), trial_variance(daily) if len(run) > 1 else math.nan, probability)
    plateau = plateau_on_grid([_places(plan, one) for one in run], values, best)
    return SweepJudgement(run[best], facts, blocks, reason, plateau)


def _places(plan: SweepPlan, one: Trial) -> list[int]:
    return [values.index(one.settings[name]) for name, values in plan.grid.items()]


def _overfitting(plan: SweepPlan, count: int, pages: Iterable[Sequence[Trial]]) -> tuple[float | None, int, str]:
    if not plan.stores_returns:
        return None, 0, f"{count:,} combinations are too many to keep the daily returns of; take wider steps"
    parts: list[BlockSums] = []
    rows = blocks = 0
    for page in pages:
        columns = [one.returns for one in page if one.state is TrialState.COMPLETE]
        if not columns:
            continue
        table: FloatArray = np.column_stack(columns)
        rows, blocks = len(table), blocks or _blocks(len(table), count)
        if count < _FEWEST_TRIALS or blocks < _FEWEST_BLOCKS:
            break
        parts.append(block_sums(table, blocks))
    if not parts:
        needed = f"{_FEWEST_TRIALS} of {2 * _FEWEST_BLOCKS} are needed"
        return None, 0, f"{count} combinations of {rows} days; {needed}"
    return overfitting_of(parts).probability, blocks, ""


def _blocks(rows: int, count: int) -> int:
    blocks = min(_MOST_BLOCKS, rows // 2 // 2 * 2)
    while blocks > _FEWEST_BLOCKS and comb(blocks, blocks // 2) * count > _MOST_WORK:
        blocks -= 2
    return blocks
