"""How late the engine's steps are while research keeps the machine busy. ``python -m benchmarks.loop_delay``.

A host runs in this process with the demo book, as the console's does. A step's delay counts from the instant its close
is due on the market's own schedule until it has been carried out and journaled. First the machine is left alone; then
backtests (kernel and replay in turn) and a study with workers run as the console's own jobs, without a pause.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from benchmarks.markets import Series, made, recorded
from benchmarks.measuring import Spread, parser, tell
from config.settings import load
from engine.domain.commands import Actor, Role
from engine.domain.market import Bars, MarketEvent, Timeframe
from engine.domain.views import JobState
from engine.runtime.book_thread import BookThread
from engine.runtime.console import Console
from engine.runtime.host import Host
from engine.runtime.starting import RunningBook
from engine.simulation import demo_source
from engine.simulation.pacing import Pace
from engine.storage.candles import ImportRecord

SETTLE_S = 5.0
LOOK_EVERY_S = 0.5
SHIFT_S = 1.0
"""A market this late is not caught up with: its schedule begins anew (`engine.simulation.pacing.Pace`)."""
MADE_BARS = 70_000
STUDY_TRIALS = 5_000
_ACTIVE = (JobState.QUEUED, JobState.RUNNING)


@dataclass
class Stopwatch:
    """Instants of the monotonic clock, in seconds: when each close was due, and what became of it."""

    due: dict[int, float] = field(default_factory=dict)
    begun: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    lasted: list[float] = field(default_factory=list)

    def forget(self) -> None:
        """Begin another phase."""
        self.begun, self.ended, self.lasted = [], [], []

    def figures(self) -> dict[str, Spread]:
        """Delays in milliseconds."""
        parts = {"begin after due": self.begun, "end after due": self.ended, "step itself": self.lasted}
        return {name: Spread.of(values, 1000) for name, values in parts.items()}


@contextmanager
def watched(watch: Stopwatch) -> Iterator[None]:
    """While it lasts, the demo market's pace and the engine's loop tell the stopwatch."""

    class TellingPace(Pace):
        def seconds_until(self, due_ms: int, now_ms: int) -> float:
            wait_s = super().seconds_until(due_ms, now_ms)
            if wait_s > 0 or due_ms not in watch.due:
                watch.due[due_ms] = self._schedule(due_ms, wait_s)
            return wait_s

        def _schedule(self, due_ms: int, wait_s: float) -> float:
            now = time.monotonic()
            if wait_s == 0 and watch.due:  # overdue when first asked about: as long after the last as it should be
                last_ms = next(reversed(watch.due))
                due = watch.due[last_ms] + (due_ms - last_ms) / 1000 / self.speed
                return due if now - due <= SHIFT_S else now
            return now + wait_s

    def take(thread: BookThread, book: RunningBook, event: MarketEvent) -> None:
        begun = time.monotonic()
        carry_out(thread, book, event)
        ended = time.monotonic()
        due = watch.due.get(int(event.at.timestamp() * 1000)) if isinstance(event, Bars) else None
        if due is not None:
            watch.begun.append(begun - due)
            watch.ended.append(ended - due)
            watch.lasted.append(ended - begun)

    carry_out, pace = BookThread._take, demo_source.Pace
    BookThread._take, demo_source.Pace = take, TellingPace  # type: ignore[method-assign, misc]
    try:
        yield
    finally:
        BookThread._take, demo_source.Pace = carry_out, pace  # type: ignore[method-assign, misc]


@contextmanager
def running_host(folder: Path, speed: int) -> Iterator[Console]:
    """A started host, as the person who may do everything sees it; its jobs end with it."""
    environment = {"QUARTERDECK_DATA_DIR": str(folder), "QUARTERDECK_DEMO__SPEED": str(speed)}
    host = Host(load(environment), log_to_stderr=False)
    host.start()
    try:
        yield Console(host.services, lambda: Actor("bench", Role.ADMIN, "console"))
    finally:
        host.services.jobs.close(stop_jobs=True)
        host.stop()


def store(console: Console, series: Series) -> dict[str, Any]:
    """Put candles into the store; the part of a request that names them."""
    names = []
    for instrument, candles in series.items():
        console._services.candles.merge(
            instrument, candles, ImportRecord("bench", "0" * 64, len(candles), 0, datetime.now(UTC))
        )
        names.append((instrument.key, str(candles.timeframe)))
    return {"strategy": "momentum", "series": names, "cash": "100000", "costs": "default", "brake": "off"}


@dataclass
class Load:
    """Work that goes on until it is told to stop: backtests one after the other, and one study beside them."""

    console: Console
    request: dict[str, Any]
    workers: int
    stop: threading.Event = field(default_factory=threading.Event)
    done: dict[str, int] = field(default_factory=lambda: {"kernel": 0, "replay": 0})
    failed: list[str] = field(default_factory=list)

    def run(self) -> None:
        study = {**self.request, "trials": STUDY_TRIALS, "workers": self.workers, "study": "bench"}
        self.console.start_study("bench-study", study)
        for number in count():
            engine = ("kernel", "replay")[number % 2]
            job_id = f"bench-{number}"
            self.console.start_backtest(job_id, {**self.request, "engine": engine})
            if not self._wait_for(job_id):
                break
            self.done[engine] += 1
        self.console.cancel_job("bench-study")
        self.console.cancel_job(job_id)

    def _wait_for(self, job_id: str) -> bool:
        """False when it is time to stop."""
        while not self.stop.wait(LOOK_EVERY_S):
            jobs = {job.job_id: job for job in self.console.jobs()}
            ended = [job for job in (jobs["bench-study"], jobs[job_id]) if job.state not in _ACTIVE]
            self.failed += [f"{job.title}: {job.detail}" for job in ended if job.state is JobState.FAILED]
            if self.failed:
                return False
            if jobs[job_id].state not in _ACTIVE:
                return True
        return False

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """The work runs while the block does."""
        thread = threading.Thread(target=self.run, name="load")
        thread.start()
        try:
            yield
        finally:
            self.stop.set()
            thread.join()


def measure(folder: Path, speed: int, seconds: float, workers: int) -> dict[str, Any]:
    """Delays idle (half of it before, half after) and busy, and how many times as long the busy ones are."""
    watch, idle = Stopwatch(), Stopwatch()
    series = recorded(("BTC",)) or made(1, MADE_BARS, Timeframe(3600))
    with watched(watch), running_host(folder, speed) as console:
        research = Load(console, store(console, series), workers)
        others = [_measured(watch, idle, seconds / 2)]
        with research.going_on():
            busy = Stopwatch()
            _measured(watch, busy, seconds)
        others.append(_measured(watch, idle, seconds / 2))
    figures: dict[str, Any] = {"unit": "ms", "market seconds a wall second": speed, "study workers": workers}
    quiet, full = idle.figures(), busy.figures()
    for name in quiet:
        figures |= {f"{name}, idle": quiet[name], f"{name}, busy": full[name]}
        figures[f"{name}, busy to idle"] = {
            "p50": _ratio(full[name].p50, quiet[name].p50), "p99": _ratio(full[name].p99, quiet[name].p99),
        }  # fmt: skip
    figures["cores in use while idle"] = {"before": others[0], "after": others[1]}
    figures["backtests ended"] = research.done
    return figures | ({"failed": "; ".join(research.failed)} if research.failed else {})


def _measured(watch: Stopwatch, into: Stopwatch, seconds: float) -> float:
    """Let things settle, then collect for so long; cores that were in use meanwhile, whoever used them."""
    time.sleep(SETTLE_S)
    watch.forget()
    psutil.cpu_percent()
    time.sleep(seconds)
    used = psutil.cpu_percent() / 100 * (psutil.cpu_count() or 1)
    into.begun += watch.begun
    into.ended += watch.ended
    into.lasted += watch.lasted
    return round(used, 2)


def _ratio(busy: float, idle: float) -> float | None:
    return round(busy / idle, 2) if idle else None


def main() -> None:
    """Measure and tell."""
    options = parser(__doc__)
    options.add_argument("--speed", type=int, default=600, help="market seconds a wall second (default 600)")
    options.add_argument("--seconds", type=float, default=30.0, help="length of each of the two phases (default 30)")
    options.add_argument("--workers", type=int, default=2, help="processes of the study (default 2)")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="quarterdeck-bench-") as name:
        figures = measure(Path(name) / "data", given.speed, given.seconds, given.workers)
    tell("loop delay", figures, as_json=given.json)


if __name__ == "__main__":
    main()
