"""The same trials, combinations and choices whoever makes them, also where a worker is killed in the middle."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from socket import create_server
from typing import Any

import numpy as np
import pytest
from dask_cluster import Cluster, Killer, cluster
from recorded_candles import made

from engine.domain.errors import BadInput, EngineError
from engine.domain.market import FloatArray
from engine.exchanges.paper import PaperCosts
from engine.quant.validation import Split, combinatorial_purged, label_spans
from engine.risk.limits import ALL_IN, RiskConfig
from engine.simulation import spread as spreading
from engine.simulation.backtest import BacktestEngine, BacktestSetup
from engine.simulation.replay import ReplayConfig
from engine.simulation.search_space import Bounds, space_of
from engine.simulation.spread import SpreadPlan, Team, spread
from engine.simulation.study import FoldTask, FoldWork, StudyPlan, development_setup, run_study
from engine.simulation.study_judgement import judge_study
from engine.simulation.study_layout import LayoutPlan, layout_of
from engine.simulation.study_selection import SelectionWork
from engine.simulation.sweep_plan import SweepPlan, run_sweep, sweep_plan
from engine.storage.research import Trial
from engine.strategies.sma_cross import SmaCrossConfig
from engine.trading.config import BrakeMode

RANGES = {"fast_bars": Bounds(2, 40), "slow_bars": Bounds(50, 200)}
TRIALS = 12


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One cluster for all tests of this file."""
    with cluster(tmp_path_factory.mktemp("dask")) as found:
        yield found


@dataclass
class Log:
    """Trials in memory."""

    rows: list[Trial] = field(default_factory=list)

    def trials(self) -> tuple[Trial, ...]:
        return tuple(self.rows)

    def add(self, trials: Sequence[Trial]) -> None:
        self.rows += trials


def setup(strategy: str = "sma_cross", days: int = 100) -> BacktestSetup:
    instrument, candles = made(24 * days, seed=3)
    risk = RiskConfig().model_copy(update=ALL_IN if strategy == "sma_cross" else {})
    config = ReplayConfig({strategy: "{}"}, Decimal(10_000), PaperCosts.plain(Decimal(10)), risk, BrakeMode.OFF)
    return BacktestSetup(config, {instrument: candles})


@cache
def plan() -> StudyPlan:
    given = setup()
    space = space_of(SmaCrossConfig, {}, RANGES)
    return StudyPlan(given, BacktestEngine.KERNEL, space, {}, layout_of(given, LayoutPlan(3)), 7)


def work() -> FoldWork:
    return FoldWork(development_setup(plan()), plan().engine)


def facts(log: Log) -> list[tuple[object, ...]]:
    return [(t.number, t.state, t.settings, t.value, t.fold_scores, t.returns.tolist(), t.figures) for t in log.rows]


@cache
def alone() -> Log:
    log = Log()
    with spread(SpreadPlan()) as team:
        assert run_study(plan(), log, TRIALS, team.runner(work()))
    return log


@dataclass
class PoolKiller:
    """Kills a process of the pool once, when some of the work is done."""

    team: Any
    after: int
    killed: bool = False

    def __call__(self, done: int, *_more: object) -> bool:
        if done >= self.after and not self.killed:
            self.killed = True
            os.kill(next(iter(self.team.pool._processes)), signal.SIGKILL)
        return True


# -- a study's trials ------------------------------------------------------------------------------------------------


def test_processes_when_one_is_killed_half_way_then_the_same_trials_combinations_and_refusals() -> None:
    log, swept, wrong = Log(), Log(), FoldTask('{"fast_bars": 5, "slow_bars": 1}', plan().layout.folds[0])
    with spread(SpreadPlan(workers=2)) as team:
        killer = PoolKiller(team, 4)
        assert run_study(plan(), log, TRIALS, team.runner(work()), killer)
        again = PoolKiller(team, 64)
        assert run_sweep(grid(), 0, swept.add, team, again)
        with pytest.raises(BadInput, match="slow_bars"):
            list(team.runner(work())([wrong]))
    assert killer.killed
    assert again.killed
    assert facts(log) == facts(alone())
    assert facts(swept) == facts(swept_alone())


