"""Strategies that see the future, forget their history or answer nonsense are found out, and the bar is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_candles import made, recorded

from engine.domain.errors import BadInput
from engine.domain.market import CandleArrays, FloatArray, from_ms
from engine.simulation.causality import CausalityPlan, FaultKind, check_causality
from engine.strategies import BACKTESTS, STRATEGIES

CANDLES = made(600)[1]
Values = Callable[[CandleArrays], FloatArray]


def zeros(candles: CandleArrays) -> FloatArray:
    return np.zeros(len(candles))


def ones(candles: CandleArrays) -> FloatArray:
    return np.ones(len(candles))


@dataclass(frozen=True)
class Made:
    """A strategy of two functions."""

    values: Values
    stops: Values = ones
    lookback_bars: int = 20

    def convictions(self, candles: CandleArrays) -> FloatArray:
        return self.values(candles)

    def stop_distances(self, candles: CandleArrays) -> FloatArray:
        return self.stops(candles)


def next_move(candles: CandleArrays) -> FloatArray:
    """The sign of the next bar's move."""
    moves: FloatArray = np.sign(np.append(np.diff(candles.close), 0.0))
    return moves


def against_whole_mean(candles: CandleArrays) -> FloatArray:
    """Whether the close is above the mean of the whole series, later bars included."""
    above: FloatArray = np.where(candles.close > candles.close.mean(), 1.0, 0.0)
    return above


def slow_average(candles: CandleArrays) -> FloatArray:
    """Whether the close is above an average that never forgets."""
    average, wishes = candles.close[0], np.zeros(len(candles))
    for bar, close in enumerate(candles.close.tolist()):
        average += (close - average) / 100
        wishes[bar] = close > average
    return wishes


def at(bar: int, value: float) -> Values:
    """Zeros with one other value."""

    def values(candles: CandleArrays) -> FloatArray:
        answer = np.zeros(len(candles))
        answer[bar : bar + 1] = value
        return answer

    return values


def fails(candles: CandleArrays) -> FloatArray:
    raise ZeroDivisionError("no volume")


def writes(candles: CandleArrays) -> FloatArray:
    candles.close[0] = 1.0
    return zeros(candles)


