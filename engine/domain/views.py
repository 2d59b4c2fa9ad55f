"""Rows, series and forms that several faces draw: computed by the engine or read from its stores, never by a page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Generic, TypeVar

from engine.domain.instruments import InstrumentKey
from engine.domain.market import FloatArray, IntArray

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class PageOf(Generic[Row]):
    """One page of rows, newest first; the first page is 1, ``total`` counts all rows that match."""

    rows: tuple[Row, ...]
    total: int
    page: int
    size: int


@dataclass(frozen=True, slots=True)
class Series:
    """A line: ``at_ms`` ms UTC, ``values`` float64 of the same length; ``source`` says what measured it."""

    name: str
    at_ms: IntArray
    values: FloatArray
    unit: str
    source: str


@dataclass(frozen=True, slots=True)
class EquityCurve:
    """Equity (base currency), drawdown (share, negative), and P&L per sleeve (base currency) on one time axis.

    ``rearmed_ms`` are the instants (market time, ms UTC, rising) within it at which the book was re-armed: drawdown
    counts from the last one before it.
    """

    at_ms: IntArray
    equity: FloatArray
    drawdown: FloatArray
    sleeves: tuple[Series, ...]
    currency: str
    samples: int
    rearmed_ms: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FillRow:
    """A fill as tables show it; ``realised`` in quote currency where it closed something."""

    at: datetime
    book: str
    simulated: bool
    instrument: InstrumentKey
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    liquidity: str
    sleeve: str
    purpose: str
    client_id: str
    trade_id: str


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order as tables show it, ended ones included; ``average_price`` of its fills, None while it has none.

    ``reason`` is why it was placed, ``end_reason`` why it is over ("" while it is not).
    """

    created_at: datetime
    updated_at: datetime
    book: str
    simulated: bool
    client_id: str
    venue_order_id: str
    instrument: InstrumentKey
    side: str
    order_type: str
    quantity: Decimal
    filled: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    state: str
    purpose: str
    sleeve: str
    reason: str
    average_price: Decimal | None = None
    post_only: bool = False
    reduce_only: bool = False
    end_reason: str = ""


@dataclass(frozen=True, slots=True)
class TradeChart:
    """Candles around a position or trade with its marks; arrays of one length."""

    instrument: InstrumentKey
    timeframe: str
    simulated: bool
    opened_at_ms: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    fills: tuple[FillRow, ...]
    stop_price: float | None
    target_price: float | None
    entry_price: float | None = None


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of a generated form; ``kind`` is ``integer``, ``number``, ``text``, ``choice`` or ``boolean``.

    ``unit`` is ``share`` where people read and enter percent; value, default and bounds are shares all the same.
    """

    name: str
    label: str
    kind: str
    value: Any
    default: Any
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    unit: str = ""


@dataclass(frozen=True, slots=True)
class StrategyForm:
    """A registered strategy and the form of its configuration."""

    name: str
    title: str
    summary: str
    fields: tuple[FormField, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured figure with what it was measured on; ``value`` None means unknown, ``note`` says why."""

    name: str
    value: float | None
    unit: str
    note: str


class JobState(Enum):
    """Where a long job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class JobView:
    """A long job: ``share`` done 0 to 1, ``result`` JSON once done, ``detail`` the last thing it said or its error."""

    job_id: str
    kind: str
    title: str
    state: JobState
    share: float
    detail: str
    started_at: datetime
    seconds: float
    seconds_left: float | None
    result: str
