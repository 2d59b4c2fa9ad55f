"""Tables of ``research.sqlite``: what was tried, and what was looked at. Nothing in it is ever changed or removed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Float, Integer, LargeBinary, Table, Text, UniqueConstraint
from sqlmodel import Field

from engine.storage.base import ResearchBase, UtcText


class StudyTable(ResearchBase, table=True):
    """A study; ``definition`` is canonical JSON of everything that decides its trials."""

    __tablename__ = "studies"

    name: str = Field(primary_key=True, sa_type=Text)
    strategy: str = Field(sa_type=Text)
    definition: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_type=UtcText)


class TrialTable(ResearchBase, table=True):
    """A trial; ``settings``, ``fold_scores`` and ``figures`` are JSON, ``returns`` little-endian float64."""

    __tablename__ = "trials"

    study: str = Field(primary_key=True, foreign_key="studies.name", sa_type=Text)
    number: int = Field(primary_key=True, sa_type=Integer)
    state: str = Field(sa_type=Text)
    settings: str = Field(sa_type=Text)
    value: float | None = Field(default=None, sa_type=Float)
    fold_scores: str = Field(sa_type=Text)
    returns: bytes = Field(sa_type=LargeBinary)
    reason: str = Field(sa_type=Text)
    figures: str = Field(default="{}", sa_type=Text, sa_column_kwargs={"server_default": "{}"})
    revision: str = Field(sa_type=Text)
    ended_at: datetime = Field(sa_type=UtcText)


class HoldoutTouchTable(ResearchBase, table=True):
    """The one look at a study's holdout, with what was seen; ``instruments`` is a JSON list."""

    __tablename__ = "holdout_touches"

    study: str = Field(primary_key=True, foreign_key="studies.name", sa_type=Text)
    strategy: str = Field(sa_type=Text)
    instruments: str = Field(sa_type=Text)
    start: datetime = Field(sa_type=UtcText)
    stop: datetime = Field(sa_type=UtcText)
    touched_at: datetime = Field(sa_type=UtcText)
    settings: str = Field(sa_type=Text)
    record: str = Field(sa_type=Text)


class TriedDaysTable(ResearchBase, table=True):
    """Candles and days that settings of a strategy were tried on; ``assets`` and ``series`` are JSON lists."""

    __tablename__ = "tried_days"
    __table_args__ = (
        UniqueConstraint("strategy", "source", "series", "start", "stop", "limits", name="uq_tried_days_strategy"),
    )

    id: int = Field(primary_key=True, sa_type=Integer)
    strategy: str = Field(sa_type=Text)
    source: str = Field(sa_type=Text)
    assets: str = Field(sa_type=Text)
    series: str = Field(sa_type=Text)
    start: datetime = Field(sa_type=UtcText)
    stop: datetime = Field(sa_type=UtcText)
    limits: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_type=UtcText)


class TriedTable(ResearchBase, table=True):
    """A run that counts: hash of what makes it distinct, settings, Sharpe ratio a day, and the days it is of."""

    __tablename__ = "tried"

    days_id: int = Field(primary_key=True, foreign_key="tried_days.id", sa_type=Integer)
    key: str = Field(primary_key=True, sa_type=Text)
    settings: str = Field(sa_type=Text)
    sharpe: float = Field(sa_type=Float)
    days: float = Field(sa_type=Float)
    revision: str = Field(sa_type=Text)
    ended_at: datetime = Field(sa_type=UtcText)


def _table(name: str) -> Table:
    return ResearchBase.metadata.tables[name]


studies = _table("studies")
trials = _table("trials")
touches = _table("holdout_touches")
tried_days = _table("tried_days")
tried = _table("tried")
