"""Memory over a simulated month of the demo book. ``python -m benchmarks.memory``.

The demo's own book with its journal, venues, observations and telemetry, driven on one thread by a waiter that jumps,
so that a month takes minutes. Resident memory is read once a simulated day; a line through the days after the first
few says whether it grows.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.measuring import parser, tell
from config.settings import Settings, load
from engine.domain.market import Bars, FeedStatus
from engine.runtime.build import build_demo, installation_id
from engine.runtime.clock import SystemClock
from engine.runtime.observing import Observations
from engine.runtime.starting import Parts, RunningBook, refill
from engine.simulation.demo_source import DemoSource
from engine.storage.chain import load_or_create_key
from engine.storage.migrate import migrate
from engine.storage.money import MoneyStore
from engine.storage.rows import Decision, EquitySample
from engine.storage.telemetry import TelemetryStore
from engine.trading.report import report

DAY_BARS = 1440
HOUR_BARS = 60
SETTLED_AFTER_DAYS = 5
MEGABYTE = 2**20


@dataclass(slots=True)
class JumpingWaiter:
    """Time passes when somebody waits for it."""

    seconds: float = 0.0

    def monotonic(self) -> float:
        """Seconds waited for so far."""
        return self.seconds

    def wait(self, seconds: float) -> None:
        """Jump."""
        self.seconds += seconds

    def wake(self) -> None:
        """Nobody sleeps."""


@dataclass(slots=True)
class Month:
    """The demo book of one folder, and what is read from it."""

    folder: Path
    settings: Settings
    days_mb: list[float] = field(default_factory=list)
    fills: int = 0

    def run(self, days: int) -> float:
        """Trade for so many market days; wall seconds it took."""
        clock = SystemClock()
        observations = Observations(clock)
        migrate(self.folder)
        key = load_or_create_key(self.folder / "keys" / "journal.key")
        store = MoneyStore(self.settings.money_file, key, SystemClock())
        telemetry = TelemetryStore(self.folder / "telemetry.sqlite")
        installation = installation_id(self.folder)
        epoch = store.acquire_lease(installation)
        parts = Parts(
            settings=self.settings,
            clock=clock,
            epoch=epoch,
            installation=installation,
            journal_of=lambda book: store.journal(book, epoch),
            observe=observations.observer,
            wait=lambda seconds: None,
        )
        running = build_demo(parts, self.settings.demo)
        started = time.perf_counter()
        try:
            self._drive(running, observations, telemetry, days * DAY_BARS)
        finally:
            running.close()
            running.release()
            telemetry.close()
            store.close()
        return time.perf_counter() - started

    def _drive(self, running: RunningBook, observations: Observations, telemetry: TelemetryStore, bars: int) -> None:
        source = DemoSource(self.settings.demo.seed, 1000, self.folder / "venues", JumpingWaiter())
        running.source = source
        process, done = psutil.Process(), 0
        for event in source.events():
            if isinstance(event, FeedStatus) and event.online:
                refill(running, event.at)
            running.loop.step(event)
            running.loop.protect()
            running.stop.drive()
            running.loop.maybe_checkpoint()
            if not isinstance(event, Bars):
                continue
            done += 1
            if done % HOUR_BARS == 0:
                self._look(running, observations, telemetry)
            if done % DAY_BARS == 0:
                self.days_mb.append(process.memory_info().rss / MEGABYTE)
            if done >= bars:
                source.close()
        self.fills = running.loop.book.ledger.fills

    def _look(self, running: RunningBook, observations: Observations, telemetry: TelemetryStore) -> None:
        """What the host does every second: store what was observed, publish a snapshot."""
        observed = observations.drain()
        telemetry.equity.add([item for item in observed if isinstance(item, EquitySample)])
        telemetry.log_decisions([item for item in observed if isinstance(item, Decision)])
        report(running.loop.book, (), observations.clock.now(), running.loop.sequence)


def main() -> None:
    """Measure and tell."""
    options = parser(__doc__)
    options.add_argument("--days", type=int, default=30, help="simulated days (default 30)")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="quarterdeck-bench-") as name:
        month = Month(Path(name), load(environment={}, changes={"data_dir": name}).settings)
        seconds = month.run(given.days)
    days = month.days_mb
    settled = days[SETTLED_AFTER_DAYS:] if len(days) > 2 * SETTLED_AFTER_DAYS else days
    slope = float(np.polyfit(np.arange(len(settled)), settled, 1)[0]) if len(settled) > 1 else 0.0
    figures: dict[str, Any] = {
        "unit": "MB resident",
        "simulated days": len(days),
        "fills": month.fills,
        "wall seconds": round(seconds, 1),
        "after day 1": round(days[0], 1),
        "at the end": round(days[-1], 1),
        "most": round(max(days), 1),
        f"growth a day after day {SETTLED_AFTER_DAYS}": round(slope, 3),
        "day by day": [round(day, 1) for day in days],
    }
    tell("memory over a simulated month", figures, as_json=given.json)


if __name__ == "__main__":
    main()
