"""All in or out of one instrument: the pass over the changes against the loop over every bar, bit by bit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_candles import HOUR, START_MS, recorded

from engine.domain.instruments import Instrument, Kind
from engine.domain.market import CandleArrays
from engine.exchanges.paper import PaperCosts
from engine.risk.limits import ALL_IN, RiskConfig
from engine.simulation import backtest_engines
from engine.simulation.backtest import BacktestEngine, BacktestRun, BacktestSetup, run_backtest
from engine.simulation.kernel_all_in import ORDINARY, all_in_of, changes_of, run_fills, wishes_of
from engine.simulation.kernel_request import KernelRequest
from engine.simulation.replay import ReplayConfig
from engine.trading.config import BrakeMode

COIN = Instrument("binance", "BTC", "USDT", Kind.SPOT, Decimal("0.01"), Decimal("0.001"), Decimal(5))
ALL_IN_RISK = RiskConfig().model_copy(update=ALL_IN)
PLAIN = PaperCosts.plain(Decimal(10))


def walk(seed: int, bars: int, move: float, gaps: float) -> CandleArrays:
    """Hourly candles whose opens jump away from the close before by up to ``gaps``."""
    random = np.random.default_rng(seed)
    close = np.maximum(100.0 * np.exp(np.cumsum(random.normal(0.0, move, bars))), 0.5)
    first = np.append(100.0, close[:-1]) * np.exp(random.uniform(-gaps, gaps, bars))
    high, low = np.maximum(first, close), np.minimum(first, close)
    opened = START_MS + HOUR.ms * np.arange(bars, dtype=np.int64)
    columns = [np.maximum(np.round(column, 2), 0.01) for column in (first, high, low, close)]
    return CandleArrays(HOUR, opened, *columns, np.full(bars, 1e6))


def setup_of(candles: CandleArrays, fast: int, slow: int, **changed: Any) -> BacktestSetup:
    values = f'{{"fast_bars": {fast}, "slow_bars": {slow}}}'
    costs, cash = changed.get("costs", PLAIN), Decimal(changed.get("cash", "10000"))
    config = ReplayConfig({"sma_cross": values}, cash, costs, ALL_IN_RISK, changed.get("brake", BrakeMode.OFF))
    return BacktestSetup(config, {changed.get("instrument", COIN): candles})


def run(setup: BacktestSetup) -> BacktestRun:
    found = run_backtest(setup, BacktestEngine.KERNEL)
    assert found is not None
    return found


def assert_as_the_loop(setup: BacktestSetup, monkeypatch: pytest.MonkeyPatch) -> BacktestRun:
    """Fills, trades, curve and costs are equal, not near."""
    quick = run(setup)
    with monkeypatch.context() as patched:
        patched.setattr(backtest_engines, "_all_in", lambda *_: None)
        whole = run(setup)
    for name in ("fills", "trades", "open_trades", "final_equity", "costs", "refused", "rejected_prices", "stopped_at"):
        assert getattr(quick, name) == getattr(whole, name), name
    for name in ("at_ms", "equity", "drawdown", "exposure", "traded"):
        np.testing.assert_array_equal(getattr(quick, name), getattr(whole, name), err_msg=name)
    return quick


def is_ordinary(setup: BacktestSetup) -> bool:
    """Whether the pass over the changes told the whole run."""
    told = run(setup)
    config, one = setup.config, told.series[0]
    rules = all_in_of(KernelRequest(told.market.series, {"sma_cross": {}}, config.cash, config.costs, config.risk,
                                    config.brake))  # fmt: skip
    wishes = wishes_of(one.values.convictions[one.first : one.stop], one.values.distances[one.first : one.stop])
    if rules is None or wishes is None:
        return False
    return bool(run_fills(rules.open, rules.close, changes_of(wishes), rules.whole, rules.real)[3] == ORDINARY)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    fast=st.integers(1, 5),
    more=st.integers(1, 12),
    slippage=st.sampled_from([0, 7]),
    cash=st.sampled_from(["10000", "1000000", "60", "6"]),
    shape=st.sampled_from([(0.002, 0.0), (0.02, 0.001), (0.05, 0.03), (0.2, 0.3)]),
)
def test_run_when_candles_are_random_then_equal_to_the_loop_bit_by_bit(
    seed: int, fast: int, more: int, slippage: int, cash: str, shape: tuple[float, float]
) -> None:
    costs = PaperCosts.plain(Decimal(10), Decimal(slippage))
    with pytest.MonkeyPatch.context() as patched:
        assert_as_the_loop(setup_of(walk(seed, 250, *shape), fast, fast + more, costs=costs, cash=cash), patched)


@pytest.mark.parametrize(("coin", "cash"), [("BTC", "10000"), ("ETH", "123.45")])
def test_run_when_candles_are_real_then_equal_to_the_loop_and_told_by_the_changes(
    coin: str, cash: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrument, candles = recorded(coin, 4000)
    setup = setup_of(candles, 5, 20, instrument=instrument, cash=cash)
    assert len(assert_as_the_loop(setup, monkeypatch).trades) > 50
    assert is_ordinary(setup)


def test_run_when_fees_eat_the_capital_then_it_ends_as_in_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = setup_of(walk(1, 3000, 0.002, 0.0), 1, 2, costs=PaperCosts.plain(Decimal(100)), cash="5000")
    told = assert_as_the_loop(setup, monkeypatch)
    assert told.final_equity < 10
    assert told.fills[-1].at_ms < told.at_ms[-500]
    assert is_ordinary(setup)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"costs": PaperCosts()}, id="spread and a cap of volume"),
        pytest.param({"costs": PLAIN.model_copy(update={"latency_ms": 5})}, id="orders that arrive late"),
        pytest.param({"brake": BrakeMode.LATCH}, id="a brake"),
        pytest.param({"costs": PaperCosts.plain(Decimal(500))}, id="costs of several percent"),
    ],
)
def test_run_when_it_is_of_another_kind_then_left_to_the_loop(
    changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = setup_of(walk(2, 400, 0.01, 0.001), 3, 9, **changed)
    assert not is_ordinary(setup)
    assert_as_the_loop(setup, monkeypatch)


def test_run_when_a_price_jumps_threefold_then_left_to_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    candles = walk(3, 300, 0.01, 0.0)
    close, high = np.array(candles.close), np.array(candles.high)
    close[150] = high[150] = np.round(close[149] * 3.5, 2)
    columns = (candles.open, high, candles.low, close, candles.volume)
    setup = setup_of(CandleArrays(HOUR, candles.opened_at_ms, *columns), 3, 9)
    assert not is_ordinary(setup)
    assert assert_as_the_loop(setup, monkeypatch).rejected_prices > 0


def test_wishes_when_there_is_a_stop_or_a_part_or_a_gap_then_none() -> None:
    whole, none = np.array([np.nan, 0.0, 1.0, 1.0]), np.full(4, np.nan)
    found = wishes_of(whole, none)
    assert found is not None
    assert changes_of(found).tolist() == [2]
    assert wishes_of(whole, np.array([0.0, 0.0, 1.0, 0.0])) is None
    assert wishes_of(np.array([0.0, 0.5, 1.0, 0.0]), none) is None
    assert wishes_of(np.array([0.0, np.nan, 1.0, 0.0]), none) is None
