"""The candle store and its replays as faces draw them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from engine.domain.instruments import InstrumentKey
from engine.domain.market import Timeframe
from engine.domain.views import EquityCurve, JobView


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """What the candle store holds of one instrument and timeframe."""

    instrument: InstrumentKey
    kind: str
    timeframe: str
    rows: int
    first: datetime
    last: datetime
    gaps: int
    missing_bars: int
    rejected_rows: int
    source: str
    imported_at: datetime


def finer_timeframes(stored: Iterable[CoverageRow], chosen: Sequence[CoverageRow]) -> tuple[str, ...]:
    """Timeframes, shortest first, that divide those chosen and that the store holds of every instrument chosen."""
    shortest = min((Timeframe.parse(row.timeframe) for row in chosen), default=None)
    if shortest is None:
        return ()
    held: dict[InstrumentKey, set[Timeframe]] = {}
    for row in stored:
        held.setdefault(row.instrument, set()).add(Timeframe.parse(row.timeframe))
    common = set.intersection(*(held.get(row.instrument, set()) for row in chosen))
    return tuple(str(one) for one in sorted(common) if one < shortest and shortest.ms % one.ms == 0)


@dataclass(frozen=True, slots=True)
class GapRow:
    """A run of missing candles: first missing open, last missing open, how many."""

    first: datetime
    last: datetime
    bars: int


@dataclass(frozen=True, slots=True)
class ReplayView:
    """A finished or running replay: its own books, never added to any other.

    Money is in ``currency`` (empty until it is known); ``net_return`` and ``max_drawdown`` (positive) are shares of
    cash and of the peak. What is not known yet is None. ``remarks`` say what its candles lack.
    """

    run_id: str
    job: JobView
    strategy: str
    settings: str
    instruments: tuple[str, ...]
    bars: int
    trades: int
    fills: int
    final_equity: Decimal | None
    cash: Decimal
    fees: Decimal | None
    digest: str
    bars_per_second: float | None
    curve: EquityCurve | None
    wins: int | None = None
    net_return: Decimal | None = None
    max_drawdown: Decimal | None = None
    currency: str = ""
    remarks: tuple[str, ...] = ()
