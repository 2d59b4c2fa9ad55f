"""What is known of a venue's market data and of how its order calls fared."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True)
class Feed:
    """One venue as a book hears it."""

    online: bool = False
    detail: str = "no data yet"
    spoke: bool = False
    last_market_time: datetime | None = None
    last_wall_time: datetime | None = None
    latency_s: float | None = None
    calls: int = 0
    failures: int = 0
