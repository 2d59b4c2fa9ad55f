"""Nothing is traded on what a strategy should not have said."""

from __future__ import annotations

import numpy as np
import pytest
from recorded_candles import made

from engine.domain.errors import BadInput
from engine.domain.market import CandleArrays, FloatArray
from engine.simulation.strategy_values import checked_values

CANDLES = made(200)[1]


class Says:
    """A strategy that gives the same answer whatever it sees."""

    lookback_bars = 10

    def __init__(self, answer: FloatArray | None) -> None:
        self.answer = answer

    def convictions(self, candles: CandleArrays) -> FloatArray:
        if self.answer is None:
            raise KeyError("volume")
        return self.answer

    def stop_distances(self, candles: CandleArrays) -> FloatArray:
        return np.ones(len(candles))


def with_value(bar: int, value: float) -> FloatArray:
    values = np.zeros(200)
    values[bar] = value
    return values


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, r"strategy mine failed on 200 bars with KeyError: 'volume'"),
        (np.zeros(199), r"gave 199 convictions for 200 bars"),
        (with_value(50, np.nan), r"gave no number \(NaN\) at bar 50 \(2023-01-03T02:00:00"),
        (with_value(50, -1.01), r"gave conviction -1\.01 at bar 50"),
        (with_value(3, 7.0), r"gave conviction 7\.0 at bar 3"),
    ],
)
def test_values_when_wrong_then_strategy_and_bar_are_named(answer: FloatArray | None, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        checked_values("mine", Says(answer), CANDLES)


def test_values_when_right_then_the_warm_up_is_no_view_and_the_strategys_own_array_is_untouched() -> None:
    answer = np.full(200, 0.5)
    values = checked_values("mine", Says(answer), CANDLES)
    assert np.isnan(values.convictions[:9]).all()
    assert (values.convictions[9:] == 0.5).all()
    assert (answer == 0.5).all()
