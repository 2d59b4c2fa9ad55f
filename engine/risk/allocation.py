"""How a book's capital is shared among its strategies: by fixed weights, or by measured performance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from enum import Enum

from pydantic import BaseModel, ConfigDict, Field

from engine.domain.errors import BadInput
from engine.risk.context import ONE, ZERO, known

_STEP = Decimal("0.0001")
"""Weights are cut (never rounded up) to this, so that they can never sum to more than 1."""


class AllocationMethod(Enum):
    """Who decides the weights: the trader, or the strategies' records."""

    FIXED = "fixed"
    PERFORMANCE = "performance"


class AllocationConfig(BaseModel):
    """How measured performance becomes weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum_days: int = Field(
        default=30, ge=2, le=3650, description="Days of record before a strategy is measured, days"
    )
    shrink_days: int = Field(default=90, ge=0, le=3650, description="Doubt: a record this long counts half, days")
    floor: Decimal = Field(
        default=Decimal("0.05"), ge=0, le=1, description="Smallest weight of a strategy, share of capital"
    )
    cap: Decimal = Field(
        default=Decimal("0.60"), gt=0, le=1, description="Largest weight of a strategy, share of capital"
    )


@dataclass(frozen=True, slots=True)
class StrategyRecord:
    """A strategy's measured days: profit after fees and funding as a share of its equity, oldest first."""

    name: str
    daily_returns: tuple[Decimal, ...]


def fixed_weights(weights: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """The trader's own weights, checked.

    Raises
    ------
    BadInput
        When a weight is not a number, is negative, or all sum to more than 1; the message names it.
    """
    for name, weight in weights.items():
        if not known(weight) or weight < 0:
            raise BadInput(f"weight {weight} of {name} must be a number from 0 to 1")
    total = sum(weights.values(), ZERO)
    if total > ONE:
        raise BadInput(f"weights sum to {total}; lower them to 1 or less, the rest stays uninvested")
    return dict(weights)


def performance_weights(records: Sequence[StrategyRecord], config: AllocationConfig) -> dict[str, Decimal]:
    """Weights by shrunk risk-adjusted profit.

    The score of a strategy is ``max(0, mean / sd) * n / (n + shrink_days)`` over its n days (sd with ddof 1): short
    records are pulled towards no skill. A strategy with fewer than ``minimum_days`` days, or without variance, gets
    the equal share; the others divide what is left in proportion to their scores, equally when no score is above
    zero, each between floor and cap. A cap under the equal share is raised to it, so that all capital finds a place.

    Parameters
    ----------
    records : sequence of StrategyRecord
        Names are unique; the order changes nothing.
    config : AllocationConfig

    Returns
    -------
    dict
        Name to weight, sorted by name; multiples of 0.0001 that sum to at most 1 exactly.

    Raises
    ------
    BadInput
        When a name appears twice or a return is not a number.
    """
    scores = _scores(records, config)
    if not scores:
        return {}
    equal = ONE / len(scores)
    weights = {name: equal for name, score in scores.items() if score is None}
    measured = {name: score for name, score in scores.items() if score is not None}
    pool = ONE - sum(weights.values(), ZERO)
    weights |= _divide(measured, pool, (min(config.floor, equal), max(config.cap, equal)))
    return {name: weights[name].quantize(_STEP, ROUND_DOWN) for name in sorted(weights)}


def _scores(records: Sequence[StrategyRecord], config: AllocationConfig) -> dict[str, Decimal | None]:
    scores: dict[str, Decimal | None] = {}
    for record in sorted(records, key=lambda record: record.name):
        if record.name in scores:
            raise BadInput(f"strategy {record.name} has two records; give one")
        if not all(known(value) for value in record.daily_returns):
            raise BadInput(f"a daily return of {record.name} is not a number; leave unmeasured days out")
        scores[record.name] = _score(record.daily_returns, config)
    return scores


def _score(returns: tuple[Decimal, ...], config: AllocationConfig) -> Decimal | None:
    """Shrunk ratio, 0 or more; None when it cannot be measured."""
    days = len(returns)
    if days < config.minimum_days:
        return None
    mean = sum(returns, ZERO) / days
    variance = sum(((value - mean) ** 2 for value in returns), ZERO) / (days - 1)
    if variance <= 0:
        return None
    return max(ZERO, mean / variance.sqrt()) * days / (days + config.shrink_days)


def _divide(scores: Mapping[str, Decimal], pool: Decimal, bounds: tuple[Decimal, Decimal]) -> dict[str, Decimal]:
    """Share ``pool`` by score, each part within ``bounds`` (smallest, largest)."""
    floor, cap = bounds
    weights = dict.fromkeys(scores, floor)
    left, open_names = pool - floor * len(scores), list(scores)
    while open_names and left > 0:
        shares = _proportions({name: scores[name] for name in open_names})
        full = [name for name in open_names if weights[name] + left * shares[name] > cap]
        if not full:
            return {name: weights[name] + left * shares.get(name, ZERO) for name in weights}
        for name in full:  # a full one takes no more; its surplus is divided among the rest
            left -= cap - weights[name]
            weights[name] = cap
        open_names = [name for name in open_names if name not in full]
    return weights


def _proportions(scores: Mapping[str, Decimal]) -> dict[str, Decimal]:
    total = sum(scores.values(), ZERO)
    if total == 0:
        return dict.fromkeys(scores, ONE / len(scores))
    return {name: score / total for name, score in scores.items()}
