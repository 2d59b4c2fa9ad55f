"""What books cost each other: steps of one, two and four busy demo books on threads of their own, in one process.

They share the interpreter, the processor and the disk, as the books of an engine do. Each writes a money file of its
own, because the simulated venues number their trades alike.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measuring import Spread, parser, tell
from config.settings import load
from engine.runtime.book_thread import BookThread, Surroundings
from engine.runtime.build import build_demo
from engine.runtime.clock import SystemClock
from engine.runtime.engine import EngineThread
from engine.runtime.lifeline import Lifeline
from engine.runtime.observing import Observations
from engine.runtime.starting import Parts, RunningBook
from engine.storage.chain import load_or_create_key
from engine.storage.control import ControlStore
from engine.storage.migrate import migrate
from engine.storage.money import MoneyStore

SETTLE_S = 4.0


def store_in(folder: Path) -> MoneyStore:
    """A money file of its own, with its lease."""
    migrate(folder)
    store = MoneyStore(folder / "money.sqlite", load_or_create_key(folder / "keys" / "journal.key"), SystemClock())
    store.acquire_lease("bench")
    return store


def builder(folder: Path, number: int, speed: int, store: MoneyStore) -> Callable[[Lifeline], RunningBook]:
    """What builds a demo book with venues and a market of its own."""
    changes = {"data_dir": str(folder), "demo.speed": speed, "demo.seed": number + 1}
    settings = load(environment={}, changes=changes).settings

    def build(lifeline: Lifeline) -> RunningBook:
        observe = Observations(lifeline.clock).observer
        journal_of = partial(store.journal, epoch=store.epoch)
        parts = Parts(settings, lifeline.clock, store.epoch, "bench", journal_of, observe, lifeline.wait)
        return build_demo(parts, settings.demo)

    return build


def measure(folder: Path, books: int, speed: int, seconds: float) -> Spread:
    """Step times of all books, milliseconds, once they have settled."""
    clock = SystemClock()
    folders = [folder / f"book{number}" for number in range(books)]
    stores = [store_in(each) for each in folders]
    control = ControlStore(
        folders[0] / "control.sqlite", load_or_create_key(folders[0] / "keys" / "journal.key"), clock
    )
    around = Surroundings(folders[0], control, Observations(clock), clock, 0.25, datetime.now(UTC))
    engine = EngineThread(stores[0], around, (), 0)
    for number, store in enumerate(stores):
        build = builder(folders[number], number, speed, store)
        engine.attach(BookThread(f"book{number}", build, around, engine))
    engine.start()
    try:
        for thread in engine.books:
            thread.ready.wait(60)
            if thread.failure is not None:
                raise thread.failure
        time.sleep(SETTLE_S)
        around.observations.forget_steps()
        time.sleep(seconds)
        return Spread.of(around.observations.steps(), 1000)
    finally:
        engine.end()
        engine.join(30)
        for store in stores:
            store.close()
        control.close()


def main() -> None:
    """Measure and tell."""
    options = parser(__doc__)
    options.add_argument("--speed", type=int, default=600, help="market seconds a wall second (default 600)")
    options.add_argument("--seconds", type=float, default=20.0, help="for each number of books (default 20)")
    given = options.parse_args()
    figures: dict[str, Any] = {"unit": "ms", "market seconds a wall second": given.speed}
    with tempfile.TemporaryDirectory(prefix="quarterdeck-bench-") as name:
        for books in (1, 2, 4):
            figures[f"step, {books} books"] = measure(Path(name) / str(books), books, given.speed, given.seconds)
    tell("book threads", figures, as_json=given.json)


if __name__ == "__main__":
    main()
