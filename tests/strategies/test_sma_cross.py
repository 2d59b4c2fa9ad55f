"""The crossing of two averages: exact ties, causality, and no place outside backtests."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from config import settings as product_settings
from engine.domain.errors import BadInput, SettingsError
from engine.domain.market import CandleArrays
from engine.risk.limits import Sizer
from engine.runtime.replay_request import read_request
from engine.simulation.replay import ReplayConfig, require_weights
from engine.strategies import BACKTESTS, REFERENCES, STRATEGIES, why_not_traded
from engine.strategies.sma_cross import SmaCross, SmaCrossConfig
from tests.strategies.made_candles import candles_of, hourly_bitcoin


def cross(fast_bars: int, slow_bars: int) -> SmaCross:
    return SmaCross(SmaCrossConfig(fast_bars=fast_bars, slow_bars=slow_bars))


def exactly(ticks: list[int], fast_bars: int, slow_bars: int) -> list[float]:
    """The wish after each bar with a whole slow average, in fractions."""
    answers = []
    for stop in range(slow_bars, len(ticks) + 1):
        fast = Fraction(sum(ticks[stop - fast_bars : stop]), fast_bars)
        slow = Fraction(sum(ticks[stop - slow_bars : stop]), slow_bars)
        answers.append(1.0 if fast > slow else 0.0)
    return answers


@pytest.mark.parametrize("tick", [1e-8, 1e-5, 0.01, 0.5])
@settings(max_examples=25, deadline=None)
@given(ticks=st.lists(st.integers(100, 112), min_size=20, max_size=60), fast=st.integers(1, 6), more=st.integers(1, 9))
def test_convictions_when_prices_lie_on_a_tick_then_equal_exact_fractions(
    tick: float, ticks: list[int], fast: int, more: int
) -> None:
    close = np.round(np.array(ticks) * tick, 8)
    convictions = cross(fast, fast + more).convictions(candles_of(close))
    warm = fast + more - 1
    assert np.isnan(convictions[:warm]).all()
    assert convictions[warm:].tolist() == exactly(ticks, fast, fast + more)


def test_convictions_when_averages_tie_then_flat() -> None:
    close = np.tile([0.1, 0.2, 0.3], 400)
    assert set(cross(3, 300).convictions(candles_of(close))[299:]) == {0.0}


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e6])
def test_convictions_when_window_is_cut_then_equal_to_the_whole(scale: float) -> None:
    strategy = cross(7, 31)
    close = np.round(500 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.01, 400))), 2) * scale
    candles = candles_of(close)
    whole = strategy.convictions(candles)
    for stop in range(31, 400, 13):
        assert strategy.convictions(candles.slice(stop - 31, stop))[-1] == whole[stop - 1]
        np.testing.assert_array_equal(strategy.convictions(candles.slice(0, stop)), whole[:stop])


def test_convictions_when_candles_are_real_then_long_or_flat_and_without_stop() -> None:
    candles = hourly_bitcoin()
    strategy = cross(20, 100)
    convictions = strategy.convictions(candles)
    assert strategy.lookback_bars == 100
    assert set(convictions[99:]) == {0.0, 1.0}
    assert 500 < np.abs(np.diff(convictions[99:])).sum() < 3000
    assert np.isnan(strategy.stop_distances(candles)).all()


@pytest.mark.parametrize("bars", [0, 1, 99])
def test_convictions_when_history_is_too_short_then_no_opinion(bars: int) -> None:
    assert np.isnan(cross(20, 100).convictions(candles_of(np.linspace(1.0, 2.0, bars)))).all()


@pytest.mark.parametrize("price", [np.nan, np.inf, 1e13])
def test_convictions_when_close_is_no_price_then_refused_by_value(price: float) -> None:
    candles = candles_of(np.full(5, 1.0))
    close = np.array([1.0, 1.0, price, 1.0, 1.0])
    c = candles
    broken = CandleArrays(c.timeframe, c.opened_at_ms, c.open, c.high, c.low, close, c.volume)
    with pytest.raises(BadInput, match="close"):
        cross(2, 3).convictions(broken)


@pytest.mark.parametrize("values", [{"fast_bars": 100}, {"fast_bars": 0}, {"slow_bars": 1001}, {"stop": 3}])
def test_config_when_out_of_order_or_bounds_then_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        SmaCrossConfig.model_validate(values)


def test_registry_when_asked_what_books_may_trade_then_the_reference_is_not_among_them() -> None:
    assert set(REFERENCES) == {"sma_cross"}
    assert set(BACKTESTS) == set(STRATEGIES) | set(REFERENCES)
    assert "sma_cross" not in STRATEGIES
    assert "has no stop and can only be backtested" in why_not_traded("sma_cross")
    assert "no strategy 'nobody'" in why_not_traded("nobody")


@pytest.mark.parametrize("name", ["QUARTERDECK_DEMO__STRATEGIES", "QUARTERDECK_PAPER__STRATEGIES"])
def test_settings_when_a_book_is_given_the_reference_then_refused_with_the_reason(name: str, tmp_path: object) -> None:
    with pytest.raises(SettingsError, match=r"sma_cross.*can only be backtested"):
        product_settings.load({name: "momentum,sma_cross", "QUARTERDECK_DATA_DIR": str(tmp_path)})


def test_replay_when_the_reference_is_asked_for_then_sized_by_weights_without_limits() -> None:
    request = read_request({"strategies": ["sma_cross"], "risk": {"sizer": "risk", "daily_loss": "0.01"}})
    risk = request.config.risk
    assert (risk.sizer, risk.max_exposure, risk.max_concentration) == (Sizer.WEIGHTS, 10, 10)
    assert request.record()["risk"]["sizer"] == "weights"


def test_replay_when_the_reference_is_mixed_with_others_then_refused() -> None:
    with pytest.raises(BadInput, match="replay it alone, apart from breakout, momentum"):
        read_request({"strategies": ["momentum", "sma_cross", "breakout"]})


def test_replay_when_the_reference_would_be_sized_by_its_stop_then_refused() -> None:
    with pytest.raises(BadInput, match="sizer weights"):
        require_weights(ReplayConfig({"sma_cross": "{}"}, Decimal(1000)))