def test_losses_when_there_are_too_many_over_the_same_runs_then_given_up() -> None:
    spreading._lost(spreading.MOST_LOSSES - 1, OSError("gone"))
    with pytest.raises(EngineError, match="5 times in a row over the same runs"):
        spreading._lost(spreading.MOST_LOSSES, OSError("gone"))


def test_cluster_when_a_worker_is_killed_half_way_then_the_same_trials(machines: Cluster) -> None:
    machines.complete()
    log, killer = Log(), Killer(machines.workers[0], 4)
    with spread(SpreadPlan(scheduler=machines.address)) as team:
        assert run_study(plan(), log, TRIALS, team.runner(work()), killer)
    assert killer.killed
    assert facts(log) == facts(alone())


class OneWorker:
    """A client whose only worker runs in this process."""

    def scatter(self, work: object, **_options: object) -> object:
        return work

    def submit(self, run: Any, *arguments: object, **_options: object) -> Any:
        answer: Future[Any] = Future()
        answer.set_result(run(*arguments))
        return answer


class Doubling:
    """Work of one line."""

    def run(self, task: int) -> int:
        return 2 * task


def test_cluster_when_a_worker_has_other_code_then_its_results_are_refused() -> None:
    revisions = iter(["ours", "ours", "theirs"])
    sent = spreading._Sent(OneWorker(), Doubling(), lambda: next(revisions)).each([3, 4])
    assert next(sent) == 6
    with pytest.raises(EngineError, match=r"runs other code \(theirs\) than this program \(ours\)"):
        next(sent)
    assert list(spreading._Sent(OneWorker(), Doubling(), None).each([3, 4])) == [6, 8]


def test_cluster_when_nobody_answers_then_refused_with_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "CONNECT_TIMEOUT_S", 0.2)
    with closing(create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    with (
        pytest.raises(BadInput, match="no Dask scheduler answers at"),
        spread(SpreadPlan(scheduler=f"tcp://127.0.0.1:{port}")),
    ):
        raise AssertionError


# -- a sweep's combinations ------------------------------------------------------------------------------------------


@cache
def grid() -> SweepPlan:
    values = {"fast_bars": tuple(range(2, 62, 2)), "slow_bars": tuple(range(20, 140, 10))}
    return sweep_plan(setup(), BacktestEngine.KERNEL, values, {}, 1)


@cache
def swept_alone() -> Log:
    log = Log()
    with spread(SpreadPlan()) as team:
        assert run_sweep(grid(), 0, log.add, team, lambda _done, _total: True)
    return log


def test_cluster_when_a_worker_is_killed_in_a_sweep_then_the_same_combinations(machines: Cluster) -> None:
    machines.complete()
    log, killer = Log(), Killer(machines.workers[0], 64)
    with spread(SpreadPlan(scheduler=machines.address)) as team:
        assert run_sweep(grid(), 0, log.add, team, killer)
    assert killer.killed
    assert len(log.rows) == grid().count == 360
    assert facts(log) == facts(swept_alone())


# -- cross-validation ------------------------------------------------------------------------------------------------


def chosen(team: Team, table: FloatArray, splits: Sequence[Split], killer: Killer | None = None) -> list[int]:
    columns = []
    for column in team.runner(SelectionWork(table))(splits):
        columns.append(column)
        if killer is not None:
            killer(len(columns))
    return columns


def test_cluster_when_a_worker_is_killed_in_a_cross_validation_then_the_same_choices(machines: Cluster) -> None:
    machines.complete()
    table = np.random.default_rng(1).normal(0.0, 0.01, (600, 200))
    splits = combinatorial_purged(label_spans(600, 1), 10, 2, 1).splits
    with spread(SpreadPlan()) as team:
        expected = chosen(team, table, splits)
    killer = Killer(machines.workers[0], 5)
    with spread(SpreadPlan(scheduler=machines.address)) as team:
        assert chosen(team, table, splits, killer) == expected
        assert judge_study(plan(), alone().rows, team).selection == judge_study(plan(), alone().rows).selection
    assert killer.killed
    assert len(set(expected)) > 1
