"""A study as JSON values: its definition, every trial, and what may be claimed of the best."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from engine.domain.codec import utc_text
from engine.quant.plateau import Plateau
from engine.simulation.study import measured
from engine.simulation.study_judgement import Judgement
from engine.storage.research import HoldoutTouch, StoredStudy, Trial, TrialState


def study_record(
    study: StoredStudy, trials: Sequence[Trial], judgement: Judgement, touch: HoldoutTouch | None
) -> dict[str, Any]:
    """What was tried and found.

    Parameters
    ----------
    study : StoredStudy
    trials : sequence of Trial
        All of it.
    judgement : Judgement
    touch : HoldoutTouch or None

    Returns
    -------
    dict
        Statistics as floats, None where undefined with a ``reason``; times ISO UTC. ``holdout`` holds the record of
        the best settings on it only after the one look.
    """
    counts = Counter(one.state for one in trials)
    best = judgement.best
    return {
        "study": study.name,
        "strategy": study.strategy,
        "created_at": utc_text(study.created_at),
        "definition": dict(study.definition),
        "counts": {"measured": measured(trials), **{one.value: counts[one] for one in TrialState}},
        "best": None if best is None else trial_row(best),
        "trials": [trial_row(one) for one in trials],
        "overfitting": {
            "trials": judgement.facts.trials,
            "other_trials": judgement.facts.others,
            "sharpe_variance": known(judgement.facts.sharpe_variance),
            "pbo": judgement.facts.overfitting,
            "reason": judgement.overfitting_reason,
        },
        "plateau": None if judgement.plateau is None else plateau_record(judgement.plateau),
        "selection": {
            "walk_forward": [one.unseen for one in judgement.selection.walk_forward],
            "choices": [asdict(one) for one in judgement.selection.walk_forward],
            "k_fold": judgement.selection.k_fold,
            "k_folds": [asdict(one) for one in judgement.selection.k_folds],
            "paths": list(judgement.selection.paths),
            "reason": judgement.selection.reason,
            "note": _kind_by_abandoning(judgement, counts[TrialState.PRUNED]),
        },
        "holdout": {**study.definition["holdout"], **_touched(touch)},
    }


def _kind_by_abandoning(judgement: Judgement, abandoned: int) -> str:
    """What is to be said beside k-fold and paths, "" where nothing is."""
    if judgement.selection.reason or not abandoned:
        return ""
    return (
        f"k-fold and paths choose among complete trials alone, and all folds decided which these are: with "
        f"{abandoned:,} abandoned ones left out they are somewhat too kind; walk-forward is not"
    )


def trial_row(trial: Trial) -> dict[str, Any]:
    """A trial without its returns."""
    return {
        "number": trial.number,
        "state": trial.state.value,
        "value": trial.value,
        "fold_scores": list(trial.fold_scores),
        "settings": dict(trial.settings),
        "reason": trial.reason,
    }


def plateau_record(found: Plateau) -> dict[str, Any]:
    """The ground around the best; None for what is undefined, with a ``reason``."""
    return {
        "neighbours": found.neighbours,
        "median_share": known(found.median_share),
        "worst_share": known(found.worst_share),
        "positive_share": known(found.positive_share),
        "on_edge": found.on_edge,
        "reason": found.reason,
    }


def _touched(touch: HoldoutTouch | None) -> dict[str, Any]:
    if touch is None:
        return {"touched_at": None, "settings": None, "record": None}
    return {
        "touched_at": utc_text(touch.touched_at),
        "settings": dict(touch.settings),
        "record": dict(touch.record),
    }


def known(value: float) -> float | None:
    """A statistic as JSON has it: None where it is undefined."""
    return value if math.isfinite(value) else None
