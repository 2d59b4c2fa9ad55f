"""Closes leave in order and complete, in whatever order candles arrive."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.instruments import InstrumentKey
from engine.domain.market import Bars, Candle, Timeframe, from_ms, to_ms
from engine.exchanges.bar_assembly import BarAssembly

MINUTE = Timeframe(60)
KEYS = (InstrumentKey("binance:BTC/USDT"), InstrumentKey("binance:ETH/USDT"), InstrumentKey("binance:SOL/USDT"))
START_MS = 1_767_225_600_000


def _candle(key: InstrumentKey, minute: int) -> Candle:
    price = Decimal(100 + minute)
    opened = from_ms(START_MS + minute * MINUTE.ms)
    return Candle(key, MINUTE, opened, price, price, price, price, Decimal(1))


def _assembly(history_bars: int = 50) -> BarAssembly:
    return BarAssembly(KEYS, MINUTE, history_bars, START_MS)


@given(st.permutations([(key, minute) for key in KEYS for minute in range(6)]), st.integers(1, 18))
@settings(max_examples=60, deadline=None)
def test_bars_when_candles_arrive_in_any_order_then_closes_leave_in_order_and_at_most_once(
    arrivals: list[tuple[InstrumentKey, int]], batch: int
) -> None:
    assembly = _assembly()
    shown: list[Bars] = []
    for first in range(0, len(arrivals), batch):
        assembly.add(_candle(key, minute) for key, minute in arrivals[first : first + batch])
        shown += assembly.ready(0)
    times = [bar.at for bar in shown]
    assert times == sorted(set(times))
    for bar in shown:
        keys = [candle.instrument for candle in bar.candles]
        assert keys
        assert keys == sorted(set(keys))
    assert all(to_ms(candle.closed_at) == to_ms(bar.at) for bar in shown for candle in bar.candles)


def test_bars_when_every_candle_came_then_all_closes_are_complete() -> None:
    assembly = _assembly()
    assembly.add(_candle(key, minute) for key in reversed(KEYS) for minute in (2, 0, 1))
    bars = assembly.ready(0)
    assert [tuple(candle.instrument for candle in bar.candles) for bar in bars] == [KEYS] * 3
    assert assembly.ready(0) == []


def test_bars_when_one_is_missing_then_they_wait_for_the_grace() -> None:
    assembly = _assembly()
    assembly.add([_candle(KEYS[0], 0)])
    closed_ms = START_MS + MINUTE.ms
    assert assembly.ready(closed_ms - 1) == []
    assert [len(bar.candles) for bar in assembly.ready(closed_ms)] == [1]


def test_bars_when_a_later_candle_of_the_missing_one_is_known_then_nobody_waits() -> None:
    assembly = _assembly()
    assembly.add([_candle(KEYS[0], 0), _candle(KEYS[1], 0)])
    assembly.add(_candle(key, 1) for key in KEYS)
    assert [len(bar.candles) for bar in assembly.ready(0)] == [2, 3]


def test_history_when_a_candle_comes_after_its_close_went_out_then_it_is_kept_but_not_shown() -> None:
    assembly = _assembly()
    assembly.add([_candle(KEYS[0], 0)])
    assembly.ready(START_MS + MINUTE.ms)
    assembly.add([_candle(KEYS[1], 0)])
    assert assembly.ready(START_MS + MINUTE.ms) == []
    assert len(assembly.history(KEYS[1], 5)) == 1


def test_history_when_it_is_full_then_the_oldest_go() -> None:
    assembly = _assembly(history_bars=3)
    assembly.add(_candle(KEYS[0], minute) for minute in range(-6, 0))
    history = assembly.history(KEYS[0], 10)
    assert history.close.tolist() == [97.0, 98.0, 99.0]
    assert not history.close.flags.writeable
    assert assembly.next_open_ms(KEYS[0]) == START_MS
    assert assembly.next_open_ms(KEYS[1]) == START_MS - 3 * MINUTE.ms
