"""Market impact in the kernel is that of the simulated venue, to the tick; and what is told of it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_cases import Cases
from kernel_twin import candles_of, difference, kernel_of, replay_of, request_with
from recorded_candles import made

from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument, Kind
from engine.exchanges.paper import PaperCosts
from engine.quant.candle_impact import candle_impact, candle_volatility
from engine.risk.limits import ALL_IN, RiskConfig
from engine.simulation.backtest import BacktestEngine, BacktestRun, BacktestSetup, run_backtest
from engine.simulation.costs_in_prices import mean_impact
from engine.simulation.evaluation import doubled
from engine.simulation.evaluation_luck import random_entries
from engine.simulation.evaluation_market import hold_curve
from engine.simulation.kernel_request import KernelRequest, View
from engine.simulation.replay import ReplayConfig
from engine.trading.config import BrakeMode

SPOT = Instrument("aa", "BTC", "USDT", Kind.SPOT, Decimal("0.1"), Decimal("0.001"), Decimal(5))
IMPACTS = ("1", "0.3", "2.5", "10")
SMALL = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)


def _with_impact(request: KernelRequest, impact: str) -> KernelRequest:
    return replace(request, costs=request.costs.model_copy(update={"impact": Decimal(impact)}))


@SMALL
@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from(IMPACTS))
def test_run_when_size_moves_the_price_then_the_fills_of_the_replay(seed: int, many: bool, impact: str) -> None:
    request = _with_impact(Cases(seed, many=many).request(), impact)
    try:
        ours = kernel_of(request)
    except BadInput as error:
        assert "funding rate" in str(error)  # noqa: PT017 -- random stamps may leave a hole at the end
        return
    assert difference(ours, replay_of(request)) == ""


def _request(costs: PaperCosts) -> KernelRequest:
    """Ten coins bought in a candle of 1,000 with a range of 6, sold in the next."""
    candles = candles_of([(100.0, 101.0, 99.0, 100.0, 1e3)] + [(100.0, 103.0, 97.0, 100.0, 1e3)] * 2)
    view = View(np.array([1.0, 0.0, np.nan]), np.full(3, 10.0))
    return request_with({SPOT: candles}, {"momentum": {SPOT.key: view}}, costs=costs)


def test_entry_and_exit_when_a_hundredth_of_the_volume_then_a_tenth_of_the_volatility_each() -> None:
    result = kernel_of(_request(PaperCosts.plain(Decimal(0)).model_copy(update={"impact": Decimal(1)})))
    # 3.6034 % a tenth: 100.3603 up, and for 10 coins of 100 the same down: 99.6397
    assert [int(price) for price in result.fills["price"]] == [1004, 996]


def test_request_when_spread_is_finer_than_the_steps_of_impact_then_refused() -> None:
    fine = PaperCosts.plain(Decimal(0), Decimal("0.00001"))
    kernel_of(_request(fine))
    with pytest.raises(BadInput, match=r"finer than 0\.0001 basis points"):
        kernel_of(_request(fine.model_copy(update={"impact": Decimal(1)})))


def _crossed(impact: str, cash: int = 10_000_000) -> BacktestRun:
    instrument, candles = made(1_000)
    config = ReplayConfig(
        {"sma_cross": '{"fast_bars": 5, "slow_bars": 20}'}, Decimal(cash),
        PaperCosts.plain(Decimal(10)).model_copy(update={"impact": Decimal(impact)}),
        RiskConfig().model_copy(update=ALL_IN), BrakeMode.OFF,
    )  # fmt: skip
    found = run_backtest(BacktestSetup(config, {instrument: candles}), BacktestEngine.KERNEL)
    assert found is not None
    return found


def test_costs_when_impact_is_paid_then_counted_fill_by_fill() -> None:
    run = _crossed("1", 20_000)  # small enough that the balance hardly cuts an order
    (series,) = run.series
    paid = 0.0
    for fill in run.fills:
        row = int(np.searchsorted(series.closed_ms(), fill.at_ms))
        open_, high, low, volume = (getattr(series.candles, name)[row] for name in ("open", "high", "low", "volume"))
        share = candle_impact(1.0, candle_volatility(open_, high, low), float(fill.quantity), volume) * 1e-8
        assert float(fill.price) == pytest.approx(open_ * (1 + fill.side.sign * share), abs=0.1)
        paid += float(fill.quantity) * open_ * share
    assert float(run.costs.spread_and_slippage) == pytest.approx(paid, rel=1e-2)
    assert paid > 0
    assert _crossed("0").costs.spread_and_slippage == 0


def test_comparisons_when_impact_is_set_then_they_pay_it_too() -> None:
    with_impact, without = _crossed("1"), _crossed("0")
    (series,) = with_impact.series
    costs = with_impact.setup.config.costs
    assert hold_curve(with_impact)[0] < hold_curve(without)[0]
    assert 0 < mean_impact(costs, series, with_impact.fills) < 1
    drawn, free = (np.mean(random_entries(run, 100, 0).draws) for run in (with_impact, without))
    assert drawn < free
    assert doubled(costs).impact == 2
