"""The window of candles against a plain list that keeps the newest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.errors import BadInput, CandleError
from engine.domain.instruments import InstrumentKey
from engine.domain.market import Candle, CandleArrays, Timeframe
from engine.market.windows import CandleWindow

MINUTE = Timeframe(60)
START = datetime(2024, 1, 1, tzinfo=UTC)
START_MS = 1_704_067_200_000


def candle(number: int, timeframe: Timeframe = MINUTE) -> Candle:
    price = Decimal(100 + number)
    opened_at = START + timedelta(minutes=number)
    return Candle(
        InstrumentKey("demo:BTC/USDT"), timeframe, opened_at, price, price + 2, price - 2, price + 1, Decimal(number)
    )


def arrays(first: int, stop: int, timeframe: Timeframe = MINUTE) -> CandleArrays:
    numbers = np.arange(first, stop)
    open_, high, low, close, volume = (np.array(numbers + shift, dtype=np.float64) for shift in (100, 102, 98, 101, 0))
    return CandleArrays(timeframe, START_MS + numbers * 60_000, open_, high, low, close, volume)


def numbers_of(view: CandleArrays) -> list[int]:
    return [int(at - START_MS) // 60_000 for at in view.opened_at_ms]


def test_view_when_empty_has_no_candles() -> None:
    window = CandleWindow(MINUTE, 5)
    assert len(window) == len(window.view()) == 0
    assert window.last_opened_at_ms is None


def test_append_when_full_keeps_the_newest() -> None:
    window = CandleWindow(MINUTE, 3)
    for number in range(10):
        window.append(candle(number))
    view = window.view()
    assert numbers_of(view) == [7, 8, 9]
    assert view.open.tolist() == [107, 108, 109]
    assert view.high.tolist() == [109, 110, 111]
    assert view.low.tolist() == [105, 106, 107]
    assert view.close.tolist() == [108, 109, 110]
    assert view.volume.tolist() == [7, 8, 9]
    assert window.last_opened_at_ms == START_MS + 9 * 60_000


@given(capacity=st.integers(1, 7), chunks=st.lists(st.integers(0, 20), max_size=12))
@settings(max_examples=60, deadline=None)
def test_window_when_fed_in_any_pieces_holds_the_newest_of_all(capacity: int, chunks: list[int]) -> None:
    window = CandleWindow(MINUTE, capacity)
    fed = 0
    for size in chunks:
        if size == 1:
            window.append(candle(fed))
        else:
            window.extend(arrays(fed, fed + size))
        fed += size
        assert numbers_of(window.view()) == list(range(fed))[-capacity:]
        assert len(window) == min(fed, capacity)


@given(capacity=st.integers(1, 7), pieces=st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=12))
@settings(max_examples=60, deadline=None)
def test_window_when_nobody_looks_for_long_holds_the_newest_of_all(
    capacity: int, pieces: list[tuple[int, bool]]
) -> None:
    window = CandleWindow(MINUTE, capacity)
    fed = 0
    for size, at_once in pieces:
        if at_once:
            window.extend(arrays(fed, fed + size))
        for number in range(0 if at_once else size):
            window.append(candle(fed + number))
        fed += size
        assert len(window) == min(fed, capacity)
        assert window.last_opened_at_ms == (START_MS + (fed - 1) * 60_000 if fed else None)
    assert numbers_of(window.view()) == list(range(fed))[-capacity:]
    assert window.view().open.tolist() == [100 + number for number in range(fed)][-capacity:]


def test_offer_when_the_window_is_past_the_candle_then_only_tells_its_time() -> None:
    window = CandleWindow(MINUTE, 5)
    window.extend(arrays(0, 3))
    assert window.offer(candle(1)) == START_MS + 60_000
    assert window.offer(candle(3)) == START_MS + 180_000
    assert numbers_of(window.view()) == [0, 1, 2, 3]
    with pytest.raises(CandleError, match="5m candle in a window of 1m"):
        window.offer(candle(10, Timeframe(300)))


@given(appends=st.integers(1, 60), capacity=st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_view_when_more_is_appended_later_does_not_change(appends: int, capacity: int) -> None:
    window = CandleWindow(MINUTE, capacity)
    seen = []
    for number in range(appends):
        window.append(candle(number))
        view = window.view()
        seen.append((view, view.close.copy(), view.opened_at_ms.copy()))
    for view, close, times in seen:
        assert np.array_equal(view.close, close)
        assert np.array_equal(view.opened_at_ms, times)


def test_view_when_asked_twice_copies_nothing() -> None:
    window = CandleWindow(MINUTE, 50)
    window.extend(arrays(0, 40))
    first = window.view()
    window.append(candle(40))
    assert np.shares_memory(first.close, window.view().close)
    assert window.view() is window.view()


def test_view_when_written_to_refuses() -> None:
    window = CandleWindow(MINUTE, 5)
    window.append(candle(0))
    with pytest.raises(ValueError, match="read-only"):
        window.view().close[0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        window.view().opened_at_ms[0] = 1


@pytest.mark.parametrize("number", [4, 3, 0])
def test_append_when_not_after_the_newest_refuses_and_keeps_the_window(number: int) -> None:
    window = CandleWindow(MINUTE, 5)
    window.extend(arrays(0, 5))
    with pytest.raises(CandleError, match="not after the newest"):
        window.append(candle(number))
    assert numbers_of(window.view()) == [0, 1, 2, 3, 4]


def test_append_when_of_another_timeframe_refuses() -> None:
    window = CandleWindow(MINUTE, 5)
    with pytest.raises(CandleError, match="5m candle in a window of 1m"):
        window.append(candle(0, Timeframe(300)))
    with pytest.raises(CandleError, match="5m candles in a window of 1m"):
        window.extend(arrays(0, 3, Timeframe(300)))


def test_extend_when_times_do_not_rise_refuses_and_keeps_the_window() -> None:
    window = CandleWindow(MINUTE, 5)
    falling = arrays(0, 4)
    falling.opened_at_ms[2] = falling.opened_at_ms[1]
    with pytest.raises(CandleError, match="do not rise after"):
        window.extend(falling)
    window.extend(arrays(5, 8))
    with pytest.raises(CandleError, match="not after the newest"):
        window.extend(arrays(7, 12))
    assert numbers_of(window.view()) == [5, 6, 7]


def test_extend_when_longer_than_capacity_keeps_the_newest() -> None:
    window = CandleWindow(MINUTE, 4)
    window.extend(arrays(0, 1000))
    window.extend(arrays(1000, 1000))
    assert numbers_of(window.view()) == [996, 997, 998, 999]
    assert window.capacity_bars == 4
    assert window.timeframe == MINUTE


def test_window_when_capacity_is_below_one_refuses() -> None:
    with pytest.raises(BadInput, match="0 bars"):
        CandleWindow(MINUTE, 0)
