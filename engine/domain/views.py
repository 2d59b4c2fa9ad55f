"""Rows and series that faces draw: computed by the engine or read from its stores, never by a page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Generic, TypeVar

from engine.domain.commands import Role
from engine.domain.facts import Severity
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
    """Equity (base currency), drawdown (share, negative), and P&L per sleeve (base currency) on one time axis."""

    at_ms: IntArray
    equity: FloatArray
    drawdown: FloatArray
    sleeves: tuple[Series, ...]
    currency: str
    samples: int


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
    """An order as tables show it, ended ones included; ``average_price`` of its fills, None while it has none."""

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


@dataclass(frozen=True, slots=True)
class JournalRow:
    """A row of the hash-chained journal."""

    sequence: int
    book: str
    market_time: datetime
    wall_time: datetime
    kind: str
    summary: str
    payload: str


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who did what, from where, when and why (wall time).

    ``outcome`` is what the engine made of a command: done, refused and why, or waiting; empty for anything else.
    """

    sequence: int
    at: datetime
    actor: str
    source: str
    action: str
    target: str
    detail: str
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class ChainView:
    """Verdict over a hash chain."""

    name: str
    rows: int
    holds: bool
    broken_at: int | None
    detail: str


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
class HoldingRow:
    """A coin at a venue, valued. ``value`` None: no price, listed and not counted.

    ``engine_owned`` is the part the engine trades: what its capital and its own fills explain.
    """

    venue: str
    simulated: bool
    account: str
    currency: str
    total: Decimal
    free: Decimal
    price: Decimal | None
    price_source: str
    value: Decimal | None
    share: Decimal | None
    engine_owned: Decimal


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured figure with what it was measured on; ``value`` None means unknown, ``note`` says why."""

    name: str
    value: float | None
    unit: str
    note: str


@dataclass(frozen=True, slots=True)
class StressRow:
    """Loss of the present holdings under a dated scenario; base currency, loss negative."""

    scenario: str
    window: str
    pnl: float
    share_of_equity: float | None
    proxy: str


@dataclass(frozen=True, slots=True)
class RiskView:
    """Portfolio figures of a book or of all its venues."""

    figures: tuple[Figure, ...]
    exposures: tuple[tuple[str, Decimal, Decimal], ...]
    coins: tuple[str, ...]
    correlation: tuple[tuple[float, ...], ...]
    stress: tuple[StressRow, ...]
    observations: int


@dataclass(frozen=True, slots=True)
class WalletOwners:
    """Whose the priced balances of one kind (simulated or not) are, in the view's currency.

    ``total = traded + own``; the books' ``equity = traded + open_profit``, the unrealised P&L of perpetuals, which no
    wallet holds before a position is closed.
    """

    simulated: bool
    total: Decimal
    traded: Decimal
    own: Decimal
    open_profit: Decimal
    equity: Decimal


@dataclass(frozen=True, slots=True)
class WalletView:
    """Every balance found, valued in one currency."""

    currency: str
    total: Decimal
    holdings: tuple[HoldingRow, ...]
    unpriced: tuple[str, ...]
    by_coin: tuple[tuple[str, Decimal], ...]
    by_venue: tuple[tuple[str, Decimal], ...]
    risk: RiskView
    priced_at: datetime | None
    owners: tuple[WalletOwners, ...] = ()


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


@dataclass(frozen=True, slots=True)
class GapRow:
    """A run of missing candles: first missing open, last missing open, how many."""

    first: datetime
    last: datetime
    bars: int


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


@dataclass(frozen=True, slots=True)
class ReplayView:
    """A finished or running replay: its own books, never added to any other.

    Money is in ``currency`` (empty until it is known); ``net_return`` and ``max_drawdown`` (positive) are shares of
    cash and of the peak. What is not known yet is None.
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


@dataclass(frozen=True, slots=True)
class ExchangeView:
    """An exchange that can be connected and what the form needs to know."""

    name: str
    title: str
    has_sandbox: bool
    needs_passphrase: bool
    hint: str


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """A connected account: keys are sealed and never shown; ``check`` is the exchange's own last answer."""

    connection_id: str
    exchange: str
    label: str
    sandbox: bool
    created_at: datetime
    checked_at: datetime | None
    check_ok: bool | None
    check: str


@dataclass(frozen=True, slots=True)
class HealthFigure:
    """A measured quantity against its threshold; ``value`` None means not measured, ``note`` says why."""

    name: str
    title: str
    value: float | None
    unit: str
    threshold: float
    ok: bool | None
    at: datetime | None
    note: str


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert: repeats of one key are counted in one row until it is acknowledged."""

    alert_id: int
    key: str
    severity: Severity
    title: str
    detail: str
    book: str
    first_at: datetime
    last_at: datetime
    count: int
    acknowledged_by: str
    muted_until: datetime | None
    delivered: str


@dataclass(frozen=True, slots=True)
class ChannelView:
    """Where alerts go; the address is sealed, ``hint`` shows only its kind and host."""

    channel_id: str
    kind: str
    label: str
    hint: str
    minimum_severity: Severity
    last_result: str
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class UserRow:
    """A person who may sign in."""

    name: str
    role: Role
    disabled: bool
    created_at: datetime
    last_seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A live session; ``handle`` names it without being its token."""

    handle: str
    user: str
    address: str
    agent: str
    created_at: datetime
    last_seen_at: datetime
    current: bool


@dataclass(frozen=True, slots=True)
class BackupRow:
    """A backup archive on disk."""

    name: str
    created_at: datetime
    bytes: int
    verified: bool
    detail: str


@dataclass(frozen=True, slots=True)
class SettingRow:
    """An effective setting and where it came from (default, file, console, environment)."""

    name: str
    value: str
    source: str
    description: str


@dataclass(frozen=True, slots=True)
class LogRow:
    """A line of the structured log."""

    at: datetime
    level: str
    event: str
    detail: str
