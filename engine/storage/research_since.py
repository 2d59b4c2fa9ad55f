"""Who tried settings before, and how many more were tried since a moment: what a verdict has to say of itself."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, select

from engine.storage.research_tables import tried
from engine.storage.research_tried import BY_HAND, TriedDays, met


def studies_that_tried(connection: Connection, asked: TriedDays, key: str) -> tuple[str, ...]:
    """Names of the studies and sweeps that tried these settings on days in common, the earliest first."""
    sources = {number: one.source for number, one in met(connection, asked).items() if one.source != BY_HAND}
    query = select(tried.c.days_id).where(tried.c.days_id.in_(list(sources)), tried.c.key == key)
    found = set(connection.execute(query).scalars())
    return tuple(dict.fromkeys(source for number, source in sources.items() if number in found))


def tried_after(connection: Connection, asked: TriedDays, at: datetime) -> int:
    """How many distinct settings were first tried after a moment, on days in common."""
    first = func.min(tried.c.ended_at).label("first")
    query = select(tried.c.key, first).where(tried.c.days_id.in_(list(met(connection, asked)))).group_by(tried.c.key)
    later = query.having(first > at).subquery()
    return int(connection.execute(select(func.count()).select_from(later)).scalar_one())
