"""The plain backtest: fills by hand, equality with the replay, and every short cut against the long way."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_candles import recorded

from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument, Kind
from engine.domain.market import CandleArrays, FloatArray, Timeframe, from_ms
from engine.exchanges.paper import PaperCosts
from engine.quant import indicators, performance
from engine.risk.limits import ALL_IN, RiskConfig
from engine.simulation import warm
from engine.simulation.opinions import PrecomputedOpinions
from engine.simulation.plain_kernel import run_cross, run_wishes
from engine.simulation.plain_portfolio import TopMomentum, run_top_momentum
from engine.simulation.plain_rules import Levels, PlainRules, PlainRun, Reason
from engine.simulation.plain_sweep import sweep_cross
from engine.simulation.replay import Replay, ReplayConfig, ReplayResult
from engine.simulation.replay_source import ReplaySource
from engine.strategies.sma_cross import SmaCross, SmaCrossConfig
from engine.trading.config import BrakeMode

HOUR = Timeframe(3600)
START_MS = 1_672_531_200_000
TICK = Decimal("0.01")
COIN = Instrument("binance", "BTC", "USDT", Kind.SPOT, TICK, Decimal("0.01"), Decimal(5))
FREE = PlainRules(1000.0, fee_bps=0.0)


def candles_from(rows: list[tuple[float, float, float, float]]) -> CandleArrays:
    """Hourly candles of (open, high, low, close)."""
    columns = [np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)]
    opened_at_ms = START_MS + HOUR.ms * np.arange(len(rows), dtype=np.int64)
    return CandleArrays(HOUR, opened_at_ms, *columns, np.full(len(rows), 1e9))


def walk(seed: int, bars: int, gaps: bool = True) -> CandleArrays:
    """A walk in ticks whose averages often tie; opens jump away from the close before."""
    random = np.random.default_rng(seed)
    close = 1000 + np.cumsum(random.integers(-6, 7, bars))
    close = np.maximum(close, 50)
    opened = np.maximum(np.append(close[:1], close[:-1]) + (random.integers(-9, 10, bars) if gaps else 0), 20)
    high = np.maximum(opened, close) + random.integers(0, 8, bars)
    low = np.maximum(np.minimum(opened, close) - random.integers(0, 8, bars), 1)
    return candles_from(list(zip(*(np.round(c * 0.01, 2) for c in (opened, high, low, close)), strict=True)))


def wishes_of(text: str) -> np.ndarray:
    return np.array([letter == "L" for letter in text])


# -- fills by hand ---------------------------------------------------------------------------------------------------


def test_run_when_the_wish_rises_and_falls_then_filled_at_the_next_opens_with_costs() -> None:
    candles = candles_from([(10, 11, 9, 10), (10, 12, 9, 11), (12, 13, 11, 12), (15, 16, 14, 15)])
    rules = PlainRules(1000.0, fee_bps=100.0, slippage_bps=50.0, lot=0.1)
    run = run_wishes(candles, wishes_of("LL--"), rules)
    paid, sold = 10 * 1.005, 15 * 0.995
    quantity = np.floor(1000 / (paid * 1.01) / 0.1) * 0.1
    assert (run.entry_bars.tolist(), run.exit_bars.tolist()) == ([1], [3])
    assert run.quantities[0] == pytest.approx(quantity)
    assert run.fees[0] == pytest.approx(quantity * (paid + sold) * 0.01)
    assert run.final_equity == pytest.approx(1000 + quantity * (sold - paid) - run.fees[0])
    assert run.profits[0] == pytest.approx(run.final_equity - 1000)


def test_run_when_still_held_at_the_end_then_valued_at_the_last_close_and_no_trade() -> None:
    run = run_wishes(candles_from([(10, 10, 10, 10), (10, 10, 10, 10), (10, 20, 10, 20)]), wishes_of("LLL"), FREE)
    assert (run.trades, run.held, run.held_since, run.held_price) == (0, 100.0, 1, 10.0)
    assert run.final_equity == 2000.0


def test_run_when_the_signal_is_at_the_last_close_then_not_filled() -> None:
    run = run_wishes(candles_from([(10, 10, 10, 10)] * 3), wishes_of("--L"), FREE)
    assert (run.trades, run.held, run.final_equity) == (0, 0.0, 1000.0)


# range of bar 1 is 1, so one ATR (period 1) at the signal is 1: stop at 9, target at 12 from the close of 10
FIRST = [(10, 10.5, 9.5, 10), (10, 10.5, 9.5, 10)]


@pytest.mark.parametrize(
    ("bars", "bar", "price", "reason"),
    [
        pytest.param([(10, 10.2, 8.9, 10)], 2, 9.0, Reason.STOP, id="stop in the entry's own bar"),
        pytest.param([(10, 10, 10, 10), (10, 12.5, 9.5, 12)], 3, 12.0, Reason.TARGET, id="target later"),
        pytest.param([(10, 10, 10, 10), (10, 12.5, 8.5, 12)], 3, 9.0, Reason.STOP, id="both in one bar: stop first"),
        pytest.param([(10, 10, 10, 10), (8, 8.5, 7, 8)], 3, 8.0, Reason.STOP, id="gap through the stop: the open"),
        pytest.param([(10, 10, 10, 10), (13, 14, 12.5, 13)], 3, 13.0, Reason.TARGET, id="gap through the target"),
        pytest.param([(8.5, 8.7, 8.4, 8.5)], 2, 8.5, Reason.STOP, id="entry already beyond the stop"),
    ],
)
def test_run_when_a_level_is_reached_then_filled_conservatively(
    bars: list[tuple[float, float, float, float]], bar: int, price: float, reason: Reason
) -> None:
    candles = candles_from([*FIRST, *bars, (10, 10, 10, 10)])
    wishes = np.ones(len(candles), dtype=bool)
    wishes[0] = False
    run = run_wishes(candles, wishes, FREE, Levels(1, 1.0, 2.0))
    assert (run.exit_bars.tolist(), run.exit_prices.tolist(), run.reasons.tolist()) == ([bar], [price], [reason])
    assert run.held == 0.0, "nothing is bought again before the wish has gone"


def test_run_when_a_level_lies_in_the_bar_after_the_falling_wish_then_the_open_is_first() -> None:
    candles = candles_from([*FIRST, (10, 10, 10, 10), (11, 20, 1, 10)])
    run = run_wishes(candles, wishes_of("-L--"), FREE, Levels(1, 1.0, 2.0))
    assert (run.exit_bars[0], run.exit_prices[0], run.reasons[0]) == (3, 11.0, Reason.SIGNAL)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), period=st.integers(1, 20), slippage=st.sampled_from([0.0, 7.0]))
def test_run_when_levels_are_set_then_equal_to_a_walk_bar_by_bar(seed: int, period: int, slippage: float) -> None:
    candles = walk(seed, 300)
    rules = PlainRules(1000.0, fee_bps=10.0, slippage_bps=slippage, tick=0.01, lot=0.001, share=0.6)
    run = run_cross(candles, SmaCrossConfig(fast_bars=3, slow_bars=8), TICK, rules, Levels(period, 1.37, 2.61))
    assert events(run) == bar_by_bar(candles, period, slippage)


def events(run: PlainRun) -> list[tuple[int, int, float, float, int]]:
    columns = (run.entry_bars, run.exit_bars, run.entry_prices.round(6), run.exit_prices.round(6), run.reasons)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def bar_by_bar(candles: CandleArrays, period: int, slippage: float) -> list[tuple[int, int, float, float, int]]:
    """The same rules, one bar after the other, in whole ticks."""
    wishes = SmaCross(SmaCrossConfig(fast_bars=3, slow_bars=8)).convictions(candles) == 1.0
    atr = indicators.atr(candles.high, candles.low, candles.close, period)
    out, held, stop, target, since, paid = [], False, 0.0, 0.0, 0, 0.0
    up = [float(np.ceil(np.round(o * 100 * (1 + slippage / 1e4), 6))) / 100 for o in candles.open]

    def down(price: float) -> float:
        return float(np.floor(np.round(price * 100 * (1 - slippage / 1e4), 6))) / 100

    for t in range(1, len(candles)):
        wish, before = wishes[t - 1], wishes[t - 2] if t > 1 else False
        if held and not wish:
            held = False
            out.append((since, t, round(paid, 6), round(down(candles.open[t]), 6), 0))
        elif wish and not before:
            held, since, paid = True, t, up[t]
            stop = np.rint((candles.close[t - 1] - 1.37 * atr[t - 1]) * 100) / 100
            target = np.rint((candles.close[t - 1] + 2.61 * atr[t - 1]) * 100) / 100
        if held and candles.low[t] <= stop:
            held = False
            out.append((since, t, round(paid, 6), round(down(min(candles.open[t], stop)), 6), 1))
        elif held and candles.high[t] >= target:
            held = False
            out.append((since, t, round(paid, 6), round(float(max(candles.open[t], target)), 6), 2))
    return out


# -- equal to the replay ---------------------------------------------------------------------------------------------


def replayed(instrument: Instrument, candles: CandleArrays, config: SmaCrossConfig, slippage: int) -> ReplayResult:
    costs = PaperCosts.plain(Decimal(10), Decimal(slippage))
    risk = RiskConfig().model_copy(update=ALL_IN)
    asked = ReplayConfig({"sma_cross": config.model_dump_json()}, Decimal(10_000), costs, risk, BrakeMode.OFF)
    source = ReplaySource({instrument: candles})
    result = Replay(source, asked, PrecomputedOpinions({instrument.key: candles})).run(source.bars)
    assert result is not None
    return result


def assert_same_trades(instrument: Instrument, candles: CandleArrays, config: SmaCrossConfig, slippage: int) -> None:
    """Bar, side and lots are equal, prices to the tick, fees within 1e-9."""
    result = replayed(instrument, candles, config, slippage)
    rules = PlainRules(
        10_000.0, 10.0, float(slippage), lot=float(instrument.lot_size), tick=float(instrument.tick_size),
        sized_at_close=True, reserve_bps=20.0 + slippage,
    )  # fmt: skip
    run = run_cross(candles, config, instrument.tick_size, rules)
    bars = [*zip(run.entry_bars, run.exit_bars, strict=True)]
    pairs = [fill for pair in bars for fill in pair] + ([run.held_since] if run.held else [])
    opened = [from_ms(int(candles.opened_at_ms[bar])) for bar in pairs]
    assert [fill.at - HOUR.delta for fill in result.fills] == opened
    lots = [float(fill.quantity / instrument.lot_size) for fill in result.fills]
    known = [q for q in run.quantities for _ in range(2)] + ([run.held] if run.held else [])
    assert lots == np.rint(np.array(known) / float(instrument.lot_size)).tolist()
    prices = [*np.column_stack((run.entry_prices, run.exit_prices)).ravel(), *([run.held_price] if run.held else [])]
    assert [float(fill.price) for fill in result.fills] == pytest.approx(prices, rel=1e-12)
    assert result.trades == run.trades
    assert float(result.final_equity) == pytest.approx(run.final_equity, rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), fast=st.integers(1, 5), more=st.integers(1, 12), slippage=st.sampled_from([0, 3]))
def test_run_when_candles_are_random_then_the_same_trades_as_the_replay(
    seed: int, fast: int, more: int, slippage: int
) -> None:
    config = SmaCrossConfig(fast_bars=fast, slow_bars=fast + more)
    assert_same_trades(COIN, walk(seed, 250, gaps=False), config, slippage)


@pytest.mark.parametrize(("coin", "slippage"), [("BTC", 0), ("ETH", 5)])
def test_run_when_candles_are_real_then_the_same_trades_as_the_replay(coin: str, slippage: int) -> None:
    instrument, candles = recorded(coin, 4000)
    assert_same_trades(instrument, candles, SmaCrossConfig(), slippage)


# -- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("price", [np.nan, np.inf, 0.0, -5.0])
@pytest.mark.parametrize("column", ["close", "high", "open"])
def test_run_when_a_price_that_matters_is_none_then_refused(price: float, column: str) -> None:
    candles = walk(1, 100)
    columns = {name: np.array(getattr(candles, name)) for name in ("open", "high", "low", "close", "volume")}
    run = run_cross(candles, SmaCrossConfig(fast_bars=2, slow_bars=5), TICK, FREE)
    columns[column][run.entry_bars[3]] = price if column != "high" or not price <= 0 else np.inf
    broken = CandleArrays(candles.timeframe, candles.opened_at_ms, **columns)
    with pytest.raises(BadInput):
        run_cross(broken, SmaCrossConfig(fast_bars=2, slow_bars=5), TICK, FREE, Levels(3, 1.0, 1.0))


def test_run_when_there_is_nothing_to_test_or_lengths_differ_then_refused() -> None:
    with pytest.raises(BadInput, match="no candle"):
        run_cross(walk(1, 3).slice(0, 0), SmaCrossConfig(), TICK, FREE)
    with pytest.raises(BadInput, match="2 wishes for 3 candles"):
        run_wishes(walk(1, 3), wishes_of("LL"), FREE)
    with pytest.raises(BadInput, match="nothing to test"):
        sweep_cross(walk(1, 3), [], TICK, FREE)


@pytest.mark.parametrize("values", [{"cash": 0.0}, {"cash": 1.0, "share": 1.1}, {"cash": 1.0, "lot": np.nan}])
def test_rules_when_a_number_is_out_of_bounds_then_refused(values: dict[str, float]) -> None:
    with pytest.raises(BadInput):
        PlainRules(**values)
    with pytest.raises(BadInput):
        Levels(0, 1.0, 1.0)


# -- sweep -----------------------------------------------------------------------------------------------------------


def curve(candles: CandleArrays, run: PlainRun, cash: float) -> FloatArray:
    """Equity at every close, the long way."""
    flows, held = np.zeros(len(candles)), np.zeros(len(candles))
    entries = [*zip(run.entry_bars, run.quantities, run.entry_prices, strict=True)]
    entries += [(run.held_since, run.held, run.held_price)] if run.held else []
    for bar, quantity, paid in entries:
        flows[bar] -= quantity * paid * 1.001
        held[bar:] += quantity
    for bar, quantity, price in zip(run.exit_bars, run.quantities, run.exit_prices, strict=True):
        flows[bar] += quantity * price * 0.999
        held[bar:] -= quantity
    equity: FloatArray = cash + np.cumsum(flows) + held * candles.close
    return equity


@pytest.mark.parametrize("share", [1.0, 0.4])
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), bars=st.sampled_from([9, 40, 700, 9000]))
def test_sweep_when_compared_with_single_runs_then_equal_in_every_figure(share: float, seed: int, bars: int) -> None:
    candles = walk(seed, bars)
    rules = PlainRules(1000.0, share=share, lot=0.001)
    pairs = [(1, 300), (3, 7), (2, 40), (3, 8), (5, 7), (1, 2)]
    configs = [SmaCrossConfig(fast_bars=fast, slow_bars=slow) for fast, slow in pairs]
    result = sweep_cross(candles, configs, TICK, rules)
    days = np.append(np.flatnonzero(np.diff(candles.opened_at_ms // 86_400_000)), bars - 1)
    for k, config in enumerate(configs):
        run = run_cross(candles, config, TICK, rules)
        equity = np.concatenate(([1000.0], curve(candles, run, 1000.0)))
        daily = equity[np.append(0, days + 1)]
        assert (result.fast_bars[k], result.slow_bars[k]) == pairs[k]
        assert result.trades[k] == run.trades
        assert result.final_equity[k] == pytest.approx(run.final_equity, rel=1e-12)
        assert result.drawdown[k] == pytest.approx((1 - equity / np.maximum.accumulate(equity)).max(), abs=1e-9)
        sharpe = performance.sharpe(daily[1:] / daily[:-1] - 1.0)
        assert result.sharpe[k] == pytest.approx(sharpe, rel=1e-6, nan_ok=True)


# -- portfolio -------------------------------------------------------------------------------------------------------


def test_portfolio_when_rebalanced_then_equal_to_the_long_way() -> None:
    random = np.random.default_rng(4)
    closes = 100 * np.exp(np.cumsum(random.normal(0, 0.01, (400, 7)), axis=0))
    opens = np.concatenate((closes[:1], closes[:-1])) * np.exp(random.normal(0, 0.002, closes.shape))
    rules = PlainRules(5000.0, fee_bps=10.0, slippage_bps=2.0, share=0.9, lot=0.01)
    run = run_top_momentum(opens, closes, TopMomentum(30, 24, 3), rules)
    cash, held, orders, bars = 5000.0, np.zeros(7), 0, []
    for t in [t for t in range(399) if (t + 1) % 24 == 0 and t >= 30]:
        chosen = np.argsort(-closes[t] / closes[t - 30], kind="stable")[:3]
        value = cash + held @ opens[t + 1]
        target = np.zeros(7)
        target[chosen] = np.floor(0.9 * value / 3 / opens[t + 1, chosen] / 0.01 + 1e-9) * 0.01
        change = target - held
        cash -= (change * opens[t + 1] * (1 + np.sign(change) * 2e-4) * (1 + np.sign(change) * 1e-3)).sum()
        held, orders = target, orders + int((change != 0).sum())
        bars.append(t + 1)
    assert (run.orders, run.bars.tolist()) == (orders, bars)
    assert run.quantities == pytest.approx(held)
    assert run.final_equity == pytest.approx(cash + held @ closes[-1], rel=1e-12)
    assert run.cash > 0.0


def test_portfolio_when_nothing_fits_then_refused() -> None:
    prices, choice = np.ones((5, 3)), TopMomentum(2, 1, 2)
    with pytest.raises(BadInput, match="leave cash"):
        run_top_momentum(prices, prices, choice, PlainRules(1.0))
    with pytest.raises(BadInput, match="assets"):
        run_top_momentum(prices, prices[:4], choice, PlainRules(1.0, share=0.5))
    with pytest.raises(BadInput, match="not finite"):
        run_top_momentum(prices, prices * np.nan, choice, PlainRules(1.0, share=0.5))
    with pytest.raises(BadInput, match="1 or more"):
        TopMomentum(0, 1, 1)


def test_compile_all_when_called_twice_then_second_is_quick_and_harmless() -> None:
    warm.compile_all()
    warm.compile_all()
