"""What protects a position in the kernel when exits are undone, wicks lie and entries add to it; the replay agrees."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from kernel_twin import HOUR, START_MS, candles_of, difference, kernel_of, kernel_rows, replay_of, request_with

from engine.domain.instruments import Instrument, Kind
from engine.exchanges.paper import PaperCosts
from engine.risk.limits import RiskConfig
from engine.simulation.kernel_request import View

SPOT = Instrument("aa", "BTC", "USDT", Kind.SPOT, Decimal("0.1"), Decimal("0.001"), Decimal(5))
CAPPED = PaperCosts.plain(Decimal(0)).model_copy(update={"volume_share": Decimal("0.05"), "carry_bars": 3})
CALM = (100.0, 101.0, 99.0, 100.0, 1e6)
NONE = float("nan")
WIDE = {"max_position_share": "1", "max_concentration": "1", "max_exposure": "1"}


def trades(
    rows: Sequence[tuple[float, float, float, float, float]],
    convictions: Sequence[float],
    distances: Sequence[float] | float = 10.0,
    **risk: Any,
) -> list[tuple[int, str, str, str]]:
    """Fills as (candle, purpose, signed quantity, price); 10,000 of cash."""
    candles = candles_of(rows)
    view = View(np.array(convictions, dtype=np.float64), np.broadcast_to(np.float64(distances), len(candles)).copy())
    limits = RiskConfig(**{name: Decimal(value) for name, value in risk.items()})
    wanted = request_with({SPOT: candles}, {"momentum": {SPOT.key: view}}, costs=CAPPED, risk=limits)
    result = kernel_of(wanted)
    assert difference(result, replay_of(wanted)) == ""
    return [
        ((row[0] - START_MS) // HOUR.ms - 1, row[6], f"{row[2] * row[3]:.3f}", f"{row[4]:.1f}")
        for row, _ in kernel_rows(result)
    ]


def test_exit_when_undone_before_it_fills_then_the_stop_works_in_the_very_next_candle() -> None:
    silent, fall = (100.0, 100.0, 100.0, 100.0, 0.0), (100.0, 100.0, 60.0, 62.0, 1e6)
    found = trades([CALM, CALM, silent, fall], [1, 0, 1, NONE])
    assert found == [(1, "entry", "10.000", "100.0"), (3, "stop", "-10.000", "90.0")]


def test_trail_when_a_wick_lies_beyond_the_jump_band_then_it_moves_no_stop() -> None:
    wick, after = (100.0, 500.0, 99.0, 100.0, 1e6), (100.0, 102.0, 95.0, 96.0, 1e6)
    found = trades([CALM, CALM, wick, after, (96.0, 96.0, 91.0, 92.0, 1e6)], [1, *[NONE] * 4], trail="1")
    assert found == [(1, "entry", "10.000", "100.0"), (4, "trailing stop", "-10.000", "92.0")]


def test_added_entry_when_its_stop_lies_farther_then_a_stop_for_all_lies_at_the_nearer() -> None:
    lower, silent = (96.0, 97.0, 95.0, 96.0, 1e6), (96.0, 96.0, 96.0, 96.0, 0.0)
    rows = [CALM, CALM, lower, lower, lower, silent, (96.0, 96.0, 88.0, 89.0, 1e6)]
    found = trades(rows, [0.5, NONE, 1, NONE, 0, 1, NONE], **WIDE)
    assert [(bar, why, price) for bar, why, _, price in found] == [
        (1, "entry", "100.0"),
        (3, "entry", "96.0"),
        (6, "stop", "90.0"),
    ]


def test_added_entry_when_it_has_a_target_then_a_stop_for_all_goes_with_the_first() -> None:
    higher, silent = (104.0, 105.0, 103.0, 104.0, 1e6), (104.0, 104.0, 104.0, 104.0, 0.0)
    rows = [CALM, CALM, higher, higher, higher, silent, (104.0, 123.0, 104.0, 121.0, 1e6)]
    found = trades(rows, [0.5, NONE, 1, NONE, 0, 1, NONE], take_profit="2", **WIDE)
    assert [(bar, why, price) for bar, why, _, price in found] == [
        (1, "entry", "100.0"),
        (3, "entry", "104.0"),
        (6, "target", "120.0"),
    ]
