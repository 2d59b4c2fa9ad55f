"""A request is checked value by value, and a run becomes one record that can be stored and drawn."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from recorded_candles import made

from engine.domain.errors import BadInput
from engine.runtime.backtests import BacktestResult, backtest, read_backtest
from engine.runtime.job_files import JobCancelled
from engine.runtime.replay_data import ReplayData
from engine.simulation.backtest import BacktestEngine
from engine.simulation.evaluation_luck import StudyFacts
from engine.trading.config import BrakeMode

ASKED = {"strategy": "breakout", "draws": 100}


def result(asked: dict[str, Any] | None = None, study: StudyFacts | None = None, bars: int = 1_500) -> BacktestResult:
    instrument, candles = made(bars, seed=5)
    return backtest(read_backtest(asked or ASKED), ReplayData({instrument: candles}), study=study)


def test_request_when_little_is_said_then_kernel_default_costs_and_a_brake() -> None:
    request = read_backtest({"strategy": "momentum"})
    assert (request.engine, request.seed, request.draws) == (BacktestEngine.KERNEL, 0, 1_000)
    assert request.replay.config.brake is BrakeMode.LATCH
    assert list(request.replay.config.strategies) == ["momentum"]


def test_request_when_the_strategy_is_a_reference_then_no_brake_unless_asked_for() -> None:
    assert read_backtest({"strategy": "sma_cross"}).replay.config.brake is BrakeMode.OFF
    assert read_backtest({"strategy": "sma_cross", "brake": "latch"}).replay.config.brake is BrakeMode.LATCH


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "strategy None is not a strategy's name"),
        ({"strategy": ["momentum"]}, "is not a strategy's name"),
        ({"strategy": "momentum", "strategies": ["breakout"]}, "has no strategies"),
        ({"strategy": "momentum", "engine": "abacus"}, "engine 'abacus' is not kernel or replay"),
        ({"strategy": "momentum", "seed": -1}, "seed -1 is not a whole number from 0"),
        ({"strategy": "momentum", "seed": True}, "seed True"),
        ({"strategy": "momentum", "draws": 99}, "draws 99 is not a whole number from 100"),
        ({"strategy": "momentum", "draws": 1.5}, "draws 1.5"),
        ({"strategy": "momentum", "cash": "-1"}, "cash -1 must be above 0"),
        ({"strategy": "momentum", "settings": {"moon": 1}}, "moon"),
    ],
)
def test_request_when_a_value_is_wrong_then_named(values: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_backtest(values)


def test_record_when_written_as_json_then_it_holds_no_nan_and_reads_back_equal() -> None:
    for asked in (ASKED, {**ASKED, "strategy": "momentum"}):
        record = result(asked).record
        assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_record_when_trades_are_added_up_then_final_equity_less_cash() -> None:
    record = result().record
    results = [Decimal(trade["pnl"]) for name in ("trades", "open_trades") for trade in record[name]]
    assert sum(results, Decimal(record["cash"])) == pytest.approx(Decimal(record["final_equity"]), abs=Decimal("1E-6"))
    assert sum(row["trades"] for row in record["exit_reasons"]) == len(record["trades"])
    fees = sum((Decimal(trade["fees"]) for name in ("trades", "open_trades") for trade in record[name]), Decimal(0))
    assert fees == Decimal(record["costs_paid"]["fees"]) == Decimal(record["fees"])


def test_record_when_the_study_had_trials_then_they_stand_in_it() -> None:
    over = result(study=StudyFacts(trials=50, sharpe_variance=0.002, overfitting=0.3)).record["overfitting"]
    assert (over["trials"], over["pbo"]) == (50, 0.3)
    assert 0.0 <= over["deflated_sharpe"] <= 1.0


def test_curve_when_thinned_then_its_samples_are_true_and_its_drawdown_at_most_0() -> None:
    told = result()
    at_ms, equity, drawdown, hold = told.curve(200)
    assert len(at_ms) == len(equity) == len(drawdown) == len(hold) <= 200
    rows = np.searchsorted(told.run.at_ms, at_ms)
    np.testing.assert_array_equal(equity, told.run.equity[rows])
    np.testing.assert_array_equal(hold, told.evaluation.hold[rows])
    assert drawdown.max() <= 0.0
    assert drawdown.min() == -told.run.drawdown.max()
    assert len(told.curve()[0]) == len(told.run.at_ms)


@pytest.mark.parametrize("engine", ["kernel", "replay"])
@pytest.mark.parametrize("at", [0, 2])
def test_backtest_when_cancelled_then_no_result(engine: str, at: int) -> None:
    instrument, candles = made(1_500)
    told: list[float] = []

    def report(share: float, text: str) -> bool:
        told.append(share)
        return len(told) <= at

    with pytest.raises(JobCancelled):
        backtest(read_backtest({**ASKED, "engine": engine}), ReplayData({instrument: candles}), report)
    assert told == sorted(told)


@pytest.mark.parametrize("engine", ["kernel", "replay"])
@pytest.mark.parametrize("share", [0.61, 0.75])
def test_backtest_when_cancelled_while_it_is_evaluated_then_it_ends_at_the_next_draw(engine: str, share: float) -> None:
    instrument, candles = made(1_500, seed=5)
    told: list[float] = []

    def report(done: float, _text: str) -> bool:
        told.append(done)
        return done < share

    with pytest.raises(JobCancelled, match="no result"):
        backtest(read_backtest({**ASKED, "engine": engine, "draws": 1_000}), ReplayData({instrument: candles}), report)
    assert told == sorted(told)
    assert [one >= share for one in told].count(True) == 1, "nobody is asked again once somebody has said no"


def test_backtest_when_evaluated_then_whoever_waits_is_asked_at_every_draw() -> None:
    instrument, candles = made(1_500, seed=5)
    told: list[float] = []

    def report(done: float, _text: str) -> bool:
        told.append(done)
        return True

    backtest(read_backtest({**ASKED, "draws": 500}), ReplayData({instrument: candles}), report)
    assert told == sorted(told)
    assert sum(one > 0.6 for one in told) >= 3 * 500
    assert told[-1] == 1.0


def test_record_when_no_costs_were_given_then_twice_the_costs_is_not_measured_and_says_so() -> None:
    record = result({**ASKED, "costs": "plain", "fee_bps": "0", "slippage_bps": "0"}).record
    double = record["double_costs"]
    assert (double["final_equity"], double["net_return"], double["sharpe"]) == (None, None, None)
    assert double["reason"] == "no costs were given"


@pytest.mark.parametrize("brake", ["latch", "off"])
def test_record_when_the_run_lives_other_days_at_twice_the_costs_then_date_and_days_are_told(brake: str) -> None:
    record = result({**ASKED, "brake": brake, "costs": "plain", "fee_bps": "60"}, bars=4_000).record
    double = record["double_costs"]
    if brake == "off":
        assert (double["stopped_at"], double["stop_reason"], double["days"]["line"]) == (None, "", "")
        assert double["days"]["lived"] == record["days"]["lived"]
        return
    lived, asked = double["days"]["lived"], double["days"]["asked"]
    assert lived < record["days"]["lived"]
    assert double["stop_reason"].startswith("emergency brake: the drawdown reached")
    assert double["days"]["line"] == (
        f"at twice the costs the brake stopped it on {double['stopped_at'][:10]} after {lived:,} of {asked:,} days; "
        "the figures are of these days"
    )


def test_record_when_the_draws_are_few_then_the_share_of_random_entries_has_its_interval() -> None:
    null = result().record["null"]
    assert null["low"] < null["percentile"] < null["high"]
