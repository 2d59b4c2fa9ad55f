"""A sweep: every combination equals its own backtest, is tried once, and is judged as one of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache

import numpy as np
import pytest
from recorded_candles import made, recorded

from engine.domain.errors import BadInput
from engine.domain.market import CandleArrays
from engine.exchanges.paper import PaperCosts
from engine.quant.cscv import backtest_overfitting
from engine.risk.limits import ALL_IN, RiskConfig
from engine.simulation.backtest import BacktestEngine, BacktestSetup, run_backtest
from engine.simulation.evaluation_figures import days_of
from engine.simulation.replay import ReplayConfig
from engine.simulation.spread import SpreadPlan, spread
from engine.simulation.sweep import Combination, SweepTask, SweepWork
from engine.simulation.sweep_judgement import judge_sweep
from engine.simulation.sweep_plan import Grid, SweepPlan, checked_grid, read_grid, run_sweep, sweep_plan
from engine.storage.research import Trial, TrialState
from engine.strategies import BACKTESTS
from engine.trading.config import BrakeMode

GRID: Grid = {"fast_bars": (2, 5, 30), "slow_bars": (10, 20, 40)}


def setup(name: str = "sma_cross", candles: CandleArrays | None = None) -> BacktestSetup:
    instrument, found = recorded("BTC", 24 * 60)
    risk = RiskConfig().model_copy(update=ALL_IN if name == "sma_cross" else {})
    config = ReplayConfig({name: "{}"}, Decimal(10_000), PaperCosts.plain(Decimal(10)), risk, BrakeMode.OFF)
    return BacktestSetup(config, {instrument: found if candles is None else candles})


def plan(name: str = "sma_cross", grid: Grid = GRID, engine: BacktestEngine = BacktestEngine.KERNEL) -> SweepPlan:
    return sweep_plan(setup(name), engine, grid, {}, 1)


@dataclass
class Kept:
    """Trials in memory."""

    rows: list[Trial] = field(default_factory=list)

    def add(self, trials: Sequence[Trial]) -> None:
        self.rows += trials


def swept(given: SweepPlan, stored: Sequence[Trial] = ()) -> list[Trial]:
    kept = Kept(list(stored))
    with spread(SpreadPlan()) as team:
        assert run_sweep(given, len(stored), kept.add, team, lambda _done, _total: True)
    return kept.rows


@cache
def whole() -> tuple[Trial, ...]:
    return tuple(swept(plan()))


def backtested(given: SweepPlan, trial: Trial, engine: BacktestEngine) -> Combination:
    """The combination as a backtest of its own."""
    config = replace(given.setup.config, strategies={given.setup.strategy: given.settings(trial.settings)})
    run = run_backtest(replace(given.setup, config=config), engine)
    assert run is not None
    net, deepest = float(run.final_equity / config.cash) - 1.0, -float(run.drawdown.max())
    return Combination(len(run.trades), run.final_equity, net, trial.value or 0.0, deepest, days_of(run).returns)


@pytest.mark.parametrize("engine", BacktestEngine)
def test_sweep_when_done_then_every_combination_is_its_own_backtest(engine: BacktestEngine) -> None:
    given = plan()
    for trial in (one for one in whole() if one.state is TrialState.COMPLETE):
        expected = backtested(given, trial, engine)
        if engine is BacktestEngine.KERNEL:
            assert trial.figures == expected.figures()
            np.testing.assert_array_equal(trial.returns, expected.returns)
        else:
            assert trial.figures["trades"] == expected.trades
            assert Decimal(trial.figures["final_equity"]) == expected.final_equity
            np.testing.assert_allclose(trial.returns, expected.returns, atol=1e-9)


def test_sweep_when_the_strategy_has_stops_then_the_general_kernel_runs_each() -> None:
    given = plan("breakout", {"channel_bars": (40, 80)})
    rows = swept(given)
    assert [one.figures for one in rows] == [backtested(given, one, BacktestEngine.KERNEL).figures() for one in rows]
    assert rows[0].figures["trades"] > 0


def test_sweep_when_closes_are_off_the_grid_of_ticks_then_the_strategys_own_averages_decide() -> None:
    _, candles = recorded("BTC", 24 * 60)
    shifted = CandleArrays(
        candles.timeframe, candles.opened_at_ms, candles.open, candles.high + 1, candles.low - 1, candles.close + 0.003,
        candles.volume,
    )  # fmt: skip
    given = sweep_plan(setup(candles=shifted), BacktestEngine.KERNEL, GRID, {}, 1)
    for trial in (one for one in swept(given) if one.state is TrialState.COMPLETE):
        assert trial.figures == backtested(given, trial, BacktestEngine.KERNEL).figures()


def test_sweep_when_settings_contradict_each_other_then_told_and_not_run() -> None:
    states = {tuple(one.settings.values()): one.state for one in whole()}
    assert list(states) == [(fast, slow) for fast in GRID["fast_bars"] for slow in GRID["slow_bars"]]
    assert [pair for pair, state in states.items() if state is TrialState.REFUSED] == [(30, 10), (30, 20)]
    assert "below slow_bars" in next(one.reason for one in whole() if one.state is TrialState.REFUSED)


def test_sweep_when_begun_again_then_only_the_rest_is_run_and_all_is_equal() -> None:
    def told(rows: Sequence[Trial]) -> list[object]:
        return [(one.number, one.state, one.value, one.returns.tolist(), one.figures) for one in rows]

    assert told(swept(plan(), whole()[:4])) == told(whole())


def test_sweep_when_cancelled_then_what_was_kept_is_whole() -> None:
    kept = Kept()
    given = plan(grid={"fast_bars": tuple(range(2, 12)), "slow_bars": tuple(range(20, 40))})
    with spread(SpreadPlan()) as team:
        assert not run_sweep(given, 0, kept.add, team, lambda done, _total: done < 64)
    assert [one.number for one in kept.rows] == list(range(64))


def test_plan_when_made_then_no_candle_of_the_holdout_is_in_it_and_the_longest_lookback_is_full() -> None:
    given = plan(grid={"fast_bars": (2,), "slow_bars": (10, 300)})
    (candles,) = given.setup.series.values()
    assert int(candles.opened_at_ms[-1]) + candles.timeframe.ms == given.development.stop.timestamp() * 1000
    assert given.development.stop < given.holdout.start
    assert int(np.searchsorted(candles.opened_at_ms, given.development.start.timestamp() * 1000)) >= 299
    changed = {one: np.array(getattr(candles, one)) for one in ("open", "high", "low", "close")}
    assert changed  # the work holds these candles and none after them
    assert SweepWork(given.setup, given.engine).run(SweepTask(())) == ()


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({"fast_bars": (30,), "slow_bars": (20,)}, "no combination of the grid can be run"),
        ({"fast_bars": (2,), "slow_bars": (999,)}, "longest lookback of the grid is full"),
    ],
)
def test_plan_when_nothing_can_be_judged_then_refused(grid: Grid, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        plan(grid=grid)


@pytest.mark.parametrize(
    ("text", "words"),
    [("5:50", "is not LOW:HIGH:STEP"), ("a:b:c", "is not LOW:HIGH:STEP"), ("5:50:0", "STEP above 0"),
     ("50:5:1", "must rise"), ("0:1:0.0000001", "a sweep has 100,000 at most"), ("1:nan:1", "must rise")],
)  # fmt: skip
def test_grid_when_it_is_no_grid_then_refused(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_grid("fast_bars", text)


@pytest.mark.parametrize(
    ("grid", "fixed", "words"),
    [
        ({}, {}, "nothing to sweep"),
        ({"moon": (1,)}, {}, "there is no setting moon"),
        ({"fast_bars": (0,)}, {}, "fast_bars=0"),
        ({"fast_bars": (1,)}, {"fast_bars": 3}, "is fixed and in the grid"),
        ({"fast_bars": (1, 1)}, {}, "one of them twice"),
        ({"fast_bars": tuple(range(1, 500)), "slow_bars": tuple(range(2, 500))}, {}, "248,502 combinations"),
    ],
)
def test_grid_when_a_value_cannot_be_then_named(grid: Grid, fixed: dict[str, int], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        checked_grid(BACKTESTS["sma_cross"].config, grid, fixed)


# -- judgement -------------------------------------------------------------------------------------------------------


def test_judgement_when_pages_are_small_then_the_same_as_of_all_returns_at_once() -> None:
    run = [one for one in whole() if one.state is TrialState.COMPLETE]
    found = judge_sweep(plan(), whole(), (whole()[at : at + 2] for at in range(0, len(whole()), 2)))
    expected = backtest_overfitting(np.column_stack([one.returns for one in run]), found.blocks)
    assert found.facts.overfitting == expected.probability
    assert found.facts.trials == len(run) == 7
    assert found.best.value == max(one.value for one in run if one.value is not None)
    assert found.plateau.neighbours > 0


def test_judgement_when_there_is_one_combination_then_no_probability_but_a_reason() -> None:
    given = plan(grid={"fast_bars": (5,), "slow_bars": (20,)})
    rows = swept(given)
    found = judge_sweep(given, rows, [rows])
    assert (found.facts.trials, found.facts.overfitting, found.blocks) == (1, None, 0)
    assert "are needed" in found.overfitting_reason


def test_judgement_when_the_settings_know_nothing_then_the_best_is_overfitted() -> None:
    instrument, candles = made(24 * 150, seed=8)
    free = PaperCosts.plain(Decimal(0))
    config = ReplayConfig({"sma_cross": "{}"}, Decimal(10_000), free, RiskConfig().model_copy(update=ALL_IN),
                          BrakeMode.OFF)  # fmt: skip
    grid: Grid = {"fast_bars": tuple(range(2, 22, 2)), "slow_bars": tuple(range(24, 124, 10))}
    given = sweep_plan(BacktestSetup(config, {instrument: candles}), BacktestEngine.KERNEL, grid, {}, 1)
    rows = swept(given)
    found = judge_sweep(given, rows, [rows])
    assert found.facts.trials == 100
    assert found.facts.overfitting is not None
    assert found.facts.overfitting > 0.1
