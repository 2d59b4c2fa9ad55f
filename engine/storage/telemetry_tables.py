"""Tables of ``telemetry.sqlite``: numbers for charts, as floats, with times in whole milliseconds UTC."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, Text
from sqlmodel import Field

from engine.storage.base import TelemetryBase


class SampleTable(TelemetryBase, table=True):
    """A measured value as it was taken; kept 30 days."""

    __tablename__ = "samples"
    __table_args__ = (Index("ix_samples_at_ms", "at_ms"), {"sqlite_with_rowid": False})

    name: str = Field(primary_key=True, sa_type=Text)
    at_ms: int = Field(primary_key=True, sa_type=Integer)
    value: float = Field(sa_type=Float)


class SampleTenMinutesTable(TelemetryBase, table=True):
    """The same values gathered over ten minutes; kept longer."""

    __tablename__ = "samples_ten_minutes"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - read once, by the table builder

    name: str = Field(primary_key=True, sa_type=Text)
    at_ms: int = Field(primary_key=True, sa_type=Integer)
    total: float = Field(sa_type=Float)
    count: int = Field(sa_type=Integer)
    low: float = Field(sa_type=Float)
    high: float = Field(sa_type=Float)


class EquitySampleTable(TelemetryBase, table=True):
    """Equity of a book along market time; ``sleeves`` is JSON: P&L per strategy."""

    __tablename__ = "equity_samples"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - read once, by the table builder

    book: str = Field(primary_key=True, sa_type=Text)
    market_ms: int = Field(primary_key=True, sa_type=Integer)
    wall_ms: int = Field(sa_type=Integer)
    equity: float = Field(sa_type=Float)
    cash: float = Field(sa_type=Float)
    drawdown: float = Field(sa_type=Float)
    unrealised: float = Field(sa_type=Float)
    sleeves: str = Field(sa_type=Text)


class EquityHourTable(TelemetryBase, table=True):
    """Which samples of an hour a chart needs: lowest and highest equity, deepest drawdown, the last; and how many."""

    __tablename__ = "equity_hours"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - read once, by the table builder

    book: str = Field(primary_key=True, sa_type=Text)
    hour_ms: int = Field(primary_key=True, sa_type=Integer)
    low: float = Field(sa_type=Float)
    low_ms: int = Field(sa_type=Integer)
    high: float = Field(sa_type=Float)
    high_ms: int = Field(sa_type=Integer)
    deepest: float = Field(sa_type=Float)
    deepest_ms: int = Field(sa_type=Integer)
    last_ms: int = Field(sa_type=Integer)
    samples: int = Field(sa_type=Integer)


class DecisionTable(TelemetryBase, table=True):
    """Ideas and why they were refused; only the newest are kept."""

    __tablename__ = "decisions"
    __table_args__ = (Index("ix_decisions_book", "book", "decision_id"),)

    decision_id: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True, autoincrement=True))
    book: str = Field(sa_type=Text)
    at_ms: int = Field(sa_type=Integer)
    strategy: str = Field(sa_type=Text)
    instrument: str = Field(sa_type=Text)
    rule: str = Field(sa_type=Text)
    detail: str = Field(sa_type=Text)
