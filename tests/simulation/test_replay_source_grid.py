"""From floats to the tick grid: the column form must equal the one-by-one form, and order must survive."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument, Kind
from engine.simulation.price_grid import decimal_price, decimal_volume, price_ticks, ticks_of

TICKS = st.sampled_from([Decimal(text) for text in ("0.01", "0.1", "0.0001", "0.00001", "0.5", "0.25", "1", "3", "5")])
PRICES = st.one_of(
    st.floats(3, 1e6),
    st.decimals(3, 100_000, places=3).map(float),
    st.integers(30, 10**7).map(lambda number: number / 10 + 0.05),
    st.integers(300, 10**7).map(lambda number: number * 0.01 + 0.005),
)


@given(prices=st.lists(PRICES, min_size=1, max_size=30), tick=TICKS)
@settings(max_examples=300, deadline=None)
def test_column_when_rounded_equals_one_by_one(prices: list[float], tick: Decimal) -> None:
    column = np.array(prices)
    assert price_ticks(column, tick).tolist() == [ticks_of(price, tick) for price in prices]
    assert [ticks * tick for ticks in price_ticks(column, tick).tolist()] == [decimal_price(p, tick) for p in prices]


@given(price=PRICES, tick=TICKS)
@settings(max_examples=300, deadline=None)
def test_price_when_rounded_is_the_nearest_tick_of_its_text(price: float, tick: Decimal) -> None:
    exact = Decimal(repr(price))
    rounded = decimal_price(price, tick)
    assert rounded % tick == 0
    assert abs(rounded - exact) <= tick / 2
    assert rounded == Instrument("x", "A", "B", Kind.SPOT, tick, Decimal(1)).round_price(exact)


@given(prices=st.tuples(PRICES, PRICES, PRICES, PRICES), tick=TICKS)
@settings(max_examples=200, deadline=None)
def test_candle_when_rounded_keeps_high_and_low_around_open_and_close(
    prices: tuple[float, float, float, float], tick: Decimal
) -> None:
    low, *between, high = sorted(prices)
    ticks = price_ticks(np.array([low, *between, high]), tick).tolist()
    assert ticks == sorted(ticks)


@pytest.mark.parametrize(
    ("price", "tick", "rounded"),
    [
        (13715.65, "0.01", "13715.65"),
        (0.1 + 0.2, "0.1", "0.3"),
        (2.675, "0.01", "2.68"),
        (2.665, "0.01", "2.66"),
        (0.125, "0.01", "0.12"),
        (1e15, "0.1", "1000000000000000.0"),
        (1.5, "1", "2"),
        (2.5, "1", "2"),
        (7.0, "5", "5"),
        (7.5, "5", "10"),
    ],
)
def test_price_when_between_two_ticks_goes_to_the_nearest_half_to_even(price: float, tick: str, rounded: str) -> None:
    assert decimal_price(price, Decimal(tick)) == Decimal(rounded)


def test_column_when_off_any_sensible_tick_refuses() -> None:
    with pytest.raises(BadInput, match="--tick-size"):
        price_ticks(np.array([100.0, 0.004]), Decimal("0.01"))
    with pytest.raises(BadInput, match="--tick-size"):
        price_ticks(np.array([100.0]), Decimal("1e-15"))
    assert price_ticks(np.empty(0), Decimal("0.01")).tolist() == []


def test_volume_when_turned_to_decimal_keeps_its_shortest_text() -> None:
    assert [decimal_volume(each) for each in (0.1, 443.356199, 0.0, 1e-9)] == [
        Decimal("0.1"),
        Decimal("443.356199"),
        Decimal(0),
        Decimal("1e-9"),
    ]
