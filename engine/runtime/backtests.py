"""Runs and evaluates backtests for the command line and for jobs: from a request and data to one record."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.domain.codec import utc_text
from engine.domain.errors import BadInput
from engine.domain.market import FloatArray, IntArray
from engine.domain.ports import Clock
from engine.runtime.backtest_record import record_of
from engine.runtime.clock import SystemClock
from engine.runtime.code_revision import code_revision
from engine.runtime.job_files import JobCancelled
from engine.runtime.replay_data import FACT_KEYS, ReplayData, file_data, read_file_facts
from engine.runtime.replay_request import KEYS as REPLAY_KEYS
from engine.runtime.replay_request import ReplayRequest, read_request, require_known
from engine.runtime.replays import Report
from engine.runtime.run_numbers import DRAWS, SEED
from engine.runtime.trial_count import ALONE, Counting, by_hand
from engine.simulation.backtest import BacktestEngine, BacktestRun, BacktestSetup, run_backtest
from engine.simulation.evaluation import Evaluation, EvaluationCancelled, EvaluationPlan, evaluate
from engine.simulation.evaluation_luck import StudyFacts
from engine.simulation.run_files import Curve
from engine.storage.candle_import import ImportWatch
from engine.strategies import REFERENCES

KEYS = (REPLAY_KEYS - {"strategies", "speed"}) | {"strategy", "engine", "seed", "draws"}
CURVE_POINTS = 5_000
_READING_SHARE, _RUNNING_SHARE = 0.1, 0.6


def _go_on(_share: float, _text: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class BacktestRequest:
    """A checked request: what a replay would be asked, by what it is run, and how luck is drawn."""

    replay: ReplayRequest
    engine: BacktestEngine
    seed: int
    draws: int


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """A run with its evaluation and its record.

    Attributes
    ----------
    run : BacktestRun
    evaluation : Evaluation
    record : dict
        JSON values; money decimal strings in ``currency``, statistics floats, what is undefined null with a reason,
        times ISO UTC.
    """

    run: BacktestRun
    evaluation: Evaluation
    record: dict[str, Any]

    def curve(self, points: int = CURVE_POINTS) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
        """Times (ms UTC), equity, drawdown (at most 0) and equity of holding, thinned to at most ``points`` samples."""
        run, hold = self.run, self.evaluation.hold
        rows = Curve(np.arange(len(run.at_ms)), run.equity, -run.drawdown).thinned(points).at_ms
        return run.at_ms[rows], run.equity[rows], -run.drawdown[rows], hold[rows]


def read_backtest(values: Mapping[str, Any]) -> BacktestRequest:
    """Check a request.

    Parameters
    ----------
    values : mapping
        ``strategy`` (a name), ``settings`` {field: value}, ``engine`` (``kernel``, the default, or ``replay``),
        ``seed`` (0 to 2**32 - 1, default 0), ``draws`` (100 to 100,000, default 1,000), and what `read_request` takes
        of ``cash``, ``from``, ``to``, ``costs``, ``fee_bps``, ``slippage_bps``, ``impact``, ``risk`` and ``brake``.
        Without ``brake`` it latches, but is off for a strategy without a stop.

    Raises
    ------
    BadInput
        Names the key, its value and what is allowed.
    """
    require_known(values, KEYS)
    name = values.get("strategy")
    if not isinstance(name, str) or not name:
        raise BadInput(f"strategy {name!r:.80} is not a strategy's name")
    asked = {key: value for key, value in values.items() if key in REPLAY_KEYS - {"settings"}}
    brake = values.get("brake") or ("off" if name in REFERENCES else "latch")
    settings = {name: values.get("settings") or {}}
    replay = read_request({**asked, "strategies": [name], "settings": settings, "brake": brake})
    return BacktestRequest(
        replay,
        _engine(values.get("engine") or BacktestEngine.KERNEL.value),
        SEED.read("seed", values.get("seed")),
        DRAWS.read("draws", values.get("draws")),
    )


def _engine(value: Any) -> BacktestEngine:
    known = [engine.value for engine in BacktestEngine]
    if value not in known:
        raise BadInput(f"engine {value!r:.80} is not {' or '.join(known)}")
    return BacktestEngine(value)


def backtest(
    request: BacktestRequest,
    data: ReplayData,
    report: Report | None = None,
    study: StudyFacts | Counting | None = None,
    clock: Clock | None = None,
) -> BacktestResult:
    """Run and evaluate.

    Parameters
    ----------
    request : BacktestRequest
    data : ReplayData
    report : callable, optional
        Told the share done (0 to 1) and what is being done; False cancels.
    study : StudyFacts or callable, optional
        Of the study this run belongs to, or what counts the trials behind it once it has run; without, the trials of
        other runs are not known and the verdict says so.
    clock : Clock, optional
        Dates the record; wall time of this computer by default.

    Raises
    ------
    BadInput
        As `engine.simulation.backtest.run_backtest`, or several currencies.
    JobCancelled
        ``report`` said so.
    """
    report = report or _go_on
    currency = data.currency
    run = _ran(request, data, report)
    started = time.perf_counter()
    trials = study(run) if callable(study) else study or ALONE
    evaluation = _evaluated(run, EvaluationPlan(request.draws, request.seed, trials), report)
    facts = {"currency": currency, "evaluation_seconds": round(time.perf_counter() - started, 3)}
    report(1.0, "done")
    facts |= {"made_at": utc_text((clock or SystemClock()).now())} | _asked(request, data)
    return BacktestResult(run, evaluation, facts | record_of(run, evaluation))


def _ran(request: BacktestRequest, data: ReplayData, report: Report) -> BacktestRun:
    asked = request.replay
    setup = BacktestSetup(asked.config, data.series, data.funding, asked.start, asked.stop, data.fine)

    def progress(done: int, total: int) -> bool:
        share = _READING_SHARE + (_RUNNING_SHARE - _READING_SHARE) * done / max(1, total)
        return report(share, f"{done:,} of {total:,} candles")

    run = run_backtest(setup, request.engine, progress)
    if run is None or not report(_RUNNING_SHARE, "measuring, and running again at twice the costs"):
        raise JobCancelled("cancelled; there is no result")
    return run


def _evaluated(run: BacktestRun, plan: EvaluationPlan, report: Report) -> Evaluation:
    def progress(done: int, total: int) -> bool:
        share = _RUNNING_SHARE + (1.0 - _RUNNING_SHARE) * done / max(1, total)
        return report(share, "measuring, drawing luck, and running again at twice the costs")

    try:
        return evaluate(run, plan, progress)
    except EvaluationCancelled as error:
        raise JobCancelled("cancelled; there is no result") from error


def _asked(request: BacktestRequest, data: ReplayData) -> dict[str, Any]:
    """What was asked for and of what, so that it can be run again."""
    asked = request.replay.record()
    ((name, settings),) = asked["strategies"].items()
    return {
        "revision": code_revision(),
        "strategy": name,
        "settings": settings,
        "series": data.remarked(request.replay.config),
        "rejected_rows": data.rejected_rows,
        "seed": request.seed,
        "draws": request.draws,
        **{key: asked[key] for key in ("from", "to", "costs", "risk", "brake", "cash")},
    }


def counting(request: BacktestRequest, data: ReplayData, folder: Path | None) -> Counting | None:
    """What records a run by hand as a trial in a data folder and counts those before it; None without a folder."""
    return None if folder is None else by_hand(folder, request.replay.record(), data.record())


def backtest_files(
    paths: Sequence[Path], options: Mapping[str, Any], report: Report | None = None, folder: Path | None = None
) -> BacktestResult:
    """Backtest candle files without storing them.

    Parameters
    ----------
    paths : sequence of Path
        Parquet or CSV files, in any order; read with the checks of an import.
    options : mapping
        Keys of `read_backtest`, those of `engine.runtime.replay_data.read_file_facts`, ``funding`` (paths of funding
        files) or ``no_funding`` (True: perpetuals pay none), and ``detail`` (paths of files of finer candles).
    report : callable, optional
        Told share and text; False cancels.
    folder : Path, optional
        The data folder, in which the run is recorded as a trial of its strategy.

    Raises
    ------
    BadInput, CandleError
        Names what cannot be used.
    JobCancelled
        ``report`` said so.
    """
    report = report or _go_on
    require_known(options, KEYS | FACT_KEYS | {"funding", "no_funding", "detail"})
    facts = read_file_facts(options)
    request = read_backtest({key: value for key, value in options.items() if key in KEYS and value is not None})

    def watch(share: float, text: str) -> None:
        if not report(share * _READING_SHARE, text):
            raise JobCancelled("cancelled while reading the files")

    data = file_data(paths, options, facts, request.replay.stop, ImportWatch(watch))
    return backtest(request, data, report, counting(request, data, folder))
