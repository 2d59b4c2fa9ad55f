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
