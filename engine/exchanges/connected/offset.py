"""How far an exchange's clock is from ours: the sample with the shortest way there and back is the surest."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

KEEP = 8
JUMP_S = 2.0
"""Wall time that parts from monotonic time by more has jumped: older samples are worth nothing."""


@dataclass(frozen=True, slots=True)
class OffsetSample:
    """Their clock less ours (ms), at most ``bound_ms`` wrong, taken at these two times of ours (s)."""

    offset_ms: int
    bound_ms: int
    wall_s: float
    monotonic_s: float


class ClockOffset:
    """The offset of one venue's clock, from the latest samples."""

    def __init__(self) -> None:
        self._samples: list[OffsetSample] = []
        self._is_refused = False
        self._lock = Lock()

    def add(self, sample: OffsetSample) -> None:
        """Take a new sample; those before a jump of our own clock are dropped."""
        with self._lock:
            self._drop_before_jump(sample.wall_s, sample.monotonic_s)
            self._samples = [*self._samples[-(KEEP - 1) :], sample]
            self._is_refused = False

    def forget(self) -> None:
        """The exchange refused a time built on these samples."""
        with self._lock:
            self._is_refused = self._is_refused or bool(self._samples)
            self._samples.clear()

    def has_jumped(self, wall_s: float, monotonic_s: float) -> bool:
        """Whether our clock was set, or the computer slept, since the last sample; all samples are dropped then.

        True once, too, after the exchange refused a time: whoever asks measures anew.
        """
        with self._lock:
            was_refused, self._is_refused = self._is_refused, False
            return self._drop_before_jump(wall_s, monotonic_s) or was_refused

    def _drop_before_jump(self, wall_s: float, monotonic_s: float) -> bool:
        if not self._samples:
            return False
        last = self._samples[-1]
        if abs((wall_s - last.wall_s) - (monotonic_s - last.monotonic_s)) <= JUMP_S:
            return False
        self._samples.clear()
        return True

    @property
    def best(self) -> OffsetSample | None:
        """The sample with the smallest bound; None before the first."""
        with self._lock:
            return min(self._samples, key=lambda sample: sample.bound_ms, default=None)
