"""The workloads of `backtest`: their candles, what this product does with them, and the bare loop of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import backtest_limits
from benchmarks.markets import TICK, made
from engine.domain.instruments import Instrument
from engine.domain.market import CandleArrays, FloatArray, Timeframe
from engine.exchanges.paper import PaperCosts
from engine.quant import indicators
from engine.risk.limits import ALL_IN, RiskConfig
from engine.simulation.opinions import PrecomputedOpinions
from engine.simulation.plain_kernel import run_cross
from engine.simulation.plain_portfolio import TopMomentum, run_top_momentum
from engine.simulation.plain_rules import Levels, PlainRules
from engine.simulation.plain_sweep import sweep_cross
from engine.simulation.replay import Replay, ReplayConfig
from engine.simulation.replay_source import ReplaySource
from engine.strategies.sma_cross import SmaCrossConfig
from engine.trading.config import BrakeMode

FAST, SLOW, CASH, FEE = 20, 100, 100_000.0, 0.001
LOT = 1e-5
ATR_BARS, STOP_ATR, TARGET_ATR = 14, 2.0, 4.0
MINUTE, HOUR = Timeframe(60), Timeframe(3600)
FASTS, SLOWS = np.arange(5, 55, 2), np.arange(60, 260, 5)
ASSETS, LOOKBACK, EVERY, TOP, SHARE = 50, 720, 24, 5, 0.99
CONVENTIONS = """\
Made candles on a grid of 0.01 whose open is the close before, so that a fill at the close of the signal and one at the
next open are the same. 0.1 % fee, no slippage, all in, any fraction of a coin (nautilus_trader: whole lots of 0.00001).
A tie of averages is flat: vectorbt is given whole ticks to average. A signal at the last close is not traded. Trades
are completed ones (portfolio: orders); what is held at the end is valued at the last close. The stop is 2, the target 4
average true ranges (14, Wilder) from the close of the signal, live from the bar that opens with the fill, the stop
first; vectorbt is given these distances ready, and they are not timed. The portfolio holds the 5 of 50 that rose most
over 720 hours, 99 % of equity in equal parts, rebalanced every 24 hours at the next open. Loading and conversion of
candles is never timed; averages, signals, trades and final equity are. The bare loop of the sweep is given its averages
ready and computes neither drawdown nor Sharpe ratio, this product both. The replay is the real trading core, sized with
a reserve for costs, so its equity differs from the kernels'; the kernel is run with the same reserve to compare."""

