"""The higher trend against a plain resampling that only sees completed bars."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.market import CandleArrays
from engine.strategies.higher_timeframe import higher_memory_bars, higher_trend
from tests.strategies.made_candles import START_MS, candles_of, random_candles


def by_definition(candles: CandleArrays, t: int, factor: int, average_bars: int) -> float:
    """Group the bars known at ``t`` by absolute time and keep the groups whose time is over or past."""
    higher_ms = factor * candles.timeframe.ms
    buckets = candles.opened_at_ms[: t + 1] // higher_ms
    known_until = candles.opened_at_ms[t] + candles.timeframe.ms
    closes = [
        candles.close[: t + 1][buckets == bucket][-1]
        for bucket in np.unique(buckets)
        if (bucket + 1) * higher_ms <= known_until
    ]
    return math.copysign(1.0, closes[-1] - np.mean(closes[-average_bars:]))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    missing=st.sampled_from([0.0, 0.2, 0.7]),
    factor=st.integers(2, 7),
    average_bars=st.integers(2, 6),
)
def test_higher_trend_when_compared_with_resampling_then_equal(
    seed: int, missing: float, factor: int, average_bars: int
) -> None:
    first = higher_memory_bars(factor, average_bars) - 1
    close = random_candles(seed, first + 80).close + np.arange(first + 80) * 1e-7
    candles = candles_of(close, opened_at_ms=random_candles(seed, first + 80, missing).opened_at_ms)
    actual = higher_trend(candles, factor, average_bars, first)
    for t in range(first, len(candles)):
        assert actual[t - first] == by_definition(candles, t, factor, average_bars)


@pytest.mark.parametrize("offset", range(5))
def test_higher_trend_when_bar_is_incomplete_then_its_price_is_not_seen(offset: int) -> None:
    first = higher_memory_bars(5, 2) - 1
    times = (START_MS // 300_000) * 300_000 + 60_000 * (np.arange(20, dtype=np.int64) + offset)
    close = np.full(20, 100.0)
    close[15 - offset :] = 200.0
    trend = higher_trend(candles_of(close, opened_at_ms=times), 5, 2, first)
    completes_at = 19 - offset
    assert not trend[: max(0, completes_at - first)].any()
    assert trend[completes_at - first] == 1.0