class Moody:
    """Answers otherwise every time."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, candles: CandleArrays) -> FloatArray:
        self.asked += 1
        return np.full(len(candles), 1.0 / self.asked)


@pytest.mark.parametrize("name", sorted(BACKTESTS))
def test_check_when_the_strategy_is_ours_and_candles_are_real_then_nothing_is_found(name: str) -> None:
    kind = BACKTESTS[name]
    strategy = kind.build(kind.config())
    _, candles = recorded("BTC", strategy.lookback_bars + 2_500)
    report = check_causality(name, strategy, candles, CausalityPlan(cuts=30, windows=100))
    assert report.fault is None, report.line
    assert report.opinions
    assert report.has_stops is (name in STRATEGIES)
    assert report.cuts >= 30


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        (next_move, FaultKind.LOOK_AHEAD, "the value uses later bars"),
        (against_whole_mean, FaultKind.LOOK_AHEAD, "the value uses later bars"),
        (slow_average, FaultKind.RECURSION, "20 bars of lookback_bars alone"),
        (at(100, float("nan")), FaultKind.RANGE, "no number"),
        (at(100, 1.5), FaultKind.RANGE, "conviction 1.5 lies outside -1 to 1"),
        (at(100, float("inf")), FaultKind.RANGE, "conviction inf lies outside"),
        (fails, FaultKind.FAILED, "ZeroDivisionError: no volume"),
        (writes, FaultKind.FAILED, "read-only"),
        (lambda candles: np.zeros(3), FaultKind.FAILED, "gave 3 convictions for 600 bars"),
        (lambda candles: np.zeros((len(candles), 2)), FaultKind.FAILED, "an array of shape"),
        (lambda candles: None, FaultKind.FAILED, "gave an array of shape"),
        (Moody(), FaultKind.UNSTEADY, "becomes"),
    ],
)
def test_check_when_the_strategy_is_wrong_then_it_says_how(values: Values, kind: FaultKind, words: str) -> None:
    report = check_causality("mine", Made(values), CANDLES)
    assert report.fault is not None
    assert report.fault.kind is kind
    assert words in report.fault.detail
    assert report.line.startswith(f"mine: {kind.value}")


def test_check_when_a_value_is_wrong_then_the_bar_and_its_time_are_named() -> None:
    fault = check_causality("mine", Made(at(100, 2.0)), CANDLES).fault
    assert fault is not None
    assert (fault.bar, fault.at) == (100, from_ms(int(CANDLES.opened_at_ms[100])))


def test_check_when_only_the_stop_looks_ahead_then_found_too() -> None:
    def ranges(candles: CandleArrays) -> FloatArray:
        return np.full(len(candles), float(np.ptp(candles.close)))

    fault = check_causality("mine", Made(ones, ranges), CANDLES).fault
    assert fault is not None
    assert fault.kind is FaultKind.LOOK_AHEAD


@pytest.mark.parametrize("distance", [-1.0, float("inf")])
def test_check_when_a_stop_distance_cannot_be_then_named(distance: float) -> None:
    report = check_causality("mine", Made(ones, at(200, distance)), CANDLES)
    assert report.fault is not None
    assert (report.fault.kind, report.fault.bar) == (FaultKind.RANGE, 200)


def test_check_when_nothing_is_wrong_then_the_line_says_what_was_shown() -> None:
    report = check_causality("mine", Made(zeros), CANDLES)
    assert report.fault is None
    assert (report.opinions, report.has_stops) == (0, False)
    assert report.line.startswith(f"mine: no look-ahead was found at {report.windows} of 600 bars")
    assert report.windows == 600 - 20 + 1


@pytest.mark.parametrize("every", [100, 400, 1_440])
@pytest.mark.parametrize("seed", range(3))
def test_check_when_it_peeks_at_few_bars_then_found_as_look_ahead(every: int, seed: int) -> None:
    def peeks(candles: CandleArrays) -> FloatArray:
        wishes = (candles.close > candles.open).astype(np.float64)
        later = np.append(candles.close[1:] / candles.close[:-1] - 1.0, 0.0)
        at = candles.opened_at_ms // candles.timeframe.ms % every == 7
        wishes[at] = np.clip(later[at], -1.0, 1.0)
        return wishes

    fault = check_causality("mine", Made(peeks), made(4_000, seed)[1], CausalityPlan(seed=seed)).fault
    assert fault is not None
    assert fault.kind is FaultKind.LOOK_AHEAD


def unfreezes(candles: CandleArrays) -> FloatArray:
    candles.close.flags.writeable = True
    candles.close[:] = 1.0
    return zeros(candles)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (unfreezes, "ValueError"),
        (lambda candles: zeros(candles) + 1j, "convictions of type complex128"),
        (lambda candles: ["0.5"] * len(candles), "each must be a real number"),
    ],
)
def test_check_when_candles_are_unfrozen_or_values_are_no_numbers_then_it_fails(values: Values, words: str) -> None:
    fault = check_causality("mine", Made(values), CANDLES).fault
    assert fault is not None
    assert fault.kind is FaultKind.FAILED
    assert words in fault.detail


@settings(max_examples=20, deadline=None)
@given(bars=st.integers(1, 60), seed=st.integers(0, 1_000))
def test_check_when_a_strategy_peeks_any_number_of_bars_then_found(bars: int, seed: int) -> None:
    def peeks(candles: CandleArrays) -> FloatArray:
        later = np.append(candles.close[bars:], np.full(min(bars, len(candles)), candles.close[-1]))
        return np.where(later[: len(candles)] > candles.close, 1.0, 0.0)

    fault = check_causality("mine", Made(peeks), made(400, seed)[1], CausalityPlan(seed=seed)).fault
    assert fault is not None
    assert fault.kind is FaultKind.LOOK_AHEAD


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        (Made(zeros, lookback_bars=580), "too few to check it"),
        (Made(zeros, lookback_bars=0), "lookback_bars is 0"),
        (object(), "is no strategy: it has no convictions and no stop_distances"),
    ],
)
def test_check_when_it_cannot_be_done_then_refused(strategy: Made, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        check_causality("mine", strategy, CANDLES)
