"""Unit value: deposits are never profit, peaks survive, periods turn in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.trading.unit_value import PEAK_STEP, UnitValue

D = Decimal
MONDAY = datetime(2026, 1, 5, 12, tzinfo=UTC)


def begun(equity: str = "1000") -> UnitValue:
    units = UnitValue()
    units.flow(D(equity))
    units.observe(D(equity), MONDAY)
    return units


def test_deposit_when_made_then_changes_neither_drawdown_nor_pnl() -> None:
    units = begun()
    units.observe(D(900), MONDAY + timedelta(minutes=1))
    before = units.drawdown
    units.flow(D(900))
    units.observe(D(1800), MONDAY + timedelta(minutes=2))
    assert units.drawdown == before == D("0.1")
    assert units.pnl().today == D(-200)


@settings(max_examples=80)
@given(st.lists(st.integers(500, 2000), min_size=1, max_size=30))
def test_peak_whatever_happens_then_is_the_highest_value_seen(equities: list[int]) -> None:
    units = begun()
    for number, equity in enumerate(equities):
        units.observe(D(equity), MONDAY + timedelta(minutes=number + 1))
    assert units.peak == max([D(1), *(D(e) / D(1000) for e in equities)])
    assert units.peak <= units.journaled_peak * PEAK_STEP


def test_drawdown_at_another_equity_then_what_observing_it_would_leave() -> None:
    units = begun()
    units.observe(D(1300), MONDAY + timedelta(hours=1))
    ahead = units.drawdown_at(D(1171))
    units.observe(D(1171), MONDAY + timedelta(hours=2))
    assert ahead == units.drawdown > 0


def test_periods_when_a_day_and_a_week_turn_then_start_at_the_last_value_before() -> None:
    units = begun()
    units.observe(D(1100), MONDAY + timedelta(hours=1))
    mark = units.observe(D(1150), MONDAY + timedelta(days=1))
    assert mark is not None
    assert (mark.day_start, mark.week_start) == (D("1.1"), D(1))
    mark = units.observe(D(1200), MONDAY + timedelta(days=7))
    assert mark is not None
    assert (mark.week_start, mark.month_start) == (D("1.15"), D(1))


def test_mark_when_read_back_then_restores_peak_and_periods() -> None:
    units = begun()
    mark = units.mark(D(1234), MONDAY + timedelta(hours=3))
    other = UnitValue()
    other.apply(mark)
    assert (other.units, other.peak, other.day_start, other.value) == (
        units.units,
        units.peak,
        units.day_start,
        D("1.234"),
    )


def test_checkpoint_when_restored_then_equal() -> None:
    units = begun()
    units.observe(D(1500), MONDAY + timedelta(hours=1))
    assert UnitValue.restored(units.state()).state() == units.state()
