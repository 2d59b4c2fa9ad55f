"""One description, two engines, one result: by hand on small candles, and fill by fill on recorded ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from recorded_candles import HOUR, START_MS, made, recorded

from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument, Kind
from engine.domain.market import CandleArrays, FloatArray, Timeframe
from engine.exchanges.paper import PaperCosts
from engine.market.funding import FundingSeries
from engine.risk.limits import ALL_IN, RiskConfig
from engine.simulation.backtest import BacktestEngine, BacktestRun, BacktestSetup, run_backtest
from engine.simulation.backtest_trades import Reason
from engine.simulation.instrument_table import instrument_for
from engine.simulation.replay import ReplayConfig
from engine.strategies import BACKTESTS, STRATEGIES
from engine.trading.config import BrakeMode

PLAIN = PaperCosts.plain(Decimal(10))
ALL_IN_RISK = RiskConfig().model_copy(update=ALL_IN)
BTC = instrument_for("binance", "BTC", "USDT", Kind.SPOT)
PERPETUAL = instrument_for("binance", "BTC", "USDT", Kind.PERPETUAL)
OPENS = [100.0, 99.0, 92.0, 110.0, 119.0, 98.0, 97.0]
CLOSES = [100.0, 90.0, 110.0, 120.0, 100.0, 97.0, 95.0]
both = pytest.mark.parametrize("engine", BacktestEngine)


def candles_of(opens: list[float], closes: list[float]) -> CandleArrays:
    """Hourly candles that reach no further than their open and close, 10 coins each."""
    first, last = np.array(opens), np.array(closes)
    opened = START_MS + HOUR.ms * np.arange(len(opens), dtype=np.int64)
    high, low = np.maximum(first, last), np.minimum(first, last)
    return CandleArrays(HOUR, opened, first, high, low, last, np.full(len(opens), 1000.0))


def rising(candles: CandleArrays | None = None, costs: PaperCosts = PLAIN, cash: str = "10000") -> BacktestSetup:
    """All in after a close above the one before, else flat: both averages are as short as they can be."""
    config = ReplayConfig(
        {"sma_cross": '{"fast_bars": 1, "slow_bars": 2}'}, Decimal(cash), costs, ALL_IN_RISK, BrakeMode.OFF
    )
    return BacktestSetup(config, {BTC: candles or candles_of(OPENS, CLOSES)})


def setup_of(
    name: str, series: dict[Instrument, CandleArrays], brake: BrakeMode = BrakeMode.OFF, costs: PaperCosts | None = None
) -> BacktestSetup:
    risk = RiskConfig() if name in STRATEGIES else ALL_IN_RISK
    config = ReplayConfig({name: "{}"}, Decimal(10_000), costs or PaperCosts(), risk, brake)
    return BacktestSetup(config, series)


def run(setup: BacktestSetup, engine: BacktestEngine = BacktestEngine.KERNEL) -> BacktestRun:
    result = run_backtest(setup, engine)
    assert result is not None
    return result


def assert_equal(one: BacktestRun, other: BacktestRun) -> None:
    assert one.fills == other.fills
    assert one.trades == other.trades
    assert one.open_trades == other.open_trades
    assert (one.bars, one.costs, one.stopped_at) == (other.bars, other.costs, other.stopped_at)
    assert one.final_equity == pytest.approx(other.final_equity, abs=Decimal("1E-7"))
    np.testing.assert_array_equal(one.at_ms, other.at_ms)
    for name in ("equity", "drawdown", "exposure", "traded"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-9, atol=1e-9, err_msg=name)


def result_of(setup: BacktestSetup) -> Decimal:
    """Capital and the results of all trades, open ones at the last close."""
    told = run(setup)
    return setup.config.cash + sum((trade.pnl for trade in (*told.trades, *told.open_trades)), Decimal(0))


def test_backtest_when_it_has_targets_and_trailing_stops_then_both_engines_name_them() -> None:
    candles = dict([recorded("BTC", 4000)])
    risk = RiskConfig(take_profit=Decimal("0.8"), trail=Decimal(1))
    config = ReplayConfig({"momentum": "{}"}, Decimal(10_000), PaperCosts(), risk, BrakeMode.OFF)
    told = [run(BacktestSetup(config, candles), engine) for engine in BacktestEngine]
    assert_equal(*told)
    assert {Reason.TARGET, Reason.TRAILING_STOP} <= {trade.reason for trade in told[0].trades}
    assert all(trade.target_price is not None for trade in told[0].trades)
    trailed = [trade for trade in told[0].trades if trade.reason is Reason.TRAILING_STOP]
    for trade in trailed:  # up for a long; it fills there or worse
        assert trade.stop_price is not None
        assert trade.last_stop_price is not None
        assert trade.exit_price is not None
        assert trade.stop_price < trade.last_stop_price
        assert trade.exit_price <= trade.last_stop_price
    assert trailed


@both
def test_backtest_when_done_by_hand_then_the_trade_is_this(engine: BacktestEngine) -> None:
    told = run(rising(), engine)
    (trade,) = told.trades
    # decided at the close of 110, bought at the open of 110: 10000 / (110 * 1.002) on lots of 0.00001
    assert trade.quantity == Decimal("90.72763")
    assert (trade.entry_price, trade.exit_price) == (Decimal(110), Decimal(98))
    begin = datetime(2023, 1, 1, tzinfo=UTC)
    assert (trade.entry_at, trade.exit_at) == (begin + timedelta(hours=3), begin + timedelta(hours=5))
    assert (trade.reason, trade.bars_held, trade.stop_price) == (Reason.SIGNAL, 2, None)
    # 0.1 % of 9980.0393 and of 8891.30774, each rounded up to 8 decimals
    assert trade.fees == Decimal("9.9800393") + Decimal("8.89130774")
    assert trade.pnl == Decimal("90.72763") * (98 - 110) - trade.fees
    assert told.final_equity == 10_000 + trade.pnl
    assert told.open_trades == ()
    assert told.bars == 7


@both
def test_curves_when_done_by_hand_then_equity_exposure_and_turnover_are_these(engine: BacktestEngine) -> None:
    told = run(rising(), engine)
    quantity, cash = 90.72763, 10_000 - 9980.0393 - 9.9800393
    held = [cash + quantity * 120, cash + quantity * 100]
    final = float(told.final_equity)
    np.testing.assert_allclose(told.equity, [10_000] * 3 + held + [final] * 2, rtol=1e-12)
    np.testing.assert_allclose(told.exposure, [0, 0, 0, quantity * 120 / held[0], quantity * 100 / held[1], 0, 0])
    np.testing.assert_allclose(told.traded, [0, 0, 0, 9980.0393, 0, quantity * 98, 0])
    np.testing.assert_allclose(
        told.drawdown, [0, 0, 0, 0, 1 - held[1] / held[0]] + [1 - final / held[0]] * 2, atol=1e-12
    )


@both
def test_costs_when_fills_slip_then_split_into_fees_and_slippage(engine: BacktestEngine) -> None:
    told = run(rising(costs=PaperCosts.plain(Decimal(10), Decimal(100))), engine)
    (trade,) = told.trades
    assert (trade.entry_price, trade.exit_price) == (Decimal("111.1"), Decimal("97.02"))
    slipped = trade.quantity * (Decimal("1.1") + Decimal("0.98"))
    assert told.costs.spread_and_slippage == slipped.quantize(Decimal("1E-8"))
    assert told.costs.fees == trade.fees
    assert told.costs.total == told.costs.fees + told.costs.spread_and_slippage


@both
def test_position_when_still_held_at_the_end_then_it_is_no_trade_and_valued_at_the_last_close(
    engine: BacktestEngine,
) -> None:
    told = run(rising(candles_of(OPENS[:5], CLOSES[:5])), engine)
    (left,) = told.open_trades
    assert told.trades == ()
    assert (left.exit_at, left.exit_price, left.reason) == (None, None, None)
    assert left.pnl == Decimal("90.72763") * (100 - 110) - Decimal("9.9800393")
    assert told.final_equity == 10_000 + left.pnl


@both
def test_range_when_given_then_candles_before_it_only_warm_up(engine: BacktestEngine) -> None:
    setup = replace(rising(), start=datetime(2023, 1, 1, 3, tzinfo=UTC), stop=datetime(2023, 1, 1, 6, tzinfo=UTC))
    told = run(setup, engine)
    assert told.bars == 3
    (trade,) = told.trades
    # it is up already, so the first close of the range asks for it: the open after that is 119
    assert (trade.entry_bar, trade.exit_bar, trade.entry_price) == (1, 2, Decimal(119))
    assert told.at_ms[0] == START_MS + 4 * HOUR.ms


@pytest.mark.parametrize("name", sorted(BACKTESTS))
def test_engines_when_candles_are_real_then_every_fill_trade_and_close_agree(name: str) -> None:
    series = dict(recorded(coin, 3_000) for coin in ("BTC", "ETH"))
    setup = setup_of(name, series)
    fast, slow = (run(setup, engine) for engine in (BacktestEngine.KERNEL, BacktestEngine.REPLAY))
    assert fast.trades
    assert_equal(fast, slow)


def test_wishes_below_the_minimum_when_a_run_has_no_money_for_them_then_counted_or_said_not_to_be() -> None:
    setup = setup_of("momentum", dict([recorded("BTC", 3_000)]))
    setup = replace(setup, config=replace(setup.config, cash=Decimal(4)))
    fast, slow = (run(setup, engine) for engine in (BacktestEngine.KERNEL, BacktestEngine.REPLAY))
    assert not fast.fills
    assert fast.below_minimum
    assert slow.below_minimum is None


def test_engines_when_the_brake_latches_then_both_stop_at_that_close() -> None:
    series = dict([recorded("BTC", 9_000)])
    setup = setup_of("sma_cross", series, BrakeMode.LATCH)
    fast, slow = (run(setup, engine) for engine in (BacktestEngine.KERNEL, BacktestEngine.REPLAY))
    assert fast.stopped_at is not None
    assert fast.trades[-1].reason is Reason.BRAKE
    assert_equal(fast, slow)


def test_engines_when_a_perpetual_pays_funding_then_trades_carry_it() -> None:
    _, candles = made(2_500, kind=Kind.PERPETUAL)
    stamps = np.arange(START_MS + 8 * HOUR.ms, int(candles.opened_at_ms[-1]) + HOUR.ms + 1, 8 * HOUR.ms)
    funding = FundingSeries(
        stamps, tuple(itertools.islice(itertools.cycle([Decimal("0.0003"), Decimal("-0.0001")]), len(stamps)))
    )
    setup = replace(setup_of("breakout", {PERPETUAL: candles}), funding={PERPETUAL.key: funding})
    fast, slow = (run(setup, engine) for engine in (BacktestEngine.KERNEL, BacktestEngine.REPLAY))
    assert any(trade.funding for trade in fast.trades)
    assert any(trade.side.sign < 0 for trade in fast.trades)
    assert_equal(fast, slow)
    funded = sum((trade.funding for trade in (*fast.trades, *fast.open_trades)), Decimal(0))
    assert funded == pytest.approx(fast.costs.funding, abs=Decimal("1E-6"))


def test_funding_when_a_rate_is_missing_while_held_then_named_not_taken_for_zero() -> None:
    _, candles = made(2_500, kind=Kind.PERPETUAL)
    stamps = np.arange(START_MS + 8 * HOUR.ms, int(candles.opened_at_ms[-1]), 8 * HOUR.ms)
    kept = np.delete(stamps, slice(100, 200))
    setup = replace(
        setup_of("breakout", {PERPETUAL: candles}),
        funding={PERPETUAL.key: FundingSeries(kept, (Decimal("0.0001"),) * len(kept))},
    )
    with pytest.raises(BadInput, match=r"funding rate of .* is missing"):
        run(setup)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), name=st.sampled_from(["breakout", "sma_cross"]), slip=st.integers(0, 30))
def test_results_of_trades_when_added_to_the_capital_then_the_final_equity(seed: int, name: str, slip: int) -> None:
    _, candles = made(900, seed)
    setup = setup_of(name, {BTC: candles}, costs=PaperCosts.plain(Decimal(7), Decimal(slip)))
    assert result_of(setup) == pytest.approx(run(setup).final_equity, abs=Decimal("1E-6"))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
@example(seed=821)
def test_stop_price_when_a_stop_fills_without_costs_then_no_better_than_it(seed: int) -> None:
    _, candles = made(1_500, seed)
    told = run(setup_of("breakout", {BTC: candles}, costs=PaperCosts.plain(Decimal(0))))
    for trade in told.trades:
        assert trade.stop_price is not None
        assert trade.stop_price < trade.entry_price * Decimal("1.05")
    for fill in told.fills:
        if fill.reason is Reason.STOP:  # of the fill: what a signal sold before counts into the trade's exit price too
            assert fill.stop is not None
            assert fill.price <= fill.stop


def test_backtest_when_cancelled_then_none() -> None:
    for engine in BacktestEngine:
        assert run_backtest(rising(made(3_000)[1]), engine, lambda done, total: False) is None


def changed(column: str, row: int, value: float) -> CandleArrays:
    """The small candles with one number replaced."""
    candles = candles_of(OPENS, CLOSES)
    values: FloatArray = getattr(candles, column).copy()
    values[row] = value
    columns = {name: getattr(candles, name) for name in ("open", "high", "low", "close", "volume")} | {column: values}
    return CandleArrays(candles.timeframe, candles.opened_at_ms, **columns)


def unsorted() -> CandleArrays:
    candles = candles_of(OPENS, CLOSES)
    return replace(candles, opened_at_ms=candles.opened_at_ms[::-1].copy())


def overlapping() -> CandleArrays:
    candles = candles_of(OPENS, CLOSES)
    return replace(candles, opened_at_ms=candles.opened_at_ms[0] + HOUR.ms // 2 * np.arange(len(candles)))


BAD: dict[str, tuple[Callable[[], BacktestSetup], str]] = {
    "zero capital": (lambda: rising(cash="0"), "cash 0 must be above 0"),
    "capital that is no number": (lambda: rising(cash="NaN"), "cash NaN must be above 0"),
    "too few bars": (lambda: rising(candles_of(OPENS[:1], CLOSES[:1])), "needs 2 before its first signal"),
    "no bar in the range": (lambda: replace(rising(), start=datetime(2030, 1, 1, tzinfo=UTC)), "no candle to replay"),
    "NaN": (lambda: rising(changed("close", 2, float("nan"))), "cannot be replayed"),
    "unsorted": (lambda: rising(unsorted()), "out of order"),
    "overlapping": (lambda: rising(overlapping()), "overlap"),
    "a perpetual without a word on funding": (
        lambda: replace(rising(), series={PERPETUAL: candles_of(OPENS, CLOSES)}), "funding was not given",
    ),
    "an unknown strategy": (
        lambda: replace(rising(), config=ReplayConfig({"tea_leaves": "{}"}, Decimal(1))), "no strategy 'tea_leaves'",
    ),
    "two strategies": (
        lambda: replace(rising(), config=ReplayConfig({"momentum": "{}", "breakout": "{}"}, Decimal(1))),
        "one strategy, not 2",
    ),
    "a strategy without a stop sized by one": (
        lambda: replace(rising(), config=ReplayConfig({"sma_cross": "{}"}, Decimal(1))), "sizer weights",
    ),
}  # fmt: skip


@both
@pytest.mark.parametrize("case", BAD)
def test_input_when_bad_then_refused_with_the_reason(engine: BacktestEngine, case: str) -> None:
    make, reason = BAD[case]
    with pytest.raises(BadInput, match=reason):
        run_backtest(make(), engine)


def test_kernel_when_it_does_not_model_something_then_it_names_the_replay() -> None:
    setup = rising(costs=PaperCosts.plain(Decimal("7.123456789")))
    with pytest.raises(BadInput, match="--engine replay"):
        run(setup)
    assert run(setup, BacktestEngine.REPLAY).bars == 7


@both
def test_candles_when_of_different_lengths_then_refused_before_anything_runs(engine: BacktestEngine) -> None:
    hourly = candles_of(OPENS, CLOSES)
    ether = instrument_for("binance", "ETH", "USDT", Kind.SPOT)
    other = replace(hourly, timeframe=Timeframe(7200), opened_at_ms=START_MS + 7_200_000 * np.arange(len(hourly)))
    with pytest.raises(BadInput, match="one length of candle"):
        run(replace(rising(), series={BTC: hourly, ether: other}), engine)


@pytest.mark.parametrize("name", ["breakout", "sma_cross"])
def test_engines_when_the_venue_was_down_for_hours_then_they_still_agree(name: str) -> None:
    instrument, candles = recorded("BTC")
    gaps = np.diff(candles.opened_at_ms) // HOUR.ms
    years = candles.opened_at_ms[:-1].astype("datetime64[ms]").astype("datetime64[Y]").astype(int) + 1970
    outage = int(np.argmax(np.where((years >= 2020) & (years <= 2024), gaps, 0)))
    assert gaps[outage] > 2
    setup = setup_of(name, {instrument: candles.slice(outage - 1_200, outage + 800)})
    fast, slow = (run(setup, engine) for engine in (BacktestEngine.KERNEL, BacktestEngine.REPLAY))
    assert fast.trades
    assert_equal(fast, slow)
