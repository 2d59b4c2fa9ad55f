"""The trials of a study or a sweep with those of all other runs, and which days of its holdout were shown before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from engine.domain.market import to_ms
from engine.runtime.trial_count import OwnTrials, with_others
from engine.simulation.evaluation_figures import DAY_MS
from engine.simulation.evaluation_luck import StudyFacts
from engine.simulation.study import YEAR_DAYS
from engine.simulation.study_judgement import comparable
from engine.storage.research import HoldoutTouch, ResearchStore, StoredStudy, Trial, TrialState
from engine.storage.research_tried import days_of_study


def of_study(
    store: ResearchStore, study: StoredStudy, facts: StudyFacts, trials: Sequence[Trial], period_ms: int
) -> StudyFacts:
    """The facts of a study or a sweep with the trials of all other runs counted in.

    Parameters
    ----------
    store : ResearchStore
    study : StoredStudy
    facts : StudyFacts
        Of the study alone.
    trials : sequence of Trial
        All of it, returns or not.
    period_ms : int
        Of a return.
    """
    days = days_of_study(study.name, study.strategy, study.definition)
    assert days is not None, "a definition says its candles and days"
    run = [one for one in trials if one.state is not TrialState.REFUSED]
    fixed = study.definition.get("fixed", {})
    key_of = days.keys()
    keys = frozenset(key_of({**fixed, **one.settings}) for one in run)
    pool = store.tried(days)
    length = max((one.days for one in pool if one.key in keys), default=0.0)
    scale = math.sqrt(period_ms / (YEAR_DAYS * DAY_MS))
    sharpes = [value * scale for value in comparable(run)]
    return with_others(facts, OwnTrials(keys, sharpes, length, period_ms), pool)


def with_seen(facts: StudyFacts, store: ResearchStore, touch: HoldoutTouch) -> StudyFacts:
    """The facts for a look at a holdout: how many of its days earlier backtests of the strategy have shown."""
    begin, end = to_ms(touch.start) // DAY_MS, -(-to_ms(touch.stop) // DAY_MS)
    shown: set[int] = set()
    for one in store.seen_like(touch):
        first, stop = to_ms(one.start) // DAY_MS, -(-to_ms(one.stop) // DAY_MS)
        shown.update(range(max(begin, first), min(end, stop)))
    return replace(facts, seen_days=len(shown), seen_of=end - begin)
