"""The simulated market: reproducible, lifelike, and without anything that a strategy could live on."""

from __future__ import annotations

import json
import time
import tracemalloc
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.errors import BadInput
from engine.domain.instruments import InstrumentKey, Kind
from engine.domain.market import FloatArray, from_ms
from engine.simulation.demo_listings import DEMO_COINS
from engine.simulation.market import MarketSimulator
from engine.simulation.market_day import GENESIS_MS, MINUTE, MINUTES_A_DAY, MarketDay
from engine.simulation.market_process import MarketShape, MarketState, generate_day

BTC_A, BTC_B = InstrumentKey("demo-a:BTC/USDT"), InstrumentKey("demo-b:BTC/USDT")
ETH_A, BTC_PERP = InstrumentKey("demo-a:ETH/USDT"), InstrumentKey("demo-b:BTC/USDT:USDT")
NAMES = ("open", "high", "low", "close", "volume", "spread", "bid_depth", "ask_depth", "funding", "sigma")


@cache
def _long_run() -> MarketSimulator:
    """Sixty days kept in memory, for the tests of distributions."""
    simulator = MarketSimulator(20, kept_days=61)
    simulator.day(59)
    return simulator


def _closes(key: InstrumentKey) -> FloatArray:
    return _long_run().window(key, GENESIS_MS, GENESIS_MS + 60 * MINUTES_A_DAY * MINUTE.ms).close


def _returns(key: InstrumentKey) -> FloatArray:
    moves: FloatArray = np.diff(np.log(_closes(key)))
    return moves


def _equal(one: MarketDay, other: MarketDay) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in NAMES)


def test_instruments_when_listed_then_two_venues_carry_spot_and_perpetuals() -> None:
    instruments = MarketSimulator(1).instruments
    assert [instrument.key for instrument in instruments] == sorted(instrument.key for instrument in instruments)
    assert {instrument.venue for instrument in instruments} == {"demo-a", "demo-b"}
    assert len(instruments) >= 10
    perpetuals = [instrument for instrument in instruments if instrument.kind is Kind.PERPETUAL]
    assert {instrument.symbol for instrument in perpetuals} == {"BTC/USDT:USDT", "ETH/USDT:USDT"}


@given(seed=st.integers(0, 2**63 - 1), first=st.integers(0, 3))
@settings(max_examples=5, deadline=None)
def test_day_when_asked_in_another_order_then_it_is_the_same(seed: int, first: int) -> None:
    forwards, jumping = MarketSimulator(seed), MarketSimulator(seed)
    expected = [forwards.day(index) for index in range(4)]
    assert _equal(jumping.day(first), expected[first])
    assert all(_equal(jumping.day(index), expected[index]) for index in (3, 1, 0, 2))


@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(0, 5), max_size=3))
@settings(max_examples=5, deadline=None)
def test_state_when_restored_from_json_then_the_market_goes_on_exactly(seed: int, cuts: list[int]) -> None:
    uninterrupted = MarketSimulator(seed)
    expected = [uninterrupted.day(index) for index in range(7)]
    simulator = MarketSimulator(seed)
    for cut in sorted(cuts):
        simulator.day(cut)
        simulator = MarketSimulator.from_state(json.loads(json.dumps(simulator.state())))
    assert all(_equal(simulator.day(index), expected[index]) for index in range(7))


def test_day_when_the_seed_differs_then_the_prices_do() -> None:
    assert not _equal(MarketSimulator(1).day(0), MarketSimulator(2).day(0))


def test_candles_when_generated_then_high_and_low_enclose_and_everything_is_on_its_grid() -> None:
    day = _long_run().day(30)
    assert (day.low <= np.minimum(day.open, day.close)).all()
    assert (day.high >= np.maximum(day.open, day.close)).all()
    assert min(day.low.min(), day.volume.min(), day.spread.min(), day.bid_depth.min(), day.ask_depth.min()) >= 1
    candle = day.candle(0, _long_run().instruments[0], 17)
    assert candle.close % _long_run().instruments[0].tick_size == 0
    assert candle.volume % _long_run().instruments[0].lot_size == 0


def test_window_when_read_as_floats_then_each_is_the_nearest_to_its_decimal() -> None:
    simulator = _long_run()
    row = simulator.row(BTC_PERP)
    series = simulator.window(BTC_PERP, GENESIS_MS, GENESIS_MS + MINUTES_A_DAY * MINUTE.ms)
    for minute in (0, 1, 719, 1439):
        candle = simulator.day(0).candle(row, simulator.instruments[row], minute)
        assert float(candle.high) == series.high[minute]
        assert float(candle.volume) == series.volume[minute]
        assert candle.opened_at == from_ms(int(series.opened_at_ms[minute]))


