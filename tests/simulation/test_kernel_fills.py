"""Small candles worked out by hand, one for each fill rule of the kernel; the replay agrees with each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

import numpy as np
import pytest
from kernel_twin import HOUR, START_MS, candles_of, difference, kernel_of, kernel_rows, replay_of, request_with

from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument, Kind
from engine.domain.market import CandleArrays, Timeframe
from engine.exchanges.paper import PaperCosts
from engine.market.funding import FundingSeries
from engine.risk.limits import RiskConfig, Sizer
from engine.simulation.kernel import KernelResult
from engine.simulation.kernel_request import KernelRequest, View, missing_stamps

SPOT = Instrument("aa", "BTC", "USDT", Kind.SPOT, Decimal("0.1"), Decimal("0.001"), Decimal(5))
PERPETUAL = Instrument("aa", "BTC", "USDT", Kind.PERPETUAL, Decimal("0.1"), Decimal("0.001"), Decimal(5), Decimal(10))
FREE = PaperCosts.plain(Decimal(0))
CALM = (100.0, 101.0, 99.0, 100.0, 1e6)
NONE = float("nan")
ALL_IN = RiskConfig(sizer=Sizer.WEIGHTS, max_exposure=Decimal(10), max_concentration=Decimal(10))
Row = tuple[float, float, float, float, float]


def request(
    candles: CandleArrays,
    convictions: Sequence[float],
    *,
    instrument: Instrument = SPOT,
    distance: float = 10.0,
    costs: PaperCosts = FREE,
    risk: RiskConfig | None = None,
    funding: FundingSeries | None = None,
) -> KernelRequest:
    """10,000 of cash; a stop 10 away, so that 1 % at risk buys 10 coins."""
    view = View(np.array(convictions, dtype=np.float64), np.full(len(candles), distance))
    stamps = {instrument.key: funding} if funding else {}
    views = {"momentum": {instrument.key: view}}
    return request_with({instrument: candles}, views, costs=costs, risk=risk, funding=stamps)


def run(wanted: KernelRequest) -> tuple[KernelResult, list[tuple[int, str, str, str]]]:
    """The result, and its fills as (candle, purpose, signed quantity, price)."""
    result = kernel_of(wanted)
    assert difference(result, replay_of(wanted)) == ""
    rows = [
        ((row[0] - START_MS) // HOUR.ms - 1, row[6], f"{row[2] * row[3]:.3f}", f"{row[4]:.1f}")
        for row, _ in kernel_rows(result)
    ]
    return result, rows


def test_entry_when_decided_at_a_close_then_fills_at_the_next_open_with_half_spread_and_slippage() -> None:
    costs = PaperCosts(spread_bps=Decimal(40), slippage_bps=Decimal(30), volume_share=None)
    result, fills = run(request(candles_of([CALM, CALM]), [1, NONE], costs=costs))
    assert fills == [(1, "entry", "10.000", "100.5")]  # 100 + 0.2 + 0.3
    assert result.fees == pytest.approx(1.005)


def test_entry_when_its_price_lies_between_ticks_then_rounded_against_the_trader() -> None:
    costs = PaperCosts.plain(Decimal(0), Decimal("2.5"))
    _, fills = run(request(candles_of([CALM, CALM, CALM]), [1, 0, NONE], costs=costs))
    assert [price for _, _, _, price in fills] == ["100.1", "99.9"]  # 100.025 and 99.975


def test_stop_when_the_candle_opens_beyond_it_then_fills_at_the_open() -> None:
    result, fills = run(request(candles_of([CALM, CALM, (80.0, 82.0, 79.0, 81.0, 1e6)]), [1, NONE, NONE]))
    assert fills == [(1, "entry", "10.000", "100.0"), (2, "stop", "-10.000", "80.0")]
    assert result.final_equity == pytest.approx(9800.0)


def test_stop_when_reached_in_the_entry_candle_then_fills_there() -> None:
    _, fills = run(request(candles_of([CALM, (100.0, 101.0, 85.0, 88.0, 1e6)]), [1, NONE]))
    assert fills == [(1, "entry", "10.000", "100.0"), (1, "stop", "-10.000", "90.0")]


def test_stop_when_touched_then_fills_at_its_price() -> None:
    _, fills = run(request(candles_of([CALM, CALM, (95.0, 96.0, 90.0, 95.0, 1e6)]), [1, NONE, NONE]))
    assert fills[-1] == (2, "stop", "-10.000", "90.0")


def test_entry_when_volume_is_thin_then_filled_over_four_candles_and_its_stop_covers_what_it_got() -> None:
    thin: Row = (100.0, 101.0, 99.0, 100.0, 40.0)  # 5 % of 40 is 2
    candles = candles_of([CALM, thin, thin, thin, thin, CALM, (95.0, 96.0, 85.0, 90.0, 1e6)])
    costs = FREE.model_copy(update={"volume_share": Decimal("0.05")})
    _, fills = run(request(candles, [1, *[NONE] * 6], costs=costs))
    assert fills[:4] == [(bar, "entry", "2.000", "100.0") for bar in (1, 2, 3, 4)]
    assert fills[4:] == [(6, "stop", "-8.000", "90.0")]


def test_stopped_out_when_the_conviction_stays_then_waits_until_it_has_gone() -> None:
    dip: Row = (95.0, 96.0, 85.0, 95.0, 1e6)
    _, fills = run(request(candles_of([CALM, CALM, dip, CALM, CALM, CALM, CALM]), [1, 1, 1, 1, 0, 1, 1]))
    assert [(bar, purpose) for bar, purpose, _, _ in fills] == [(1, "entry"), (2, "stop"), (6, "entry")]


@pytest.mark.parametrize(("wished", "fills"), [(0.95, 1), (0.5, 2)])
def test_rebalance_when_the_target_moves_by_less_than_a_tenth_then_nothing(wished: float, fills: int) -> None:
    _, rows = run(request(candles_of([CALM] * 4), [1, wished, wished, NONE]))
    assert len(rows) == fills


def test_funding_when_stamped_at_entry_and_exit_then_the_exit_pays_and_the_entry_does_not() -> None:
    closes = START_MS + HOUR.ms * np.arange(2, 6, dtype=np.int64)  # the closes of candles 1 to 4
    funding = FundingSeries(closes, (Decimal("0.01"),) * 4)
    wanted = request(candles_of([CALM] * 5), [1, NONE, 0, NONE, NONE], instrument=PERPETUAL, funding=funding)
    result, fills = run(wanted)
    assert [(bar, purpose) for bar, purpose, _, _ in fills] == [(1, "entry"), (3, "exit")]
    assert result.funding == pytest.approx(-20.0)  # 10 coins at 100, 1 % twice: at the closes of candles 2 and 3


def test_funding_when_a_stamp_is_missing_while_held_then_refused_with_the_instant() -> None:
    hours = np.array([0, 1, 2, 4, 5, 6], dtype=np.int64)
    funding = FundingSeries(START_MS + HOUR.ms * hours, (Decimal("0.0001"),) * 6)
    wanted = request(candles_of([CALM] * 5), [1, *[NONE] * 4], instrument=PERPETUAL, funding=funding)
    with pytest.raises(BadInput, match="2023-01-01 03:00:00"):
        kernel_of(wanted)
    assert missing_stamps(funding, START_MS, START_MS + 6 * HOUR.ms) == [START_MS + 3 * HOUR.ms]


def test_liquidation_when_reached_before_the_stop_then_closes_at_its_price() -> None:
    spike: Row = (120.0, 210.0, 119.0, 200.0, 1e6)
    wanted = request(
        candles_of([CALM, CALM, spike, CALM]), [-1, *[NONE] * 3], instrument=PERPETUAL, distance=150.0, risk=ALL_IN
    )
    result, fills = run(wanted)
    # 99.9 sold at 100 with 10,000 of cash: (9,990 + 10,000) / (99.9 x 1.005) = 199.105, up to the tick; no stop at 250
    assert fills[:2] == [(1, "entry", "-99.900", "100.0"), (2, "external", "99.900", "199.2")]
    assert result.equity[2] == pytest.approx(10_000 - 99.9 * 99.2)


def test_costs_when_doubled_then_the_same_trades_pay_twice_the_fees() -> None:
    candles = candles_of([CALM] * 6)
    convictions = [1, 1, 0, 1, 0, NONE]
    once, fills = run(request(candles, convictions, costs=PaperCosts.plain(Decimal(10))))
    twice, same = run(request(candles, convictions, costs=PaperCosts.plain(Decimal(20))))
    assert [row[:2] for row in fills] == [row[:2] for row in same]
    assert once.fills["fee"][:2] * 2 == pytest.approx(twice.fills["fee"][:2])


def test_brake_when_the_drawdown_reaches_it_then_flat_at_the_next_open_and_latched() -> None:
    fall: Row = (88.0, 89.0, 86.0, 87.0, 1e6)
    wanted = request(candles_of([CALM, CALM, fall, fall, CALM]), [1, 1, 1, 1, 1], distance=50.0, risk=ALL_IN)
    result, fills = run(wanted)
    assert fills == [(1, "entry", "99.900", "100.0"), (3, "flatten", "-99.900", "88.0")]
    assert result.stopped_at is not None


BAD: dict[str, tuple[Callable[[], KernelRequest], str]] = {
    "conviction": (lambda: request(candles_of([CALM] * 2), [1.5, 0]), "outside -1 to 1"),
    "length": (lambda: request(candles_of([CALM] * 2), [1]), "1 convictions"),
    "fineness": (
        lambda: request(candles_of([CALM] * 2), [1, 1], costs=PaperCosts.plain(Decimal("1.234567890123456789"))),
        "finer than",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_request_when_it_cannot_be_run_then_refused_by_name(case: str) -> None:
    make, words = BAD[case]
    with pytest.raises(BadInput, match=words):
        kernel_of(make())


def test_request_when_candles_differ_in_length_then_refused() -> None:
    other = Instrument("aa", "ETH", "USDT", Kind.SPOT, Decimal("0.1"), Decimal("0.001"))
    hours = candles_of([CALM] * 2)
    days = CandleArrays(Timeframe(86_400), *(getattr(hours, name) for name in hours.__slots__[1:]))
    view = View(np.ones(2), np.ones(2))
    views = {"momentum": {SPOT.key: view, other.key: view}}
    with pytest.raises(BadInput, match="different lengths"):
        kernel_of(request_with({SPOT: hours, other: days}, views))
