"""A sweep as JSON values: its definition, every combination, and what may be claimed of the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.domain.codec import utc_text
from engine.runtime.study_record import known, plateau_record
from engine.simulation.sweep_judgement import SweepJudgement
from engine.storage.research import StoredStudy, Trial, TrialState

_ONE_PIECE = "a sweep runs all its days in one piece; a study chooses by some of them and looks at the others"


def sweep_record(study: StoredStudy, trials: Sequence[Trial], judgement: SweepJudgement) -> dict[str, Any]:
    """What was tried and found.

    Parameters
    ----------
    study : StoredStudy
    trials : sequence of Trial
        All of it, in order; their returns are not looked at.
    judgement : SweepJudgement

    Returns
    -------
    dict
        Statistics as floats, None where undefined with a ``reason``; money decimal strings; times ISO UTC.
    """
    refused = sum(one.state is TrialState.REFUSED for one in trials)
    facts = judgement.facts
    return {
        "study": study.name,
        "strategy": study.strategy,
        "created_at": utc_text(study.created_at),
        "definition": dict(study.definition),
        "counts": {"combinations": len(trials), "measured": len(trials) - refused, "refused": refused},
        "best": combination_row(judgement.best),
        "combinations": [combination_row(one) for one in trials],
        "overfitting": {
            "trials": facts.trials,
            "other_trials": facts.others,
            "sharpe_variance": known(facts.sharpe_variance),
            "pbo": facts.overfitting,
            "blocks": judgement.blocks,
            "reason": judgement.overfitting_reason,
        },
        "selection": {"walk_forward": [], "k_fold": None, "paths": [], "reason": _ONE_PIECE},
        "plateau": plateau_record(judgement.plateau),
        "holdout": {**study.definition["holdout"], "touched_at": None},
    }


def combination_row(trial: Trial) -> dict[str, Any]:
    """A combination with its results, None where it could not be run."""
    names = ("trades", "final_equity", "net_return", "sharpe", "max_drawdown")
    return {
        "number": trial.number,
        "settings": dict(trial.settings),
        **{name: trial.figures.get(name) for name in names},
        "reason": trial.reason,
    }
