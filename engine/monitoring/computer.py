"""Reads this computer and this process; what the system does not tell is None with the reason."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil

MB = 2**20
GB = 2**30
FIRST = "the first sample only starts the measurement"
_SHORTEST_S = 0.2
"""Processor clocks tick in hundredths: a shorter interval would be noise."""


class Reading(NamedTuple):
    """A value, or None and why."""

    value: float | None
    note: str = ""


@dataclass(slots=True)
class HostProcessor:
    """Processor use of the computer in percent of all cores, between two calls."""

    _before: tuple[float, float] | None = None

    def read(self) -> Reading:
        """None on the first call."""
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        # Guest time is part of user time already.
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        before, now = self._before, (idle, total)
        if before is not None and total - before[1] < _SHORTEST_S:
            return Reading(None, "too soon after the last sample")
        self._before = now
        if before is None:
            return Reading(None, FIRST)
        busy = 1 - (idle - before[0]) / (total - before[1])
        return Reading(100 * min(1.0, max(0.0, busy)), f"{psutil.cpu_count() or 1} cores")


@dataclass(slots=True)
class OwnProcessor:
    """Processor use of this process in percent of all cores, between two calls."""

    _process: psutil.Process = field(default_factory=psutil.Process)
    _before: tuple[float, float] | None = None

    def read(self, tick_s: float) -> Reading:
        """None on the first call; ``tick_s`` seconds that never go back."""
        times = self._process.cpu_times()
        used, before = times.user + times.system, self._before
        if before is not None and tick_s - before[0] < _SHORTEST_S:
            return Reading(None, "too soon after the last sample")
        self._before = (tick_s, used)
        if before is None:
            return Reading(None, FIRST)
        cores = psutil.cpu_count() or 1
        return Reading(100 * max(0.0, used - before[1]) / (tick_s - before[0]) / cores, f"of {cores} cores")


def host_memory() -> Reading:
    """Memory in use, percent."""
    memory = psutil.virtual_memory()
    return Reading(float(memory.percent), f"{memory.available / GB:.1f} of {memory.total / GB:.1f} GB available")


def own_memory() -> Reading:
    """Resident memory of this process, MB."""
    return Reading(psutil.Process(os.getpid()).memory_info().rss / MB)


def disk_used(folder: Path) -> Reading:
    """Use of the file system that holds a folder, percent of what an ordinary user may fill."""
    try:
        disk = psutil.disk_usage(str(folder))
    except OSError as error:
        return Reading(None, f"the disk of {folder.name} cannot be read: {error.strerror}")
    return Reading(float(disk.percent), f"{disk.free / GB:.1f} of {disk.total / GB:.1f} GB free")


def disk_free(folder: Path) -> Reading:
    """Space left there, GB."""
    try:
        disk = psutil.disk_usage(str(folder))
    except OSError as error:
        return Reading(None, f"the disk of {folder.name} cannot be read: {error.strerror}")
    return Reading(disk.free / GB, f"{disk.free} bytes")
