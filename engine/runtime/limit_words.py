"""Limits in front of people: their titles, and what a change of them does to the book as it stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from engine.domain.portfolio import BookSnapshot
from engine.risk.limits import RiskConfig, loosened, read_config

_SIZING = ("mode", "max_position_share", "max_exposure", "max_concentration", "max_leverage")
"""Settings from which the size of a position follows."""


_WAYS_OUT = ("take_profit", "trail")


@dataclass(frozen=True, slots=True)
class LimitsReview:
    """What new limits would do.

    ``looser`` holds the titles of those that become looser: they need the password again. ``brakes`` is True where the
    present drawdown is at or past the new brake. ``consequences`` say it in sentences.
    """

    looser: tuple[str, ...]
    brakes: bool
    consequences: tuple[str, ...]


def title_of_limit(name: str) -> str:
    """Title of a setting of the limits, without what is said about its unit.

    >>> title_of_limit("daily_loss"), title_of_limit("max_position_share"), title_of_limit("gone")
    ('Largest loss in a day', 'Largest position in one instrument', 'Gone')
    """
    known = RiskConfig.model_fields.get(name)
    text = known.description if known is not None and known.description else name.replace("_", " ").capitalize()
    return re.split("[:,(]", text)[0].strip()


def review_limits(book: BookSnapshot, values: str) -> LimitsReview:
    """Review new limits (JSON) against the newest snapshot of their book; changes nothing.

    Raises
    ------
    SettingsError
        Names each setting that is unknown, of the wrong type or out of bounds.
    """
    before, after = RiskConfig.model_validate_json(book.risk), read_config(values)
    looser = tuple(title_of_limit(name) for name in loosened(before, after))
    brakes = not book.latched and 0 < after.brake_drawdown <= book.drawdown
    resized = any(getattr(before, name) != getattr(after, name) for name in _SIZING)
    lines = ["In force at once, for every order from now on.", _RESIZED if resized else _KEPT]
    if any(getattr(before, name) != getattr(after, name) for name in _WAYS_OUT):
        lines.append("Targets and trailing stops come with the next entries: what is held keeps those it has.")
    if brakes:
        lines.append(
            f"The drawdown is {_percent(book.drawdown)} now, at or past the new brake of "
            f"{_percent(after.brake_drawdown)}: the brake closes every position and latches the book."
        )
    if looser:
        lines.append(f"Looser: {', '.join(looser)}. That needs your password again.")
    return LimitsReview(looser, brakes, tuple(lines))


_KEPT = "What is held stays as it is; none of these limits sizes a position."
_RESIZED = (
    "Running strategies size anew at their next candle: a position above what the new limits allow is then reduced "
    "with a market order, a smaller one may grow; a difference under 10 % is left. Positions by hand stay as they are."
)


def position_limit_words(book: BookSnapshot) -> str:
    """How the limit on one position counts for a strategy, with the strategy that has the least capital as example."""
    limit = RiskConfig.model_validate_json(book.risk).max_position_share
    rule = (
        f"Largest position in one instrument counts twice: {_percent(limit)} of the book's equity for all together, "
        f"and {_percent(limit)} of its own allocated equity for each strategy."
    )
    weights = [sleeve.weight for sleeve in book.sleeves if sleeve.weight > 0]
    if not weights:
        return rule
    least = min(weights)
    return (
        f"{rule} A strategy with {_percent(least)} of the capital thus holds at most {_percent(least * limit)} of the "
        "book's equity in one instrument."
    )


def _percent(share: Decimal) -> str:
    return f"{(share * 100).quantize(Decimal('0.01')).normalize():f} %"
