"""Where a study looks next: a seeded tree-structured Parzen search that can be told its past and then goes on alike."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.trial import TrialState as SearchState

from engine.simulation.search_space import Dimension, Value
from engine.storage.research import Trial, TrialState

FIRST_AT_RANDOM = 10
"""Trials drawn at random before the search learns: the sampler's usual number."""
NEVER_PRUNED = 5
"""Complete trials that the median of a fold needs before it may end others: the pruner's usual number."""
_STATES = {
    TrialState.COMPLETE: SearchState.COMPLETE,
    TrialState.PRUNED: SearchState.PRUNED,
    TrialState.REFUSED: SearchState.PRUNED,
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """Settings to try, and the number they will be stored by."""

    number: int
    settings: Mapping[str, Value]


class Searcher:
    """Proposes settings; what it proposes depends only on the seed and on the trials told before.

    The sampler is made anew for each batch from the seed and the batch's first number, so a search that was told its
    stored trials proposes what one that never stopped would have.

    Parameters
    ----------
    space : sequence of Dimension
    seed : int
    """

    def __init__(self, space: Sequence[Dimension], seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._distributions = {one.name: _distribution(one) for one in space}
        self._seed = seed
        self._study = optuna.create_study(
            direction="maximize", pruner=MedianPruner(n_startup_trials=NEVER_PRUNED, n_warmup_steps=0)
        )
        self._asked: dict[int, optuna.Trial] = {}
        self._reported: dict[int, int] = {}

    def remember(self, trials: Iterable[Trial]) -> None:
        """Tell stored trials that were asked for in another process, in order."""
        for trial in trials:
            values = trial.fold_scores
            self._study.add_trial(
                optuna.trial.create_trial(
                    state=_STATES[trial.state],
                    value=trial.value,
                    params=dict(trial.settings),
                    distributions=self._distributions,
                    intermediate_values=dict(enumerate(values)),
                )
            )

    def ask(self, first: int, count: int) -> tuple[Proposal, ...]:
        """The next ``count`` proposals, numbered from ``first``."""
        seed = int(np.random.SeedSequence((self._seed, first)).generate_state(1)[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.sampler = TPESampler(
                seed=seed, n_startup_trials=FIRST_AT_RANDOM, multivariate=True, constant_liar=True
            )
        proposals = []
        for number in range(first, first + count):
            trial = self._study.ask(self._distributions)
            assert trial.number == number, "trials are asked for in order"
            self._asked[number] = trial
            proposals.append(Proposal(number, dict(trial.params)))
        return tuple(proposals)

    def is_hopeless(self, number: int, scores: Sequence[float]) -> bool:
        """Whether a trial asked for is below the median of the complete ones at its last fold."""
        trial = self._asked[number]
        trial.report(scores[-1], len(scores) - 1)
        self._reported[number] = len(scores)
        return bool(trial.should_prune())

    def tell(self, trials: Iterable[Trial]) -> None:
        """The results of what was asked, in order."""
        for trial in trials:
            asked = self._asked.pop(trial.number)
            for fold in range(self._reported.pop(trial.number, 0), len(trial.fold_scores)):
                asked.report(trial.fold_scores[fold], fold)
            value = trial.value if trial.state is TrialState.COMPLETE else None
            self._study.tell(asked, value, state=_STATES[trial.state])


def _distribution(one: Dimension) -> BaseDistribution:
    if one.choices:
        return CategoricalDistribution(one.choices)
    if one.whole:
        return IntDistribution(int(one.low), int(one.high), log=one.logarithmic)
    return FloatDistribution(one.low, one.high)


def as_numbers(space: Sequence[Dimension], settings: Mapping[str, Any]) -> list[float]:
    """Settings as coordinates: a ratio scale by logarithm, a choice by its position."""
    numbers = []
    for one in space:
        value = settings[one.name]
        if one.choices:
            numbers.append(float(one.choices.index(value)))
        else:
            numbers.append(float(np.log(value)) if one.logarithmic else float(value))
    return numbers
