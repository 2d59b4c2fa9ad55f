"""Runs studies for the command line and for jobs: from options and candle files to a search, a verdict and a record."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.domain.errors import BadInput
from engine.runtime.backtests import KEYS as BACKTEST_KEYS
from engine.runtime.backtests import BacktestRequest, BacktestResult, backtest, read_backtest
from engine.runtime.code_revision import code_revision
from engine.runtime.job_files import JobCancelled
from engine.runtime.replay_data import FACT_KEYS, ReplayData, file_data, read_file_facts
from engine.runtime.replay_request import require_known
from engine.runtime.replays import Report
from engine.runtime.research_files import StoredCurve
from engine.runtime.research_studies_files import StudyFolder
from engine.runtime.study_holdout import AskedStudy, look_refusal, require_open, require_stored, touch_of
from engine.runtime.study_options import read_count, read_spread, read_study_name
from engine.runtime.study_record import study_record
from engine.runtime.study_trials import of_study, with_seen
from engine.simulation.backtest_setup import BacktestSetup
from engine.simulation.evaluation_luck import StudyFacts
from engine.simulation.search_space import Bounds, Dimension, checked_fixed, space_of
from engine.simulation.spread import SpreadPlan, spread
from engine.simulation.study import (
    AT_ONCE,
    FoldWork,
    StudyPlan,
    best_of,
    candles_until,
    development_setup,
    measured,
    run_study,
)
from engine.simulation.study_judgement import Judgement, judge_study
from engine.simulation.study_layout import Layout, LayoutPlan, Span, layout_of
from engine.storage.candle_import import ImportWatch
from engine.storage.research import ResearchStore, StoredStudy, Trial, TrialStamp
from engine.strategies import BACKTESTS

KEYS = (BACKTEST_KEYS - {"settings"}) | {
    "fixed",
    "ranges",
    "trials",
    "folds",
    "embargo_days",
    "study",
    "holdout_report",
    "scheduler",
    "workers",
}
MOST_TRIALS = 100_000
OBJECTIVE = "annualised Sharpe ratio of daily returns after costs, over all folds"
_READING, _SEARCHING = 0.05, 0.85
_NAME_DIGITS = 10


@dataclass(frozen=True, slots=True)
class StudyRequest:
    """A checked request.

    Attributes
    ----------
    backtest : BacktestRequest
        Strategy with its default settings, costs, range, engine and seed.
    fixed : mapping
        Settings that are not searched.
    ranges : mapping of str to Bounds
    trials : int
        Measured ones in all, those stored already included.
    layout : LayoutPlan
    name : str
        "" for the name made of strategy and definition.
    holdout_report : bool
        Whether to look at the holdout, once and for all.
    spread : SpreadPlan
        Who runs the trials; changes none of them.
    """

    backtest: BacktestRequest
    fixed: Mapping[str, Any]
    ranges: Mapping[str, Bounds]
    trials: int
    layout: LayoutPlan
    name: str
    holdout_report: bool
    spread: SpreadPlan


def read_study(values: Mapping[str, Any]) -> StudyRequest:
    """Check a request.

    Parameters
    ----------
    values : mapping
        What `engine.runtime.backtests.read_backtest` takes but ``settings``; and ``fixed`` {setting: value}, ``ranges``
        {setting: "LOW:HIGH"}, ``trials`` (1 to 100,000, default 100), ``folds`` (2 to 50, default 4), ``embargo_days``
        (at least 1, the default), ``study`` (a name), ``holdout_report``, ``scheduler`` (a Dask address; "": this
        computer) and ``workers`` (processes of this computer, 1 to 256, default 1).

    Raises
    ------
    BadInput
        Names the key, its value and what is allowed.
    """
    require_known(values, KEYS)
    request = read_backtest({key: value for key, value in values.items() if key in BACKTEST_KEYS})
    config = BACKTESTS[_strategy(request)].config
    ranges = {name: _bounds(name, text) for name, text in (values.get("ranges") or {}).items()}
    fixed = checked_fixed(config, values.get("fixed") or {})
    space_of(config, fixed, ranges)
    name = read_study_name(values)
    trials = read_count("trials", values.get("trials", 100), MOST_TRIALS)
    folds, embargo = (
        read_count("folds", values.get("folds", 4), 50, least=2),
        read_count("embargo_days", values.get("embargo_days", 1), 366),
    )
    layout = LayoutPlan(folds, embargo)
    report = bool(values.get("holdout_report"))
    return StudyRequest(request, fixed, ranges, trials, layout, name, report, read_spread(values))


def _strategy(request: BacktestRequest) -> str:
    (name,) = request.replay.config.strategies
    return name


def _bounds(name: str, text: Any) -> Bounds:
    low, colon, high = str(text).partition(":")
    try:
        if colon:
            return Bounds(float(low), float(high))
    except ValueError:
        pass
    raise BadInput(f"range {text!r:.80} of {name} is not LOW:HIGH, such as 10:200")


class _Log:
    """The trials of one study in the store."""

    def __init__(self, store: ResearchStore, name: str) -> None:
        self._store, self._name = store, name

    def trials(self) -> tuple[Trial, ...]:
        return self._store.trials(self._name)

    def add(self, trials: Sequence[Trial]) -> None:
        self._store.add_trials(self._name, trials, TrialStamp(code_revision(), datetime.now(UTC)))


def study_files(
    paths: Sequence[Path], options: Mapping[str, Any], folder: Path, report: Report | None = None
) -> dict[str, Any]:
    """Search the settings of a strategy on candle files; its trials are stored in the data folder.

    Parameters
    ----------
    paths : sequence of Path
        Parquet or CSV files, in any order; read with the checks of an import.
    options : mapping
        Keys of `read_study`, those of `engine.runtime.replay_data.read_file_facts`, and ``funding`` or ``no_funding``
        as for a backtest.
    folder : Path
        The data folder.
    report : callable, optional
        Told share and text; False cancels.

    Returns
    -------
    dict
        The record as JSON values.

    Raises
    ------
    BadInput, CandleError
        Names what cannot be used.
    CommandRefused
        The holdout was looked at before, with the date; another study searched days of it; or another process runs
        the study.
    JobCancelled
        ``report`` said so; what was stored stays, and the same call goes on.
    """
    report = report or (lambda _share, _text: True)
    require_known(options, KEYS | FACT_KEYS | {"funding", "no_funding", "detail"})
    facts = read_file_facts(options)
    request = read_study({key: value for key, value in options.items() if key in KEYS and value is not None})

    def watch(share: float, text: str) -> None:
        if not report(share * _READING, text):
            raise JobCancelled("cancelled while reading the files")

    data = file_data(paths, options, facts, request.backtest.replay.stop, ImportWatch(watch))
    return study(request, data, folder, report)


def study(request: StudyRequest, data: ReplayData, folder: Path, report: Report) -> dict[str, Any]:
    """Search, judge and, where asked, look at the holdout; parameters, result and errors as `study_files`."""
    started = time.perf_counter()
    assert data.currency, "one currency, or it raised"
    plan = plan_of(request, data)
    definition = definition_of(request, plan, data)
    name = request.name or _name_of(_strategy(request.backtest), definition)
    asked = AskedStudy(name, bool(request.name), request.trials, request.holdout_report)
    store = ResearchStore(folder)
    try:
        require_stored(asked, plan, store)
        stored = store.begin(StoredStudy(name, _strategy(request.backtest), definition, datetime.now(UTC)))
        require_open(asked, plan, store)
        found = _search(request, plan, _Log(store, name), report)
        trials = store.trials(name)
        judgement = replace(found, facts=of_study(store, stored, found.facts, trials, plan.layout.period_ms))
        best = best_of(trials)
        assert best is not None, "the first trials are never abandoned"
        report(_SEARCHING, "measuring the best, and running it again at twice the costs")
        development = _run(request, data, plan, plan.layout.development, judgement)
        if request.holdout_report:
            _look(request, data, plan, store, (name, judgement))
        record = {
            **_with_refusal(study_record(stored, trials, judgement, store.touched(name)), plan, store),
            "revisions": list(store.revisions(name)),
            "development": development.record,
            "verdict": development.record["verdict"],
            "seconds": round(time.perf_counter() - started, 3),
        }
    finally:
        store.close()
    StudyFolder(folder, name).write_record(record, StoredCurve(*development.curve()))
    report(1.0, "done")
    return record


def _with_refusal(record: dict[str, Any], plan: StudyPlan, store: ResearchStore) -> dict[str, Any]:
    """The record with ``holdout.refused``: why the look cannot be any more though this study never took it, else ""."""
    found = None if record["holdout"]["record"] else look_refusal(plan, store, str(record["study"]))
    return record | {"holdout": {**record["holdout"], "refused": str(found or "")}}


def plan_of(request: StudyRequest, data: ReplayData) -> StudyPlan:
    """The study's plan on given candles; raises `BadInput` where they are too few."""
    asked = request.backtest.replay
    setup = BacktestSetup(asked.config, data.series, data.funding, asked.start, asked.stop, data.fine)
    space = space_of(BACKTESTS[setup.strategy].config, request.fixed, request.ranges)
    layout = layout_of(setup, request.layout)
    return StudyPlan(setup, request.backtest.engine, space, request.fixed, layout, request.backtest.seed)