def test_window_when_days_join_then_time_is_gapless_and_prices_do_not_jump_at_midnight() -> None:
    series = _long_run().window(ETH_A, GENESIS_MS, GENESIS_MS + 60 * MINUTES_A_DAY * MINUTE.ms)
    assert set(np.diff(series.opened_at_ms)) == {MINUTE.ms}
    midnights = np.arange(MINUTES_A_DAY, len(series), MINUTES_A_DAY)
    steps = np.abs(np.log(series.open[midnights] / series.close[midnights - 1]))
    assert np.median(steps) < 1e-4


def test_window_when_nothing_is_inside_then_it_is_empty_and_before_the_beginning_is_cut() -> None:
    simulator = MarketSimulator(3)
    assert len(simulator.window(BTC_A, GENESIS_MS, GENESIS_MS)) == 0
    assert len(simulator.window(BTC_A, GENESIS_MS - 10**9, GENESIS_MS - 5)) == 0
    assert len(simulator.window(BTC_A, GENESIS_MS - 10**9, GENESIS_MS + 2 * MINUTE.ms)) == 2


def test_returns_when_measured_then_tails_are_fat_and_volatility_clusters() -> None:
    for key in (BTC_A, ETH_A):
        moves = _returns(key)
        size = np.abs(moves)
        assert np.mean(moves**4) / np.mean(moves**2) ** 2 > 5
        assert np.corrcoef(size[:-30], size[30:])[0, 1] > 0.08


def test_returns_when_two_coins_are_compared_then_they_move_together() -> None:
    assert 0.4 < np.corrcoef(_returns(BTC_A), _returns(ETH_A))[0, 1] < 0.95


@pytest.mark.parametrize(("other", "limit"), [(BTC_B, 0.0015), (BTC_PERP, 0.003)])
def test_prices_when_a_coin_trades_twice_then_they_stay_close_but_not_equal(other: InstrumentKey, limit: float) -> None:
    apart = np.log(_closes(other) / _closes(BTC_A))
    assert np.abs(apart).max() < limit
    assert apart.std() > 0.0001
    assert abs(apart.mean()) < 0.0001


def test_volume_when_the_market_moves_then_it_is_larger() -> None:
    series = _long_run().window(BTC_A, GENESIS_MS, GENESIS_MS + 60 * MINUTES_A_DAY * MINUTE.ms)
    traded = series.volume * series.close
    assert np.corrcoef(traded[1:], np.abs(_returns(BTC_A)))[0, 1] > 0.4
    by_hour = traded.reshape(60, 24, 60).mean(axis=(0, 2))
    assert by_hour[13:18].mean() > 1.2 * by_hour[1:6].mean()


def test_volatility_when_annualised_then_it_is_that_of_real_coins() -> None:
    for coin in DEMO_COINS:
        yearly = _returns(InstrumentKey(f"demo-a:{coin.name}/USDT")).std() * np.sqrt(525_600)
        assert 0.3 < yearly < 1.6, coin.name


def test_funding_when_stamped_then_it_is_small_signed_and_only_for_perpetuals() -> None:
    simulator = _long_run()
    row = simulator.row(BTC_PERP)
    rates = np.concatenate([simulator.day(index).funding[row] for index in range(60)]) * 1e-8
    assert rates.min() < 0 < rates.max()
    assert np.abs(rates).max() < 0.0075
    assert abs(rates.mean()) < 4 * rates.std() / np.sqrt(len(rates) / 3)
    assert not simulator.day(5).funding[simulator.row(BTC_A)].any()
    assert simulator.day(5).funding_stamps(simulator.instruments, 478) == ()
    stamp = simulator.day(5).funding_stamps(simulator.instruments, 479)[0]
    assert stamp.instrument == BTC_PERP
    assert stamp.at == from_ms(simulator.day(5).opened_at_ms(480))
    assert stamp.rate == Decimal(int(simulator.day(5).funding[row, 0])) * Decimal("1e-8")


