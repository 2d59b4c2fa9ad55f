"""Tables of ``money.sqlite``: the journal, what it adds up to, and who may write."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Column, Index, Integer, LargeBinary, Text, UniqueConstraint
from sqlmodel import Field

from engine.storage.base import DecimalText, MoneyBase, UtcText


class JournalTable(MoneyBase, table=True):
    """Every fact, once, in the order it became durable; ``mac`` chains each row to the one before."""

    __tablename__ = "journal"
    __table_args__ = (Index("ix_journal_book_kind", "book", "kind"),)

    sequence: int = Field(primary_key=True)
    book: str = Field(sa_type=Text)
    market_time: datetime = Field(sa_type=UtcText)
    wall_time: datetime = Field(sa_type=UtcText)
    kind: str = Field(sa_type=Text)
    payload: str = Field(sa_type=Text)
    mac: bytes = Field(sa_type=LargeBinary)


class LeaseTable(MoneyBase, table=True):
    """Who may write: only the newest epoch."""

    __tablename__ = "lease"

    epoch: int = Field(primary_key=True)
    installation: str = Field(sa_type=Text)
    acquired_at: datetime = Field(sa_type=UtcText)


class OrderTable(MoneyBase, table=True):
    """Every order as its intent and the venue's last word."""

    __tablename__ = "orders"
    __table_args__ = (Index("ix_orders_book", "book", "sequence"),)

    client_id: str = Field(primary_key=True, sa_type=Text)
    sequence: int
    book: str = Field(sa_type=Text)
    instrument: str = Field(sa_type=Text)
    side: str = Field(sa_type=Text)
    quantity: Decimal = Field(sa_type=DecimalText)
    order_type: str = Field(sa_type=Text)
    purpose: str = Field(sa_type=Text)
    sleeve: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_type=UtcText)
    reference_price: Decimal = Field(sa_type=DecimalText)
    limit_price: Decimal | None = Field(sa_type=DecimalText)
    stop_price: Decimal | None = Field(sa_type=DecimalText)
    reduce_only: int = Field(sa_type=Integer)
    parent_id: str | None = Field(sa_type=Text)
    reason: str = Field(sa_type=Text)
    state: str = Field(sa_type=Text)
    filled: Decimal = Field(sa_type=DecimalText)
    venue_order_id: str | None = Field(sa_type=Text)
    venue_reason: str = Field(sa_type=Text)
    updated_at: datetime = Field(sa_type=UtcText)


class FillTable(MoneyBase, table=True):
    """Every execution; the venue's number is unique for an account and instrument. ``sequence`` is its journal row."""

    __tablename__ = "fills"
    __table_args__ = (
        UniqueConstraint("venue", "account", "instrument", "trade_id"),
        Index("ix_fills_book", "book", "sequence"),
        Index("ix_fills_client_id", "client_id"),
    )

    sequence: int = Field(primary_key=True)
    book: str = Field(sa_type=Text)
    venue: str = Field(sa_type=Text)
    account: str = Field(sa_type=Text)
    trade_id: str = Field(sa_type=Text)
    client_id: str = Field(sa_type=Text)
    venue_order_id: str = Field(sa_type=Text)
    instrument: str = Field(sa_type=Text)
    side: str = Field(sa_type=Text)
    quantity: Decimal = Field(sa_type=DecimalText)
    price: Decimal = Field(sa_type=DecimalText)
    fee: Decimal = Field(sa_type=DecimalText)
    fee_currency: str = Field(sa_type=Text)
    liquidity: str = Field(sa_type=Text)
    at: datetime = Field(sa_type=UtcText)


class FundingTable(MoneyBase, table=True):
    """Funding paid or received, unique by the venue's payment id."""

    __tablename__ = "funding"
    __table_args__ = (UniqueConstraint("venue", "account", "payment_id"),)

    sequence: int = Field(primary_key=True)
    book: str = Field(sa_type=Text)
    venue: str = Field(sa_type=Text)
    account: str = Field(sa_type=Text)
    payment_id: str = Field(sa_type=Text)
    instrument: str = Field(sa_type=Text)
    rate: Decimal = Field(sa_type=DecimalText)
    mark: Decimal = Field(sa_type=DecimalText)
    amount: Decimal = Field(sa_type=DecimalText)
    currency: str = Field(sa_type=Text)
    at: datetime = Field(sa_type=UtcText)


class CashFlowTable(MoneyBase, table=True):
    """Capital given to or taken from a book, unique by flow id inside the book."""

    __tablename__ = "cash_flows"
    __table_args__ = (UniqueConstraint("book", "venue", "flow_id"),)

    sequence: int = Field(primary_key=True)
    book: str = Field(sa_type=Text)
    venue: str = Field(sa_type=Text)
    flow_id: str = Field(sa_type=Text)
    currency: str = Field(sa_type=Text)
    amount: Decimal = Field(sa_type=DecimalText)
    at: datetime = Field(sa_type=UtcText)
    reason: str = Field(sa_type=Text)


class CommandDoneTable(MoneyBase, table=True):
    """What became of each command in each book; the same id is answered from here."""

    __tablename__ = "commands_done"

    book: str = Field(primary_key=True, sa_type=Text)
    command_id: str = Field(primary_key=True, sa_type=Text)
    sequence: int
    status: str = Field(sa_type=Text)
    detail: str = Field(sa_type=Text)
    at: datetime = Field(sa_type=UtcText)


class EquityMarkTable(MoneyBase, table=True):
    """Equity at instants that must survive, such as a new peak."""

    __tablename__ = "equity_marks"

    sequence: int = Field(primary_key=True)
    book: str = Field(sa_type=Text)
    at: datetime = Field(sa_type=UtcText)
    equity: Decimal = Field(sa_type=DecimalText)
    units: Decimal = Field(sa_type=DecimalText)
    peak: Decimal = Field(sa_type=DecimalText)
    day_start: Decimal = Field(sa_type=DecimalText)
    week_start: Decimal = Field(sa_type=DecimalText)
    month_start: Decimal = Field(sa_type=DecimalText)


class CheckpointTable(MoneyBase, table=True):
    """What the facts of a book up to ``sequence`` add up to; ``mac`` binds it to the chain."""

    __tablename__ = "checkpoints"

    checkpoint_id: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True, autoincrement=True))
    book: str = Field(sa_type=Text, index=True)
    sequence: int
    state: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_type=UtcText)
    mac: bytes = Field(sa_type=LargeBinary)
