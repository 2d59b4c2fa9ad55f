"""What every strategy of the registry promises: causal, bounded in memory, steady, never undefined while trading."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.domain.market import CandleArrays
from engine.domain.ports import Strategy
from engine.quant.arrays import FloatArray
from engine.strategies import STRATEGIES
from engine.strategies.warm import compile_all
from tests.strategies.made_candles import (
    candles_of,
    hourly_bitcoin,
    minutes_of_bitcoin,
    random_candles,
    with_volume,
)

STEPS = {-1.0, -0.5, 0.0, 0.5, 1.0}
SMALL: dict[str, dict[str, object]] = {
    "momentum": {
        "fast_ema_bars": 4,
        "slow_ema_bars": 9,
        "volume_window_bars": 10,
        "higher_timeframe_bars": 3,
        "max_hold_bars": 20,
        "atr_period_bars": 5,
    },
    "mean_reversion": {"zscore_window_bars": 20, "stationarity_window_bars": 40, "max_hold_bars": 15},
    "breakout": {"channel_bars": 15, "exit_channel_bars": 7, "volatility_window_bars": 30, "max_hold_bars": 25},
}
every_strategy = pytest.mark.parametrize("name", STRATEGIES)


def default(name: str) -> Strategy:
    """A strategy as it comes."""
    return STRATEGIES[name].build(STRATEGIES[name].config())


def small(name: str) -> Strategy:
    """A strategy with short windows, so that short random series hold many trades."""
    return STRATEGIES[name].build(STRATEGIES[name].config.model_validate(SMALL[name]))


def answers(strategy: Strategy, candles: CandleArrays) -> tuple[FloatArray, FloatArray]:
    """Both arrays, after checking what must always hold of them."""
    convictions, stops = strategy.convictions(candles), strategy.stop_distances(candles)
    assert len(convictions) == len(stops) == len(candles)
    warm = strategy.lookback_bars - 1
    assert np.isnan(convictions[:warm]).all()
    assert np.isnan(stops[:warm]).all()
    assert set(convictions[warm:]) <= STEPS
    assert not (stops <= 0.0).any()
    assert (convictions[warm:][np.isnan(stops[warm:])] == 0.0).all()
    return convictions, stops


def assert_window_equals_whole(strategy: Strategy, candles: CandleArrays, bars: list[int]) -> None:
    """The last value of a window of ``lookback_bars`` equals that of the whole series at each of ``bars``."""
    convictions, stops = answers(strategy, candles)
    for bar in bars:
        window = candles.slice(bar + 1 - strategy.lookback_bars, bar + 1)
        assert strategy.convictions(window)[-1] == pytest.approx(convictions[bar], abs=1e-9), bar
        assert strategy.stop_distances(window)[-1] == pytest.approx(stops[bar], rel=1e-9, nan_ok=True), bar


@every_strategy
@pytest.mark.parametrize("market", [hourly_bitcoin, minutes_of_bitcoin])
def test_window_when_candles_are_real_then_equals_whole(name: str, market: Callable[[], CandleArrays]) -> None:
    strategy, candles = default(name), market()
    first = strategy.lookback_bars - 1
    random = np.random.default_rng(11).integers(first, len(candles), 600).tolist()
    changes = np.flatnonzero(np.diff(np.nan_to_num(strategy.convictions(candles)))) + 1
    around = [int(bar) for bar in changes[:: max(1, len(changes) // 200)] if bar >= first]
    assert_window_equals_whole(strategy, candles, [first, first + 1, first + 2, len(candles) - 1, *random, *around])


@every_strategy
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 100_000), missing=st.sampled_from([0.0, 0.1, 0.6]))
def test_window_when_candles_are_random_then_equals_whole_at_every_bar(name: str, seed: int, missing: float) -> None:
    strategy = small(name)
    candles = random_candles(seed, strategy.lookback_bars + 150, missing)
    assert_window_equals_whole(strategy, candles, list(range(strategy.lookback_bars - 1, len(candles))))


@every_strategy
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 100_000), cut=st.integers(1, 150))
def test_past_when_future_is_cut_off_then_unchanged_to_the_last_bit(name: str, seed: int, cut: int) -> None:
    strategy = small(name)
    candles = random_candles(seed, strategy.lookback_bars + 150, 0.1)
    known = len(candles) - cut
    for whole, part in zip(answers(strategy, candles), answers(strategy, candles.slice(0, known)), strict=True):
        np.testing.assert_array_equal(part, whole[:known])


@every_strategy
def test_past_when_future_of_real_candles_is_cut_off_then_unchanged(name: str) -> None:
    strategy, candles = default(name), hourly_bitcoin()
    whole = strategy.convictions(candles)
    for known in (strategy.lookback_bars, 5_000, 40_001):
        np.testing.assert_array_equal(strategy.convictions(candles.slice(0, known)), whole[:known])


@every_strategy
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_past_when_future_is_replaced_then_unchanged(name: str, seed: int) -> None:
    strategy = small(name)
    known = strategy.lookback_bars + 60
    candles, other = random_candles(seed, known + 40), random_candles(seed + 1, 40)
    joined = candles_of(np.concatenate((candles.close[:known], other.close)))
    alone = candles_of(candles.close[:known])
    np.testing.assert_array_equal(strategy.convictions(joined)[:known], strategy.convictions(alone))


@every_strategy
@pytest.mark.parametrize("market", [hourly_bitcoin, minutes_of_bitcoin])
def test_convictions_when_candles_are_real_then_steady_and_on_both_sides(
    name: str, market: Callable[[], CandleArrays]
) -> None:
    strategy, candles = default(name), market()
    convictions, _ = answers(strategy, candles)
    side = np.sign(convictions[strategy.lookback_bars - 1 :])
    entries = int(((side[1:] != side[:-1]) & (side[1:] != 0.0)).sum())
    assert 100 <= entries <= 1_000
    assert (side > 0).any()
    assert (side < 0).any()
    held = int((side != 0.0).sum())
    assert held / entries > 10, "a position must last, not flicker"


@every_strategy
def test_lookback_when_defaults_are_used_then_moderate(name: str) -> None:
    assert default(name).lookback_bars <= 1_500


@every_strategy
@pytest.mark.parametrize("missing_bars", [0, 1, 50])
def test_answers_when_history_is_too_short_then_no_opinion(name: str, missing_bars: int) -> None:
    strategy = small(name)
    for bars in (0, 1, 2, strategy.lookback_bars - 1 - missing_bars):
        convictions, stops = answers(strategy, candles_of(np.linspace(100.0, 110.0, bars)))
        assert np.isnan(convictions).all()
        assert np.isnan(stops).all()


@every_strategy
@pytest.mark.parametrize("price", [1e-8, 1.0, 1e5])
def test_answers_when_market_never_moves_then_flat_without_stop(name: str, price: float) -> None:
    strategy = small(name)
    candles = candles_of(np.full(strategy.lookback_bars + 50, price), spread=0.0)
    convictions, stops = answers(strategy, candles)
    assert (convictions[strategy.lookback_bars - 1 :] == 0.0).all()
    assert np.isnan(stops).all()


@every_strategy
def test_answers_when_market_stops_moving_then_position_is_given_up(name: str) -> None:
    strategy = small(name)
    moving = random_candles(5, strategy.lookback_bars + 100).close
    frozen = np.full(strategy.lookback_bars + 100, moving[-1])
    convictions, stops = answers(strategy, candles_of(np.concatenate((moving, frozen)), spread=0.0))
    assert convictions[-1] == 0.0
    assert np.isnan(stops[-1])
    assert_window_equals_whole(
        strategy, candles_of(np.concatenate((moving, frozen)), spread=0.0), [len(moving) + len(frozen) - 1]
    )


@every_strategy
def test_answers_when_nothing_is_traded_then_defined(name: str) -> None:
    strategy = small(name)
    candles = random_candles(6, strategy.lookback_bars + 200)
    convictions, _ = answers(strategy, with_volume(candles, np.zeros(len(candles))))
    assert set(np.abs(convictions[strategy.lookback_bars :])) <= STEPS


@every_strategy
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_answers_when_bars_are_shuffled_then_still_within_range(name: str, seed: int) -> None:
    strategy = small(name)
    candles = random_candles(seed, strategy.lookback_bars + 100)
    order = np.random.default_rng(seed).permutation(len(candles))
    columns = (getattr(candles, column)[order] for column in ("open", "high", "low", "close", "volume"))
    answers(strategy, CandleArrays(candles.timeframe, candles.opened_at_ms, *columns))


@every_strategy
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 100_000), exponent=st.integers(-20, 20))
def test_answers_when_price_is_scaled_then_convictions_stay_and_stops_scale(
    name: str, seed: int, exponent: int
) -> None:
    strategy = small(name)
    close = random_candles(seed, strategy.lookback_bars + 150).close
    plain, scaled = candles_of(close), candles_of(close * 2.0**exponent)
    for (old, new), factor in zip(
        zip(answers(strategy, plain), answers(strategy, scaled), strict=True), (1.0, 2.0**exponent), strict=True
    ):
        np.testing.assert_array_equal(new, old * factor)


@every_strategy
def test_answers_when_price_is_mirrored_then_long_becomes_short(name: str) -> None:
    strategy = small(name)
    close = np.round(random_candles(8, strategy.lookback_bars + 600).close * 64.0)
    up = candles_of(close, spread=0.0)
    mirror = 2.0**17
    down = CandleArrays(
        up.timeframe, up.opened_at_ms, mirror - up.open, mirror - up.low, mirror - up.high, mirror - up.close, up.volume
    )
    convictions, _ = answers(strategy, up)
    assert set(convictions[strategy.lookback_bars :]) > {0.0}
    np.testing.assert_array_equal(answers(strategy, down)[0], 0.0 - convictions)


@every_strategy
def test_input_when_strategy_has_answered_then_untouched(name: str) -> None:
    strategy = small(name)
    candles = random_candles(9, strategy.lookback_bars + 20)
    copies = [np.array(column) for column in (candles.high, candles.low, candles.close, candles.volume)]
    for column in (candles.open, candles.high, candles.low, candles.close, candles.volume, candles.opened_at_ms):
        column.flags.writeable = False
    answers(strategy, candles)
    for column, copy in zip((candles.high, candles.low, candles.close, candles.volume), copies, strict=True):
        np.testing.assert_array_equal(column, copy)


@every_strategy
def test_registry_when_shown_to_people_then_complete(name: str) -> None:
    kind = STRATEGIES[name]
    assert kind.name == name
    assert kind.title
    assert kind.summary.endswith(".")
    for field in kind.config.model_fields.values():
        assert field.description


@every_strategy
def test_config_when_written_as_json_then_read_back_equal(name: str) -> None:
    config = STRATEGIES[name].config()
    assert STRATEGIES[name].config.model_validate_json(config.model_dump_json()) == config


@every_strategy
def test_config_when_field_is_unknown_or_not_a_number_then_refused_by_name(name: str) -> None:
    config = STRATEGIES[name].config
    with pytest.raises(ValidationError, match="leverage"):
        config.model_validate({"leverage": 3})
    for field in config.model_fields:
        with pytest.raises(ValidationError, match=field):
            config.model_validate({field: float("nan")})
        with pytest.raises(ValidationError, match=field):
            config.model_validate({field: -100})
        with pytest.raises(ValidationError, match=field):
            config.model_validate({field: 1_000_000})


@every_strategy
def test_config_when_changed_after_the_fact_then_refused(name: str) -> None:
    config = STRATEGIES[name].config()
    with pytest.raises(ValidationError, match="frozen"):
        config.max_hold_bars = 5  # type: ignore[attr-defined]


def test_compile_all_when_called_twice_then_second_is_quick_and_harmless() -> None:
    compile_all()
    compile_all()
