"""Who may look at a holdout: nobody twice, and nobody at days that a search or a backtest has shown already."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from engine.domain.codec import utc_text
from engine.domain.errors import CommandRefused
from engine.storage.research_tables import studies, touches
from engine.storage.research_tried import BY_HAND, TriedDays, met


@dataclass(frozen=True, slots=True)
class HoldoutTouch:
    """A look at a holdout: of which study and instruments, from when to when, with which settings, what was seen."""

    study: str
    strategy: str
    instruments: tuple[str, ...]
    start: datetime
    stop: datetime
    touched_at: datetime
    settings: Mapping[str, Any]
    record: Mapping[str, Any]


def touched_before(earlier: HoldoutTouch) -> CommandRefused:
    """The refusal of a second look, with the date of the first."""
    return CommandRefused(
        f"the holdout from {utc_text(earlier.start)} to {utc_text(earlier.stop)} was looked at on "
        f"{utc_text(earlier.touched_at)} by study {earlier.study}; a second look would make it data to fit to. "
        "Wait for candles that are newer than it"
    )


def require_untouched(connection: Connection, study: str) -> None:
    """Refuse more trials of a study whose holdout was looked at."""
    row = connection.execute(select(touches).where(touches.c.study == study)).one_or_none()
    if row is not None:
        raise CommandRefused(
            f"study {study} ended on {utc_text(row.touched_at)}, when its holdout was looked at; "
            "begin another study on newer candles"
        )


def overlapping(connection: Connection, asked: HoldoutTouch) -> HoldoutTouch | None:
    """The first look that forbids this one: of the same study, or of its strategy at days of a coin in common."""
    query = select(touches).where(touches.c.strategy == asked.strategy).order_by(touches.c.touched_at)
    wanted = _days(connection, asked)
    for row in connection.execute(query):
        found = touch_of(row)
        if found.study == asked.study or _days(connection, found).meets(wanted):
            return found
    return None


def searched(connection: Connection, asked: HoldoutTouch) -> TriedDays | None:
    """Days of another study whose trials saw days of this holdout, the earliest study first."""
    return next((one for one in _met(connection, asked) if one.source != BY_HAND), None)


def seen(connection: Connection, asked: HoldoutTouch) -> tuple[TriedDays, ...]:
    """Days of backtests by hand that lie in this holdout."""
    return tuple(one for one in _met(connection, asked) if one.source == BY_HAND)


def _met(connection: Connection, asked: HoldoutTouch) -> list[TriedDays]:
    return [one for one in met(connection, _days(connection, asked)).values() if one.source != asked.study]


def _days(connection: Connection, touch: HoldoutTouch) -> TriedDays:
    """The holdout as days of candles, with their hashes where the study is stored."""
    definition = connection.execute(select(studies.c.definition).where(studies.c.name == touch.study)).scalar()
    hashes = {one["instrument"]: one["sha256"] for one in json.loads(definition or "{}").get("series", ())}
    series = tuple(sorted((key, "", hashes.get(key, "")) for key in touch.instruments))
    return TriedDays(touch.strategy, touch.study, series, touch.start, touch.stop)


def searched_before(found: TriedDays) -> CommandRefused:
    """The refusal of a look at days that another study learned from, with its name and days."""
    return CommandRefused(
        f"study {found.source} searched the days from {utc_text(found.start)} to {utc_text(found.stop)}, some of "
        "which are in this holdout: they are not unseen. Wait for candles that are newer than these days"
    )


def touch_of(row: Row[Any]) -> HoldoutTouch:
    """A look as it is stored."""
    return HoldoutTouch(
        row.study, row.strategy, tuple(json.loads(row.instruments)), row.start, row.stop, row.touched_at,
        json.loads(row.settings), json.loads(row.record),
    )  # fmt: skip
