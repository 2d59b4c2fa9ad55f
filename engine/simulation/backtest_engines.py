"""The two ways to run a backtest, brought to one form: the compiled kernel, and the replay through the real core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

import numpy as np

from engine.domain.errors import BadInput
from engine.domain.market import FloatArray, IntArray, to_ms
from engine.domain.orders import Side
from engine.simulation import kernel_layout as layout
from engine.simulation.backtest_setup import BacktestSetup, Market
from engine.simulation.backtest_trades import MONEY_STEP, BacktestFill, Reason, TradedSeries
from engine.simulation.kernel import KernelRequest, KernelResult, run_kernel
from engine.simulation.kernel_all_in import STRANGE, all_in_of, changes_of, run_curve, run_fills, wishes_of
from engine.simulation.kernel_request import View, missing_stamps
from engine.simulation.opinions import PrecomputedOpinions
from engine.simulation.replay import TRAILING_STOP, Progress, Replay, ReplayResult
from engine.simulation.replay_source import ReplaySource

ZERO = Decimal(0)
_REPLAY_REASONS = {
    "entry": Reason.ENTRY,
    "exit": Reason.SIGNAL,
    "stop": Reason.STOP,
    "flatten": Reason.BRAKE,
    "target": Reason.TARGET,
    TRAILING_STOP: Reason.TRAILING_STOP,
}
_SIDES, _ALL_IN_REASONS = {1: Side.BUY, -1: Side.SELL}, {1: Reason.ENTRY, -1: Reason.SIGNAL}
_KERNEL_REASONS = {
    layout.ENTRY: Reason.ENTRY,
    layout.EXIT: Reason.SIGNAL,
    layout.STOP: Reason.STOP,
    layout.FLATTEN: Reason.BRAKE,
    layout.LIQUIDATION: Reason.LIQUIDATION,
    layout.TARGET: Reason.TARGET,
    layout.TRAILED: Reason.TRAILING_STOP,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What either engine hands back; as in `engine.simulation.backtest.BacktestRun`."""

    fills: tuple[BacktestFill, ...]
    at_ms: IntArray
    equity: FloatArray
    drawdown: FloatArray
    final_equity: Decimal
    fees: Decimal
    funding: Decimal
    stopped_at: datetime | None
    refused: int
    rejected_prices: int
    below_minimum: int | None = None


def by_kernel(
    setup: BacktestSetup, series: tuple[TradedSeries, ...], market: Market, progress: Progress | None
) -> Outcome | None:
    """Run the compiled pass; None when ``progress`` cancelled; raises `BadInput`, also for what it does not model."""
    config, name = setup.config, setup.strategy
    views = {name: {one.instrument.key: View(one.values.convictions, one.values.distances) for one in series}}
    request = KernelRequest(
        market.series, views, config.cash, config.costs, config.risk, config.brake, config.brake_reset_days
    )
    try:
        if (quick := _all_in(request, series[0])) is not None:
            bars = len(quick.at_ms)
            return quick if progress is None or progress(bars, bars) else None
        tables = market.tables(config.costs.volume_share)
        result = run_kernel(replace(request, market=tables), progress)
    except BadInput as error:
        if _funding_gaps(series):
            raise
        raise BadInput(f"the kernel cannot run this: {error}. Run it with --engine replay") from error
    return None if result is None else _kernel_outcome(result)


def _all_in(request: KernelRequest, one: TradedSeries) -> Outcome | None:
    """The same by the pass that looks only where something happens; None where that does not do."""
    wishes = wishes_of(one.values.convictions[one.first : one.stop], one.values.distances[one.first : one.stop])
    given = None if wishes is None else all_in_of(request)
    if wishes is None or given is None:
        return None
    rows, fees, count, how = run_fills(given.open, given.close, changes_of(wishes), given.whole, given.real)
    if how == STRANGE:
        return None
    equity, drawdown = run_curve(given.close, rows[:count], fees[:count], given.real)
    at_ms, market = one.closed_ms(), one.instrument
    fills = tuple(
        BacktestFill(
            closed_ms,
            market.key,
            _SIDES[sign],
            lots * market.lot_size,
            price * market.tick_size,
            money(fee),
            _ALL_IN_REASONS[sign],
        )
        for closed_ms, (_, sign, lots, price), fee in zip(
            at_ms[rows[:count, 0]].tolist(), rows[:count].tolist(), fees[:count].tolist(), strict=True
        )
    )
    return Outcome(
        fills, at_ms, equity, np.maximum(drawdown, 0.0), money(float(equity[-1])),
        sum((fill.fee for fill in fills), ZERO), money(0.0), None, 0, 0,
    )  # fmt: skip


def _funding_gaps(series: Sequence[TradedSeries]) -> bool:
    begin = min(int(one.closed_ms()[0]) for one in series)
    end = max(int(one.closed_ms()[-1]) for one in series)
    return any(one.funding is not None and missing_stamps(one.funding, begin, end) for one in series)


def _kernel_outcome(result: KernelResult) -> Outcome:
    outside = len(result.strategies)
    fills = tuple(
        BacktestFill(
            at_ms,
            result.instruments[market].key,
            Side.BUY if sign > 0 else Side.SELL,
            lots * result.instruments[market].lot_size,
            price * result.instruments[market].tick_size,
            money(fee),
            Reason.LIQUIDATION if sleeve == outside else _KERNEL_REASONS[purpose],
            stop * result.instruments[market].tick_size if stop else None,
        )
        for at_ms, market, sleeve, sign, lots, price, purpose, fee, stop in zip(*_columns(result), strict=True)
    )
    return Outcome(
        fills, result.at_ms, result.equity, np.maximum(result.drawdown, 0.0), money(result.final_equity),
        sum((fill.fee for fill in fills), ZERO), money(result.funding), result.stopped_at, result.refused,
        result.rejected_prices, result.below_minimum,
    )  # fmt: skip


def _columns(result: KernelResult) -> list[list[int]]:
    names = ("at_ms", "market", "sleeve", "sign", "lots", "price", "purpose", "fee", "stop")
    return [result.fills[name].tolist() for name in names]


def money(amount: float) -> Decimal:
    """The kernel's money as a Decimal: a float that stands for a multiple of 1e-8."""
    return Decimal(repr(float(amount))).quantize(MONEY_STEP)


def by_replay(setup: BacktestSetup, series: tuple[TradedSeries, ...], progress: Progress | None) -> Outcome | None:
    """Run the very loop that trades; None when ``progress`` cancelled."""
    source = ReplaySource(setup.series, setup.funding, setup.start, setup.stop, setup.fine)
    opinions = PrecomputedOpinions({one.instrument.key: one.candles for one in series})
    result = Replay(source, setup.config, opinions).run(source.bars, progress)
    return None if result is None else _replay_outcome(result)


def _replay_outcome(result: ReplayResult) -> Outcome:
    fills = tuple(
        BacktestFill(
            to_ms(fill.at), fill.instrument, fill.side, fill.quantity, fill.price, fill.fee,
            _REPLAY_REASONS.get(result.orders[fill.client_id][1], Reason.LIQUIDATION), stop,
        )
        for fill, stop in zip(result.fills, result.stops, strict=True)
    )  # fmt: skip
    return Outcome(
        fills,
        np.array([to_ms(point.at) for point in result.equity], dtype=np.int64),
        np.array([float(point.equity) for point in result.equity]),
        np.maximum([float(point.drawdown) for point in result.equity], 0.0),
        result.final_equity.quantize(MONEY_STEP),
        result.fees,
        result.funding.quantize(MONEY_STEP),
        result.stopped_at,
        result.refused,
        result.rejected_prices,
    )
