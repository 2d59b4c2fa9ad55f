"""Numbers, money, times and ages as people read them."""

from __future__ import annotations

import doctest
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pages import access, forms, parts
from pages import format as fmt


@pytest.mark.parametrize("module", [fmt, forms, access])
def test_examples_when_run_then_hold(module: object) -> None:
    outcome = doctest.testmod(module)  # type: ignore[arg-type]
    assert outcome.attempted > 0
    assert outcome.failed == 0


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("-0.001"), "0.00"),
        (Decimal("-0.006"), "−0.01"),
        (float("nan"), "—"),
        (float("inf"), "—"),
        (None, "—"),
        (1234567.891, "1,234,567.89"),
    ],
)
def test_number_when_odd_then_never_misleads(value: Decimal | float | None, shown: str) -> None:
    assert fmt.number(value) == shown


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=8, allow_nan=False, allow_infinity=False))
def test_quantity_when_read_back_then_same_value(value: Decimal) -> None:
    assert Decimal(fmt.quantity(value).replace(",", "").replace("−", "-")) == value


@given(st.text())
def test_safe_when_given_any_text_then_no_tag_survives(value: str) -> None:
    assert "<" not in fmt.safe(value)


def test_moment_when_zone_given_then_in_that_zone() -> None:
    at = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
    assert fmt.moment(at, "Europe/Rome") == "2026-03-02 00:30:00"


@pytest.mark.parametrize(
    ("ago_s", "shown"), [(0.2, "0.2 s"), (-3, "0 s"), (59, "59 s"), (61, "1 min"), (3601, "1 h"), (200_000, "2 d")]
)
def test_age_when_counted_then_one_unit(ago_s: float, shown: str) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    assert fmt.age(fmt.seconds_since(now - timedelta(seconds=ago_s), now)) == shown


@pytest.mark.parametrize(("value", "arrow"), [("-0.004", ""), ("0", ""), ("0.004", ""), ("-0.01", "▼"), ("10", "▲")])
def test_profit_when_it_rounds_to_nothing_then_neither_gain_nor_loss(value: str, arrow: str) -> None:
    shown = parts.profit(Decimal(value), "USDT")
    assert ("▲" in shown, "▼" in shown) == (arrow == "▲", arrow == "▼")