Outcome = tuple[int, float]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bars of each workload, and of nautilus_trader and the replay, which take seconds."""

    single: int = 1_000_000
    sweep: int = 100_000
    portfolio: int = 100_000
    event_driven: int = 200_000
    replay: int = 200_000


@dataclass(frozen=True, slots=True)
class Workload:
    """One thing to measure: bars taken (of all parameter sets or assets), ours, and the bare loop."""

    bars: int
    ours: Callable[[], Outcome]
    limit: Callable[[], Outcome]


@cache
def market(bars: int) -> tuple[Instrument, CandleArrays]:
    """Minutes of one instrument."""
    return next(iter(made(1, bars, MINUTE).items()))


@cache
def many(bars: int) -> tuple[FloatArray, FloatArray]:
    """Opens and closes of many instruments, float64[bars, assets]."""
    series = made(ASSETS, bars, HOUR)
    return (
        np.stack([one.open for one in series.values()], axis=1),
        np.stack([one.close for one in series.values()], axis=1),
    )


def rules() -> PlainRules:
    """What peers can do too."""
    return PlainRules(CASH, fee_bps=FEE * 1e4)


def workloads(sizes: Sizes) -> dict[str, Workload]:
    """By the names the peers know them under."""
    return {
        "cross": _cross(sizes.single),
        "levels": _levels(sizes.single),
        "sweep": _sweep(sizes.sweep),
        "portfolio": _portfolio(sizes.portfolio),
    }


def _ticks(candles: CandleArrays) -> FloatArray:
    return np.rint(candles.close / float(TICK))


def _cross(bars: int) -> Workload:
    _, candles = market(bars)
    ticks, opens, tick = _ticks(candles), candles.open / float(TICK), float(TICK)

    def limit() -> Outcome:
        trades, equity = backtest_limits.cross(opens, ticks, FAST, SLOW, CASH / tick, FEE)
        return trades, equity * tick

    return Workload(bars, lambda: _plain(candles, rules(), None), limit)


def _plain(candles: CandleArrays, given: PlainRules, levels: Levels | None) -> Outcome:
    run = run_cross(candles, SmaCrossConfig(fast_bars=FAST, slow_bars=SLOW), TICK, given, levels)
    return run.trades, run.final_equity


def _levels(bars: int) -> Workload:
    _, candles = market(bars)
    tick = float(TICK)
    prices = tuple(np.ascontiguousarray(np.rint(c / tick)) for c in (candles.open, candles.high, candles.low))
    given = (prices[0], prices[1], prices[2], _ticks(candles))

    def limit() -> Outcome:
        trades, equity = backtest_limits.cross_with_levels(given, FAST, SLOW, CASH / tick, FEE)
        return trades, equity * tick

    return Workload(bars, lambda: _plain(candles, rules(), Levels(ATR_BARS, STOP_ATR, TARGET_ATR)), limit)


def _sweep(bars: int) -> Workload:
    _, candles = market(bars)
    configs = [SmaCrossConfig(fast_bars=int(fast), slow_bars=int(slow)) for fast in FASTS for slow in SLOWS]
    sums = np.concatenate(([0.0], np.cumsum(_ticks(candles))))
    windows = np.concatenate((FASTS, SLOWS))
    means = np.full((bars, len(windows)), np.nan)
    for place, window in enumerate(windows):
        means[window - 1 :, place] = (sums[window:] - sums[:-window]) / window
    fast_rows, slow_rows = np.arange(len(FASTS)), np.arange(len(FASTS), len(windows))

    def ours() -> Outcome:
        done = sweep_cross(candles, configs, TICK, rules())
        return int(done.trades.sum()), float(done.final_equity.sum())

    def limit() -> Outcome:
        trades, values, held = backtest_limits.sweep_in_lanes(candles.open, means, fast_rows, slow_rows, FEE)
        return int(trades.sum()), CASH * float((values * np.where(held > 0, candles.close[-1], 1.0)).sum())

    return Workload(bars * len(configs), ours, limit)


def _portfolio(bars: int) -> Workload:
    opens, closes = many(bars)
    choice, given = TopMomentum(LOOKBACK, EVERY, TOP), PlainRules(CASH, fee_bps=FEE * 1e4, share=SHARE)

    def ours() -> Outcome:
        run = run_top_momentum(opens, closes, choice, given)
        return run.orders, run.final_equity

    def limit() -> Outcome:
        return backtest_limits.top_momentum(opens, closes, (LOOKBACK, EVERY, TOP), CASH, (FEE, SHARE))

    return Workload(bars * ASSETS, ours, limit)


def by_lots(bars: int) -> Outcome:
    """The kernel with whole lots, as nautilus_trader has them."""
    given = PlainRules(CASH, fee_bps=FEE * 1e4, lot=LOT)
    return _plain(market(bars)[1], given, None)


def replayed(bars: int) -> tuple[Outcome, Outcome, float]:
    """The replay's outcome, the kernel's with the replay's rules, and the replay's seconds."""
    instrument, candles = market(bars)
    costs = PaperCosts.plain(Decimal(str(FEE * 1e4)))
    risk = RiskConfig().model_copy(update=ALL_IN)
    config = ReplayConfig({"sma_cross": "{}"}, Decimal(int(CASH)), costs, risk, BrakeMode.OFF)
    source = ReplaySource({instrument: candles})
    done = Replay(source, config, PrecomputedOpinions({instrument.key: candles})).run(source.bars)
    assert done is not None
    given = PlainRules(
        CASH, fee_bps=FEE * 1e4, lot=float(instrument.lot_size), tick=float(instrument.tick_size), sized_at_close=True,
        reserve_bps=FEE * 1e4 + 10,
    )  # fmt: skip
    return (done.trades, float(done.final_equity)), _plain(candles, given, None), done.seconds


def write_inputs(folder: Path, sizes: Sizes) -> None:
    """What the peers read."""
    common: dict[str, Any] = {"cash": CASH, "fee": FEE, "fast": FAST, "slow": SLOW}
    _, candles = market(sizes.single)
    atr = indicators.atr(candles.high, candles.low, candles.close, ATR_BARS) / candles.close
    prices: dict[str, Any] = {"open": candles.open, "high": candles.high, "low": candles.low, "close": candles.close}
    shares: dict[str, Any] = {"stop_share": STOP_ATR * atr, "target_share": TARGET_ATR * atr}
    np.savez(folder / "cross.npz", ticks=_ticks(candles), **prices, **shares, **common)
    _, candles = market(sizes.sweep)
    pairs = np.array([(fast, slow) for fast in FASTS for slow in SLOWS])
    np.savez(folder / "sweep.npz", ticks=_ticks(candles), close=candles.close, pairs=pairs, **common)
    opens, closes = many(sizes.portfolio)
    chosen: dict[str, Any] = {"lookback": LOOKBACK, "every": EVERY, "top": TOP, "share": SHARE}
    np.savez(folder / "portfolio.npz", opens=opens, closes=closes, **chosen, **common)
    _, candles = market(sizes.event_driven)
    columns: dict[str, Any] = {name: getattr(candles, name) for name in ("open", "high", "low", "close")}
    plenty = np.full(len(candles), 1e6)  # it fills a quarter of a bar's volume at one price, the rest a tick worse
    np.savez(folder / "nautilus.npz", timestamp=candles.opened_at_ms, volume=plenty, **columns, **common)