def definition_of(request: StudyRequest, plan: StudyPlan, data: ReplayData) -> dict[str, Any]:
    """Everything that decides the trials, as JSON values; where two are equal, so are the trials."""
    return {**definition_without_candles(request, plan.space, plan.layout), "series": data.record()}


def definition_without_candles(request: StudyRequest, space: Sequence[Dimension], layout: Layout) -> dict[str, Any]:
    """The part of the definition that is known before a candle is read, and so compared before a job is queued."""
    asked = request.backtest.replay.record()
    return {
        "strategy": _strategy(request.backtest),
        "objective": OBJECTIVE,
        "fixed": dict(request.fixed),
        "space": [one.record() for one in space],
        "folds": [one.record() for one in layout.folds],
        "embargo_days": request.layout.embargo_days,
        "development": layout.development.record(),
        "holdout": layout.holdout.record(),
        "seed": request.backtest.seed,
        "at_once": AT_ONCE,
        "engine": request.backtest.engine.value,
        **{key: asked[key] for key in ("cash", "costs", "risk", "brake")},
    }


def _name_of(strategy: str, definition: Mapping[str, Any]) -> str:
    text = json.dumps(definition, sort_keys=True)
    return f"{strategy}-{hashlib.sha256(text.encode()).hexdigest()[:_NAME_DIGITS]}"


