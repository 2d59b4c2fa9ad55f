"""The conditions of a replay as people read them: titles for keys, percent for shares, units where there are any."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from engine.domain.errors import StorageError
from engine.exchanges.paper import PaperCosts
from engine.risk.limits import RiskConfig, limit_rows
from engine.runtime.titles import title_of
from engine.strategies import BACKTESTS

SHARE = "share"
_TITLES = {
    "brake": "Emergency brake",
    "cash": "Cash at the start",
    "costs": "Costs",
    "from": "From, UTC",
    "to": "To, UTC",
    "speed": "Speed, market seconds a wall second",
    "strategies": "Strategies",
}
_WORDS = {
    ("brake", "latch"): "latch: flatten and stop at the limit",
    ("brake", "off"): "off: for comparison only",
    ("costs", "default"): "default: fees, half spread, slippage",
    ("costs", "plain"): "plain: only fee and slippage",
    ("from", ""): "first candle",
    ("to", ""): "last candle",
    ("speed", "0.0"): "as fast as possible",
    ("speed", "0"): "as fast as possible",
}
_SHARES_OF_COSTS = {"volume_share": SHARE, "maintenance_margin": SHARE}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: what it belongs to, its title, and its value; a ``share`` is 0 to 1 and read as percent."""

    part: str
    title: str
    value: Any
    unit: str = ""


def conditions(settings: str) -> tuple[Condition, ...]:
    """The conditions of a replay from what is stored of it (JSON), in the order of the form.

    Raises
    ------
    StorageError
        The text is no JSON object.
    """
    try:
        stored = json.loads(settings or "{}")
    except ValueError as error:
        raise StorageError(f"the conditions of this replay are damaged ({error}); run it again") from error
    if not isinstance(stored, dict):
        raise StorageError("the conditions of this replay are damaged (no object); run it again")
    return tuple(_run(stored)) + tuple(_strategies(stored)) + tuple(_limits(stored))


def _run(stored: Mapping[str, Any]) -> Iterator[Condition]:
    for name in ("cash", "from", "to", "brake", "speed", "costs"):
        value = stored.get(name)
        if isinstance(value, Mapping):
            yield Condition("Run", _TITLES[name], _in_words(name, value.get("name", "")))
            rest = {key: kept for key, kept in value.items() if key != "name"}
            yield from _fields("Costs", PaperCosts, rest, _SHARES_OF_COSTS)
        elif value is not None:
            yield Condition("Run", _TITLES[name], _in_words(name, value))


def _in_words(name: str, value: Any) -> Any:
    if name == "brake" and str(value).startswith("reset-after="):
        return f"reset after {str(value).partition('=')[2]} days"
    return _WORDS.get((name, str(value)), value)


def _strategies(stored: Mapping[str, Any]) -> Iterator[Condition]:
    chosen = stored.get("strategies")
    settings = chosen if isinstance(chosen, Mapping) else stored.get("settings")
    for name, values in sorted(settings.items()) if isinstance(settings, Mapping) else ():
        if name in BACKTESTS and isinstance(values, Mapping):
            yield from _fields(title_of(name), BACKTESTS[name].config, values, {})


def _limits(stored: Mapping[str, Any]) -> Iterator[Condition]:
    values = stored.get("risk")
    if isinstance(values, Mapping):
        yield from _fields("Limits", RiskConfig, values, {row.name: row.unit for row in limit_rows(RiskConfig())})


def _fields(
    part: str, model: type[BaseModel], values: Mapping[str, Any], units: Mapping[str, str]
) -> Iterator[Condition]:
    for name, value in values.items():
        known = model.model_fields.get(name)
        title = known.description if known is not None and known.description else name.replace("_", " ").capitalize()
        unit = SHARE if units.get(name) == SHARE else ""
        yield Condition(part, title.replace("share of", "% of") if unit else title, value, unit)
