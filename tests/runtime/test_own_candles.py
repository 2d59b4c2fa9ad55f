"""Borrowed candles give way to the own exchange's once it tells again."""

from __future__ import annotations

import numpy as np
import pytest

from engine.domain.market import CandleArrays, Timeframe
from engine.market.windows import CandleWindow
from engine.runtime.own_candles import with_own

MINUTE = Timeframe(60)


def _candles(first: int, closes: list[float]) -> CandleArrays:
    opened = np.arange(first, first + len(closes), dtype=np.int64) * MINUTE.ms
    prices = np.array(closes)
    return CandleArrays(MINUTE, opened, prices, prices, prices, prices, np.ones(len(closes)))


def _window(first: int, closes: list[float]) -> CandleWindow:
    window = CandleWindow(MINUTE, 100)
    window.extend(_candles(first, closes))
    return window


CASES: list[tuple[str, tuple[int, list[float]], list[float]]] = [
    ("the last ones were borrowed", (0, [1, 2, 3, 4]), [1, 2, 3, 4]),
    ("own history begins later", (2, [3, 4]), [1, 2, 3, 4]),
    ("own history goes on beyond the window", (0, [1, 2, 3, 4, 5]), [1, 2, 3, 4]),
    ("own history ends before the window", (1, [2, 3]), [1, 2, 3, 40]),
    ("own history has a hole", (0, [1, 2, 3]), [1, 2, 3, 40]),
]


@pytest.mark.parametrize(("what", "own", "expected"), CASES, ids=[row[0] for row in CASES])
def test_window_when_candles_of_it_were_borrowed_then_the_own_ones_take_their_place(
    what: str, own: tuple[int, list[float]], expected: list[float]
) -> None:
    mended = with_own(_window(0, [1, 2, 30, 40]), _candles(*own))
    assert mended.view().close.tolist() == expected
    assert mended.last_opened_at_ms == 3 * MINUTE.ms


@pytest.mark.parametrize("own", [(0, [1.0, 2.0]), (5, [9.0]), (0, [])])
def test_window_when_it_agrees_with_the_own_candles_then_it_stays_the_same_one(own: tuple[int, list[float]]) -> None:
    window = _window(0, [1, 2, 3])
    assert with_own(window, _candles(*own)) is window


def test_window_when_it_is_empty_then_it_stays_the_same_one() -> None:
    window = CandleWindow(MINUTE, 100)
    assert with_own(window, _candles(0, [1.0])) is window
