"""Finer candles decide what happens inside a bar: by hand, on random candles and on real ones; kernel equals replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest
from fine_cases import Row, drawn, hours_of, lasting, quarters, with_fine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_cases import Cases
from kernel_twin import (
    START_MS,
    GivenOpinions,
    candles_of,
    difference,
    kernel_of,
    kernel_rows,
    replay_of,
    request_with,
)
from recorded_candles import recorded, recorded_minutes

from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.exchanges.paper import PaperCosts
from engine.market.funding import FundingSeries
from engine.risk.limits import RiskConfig, Sizer
from engine.simulation.backtest import BacktestEngine, BacktestRun, BacktestSetup, run_backtest
from engine.simulation.foresight import Values
from engine.simulation.kernel import KernelResult
from engine.simulation.kernel_request import View
from engine.simulation.replay import ReplayConfig
from engine.strategies import STRATEGIES
from engine.trading.sleeves import Sleeve

SPOT = Instrument("aa", "BTC", "USDT", Kind.SPOT, Decimal("0.1"), Decimal("0.001"), Decimal(5))
PERPETUAL = Instrument("aa", "BTC", "USDT", Kind.PERPETUAL, Decimal("0.1"), Decimal("0.001"), Decimal(5), Decimal(10))
FREE = PaperCosts.plain(Decimal(0))
WITH_TARGET = RiskConfig(take_profit=Decimal(1))
ALL_IN = RiskConfig(sizer=Sizer.WEIGHTS, max_exposure=Decimal(10), max_concentration=Decimal(10))
SMALL = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
CALM: list[Row] = [(100.0, 101.0, 99.0, 100.0, 1e6)] * 4
UP: Row = (100.0, 111.0, 99.0, 105.0, 1e6)
DOWN: Row = (105.0, 106.0, 89.0, 95.0, 1e6)
FALL: Row = (100.0, 101.0, 89.0, 95.0, 1e6)
FLAT: Row = (95.0, 96.0, 94.0, 95.0, 1e6)
NONE = float("nan")


def run(
    hours: Sequence[Sequence[Row]],
    *,
    convictions: Sequence[float] = (1, NONE, NONE),
    instrument: Instrument = SPOT,
    costs: PaperCosts = FREE,
    risk: RiskConfig | None = None,
    funding: FundingSeries | None = None,
    fine: Sequence[Sequence[Row]] | None = None,
    distance: float = 10.0,
) -> tuple[KernelResult, list[tuple[int, str, str, str]]]:
    """10,000 of cash, a stop 10 away: the result, and fills as (minute of the close, purpose, quantity, price)."""
    candles = candles_of(hours_of(*hours))
    view = View(np.array(convictions, dtype=np.float64), np.full(len(candles), distance))
    stamps = {instrument.key: funding} if funding else {}
    views = {"momentum": {instrument.key: view}}
    wanted = request_with({instrument: candles}, views, costs=costs, risk=risk, funding=stamps)
    wanted = with_fine(wanted, {instrument.key: quarters(*(hours if fine is None else fine))})
    result = kernel_of(wanted)
    assert difference(result, replay_of(wanted)) == ""
    rows = [
        ((row[0] - START_MS) // 60_000, row[6], f"{row[2] * row[3]:.3f}", f"{row[4]:.1f}")
        for row, _ in kernel_rows(result)
    ]
    return result, rows


def test_entry_when_decided_at_a_close_then_fills_at_the_next_finer_open() -> None:
    _, fills = run([CALM, CALM, CALM])
    assert fills == [(75, "entry", "10.000", "100.0")]


@pytest.mark.parametrize(
    ("hour", "end"),
    [
        ((UP, DOWN, FLAT, FLAT), (135, "target", "-10.000", "110.0")),
        ((FALL, FLAT, (95.0, 111.0, 94.0, 95.0, 1e6), FLAT), (135, "stop", "-10.000", "90.0")),
        (((100.0, 111.0, 89.0, 95.0, 1e6), FLAT, FLAT, FLAT), (135, "stop", "-10.000", "90.0")),
    ],
    ids=["target first", "stop first", "both in one finer candle: the stop"],
)
def test_stop_and_target_when_one_bar_reaches_both_then_the_finer_candles_tell_which(
    hour: Sequence[Row], end: tuple[int, str, str, str]
) -> None:
    _, fills = run([CALM, CALM, hour], risk=WITH_TARGET)
    assert fills == [(75, "entry", "10.000", "100.0"), end]


def test_stop_and_target_when_the_finer_candles_are_missing_then_the_stop_is_first() -> None:
    hours = [CALM, CALM, (UP, DOWN, FLAT, FLAT)]
    _, fills = run(hours, risk=WITH_TARGET, fine=[CALM, CALM, (UP, DOWN)])
    assert fills[1:] == [(180, "stop", "-10.000", "90.0")]


def test_stop_when_a_finer_candle_opens_beyond_it_then_fills_at_that_open() -> None:
    gap: Row = (80.0, 81.0, 79.0, 80.0, 1e6)
    result, fills = run([CALM, CALM, (CALM[0], gap, gap, gap)])
    assert fills[1:] == [(150, "stop", "-10.000", "80.0")]
    assert result.final_equity == pytest.approx(9800.0)


def test_entry_when_volume_is_thin_then_each_finer_candle_gives_its_share_and_waiting_counts_whole_bars() -> None:
    thin: list[Row] = [(100.0, 101.0, 99.0, 100.0, 20.0)] * 4  # 5 % of 20 is 1
    costs = FREE.model_copy(update={"volume_share": Decimal("0.05"), "carry_bars": 1})
    _, fills = run([CALM, thin, thin, thin], convictions=[1, NONE, NONE, NONE], costs=costs)
    assert [minute for minute, _, _, _ in fills] == [75, 90, 105, 120, 135, 150, 165, 180]
    assert {row[1:] for row in fills} == {("entry", "1.000", "100.0")}


@pytest.mark.parametrize(("fallen", "funding"), [(1, 0.0), (3, -10.0)])
def test_funding_inside_a_bar_when_stopped_before_it_then_nothing_is_paid(fallen: int, funding: float) -> None:
    hour = [CALM[0] if part < fallen else (95.0, 96.0, 89.0, 95.0, 1e6) for part in range(4)]
    stamps = START_MS + np.array([-140, -20, 100, 220, 340], dtype=np.int64) * 60_000  # once while held
    rates = FundingSeries(stamps, (Decimal("0.01"),) * 5)
    result, fills = run([CALM, hour, [FLAT] * 4], instrument=PERPETUAL, funding=rates)
    assert [row[1] for row in fills] == ["entry", "stop"]
    assert result.funding == pytest.approx(funding)  # 10 coins at 100, 1 %


def test_liquidation_when_a_finer_candle_reaches_it_then_closes_there() -> None:
    after: Row = (200.0, 200.0, 199.0, 200.0, 1e6)
    spike: list[Row] = [(120.0, 121.0, 119.0, 120.0, 1e6), (190.0, 210.0, 189.0, 200.0, 1e6), after, after]
    _, fills = run([CALM, CALM, spike], convictions=[-1, NONE, NONE], instrument=PERPETUAL, risk=ALL_IN, distance=150.0)
    # 99.9 sold at 100 with 10,000 of cash: (9,990 + 10,000) / (99.9 x 1.005) = 199.105, up to the tick
    assert fills[1:2] == [(150, "external", "99.900", "199.2")]


def test_brake_when_it_trips_then_flat_at_the_next_finer_open() -> None:
    fall: Row = (88.0, 89.0, 86.0, 87.0, 1e6)
    hours = [CALM, CALM, [fall] * 4, [fall] * 4, CALM]
    result, fills = run(hours, convictions=[1] * 5, risk=ALL_IN, distance=50.0)
    assert fills == [(75, "entry", "99.900", "100.0"), (195, "flatten", "-99.900", "88.0")]
    assert result.stopped_at == datetime(2023, 1, 1, 3, tzinfo=UTC)


@SMALL
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_run_when_finer_candles_are_random_then_the_fills_of_the_replay(seed: int, many: bool) -> None:
    request = drawn(Cases(seed, many=many).request(), seed)
    try:
        ours = kernel_of(request)
    except BadInput as error:
        assert "funding rate" in str(error)  # noqa: PT017 -- random stamps may leave a hole at the end
        return
    assert difference(ours, replay_of(request)) == ""


@pytest.mark.parametrize("seed", [10_000_167, 10_000_555], ids=["flat by netting alone", "flattened beside minutes"])
def test_stop_of_the_book_when_under_way_inside_a_bar_then_the_fills_of_the_replay(seed: int) -> None:
    request = drawn(Cases(seed, many=True).request(), seed)
    assert difference(kernel_of(request), replay_of(request)) == ""


@dataclass(frozen=True)
class Foreseen(GivenOpinions):
    """The given values, known ahead."""

    def values(self, sleeve: Sleeve, key: InstrumentKey) -> Values:
        view = self.views[sleeve.name][key]
        return Values(view.convictions, view.distances)


def _passed_over(seed: int) -> None:
    """Bars that cannot change anything are left out with their finer candles."""
    request = lasting(drawn(Cases(seed, many=bool(seed % 3)).request(), seed), seed)
    try:
        ours = kernel_of(request)
    except BadInput:
        return
    assert difference(ours, replay_of(request, Foreseen)) == ""


@SMALL
@given(st.integers(0, 2**32 - 1))
def test_run_when_bars_are_passed_over_then_the_same_fills(seed: int) -> None:
    _passed_over(seed)


@pytest.mark.long
@pytest.mark.timeout(900)
@settings(SMALL, max_examples=1500)
@given(st.integers(0, 2**32 - 1))
def test_run_when_many_more_finer_candles_then_the_fills_of_the_replay(seed: int) -> None:
    request = drawn(Cases(seed, many=True).request(), seed)
    try:
        ours = kernel_of(request)
    except BadInput:
        return
    assert difference(ours, replay_of(request)) == ""
    _passed_over(seed)


def _august(name: str, engine: BacktestEngine, *, detail: bool = True) -> BacktestRun:
    """A strategy over 28 days of 2024 at real costs."""
    instrument, candles = recorded("BTC")
    config = ReplayConfig(
        {name: "{}"}, Decimal(10_000), PaperCosts(impact=Decimal(1)), RiskConfig(take_profit=Decimal("1.5"))
    )
    fine = {instrument.key: recorded_minutes("BTC")} if detail else {}
    start, stop = datetime(2024, 7, 27, tzinfo=UTC), datetime(2024, 8, 24, tzinfo=UTC)
    result = run_backtest(BacktestSetup(config, {instrument: candles}, {}, start, stop, fine), engine)
    assert result is not None
    return result


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_real_minutes_when_given_then_kernel_and_replay_agree_and_every_bar_is_decided(name: str) -> None:
    kernel, replay = (_august(name, engine) for engine in BacktestEngine)
    assert kernel.fills == replay.fills
    assert np.allclose(kernel.equity, replay.equity, rtol=1e-9)
    assert kernel.trades == replay.trades
    assert kernel.detail is not None
    assert (kernel.detail.bars_decided, kernel.detail.bars_without) == (28 * 24, 0)


def test_real_minutes_when_left_out_then_other_fills() -> None:
    with_minutes, without = (_august("breakout", BacktestEngine.KERNEL, detail=detail) for detail in (True, False))
    assert len(with_minutes.fills) > 5
    assert [fill.at_ms for fill in with_minutes.fills] != [fill.at_ms for fill in without.fills]
    assert without.detail is None
