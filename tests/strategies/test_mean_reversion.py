"""Mean reversion on markets drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from engine.quant import meanreversion
from engine.quant.arrays import FloatArray
from engine.quant.meanreversion import Significance
from engine.strategies.mean_reversion import MeanReversion, MeanReversionConfig
from tests.strategies.made_candles import candles_of

CONFIG = MeanReversionConfig(
    zscore_window_bars=30, stationarity_window_bars=60, max_hold_bars=20, significance=Significance.FIVE_PERCENT
)
LENGTH = 600


def stationary(seed: int = 3) -> FloatArray:
    """Noise around 100 that is pulled back within a few bars."""
    steps = np.random.default_rng(seed).normal(0.0, 0.2, LENGTH)
    x = np.zeros(LENGTH)
    for t in range(1, LENGTH):
        x[t] = 0.5 * x[t - 1] + np.clip(steps[t], -0.3, 0.3)
    return 100.0 + x


def convictions(close: FloatArray, config: MeanReversionConfig = CONFIG) -> FloatArray:
    """What the strategy wishes on candles through these closes."""
    return MeanReversion(config).convictions(candles_of(close))


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_reversion_when_price_strays_then_trades_back_and_leaves_at_the_mean(side: float) -> None:
    close = stationary()
    close[549] = 100.0
    close[550:553] = 100.7
    close[553:] = 100.0
    wishes = convictions(close if side < 0.0 else 200.0 - close)
    assert wishes[549] == 0.0
    assert wishes[550] == side
    assert wishes[552] == side
    assert (wishes[553:] == 0.0).all()


def test_reversion_when_price_runs_away_then_gives_up_and_does_not_come_back() -> None:
    close = stationary()
    close[550] = 100.9
    close[551:] = 110.0 + 5.0 * np.arange(49)
    wishes = convictions(close)
    assert wishes[550] == -1.0
    assert (wishes[551:] == 0.0).all()


def test_reversion_when_price_never_returns_then_leaves_after_the_longest_holding() -> None:
    close = stationary()
    close[550:] = 100.9 + 0.05 * np.arange(50)
    config = CONFIG.model_copy(update={"stop_z": 19.0, "exit_z": 0.0})
    wishes = convictions(close, config)
    assert (wishes[550:570] == -1.0).all()
    assert wishes[570] == 0.0


def test_reversion_when_random_walk_is_not_rejected_then_no_entry() -> None:
    random = np.random.default_rng(4)
    close = 100.0 + np.cumsum(random.normal(0.02, 0.1, 5_000))
    wishes = convictions(close)
    entries = np.flatnonzero((wishes[1:] != 0.0) & (wishes[:-1] == 0.0)) + 1
    critical = meanreversion.adf_critical_value(58, Significance.FIVE_PERCENT)
    statistics = meanreversion.rolling_adf(close, 60, 1)
    z = meanreversion.zscore(close, 30)
    strays = (np.abs(z[1:]) >= 2.0) & (np.abs(z[:-1]) < 2.0)
    assert (statistics[entries] < critical).all()
    assert 0 < len(entries) < 0.25 * strays.sum()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"exit_z": 2.0}, r"exit_z \(2.0\), entry_z \(2.0\) and stop_z \(4.0\) must rise"),
        ({"stop_z": 1.5}, r"stop_z \(1.5\) must rise"),
        ({"zscore_window_bars": 1}, "zscore_window_bars"),
        ({"stationarity_lags": 6}, "stationarity_lags"),
        ({"significance": "20%"}, "significance"),
    ],
)
def test_config_when_values_contradict_then_refused_by_name(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MeanReversionConfig.model_validate(values)
