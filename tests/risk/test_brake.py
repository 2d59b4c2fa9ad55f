"""The brake: its boundary, what it cannot know, and what it advises over time."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.errors import BadInput
from engine.risk.brake import Brake, BrakeAdvice, BrakeVerdict, BrakeWatch, drawdown
from engine.risk.limits import RiskConfig

D = Decimal
OK, TRIP, UNKNOWN = BrakeVerdict.OK, BrakeVerdict.TRIP, BrakeVerdict.UNKNOWN
GO_ON, CLOSE_ONLY, FLATTEN = BrakeAdvice.GO_ON, BrakeAdvice.CLOSE_ONLY, BrakeAdvice.FLATTEN


@pytest.mark.parametrize(
    ("unit_value", "peak", "verdict"),
    [
        ("1", "1", OK),
        ("1.2", "1", OK),
        ("0.9000000001", "1", OK),
        ("0.9", "1", TRIP),
        ("0.8999999999", "1", TRIP),
        ("0", "1", TRIP),
        ("-3", "1", TRIP),
        ("0.3", "0.3333333333333333333333333333", TRIP),
    ],
)
def test_brake_when_looking_then_trips_at_exactly_its_limit(unit_value: str, peak: str, verdict: BrakeVerdict) -> None:
    limit = D("0.10") if peak == "1" else D("0.0999")
    assert Brake(limit).look(D(unit_value), D(peak)) is verdict


@pytest.mark.parametrize("bad", [None, D("NaN"), D("sNaN"), D("Infinity")], ids=str)
def test_fault_67_brake_when_equity_is_unusable_then_unknown_never_a_trip(bad: Decimal | None) -> None:
    assert Brake(D("0.1")).look(bad, D(1)) is UNKNOWN
    assert Brake(D("0.1")).look(D("0.5"), bad) is UNKNOWN
    assert Brake(D("0.1")).look(D("0.5"), D(0)) is UNKNOWN
    assert drawdown(bad, D(1)) is None
    assert drawdown(D(1), bad) is None
    assert drawdown(D(1), D(0)) is None


def test_drawdown_when_known_then_share_below_the_peak() -> None:
    assert drawdown(D(75), D(100)) == D("0.25")
    assert drawdown(D(101), D(100)) == 0


@pytest.mark.parametrize("limit", [D(0), D("-0.1"), D("1.01"), D("NaN")], ids=str)
def test_brake_when_its_limit_makes_no_sense_then_refused(limit: Decimal) -> None:
    with pytest.raises(BadInput, match="brake limit"):
        Brake(limit)


@given(st.decimals("0.01", "1", places=2), st.decimals("0.0001", "1000", places=4), st.decimals("0", "1", places=4))
@settings(max_examples=100, deadline=None)
def test_brake_when_any_fall_then_trips_from_the_limit_on(limit: Decimal, peak: Decimal, fall: Decimal) -> None:
    assert (Brake(limit).look(peak - peak * fall, peak) is TRIP) == (fall >= limit)


def watch_after(watch: BrakeWatch, now: datetime, looks: list[tuple[int, BrakeVerdict]]) -> BrakeWatch:
    for second, verdict in looks:
        watch = watch.after(verdict, now + timedelta(seconds=second))
    return watch


@pytest.mark.parametrize(
    ("looks", "at", "advice"),
    [
        ([], 0, GO_ON),
        ([(0, OK)], 0, GO_ON),
        ([(0, UNKNOWN)], 59, GO_ON),
        ([(0, UNKNOWN)], 60, CLOSE_ONLY),
        ([(0, UNKNOWN), (30, UNKNOWN)], 60, CLOSE_ONLY),
        ([(0, UNKNOWN), (30, OK), (31, UNKNOWN)], 60, GO_ON),
        ([(0, TRIP)], 0, CLOSE_ONLY),
        ([(0, TRIP)], 9, CLOSE_ONLY),
        ([(0, TRIP), (10, TRIP)], 10, FLATTEN),
        ([(0, TRIP), (5, OK), (6, TRIP)], 10, CLOSE_ONLY),
        ([(0, TRIP), (5, UNKNOWN)], 20, CLOSE_ONLY),
        ([(0, TRIP), (5, UNKNOWN), (12, TRIP)], 12, FLATTEN),
        ([(0, TRIP), (5, OK)], 20, GO_ON),
    ],
)
def test_watch_when_looks_accumulate_then_advises(
    looks: list[tuple[int, BrakeVerdict]], at: int, advice: BrakeAdvice, now: datetime
) -> None:
    watch = watch_after(BrakeWatch(confirm_s=10, unknown_s=60), now, looks)
    assert watch.advice(now + timedelta(seconds=at)) is advice


def test_watch_when_no_confirmation_is_asked_then_the_first_look_flattens(now: datetime) -> None:
    assert BrakeWatch.from_config(RiskConfig()).after(TRIP, now).advice(now) is FLATTEN


def test_fault_66_watch_when_restored_then_remembers_since_when(now: datetime) -> None:
    watch = BrakeWatch(10, 60).after(TRIP, now).after(UNKNOWN, now)
    assert BrakeWatch(10, 60).from_state(watch.to_state()) == watch
    assert BrakeWatch(10, 60).from_state({}) == BrakeWatch(10, 60)


@pytest.mark.parametrize("text", ["yesterday", "2026-01-01T00:00:00"])
def test_watch_when_its_state_cannot_be_read_then_refused_by_name(text: str) -> None:
    with pytest.raises(BadInput, match="unknown_since"):
        BrakeWatch(10, 60).from_state({"unknown_since": text})
