"""Targets and trailing stops of the kernel on small candles worked out by hand; the replay agrees with each."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from kernel_twin import HOUR, START_MS, candles_of, difference, kernel_of, kernel_rows, replay_of, request_with

from engine.domain.instruments import Instrument, Kind
from engine.exchanges.paper import PaperCosts
from engine.risk.limits import RiskConfig
from engine.simulation.kernel_request import View, ticks_beyond

SPOT = Instrument("aa", "BTC", "USDT", Kind.SPOT, Decimal("0.1"), Decimal("0.001"), Decimal(5))
PERPETUAL = Instrument("aa", "BTC", "USDT", Kind.PERPETUAL, Decimal("0.1"), Decimal("0.001"), Decimal(5), Decimal(10))
FREE = PaperCosts.plain(Decimal(0))
CALM = (100.0, 101.0, 99.0, 100.0, 1e6)
NONE = float("nan")
Row = tuple[float, float, float, float, float]
Fill = tuple[int, str, str, str]


def trades(
    rows: Sequence[Row],
    convictions: Sequence[float],
    *,
    instrument: Instrument = SPOT,
    distance: float = 10.0,
    costs: PaperCosts = FREE,
    **risk: Any,
) -> list[Fill]:
    """Fills as (candle, purpose, signed quantity, price); 10,000 of cash, a stop 10 away: 1 % at risk buys 10 coins."""
    candles = candles_of(rows)
    view = View(np.array(convictions, dtype=np.float64), np.full(len(candles), distance))
    limits = RiskConfig(**{name: Decimal(value) for name, value in risk.items()})
    wanted = request_with({instrument: candles}, {"momentum": {instrument.key: view}}, costs=costs, risk=limits)
    result = kernel_of(wanted)
    assert difference(result, replay_of(wanted)) == ""
    return [
        ((row[0] - START_MS) // HOUR.ms - 1, row[6], f"{row[2] * row[3]:.3f}", f"{row[4]:.1f}")
        for row, _ in kernel_rows(result)
    ]


ENTRY = (1, "entry", "10.000", "100.0")


@pytest.mark.parametrize(
    ("candle", "filled"),
    [
        pytest.param((100.0, 115.1, 99.0, 100.0, 1e6), [(2, "target", "-10.000", "115.0")], id="through by a tick"),
        pytest.param((100.0, 115.0, 99.0, 100.0, 1e6), [], id="touched"),
        pytest.param((120.0, 121.0, 119.0, 120.0, 1e6), [(2, "target", "-10.000", "115.0")], id="open beyond it"),
        pytest.param((100.0, 120.0, 90.0, 100.0, 1e6), [(2, "stop", "-10.000", "90.0")], id="the stop in the same bar"),
    ],
)
def test_target_when_a_candle_comes_then_fills_by_the_rules_of_a_resting_limit(candle: Row, filled: list[Fill]) -> None:
    assert trades([CALM, CALM, candle], [1, NONE, NONE], take_profit="1.5") == [ENTRY, *filled]


def test_target_when_reached_in_the_entry_candle_then_fills_there() -> None:
    rows = [CALM, (100.0, 115.1, 99.0, 100.0, 1e6)]
    assert trades(rows, [1, NONE], take_profit="1.5") == [ENTRY, (1, "target", "-10.000", "115.0")]


def test_target_when_the_entry_opens_beyond_it_then_takes_at_that_open() -> None:
    rows = [CALM, (120.0, 121.0, 119.0, 120.0, 1e6)]
    costs = PaperCosts.plain(Decimal(0), Decimal(10))  # 0.1 % each way: 0.12, up and down to the tick
    found = trades(rows, [0.5, NONE], costs=costs, take_profit="1.5")
    assert found == [(1, "entry", "5.000", "120.2"), (1, "target", "-5.000", "119.8")]


def test_target_when_its_distance_lies_between_ticks_then_never_nearer_than_asked() -> None:
    rows = [CALM, (100.0, 103.5, 99.0, 100.0, 1e6), (100.0, 103.6, 99.0, 100.0, 1e6)]
    found = trades(rows, [0.2, NONE, NONE], distance=10.0, take_profit="0.345")
    assert found[1] == (2, "target", "-2.000", "103.5")


def test_target_when_filled_in_part_then_stop_and_target_cover_the_rest_and_nothing_is_bought_back() -> None:
    costs = PaperCosts(volume_share=Decimal("0.5"), maker_bps=Decimal(0), taker_bps=Decimal(0), spread_bps=Decimal(0),
                       slippage_bps=Decimal(0))  # fmt: skip
    thin, fall = (100.0, 116.0, 99.0, 100.0, 8.0), (100.0, 101.0, 89.0, 90.0, 1e6)
    found = trades([CALM, CALM, thin, CALM, fall, CALM], [1, 1, 1, 1, 1, 1], costs=costs, take_profit="1.5")
    assert found == [ENTRY, (2, "target", "-4.000", "115.0"), (4, "stop", "-6.000", "90.0")]


def test_target_when_filled_then_the_strategy_waits_until_its_conviction_has_gone_to_zero() -> None:
    reach = (100.0, 116.0, 99.0, 100.0, 1e6)
    found = trades([CALM, CALM, reach, CALM, CALM, CALM, CALM], [1, 1, 1, 1, 0, 1, NONE], take_profit="1.5")
    assert [fill[:2] for fill in found] == [(1, "entry"), (2, "target"), (6, "entry")]


def test_target_when_short_then_below_the_entry() -> None:
    found = trades(
        [CALM, CALM, (100.0, 101.0, 84.9, 90.0, 1e6)], [-1, NONE, NONE], instrument=PERPETUAL, take_profit="1.5"
    )
    assert found == [(1, "entry", "-10.000", "100.0"), (2, "target", "10.000", "85.0")]


def test_target_when_a_short_would_have_it_below_zero_then_none() -> None:
    rows = [CALM, CALM, (100.0, 101.0, 0.1, 90.0, 1e6)]
    found = trades(rows, [-1, NONE, NONE], instrument=PERPETUAL, take_profit="11")
    assert found == [(1, "entry", "-10.000", "100.0")]


def test_target_when_paid_as_a_maker_then_the_fee_of_one() -> None:
    costs = PaperCosts(maker_bps=Decimal(1), taker_bps=Decimal(10), spread_bps=Decimal(0), slippage_bps=Decimal(0))
    candles = candles_of([CALM, CALM, (100.0, 120.0, 99.0, 100.0, 1e6)])
    view = View(np.array([1, NONE, NONE]), np.full(3, 10.0))
    risk = RiskConfig(take_profit=Decimal("1.5"))
    result = kernel_of(request_with({SPOT: candles}, {"momentum": {SPOT.key: view}}, costs=costs, risk=risk))
    assert result.fills["fee"].tolist() == pytest.approx([1.0, 0.115])


def test_trail_when_a_bar_makes_a_high_then_the_stop_moves_only_once_it_is_complete() -> None:
    high, fall = (100.0, 115.0, 96.0, 114.0, 1e6), (114.0, 114.0, 104.9, 106.0, 1e6)
    found = trades([CALM, CALM, high, fall], [1, NONE, NONE, NONE], trail="1")
    assert found == [ENTRY, (3, "trailing stop", "-10.000", "105.0")]  # 96 did not meet 105 within the bar that set it


def test_trail_when_the_entry_candle_made_the_high_then_it_counts_once_complete() -> None:
    rows = [CALM, (100.0, 112.0, 91.0, 111.0, 1e6), (111.0, 111.0, 101.9, 103.0, 1e6)]
    assert trades(rows, [1, NONE, NONE], trail="1") == [ENTRY, (2, "trailing stop", "-10.000", "102.0")]


def test_trail_when_prices_fall_then_the_stop_stays_and_never_moves_back() -> None:
    high, lower = (100.0, 115.0, 99.0, 114.0, 1e6), (110.0, 111.0, 107.0, 108.0, 1e6)
    found = trades([CALM, CALM, high, lower, lower, (106.0, 106.0, 104.0, 104.5, 1e6)], [1, *[NONE] * 5], trail="1")
    assert found == [ENTRY, (5, "trailing stop", "-10.000", "105.0")]


def test_trail_when_a_bar_opens_beyond_the_moved_stop_then_fills_at_the_open() -> None:
    high = (100.0, 115.0, 99.0, 114.0, 1e6)
    found = trades([CALM, CALM, high, (98.0, 99.0, 97.0, 98.0, 1e6)], [1, *[NONE] * 3], trail="1")
    assert found == [ENTRY, (3, "trailing stop", "-10.000", "98.0")]


def test_trail_when_the_close_has_passed_it_already_then_out_at_the_next_open() -> None:
    spike = (100.0, 120.0, 99.0, 101.0, 1e6)
    found = trades([CALM, CALM, spike, (102.0, 103.0, 101.0, 102.0, 1e6)], [1, *[NONE] * 3], trail="1")
    assert found == [ENTRY, (3, "trailing stop", "-10.000", "102.0")]


def test_trail_when_its_distance_lies_between_ticks_then_never_nearer_than_asked() -> None:
    high = (100.0, 115.0, 99.0, 114.0, 1e6)  # 115 - 3.45 = 111.55
    found = trades([CALM, CALM, high, (114.0, 114.0, 111.5, 112.0, 1e6)], [1, *[NONE] * 3], trail="0.345")
    assert found == [ENTRY, (3, "trailing stop", "-10.000", "111.5")]


def test_trail_when_short_then_behind_the_lowest_low() -> None:
    fall, rise = (100.0, 101.0, 85.0, 86.0, 1e6), (86.0, 95.0, 86.0, 94.0, 1e6)
    found = trades([CALM, CALM, fall, rise], [-1, *[NONE] * 3], instrument=PERPETUAL, trail="1")
    assert found == [(1, "entry", "-10.000", "100.0"), (3, "trailing stop", "10.000", "95.0")]


def test_trail_when_added_to_then_the_best_price_counts_from_the_latest_entry() -> None:
    high, lower = (100.0, 115.0, 99.0, 108.0, 1e6), (108.0, 109.0, 107.0, 108.0, 1e6)
    rows = [CALM, CALM, high, lower, (108.0, 108.0, 98.5, 99.0, 1e6)]
    found = trades(rows, [0.5, NONE, 1, NONE, NONE], trail="1", max_position_share="1", max_concentration="1")
    assert [fill[1:] for fill in found[1:]] == [
        ("entry", "5.040", "108.0"),  # 1 % of 10,040 at risk, less what is held
        ("trailing stop", "-5.000", "105.0"),
        ("trailing stop", "-5.040", "99.0"),
    ]


def test_both_when_the_target_is_reached_after_the_stop_has_moved_then_the_target_takes_it() -> None:
    high, reach = (100.0, 114.0, 99.0, 113.0, 1e6), (113.0, 116.0, 112.0, 115.0, 1e6)
    found = trades([CALM, CALM, high, reach], [1, *[NONE] * 3], trail="1", take_profit="1.5")
    assert found == [ENTRY, (3, "target", "-10.000", "115.0")]


def test_ticks_beyond_when_exact_or_between_then_never_fewer_than_asked() -> None:
    distances = np.array([1.0, 0.3, 0.31, np.nan, -1.0, np.inf])
    assert ticks_beyond(distances, Decimal("0.1"), Decimal("0.1")).tolist() == [1, 1, 1, 0, 0, 0]
    assert ticks_beyond(distances, Decimal(3), Decimal("0.1")).tolist() == [30, 9, 10, 0, 0, 0]
    assert ticks_beyond(distances, None, Decimal("0.1")).tolist() == [0] * 6
