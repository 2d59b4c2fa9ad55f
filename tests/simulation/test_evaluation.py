"""What is said of a run: figures by hand, comparisons on the same dates and costs, and luck told apart from skill."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_candles import HOUR, START_MS, made, recorded

from engine.domain.instruments import Kind
from engine.domain.market import CandleArrays, IntArray, from_ms
from engine.domain.orders import Side
from engine.exchanges.paper import PaperCosts
from engine.market.funding import FundingSeries
from engine.quant.resampling import Resampling
from engine.quant.verdict import Level
from engine.risk.limits import ALL_IN, RiskConfig
from engine.simulation.backtest import BacktestEngine, BacktestRun, BacktestSetup, run_backtest
from engine.simulation.backtest_trades import Reason, RoundTrip
from engine.simulation.evaluation import EvaluationPlan, doubled, evaluate
from engine.simulation.evaluation_figures import DAY_MS, Days, by_day, days_of, metrics_of
from engine.simulation.evaluation_luck import StudyFacts, order_of_trades, overfitting_figures, random_entries
from engine.simulation.evaluation_market import hold_curve, months_of, regimes_of, years_of
from engine.simulation.replay import ReplayConfig
from engine.trading.config import BrakeMode

QUICK = EvaluationPlan(draws=100)
CROSS = {"sma_cross": '{"fast_bars": 5, "slow_bars": 20}'}


def cross(bars: int = 2_000, seed: int = 1, costs: PaperCosts | None = None, kind: Kind = Kind.SPOT) -> BacktestSetup:
    instrument, candles = made(bars, seed, kind)
    risk = RiskConfig().model_copy(update=ALL_IN)
    config = ReplayConfig(CROSS, Decimal(10_000), costs or PaperCosts.plain(Decimal(10)), risk, BrakeMode.OFF)
    return BacktestSetup(config, {instrument: candles}, {instrument.key: None} if kind is Kind.PERPETUAL else {})


def run(setup: BacktestSetup) -> BacktestRun:
    result = run_backtest(setup, BacktestEngine.KERNEL)
    assert result is not None
    return result


@cache
def crossed() -> BacktestRun:
    return run(cross())


def trip(entry_bar: int, exit_bar: int, pnl: str, candles: CandleArrays) -> RoundTrip:
    """A long of a tenth of a coin."""
    entry = Decimal(repr(float(candles.open[entry_bar])))
    at = [from_ms(int(candles.opened_at_ms[bar])) for bar in (entry_bar, exit_bar)]
    return RoundTrip(
        crossed().series[0].instrument.key, Side.BUY, Decimal("0.1"), at[0], entry, at[1], entry, Reason.SIGNAL,
        Decimal(0), Decimal(0), Decimal(pnl), None, entry_bar, exit_bar,
    )  # fmt: skip


def test_days_when_closes_lie_at_midnight_then_they_end_the_old_day() -> None:
    at_ms = START_MS + HOUR.ms * np.array([1, 24, 25, 48, 96])
    days = by_day(at_ms, np.array([101.0, 110.0, 105.0, 99.0, 99.0]), 100.0, HOUR.ms)
    assert [from_ms(ms).day for ms in days.opened_ms.tolist()] == [1, 2, 3, 4]
    np.testing.assert_allclose(days.returns, [0.1, -0.1, 0.0, 0.0], atol=1e-12)
    assert days.per_year == 365.0


def test_days_when_candles_are_weeks_then_a_period_is_a_week() -> None:
    days = by_day(np.array([7 * DAY_MS, 14 * DAY_MS]), np.array([110.0, 121.0]), 100.0, 7 * DAY_MS)
    np.testing.assert_allclose(days.returns, [0.1, 0.1])
    assert days.per_year == pytest.approx(365 / 7)


def test_days_when_everything_is_lost_then_finite() -> None:
    days = by_day(START_MS + DAY_MS * np.arange(1, 4), np.array([50.0, 0.0, 0.0]), 100.0, DAY_MS)
    np.testing.assert_allclose(days.returns, [-0.5, -1.0, 0.0])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), bars=st.integers(1, 400))
def test_days_when_compounded_then_the_final_equity(seed: int, bars: int) -> None:
    rng = np.random.default_rng(seed)
    at_ms = START_MS + HOUR.ms * np.cumsum(rng.integers(1, 60, bars))
    equity = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.01, bars)))
    days = by_day(at_ms, equity, 100.0, HOUR.ms)
    assert np.prod(1 + days.returns) * 100.0 == pytest.approx(equity[-1])


def test_months_when_two_then_each_compounds_its_own_days() -> None:
    days = Days(np.array([29, 30, 31, 32]) * DAY_MS, np.array([0.1, 0.1, -0.5, 1.0]), DAY_MS)
    found = months_of(days)
    assert [(one.year, one.month) for one in found] == [(1970, 1), (1970, 2)]
    assert [one.net_return for one in found] == pytest.approx([0.21, 0.0])


def test_metrics_when_measured_then_net_return_is_the_equitys_and_every_interval_holds_its_value() -> None:
    told = crossed()
    figures = metrics_of(told, days_of(told), Resampling(200))
    assert figures["net_return"].value == pytest.approx(float(told.final_equity) / 10_000 - 1)
    assert figures["trades"].value == len(told.trades)
    wins = sum(trade.pnl > 0 for trade in told.trades)
    assert figures["win_rate"].value == pytest.approx(wins / len(told.trades))
    assert figures["exposure"].value == pytest.approx(float(told.exposure.mean()))
    assert figures["expectancy"].value == pytest.approx(sum(float(t.pnl) for t in told.trades) / len(told.trades))
    for name in ("net_return", "sharpe", "sortino", "win_rate", "payoff", "expectancy"):
        figure = figures[name]
        assert figure.low is not None, name
        assert figure.high is not None
        assert figure.value is not None
        assert figure.low <= figure.value <= figure.high, name
    assert figures["cagr"].value is None
    assert "less than a year" in figures["cagr"].reason


def test_metrics_when_nothing_was_traded_then_undefined_says_why() -> None:
    told = run(replace(cross(60), config=replace(cross(60).config, strategies={"sma_cross": '{"slow_bars": 60}'})))
    evaluation = evaluate(told, QUICK)
    for name in ("sharpe", "win_rate", "payoff", "expectancy", "cost_share"):
        figure = evaluation.metrics[name]
        assert (figure.value, figure.low) == (None, None), name
        assert figure.reason, name
    assert evaluation.null.reason == "there are no trades"
    assert evaluation.order.reason == "0 trades have no order to change"
    assert evaluation.verdict.level is Level.TOO_FEW_TRADES


def test_hold_when_one_spot_then_bought_at_the_first_open_with_costs() -> None:
    told = run(cross(costs=PaperCosts.plain(Decimal(20), Decimal(30))))
    candles = told.series[0].candles
    quantity = 10_000 / (float(candles.open[0]) * 1.003 * 1.002)
    np.testing.assert_allclose(hold_curve(told), quantity * candles.close, rtol=1e-12)


def test_hold_when_two_instruments_then_half_the_money_each_and_cash_until_the_first_candle() -> None:
    (btc, first), (eth, second) = recorded("BTC", 400), recorded("ETH", 300)
    setup = replace(cross(), series={btc: first, eth: second})
    curve = hold_curve(run(setup))
    paid = 1.001
    early = 5_000 / (first.open[0] * paid) * first.close[10] + 5_000
    late = 5_000 / (first.open[0] * paid) * first.close[-1] + 5_000 / (second.open[0] * paid) * second.close[-1]
    assert curve[10] == pytest.approx(early)
    assert curve[-1] == pytest.approx(late)


def test_hold_when_a_perpetual_then_it_pays_its_funding() -> None:
    setup = cross(100, kind=Kind.PERPETUAL)
    (instrument,) = setup.series
    stamps = START_MS + HOUR.ms * np.arange(8, 100, 8, dtype=np.int64)
    funded = replace(setup, funding={instrument.key: FundingSeries(stamps, (Decimal("0.001"),) * len(stamps))})
    candles = setup.series[instrument]
    marks = candles.close[stamps // HOUR.ms - START_MS // HOUR.ms - 1]
    quantity = 10_000 / (float(candles.open[0]) * 1.001)
    paid = hold_curve(run(setup))[-1] - hold_curve(run(funded))[-1]
    assert paid == pytest.approx(quantity * float(marks.sum()) * 0.001)


def test_years_when_told_then_they_compound_to_the_whole_and_count_every_trade() -> None:
    setup = cross()
    instrument, candles = recorded("BTC", 12_000)
    told = run(replace(setup, series={instrument: candles}))
    days = days_of(told)
    hold = by_day(told.at_ms, hold_curve(told), 10_000.0, HOUR.ms)
    years = years_of(told, days, hold)
    assert len(years) > 1
    growth = [1 + (year.summary.net_return.value or 0.0) for year in years]
    assert np.prod(growth) * 10_000 == pytest.approx(float(told.final_equity))
    assert sum(year.trades for year in years) == len(told.trades)
    assert np.prod([1 + year.hold_return for year in years]) == pytest.approx(hold_curve(told)[-1] / 10_000)
    regimes = regimes_of(days, hold)
    for part in ("volatility", "trend"):
        assert sum(one.share for one in regimes if one.name.startswith(part)) == pytest.approx(1.0)
    assert {one.name for one in regimes} >= {"trend up", "trend down", "volatility high", "volatility low"}


def test_double_costs_when_run_again_then_the_run_with_twice_the_costs() -> None:
    setup = cross(costs=PaperCosts.plain(Decimal(10), Decimal(5)))
    expected = run(cross(costs=PaperCosts.plain(Decimal(20), Decimal(10))))
    found = evaluate(run(setup), QUICK).double_costs
    assert found.final_equity == expected.final_equity
    assert found.net_return.value == pytest.approx(float(expected.final_equity) / 10_000 - 1)
    everything = PaperCosts()
    twice = doubled(everything)
    assert [twice.maker_bps, twice.taker_bps, twice.spread_bps, twice.slippage_bps] == list(
        map(Decimal, (20, 20, 4, 2))
    )
    assert (twice.volume_share, twice.carry_bars) == (everything.volume_share, everything.carry_bars)


def test_null_when_entries_knew_the_future_then_almost_none_of_the_draws_is_better() -> None:
    told = run(cross(costs=PaperCosts.plain(Decimal(0))))
    candles = told.series[0].candles
    falls = np.argsort(candles.open[1:] - candles.open[:-1])
    best, worst = falls[-40:], falls[:40]

    def of(bars: IntArray) -> float:
        moves = {int(bar): float(candles.open[bar + 1] - candles.open[bar]) * 0.1 for bar in sorted(bars)}
        trades = tuple(trip(bar, bar + 1, f"{pnl:.8f}", candles) for bar, pnl in moves.items())
        return random_entries(replace(told, trades=trades), 200, 0).percentile

    assert of(best) == 1.0
    assert of(worst) == 0.0


def test_null_when_the_brake_ended_the_run_then_no_entry_is_drawn_after_it() -> None:
    told = crossed()
    half = len(told.trades) // 2
    last = told.trades[half - 1]
    assert last.exit_at is not None
    fills = tuple(fill for fill in told.fills if fill.at_ms <= int(last.exit_at.timestamp() * 1000) + HOUR.ms)
    stopped = replace(told, trades=told.trades[:half], fills=fills, stopped_at=last.exit_at)
    flat = np.where(np.arange(len(told.at_ms)) > last.exit_bar + 1, 1e9, told.series[0].candles.open)
    series = replace(told.series[0], candles=replace(told.series[0].candles, open=flat))
    assert np.abs(random_entries(replace(stopped, series=(series,)), 100, 0).draws).max() < 100


def test_verdict_when_the_market_is_noise_then_hardly_ever_told_from_luck() -> None:
    levels = [evaluate(run(cross(1_500, seed)), QUICK).verdict.level for seed in range(20)]
    assert levels.count(Level.DISTINGUISHABLE) <= 1
    assert levels.count(Level.LOSES) >= 10


def test_verdict_when_the_study_had_many_trials_then_they_count() -> None:
    days = days_of(crossed())
    alone = overfitting_figures(days, StudyFacts())
    among = overfitting_figures(days, StudyFacts(trials=200, sharpe_variance=0.01, overfitting=0.4))
    assert alone.deflated_sharpe is not None
    assert among.deflated_sharpe is not None
    assert among.deflated_sharpe < alone.deflated_sharpe
    assert (among.trials, among.overfitting) == (200, 0.4)
    unknown = overfitting_figures(days, StudyFacts(trials=200))
    assert unknown.deflated_sharpe is None
    assert "Sharpe ratios of the other trials are not known" in unknown.reason


def test_order_when_trades_are_shuffled_then_the_worst_twentieth_is_at_least_as_deep_as_the_median() -> None:
    found = order_of_trades(crossed(), 200, 0)
    assert found.worst_twentieth is not None
    assert found.median is not None
    assert -1.0 <= found.worst_twentieth <= found.median <= 0.0


def test_evaluation_when_made_twice_then_the_same_to_the_last_bit() -> None:
    one, other = evaluate(crossed(), QUICK), evaluate(crossed(), QUICK)
    assert one.metrics == other.metrics
    assert one.null.percentile == other.null.percentile
    assert one.verdict == other.verdict


def test_evaluation_when_the_engine_is_the_replay_then_the_same_figures() -> None:
    setup = cross(600)
    fast = evaluate(run(setup), QUICK)
    slow_run = run_backtest(setup, BacktestEngine.REPLAY)
    assert slow_run is not None
    slow = evaluate(slow_run, QUICK)
    assert slow.verdict == fast.verdict
    assert slow.double_costs.final_equity == pytest.approx(fast.double_costs.final_equity, abs=Decimal("1E-7"))
    for name, figure in fast.metrics.items():
        assert slow.metrics[name].value == (figure.value and pytest.approx(figure.value, rel=1e-7)), name


@cache
def braked() -> BacktestRun:
    instrument, candles = recorded("BTC")
    config = ReplayConfig({"momentum": "{}"}, Decimal(10_000), PaperCosts.plain(Decimal(10)))
    told = run(BacktestSetup(config, {instrument: candles}, stop=datetime(2026, 1, 1, tzinfo=UTC)))
    assert told.stopped_at is not None
    return told


def test_figures_when_the_brake_ended_the_run_then_all_are_of_the_days_it_lived() -> None:
    told = braked()
    assert told.stopped_at is not None
    cut = replace(told.setup, stop=told.stopped_at + timedelta(days=1))
    until, whole = evaluate(run(cut), QUICK), evaluate(told, QUICK)
    assert (len(until.days.returns), until.days_asked) == (len(whole.days.returns), whole.days_asked - 1_622)
    for names in ("metrics", "buy_and_hold", "volatility_hold"):
        of_cut, of_whole = getattr(until, names), getattr(whole, names)
        for name in ("sharpe", "cagr", "net_return", "max_drawdown"):
            assert of_whole[name].value == pytest.approx(of_cut[name].value, abs=1e-12), (names, name)
    assert until.overfitting.minimum_days == pytest.approx(whole.overfitting.minimum_days)
    assert whole.metrics["exposure"].value == pytest.approx(until.metrics["exposure"].value, rel=0.01)
    assert whole.years[-1].year == told.stopped_at.year


def test_drawdown_when_the_brake_acted_on_it_then_at_least_as_deep_as_its_limit() -> None:
    told, limit = braked(), braked().setup.config.risk.brake_drawdown
    figures = evaluate(told, QUICK).metrics
    assert figures["max_drawdown"].value == pytest.approx(-told.drawdown.max())
    assert -(figures["max_drawdown"].value or 0.0) >= float(limit)
    growth, calmar = figures["cagr"].value, figures["calmar"].value
    assert growth is not None
    assert calmar == pytest.approx(growth / told.drawdown.max())


def test_double_costs_when_nothing_was_paid_then_not_measured_and_never_the_best_level() -> None:
    found = evaluate(run(cross(costs=PaperCosts.plain(Decimal(0)))), QUICK)
    assert (found.double_costs.net_return.value, found.double_costs.sharpe.value) == (None, None)
    assert found.double_costs.net_return.reason == "no costs were given"
    assert found.verdict.level is not Level.DISTINGUISHABLE


def test_days_when_equity_falls_below_zero_then_everything_is_lost_once() -> None:
    days = by_day(START_MS + DAY_MS * np.arange(1, 5), np.array([100.0, -5.0, 40.0, 60.0]), 100.0, DAY_MS)
    np.testing.assert_allclose(days.returns, [0.0, -1.0, 0.0, 0.0])


def all_in_at_random(seed: int) -> float:
    """Percentile of all-in trades at random times, compounded, on a market that rises for a while."""
    told, rng = crossed(), np.random.default_rng(seed)
    bars = len(told.series[0].candles)
    rise = np.where(np.arange(bars) < bars // 2, 6e-4, 0.0)
    opens = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.006, bars) + rise))
    series = replace(told.series[0], candles=replace(told.series[0].candles, open=opens, close=opens))
    holds = rng.integers(1, 40, 50)
    offsets = np.sort(rng.integers(0, bars - 1 - int(holds.sum()), 50))
    equity, cash, trades = np.full(bars, 10_000.0), 10_000.0, []
    for entry, hold in zip((offsets + np.cumsum(holds) - holds).tolist(), holds.tolist(), strict=True):
        quantity, pnl = cash / opens[entry], cash * (opens[entry + hold] / opens[entry] - 1.0)
        one = trip(entry, entry + hold, f"{pnl:.8f}", series.candles)
        trades.append(replace(one, quantity=Decimal(f"{quantity:.10f}")))
        cash += pnl
        equity[entry + hold - 1 :] = cash
    made_up = replace(told, series=(series,), trades=tuple(trades), equity=equity)
    free = replace(made_up.setup.config, costs=PaperCosts.plain(Decimal(0)))
    return random_entries(replace(made_up, setup=replace(made_up.setup, config=free)), 100, seed).percentile


def test_null_when_random_entries_compound_all_in_then_their_percentiles_are_spread_evenly() -> None:
    found = np.array([all_in_at_random(seed) for seed in range(120)])
    assert found.mean() == pytest.approx(0.5, abs=0.08)
    assert 1 <= (found > 0.95).sum() <= 16


def test_exits_when_counted_then_all_trades_and_their_result() -> None:
    told = crossed()
    exits = evaluate(told, QUICK).exits
    assert sum(one.trades for one in exits) == len(told.trades)
    assert sum(one.pnl for one in exits) == sum(trade.pnl for trade in told.trades)
