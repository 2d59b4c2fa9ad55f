"""Breakout on markets drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from engine.quant.arrays import FloatArray
from engine.strategies.breakout import Breakout, BreakoutConfig
from tests.strategies.made_candles import candles_of

CONFIG = BreakoutConfig(channel_bars=20, exit_channel_bars=10, volatility_window_bars=50, max_hold_bars=60)
LENGTH = 700


def sideways(seed: int = 1) -> FloatArray:
    """Noise between 99 and 101 without memory."""
    return 100.0 + np.random.default_rng(seed).uniform(-1.0, 1.0, LENGTH)


def convictions(close: FloatArray, config: BreakoutConfig = CONFIG) -> FloatArray:
    """What the strategy wishes on candles through these closes."""
    return Breakout(config).convictions(candles_of(close))


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_breakout_when_close_leaves_the_range_then_follows_until_the_exit_channel(side: float) -> None:
    close = sideways()
    close[640:] = 100.0 + side * (3.0 + 0.2 * np.arange(60))
    close[670:] = 100.0 + side * 6.0
    wishes = convictions(close)
    assert wishes[639] == 0.0
    assert (wishes[640:670] == side).all()
    assert wishes[670] == 0.0


def test_breakout_when_market_stays_in_its_range_then_never_trades() -> None:
    assert not np.nan_to_num(convictions(sideways())).any()


def test_breakout_when_move_is_too_small_for_the_buffer_then_waits() -> None:
    close = sideways()
    close[640] = candles_of(close).high[620:640].max() + 0.05
    assert convictions(close)[640] == 0.0
    assert convictions(close, CONFIG.model_copy(update={"entry_buffer_atr": 0.0}))[640] == 1.0


@pytest.mark.parametrize(
    "filter_values",
    [
        {"minimum_volatility_ratio": 1.5},
        {"minimum_volatility_ratio": 0.0, "maximum_volatility_ratio": 0.9},
    ],
)
def test_breakout_when_volatility_is_unusual_then_no_entry(filter_values: dict[str, float]) -> None:
    close = sideways()
    close[640:] = 103.0
    assert convictions(close)[640] == 1.0
    assert convictions(close, CONFIG.model_copy(update=filter_values))[640] == 0.0


def test_breakout_when_price_stands_beyond_the_range_then_leaves_after_the_longest_holding() -> None:
    close = sideways()
    close[600:] = 103.0 + 0.001 * np.random.default_rng(2).uniform(0.0, 1.0, 100)
    wishes = convictions(close, CONFIG.model_copy(update={"exit_channel_bars": 20, "max_hold_bars": 15}))
    assert wishes[600] == 1.0
    assert wishes[614] == 1.0
    assert wishes[615] == 0.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"exit_channel_bars": 73}, r"exit_channel_bars \(73\) must not exceed channel_bars \(72\)"),
        ({"minimum_volatility_ratio": 2.5}, r"minimum_volatility_ratio \(2.5\) must be below"),
        ({"channel_bars": 4}, "channel_bars"),
        ({"atr_period_bars": 51}, "atr_period_bars"),
    ],
)
def test_config_when_values_contradict_then_refused_by_name(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BreakoutConfig.model_validate(values)
