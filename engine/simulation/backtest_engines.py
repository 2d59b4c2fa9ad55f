"""The two ways to run a backtest, brought to one form: the compiled kernel, and the replay through the real core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import numpy as np

from engine.domain.errors import BadInput
from engine.domain.market import FloatArray, IntArray, to_ms
from engine.domain.orders import Side
from engine.simulation.backtest_setup import BacktestSetup
from engine.simulation.backtest_trades import MONEY_STEP, BacktestFill, Reason, TradedSeries
from engine.simulation.kernel import KernelRequest, KernelResult, run_kernel
from engine.simulation.kernel_request import KernelSeries, View, missing_stamps
from engine.simulation.opinions import PrecomputedOpinions
from engine.simulation.replay import Progress, Replay, ReplayResult
from engine.simulation.replay_source import ReplaySource

ZERO = Decimal(0)
_REPLAY_REASONS = {"entry": Reason.ENTRY, "exit": Reason.SIGNAL, "stop": Reason.STOP, "flatten": Reason.BRAKE}
_KERNEL_REASONS = (Reason.ENTRY, Reason.SIGNAL, Reason.STOP, Reason.BRAKE, Reason.LIQUIDATION)


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


def by_kernel(setup: BacktestSetup, series: tuple[TradedSeries, ...], progress: Progress | None) -> Outcome | None:
    """Run the compiled pass; None when ``progress`` cancelled; raises `BadInput`, also for what it does not model."""
    config, name = setup.config, setup.strategy
    parts = tuple(KernelSeries(one.instrument, one.candles, one.first, one.stop, one.funding) for one in series)
    views = {name: {one.instrument.key: View(one.values.convictions, one.values.distances) for one in series}}
    request = KernelRequest(parts, views, config.cash, config.costs, config.risk, config.brake, config.brake_reset_days)
    try:
        result = run_kernel(request, progress)
    except BadInput as error:
        if _funding_gaps(series):
            raise
        raise BadInput(f"the kernel cannot run this: {error}. Run it with --engine replay") from error
    return None if result is None else _kernel_outcome(result)


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
            _money(fee),
            Reason.LIQUIDATION if sleeve == outside else _KERNEL_REASONS[purpose],
        )
        for at_ms, market, sleeve, sign, lots, price, purpose, fee in zip(*_columns(result), strict=True)
    )
    return Outcome(
        fills, result.at_ms, result.equity, np.maximum(result.drawdown, 0.0), _money(result.final_equity),
        sum((fill.fee for fill in fills), ZERO), _money(result.funding), result.stopped_at, result.refused,
        result.rejected_prices,
    )  # fmt: skip


def _columns(result: KernelResult) -> list[list[int]]:
    names = ("at_ms", "market", "sleeve", "sign", "lots", "price", "purpose", "fee")
    return [result.fills[name].tolist() for name in names]


def _money(amount: float) -> Decimal:
    """The kernel's money: a float that stands for a multiple of 1e-8."""
    return Decimal(repr(float(amount))).quantize(MONEY_STEP)


def by_replay(setup: BacktestSetup, series: tuple[TradedSeries, ...], progress: Progress | None) -> Outcome | None:
    """Run the very loop that trades; None when ``progress`` cancelled."""
    source = ReplaySource(setup.series, setup.funding, setup.start, setup.stop)
    opinions = PrecomputedOpinions({one.instrument.key: one.candles for one in series})
    result = Replay(source, setup.config, opinions).run(source.bars, progress)
    return None if result is None else _replay_outcome(result)


def _replay_outcome(result: ReplayResult) -> Outcome:
    fills = tuple(
        BacktestFill(
            to_ms(fill.at), fill.instrument, fill.side, fill.quantity, fill.price, fill.fee,
            _REPLAY_REASONS.get(result.orders[fill.trade_id][1], Reason.LIQUIDATION),
        )
        for fill in result.fills
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
