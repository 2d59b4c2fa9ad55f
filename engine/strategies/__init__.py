"""Strategies: pure, causal views of one instrument. A new one is one file and one line in `STRATEGIES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from engine.domain.ports import Strategy
from engine.strategies.breakout import Breakout, BreakoutConfig
from engine.strategies.mean_reversion import MeanReversion, MeanReversionConfig
from engine.strategies.momentum import Momentum, MomentumConfig


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

STRATEGIES: dict[str, StrategyType] = {kind.name: kind for kind in (_MOMENTUM, _MEAN_REVERSION, _BREAKOUT)}
"""Every strategy by name, in the order the console shows them."""
