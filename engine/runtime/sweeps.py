"""Runs sweeps for the command line: from a grid and candle files to the result of every combination and a verdict."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
from engine.runtime.run_numbers import EMBARGO_DAYS
from engine.runtime.study_options import read_spread, read_study_name
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
from engine.runtime.study_trials import of_study
from engine.runtime.sweep_record import sweep_record
from engine.simulation.backtest_setup import BacktestSetup
from engine.simulation.evaluation_figures import DAY_MS
from engine.simulation.search_space import Value, checked_fixed
from engine.simulation.spread import SpreadPlan, spread
from engine.simulation.sweep_judgement import SweepJudgement, judge_sweep
from engine.simulation.sweep_plan import Grid, SweepPlan, checked_grid, read_grid, run_sweep, sweep_plan
from engine.storage.research import ResearchStore, StoredStudy
from engine.strategies import BACKTESTS

KEYS = SHARED_KEYS | {"grid"}
OBJECTIVE = "annualised Sharpe ratio of daily returns after costs, over all development days"
_SWEEPING = 0.9
_PAGE = 500


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """A checked request.

    Attributes
    ----------
    backtest : BacktestRequest
        Strategy with its default settings, costs, range, engine and seed.
    fixed : mapping
        Settings that are the same in every combination.
    grid : Grid
        Values by setting.
    embargo_days : int
        Left out before the holdout.
    name : str
        "" for the name made of strategy and definition.
    spread : SpreadPlan
        Who runs the combinations; changes none of them.
    """

    backtest: BacktestRequest
    fixed: Mapping[str, Any]
    grid: Grid
    embargo_days: int
    name: str
    spread: SpreadPlan

    @property
    def strategy(self) -> str:
        """Its name."""
        return strategy_of(self.backtest)


def read_sweep(values: Mapping[str, Any]) -> SweepRequest:
    """Check a request.

    Parameters
    ----------
    values : mapping
        What `engine.runtime.backtests.read_backtest` takes but ``settings``; and ``grid`` {setting: "LOW:HIGH:STEP" or
        "A,B,C"}, ``fixed`` {setting: value}, ``embargo_days`` (1, the default, to 366), ``study`` (a name),
        ``scheduler`` and ``workers`` as for a study.

    Raises
    ------
    BadInput
        Names the key, its value and what is allowed.
    """
    require_known(values, KEYS)
    request = read_backtest({key: value for key, value in values.items() if key in BACKTEST_KEYS})
    config = BACKTESTS[strategy_of(request)].config
    fixed = checked_fixed(config, values.get("fixed") or {})
    given = {name: read_grid(name, str(text)) for name, text in (values.get("grid") or {}).items()}
    embargo = EMBARGO_DAYS.read("embargo_days", values.get("embargo_days"))
    grid = checked_grid(config, given, fixed)
    return SweepRequest(request, fixed, grid, embargo, read_study_name(values), read_spread(values))


def sweep_files(
    paths: Sequence[Path], options: Mapping[str, Any], folder: Path, report: Report | None = None
) -> dict[str, Any]:
    """Run every combination of a grid over candle files; each is stored in the data folder as a trial of its study.

    Parameters
    ----------
    paths : sequence of Path
        Parquet or CSV files, in any order; read with the checks of an import.
    options : mapping
        Keys of `read_sweep`, those of `engine.runtime.replay_data.read_file_facts`, and ``funding``, ``no_funding``
        and ``detail`` as for a backtest.
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
        Another process runs the same sweep.
    JobCancelled
        ``report`` said so; what was stored stays, and the same call goes on.
    """
    report = report or (lambda _share, _text: True)
    request, data = read_with_files(paths, options, KEYS, read_sweep, report)
    return sweep(request, data, folder, report)


def sweep(
    request: SweepRequest, data: ReplayData, folder: Path, report: Report, clock: Clock | None = None
) -> dict[str, Any]:
    """Run, store and judge; parameters, result and errors as `sweep_files`.

    ``clock`` dates what is stored; wall time of this computer by default.
    """
    started, clock = time.perf_counter(), clock or SystemClock()
    plan = plan_of(request, data)
    definition = definition_of(request, plan, data)
    name = request.name or name_of(f"{request.strategy}-sweep", definition)
    store = ResearchStore(folder)
    try:
        stored = store.begin(StoredStudy(name, request.strategy, definition, clock.now()))
        swept = _sweep(request, plan, TrialLog(store, name, clock), report)
        trials = store.outcomes(name)
        period_ms = max(DAY_MS, *(one.timeframe.ms for one in data.series.values()))
        found = judge_sweep(plan, trials, store.pages(name, _PAGE))
        judgement = replace(found, facts=of_study(store, stored, found.facts, trials, period_ms))
        development = _best(request, data, judgement, (plan, report, clock))
        revisions = list(store.revisions(name))
    finally:
        store.close()
    record = {
        **sweep_record(stored, trials, judgement),
        "revisions": revisions,
        "development": development.record,
        "verdict": development.record["verdict"],
        "sweep_seconds": round(swept, 3),
        "seconds": round(time.perf_counter() - started, 3),
    }
    # the combinations lie in the database, and a page reads the file at every look
    kept = {key: value for key, value in record.items() if key != "combinations"}
    StudyFolder(folder, name).write_record(kept, StoredCurve(*development.curve()))
    report(1.0, "done")
    return record


def plan_of(request: SweepRequest, data: ReplayData) -> SweepPlan:
    """The sweep's plan on given candles; raises `BadInput` where they are too few."""
    assert data.currency, "one currency, or it raised"
    asked = request.backtest.replay
    setup = BacktestSetup(asked.config, data.series, data.funding, asked.start, asked.stop, data.fine)
    return sweep_plan(setup, request.backtest.engine, request.grid, request.fixed, request.embargo_days)