@pytest.mark.parametrize("horizon", [5, 30, 240])
def test_returns_when_summed_over_longer_spans_then_variance_grows_in_proportion(horizon: int) -> None:
    ratios = []
    for coin in DEMO_COINS:
        moves = _returns(InstrumentKey(f"demo-a:{coin.name}/USDT"))
        longer = moves[: len(moves) // horizon * horizon].reshape(-1, horizon).sum(axis=1)
        ratios.append(longer.var() / horizon / moves.var())
    assert abs(np.mean(ratios) - 1) < 0.15


def _trades(positions: FloatArray, closes: FloatArray, hold: int) -> FloatArray:
    """Gross return of each trade: position times what the price did in the next ``hold`` minutes."""
    entries = np.arange(0, len(closes) - hold, hold)
    gross: FloatArray = positions[entries] * (closes[entries + hold] / closes[entries] - 1)
    taken: FloatArray = gross[positions[entries] != 0]
    return taken


def _gross_by_rule(rule: str, hold: int) -> FloatArray:
    rng = np.random.default_rng(5)
    collected = []
    for instrument in _long_run().instruments:
        closes = _closes(instrument.key)
        past = np.zeros(len(closes))
        past[hold:] = closes[hold:] / closes[:-hold] - 1
        chosen = {
            "random": rng.choice([-1.0, 1.0], len(closes)),
            "always long": np.ones(len(closes)),
            "follow": np.sign(past),
            "fade": -np.sign(past),
        }[rule]
        collected.append(_trades(chosen, closes, hold))
    return np.concatenate(collected)


@pytest.mark.parametrize("hold", [5, 30, 120])
def test_trading_when_entries_are_random_then_on_average_they_lose_their_costs(hold: int) -> None:
    cost = 2 * (10 + 1 + 1) * 1e-4
    gross = _gross_by_rule("random", hold)
    error = gross.std() / np.sqrt(len(gross))
    assert abs(gross.mean()) < 4 * error
    assert (gross - cost).mean() < -cost / 2


@pytest.mark.parametrize("rule", ["always long", "follow", "fade"])
@pytest.mark.parametrize("hold", [5, 30, 120])
def test_trading_when_a_simple_rule_is_followed_then_it_does_not_earn_its_costs(rule: str, hold: int) -> None:
    gross = _gross_by_rule(rule, hold)
    assert (gross - 24e-4).mean() < 0


def test_price_when_far_outside_its_range_then_it_is_pulled_back_and_inside_it_is_not() -> None:
    simulator = MarketSimulator(4)
    shape = MarketShape.of(simulator.listings, DEMO_COINS)
    start = shape.first_state(4)
    far = MarketState(0, start.log_price + np.log(60.0), start.slow, start.fast, start.basis)
    drifted = []
    for state in (start, far):
        reached = state
        for _ in range(40):
            _, reached = generate_day(4, shape, reached)
        drifted.append(reached.log_price - state.log_price)
    assert (drifted[1] - drifted[0] < -0.5).all()


def test_generation_when_timed_then_a_day_costs_a_few_milliseconds() -> None:
    simulator = MarketSimulator(6)
    simulator.day(0)
    started = time.process_time()
    simulator.day(20)
    assert (time.process_time() - started) / 20 < 0.05


def test_memory_when_days_pass_then_it_stays_flat() -> None:
    simulator = MarketSimulator(7, kept_days=4)
    simulator.day(6)
    tracemalloc.start()
    simulator.day(7)
    before, _ = tracemalloc.get_traced_memory()
    simulator.day(25)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 8_000_000
    assert len(simulator.state()["days"]) <= 6


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"version": 99, "seed": 1, "days": []},
        {"version": 1, "seed": 1, "days": "none"},
        {"version": 1, "seed": 1, "days": [{"day": 1}]},
        {"version": 1, "seed": 1, "days": [{"day": 1, "log_price": [1], "slow": [], "fast": [], "basis": []}]},
    ],
)
def test_state_when_it_cannot_be_used_then_bad_input_says_so(values: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="saved market state"):
        MarketSimulator.from_state(values)


def test_state_when_of_another_seed_then_it_is_refused() -> None:
    with pytest.raises(BadInput, match="seed 2"):
        MarketSimulator(2).restore(MarketSimulator(1).state())


def test_simulator_when_asked_for_what_is_not_there_then_bad_input() -> None:
    with pytest.raises(BadInput, match="seed -1"):
        MarketSimulator(-1)
    with pytest.raises(BadInput, match="no day -1"):
        MarketSimulator(1).day(-1)
    with pytest.raises(BadInput, match="demo-a:PEPE/USDT"):
        MarketSimulator(1).row(InstrumentKey("demo-a:PEPE/USDT"))


def test_path_when_drawn_then_it_starts_at_the_open_and_stays_in_the_candle() -> None:
    simulator = _long_run()
    path, day = simulator.path(10, 100), simulator.day(10)
    assert path.shape == (len(simulator.instruments), 60)
    assert np.allclose(path[:, 0], day.open[:, 100])
    assert (path >= day.low[:, 100, None]).all()
    assert (path <= day.high[:, 100, None]).all()
    assert np.array_equal(path, simulator.path(10, 100))
