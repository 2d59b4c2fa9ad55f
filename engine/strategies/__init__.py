"""Strategies: pure, causal views of one instrument. A new one is one file and one line in `STRATEGIES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from pydantic import BaseModel

from engine.domain.market import CandleArrays, FloatArray
from engine.domain.ports import BasketStrategy, Strategy
from engine.strategies.arbitrage import Arbitrage, ArbitrageConfig
from engine.strategies.breakout import Breakout, BreakoutConfig
from engine.strategies.mean_reversion import MeanReversion, MeanReversionConfig
from engine.strategies.momentum import Momentum, MomentumConfig
from engine.strategies.sma_cross import SmaCross, SmaCrossConfig


@dataclass(frozen=True, slots=True)
class StrategyType:
    """A strategy that can be chosen.

    Attributes
    ----------
    name : str
        As stored and as the sleeve is called.
    title, summary : str
        For people: a heading, and what it does in a sentence, without a promise.
    config : type of BaseModel
        Its settings; the form is drawn from the field descriptions and bounds.
    build : callable
        From an instance of ``config`` to the strategy.
    """

    name: str
    title: str
    summary: str
    config: type[BaseModel]
    build: Callable[[Any], Strategy]


_MOMENTUM = StrategyType(
    "momentum",
    "Trend momentum",
    "Follows a trend of two exponential averages that a longer timeframe shares; half size until volume confirms it.",
    MomentumConfig,
    Momentum,
)
_MEAN_REVERSION = StrategyType(
    "mean_reversion",
    "Mean reversion",
    "Trades back towards the rolling mean after a stretch, where a stationarity test rejects a random walk.",
    MeanReversionConfig,
    MeanReversion,
)
_BREAKOUT = StrategyType(
    "breakout",
    "Channel breakout",
    "Follows a close beyond the range of the previous bars, unless volatility is unusually low or high.",
    BreakoutConfig,
    Breakout,
)

_SMA_CROSS = StrategyType(
    "sma_cross",
    "Crossing of two averages",
    "All in while the fast average of closes is above the slow one, else flat; without a stop, for backtests alone.",
    SmaCrossConfig,
    SmaCross,
)

STRATEGIES: dict[str, StrategyType] = {kind.name: kind for kind in (_MOMENTUM, _MEAN_REVERSION, _BREAKOUT)}
"""Every strategy a book may trade by name, in the order the console shows them."""

REFERENCES: dict[str, StrategyType] = {kind.name: kind for kind in (_SMA_CROSS,)}
"""Strategies without a stop, which can only be backtested: what others are compared with, sized by weights."""

BACKTESTS: dict[str, StrategyType] = STRATEGIES | REFERENCES
"""Every strategy that can be backtested."""


@dataclass(frozen=True, slots=True)
class BasketType:
    """A strategy that trades baskets on quotes; fields as in `StrategyType`, built to another protocol."""

    name: str
    title: str
    summary: str
    config: type[BaseModel]
    build: Callable[[Any], BasketStrategy]


_ARBITRAGE = BasketType(
    "arbitrage",
    "Arbitrage",
    "Buys a coin at one venue and sells it at another at the same time, from money and coins that lie there already, "
    "where quotes differ by more than all fees; shows what it sees even where it cannot trade it.",
    ArbitrageConfig,
    Arbitrage,
)

BASKETS: dict[str, BasketType] = {kind.name: kind for kind in (_ARBITRAGE,)}
"""Strategies that decide on quotes and whose legs stand or fall together; candles say too little to backtest them."""

TRADED: dict[str, StrategyType | BasketType] = {**STRATEGIES, **BASKETS}
"""Every strategy a book may run, in the order the console shows them."""


@lru_cache(maxsize=64)
def basket_strategy(name: str, values: str) -> BasketStrategy:
    """A basket strategy as the JSON of its configuration says; pydantic's ValidationError where it is refused."""
    kind = BASKETS[name]
    return kind.build(kind.config.model_validate_json(values))


@dataclass(frozen=True, slots=True)
class NoView:
    """What a basket strategy says about candles: nothing. It is never asked."""

    lookback_bars: int = 1

    def convictions(self, candles: CandleArrays) -> FloatArray:
        """NaN throughout."""
        return np.full(len(candles), np.nan)

    def stop_distances(self, candles: CandleArrays) -> FloatArray:
        """NaN throughout."""
        return np.full(len(candles), np.nan)


def why_not_traded(name: str) -> str:
    """Why no book may trade a strategy of that name; "" where one may.

    >>> why_not_traded("momentum")
    ''
    """
    if name in TRADED:
        return ""
    known = ", ".join(sorted(TRADED))
    if name in REFERENCES:
        return f"strategy {name!r} has no stop and can only be backtested; books may trade {known}"
    return f"no strategy {name!r}; there are {known}"


def why_not_backtested(name: str) -> str:
    """Why no backtest or replay may run a strategy of that name; "" where one may.

    >>> why_not_backtested("momentum")
    ''
    """
    if name in BACKTESTS:
        return ""
    known = ", ".join(sorted(BACKTESTS))
    if name in BASKETS:
        return f"strategy {name!r} trades on quotes, candles hold none: it cannot be backtested; others can: {known}"
    return f"no strategy {name!r}; there are {known}"
