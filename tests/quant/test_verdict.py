"""The one-line verdict: each level, what decides first, and never a promise."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.quant import cscv, overfitting, performance
from engine.quant.arrays import FloatArray
from engine.quant.resampling import Resampling, confidence_intervals
from engine.quant.verdict import Evidence, Level, Thresholds, judge

GOOD = Evidence(
    trades=250,
    days=1_200,
    trials=40,
    net_return=0.8,
    net_return_double_cost=0.3,
    deflated_sharpe=0.97,
    null_percentile=0.99,
    null_low=0.98,
    overfitting=0.04,
    minimum_track_record_days=900.0,
    sharpe=1.2,
    sharpe_low=0.31,
    sharpe_high=2.1,
    hold_net_return=0.6,
    hold_sharpe=0.9,
)


def test_verdict_when_everything_holds_then_distinguishable_with_all_reasons() -> None:
    verdict = judge(GOOD)
    assert verdict.level is Level.DISTINGUISHABLE
    assert len(verdict.reasons) == 6
    assert verdict.line == (
        "Distinguishable from luck: deflated Sharpe probability 0.97 after 40 trials; better than 99.0 % of random "
        "entries (at least 98.0 % with 95 % confidence); probability of overfitting 0.04; 1,200 days where 900 are "
        "needed; Sharpe 0.31 to 2.10 with 95 % confidence; +30.0 % at twice the costs."
    )


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"deflated_sharpe": 0.94}, "deflated Sharpe probability 0.94 after 40 trials, 0.95 is needed"),
        ({"null_percentile": 0.956, "null_low": 0.9414}, "better than 95.6 % of random entries (at least 94.1 % with"),
        ({"null_low": 0.95}, "more than 95 % with that confidence is needed"),
        ({"overfitting": 0.5}, "probability of overfitting 0.50, at most 0.10 is allowed"),
        ({"days": 800}, "only 800 days where 900 are needed"),
        ({"minimum_track_record_days": math.nan}, "no record is long enough"),
        ({"sharpe_low": -0.04, "sharpe_high": 1.34}, "its own interval includes no gain (Sharpe -0.04 to 1.34)"),
        ({"sharpe_low": 0.0}, "its own interval includes no gain (Sharpe 0.00 to 2.10)"),
        ({"deflated_sharpe": 0.94996}, "deflated Sharpe probability 0.94996 after 40 trials, 0.95 is needed"),
        ({"overfitting": 0.1004}, "probability of overfitting 0.1004, at most 0.10 is allowed"),
        ({"null_percentile": 0.97, "null_low": 0.94996}, "at least 94.996 % with 95 % confidence), more than 95 %"),
    ],
)
def test_verdict_when_one_statistic_fails_then_not_distinguishable_with_why(change: dict[str, Any], word: str) -> None:
    verdict = judge(replace(GOOD, **change))
    assert verdict.level is Level.NOT_DISTINGUISHABLE
    assert len(verdict.reasons) == 1
    assert word in verdict.line


def test_verdict_when_several_fail_then_all_are_named() -> None:
    verdict = judge(replace(GOOD, deflated_sharpe=0.5, null_low=0.5, net_return_double_cost=-0.1))
    assert verdict.level is Level.NOT_DISTINGUISHABLE
    assert len(verdict.reasons) == 2


@pytest.mark.parametrize(
    ("change", "level"),
    [
        ({"sharpe_low": -0.04}, Level.NOT_DISTINGUISHABLE),
        ({"net_return_double_cost": -0.1}, Level.FRAGILE),
        ({"overfitting": None}, Level.INCOMPLETE),
    ],
)
def test_verdict_when_one_test_is_not_passed_then_the_others_stand_apart(change: dict[str, Any], level: Level) -> None:
    verdict = judge(replace(GOOD, **change))
    assert (verdict.level, len(verdict.reasons), len(verdict.passed)) == (level, 1, 5)
    assert verdict.passed[0] == "deflated Sharpe probability 0.97 after 40 trials"
    assert not any(one in verdict.line for one in verdict.passed)


def test_verdict_when_every_test_is_passed_then_they_are_its_reasons_and_said_once() -> None:
    assert judge(GOOD).passed == ()


def test_verdict_when_trades_are_few_then_nothing_else_is_said() -> None:
    assert judge(replace(GOOD, trades=29)).line == "Too few trades to say: 29 trades; at least 30 are needed."
    assert judge(replace(GOOD, trades=1)).reasons == ("1 trade; at least 30 are needed",)
    assert judge(replace(GOOD, trades=0, net_return=-0.5)).level is Level.TOO_FEW_TRADES


@pytest.mark.parametrize("net", [0.0, -0.2])
def test_verdict_when_the_run_lost_then_said_before_statistics(net: float) -> None:
    verdict = judge(replace(GOOD, net_return=net))
    assert verdict.level is Level.LOSES
    assert "over 250 trades" in verdict.line


def test_verdict_when_twice_the_costs_take_all_then_fragile() -> None:
    verdict = judge(replace(GOOD, net_return_double_cost=-0.05))
    assert verdict.level is Level.FRAGILE
    assert verdict.line == "Does not survive twice the costs: -5.0 % at twice the costs."
    tiny = judge(replace(GOOD, net_return_double_cost=-0.0001))
    assert tiny.reasons == ("-0.01 % at twice the costs",)


def test_verdict_when_holding_did_as_well_then_no_better_than_holding() -> None:
    held = replace(GOOD, net_return=4.2, hold_net_return=4.69, sharpe=0.651, hold_sharpe=0.654)
    assert judge(held).line == "No better than holding: +420.0 % against +469.0 %, Sharpe 0.651 against 0.654."
    assert judge(replace(held, overfitting=None)).level is Level.NO_BETTER
    said = "no better than holding (+420.0 % against +469.0 %, Sharpe 0.651 against 0.654)"
    failed = judge(replace(held, sharpe_low=-0.04))
    assert (failed.level, failed.reasons[-1], len(failed.reasons)) == (Level.NOT_DISTINGUISHABLE, said, 2)
    costly = judge(replace(held, net_return_double_cost=-0.1))
    assert (costly.level, costly.reasons[-1]) == (Level.FRAGILE, said)


@pytest.mark.parametrize("change", [{"sharpe": 0.7}, {"net_return": 4.7}, {"hold_net_return": None}])
def test_verdict_when_one_figure_is_above_holding_or_holding_is_unknown_then_not_said(change: dict[str, Any]) -> None:
    held = replace(GOOD, net_return=4.2, hold_net_return=4.69, sharpe=0.651, hold_sharpe=0.654)
    assert judge(replace(held, **change)).level is Level.DISTINGUISHABLE


def test_verdict_when_a_study_tried_the_settings_then_it_is_named() -> None:
    told = judge(replace(GOOD, deflated_sharpe=0.73, overfitting=0.54, study="wide")).reasons
    assert told[0] == "deflated Sharpe probability 0.73 after 40 trials, as in study wide, 0.95 is needed"
    assert told[1] == "probability of overfitting 0.54, as in study wide, at most 0.10 is allowed"


@pytest.mark.parametrize("value", [None, math.nan])
@pytest.mark.parametrize(
    "name",
    [
        "net_return", "net_return_double_cost", "deflated_sharpe", "null_percentile", "null_low", "overfitting",
        "sharpe_low", "sharpe_high",
    ],
)  # fmt: skip
def test_verdict_when_something_is_missing_then_incomplete_and_named(name: str, value: float | None) -> None:
    verdict = judge(replace(GOOD, **cast("dict[str, Any]", {name: value})))
    assert verdict.level is Level.INCOMPLETE
    assert len(verdict.reasons) == 1
    assert "not known" in verdict.line


def test_verdict_when_the_track_record_was_not_measured_then_incomplete() -> None:
    assert judge(replace(GOOD, minimum_track_record_days=None)).level is Level.INCOMPLETE


def test_verdict_when_there_was_one_trial_then_overfitting_is_not_asked_for() -> None:
    verdict = judge(replace(GOOD, trials=1, overfitting=None))
    assert verdict.level is Level.DISTINGUISHABLE
    assert "after 1 trial;" in verdict.line
    assert "one trial, so nothing was selected" in verdict.line


def test_verdict_when_thresholds_are_stricter_then_they_decide() -> None:
    assert judge(GOOD, Thresholds(fewest_trades=300)).level is Level.TOO_FEW_TRADES
    assert judge(GOOD, Thresholds(deflated_sharpe=0.99)).level is Level.NOT_DISTINGUISHABLE


def _measured(table: FloatArray) -> Evidence:
    """Evidence on the best of many trials, each with a trade a day, as a study would gather it."""
    samples = [overfitting.sharpe_sample(column) for column in table.T]
    ratios = [sample.sharpe for sample in samples]
    best = int(np.argmax(ratios))
    interval = confidence_intervals(table[:, best], {"sharpe": performance.sharpe}, Resampling(200))["sharpe"]
    deflated = overfitting.deflated_sharpe(samples[best], len(samples), overfitting.trial_variance(ratios))
    return Evidence(
        trades=len(table),
        days=len(table),
        trials=len(samples),
        net_return=float(np.prod(1.0 + table[:, best])) - 1.0,
        net_return_double_cost=float(np.prod(0.9995 + table[:, best])) - 1.0,
        deflated_sharpe=deflated.probability,
        null_percentile=0.99,
        null_low=0.98,
        overfitting=cscv.backtest_overfitting(table, 8).probability,
        minimum_track_record_days=overfitting.minimum_track_record(samples[best]),
        sharpe_low=interval.low,
        sharpe_high=interval.high,
    )


def test_verdict_when_the_best_of_many_worthless_trials_is_judged_then_hardly_ever_believed() -> None:
    tables = [np.random.default_rng(seed).normal(0.0, 0.02, (800, 30)) for seed in range(40)]
    evidence = [_measured(table) for table in tables]
    assert min(each.net_return or 0.0 for each in evidence) > 0.2
    assert sum(judge(each).level is Level.DISTINGUISHABLE for each in evidence) <= 2


def test_verdict_when_one_trial_has_real_skill_then_believed() -> None:
    levels = []
    for seed in range(10):
        table = np.random.default_rng(seed).normal(0.0, 0.02, (800, 30))
        table[:, 7] += 0.005
        levels.append(judge(_measured(table)).level)
    assert levels.count(Level.DISTINGUISHABLE) >= 9


def test_verdict_when_trials_were_made_in_other_runs_then_the_line_says_how_many() -> None:
    told = judge(replace(GOOD, trials=1_285, other_trials=1_284)).line
    assert "after 1,285 trials (1,284 of them in other runs)" in told


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trials_unknown": "no data folder"}, "the trials of other runs are not known: no data folder"),
        ({"trials_unknown": "x", "trials": 1, "overfitting": None}, "the trials of other runs are not known: x"),
        ({"seen_days": 12, "seen_of": 290}, "seen before: 12 of 290 days, by earlier backtests"),
        (
            {"net_return_double_cost": None, "double_cost_unknown": "no costs were given"},
            "the result at twice the costs is not known: no costs were given",
        ),
    ],
)
def test_verdict_when_trials_days_or_costs_are_in_doubt_then_never_the_best_level(
    change: dict[str, Any], words: str
) -> None:
    verdict = judge(replace(GOOD, **change))
    assert (verdict.level, verdict.reasons) == (Level.INCOMPLETE, (words,))


shares = st.none() | st.floats(0.0, 1.0) | st.just(math.nan)
amounts = st.none() | st.floats(-0.9, 5.0) | st.just(math.nan)


@settings(max_examples=100, deadline=None)
@given(
    evidence=st.builds(
        Evidence,
        trades=st.integers(0, 400),
        days=st.integers(0, 3_000),
        trials=st.integers(1, 500),
        net_return=amounts,
        net_return_double_cost=amounts,
        deflated_sharpe=shares,
        null_percentile=shares,
        null_low=shares,
        overfitting=shares,
        minimum_track_record_days=st.none() | st.floats(2.0, 5_000.0) | st.just(math.nan),
        sharpe_low=amounts,
        sharpe_high=amounts,
        sharpe=amounts,
        hold_net_return=amounts,
        hold_sharpe=amounts,
    )
)
def test_verdict_when_judged_then_always_reasons_and_never_a_promise(evidence: Evidence) -> None:
    verdict = judge(evidence)
    assert verdict.reasons
    assert all(verdict.reasons)
    assert "profit" not in verdict.line
    if verdict.level is Level.DISTINGUISHABLE:
        assert evidence.trades >= 30
        assert (evidence.deflated_sharpe or 0.0) >= 0.95
        assert (evidence.net_return_double_cost or 0.0) > 0.0
        assert (evidence.sharpe_low or 0.0) > 0.0


@pytest.mark.parametrize(
    "change",
    [
        {"trades": -1},
        {"days": -1},
        {"trials": 0},
        {"deflated_sharpe": 1.1},
        {"null_percentile": 99.0},
        {"overfitting": -0.1},
        {"net_return": math.inf},
        {"minimum_track_record_days": math.inf},
        {"other_trials": 40},
        {"seen_days": 1},
    ],
)
def test_evidence_when_impossible_then_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"cannot be|probability|infinite"):
        replace(GOOD, **change)
