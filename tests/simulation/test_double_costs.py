"""The run at twice the costs is a run of its own: the brake may end it on another day."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from recorded_candles import recorded

from engine.exchanges.paper import PaperCosts
from engine.simulation.backtest import BacktestEngine, BacktestRun, BacktestSetup, run_backtest
from engine.simulation.evaluation import at_double_costs
from engine.simulation.evaluation_figures import days_of, lived
from engine.simulation.replay import ReplayConfig
from engine.trading.config import BrakeMode

END = datetime(2022, 1, 1, tzinfo=UTC)


def run(fee_bps: int, brake: BrakeMode = BrakeMode.LATCH) -> BacktestRun:
    instrument, candles = recorded("BTC")
    costs = PaperCosts.plain(Decimal(fee_bps))
    config = ReplayConfig({"momentum": "{}"}, Decimal(10_000), costs)
    told = run_backtest(
        BacktestSetup(replace(config, brake=brake), {instrument: candles}, stop=END), BacktestEngine.KERNEL
    )
    assert told is not None
    return told


def test_double_costs_when_the_brake_ends_that_run_on_another_day_then_its_own_day_and_days() -> None:
    once, twice = run(10), run(20)
    found = at_double_costs(once)
    assert once.stopped_at != twice.stopped_at
    assert found.stopped_at == twice.stopped_at
    assert found.days_lived == len(lived(twice, days_of(twice)).returns) < len(lived(once, days_of(once)).returns)


def test_double_costs_when_nothing_stops_it_then_every_day_and_no_time() -> None:
    once = run(10, BrakeMode.OFF)
    found = at_double_costs(once)
    assert (found.stopped_at, found.days_lived) == (None, len(days_of(once).returns))


def test_double_costs_when_nothing_was_paid_then_its_end_is_told_all_the_same() -> None:
    free = run(0)
    found = at_double_costs(free)
    assert (found.net_return.value, found.stopped_at) == (None, free.stopped_at)
