"""Counters: rows of failures, errors in an hour, and their way through a checkpoint."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from engine.domain.errors import BadInput
from engine.risk.counters import ErrorWindow, FailedTrades


def test_failed_trades_when_three_in_a_row_then_tripped() -> None:
    two = FailedTrades(3).failed().failed()
    assert not two.tripped
    assert two.failed().tripped
    assert not two.succeeded().failed().failed().tripped


def test_failed_trades_when_restored_then_the_same_under_the_new_limit() -> None:
    state = json.loads(json.dumps(FailedTrades(3).failed().failed().to_state()))
    assert FailedTrades.from_state(3, state) == FailedTrades(3, 2)
    assert FailedTrades.from_state(2, state).tripped


@pytest.mark.parametrize("value", [None, "2", True, 1.0, -1])
def test_failed_trades_when_the_state_is_broken_then_refused(value: Any) -> None:
    with pytest.raises(BadInput, match="failed trades"):
        FailedTrades.from_state(3, {"in_a_row": value})


def errors(now: datetime, *minutes: int, limit: int = 3) -> ErrorWindow:
    window = ErrorWindow(limit)
    for minute in minutes:
        window = window.failed(now + timedelta(minutes=minute))
    return window


def test_errors_when_enough_within_the_hour_then_tripped_until_they_age(now: datetime) -> None:
    window = errors(now, 0, 10, 59)
    assert window.tripped(now + timedelta(minutes=59, seconds=59))
    assert not window.tripped(now + timedelta(minutes=60))
    assert window.count(now + timedelta(minutes=60)) == 2


def test_errors_when_spread_over_more_than_an_hour_then_not_tripped(now: datetime) -> None:
    assert not errors(now, 0, 30, 61).tripped(now + timedelta(minutes=61))


def test_errors_when_many_then_memory_is_bounded(now: datetime) -> None:
    window = errors(now, *range(500), limit=10)
    assert len(window.times) == 10
    assert window.count(now + timedelta(minutes=500)) == 10


def test_errors_when_out_of_order_or_ahead_of_the_clock_then_counted(now: datetime) -> None:
    window = errors(now, 5, 3, 4)
    assert window.times == tuple(sorted(window.times))
    assert window.tripped(now)


def test_errors_when_restored_then_the_same(now: datetime) -> None:
    window = errors(now, 0, 1, 2)
    state = json.loads(json.dumps(window.to_state()))
    assert ErrorWindow.from_state(3, state) == window
    assert len(ErrorWindow.from_state(2, state).times) == 2


@pytest.mark.parametrize("value", [None, "now", ["yesterday"], [3], ["2026-01-01T00:00:00"]])
def test_errors_when_the_state_is_broken_then_refused(value: Any) -> None:
    with pytest.raises(BadInput, match="error time"):
        ErrorWindow.from_state(3, {"times": value})


def test_counters_when_their_limits_make_no_sense_then_refused() -> None:
    with pytest.raises(BadInput, match="limit 0"):
        FailedTrades(0)
    with pytest.raises(BadInput, match="limit 0"):
        ErrorWindow(0)
