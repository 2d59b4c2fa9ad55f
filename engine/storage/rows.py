"""What the stores hand to readers: frozen rows, pages of them, and the filters that choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Generic, TypeVar

from engine.domain.errors import BadInput
from engine.domain.instruments import InstrumentKey
from engine.domain.market import FloatArray, IntArray
from engine.domain.orders import Fill, OrderIntent, OrderState, Purpose

T = TypeVar("T")
MAX_PAGE_SIZE = 10_000


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a longer list, newest first.

    Attributes
    ----------
    total : int
        Rows that match the filter on all pages.
    rows : tuple of T
        The rows of this page, newest first.
    page, size : int
        Number of this page (the first is 1) and rows a page.
    """

    total: int
    rows: tuple[T, ...]
    page: int
    size: int

    @property
    def pages(self) -> int:
        """How many pages there are, at least 1."""
        return max(1, -(-self.total // self.size))


def page_bounds(page: int, size: int) -> tuple[int, int]:
    """(limit, offset) of a page; raises `BadInput` naming the value when out of bounds."""
    if page < 1:
        raise BadInput(f"page {page} does not exist; the first page is 1")
    if not 1 <= size <= MAX_PAGE_SIZE:
        raise BadInput(f"page size {size} is not between 1 and {MAX_PAGE_SIZE}")
    return size, (page - 1) * size


@dataclass(frozen=True, slots=True)
class OrderFilters:
    """Which orders: None means any. ``since`` is inclusive, ``until`` exclusive, in market time of the decision."""

    instrument: str | None = None
    sleeve: str | None = None
    states: tuple[OrderState, ...] = ()
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class FillFilters:
    """Which fills: None means any. ``since`` is inclusive, ``until`` exclusive, in market time of the fill."""

    instrument: str | None = None
    sleeve: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class JournalFilters:
    """Which journal rows: None means any.

    ``kind`` is the class name of the fact, ``text`` a part of the payload without regard to case, ``since`` (inclusive)
    and ``until`` (exclusive) are wall time.
    """

    kind: str | None = None
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditFilters:
    """Which audit rows: None means any. ``since`` is inclusive, ``until`` exclusive; ``text`` is a part of any text."""

    actor: str | None = None
    action: str | None = None
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order and the venue's last word on it; quantity and stop price as last amended, ``filled`` in base."""

    sequence: int
    book: str
    intent: OrderIntent
    state: OrderState
    filled: Decimal
    venue_order_id: str | None
    venue_reason: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class FillRow:
    """A fill with the sleeve and purpose of its order; ``external`` and None when the book knows no such order."""

    sequence: int
    book: str
    sleeve: str
    purpose: Purpose | None
    fill: Fill


@dataclass(frozen=True, slots=True)
class FundingRow:
    """A funding payment as stored; ``amount`` positive when received."""

    sequence: int
    book: str
    instrument: InstrumentKey
    amount: Decimal
    currency: str
    at: datetime


@dataclass(frozen=True, slots=True)
class JournalRow:
    """A journal row as stored; ``payload`` is canonical JSON."""

    sequence: int
    book: str
    market_time: datetime
    wall_time: datetime
    kind: str
    payload: str


@dataclass(frozen=True, slots=True)
class BookCounts:
    """How much a book has stored."""

    journal_rows: int
    orders: int
    fills: int
    funding: int
    cash_flows: int


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who did what, from where (``console``, ``api``, ``cli``, ``engine``), to what; ``detail`` is canonical JSON."""

    sequence: int
    at: datetime
    actor: str
    source: str
    action: str
    target: str
    detail: str


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One version of one setting; ``value`` is JSON text."""

    namespace: str
    key: str
    version: int
    value: str
    actor: str
    note: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """A sealed exchange key: what may be shown, and the sealed bytes, which only the key store opens.

    ``options`` is JSON of what is not secret (sandbox switch, account). ``check_ok`` is None before the first check.
    """

    exchange_id: str
    label: str
    sealed: bytes
    options: str
    created_at: datetime
    checked_at: datetime | None
    check_ok: bool | None
    check_detail: str

    def __repr__(self) -> str:
        return f"CredentialRow({self.exchange_id!r}, {self.label!r}, {len(self.sealed)} sealed bytes)"


@dataclass(frozen=True, slots=True)
class Sample:
    """A measured value; ``name`` says what and in which unit, ``at`` is wall time."""

    name: str
    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class SampleSeries:
    """Samples gathered over equal stretches of time; arrays of one length, oldest first.

    ``at_ms`` is the time of each stretch's last sample, ms UTC.
    """

    name: str
    at_ms: IntArray
    average: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True, slots=True)
class EquitySample:
    """Equity of a book at one market time; ``drawdown`` a positive share, ``sleeves`` P&L by strategy."""

    book: str
    market_at: datetime
    wall_at: datetime
    equity: Decimal
    cash: Decimal
    drawdown: Decimal
    unrealised: Decimal
    sleeves: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Decision:
    """An idea and what became of it: ``rule`` is the rule that refused it, empty when it was taken; market time."""

    book: str
    at: datetime
    strategy: str
    instrument: str
    rule: str
    detail: str
