"""The conditions of a backtest or a study as people read them: titles for keys, units, percent, dates without noise."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from engine.domain.codec import utc_from_text
from engine.runtime.replay_words import SHARE, Condition, conditions
from engine.runtime.research_words import ENGINES
from engine.strategies import BACKTESTS

Record = Mapping[str, Any]

COSTS, LIMITS, BRAKE, CANDLES = "Costs", "Limits", "Emergency brake", "Candles"
"""What names of conditions begin with, up to a colon."""

_ASKED = ("cash", "from", "to", "brake", "costs", "risk")
_EMPTY = re.compile(r"[;(] ?empty: ([^.;)]+)")
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d[\d:.+Z-]*")


def run_conditions(record: Record) -> Iterator[tuple[str, str]]:
    """Conditions of a backtest from its record, as name and value."""
    yield "Engine", ENGINES.get(str(record["engine"]), str(record["engine"]))
    for name, title in _RUN.items():
        if record.get(name) not in (None, ""):
            yield title, _shown(record[name]) if name not in _TEXTS else _minute(str(record[name]))
    if record.get("seconds") is not None:
        yield "Computed in", f"{float(record['seconds']):,.1f} s"
    yield from series_conditions(record["series"])
    yield "Inside a candle", str(record.get("inside_bar", "pessimistic"))
    yield from asked_conditions(record, str(record["strategy"]), record["settings"])


def series_conditions(series: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """The candles of each instrument, and the finer ones inside them, as name and value."""
    for part in series:
        yield f"{CANDLES}: {part['instrument']}", _series(part)
        if "detail" in part:
            words = (f"{_spaced(name)} {_shown(value)}" for name, value in part["detail"].items())
            yield f"Finer candles: {part['instrument']}", ", ".join(words)


_RUN: Mapping[str, str] = {
    "made_at": "Made on",
    "revision": "Version of the program",
    "seed": "Seed of the draws",
    "bars": "Candles in all",
    "study": "Study",
    "trial": "Trial",
}
_TEXTS = frozenset({"made_at", "revision", "study"})


def asked_conditions(stored: Record, strategy: str, settings: Record) -> Iterator[tuple[str, str]]:
    """Cash, range, brake, costs, limits and settings, as name and value; a strategy that is gone keeps its keys."""
    kept = {name: stored[name] for name in _ASKED if stored.get(name) is not None}
    known = {"settings": {strategy: dict(settings)}} if strategy in BACKTESTS else {}
    for one in conditions(json.dumps({**kept, **known}, default=str)):
        yield _title(one), _value(one)
    if not known:
        yield from ((f"Setting: {_spaced(name)}", _shown(value)) for name, value in settings.items())


def _title(one: Condition) -> str:
    title = re.sub(r" \(empty: [^)]*\)|;.*", "", one.title)
    title = title.removesuffix(", share")
    return title if one.part == "Run" else f"{one.part}: {title}"


def _value(one: Condition) -> str:
    if one.value is None:
        empty = _EMPTY.search(one.title)
        return empty[1] if empty else "none"
    if one.unit == SHARE or one.title.endswith(", share"):
        return f"{Decimal(str(one.value)) * 100:,.2f} %"
    return _minute(str(one.value)) if _ISO.fullmatch(str(one.value)) else _shown(one.value)


def _series(part: Record) -> str:
    found = [str(part["timeframe"]), f"{int(part['bars']):,} candles"] if "bars" in part else [str(part["timeframe"])]
    if "first" in part and "last" in part:
        found.append(f"{_minute(str(part['first']))} to {_minute(str(part['last']))}")
    if part.get("tick_size") is not None:
        found.append(f"price step {part['tick_size']}")
    if "sha256" in part:
        found.append(f"sha256 {part['sha256']}")
    return ", ".join(found)


def with_minutes(text: str) -> str:
    """A text with the stored times in it to the minute.

    >>> with_minutes("the first from 2018-01-04T04:00:00.000000Z to 2018-01-04T05:00:00.000000Z")
    'the first from 2018-01-04 04:00 UTC to 2018-01-04 05:00 UTC'
    """
    return _ISO.sub(lambda found: _minute(found[0]), text)


def _minute(text: str) -> str:
    """A stored time to the minute; any other text as it is."""
    if not _ISO.fullmatch(text):
        return text
    at: datetime = utc_from_text(text)
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _shown(value: Any) -> str:
    """A number with thousands separated; yes or no; any other text as it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return f"{Decimal(text):,}".replace("-", "\N{MINUS SIGN}")
    return "none" if value is None else text


def _spaced(name: str) -> str:
    return name.replace("_", " ")
