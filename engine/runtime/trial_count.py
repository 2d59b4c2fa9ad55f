"""How many trials stand behind a result: every setting of its strategy that any run tried on days of the same coins."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.domain.codec import utc_from_text
from engine.domain.errors import StorageError
from engine.domain.market import from_ms
from engine.quant.overfitting import sharpe_sample, trial_variance
from engine.runtime.clock import SystemClock
from engine.runtime.code_revision import code_revision
from engine.runtime.research_studies_files import StudyFolder
from engine.simulation.backtest import BacktestRun
from engine.simulation.evaluation_figures import DAY_MS, Days, days_of, lived
from engine.simulation.evaluation_luck import StudyFacts
from engine.storage.research import ResearchStore, TrialStamp
from engine.storage.research_tried import BY_HAND, LIMITS, Tried, TriedDays, series_of

Counting = Callable[[BacktestRun], StudyFacts]
"""Counts the trials behind a run once it has ended."""
ALONE = StudyFacts(unknown="the run was made without a data folder")


@dataclass(frozen=True, slots=True)
class OwnTrials:
    """What a study tried itself.

    Attributes
    ----------
    keys : frozenset of str
        Of its settings, as `TriedDays.key_of` gives them.
    sharpes : sequence of float
        Of each of its trials, per period.
    days : float
        The longest of them was measured over.
    period_ms : int
        Of a return.
    """

    keys: frozenset[str]
    sharpes: Sequence[float]
    days: float
    period_ms: int


def with_others(facts: StudyFacts, own: OwnTrials, pool: Sequence[Tried]) -> StudyFacts:
    """The facts of a run or a study with the trials of all other runs counted in.

    A ratio that was measured over fewer days than the study's own is mostly noise: it is brought to their length by the
    square root of the days, or a single short look would inflate the variance of all.

    Parameters
    ----------
    facts : StudyFacts
        Of the run or study alone.
    own : OwnTrials
    pool : sequence of Tried
        Every distinct setting that was tried, its own included.
    """
    others = [one for one in pool if one.key not in own.keys]
    if not others:
        return facts
    scale = math.sqrt(own.period_ms / DAY_MS)
    brought = [one.sharpe * scale * math.sqrt(min(1.0, one.days / max(own.days, 1.0))) for one in others]
    variance = trial_variance([*own.sharpes, *brought])
    return replace(facts, trials=facts.trials + len(others), others=len(others), sharpe_variance=variance)


def by_hand(folder: Path, asked: Mapping[str, Any], series: Sequence[Mapping[str, Any]]) -> Counting:
    """Records a backtest as a trial of its strategy, before its verdict is made, and counts those before it.

    Parameters
    ----------
    folder : Path
        The data folder.
    asked : mapping
        Record of the replay's request.
    series : sequence of mappings
        Record of the candles.

    Returns
    -------
    callable
        Where nothing can be recorded or read, its facts say that the trials of other runs are not known.
    """
    ((strategy, settings),) = asked["strategies"].items()
    limits = {name: asked[name] for name in LIMITS}

    def counted(run: BacktestRun) -> StudyFacts:
        days = lived(run, days_of(run))
        place = TriedDays(strategy, BY_HAND, series_of(series), *_span(days), limits)
        ratio = sharpe_sample(days.returns).sharpe
        ratio = 0.0 if math.isnan(ratio) else ratio
        period_days = days.period_ms / DAY_MS
        length = len(days.returns) * period_days
        mine = Tried(place.key_of(settings), ratio / math.sqrt(period_days), length, settings)
        try:
            pool, studies = _recorded(folder, place, mine)
            alone = OwnTrials(frozenset({mine.key}), [ratio], length, days.period_ms)
            return strictest(with_others(StudyFacts(), alone, pool), folder, studies)
        except StorageError as error:
            return StudyFacts(unknown=str(error).rstrip("."))

    return counted


def _span(days: Days) -> tuple[Any, Any]:
    first, last = (int(days.opened_ms[end]) if len(days.opened_ms) else 0 for end in (0, -1))
    return from_ms(first), from_ms(last + days.period_ms)


def strictest(facts: StudyFacts, folder: Path, studies: Sequence[str]) -> StudyFacts:
    """The facts of a run held to what the studies that tried its settings were held to, each figure the stricter one.

    Parameters
    ----------
    facts : StudyFacts
        Of the run.
    folder : Path
        The data folder.
    studies : sequence of str
        Names; one that was not judged yet adds nothing.

    Raises
    ------
    StorageError
        The record of a study is damaged.
    """
    for name in studies:
        kept = StudyFolder(folder, name)
        record = kept.record()
        if record is None:
            continue
        try:
            found = record["overfitting"]
            trials = max(facts.trials, int(found["trials"]))
            variances = (facts.sharpe_variance, _real(found["sharpe_variance"]))
            shares = (facts.overfitting, found["pbo"])
        except (KeyError, TypeError, ValueError) as error:
            raise kept.damaged("record.json", error) from error
        variance = max((one for one in variances if not math.isnan(one)), default=math.nan)
        share = max((float(one) for one in shares if one is not None), default=None)
        facts = replace(facts, trials=trials, others=trials - 1, sharpe_variance=variance, overfitting=share,
                        study=_stricter(facts, share, name))  # fmt: skip
    return facts


def _stricter(facts: StudyFacts, overfitting: float | None, name: str) -> str:
    """Name of the study to refer to: of several the one that measured the most overfitting."""
    return name if not facts.study or overfitting != facts.overfitting else facts.study


def _real(value: float | None) -> float:
    return math.nan if value is None else float(value)


def tried_since(store: ResearchStore, record: Mapping[str, Any]) -> int:
    """How many distinct settings of a stored backtest's strategy were tried on its days since its verdict was made.

    Parameters
    ----------
    store : ResearchStore
    record : mapping
        Of the backtest; raises KeyError or ValueError where it does not say its candles and times.
    """
    series = record["series"]
    start = record["from"] or min(one["first"] for one in series)
    stop = record["to"] or max(one["last"] for one in series)
    span = utc_from_text(start), utc_from_text(stop)
    place = TriedDays(str(record["strategy"]), BY_HAND, series_of(series), *span)
    return store.tried_since(place, utc_from_text(record["made_at"]))


def _recorded(folder: Path, place: TriedDays, mine: Tried) -> tuple[tuple[Tried, ...], tuple[str, ...]]:
    store = ResearchStore(folder)
    try:
        store.add_run(place, mine, TrialStamp(code_revision(), SystemClock().now()))
        return store.tried(place), store.studies_of(place, mine.key)
    finally:
        store.close()
