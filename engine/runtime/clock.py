"""Wall time of this computer."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """The clock of the process."""

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back; after a suspension they may have stood still."""
        return time.monotonic()
