"""Lets market time run at a chosen speed against a clock, and never tries to catch up a long delay in one burst."""

from __future__ import annotations

import time
from threading import Event
from typing import Protocol

from engine.domain.errors import BadInput

MIN_SPEED, MAX_SPEED = 1, 1000
_MAX_LAG_S = 1.0


class Waiter(Protocol):
    """Wall time as the pace sees it; tests give one that jumps."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def wait(self, seconds: float) -> None:
        """Return after so many seconds, or at once when woken."""

    def wake(self) -> None:
        """End a wait of another thread."""


class WallWaiter:
    """Real waiting that another thread can end."""

    def __init__(self) -> None:
        self._woken = Event()

    def monotonic(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Sleep up to ``seconds``; a wake that came before counts."""
        self._woken.wait(seconds)
        self._woken.clear()

    def wake(self) -> None:
        """End the wait of the other thread, or its next one."""
        self._woken.set()


def checked_speed(speed: int) -> int:
    """The speed itself; raises `BadInput` unless it is a whole number from 1 to 1000 market seconds a wall second."""
    if isinstance(speed, bool) or not isinstance(speed, int) or not MIN_SPEED <= speed <= MAX_SPEED:
        raise BadInput(f"speed {speed!r} must be a whole number from {MIN_SPEED} to {MAX_SPEED}")
    return speed


class Pace:
    """Maps market time to wall time; used by one thread, while another may set `speed`.

    A delay of up to a second (a busy machine) is made good. A longer one (a suspended computer, a stopped debugger)
    shifts the market instead: a simulated market loses nothing by waiting, a burst of old bars would be unreal.
    """

    def __init__(self, waiter: Waiter, speed: int) -> None:
        self._waiter = waiter
        self.speed = checked_speed(speed)
        self._anchor_speed = self.speed
        self._anchor_wall_s: float | None = None
        self._anchor_market_ms = 0.0

    def seconds_until(self, due_ms: int, now_ms: int) -> float:
        """Wall seconds to wait before the event at market time ``due_ms`` may be shown; 0 when it is due.

        Parameters
        ----------
        due_ms : int
            Market time of the next event, ms.
        now_ms : int
            Market time of the last event, ms; where the pace starts from.
        """
        wall_s = self._waiter.monotonic()
        if self._anchor_wall_s is None:
            self._anchor(wall_s, now_ms)
        elif self.speed != self._anchor_speed:
            self._anchor(wall_s, min(self._market_ms(wall_s), due_ms))
        ahead_s = (due_ms - self._market_ms(wall_s)) / 1000 / self._anchor_speed
        if ahead_s < -_MAX_LAG_S:
            self._anchor(wall_s, due_ms)
        return max(0.0, ahead_s)

    def _market_ms(self, wall_s: float) -> float:
        started = wall_s if self._anchor_wall_s is None else self._anchor_wall_s
        return self._anchor_market_ms + (wall_s - started) * 1000 * self._anchor_speed

    def _anchor(self, wall_s: float, market_ms: float) -> None:
        self._anchor_wall_s, self._anchor_market_ms, self._anchor_speed = wall_s, market_ms, self.speed
