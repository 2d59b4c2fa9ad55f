"""Remainders below a venue's minimum in the kernel: no order is sent for them, the book goes on; the replay agrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from kernel_cases import Cases
from kernel_twin import HOUR, START_MS, candles_of, difference, kernel_of, kernel_rows, replay_of, request_with

from engine.domain.instruments import Instrument, Kind
from engine.exchanges.paper import PaperCosts
from engine.risk.limits import RiskConfig
from engine.simulation.kernel_request import View

COARSE = Instrument("aa", "BTC", "USDT", Kind.SPOT, Decimal("0.1"), Decimal("0.001"), Decimal(300))
"""No order below 300 USDT: three coins at 100."""
CAPPED = PaperCosts.plain(Decimal(0)).model_copy(update={"volume_share": Decimal("0.05"), "carry_bars": 1})
CALM = (100.0, 101.0, 99.0, 100.0, 1e6)
THIN = (100.0, 101.0, 99.0, 100.0, 160.0)
SILENT = (100.0, 100.0, 100.0, 100.0, 0.0)
NONE = float("nan")
Row = tuple[float, float, float, float, float]
LEFT_TWO = [(1, "entry", "10.000", "100.0"), (2, "exit", "-8.000", "100.0")]
"""An exit of ten coins gets eight, and two of 200 USDT stay."""


class Coarse(Cases):
    """Random requests on venues that take no small order, with thin volume."""

    def _instrument(self, coin: str) -> Instrument:
        return replace(super()._instrument(coin), min_notional=Decimal(self._one_of("200", "700", "1500")))


def trades(rows: Sequence[Row], convictions: Sequence[float]) -> list[tuple[int, str, str, str]]:
    """Fills as (candle, purpose, signed quantity, price); 10,000 of cash, a stop 10 away."""
    candles = candles_of(rows)
    view = View(np.array(convictions, dtype=np.float64), np.full(len(candles), 10.0))
    wanted = request_with({COARSE: candles}, {"momentum": {COARSE.key: view}}, costs=CAPPED, risk=RiskConfig())
    result = kernel_of(wanted)
    assert difference(result, replay_of(wanted)) == ""
    return [
        ((row[0] - START_MS) // HOUR.ms - 1, row[6], f"{row[2] * row[3]:.3f}", f"{row[4]:.1f}")
        for row, _ in kernel_rows(result)
    ]


def test_remainder_when_it_lies_for_many_closes_then_the_book_still_opens_positions() -> None:
    rows = [CALM, CALM, THIN, SILENT, *[CALM] * 8]
    found = trades(rows, [1, 0, 0, 0, 0, 0, 0, 0, 0, 1, NONE, NONE])
    assert found[:2] == LEFT_TWO
    assert found[2][:2] == (10, "entry")


def test_remainder_when_it_is_worth_the_minimum_again_then_stopped_out_where_its_stop_lay() -> None:
    high, fall = (150.0, 161.0, 149.0, 160.0, 1e6), (150.0, 150.0, 80.0, 85.0, 1e6)
    found = trades([CALM, CALM, THIN, SILENT, CALM, high, fall, CALM], [1, 0, NONE, NONE, NONE, NONE, NONE, NONE])
    assert found == [*LEFT_TWO, (6, "stop", "-2.000", "90.0")]


def test_remainder_when_it_never_is_then_no_stop_sells_it() -> None:
    fall = (100.0, 100.0, 80.0, 85.0, 1e6)
    found = trades([CALM, CALM, THIN, SILENT, CALM, fall, CALM], [1, 0, NONE, NONE, NONE, NONE, NONE])
    assert found == LEFT_TWO


@pytest.mark.parametrize("seed", range(40, 46))
def test_run_when_minimums_are_coarse_then_the_fills_of_the_replay(seed: int) -> None:
    wanted = Coarse(seed, many=seed % 2 == 0).request()
    assert difference(kernel_of(wanted), replay_of(wanted)) == ""
