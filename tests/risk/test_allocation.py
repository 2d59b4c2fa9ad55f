"""Allocation: weights that never exceed the capital and follow what was measured."""

from __future__ import annotations

import itertools
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.errors import BadInput
from engine.risk.allocation import AllocationConfig, StrategyRecord, fixed_weights, performance_weights

D = Decimal
CONFIG = AllocationConfig()


def record(name: str, mean: str, days: int = 100) -> StrategyRecord:
    """Days that alternate one percent around a mean."""
    swing = itertools.cycle((D("0.01"), D("-0.01")))
    return StrategyRecord(name, tuple(D(mean) + next(swing) for _ in range(days)))


def test_fixed_when_they_fit_then_unchanged() -> None:
    weights = {"momentum": D("0.5"), "breakout": D("0.5"), "idle": D(0)}
    assert fixed_weights(weights) == weights


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": D("0.6"), "b": D("0.4000001")}, "sum to 1.0000001"),
        ({"a": D("-0.1")}, "weight -0.1 of a"),
        ({"a": D("NaN")}, "weight NaN of a"),
    ],
)
def test_fixed_when_they_do_not_fit_then_refused_by_name(weights: dict[str, Decimal], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        fixed_weights(weights)


def test_performance_when_there_is_no_strategy_then_nothing() -> None:
    assert performance_weights([], CONFIG) == {}


def test_performance_when_one_strategy_then_all_capital() -> None:
    assert performance_weights([record("a", "0.001")], CONFIG) == {"a": D(1)}


def test_performance_when_records_are_short_then_equal() -> None:
    weights = performance_weights([record("a", "0.01", 29), record("b", "-0.01", 29), record("c", "0", 0)], CONFIG)
    assert weights == dict.fromkeys("abc", D("0.3333"))


def test_performance_when_measured_then_the_better_gets_more_within_floor_and_cap() -> None:
    weights = performance_weights([record("a", "0.002"), record("b", "0.001"), record("c", "-0.001")], CONFIG)
    assert weights == {"a": D("0.6"), "b": D("0.35"), "c": D("0.05")}
    uncapped = AllocationConfig(cap=D(1), floor=D(0))
    weights = performance_weights([record("a", "0.002"), record("b", "0.001"), record("c", "-0.001")], uncapped)
    assert weights == {"a": D("0.6666"), "b": D("0.3333"), "c": D(0)}


def test_performance_when_a_record_is_short_then_it_counts_less() -> None:
    config = AllocationConfig(cap=D(1), floor=D(0), shrink_days=100)
    long, short = record("long", "0.001", 300), record("short", "0.001", 100)
    weights = performance_weights([long, short], config)
    assert weights["long"] > weights["short"] > 0


def test_performance_when_one_is_new_then_it_gets_the_equal_share_and_the_rest_is_divided() -> None:
    weights = performance_weights([record("new", "0", 0), record("a", "0.002"), record("b", "0.001")], CONFIG)
    assert weights["new"] == D("0.3333")
    assert weights["a"] > weights["b"]


def test_performance_when_nobody_earns_then_equal() -> None:
    weights = performance_weights([record("a", "-0.002"), record("b", "-0.001")], CONFIG)
    assert weights == {"a": D("0.5"), "b": D("0.5")}


def test_performance_when_a_record_never_moved_then_it_cannot_be_measured() -> None:
    still = StrategyRecord("still", (D("0.001"),) * 100)
    assert performance_weights([still, record("a", "0.001")], CONFIG) == {"a": D("0.5"), "still": D("0.5")}


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([record("a", "0"), record("a", "0")], "a has two records"),
        ([StrategyRecord("a", (D("NaN"),))], "return of a"),
    ],
)
def test_performance_when_records_are_broken_then_refused(records: list[StrategyRecord], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        performance_weights(records, CONFIG)


means = st.decimals("-0.01", "0.01", places=4)


@given(
    st.lists(st.tuples(means, st.sampled_from([0, 29, 30, 200])), min_size=1, max_size=8),
    st.decimals("0", "0.5", places=2),
    st.decimals("0.01", "1", places=2),
)
@settings(max_examples=60, deadline=None)
def test_performance_when_any_records_then_never_more_than_the_capital_and_order_is_irrelevant(
    rows: list[tuple[Decimal, int]], floor: Decimal, cap: Decimal
) -> None:
    records = [record(f"s{index}", str(mean), days) for index, (mean, days) in enumerate(rows)]
    config = AllocationConfig(floor=floor, cap=cap)
    weights = performance_weights(records, config)
    total = sum(weights.values())
    assert D(1) - len(rows) * D("0.0001") <= total <= 1
    equal = D(1) / len(rows)
    assert all(min(floor, equal) - D("0.0001") <= weight <= max(cap, equal) for weight in weights.values())
    assert performance_weights(records[::-1], config) == weights
