"""Runs every kernel once on a few bars, so that its machine code lies on disk before the first backtest."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from engine.domain.instruments import Instrument, Kind
from engine.domain.market import CandleArrays, Timeframe
from engine.risk.limits import ALL_IN, RiskConfig
from engine.simulation.kernel import request_of, run_kernel
from engine.simulation.opinions import PrecomputedOpinions
from engine.simulation.plain_kernel import run_cross
from engine.simulation.plain_portfolio import TopMomentum, run_top_momentum
from engine.simulation.plain_rules import Levels, PlainRules
from engine.simulation.plain_sweep import sweep_cross
from engine.simulation.replay import Replay, ReplayConfig
from engine.simulation.replay_source import ReplaySource
from engine.strategies.sma_cross import SmaCrossConfig

_BARS = 64
_START_MS = 1_704_067_200_000


def compile_all() -> None:
    """Compile; seconds the first time, then milliseconds."""
    steps = np.arange(_BARS, dtype=np.int64)
    close = np.round(100.0 + 10.0 * np.sin(steps / 3.0), 2)
    minute, tick = Timeframe(60), Decimal("0.01")
    times, volume = _START_MS + steps * minute.ms, np.ones(_BARS)
    candles = CandleArrays(minute, times, close, close + 1.0, close - 1.0, close, volume)
    config, rules = SmaCrossConfig(fast_bars=2, slow_bars=5), PlainRules(1000.0, share=0.5)
    run_cross(candles, config, tick, rules, Levels(3, 1.0, 1.0))
    sweep_cross(candles, [config], tick, rules)
    prices = np.column_stack((close, close[::-1]))
    run_top_momentum(prices, prices, TopMomentum(3, 2, 1), rules)
    _compile_general(candles)


def _compile_general(candles: CandleArrays) -> None:
    spot = Instrument("warm", "BTC", "USDT", Kind.SPOT, Decimal("0.01"), Decimal("0.001"), Decimal(5))
    config = ReplayConfig({"sma_cross": '{"fast_bars": 2, "slow_bars": 5}'}, Decimal(1000), risk=RiskConfig(**ALL_IN))
    run_kernel(request_of(config, ReplaySource({spot: candles})))
    source = ReplaySource({spot: candles})
    Replay(source, config, PrecomputedOpinions({spot.key: candles})).run(source.bars)
