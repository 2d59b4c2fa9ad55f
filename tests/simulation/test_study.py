"""A study: the same seed gives the same trials however often it was stopped, and no trial sees the holdout."""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from typing import Literal

import numpy as np
import pytest
from pydantic import BaseModel, Field
from recorded_candles import HOUR, START_MS, made

from engine.domain.errors import BadInput
from engine.domain.market import CandleArrays, FloatArray, from_ms, to_ms
from engine.exchanges.paper import PaperCosts
from engine.market.checks import take
from engine.quant.overfitting import trial_variance
from engine.risk.limits import ALL_IN, RiskConfig
from engine.simulation.backtest import BacktestEngine, BacktestSetup
from engine.simulation.evaluation_figures import DAY_MS
from engine.simulation.replay import ReplayConfig
from engine.simulation.search_space import Bounds, Dimension, checked_fixed, space_of
from engine.simulation.spread import in_this_process
from engine.simulation.study import (
    FoldTask,
    FoldWork,
    StudyPlan,
    best_of,
    development_setup,
    measured,
    run_study,
    score,
)
from engine.simulation.study_judgement import judge_study
from engine.simulation.study_layout import LayoutPlan, layout_of
from engine.simulation.study_searcher import Searcher
from engine.storage.research import Trial, TrialState
from engine.strategies.breakout import BreakoutConfig
from engine.strategies.sma_cross import SmaCrossConfig
from engine.trading.config import BrakeMode

RANGES = {"fast_bars": Bounds(2, 40), "slow_bars": Bounds(20, 200)}
TRIALS = 18


@dataclass
class Log:
    """Trials in memory."""

    rows: list[Trial] = field(default_factory=list)

    def trials(self) -> tuple[Trial, ...]:
        return tuple(self.rows)

    def add(self, trials: Sequence[Trial]) -> None:
        self.rows += trials


def setup_of(candles: CandleArrays) -> BacktestSetup:
    instrument = made(2)[0]
    risk = RiskConfig().model_copy(update=ALL_IN)
    config = ReplayConfig({"sma_cross": "{}"}, Decimal(10_000), PaperCosts.plain(Decimal(10)), risk, BrakeMode.OFF)
    return BacktestSetup(config, {instrument: candles})


def plan_of(candles: CandleArrays, seed: int = 7, engine: BacktestEngine = BacktestEngine.KERNEL) -> StudyPlan:
    setup = setup_of(candles)
    return StudyPlan(setup, engine, space_of(SmaCrossConfig, {}, RANGES), {}, layout_of(setup, LayoutPlan()), seed)


@cache
def walk() -> StudyPlan:
    """200 days of a random walk."""
    return plan_of(made(24 * 200, seed=3)[1])


@cache
def whole() -> Log:
    log = Log()
    assert run_study(walk(), log, TRIALS)
    return log


def facts(log: Log) -> list[tuple[object, ...]]:
    return [(t.number, t.state, t.settings, t.value, t.fold_scores, t.returns.tolist(), t.reason) for t in log.rows]


def test_study_when_run_twice_with_one_seed_then_the_same_and_with_another_not() -> None:
    again, other = Log(), Log()
    run_study(walk(), again, TRIALS)
    run_study(replace(walk(), seed=8), other, 4)
    assert facts(again) == facts(whole())
    assert facts(other) != facts(whole())[: len(other.rows)]
    assert measured(whole().rows) == TRIALS


@pytest.mark.parametrize("kept", [1, 4, 7, 13])
def test_study_when_killed_after_some_trials_then_it_goes_on_as_if_it_was_not(kept: int) -> None:
    log = Log(whole().rows[:kept])
    run_study(walk(), log, TRIALS)
    assert facts(log) == facts(whole())


def test_study_when_extended_step_by_step_then_the_same_trials() -> None:
    log = Log()
    for trials in (1, 6, 11, TRIALS):
        run_study(walk(), log, trials)
        assert measured(log.rows) == trials
    assert facts(log) == facts(whole())


def test_study_when_cancelled_then_finished_trials_are_kept() -> None:
    log = Log()
    assert not run_study(walk(), log, TRIALS, progress=lambda done, _total, _text: done < 8)
    assert len(log.rows) >= 8
    assert facts(log) == facts(whole())[: len(log.rows)]


def test_study_when_a_run_dies_then_only_its_batch_is_done_again() -> None:
    log, runner, calls = Log(), in_this_process(FoldWork(development_setup(walk()), walk().engine)), 0

    def dying(tasks: Sequence[FoldTask]) -> Generator[FloatArray, None, None]:
        nonlocal calls
        calls += 1
        if calls == 11:
            raise KeyboardInterrupt
        return runner(tasks)

    with pytest.raises(KeyboardInterrupt):
        run_study(walk(), log, TRIALS, dying)
    assert 0 < len(log.rows) < len(whole().rows)
    run_study(walk(), log, TRIALS)
    assert facts(log) == facts(whole())


