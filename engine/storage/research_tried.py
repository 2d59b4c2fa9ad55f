"""Every setting of a strategy that was ever run, whatever ran it: what a verdict has to be deflated by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select
from sqlalchemy.dialects.sqlite import insert as insert_new

from engine.storage.research_tables import tried, tried_days

BY_HAND = ""
"""Source of the days of a backtest that belongs to no study."""
LIMITS = ("risk", "brake")


@dataclass(frozen=True, slots=True)
class TriedDays:
    """Candles and days that settings were tried on.

    Attributes
    ----------
    strategy : str
    source : str
        Name of the study or sweep; `BY_HAND` for backtests.
    series : tuple of (instrument, timeframe, hash)
        Of the candles, sorted.
    start, stop : datetime
        The days whose results were seen.
    limits : mapping
        ``risk`` and ``brake`` of the runs.
    """

    strategy: str
    source: str
    series: tuple[tuple[str, str, str], ...]
    start: datetime
    stop: datetime
    limits: Mapping[str, Any] = field(default_factory=dict)

    @property
    def assets(self) -> tuple[str, ...]:
        """Base coins: the same coin of another venue, or its perpetual, has the same days."""
        return tuple(sorted({base_of(key) for key, _, _ in self.series}))

    def key_of(self, settings: Mapping[str, Any]) -> str:
        """SHA-256 of what makes settings distinct: they, risk and brake, the length of a candle, and the coins.

        Costs and capital are not among it: they are no choice of a strategy.
        """
        return self.keys()(settings)

    def keys(self) -> Callable[[Mapping[str, Any]], str]:
        """`key_of` for many settings: what they share is written down once."""
        shared = canonical(
            {
                "limits": dict(self.limits),
                "assets": list(self.assets),
                "timeframes": sorted({timeframe for _, timeframe, _ in self.series}),
            }
        )
        return lambda settings: hashlib.sha256(f"{shared}{canonical(dict(settings))}".encode()).hexdigest()

    def meets(self, other: TriedDays) -> bool:
        """Whether both have days of a coin, or of the very same candles, in common."""
        hashes = {one[2] for one in self.series} & {one[2] for one in other.series} - {""}
        return (
            bool(set(self.assets) & set(other.assets) or hashes) and self.start < other.stop and other.start < self.stop
        )


@dataclass(frozen=True, slots=True)
class Tried:
    """Distinct settings that were run, by their key.

    Attributes
    ----------
    key : str
        Of `TriedDays.key_of`.
    sharpe : float
        A day, never annualised; 0 where nothing was risked.
    days : float
        It was measured over.
    settings : mapping
        Of the strategy; not read back.
    """

    key: str
    sharpe: float
    days: float
    settings: Mapping[str, Any] = field(default_factory=dict)


def base_of(instrument: str) -> str:
    """Base coin of an instrument's key.

    >>> base_of("kraken:BTC/USDT:USDT")
    'BTC'
    """
    return instrument.partition(":")[2].partition("/")[0]


def days_of_study(name: str, strategy: str, definition: Mapping[str, Any]) -> TriedDays | None:
    """The days a study's trials are judged on; None where its definition does not say."""
    if not {"series", "development"} <= definition.keys():
        return None
    span = definition["development"]
    start, stop = (datetime.fromisoformat(span[end]) for end in ("from", "to"))
    limits = {name: definition.get(name) for name in LIMITS}
    return TriedDays(strategy, name, series_of(definition["series"]), start, stop, limits)


def series_of(record: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, str, str], ...]:
    """Instrument, timeframe and hash of each series of a record."""
    return tuple(sorted((str(one["instrument"]), str(one["timeframe"]), str(one["sha256"])) for one in record))


def canonical(values: object) -> str:
    """JSON that is the same for equal values."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def add_tried(connection: Connection, days: TriedDays, runs: Sequence[Tried], stamp: tuple[str, datetime]) -> None:
    """Store runs; those whose settings were tried on these very days before are no new trials.

    Parameters
    ----------
    connection : Connection
        In a transaction.
    days : TriedDays
    runs : sequence of Tried
    stamp : tuple
        Revision of the code, and when they ended.
    """
    if not runs:
        return
    series = canonical(days.series)
    place = {"strategy": days.strategy, "source": days.source, "series": series, "start": days.start,
             "stop": days.stop, "limits": canonical(dict(days.limits))}  # fmt: skip
    found = select(tried_days.c.id).filter_by(**place)
    number = connection.execute(found).scalar_one_or_none()
    if number is None:
        values = {**place, "assets": canonical(days.assets), "created_at": stamp[1]}
        number = connection.execute(insert(tried_days), values).inserted_primary_key[0]  # type: ignore[index]
    rows = [
        {"days_id": number, "key": one.key, "settings": canonical(dict(one.settings)), "sharpe": one.sharpe,
         "days": one.days, "revision": stamp[0], "ended_at": stamp[1]}
        for one in runs
    ]  # fmt: skip
    connection.execute(insert_new(tried).on_conflict_do_nothing(), rows)


def met(connection: Connection, asked: TriedDays) -> dict[int, TriedDays]:
    """Stored days of the strategy that have a coin and days in common with those asked about, by number."""
    query = select(tried_days).where(
        tried_days.c.strategy == asked.strategy, tried_days.c.start < asked.stop, tried_days.c.stop > asked.start
    )
    found = {row.id: _days(row) for row in connection.execute(query.order_by(tried_days.c.created_at))}
    return {number: one for number, one in found.items() if one.meets(asked)}


def tried_on(connection: Connection, asked: TriedDays) -> tuple[Tried, ...]:
    """Every distinct setting that was tried on days in common; of several runs the one over most days."""
    numbers = list(met(connection, asked))
    if not numbers:
        return ()
    # SQLite takes the other columns from the row that has the maximum
    query = select(tried.c.key, tried.c.sharpe, func.max(tried.c.days).label("days"))
    rows = connection.execute(query.where(tried.c.days_id.in_(numbers)).group_by(tried.c.key))
    return tuple(Tried(row.key, row.sharpe, row.days) for row in rows)


def _days(row: Row[Any]) -> TriedDays:
    series = tuple((str(key), str(timeframe), str(sha256)) for key, timeframe, sha256 in json.loads(row.series))
    return TriedDays(row.strategy, row.source, series, row.start, row.stop, json.loads(row.limits))
