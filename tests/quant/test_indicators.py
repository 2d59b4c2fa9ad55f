"""Indicators against TA-Lib's numbers, and the properties every one of them must have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.quant import indicators
from engine.quant.arrays import FloatArray
from tests.quant.reference import assert_close, case_of, reference, skip_listed

Ohlcv = dict[str, FloatArray]
Lines = tuple[FloatArray, ...]
HighLowClose = tuple[FloatArray, FloatArray, FloatArray]


def _bands(bands: indicators.Bands) -> Lines:
    return bands.upper, bands.middle, bands.lower


def _macd(x: Ohlcv) -> Lines:
    lines = indicators.macd(x["close"])
    return lines.line, lines.signal, lines.histogram


def _hlc(x: Ohlcv) -> HighLowClose:
    return x["high"], x["low"], x["close"]


IMPLEMENTED: dict[str, Callable[[Ohlcv], Lines]] = {
    "SMA_20": lambda x: (indicators.sma(x["close"], 20),),
    "SMA_50": lambda x: (indicators.sma(x["close"], 50),),
    "EMA_12": lambda x: (indicators.ema(x["close"], 12),),
    "EMA_26": lambda x: (indicators.ema(x["close"], 26),),
    "RSI_14": lambda x: (indicators.rsi(x["close"]),),
    "MACD_12_26_9": _macd,
    "BBANDS_20_2": lambda x: _bands(indicators.bollinger(x["close"])),
    "TRANGE": lambda x: (indicators.true_range(*_hlc(x)),),
    "ATR_14": lambda x: (indicators.atr(*_hlc(x)),),
    "NATR_14": lambda x: (100.0 * indicators.atr(*_hlc(x)) / x["close"],),
    "ADX_14": lambda x: (indicators.adx(*_hlc(x)).adx,),
    "PLUS_DI_14": lambda x: (indicators.adx(*_hlc(x)).plus_di,),
    "MINUS_DI_14": lambda x: (indicators.adx(*_hlc(x)).minus_di,),
    "OBV": lambda x: (indicators.obv(x["close"], x["volume"]),),
    "DONCHIAN_20": lambda x: _bands(indicators.donchian(x["high"], x["low"])),
    "KELTNER_EMA20_ATR10_x2": lambda x: _bands(indicators.keltner(*_hlc(x))),
}
LINE_NAMES = {
    "MACD_12_26_9": ("macd", "signal", "hist"),
    "BBANDS_20_2": ("upper", "middle", "lower"),
    "DONCHIAN_20": ("upper", "middle", "lower"),
    "KELTNER_EMA20_ATR10_x2": ("upper", "middle", "lower"),
}
NOT_IMPLEMENTED = {
    "ROC_10": "no strategy uses a rate of change",
    "STOCH_14_3_3": "no strategy uses a stochastic oscillator",
}
RISING_LACKS = {"SMA_50", "EMA_26", "BBANDS_20_2", "TRANGE", "NATR_14", "DONCHIAN_20", "KELTNER_EMA20_ATR10_x2"}
CASES = [
    *((name, "synthetic_160") for name in IMPLEMENTED),
    *((name, "monotone_up_40") for name in IMPLEMENTED if name not in RISING_LACKS),
]
WARM_UP = {"SMA_20": 19, "EMA_12": 11, "RSI_14": 14, "MACD_12_26_9": 33, "BBANDS_20_2": 19, "TRANGE": 1}
WARM_UP |= {"ATR_14": 14, "ADX_14": 27, "PLUS_DI_14": 14, "OBV": 0, "DONCHIAN_20": 19, "KELTNER_EMA20_ATR10_x2": 19}


def _inputs(case: dict[str, Any]) -> Ohlcv:
    return {name: np.array(values, dtype=np.float64) for name, values in case["inputs"].items()}


def random_market(seed: int, bars: int = 200) -> Ohlcv:
    """Prices of a random walk with honest highs and lows."""
    random = np.random.default_rng(seed)
    close = 30_000.0 * np.exp(np.cumsum(random.normal(0.0, 0.01, bars)))
    opened = np.concatenate(([close[0]], close[:-1]))
    high = np.maximum(opened, close) * (1.0 + 0.01 * random.random(bars))
    low = np.minimum(opened, close) * (1.0 - 0.01 * random.random(bars))
    return {"open": opened, "high": high, "low": low, "close": close, "volume": random.lognormal(0.0, 1.0, bars)}


@pytest.mark.parametrize(("name", "case_id"), CASES)
def test_indicator_when_compared_with_reference_then_equal(name: str, case_id: str) -> None:
    content = reference("technical_indicators")
    case = case_of(content, case_id)
    expected = case["expected"][name]
    columns = [expected[line] for line in LINE_NAMES[name]] if name in LINE_NAMES else [expected]
    for actual, column in zip(IMPLEMENTED[name](_inputs(case)), columns, strict=True):
        assert_close(actual, column, content["tolerance"])


@pytest.mark.parametrize("name", NOT_IMPLEMENTED)
def test_indicator_when_not_implemented_then_skipped_by_name(name: str) -> None:
    skip_listed(NOT_IMPLEMENTED, name, set(case_of(reference("technical_indicators"), "synthetic_160")["expected"]))


def test_case_file_when_read_then_no_indicator_is_silently_dropped() -> None:
    content = reference("technical_indicators")
    for case in content["cases"]:
        assert set(case["expected"]) <= set(IMPLEMENTED) | set(NOT_IMPLEMENTED)
    assert set(IMPLEMENTED) - set(case_of(content, "monotone_up_40")["expected"]) == RISING_LACKS


def test_macd_when_started_then_differs_from_separate_averages_as_documented() -> None:
    content = reference("technical_indicators")
    close = _inputs(case_of(content, "synthetic_160"))["close"]
    difference = indicators.macd(close).line - (indicators.ema(close, 12) - indicators.ema(close, 26))
    for bar in (33, 60, 159):
        assert_close(difference[bar], content["diff_facts"][f"macd_minus_separate_emas_bar{bar}"], {"abs": 1e-8})


@pytest.mark.parametrize("name", WARM_UP)
def test_indicator_when_warming_up_then_nan_until_the_documented_bar(name: str) -> None:
    for line in IMPLEMENTED[name](random_market(1)):
        assert np.isnan(line).sum() == WARM_UP[name]
        assert not np.isnan(line[WARM_UP[name] :]).any()


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_indicator_when_bars_are_appended_then_earlier_values_stay(name: str) -> None:
    market = random_market(2)
    whole = IMPLEMENTED[name](market)
    for stop in (1, 15, 40, 133):
        cut = IMPLEMENTED[name]({column: values[:stop] for column, values in market.items()})
        for part, full in zip(cut, whole, strict=True):
            np.testing.assert_array_equal(part, full[:stop])


@pytest.mark.parametrize("name", ["RSI_14", "ADX_14", "PLUS_DI_14"])
@settings(max_examples=15, deadline=None)
@given(scale=st.floats(1e-4, 1e4))
def test_oscillator_when_price_is_scaled_then_unchanged(name: str, scale: float) -> None:
    market = random_market(3)
    scaled = {column: values * scale for column, values in market.items()}
    for plain, other in zip(IMPLEMENTED[name](market), IMPLEMENTED[name](scaled), strict=True):
        np.testing.assert_allclose(other, plain, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["SMA_20", "EMA_12", "ATR_14", "BBANDS_20_2", "DONCHIAN_20", "KELTNER_EMA20_ATR10_x2"])
@settings(max_examples=15, deadline=None)
@given(scale=st.floats(1e-4, 1e4))
def test_price_line_when_price_is_scaled_then_scales_with_it(name: str, scale: float) -> None:
    market = random_market(4)
    scaled = {column: values * scale for column, values in market.items()}
    for plain, other in zip(IMPLEMENTED[name](market), IMPLEMENTED[name](scaled), strict=True):
        np.testing.assert_allclose(other, plain * scale, rtol=1e-9)


@pytest.mark.parametrize("name", IMPLEMENTED)
@pytest.mark.parametrize("bars", [0, 1, 2, 14])
def test_indicator_when_series_is_short_then_length_is_kept(name: str, bars: int) -> None:
    market = {column: values[:bars] for column, values in random_market(5).items()}
    assert all(len(line) == bars for line in IMPLEMENTED[name](market))


def test_rsi_and_adx_when_price_is_flat_then_no_false_signal() -> None:
    flat = np.full(60, 100.0)
    assert np.isnan(indicators.rsi(flat)).all()
    assert indicators.adx(flat, flat, flat).adx[-1] == 0.0
    assert indicators.atr(flat, flat, flat)[-1] == 0.0


def test_obv_when_price_stands_still_then_volume_counts_for_neither_side() -> None:
    assert indicators.obv([1.0, 2.0, 2.0, 1.0], [1.0, 2.0, 4.0, 8.0]).tolist() == [1.0, 3.0, 3.0, -5.0]


def test_close_when_channel_includes_its_bar_then_never_beyond_it() -> None:
    market = random_market(6)
    channel = indicators.donchian(market["high"], market["low"])
    assert not (market["close"][19:] > channel.upper[19:]).any()


@pytest.mark.parametrize(("period", "start"), [(5, 0.0), (24, 1e6), (72, 1e6)])
def test_ema_when_memory_is_over_then_start_is_forgotten(period: int, start: float) -> None:
    bars = indicators.ema_memory_bars(period)
    close = random_market(7, bars)["close"]
    other = np.concatenate((np.full(50, start), close))
    assert indicators.ema(other, period)[-1] == pytest.approx(indicators.ema(close, period)[-1], rel=1e-10)


def test_atr_when_memory_is_over_then_start_is_forgotten() -> None:
    bars = indicators.wilder_memory_bars(14)
    market = random_market(8, bars + 300)
    whole = indicators.atr(*_hlc(market))[-1]
    high, low, close = (line[-bars:] for line in _hlc(market))
    assert indicators.atr(high, low, close)[-1] == pytest.approx(whole, rel=1e-11)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: indicators.ema([1.0], 0), "period_bars is 0"),
        (lambda: indicators.sma([1.0], 0), "window_bars is 0"),
        (lambda: indicators.macd([1.0], 26, 12), "slow_bars is 12"),
        (lambda: indicators.adx([1.0], [1.0], [1.0], 1), "period_bars is 1"),
        (lambda: indicators.atr([1.0, 2.0], [1.0], [1.0]), "high 2, low 1, close 1"),
        (lambda: indicators.ema([[1.0]], 1), "2 dimensions"),
    ],
)
def test_indicator_when_argument_is_impossible_then_error_names_it(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
