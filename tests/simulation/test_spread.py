"""The same trials whoever runs them, also where a worker is killed in the middle."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from socket import create_server
from types import ModuleType

import pytest
from recorded_candles import made

from engine.domain.errors import BadInput, EngineError
from engine.exchanges.paper import PaperCosts
from engine.risk.limits import ALL_IN, RiskConfig
from engine.simulation import spread as spreading
from engine.simulation.backtest import BacktestEngine, BacktestSetup
from engine.simulation.replay import ReplayConfig
from engine.simulation.search_space import Bounds, space_of
from engine.simulation.spread import SpreadPlan, spread
from engine.simulation.study import FoldTask, FoldWork, StudyPlan, development_setup, run_study
from engine.simulation.study_layout import LayoutPlan, layout_of
from engine.storage.research import Trial
from engine.strategies.sma_cross import SmaCrossConfig
from engine.trading.config import BrakeMode

ROOT = Path(__file__).resolve().parents[2]
RANGES = {"fast_bars": Bounds(2, 40), "slow_bars": Bounds(50, 200)}
TRIALS = 12


@pytest.fixture(autouse=True)
def _plain_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spawned worker runs the parent's main file again; a page tested before in this process leaves its own there."""
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))


@dataclass
class Log:
    """Trials in memory."""

    rows: list[Trial] = field(default_factory=list)

    def trials(self) -> tuple[Trial, ...]:
        return tuple(self.rows)

    def add(self, trials: Sequence[Trial]) -> None:
        self.rows += trials


@cache
def plan() -> StudyPlan:
    instrument, candles = made(24 * 100, seed=3)
    risk = RiskConfig().model_copy(update=ALL_IN)
    config = ReplayConfig({"sma_cross": "{}"}, Decimal(10_000), PaperCosts.plain(Decimal(10)), risk, BrakeMode.OFF)
    setup = BacktestSetup(config, {instrument: candles})
    space = space_of(SmaCrossConfig, {}, RANGES)
    return StudyPlan(setup, BacktestEngine.KERNEL, space, {}, layout_of(setup, LayoutPlan(3)), 7)


def work() -> FoldWork:
    return FoldWork(development_setup(plan()), plan().engine)


def facts(log: Log) -> list[tuple[object, ...]]:
    return [(t.number, t.state, t.settings, t.value, t.fold_scores, t.returns.tolist()) for t in log.rows]


@cache
def alone() -> list[tuple[object, ...]]:
    log = Log()
    with spread(work(), SpreadPlan()) as runner:
        assert run_study(plan(), log, TRIALS, runner)
    return facts(log)


@dataclass
class Killer:
    """Kills a process once, when some trials are done; used as the progress of a study."""

    victim: int
    after: int = 4
    killed: bool = False

    def __call__(self, done: int, _total: int, _text: str) -> bool:
        if done >= self.after and not self.killed:
            self.killed = True
            os.kill(self.victim, signal.SIGKILL)
        return True


def test_processes_when_one_is_killed_half_way_then_the_same_trials() -> None:
    log = Log()
    with spread(work(), SpreadPlan(workers=2)) as runner:
        runner([FoldTask('{"fast_bars": 5, "slow_bars": 50}', plan().layout.folds[0])])  # both have begun
        pool = runner.__self__._pool  # type: ignore[attr-defined]
        killer = Killer(next(iter(pool._processes)))
        assert run_study(plan(), log, TRIALS, runner, killer)
    assert killer.killed
    assert facts(log) == alone()


def test_processes_when_a_run_is_refused_then_the_same_error_as_alone() -> None:
    wrong = FoldTask('{"fast_bars": 5, "slow_bars": 1}', plan().layout.folds[0])
    with spread(work(), SpreadPlan(workers=2)) as runner, pytest.raises(BadInput, match="slow_bars"):
        runner([wrong])


def test_losses_when_there_are_too_many_over_the_same_runs_then_given_up() -> None:
    spreading._lost(spreading.MOST_LOSSES - 1, OSError("gone"))
    with pytest.raises(EngineError, match="5 times in a row over the same runs"):
        spreading._lost(spreading.MOST_LOSSES, OSError("gone"))


@contextmanager
def dask(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process of Dask, and the line in which it says that it is ready."""
    command = [sys.executable, "-m", "distributed.cli." + words[0], *words[1:]]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
        try:
            assert process.stderr is not None
            ready = next(line for line in process.stderr if re.search(r"Scheduler at:|Registered to:", line))
            yield process, ready.split()[-1]
        finally:
            process.kill()


def test_cluster_when_a_worker_is_killed_half_way_then_the_same_trials(tmp_path: Path) -> None:
    common = ("--no-dashboard", "--host", "127.0.0.1")
    own = ("--no-nanny", "--nthreads", "1", "--local-directory", str(tmp_path), *common)
    with (
        dask("dask_scheduler", "--port", "0", *common) as (_, address),
        dask("dask_worker", address, *own) as (worker, _ready),
        dask("dask_worker", address, *own),
    ):
        log, killer = Log(), Killer(worker.pid)
        with spread(work(), SpreadPlan(scheduler=address)) as runner:
            assert run_study(plan(), log, TRIALS, runner, killer)
    assert killer.killed
    assert facts(log) == alone()


def test_cluster_when_nobody_answers_then_refused_with_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "CONNECT_TIMEOUT_S", 0.2)
    with closing(create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    with (
        pytest.raises(BadInput, match="no Dask scheduler answers at"),
        spread(work(), SpreadPlan(scheduler=f"tcp://127.0.0.1:{port}")),
    ):
        raise AssertionError
