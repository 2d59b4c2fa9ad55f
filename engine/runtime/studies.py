"""Runs studies for the command line and for jobs: from options and candle files to a search, a verdict and a record."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.domain.errors import BadInput
from engine.domain.ports import Clock
from engine.runtime.backtests import KEYS as BACKTEST_KEYS
from engine.runtime.backtests import BacktestRequest, BacktestResult, read_backtest
from engine.runtime.clock import SystemClock
from engine.runtime.job_files import JobCancelled
from engine.runtime.replay_data import ReplayData
from engine.runtime.replay_request import require_known
from engine.runtime.replays import Report
from engine.runtime.research_files import StoredCurve
from engine.runtime.research_studies_files import StudyFolder
from engine.runtime.run_numbers import EMBARGO_DAYS, FOLDS, TRIALS
from engine.runtime.study_holdout import AskedStudy, look_refusal, require_open, require_stored, touch_of
from engine.runtime.study_options import read_spread, read_study_name
from engine.runtime.study_record import study_record
from engine.runtime.study_run import (
    READING,
    SHARED_KEYS,
    Chosen,
    TrialLog,
    conditions_of,
    name_of,
    read_with_files,
    run_chosen,
    strategy_of,
)
from engine.runtime.study_trials import of_study, with_seen
from engine.simulation.backtest_setup import BacktestSetup
from engine.simulation.search_space import Bounds, Dimension, checked_fixed, space_of
from engine.simulation.spread import SpreadPlan, spread
from engine.simulation.study import (
    AT_ONCE,
    FoldWork,
    StudyPlan,
    best_of,
    development_setup,
    measured,
    run_study,
)
from engine.simulation.study_judgement import Judgement, judge_study
from engine.simulation.study_layout import Layout, LayoutPlan, Span, layout_of
from engine.storage.research import ResearchStore, StoredStudy
from engine.strategies import BACKTESTS

KEYS = SHARED_KEYS | {"ranges", "trials", "folds", "holdout_report"}
OBJECTIVE = "annualised Sharpe ratio of daily returns after costs, over all folds"
_SEARCHING = 0.85


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
        (1, the default, to 366), ``study`` (a name), ``holdout_report``, ``scheduler`` (a Dask address; "": this
        computer) and ``workers`` (processes of this computer, 1 to 256, default 1).

    Raises
    ------
    BadInput
        Names the key, its value and what is allowed.
    """
    require_known(values, KEYS)
    request = read_backtest({key: value for key, value in values.items() if key in BACKTEST_KEYS})
    config = BACKTESTS[strategy_of(request)].config
    ranges = {name: _bounds(name, text) for name, text in (values.get("ranges") or {}).items()}
    fixed = checked_fixed(config, values.get("fixed") or {})
    space_of(config, fixed, ranges)
    name = read_study_name(values)
    trials, folds = TRIALS.read("trials", values.get("trials")), FOLDS.read("folds", values.get("folds"))
    layout = LayoutPlan(folds, EMBARGO_DAYS.read("embargo_days", values.get("embargo_days")))
    report = bool(values.get("holdout_report"))
    return StudyRequest(request, fixed, ranges, trials, layout, name, report, read_spread(values))


def _bounds(name: str, text: Any) -> Bounds:
    low, colon, high = str(text).partition(":")
    try:
        if colon:
            return Bounds(float(low), float(high))
    except ValueError:
        pass
    raise BadInput(f"range {text!r:.80} of {name} is not LOW:HIGH, such as 10:200")


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
    request, data = read_with_files(paths, options, KEYS, read_study, report)
    return study(request, data, folder, report)


