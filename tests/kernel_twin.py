"""Runs one request through the kernel and through the real core, and finds the first thing on which they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.market import CandleArrays, Timeframe, to_ms
from engine.exchanges.paper import PaperCosts
from engine.market.funding import FundingSeries
from engine.market.windows import CandleWindow
from engine.risk.limits import RiskConfig
from engine.simulation.kernel import KernelRequest, KernelResult, run_kernel
from engine.simulation.kernel_request import KernelSeries, View, Views
from engine.simulation.replay import Replay, ReplayConfig, ReplayResult
from engine.simulation.replay_source import ReplaySource
from engine.trading.config import BrakeMode
from engine.trading.sleeves import Opinion, Sleeve, opinion_of

PURPOSES = ("entry", "exit", "stop", "flatten", "external", "netting", "target", "trailing stop")
Row = tuple[int, str, int, Decimal, Decimal, str, str]


@dataclass(frozen=True)
class GivenOpinions:
    """The given values as a replay's opinions."""

    views: Views
    rows: Mapping[InstrumentKey, Mapping[int, int]]

    def opinion(self, sleeve: Sleeve, key: InstrumentKey, opened_at_ms: int, window: CandleWindow) -> Opinion | None:
        view, row = self.views[sleeve.name][key], self.rows[key][opened_at_ms]
        return opinion_of(float(view.convictions[row]), float(view.distances[row]))


def replay_of(request: KernelRequest, opinions: type[GivenOpinions] = GivenOpinions) -> ReplayResult:
    """The same run through the core; with opinions that are known ahead, quiet bars are passed over."""
    series = {one.instrument: one.candles for one in request.series}
    funding: dict[InstrumentKey, FundingSeries | None] = {
        one.instrument.key: one.funding for one in request.series if one.instrument.can_short
    }
    fine = {one.instrument.key: one.fine.candles for one in request.series if one.fine is not None}
    source = ReplaySource(series, funding, fine=fine)
    config = ReplayConfig(
        dict.fromkeys(request.views, "{}"),
        request.cash,
        request.costs,
        request.risk,
        request.brake,
        request.brake_reset_days,
    )
    rows = {i.key: {ms: row for row, ms in enumerate(c.opened_at_ms.tolist())} for i, c in series.items()}
    result = Replay(source, config, opinions(request.views, rows)).run(source.bars)
    assert result is not None
    return result


def kernel_of(request: KernelRequest) -> KernelResult:
    """The run through the kernel."""
    result = run_kernel(request)
    assert result is not None
    return result


def kernel_rows(result: KernelResult) -> list[tuple[Row, float]]:
    """Fills as (time, instrument, sign, quantity, price, strategy, purpose) and fee."""
    rows = []
    for fill in result.fills:
        instrument, sleeve = result.instruments[int(fill["market"])], int(fill["sleeve"])
        row = (
            int(fill["at_ms"]),
            str(instrument.key),
            int(fill["sign"]),
            int(fill["lots"]) * instrument.lot_size,
            int(fill["price"]) * instrument.tick_size,
            (*result.strategies, "external")[sleeve],
            PURPOSES[int(fill["purpose"])],
        )
        rows.append((row, float(fill["fee"])))
    return rows


def replay_rows(result: ReplayResult) -> list[tuple[Row, float]]:
    """The same of a replay."""
    return [
        ((to_ms(f.at), str(f.instrument), f.side.sign, f.quantity, f.price, *result.orders[f.client_id]), float(f.fee))
        for f in result.fills
    ]


def difference(ours: KernelResult, theirs: ReplayResult) -> str:
    """The first difference in fills, then equity and totals; empty where there is none."""
    pairs = list(zip(kernel_rows(ours), replay_rows(theirs), strict=False))
    for number, ((row, fee), (other, other_fee)) in enumerate(pairs):
        if row != other or abs(fee - other_fee) > 1e-9 * other_fee:
            return f"fill {number}: kernel {row} fee {fee}, replay {other} fee {other_fee}"
    if len(ours.fills) != len(theirs.fills):
        extra = (kernel_rows(ours)[len(pairs) :] or replay_rows(theirs)[len(pairs) :])[0]
        return f"{len(ours.fills)} fills in the kernel, {len(theirs.fills)} in the replay; next {extra}"
    return _difference_in_totals(ours, theirs)


def _difference_in_totals(ours: KernelResult, theirs: ReplayResult) -> str:
    equity = np.array([float(point.equity) for point in theirs.equity])
    drawdown = np.array([float(point.drawdown) for point in theirs.equity])
    if len(equity) != len(ours.equity) or not np.allclose(ours.equity, equity, rtol=1e-9, atol=1e-7):
        return f"equity of {len(equity)} closes differs"
    if not np.allclose(ours.drawdown, drawdown, rtol=0, atol=1e-9):
        return "drawdown differs"
    for name in ("trades", "wins", "refused", "stopped_at", "rejected_prices", "bars"):
        if getattr(ours, name) != getattr(theirs, name):
            return f"{name}: kernel {getattr(ours, name)}, replay {getattr(theirs, name)}"
    for name in ("funding", "final_equity"):
        if abs(getattr(ours, name) - float(getattr(theirs, name))) > 1e-6:
            return f"{name}: kernel {getattr(ours, name)}, replay {getattr(theirs, name)}"
    return ""


HOUR = Timeframe(3600)
START_MS = 1_672_531_200_000
"""1 January 2023 UTC."""


def candles_of(
    rows: Sequence[tuple[float, float, float, float, float]], opened_ms: Sequence[int] | None = None
) -> CandleArrays:
    """Hourly candles from (open, high, low, close, volume)."""
    times = np.array(opened_ms if opened_ms is not None else START_MS + HOUR.ms * np.arange(len(rows)), dtype=np.int64)
    columns = np.array(rows, dtype=np.float64).T
    return CandleArrays(HOUR, times, *(np.ascontiguousarray(column) for column in columns))


def request_with(
    series: Mapping[Instrument, CandleArrays],
    views: Mapping[str, Mapping[InstrumentKey, View]],
    *,
    cash: Decimal = Decimal(10_000),
    costs: PaperCosts | None = None,
    risk: RiskConfig | None = None,
    brake: tuple[BrakeMode, int] = (BrakeMode.LATCH, 0),
    funding: Mapping[InstrumentKey, FundingSeries] | None = None,
) -> KernelRequest:
    """A request over whole series, in the order of (venue, symbol)."""
    ordered = sorted(series, key=lambda one: (one.venue, one.symbol))
    parts = tuple(KernelSeries(one, series[one], 0, len(series[one]), (funding or {}).get(one.key)) for one in ordered)
    return KernelRequest(parts, views, cash, costs or PaperCosts(), risk or RiskConfig(), *brake)