def definition_of(request: SweepRequest, plan: SweepPlan, data: ReplayData) -> dict[str, Any]:
    """Everything that decides the combinations and their results, as JSON values."""
    return {
        "strategy": request.strategy,
        "objective": OBJECTIVE,
        "fixed": dict(plan.fixed),
        "grid": {name: list(values) for name, values in plan.grid.items()},
        "space": [_space(name, values) for name, values in plan.grid.items()],
        "folds": [plan.development.record()],
        "embargo_days": request.embargo_days,
        "development": plan.development.record(),
        "holdout": plan.holdout.record(),
        "series": data.record(),
        **conditions_of(request.backtest),
    }


def _space(name: str, values: Sequence[Value]) -> dict[str, Any]:
    """A setting as a study has it: bounds where its values are numbers apart, else its values."""
    numbers = [one for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(numbers) < max(2, len(values)):
        return {"name": name, "choices": list(values)}
    return {"name": name, "low": min(numbers), "high": max(numbers), "logarithmic": False}


def _sweep(request: SweepRequest, plan: SweepPlan, log: TrialLog, report: Report) -> float:
    """Run what is not stored; seconds it took."""
    begun, started = len(log.store.outcomes(log.name)), time.perf_counter()

    def progress(done: int, total: int) -> bool:
        ran = (done - begun) / max(1, total - begun)
        return report(READING + (_SWEEPING - READING) * ran, f"{done:,} of {total:,} combinations")

    with spread(request.spread) as team:
        finished = run_sweep(plan, begun, log.add, team, progress)
    if not finished:
        kept = len(log.store.outcomes(log.name))
        raise JobCancelled(f"cancelled; {kept:,} combinations are stored, the same command goes on")
    return time.perf_counter() - started


def _best(
    request: SweepRequest, data: ReplayData, judgement: SweepJudgement, told: tuple[SweepPlan, Report, Clock]
) -> BacktestResult:
    """The best combination once more over its days, held to the number of combinations."""
    plan, report, clock = told

    def rest(share: float, text: str) -> bool:
        return report(_SWEEPING + (1.0 - _SWEEPING) * share, f"the best combination: {text}")

    chosen = Chosen(plan.settings(judgement.best.settings), plan.development, judgement.facts)
    return run_chosen(request.backtest, data, chosen, rest, clock)