def _search(request: StudyRequest, plan: StudyPlan, log: _Log, report: Report) -> Judgement:
    """Run what is missing and judge all of it, by the same workers."""

    begun = measured(log.trials())

    def progress(done: int, total: int, text: str) -> bool:
        ran = (done - begun) / max(1, total - begun)  # of this call, or the time left would be told too short
        return report(_READING + (_SEARCHING - _READING) * ran, f"{done:,} of {total:,} trials, {text}")

    work = FoldWork(development_setup(plan), plan.engine)
    with spread(request.spread) as team:
        if not run_study(plan, log, request.trials, team.runner(work), progress):
            raise JobCancelled(f"cancelled; {measured(log.trials()):,} trials are stored, and it can go on from there")
        return judge_study(plan, log.trials(), team)


def _run(request: StudyRequest, data: ReplayData, plan: StudyPlan, span: Span, judgement: Judgement) -> BacktestResult:
    """The best settings on a span, seen by no later candle."""
    assert judgement.best is not None, "there is a complete trial"
    settings = {plan.setup.strategy: plan.settings(judgement.best.settings)}
    asked = request.backtest.replay
    replay = replace(asked, config=replace(asked.config, strategies=settings), start=span.start, stop=span.stop)
    series = {one: candles_until(candles, span) for one, candles in data.series.items()}
    fine = {key: candles_until(candles, span) for key, candles in data.fine.items()}
    facts: StudyFacts = judgement.facts
    return backtest(replace(request.backtest, replay=replay), replace(data, series=series, fine=fine), study=facts)


def _look(
    request: StudyRequest,
    data: ReplayData,
    plan: StudyPlan,
    store: ResearchStore,
    found: tuple[str, Judgement],
) -> None:
    """Run the best on the holdout; what is found is shown only once the look is recorded for good."""
    name, judgement = found
    assert judgement.best is not None, "there is a complete trial"
    facts = with_seen(judgement.facts, store, touch_of(plan, name, {}, {}))
    record = _run(request, data, plan, plan.layout.holdout, replace(judgement, facts=facts)).record
    store.touch(touch_of(plan, name, judgement.best.settings, record))