def test_trials_when_run_then_values_are_the_sharpe_of_their_own_returns_and_some_were_abandoned() -> None:
    rows, folds = whole().rows, len(walk().layout.folds)
    for row in rows:
        if row.state is TrialState.REFUSED:
            assert row.value is None
            continue
        assert row.value == score(row.returns, DAY_MS) == row.fold_scores[-1]
        assert (len(row.fold_scores) == folds) is (row.state is TrialState.COMPLETE)
    states = {row.state for row in rows}
    assert TrialState.PRUNED in states
    complete = [row for row in rows if row.state is TrialState.COMPLETE]
    best = best_of(rows)
    assert best is not None
    assert best.value == max(row.value for row in complete if row.value is not None)
    assert len({len(row.returns) for row in complete}) == 1


def test_trials_when_the_replay_runs_them_then_the_kernels_results() -> None:
    task = FoldTask('{"fast_bars": 5, "slow_bars": 20}', walk().layout.folds[0])
    kernel, replay = (FoldWork(development_setup(walk()), engine).run(task) for engine in BacktestEngine)
    np.testing.assert_allclose(kernel, replay, atol=1e-9)
    assert kernel.any()


def test_trials_when_the_holdout_is_another_then_nothing_changes() -> None:
    candles = made(24 * 200, seed=3)[1]
    seen = int(np.searchsorted(candles.opened_at_ms, to_ms(walk().layout.development.stop)))
    later = np.ones(len(candles))
    later[seen:] = 3.0
    columns = [column * later for column in (candles.open, candles.high, candles.low, candles.close)]
    log = Log()
    run_study(plan_of(CandleArrays(HOUR, candles.opened_at_ms, *[*columns, candles.volume])), log, 6)
    assert facts(log) == facts(whole())[: len(log.rows)]
    for cut in development_setup(walk()).series.values():
        assert cut.opened_at_ms[-1] + HOUR.ms == to_ms(walk().layout.development.stop)


def test_proposals_when_settings_contradict_then_refused_with_the_reason_and_not_counted() -> None:
    setup = setup_of(made(24 * 100)[1])
    space = space_of(SmaCrossConfig, {"slow_bars": 30}, {"fast_bars": Bounds(10, 50)})
    plan = StudyPlan(setup, BacktestEngine.KERNEL, space, {"slow_bars": 30}, layout_of(setup, LayoutPlan(2)), 1)
    log = Log()
    run_study(plan, log, 8)
    refused = [row for row in log.rows if row.state is TrialState.REFUSED]
    assert refused
    assert "must be below slow_bars (30)" in refused[0].reason
    assert measured(log.rows) == 8
    assert all(row.settings["fast_bars"] >= 30 for row in refused)


def test_study_when_nothing_can_be_run_then_it_gives_up_and_says_why() -> None:
    setup = setup_of(made(24 * 80)[1])
    space = space_of(SmaCrossConfig, {"fast_bars": 5}, {"slow_bars": Bounds(900, 1000)})
    plan = StudyPlan(setup, BacktestEngine.KERNEL, space, {"fast_bars": 5}, layout_of(setup, LayoutPlan(2)), 1)
    with pytest.raises(BadInput, match=r"0 could; the last: it needs 9\d\d candles before its first signal, \d+ lie"):
        run_study(plan, Log(), 1)


def test_layout_when_cut_then_folds_gaps_and_holdout_lie_apart_in_order() -> None:
    layout = walk().layout
    assert to_ms(layout.folds[0].start) > START_MS
    day = DAY_MS
    for before, after in zip(layout.folds, layout.folds[1:], strict=False):
        assert to_ms(after.start) - to_ms(before.stop) == day
        assert before.stop - before.start == after.stop - after.start
    assert to_ms(layout.holdout.start) - to_ms(layout.development.stop) >= day
    assert to_ms(layout.holdout.stop) - to_ms(layout.holdout.start) == 40 * day
    assert to_ms(layout.holdout.stop) == START_MS + 200 * day


