"""Which longer candles finer ones speak for, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from fine_cases import QUARTER, Row, hours_of, quarters
from kernel_twin import START_MS, candles_of
from recorded_candles import recorded_with_holes

from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument, Kind
from engine.domain.market import CandleArrays, Timeframe, to_ms
from engine.simulation.fine_candles import INSIDE, LAST, OUTSIDE, detail_facts, fine_candles, inside_record
from engine.simulation.replay_source import ReplaySource

COIN = Instrument("aa", "BTC", "USDT", Kind.SPOT, Decimal("0.1"), Decimal("0.001"), Decimal(5))
A: Row = (100.0, 102.0, 99.0, 101.0, 5.0)
B: Row = (101.0, 103.0, 98.0, 102.0, 7.0)
HOUR_ROWS: list[Row] = [A, B, A, B]


def test_decided_when_all_finer_candles_are_there_then_their_roles_are_told() -> None:
    main, fine = candles_of(hours_of(HOUR_ROWS, HOUR_ROWS)), quarters(HOUR_ROWS, HOUR_ROWS)
    found = fine_candles(COIN, main, (0, 2), fine)
    assert found.decided.tolist() == [True, True]
    assert found.roles.tolist() == [INSIDE, INSIDE, INSIDE, LAST] * 2
    assert found.used == 8
    assert found.candles is fine


@pytest.mark.parametrize(("volume", "decided"), [(24.0, False), (17.0, True)])
def test_decided_when_one_is_missing_then_only_if_the_others_hold_the_whole_volume(
    volume: float, decided: bool
) -> None:
    main = candles_of([(100.0, 103.0, 98.0, 101.0, volume)])
    found = fine_candles(COIN, main, (0, 1), quarters([A, B, A]))
    assert found.decided.tolist() == [decided]
    assert found.roles.tolist() == ([INSIDE, INSIDE, LAST] if decided else [OUTSIDE] * 3)


def test_decided_when_no_volume_and_one_missing_then_not() -> None:
    still: Row = (100.0, 100.0, 100.0, 100.0, 0.0)
    found = fine_candles(COIN, candles_of([still]), (0, 1), quarters([still] * 3))
    assert not found.decided.any()


def test_range_when_only_some_bars_are_traded_then_the_others_are_not_looked_at() -> None:
    main = candles_of([(1.0, 2.0, 1.0, 2.0, 1.0), *hours_of(HOUR_ROWS)])
    found = fine_candles(COIN, main, (1, 2), quarters(HOUR_ROWS, HOUR_ROWS))
    assert found.decided.tolist() == [True]
    assert found.roles.tolist() == [OUTSIDE] * 4 + [INSIDE, INSIDE, INSIDE, LAST]


@pytest.mark.parametrize(
    ("column", "by", "fits"),
    [("open", 0.05, True), ("open", 0.2, False), ("high", 0.2, False), ("low", -0.2, False), ("close", 0.2, False)],
)
def test_prices_when_they_differ_by_more_than_half_a_tick_then_refused_with_the_first_bar(
    column: str, by: float, fits: bool
) -> None:
    main = candles_of(hours_of(HOUR_ROWS, HOUR_ROWS))
    values = getattr(main, column).copy()
    values[1] += by
    wrong = replace(main, **{column: values})
    if fits:
        assert fine_candles(COIN, wrong, (0, 2), quarters(HOUR_ROWS, HOUR_ROWS)).decided.all()
        return
    with pytest.raises(BadInput, match=f"contradict the candle of 2023-01-01 01:00:00.*{column}"):
        fine_candles(COIN, wrong, (0, 2), quarters(HOUR_ROWS, HOUR_ROWS))


def test_prices_when_incomplete_but_beyond_the_range_then_refused() -> None:
    main = candles_of([(100.0, 102.5, 98.0, 101.0, 1000.0)])
    with pytest.raises(BadInput, match=r"high 103 against 102\.5"):
        fine_candles(COIN, main, (0, 1), quarters([A, B]))


@pytest.mark.parametrize("length", [Timeframe(3600), Timeframe(7200), Timeframe(2400)])
def test_length_when_it_does_not_divide_then_refused(length: Timeframe) -> None:
    fine = CandleArrays(length, *(getattr(quarters(HOUR_ROWS), name) for name in CandleArrays.__slots__[1:]))
    with pytest.raises(BadInput, match="do not divide"):
        fine_candles(COIN, candles_of(hours_of(HOUR_ROWS)), (0, 1), fine)


def test_grid_when_shifted_then_refused() -> None:
    fine = quarters(HOUR_ROWS)
    shifted = replace(fine, opened_at_ms=fine.opened_at_ms + 60_000)
    with pytest.raises(BadInput, match="do not begin where"):
        fine_candles(COIN, candles_of(hours_of(HOUR_ROWS)), (0, 1), shifted)


def test_source_when_finer_candles_are_of_another_instrument_then_refused() -> None:
    main = candles_of(hours_of(HOUR_ROWS))
    with pytest.raises(BadInput, match="which is not run"):
        ReplaySource({COIN: main}, fine={replace(COIN, base="ETH").key: quarters(HOUR_ROWS)})


def test_events_when_detail_is_given_then_each_comes_before_the_bar_it_lies_in() -> None:
    main = candles_of(hours_of(HOUR_ROWS, HOUR_ROWS))
    source = ReplaySource({COIN: main}, fine={COIN.key: quarters(HOUR_ROWS, HOUR_ROWS[:1])})
    told = [(type(event).__name__, (to_ms(event.at) - START_MS) // 60_000) for event in source.events()]
    assert told == [("Detail", 15), ("Detail", 30), ("Detail", 45), ("Detail", 60), ("Bars", 60), ("Bars", 120)]


def test_events_when_nobody_wants_detail_then_bars_alone() -> None:
    main = candles_of(hours_of(HOUR_ROWS, HOUR_ROWS))
    source = ReplaySource({COIN: main}, fine={COIN.key: quarters(HOUR_ROWS, HOUR_ROWS)})
    source.wants_detail = False
    assert [type(event).__name__ for event in source.events()] == ["Bars", "Bars"]


def test_real_minutes_when_those_without_a_trade_are_missing_then_most_hours_are_decided_by_their_volume() -> None:
    instrument, hours, minutes = recorded_with_holes()
    found = fine_candles(instrument, hours, (0, len(hours)), minutes)
    given = np.unique(minutes.opened_at_ms // hours.timeframe.ms)
    assert len(given) == 129
    assert 95 <= int(found.decided.sum()) <= 110
    assert found.used < 60 * int(found.decided.sum())


def test_facts_when_one_of_two_instruments_has_detail_then_both_are_counted() -> None:
    main = candles_of(hours_of(HOUR_ROWS, HOUR_ROWS))
    found = fine_candles(COIN, main, (0, 2), quarters(HOUR_ROWS, HOUR_ROWS[:2]))
    facts = detail_facts([(found, 2), (None, 3)])
    assert inside_record(facts) == {
        "detail": {"timeframe": str(QUARTER), "bars_decided_by_detail": 1, "bars_without": 4},
        "inside_bar": "decided by 15m candles; 4 of 5 bars have none: pessimistic",
    }
    assert inside_record(None) == {"detail": None, "inside_bar": "pessimistic"}
    assert np.array_equal(found.rows_closed(START_MS, START_MS + 2 * QUARTER.ms), [0, 1])