def study(
    request: StudyRequest, data: ReplayData, folder: Path, report: Report, clock: Clock | None = None
) -> dict[str, Any]:
    """Search, judge and, where asked, look at the holdout; parameters, result and errors as `study_files`.

    ``clock`` dates what is stored; wall time of this computer by default.
    """
    started, clock = time.perf_counter(), clock or SystemClock()
    assert data.currency, "one currency, or it raised"
    plan = plan_of(request, data)
    strategy, definition = plan.setup.strategy, definition_of(request, plan, data)
    name = request.name or name_of(strategy, definition)
    asked = AskedStudy(name, bool(request.name), request.trials, request.holdout_report, clock.now())
    store = ResearchStore(folder)
    try:
        require_stored(asked, plan, store)
        stored = store.begin(StoredStudy(name, strategy, definition, asked.at))
        require_open(asked, plan, store)
        log = TrialLog(store, name, clock)
        found = _search(request, plan, log, report)
        trials = log.trials()
        judgement = replace(found, facts=of_study(store, stored, found.facts, trials, plan.layout.period_ms))
        best = best_of(trials)
        assert best is not None, "the first trials are never abandoned"
        report(_SEARCHING, "measuring the best, and running it again at twice the costs")
        again = _Again(request, data, plan, clock)
        development = again.run(plan.layout.development, judgement)
        if asked.look:
            _look(again, judgement, asked, store)
        record = {
            **_with_refusal(study_record(stored, trials, judgement, store.touched(name)), plan, store, asked),
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


def _with_refusal(record: dict[str, Any], plan: StudyPlan, store: ResearchStore, asked: AskedStudy) -> dict[str, Any]:
    """The record with ``holdout.refused``: why the look cannot be any more though this study never took it, else ""."""
    found = None if record["holdout"]["record"] else look_refusal(plan, store, asked)
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
    return {
        "strategy": strategy_of(request.backtest),
        "objective": OBJECTIVE,
        "fixed": dict(request.fixed),
        "space": [one.record() for one in space],
        "folds": [one.record() for one in layout.folds],
        "embargo_days": request.layout.embargo_days,
        "development": layout.development.record(),
        "holdout": layout.holdout.record(),
        "at_once": AT_ONCE,
        **conditions_of(request.backtest),
    }


def _search(request: StudyRequest, plan: StudyPlan, log: TrialLog, report: Report) -> Judgement:
    """Run what is missing and judge all of it, by the same workers."""

    begun = measured(log.trials())

    def progress(done: int, total: int, text: str) -> bool:
        ran = (done - begun) / max(1, total - begun)  # of this call, or the time left would be told too short
        return report(READING + (_SEARCHING - READING) * ran, f"{done:,} of {total:,} trials, {text}")

    work = FoldWork(development_setup(plan), plan.engine)
    with spread(request.spread) as team:
        if not run_study(plan, log, request.trials, team.runner(work), progress):
            raise JobCancelled(f"cancelled; {measured(log.trials()):,} trials are stored, and it can go on from there")
        return judge_study(plan, log.trials(), team)


@dataclass(frozen=True, slots=True)
class _Again:
    """Runs the best settings once more."""

    request: StudyRequest
    data: ReplayData
    plan: StudyPlan
    clock: Clock

    def run(self, span: Span, judgement: Judgement) -> BacktestResult:
        """On a span, seen by no later candle."""
        assert judgement.best is not None, "there is a complete trial"
        chosen = Chosen(self.plan.settings(judgement.best.settings), span, judgement.facts)
        return run_chosen(self.request.backtest, self.data, chosen, clock=self.clock)


def _look(again: _Again, judgement: Judgement, asked: AskedStudy, store: ResearchStore) -> None:
    """Run the best on the holdout; what is found is shown only once the look is recorded for good."""
    assert judgement.best is not None, "there is a complete trial"
    plan = again.plan
    facts = with_seen(judgement.facts, store, touch_of(plan, asked))
    record = again.run(plan.layout.holdout, replace(judgement, facts=facts)).record
    touch = replace(touch_of(plan, asked), touched_at=again.clock.now())
    store.touch(replace(touch, settings=judgement.best.settings, record=record))
