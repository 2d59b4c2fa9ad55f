"""One backtest from one description, by the compiled kernel or by a replay through the real core, to one result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

import numpy as np

from engine.domain.errors import BadInput
from engine.domain.market import FloatArray, IntArray
from engine.exchanges.paper import PaperCosts
from engine.simulation.backtest_engines import Outcome, by_kernel, by_replay
from engine.simulation.backtest_setup import BacktestEngine, BacktestSetup, Market, market_of, traded_series
from engine.simulation.backtest_trades import BacktestFill, RoundTrip, TradedSeries, round_trips
from engine.simulation.costs_in_prices import paid_in_prices
from engine.simulation.fine_candles import DetailFacts, detail_facts
from engine.simulation.replay import Progress, require_weights

__all__ = ["BacktestEngine", "BacktestRun", "BacktestSetup", "CostsPaid", "run_backtest"]

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class CostsPaid:
    """Quote; fees, and spread with slippage and impact, are positive when paid, funding when received."""

    fees: Decimal
    spread_and_slippage: Decimal
    funding: Decimal

    @property
    def total(self) -> Decimal:
        """What was paid altogether; negative where funding received outweighs it."""
        return self.fees + self.spread_and_slippage - self.funding


@dataclass(frozen=True, slots=True)
class BacktestRun:
    """What a backtest did, whatever ran it; money in quote.

    Attributes
    ----------
    setup : BacktestSetup
    engine : BacktestEngine
    market : Market
    series : tuple of TradedSeries
        Sorted by (venue, symbol).
    bars : int
        Candles traded, of all instruments.
    fills : tuple of BacktestFill
    trades, open_trades : tuple of RoundTrip
        Ended ones by exit; those held at the end, valued at the last close.
    at_ms : int64[n]
        Closes.
    equity, drawdown : float64[n]
        At each close; drawdown a share of the peak, 0 or more.
    exposure : float64[n]
        Gross notional of all positions at each close as a share of equity.
    traded : float64[n]
        Notional of the fills since the close before.
    final_equity : Decimal
    costs : CostsPaid
    stopped_at : datetime or None
        When the brake latched for good.
    refused, rejected_prices : int
        Orders the risk gate refused, and candles whose price was not believed.
    below_minimum : int or None
        Wishes to open a position that came to nothing because the order, as large as risk allows, would have been below
        the venue's minimum; one counts until it changes. None where it is not counted: by the replay, which passes over
        candles on which nothing happens, and by the pass for strategies that go all in.
    seconds : float
        Wall time, the strategy's included.
    """

    setup: BacktestSetup
    engine: BacktestEngine
    market: Market
    series: tuple[TradedSeries, ...]
    bars: int
    fills: tuple[BacktestFill, ...]
    trades: tuple[RoundTrip, ...]
    open_trades: tuple[RoundTrip, ...]
    at_ms: IntArray
    equity: FloatArray
    drawdown: FloatArray
    exposure: FloatArray
    traded: FloatArray
    final_equity: Decimal
    costs: CostsPaid
    stopped_at: datetime | None
    refused: int
    rejected_prices: int
    below_minimum: int | None
    seconds: float

    @property
    def detail(self) -> DetailFacts | None:
        """How many candles finer ones decided; None where none were given."""
        return detail_facts([(one.fine, one.stop - one.first) for one in self.series])


def run_backtest(
    setup: BacktestSetup,
    engine: BacktestEngine = BacktestEngine.KERNEL,
    progress: Progress | None = None,
    market: Market | None = None,
) -> BacktestRun | None:
    """Run it; both engines give the same fills and the same result.

    Parameters
    ----------
    setup : BacktestSetup
    engine : BacktestEngine
    progress : callable, optional
        Told what is done and what there is in all; False cancels.
    market : Market, optional
        Of this very setup, from `market_of`; checked and laid out anew where left out.

    Returns
    -------
    BacktestRun or None
        None when ``progress`` cancelled.

    Raises
    ------
    BadInput
        Capital of zero, candles that cannot be traded, too few of them, a strategy that raises or answers nonsense, a
        missing funding rate, or what the kernel does not model.
    """
    started = time.perf_counter()
    if not setup.config.cash.is_finite() or setup.config.cash <= 0:
        raise BadInput(f"cash {setup.config.cash} must be above 0; a backtest needs capital")
    require_weights(setup.config)
    market = market or market_of(setup)
    return _run(_Job(setup, engine, market, traded_series(setup, market)), progress, started)


def run_again(run: BacktestRun, costs: PaperCosts, progress: Progress | None = None) -> BacktestRun | None:
    """The same run at other costs, of the same candles and signals; result and errors as `run_backtest`."""
    started = time.perf_counter()
    setup = replace(run.setup, config=replace(run.setup.config, costs=costs))
    return _run(_Job(setup, run.engine, run.market, run.series), progress, started)


@dataclass(frozen=True, slots=True)
class _Job:
    """What is run, by what, on what."""

    setup: BacktestSetup
    engine: BacktestEngine
    market: Market
    series: tuple[TradedSeries, ...]


def _run(job: _Job, progress: Progress | None, started: float) -> BacktestRun | None:
    if job.engine is BacktestEngine.KERNEL:
        outcome = by_kernel(job.setup, job.series, job.market, progress)
    else:
        outcome = by_replay(job.setup, job.series, progress)
    return None if outcome is None else _told(job, outcome, time.perf_counter() - started)


def _told(job: _Job, outcome: Outcome, seconds: float) -> BacktestRun:
    setup, series = job.setup, job.series
    trades, open_trades = round_trips(outcome.fills, series, setup.config.risk.take_profit)
    return BacktestRun(
        setup=setup,
        engine=job.engine,
        market=job.market,
        series=series,
        bars=sum(one.stop - one.first for one in series),
        fills=outcome.fills,
        trades=trades,
        open_trades=open_trades,
        at_ms=outcome.at_ms,
        equity=outcome.equity,
        drawdown=outcome.drawdown,
        exposure=_exposure(series, outcome),
        traded=_traded(outcome),
        final_equity=outcome.final_equity,
        costs=CostsPaid(outcome.fees, paid_in_prices(setup.config.costs, series, outcome.fills), outcome.funding),
        stopped_at=outcome.stopped_at,
        refused=outcome.refused,
        rejected_prices=outcome.rejected_prices,
        below_minimum=outcome.below_minimum,
        seconds=seconds,
    )


def _exposure(series: Sequence[TradedSeries], outcome: Outcome) -> FloatArray:
    gross = np.zeros(len(outcome.at_ms))
    for one in series:
        own = [fill for fill in outcome.fills if fill.instrument == one.instrument.key]
        if not own:
            continue
        changes = np.cumsum([float(fill.quantity) * fill.side.sign for fill in own])
        times = np.array([fill.at_ms for fill in own], dtype=np.int64)
        held = np.concatenate(([0.0], changes))[np.searchsorted(times, outcome.at_ms, side="right")]
        held[np.abs(held) < float(one.instrument.lot_size) / 2] = 0.0
        closes = one.candles.opened_at_ms + one.candles.timeframe.ms
        known = np.maximum(np.searchsorted(closes, outcome.at_ms, side="right") - 1, 0)
        gross += np.abs(held) * one.candles.close[known]
    shares: FloatArray = np.divide(gross, outcome.equity, out=np.zeros(len(gross)), where=outcome.equity > 0.0)
    return shares


def _traded(outcome: Outcome) -> FloatArray:
    traded = np.zeros(len(outcome.at_ms))
    for fill in outcome.fills:
        traded[int(np.searchsorted(outcome.at_ms, fill.at_ms))] += float(fill.quantity * fill.price)
    return traded
