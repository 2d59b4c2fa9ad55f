"""Momentum on markets drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from engine.domain.market import CandleArrays
from engine.quant.arrays import FloatArray
from engine.strategies.momentum import Momentum, MomentumConfig
from tests.strategies.made_candles import candles_of, with_volume

CONFIG = MomentumConfig(
    fast_ema_bars=5, slow_ema_bars=10, volume_window_bars=10, higher_timeframe_bars=3, max_hold_bars=30
)


def drift(bars: int, per_bar: float, seed: int = 1) -> FloatArray:
    """Log prices that wander a little and drift."""
    return np.cumsum(np.random.default_rng(seed).normal(per_bar, 0.0005, bars))


def market(*legs: FloatArray) -> CandleArrays:
    """Legs of log prices, one after the other."""
    path, level = [], 0.0
    for leg in legs:
        path.append(leg + level)
        level = float(path[-1][-1])
    return candles_of(1_000.0 * np.exp(np.concatenate(path)), spread=0.0005)


@pytest.mark.parametrize(("per_bar", "side"), [(0.002, 1.0), (-0.002, -1.0)])
def test_momentum_when_market_trends_then_follows(per_bar: float, side: float) -> None:
    candles = market(drift(CONFIG.max_hold_bars + 500, per_bar))
    strategy = Momentum(CONFIG)
    convictions = strategy.convictions(candles)[strategy.lookback_bars :]
    assert (np.sign(convictions) == side).all()
    assert (np.abs(convictions) == 0.5).all(), "volume never rose above its average"


def test_momentum_when_volume_rises_in_the_trend_then_full_size() -> None:
    candles = market(drift(600, 0.002))
    volume = np.ones(600)
    volume[590] = 5.0
    convictions = Momentum(CONFIG).convictions(with_volume(candles, volume))
    assert convictions[589:].tolist() == [0.5] + [1.0] * 10


def test_momentum_when_trend_turns_then_turns_within_its_averages() -> None:
    candles = market(drift(500, 0.002), drift(100, -0.004))
    convictions = Momentum(CONFIG).convictions(candles)
    assert convictions[499] > 0.0
    assert convictions[520] <= 0.0
    assert convictions[-1] < 0.0


def test_momentum_when_higher_timeframe_disagrees_then_waits() -> None:
    config = CONFIG.model_copy(update={"higher_timeframe_factor": 30, "higher_timeframe_bars": 10})
    candles = market(drift(900, -0.002), drift(40, 0.004))
    assert not (Momentum(config).convictions(candles)[-40:] > 0.0).any()
    assert (Momentum(CONFIG).convictions(candles)[-40:] > 0.0).any()


def test_momentum_when_stop_is_asked_then_multiple_of_atr() -> None:
    candles = candles_of(np.full(600, 100.0), spread=0.005)
    assert Momentum(CONFIG).stop_distances(candles)[-1] == pytest.approx(3.0 * 1.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fast_ema_bars": 72}, r"fast_ema_bars \(72\) must be below slow_ema_bars \(72\)"),
        ({"exit_gap_atr": 1.0}, r"exit_gap_atr \(1.0\) must be below entry_gap_atr \(1.0\)"),
        ({"fast_ema_bars": 1}, "fast_ema_bars"),
        ({"stop_atr_multiple": 0.0}, "stop_atr_multiple"),
        ({"volume_ratio": float("inf")}, "volume_ratio"),
        ({"max_hold_bars": 0}, "max_hold_bars"),
    ],
)
def test_config_when_values_contradict_then_refused_by_name(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MomentumConfig.model_validate(values)


def test_lookback_when_higher_timeframe_is_slowest_then_counts_it() -> None:
    config = CONFIG.model_copy(
        update={"higher_timeframe_factor": 60, "higher_timeframe_bars": 60, "atr_period_bars": 2}
    )
    assert Momentum(config).lookback_bars == 61 * 60 + 30
