"""Who may ask a venue next: a budget of weight for every window, of which urgent lanes may use more than others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from threading import Lock


class Lane(Enum):
    """Right of way, highest first."""

    CLOSE = "close"
    STATUS = "status"
    ENTRY = "entry"
    DATA = "data"

    @property
    def share(self) -> float:
        """Share of the venue's limit this lane may bring the use up to; the rest is kept for those above it."""
        return _SHARES[self]


_SHARES = {Lane.CLOSE: 1.0, Lane.STATUS: 0.9, Lane.ENTRY: 0.8, Lane.DATA: 0.6}
WARN_SHARE = 0.8
"""Use of the limit at which a warning is given."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What a venue allows: ``weight`` in every ``window_s`` seconds."""

    weight: int
    window_s: float


DEFAULT_PACE = Pace(1200, 60.0)


@dataclass(frozen=True, slots=True)
class UseHeaders:
    """Headers in which a venue tells how much of its limit is used.

    ``used`` names the header with the weight used so far, or ``remaining`` the one with what is left; ``limit`` the
    one with the limit, where it is told (else the limit is the pace's).
    """

    used: str = ""
    remaining: str = ""
    limit: str = ""


SILENT_HEADERS = UseHeaders()


class Budget:
    """Weight spent in a sliding window, shared by all lanes of one key and address.

    Parameters
    ----------
    pace : Pace
    monotonic : callable
        Seconds that never go back.
    """

    def __init__(self, pace: Pace, monotonic: Callable[[], float]) -> None:
        self._pace = pace
        self._now = monotonic
        self._spent: deque[tuple[float, int]] = deque()
        self._sum = 0
        self._told_share: float | None = None
        self._told_at = float("-inf")
        self._lock = Lock()

    def take(self, lane: Lane, weight: int) -> float:
        """Spend ``weight`` now and return 0, or spend nothing and return the seconds until there is room."""
        with self._lock:
            now = self._now()
            self._forget(now)
            allowed = self._pace.weight * lane.share
            if self._told_wait(lane, now) > 0:
                return self._told_wait(lane, now)
            if self._sum and self._sum + weight > allowed:
                return self._until_room(allowed - weight, now)
            self._spent.append((now, weight))
            self._sum += weight
            return 0.0

    def told(self, share: float) -> None:
        """The venue itself said how much of its limit is used, 0 to 1; other programs may use the same key."""
        with self._lock:
            self._told_share, self._told_at = share, self._now()

    @property
    def used_share(self) -> float | None:
        """The venue's own figure, None where it has told none in this window."""
        with self._lock:
            return self._told_share if self._now() - self._told_at < self._pace.window_s else None

    def _told_wait(self, lane: Lane, now: float) -> float:
        if self._told_share is None or lane is Lane.CLOSE or self._told_share < lane.share:
            return 0.0
        return max(0.0, self._told_at + self._pace.window_s - now)

    def _forget(self, now: float) -> None:
        while self._spent and now - self._spent[0][0] >= self._pace.window_s:
            self._sum -= self._spent.popleft()[1]

    def _until_room(self, room: float, now: float) -> float:
        left = self._sum
        for at, weight in self._spent:
            left -= weight
            if left <= room:
                return max(0.0, at + self._pace.window_s - now)
        return self._pace.window_s


def share_from(headers: UseHeaders, answer: dict[str, str], pace: Pace) -> float | None:
    """Share of the limit used, 0 to 1, from the headers of an answer (names in lower case); None where none tells."""
    try:
        limit = float(answer.get(headers.limit.lower(), pace.weight)) if headers.limit else float(pace.weight)
        if headers.used and headers.used.lower() in answer:
            return min(1.0, float(answer[headers.used.lower()]) / limit)
        if headers.remaining and headers.remaining.lower() in answer:
            return min(1.0, max(0.0, 1.0 - float(answer[headers.remaining.lower()]) / limit))
    except (ValueError, ZeroDivisionError):
        return None
    return None