@pytest.mark.parametrize(
    ("plan", "days", "reason"),
    [
        (LayoutPlan(), 60, "60 whole days are too few: 4 folds and a holdout of 20% need 55 days"),
        (LayoutPlan(), 1, "whole days are too few"),
    ],
)
def test_layout_when_days_are_too_few_then_refused(plan: LayoutPlan, days: int, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        layout_of(setup_of(made(24 * days)[1]), plan)


def test_layout_when_a_fold_lies_within_a_gap_then_refused_with_both_named() -> None:
    candles = made(24 * 400)[1]
    days = (candles.opened_at_ms - START_MS) // DAY_MS
    holed = take(candles, (days < 118) | (days >= 196))
    with pytest.raises(
        BadInput, match=r"fold \d of 4 .* holds no candle: .* 2023-04-28T23.* and 2023-07-16T00.*--from"
    ):
        layout_of(setup_of(holed), LayoutPlan())
    late = take(candles, (days < 310) | (days >= 399))
    with pytest.raises(BadInput, match=r"the holdout .* holds no candle"):
        layout_of(replace(setup_of(late), stop=from_ms(START_MS + 399 * DAY_MS)), LayoutPlan())


@pytest.mark.parametrize("wrong", [{"folds": 1}, {"folds": 51}, {"embargo_days": 0}, {"holdout_share": 1.0}])
def test_layout_plan_when_out_of_bounds_then_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        LayoutPlan(**wrong)


class Odd(BaseModel):
    """Settings of every kind."""

    ratio: float = Field(1.0, gt=0.0, le=10.0)
    count: int = Field(3, gt=2, lt=10)
    mode: Literal["a", "b"] = "a"
    loud: bool = False
    text: str = ""
    free: int = 3


def test_space_when_read_from_settings_then_bounds_steps_and_choices() -> None:
    assert space_of(Odd, {"text": "x", "free": 1}) == (
        Dimension("ratio", 0.01, 10.0, whole=False),
        Dimension("count", 3, 9, whole=True),
        Dimension("mode", 0.0, 1.0, whole=True, choices=("a", "b")),
        Dimension("loud", 0.0, 1.0, whole=True, choices=(False, True)),
    )
    wide = {one.name: one for one in space_of(BreakoutConfig, {})}
    assert wide["channel_bars"] == Dimension("channel_bars", 5, 1000, whole=True, logarithmic=True)
    assert wide["atr_period_bars"] == Dimension("atr_period_bars", 2, 50, whole=True)
    assert "max_hold_bars" in wide


@pytest.mark.parametrize(
    ("fixed", "ranges", "reason"),
    [
        ({"moon": 1}, {}, "no setting moon"),
        ({}, {"moon": Bounds(1, 2)}, "no setting moon"),
        ({"text": "x", "free": 1, "count": 4}, {"count": Bounds(3, 4)}, "count is fixed and has a range"),
        ({"free": 1}, {}, "text is no number"),
        ({"text": ""}, {}, "free has no bounds"),
        ({"text": "", "free": 1}, {"ratio": Bounds(5, 2)}, "must rise and lie within 0.01 to 10"),
        ({"text": "", "free": 1}, {"count": Bounds(3, 99)}, "must rise and lie within 3 to 9"),
        ({"text": "", "free": 1}, {"count": Bounds(3.5, 5)}, "must have whole ends"),
        ({"text": "", "free": 1}, {"mode": Bounds(0, 1)}, "mode has no range; its values are a, b"),
    ],
)
def test_space_when_asked_wrongly_then_refused(
    fixed: dict[str, object], ranges: dict[str, Bounds], reason: str
) -> None:
    with pytest.raises(BadInput, match=reason):
        space_of(Odd, fixed, ranges)


def test_space_when_everything_is_fixed_then_nothing_to_search() -> None:
    with pytest.raises(BadInput, match="nothing to search"):
        space_of(SmaCrossConfig, {"fast_bars": 1, "slow_bars": 2})


def test_fixed_when_checked_then_each_alone_against_its_bounds() -> None:
    assert checked_fixed(SmaCrossConfig, {"slow_bars": 10}) == {"slow_bars": 10}
    with pytest.raises(BadInput, match="slow_bars=0: Input should be greater than or equal to 2"):
        checked_fixed(SmaCrossConfig, {"slow_bars": 0})
    with pytest.raises(BadInput, match="fast_bars=x"):
        checked_fixed(SmaCrossConfig, {"fast_bars": "x"})
    with pytest.raises(BadInput, match="no setting moon; there are fast_bars, slow_bars"):
        checked_fixed(SmaCrossConfig, {"moon": 0})


def test_searcher_when_a_hill_is_searched_then_it_climbs_better_than_its_random_start() -> None:
    space = (Dimension("x", 0.0, 1.0, whole=False), Dimension("y", 1, 1000, whole=True, logarithmic=True))
    searcher, values = Searcher(space, 5), []
    for first in range(0, 60, 4):
        trials = []
        for one in searcher.ask(first, 4):
            x, y = float(one.settings["x"]), float(one.settings["y"])
            value = -((x - 0.3) ** 2) - (math.log10(y) - 2.0) ** 2
            trials.append(Trial(one.number, TrialState.COMPLETE, one.settings, value, (value,), np.empty(0)))
            values.append(value)
        searcher.tell(trials)
    assert np.median(values[-20:]) > np.median(values[:10])
    assert max(values) > -0.05


def synthetic(returns: FloatArray, pruned: Sequence[int] = ()) -> list[Trial]:
    trials = []
    for number, column in enumerate(returns.T):
        state = TrialState.PRUNED if number in pruned else TrialState.COMPLETE
        quarter = len(column) // 4
        folds = 1 if number in pruned else 4
        scores = tuple(score(column[: quarter * fold], DAY_MS) for fold in range(1, folds + 1))
        settings = {"fast_bars": 5 + number, "slow_bars": 100}
        trials.append(Trial(number, state, settings, scores[-1], scores, column[: quarter * folds]))
    return trials


def test_judgement_when_trials_are_worthless_then_overfitting_is_about_a_half_and_choosing_gives_nothing() -> None:
    rng = np.random.default_rng(1)
    found = judge_study(walk(), synthetic(rng.normal(0, 0.01, (400, 30))))
    assert found.facts.overfitting is not None
    assert found.facts.overfitting > 0.2
    assert found.facts.trials == 30
    assert found.selection.k_fold is not None
    best = found.best
    assert best is not None
    assert best.value is not None
    assert found.selection.k_fold < best.value
    assert len(found.selection.paths) == 5
    assert len(found.selection.walk_forward) == 3


def test_judgement_when_one_trial_is_truly_better_then_it_is_chosen_everywhere() -> None:
    rng = np.random.default_rng(2)
    returns = rng.normal(0, 0.01, (400, 10))
    returns[:, 4] += 0.005
    found = judge_study(walk(), synthetic(returns))
    assert found.best is not None
    assert found.best.number == 4
    assert found.facts.overfitting == 0.0
    assert found.selection.k_fold == pytest.approx(found.best.value)
    for path in found.selection.paths:
        assert path == pytest.approx(found.best.value)


def test_judgement_when_trials_were_abandoned_then_they_count_in_trials_and_variance() -> None:
    rng = np.random.default_rng(3)
    trials = synthetic(rng.normal(0, 0.01, (400, 8)), pruned=(1, 6))
    refused = Trial(8, TrialState.REFUSED, {"fast_bars": 300, "slow_bars": 100}, None, (), np.empty(0), "no")
    found = judge_study(walk(), [*trials, refused])
    assert found.facts.trials == 8
    complete = np.mean([one.fold_scores for one in trials if len(one.fold_scores) == 4], axis=0)
    yearly = [one.fold_scores[-1] + complete[3] - complete[len(one.fold_scores) - 1] for one in trials]
    assert found.facts.sharpe_variance == pytest.approx(trial_variance(np.array(yearly) / math.sqrt(365)))


def test_judgement_when_the_first_fold_was_easy_for_all_then_an_abandoned_neighbour_is_no_better_than_it_was() -> None:
    rng = np.random.default_rng(5)
    returns = rng.normal(0, 0.01, (400, 12)) + np.where(np.arange(400) < 100, 0.01, 0.0)[:, None]
    returns[:, 5] += 0.004
    trials = synthetic(returns, pruned=(4,))
    found = judge_study(walk(), trials)
    assert found.best is not None
    assert found.best.number == 5
    assert trials[4].fold_scores[-1] > trials[5].fold_scores[-1]
    assert found.plateau is not None
    assert found.plateau.worst_share < 1.0
    assert found.facts.sharpe_variance < 0.05


def test_judgement_when_a_single_trial_then_unknown_with_the_reason() -> None:
    found = judge_study(walk(), synthetic(np.random.default_rng(4).normal(0, 0.01, (400, 1))))
    assert found.facts.overfitting is None
    assert "1 complete trials" in found.overfitting_reason
    assert found.selection.reason
    assert found.plateau is not None
    assert found.plateau.neighbours == 0
    assert judge_study(walk(), []).best is None


def test_settings_when_contradictory_then_told_in_words() -> None:
    with pytest.raises(BadInput, match=r"fast_bars \(9\) must be below slow_bars \(3\)"):
        walk().settings({"fast_bars": 9, "slow_bars": 3})
    assert json.loads(walk().settings({"fast_bars": 3, "slow_bars": 9})) == {"fast_bars": 3, "slow_bars": 9}
