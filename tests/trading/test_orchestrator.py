"""Sharing the capital: what is recorded of a day, and what performance makes of it."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.trading.orchestrator import reweighted
from engine.trading.records import KEPT_DAYS, DailyRecords, DayStart
from tests.trading.harness import D

DAY = date(2026, 1, 5)


def lived(days: dict[str, list[str]]) -> DailyRecords:
    """Records of strategies that made these shares of 100 a day."""
    records = DailyRecords()
    for number in range(max(map(len, days.values())) + 1):
        if number:
            ends = {n: DayStart(D(r[number - 1]) * 100, D(100)) for n, r in days.items() if number <= len(r)}
            records.turn(DAY + timedelta(days=number), ends)
        records.day = DAY + timedelta(days=number)
        records.starts = {name: DayStart(D(0), D(100)) for name in days}
    return records


def test_day_then_its_return_is_the_profit_over_the_capital_at_its_start() -> None:
    records = DailyRecords()
    assert not records.turn(DAY, {"a": DayStart(D(5), D(200))})
    assert not records.turn(DAY, {"a": DayStart(D(9), D(999))})
    assert records.turn(DAY + timedelta(days=1), {"a": DayStart(D(15), D(300))})
    assert records.of("a").daily_returns == (D("0.05"),)


def test_strategy_when_it_was_not_there_or_had_no_capital_then_has_no_return_of_the_day() -> None:
    records = DailyRecords()
    records.turn(DAY, {"a": DayStart(D(0), D(0))})
    records.turn(DAY + timedelta(days=1), {"a": DayStart(D(1), D(100)), "b": DayStart(D(1), D(100))})
    assert records.of("a").daily_returns == records.of("b").daily_returns == ()


def test_records_then_are_bounded_and_survive_a_checkpoint() -> None:
    records = lived({"a": ["0.01"] * (KEPT_DAYS + 20)})
    assert len(records.returns["a"]) == KEPT_DAYS
    again = DailyRecords.restored(records.state())
    assert again == records
    assert again.returns["a"].maxlen == KEPT_DAYS
    assert DailyRecords.restored(None) == DailyRecords()


def test_weights_when_nothing_is_measured_yet_then_equal_and_as_much_as_before() -> None:
    assert reweighted({"a": D("0.5"), "b": D("0.1")}, DailyRecords()) == {"a": D("0.3"), "b": D("0.3")}


def test_weights_when_one_earns_and_one_loses_then_follow() -> None:
    good, bad = ["0.01", "0.02", "0.005"] * 15, ["-0.01", "-0.02", "-0.005"] * 15
    weights = reweighted({"a": D("0.3"), "b": D("0.3")}, lived({"a": good, "b": bad}))
    assert weights["a"] > weights["b"] > 0


@settings(max_examples=80)
@given(
    st.dictionaries(st.sampled_from("abcde"), st.integers(0, 2000), min_size=1),
    st.lists(st.lists(st.integers(-300, 300), min_size=5, max_size=5), max_size=45),
)
def test_weights_whatever_was_made_then_deploy_exactly_what_was_deployed(
    present: dict[str, int], days: list[list[int]]
) -> None:
    made = {name: [str(D(day[i]) / 10_000) for day in days] for i, name in enumerate("abcde")}
    before = {name: D(weight) / 10_000 for name, weight in present.items()}
    after = reweighted(before, lived(made) if days else DailyRecords())
    assert after.keys() == before.keys()
    assert sum(after.values(), Decimal(0)) == sum(before.values(), Decimal(0))
    assert all(weight >= 0 for weight in after.values())


def test_weights_day_after_day_then_never_drift() -> None:
    records = lived({"a": ["0.01", "-0.02"] * 20, "b": ["0.02", "0.01"] * 20, "c": ["0.001", "0"] * 20})
    weights = {"a": D("0.1"), "b": D("0.1"), "c": D("0.1")}
    for _ in range(400):
        weights = reweighted(weights, records)
    assert sum(weights.values()) == pytest.approx(D("0.3"), abs=D(0))
