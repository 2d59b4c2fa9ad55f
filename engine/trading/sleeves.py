"""A strategy's place in a book: its configuration, universe, weight, last ideas and misbehaviour."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from engine.domain.errors import BadInput
from engine.domain.facts import SleeveConfigured
from engine.domain.instruments import InstrumentKey
from engine.domain.market import FloatArray
from engine.domain.portfolio import Idea
from engine.domain.ports import Strategy
from engine.market.windows import CandleWindow
from engine.strategies import BACKTESTS, BASKETS, NoView, why_not_backtested

ERRORS_UNTIL_QUARANTINE = 3


@dataclass(frozen=True, slots=True)
class Opinion:
    """A strategy's view at one close: conviction -1 to 1, stop distance in quote (None: no stop known)."""

    conviction: float
    stop_distance: Decimal | None


class Opinions(Protocol):
    """Where a sleeve's view of an instrument comes from: the live window, or a series computed ahead."""

    def opinion(self, sleeve: Sleeve, key: InstrumentKey, opened_at_ms: int, window: CandleWindow) -> Opinion | None:
        """The view at the last closed candle, which opened at ``opened_at_ms``; None is no view: hold what is held."""


class LiveOpinions:
    """Evaluates the strategy on the last window."""

    def opinion(self, sleeve: Sleeve, key: InstrumentKey, opened_at_ms: int, window: CandleWindow) -> Opinion | None:
        """Last value of the strategy over the window; None while the window is too short or ends at another bar."""
        strategy = sleeve.strategy
        lookback_bars = strategy.lookback_bars
        if len(window) < lookback_bars or window.last_opened_at_ms != opened_at_ms:
            return None
        candles = window.view().tail(lookback_bars)
        return last_opinion(strategy.convictions(candles), strategy.stop_distances(candles), len(candles))


def last_opinion(convictions: FloatArray, distances: FloatArray, bars: int) -> Opinion | None:
    """Check and convert the last values; the one line where strategy floats become Decimal.

    Raises
    ------
    BadInput
        A wrong length or a conviction outside -1 to 1.
    """
    if len(convictions) != bars or len(distances) != bars:
        raise BadInput(f"the strategy gave {len(convictions)} convictions and {len(distances)} stops for {bars} bars")
    return opinion_of(float(convictions[-1]), float(distances[-1]))


def opinion_of(conviction: float, distance: float) -> Opinion | None:
    """One pair of values; a conviction that is NaN is no view."""
    if math.isnan(conviction):
        return None
    if not -1.0 <= conviction <= 1.0:
        raise BadInput(f"conviction {conviction} lies outside -1 to 1")
    stop = Decimal(repr(distance)) if distance > 0 and math.isfinite(distance) else None
    return Opinion(conviction, stop)


@dataclass(slots=True)
class Sleeve:
    """A strategy inside a book."""

    name: str
    strategy: Strategy
    values: str
    instruments: tuple[InstrumentKey, ...]
    weight: Decimal
    running: bool
    quarantined: str = ""
    errors: int = 0
    ideas: dict[InstrumentKey, Idea] = field(default_factory=dict)

    def failed(self, error: Exception) -> bool:
        """Count an error of the strategy; True when it has just been quarantined."""
        self.errors += 1
        if self.errors < ERRORS_UNTIL_QUARANTINE or self.quarantined:
            return False
        self.quarantined = f"{type(error).__name__}: {error}"
        self.running = False
        return True

    def fact(self, at: datetime) -> SleeveConfigured:
        """The present configuration as a fact."""
        return SleeveConfigured(self.name, self.running, self.values, self.instruments, self.weight, at)


def build_strategy(name: str, values: str) -> tuple[Strategy, str]:
    """A strategy from its registry name and the JSON of its configuration; also the JSON of the complete one.

    Raises
    ------
    BadInput
        Unknown name, or a value the configuration refuses (each is named).
    """
    kind = BACKTESTS.get(name)
    known = BASKETS.get(name) if kind is None else kind
    if known is None:
        raise BadInput(why_not_backtested(name))
    try:
        config = known.config.model_validate_json(values or "{}")
    except ValidationError as error:
        problems = "; ".join(_problem(one, known.config) for one in error.errors(include_url=False))
        raise BadInput(f"{name}: {problems}") from error
    strategy: Strategy = NoView() if kind is None else kind.build(config)
    return strategy, json.dumps(config.model_dump(mode="json"), sort_keys=True)


def _problem(problem: Mapping[str, Any], config: type[BaseModel]) -> str:
    """What is wrong with one setting, with its value; of an unknown one also which there are."""
    name, words = ".".join(map(str, problem["loc"])), str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"there is no setting {name}; there are {', '.join(config.model_fields)}"
    return f"{name}: {words} (got {problem['input']!r:.80})" if name else words


def sleeve_from(fact: SleeveConfigured) -> Sleeve:
    """A sleeve as a fact describes it."""
    strategy, values = build_strategy(fact.strategy, fact.values)
    keys = tuple(InstrumentKey(key) for key in fact.instruments)
    return Sleeve(fact.strategy, strategy, values, keys, fact.weight, fact.running)


def dump(sleeve: Sleeve) -> dict[str, Any]:
    """JSON values of a checkpoint."""
    return {
        "strategy": sleeve.name,
        "running": sleeve.running,
        "values": sleeve.values,
        "instruments": list(sleeve.instruments),
        "weight": str(sleeve.weight),
        "quarantined": sleeve.quarantined,
    }


def restored(state: Mapping[str, Any], at: datetime) -> Sleeve:
    """From a checkpoint."""
    fact = SleeveConfigured(
        state["strategy"], state["running"], state["values"], tuple(state["instruments"]), Decimal(state["weight"]), at
    )
    sleeve = sleeve_from(fact)
    sleeve.quarantined = state["quarantined"]
    return sleeve
