"""Sanity checks of candle rows: what is kept, what is left out and why, and what is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.market import CandleArrays, Timeframe, from_ms
from engine.market.checks import (
    EXAMPLES,
    Gap,
    ReportBuilder,
    RowFault,
    check_candles,
    count_gaps,
    gap_runs,
    grid_offset_ms,
    in_order,
    joined,
    out_of_order_rows,
)

MINUTE = Timeframe(60)
START_MS = 1_704_067_200_000
NOW = datetime(2024, 6, 1, tzinfo=UTC)


def rows(*numbers: int, timeframe: Timeframe = MINUTE) -> CandleArrays:
    count = len(numbers)
    times = START_MS + np.array(numbers, dtype=np.int64) * timeframe.ms
    open_ = np.full(count, 100.0)
    return CandleArrays(timeframe, times, open_, open_ + 2, open_ - 2, open_ + 1, np.ones(count))


def faults(report_rows: CandleArrays, now: datetime = NOW) -> dict[RowFault, int]:
    return {rejected.fault: rejected.rows for rejected in check_candles(report_rows, now)[1].rejected}


def test_check_when_all_is_well_keeps_every_row() -> None:
    kept, report = check_candles(rows(0, 1, 2), NOW)
    assert len(kept) == report.rows_read == report.rows_kept == 3
    assert report.rejected == ()
    assert report.gaps == ()
    assert (report.rows_rejected, report.gap_count, report.missing_bars, report.out_of_order) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("open", np.nan, RowFault.NOT_A_NUMBER),
        ("close", np.inf, RowFault.NOT_A_NUMBER),
        ("volume", np.nan, RowFault.NOT_A_NUMBER),
        ("low", 0.0, RowFault.ZERO),
        ("low", -0.0, RowFault.ZERO),
        ("low", -1.0, RowFault.NEGATIVE),
        ("volume", -0.5, RowFault.NEGATIVE),
        ("low", 100.5, RowFault.OHLC_ORDER),
        ("high", 100.5, RowFault.OHLC_ORDER),
        ("high", 97.0, RowFault.OHLC_ORDER),
        ("close", 103.0, RowFault.OHLC_ORDER),
    ],
)
def test_check_when_a_value_is_bad_leaves_the_row_out(column: str, value: float, fault: RowFault) -> None:
    candles = rows(0, 1, 2)
    getattr(candles, column)[1] = value
    kept, report = check_candles(candles, NOW)
    assert [rejected.fault for rejected in report.rejected] == [fault]
    example = report.rejected[0].examples[0]
    assert example.opened_at_ms == START_MS + 60_000
    assert np.array_equal(
        [value], [example.values[("open", "high", "low", "close", "volume").index(column)]], equal_nan=True
    )
    assert len(kept) == 2
    assert report.gaps == (Gap(from_ms(START_MS + 60_000), from_ms(START_MS + 120_000), 1),)


@pytest.mark.parametrize("time_ms", [0, -5, 999_999_999_999, 4_102_444_800_000, 2**63 - 1, -(2**63)])
def test_check_when_the_time_is_impossible_leaves_the_row_out(time_ms: int) -> None:
    candles = rows(0, 1)
    candles.opened_at_ms[0] = time_ms
    assert faults(candles) == {RowFault.TIME: 1}


def test_check_when_off_the_grid_leaves_the_row_out() -> None:
    candles = rows(0, 1)
    candles.opened_at_ms[1] += 1
    assert faults(candles) == {RowFault.OFF_GRID: 1}


def test_check_when_the_candle_has_not_closed_leaves_it_out() -> None:
    now = from_ms(START_MS + 2 * 60_000)
    assert faults(rows(0, 1), now) == {}
    assert faults(rows(0, 1), now - timedelta(milliseconds=1)) == {RowFault.UNFINISHED: 1}


def test_check_when_a_candle_comes_twice_keeps_one() -> None:
    kept, report = check_candles(rows(0, 1, 1, 2), NOW)
    assert faults(rows(0, 1, 1, 2)) == {RowFault.DUPLICATE: 1}
    assert (len(kept), report.rows_kept) == (3, 3)


def test_check_when_two_candles_contradict_keeps_the_later_row() -> None:
    candles = rows(0, 1, 1)
    candles.close[2] = 101.5
    kept, report = check_candles(candles, NOW)
    assert [rejected.fault for rejected in report.rejected] == [RowFault.CONFLICT]
    assert kept.close.tolist() == [101, 101.5]


def test_check_when_unsorted_puts_rows_in_order_and_says_so() -> None:
    kept, report = check_candles(rows(3, 1, 0, 2), NOW)
    assert np.all(np.diff(kept.opened_at_ms) == 60_000)
    assert (report.out_of_order, report.rows_kept, report.rejected) == (3, 4, ())


def test_check_when_a_row_has_two_faults_counts_it_once() -> None:
    candles = rows(0, 1)
    candles.opened_at_ms[0] += 7
    candles.open[0] = np.nan
    assert faults(candles) == {RowFault.NOT_A_NUMBER: 1}


def test_check_when_many_rows_are_bad_shows_the_first_twenty() -> None:
    candles = rows(*range(50))
    candles.open[:] = np.nan
    report = check_candles(candles, NOW)[1]
    assert report.rejected[0].rows == report.rows_rejected == 50
    assert len(report.rejected[0].examples) == EXAMPLES
    assert report.rejected[0].examples[0].opened_at_ms == START_MS


def test_check_when_weekly_expects_mondays() -> None:
    week = Timeframe.parse("1w")
    assert grid_offset_ms(week) == 4 * 86_400_000
    candles = rows(0, 1, timeframe=week)
    assert datetime.fromtimestamp(START_MS / 1000, UTC).weekday() == 0
    assert faults(candles) == {}
    candles.opened_at_ms[:] -= 86_400_000
    assert faults(candles) == {RowFault.OFF_GRID: 2}


def test_check_when_there_are_no_rows_finds_nothing() -> None:
    kept, report = check_candles(rows(), NOW)
    assert (len(kept), report.rows_read, report.gap_count) == (0, 0, 0)
    assert out_of_order_rows(rows().opened_at_ms) == 0


@given(present=st.lists(st.booleans(), min_size=1, max_size=60))
@settings(max_examples=100, deadline=None)
def test_gaps_when_bars_are_missing_cover_exactly_the_missing_ones(present: list[bool]) -> None:
    numbers = [number for number, there in enumerate(present) if there]
    times = rows(*numbers).opened_at_ms
    gaps = gap_runs(times, MINUTE)
    missing = {int(gap.start.timestamp() * 1000) + step * 60_000 for gap in gaps for step in range(gap.missing_bars)}
    inside = range(numbers[0], numbers[-1] + 1) if numbers else range(0)
    assert missing == {START_MS + number * 60_000 for number in inside if not present[number]}
    assert count_gaps(times, MINUTE) == (len(gaps), len(missing))


ROWS = st.lists(
    st.tuples(st.integers(-3, 30), *[st.sampled_from([-1.0, 0.0, 1.0, 2.0, 3.0, float("nan")])] * 5), max_size=40
)


@given(values=ROWS, cut=st.integers(0, 40))
@settings(max_examples=150, deadline=None)
def test_check_when_rows_come_in_pieces_reports_the_same_and_loses_none(
    values: list[tuple[int, float, float, float, float, float]], cut: int
) -> None:
    table = np.array(values, dtype=float).reshape(-1, 6)
    times = START_MS + (table[:, 0] * 30_000).astype(np.int64)
    candles = CandleArrays(MINUTE, times, *(table[:, column].copy() for column in range(1, 6)))
    kept, report = check_candles(candles, NOW)
    assert report.rows_read == len(values) == report.rows_kept + report.rows_rejected
    assert np.all(np.diff(kept.opened_at_ms) > 0)
    assert np.all((kept.low > 0) & (kept.low <= kept.open) & (kept.close <= kept.high) & (kept.volume >= 0))
    builder = ReportBuilder()
    pieces = [builder.usable(candles.slice(0, cut), NOW), builder.usable(candles.slice(cut, len(candles)), NOW)]
    again = builder.ordered(joined(pieces))
    assert np.array_equal(again.opened_at_ms, kept.opened_at_ms)
    assert builder.report().rows_rejected == report.rows_rejected
    assert builder.report().out_of_order == report.out_of_order


def test_report_when_gaps_are_many_lists_the_first_and_counts_all() -> None:
    builder = ReportBuilder(gaps_listed=3)
    builder.ordered(rows(0, 2, 4))
    builder.ordered(rows(6, 8, 10))
    report = builder.report()
    assert len(report.gaps) == 3
    assert (report.gap_count, report.missing_bars) == (5, 5)


def test_in_order_when_already_sorted_copies_nothing() -> None:
    candles = rows(0, 1, 2)
    assert in_order(candles) == (candles, [])
