"""From the start of the process to READY, to the first fill, and back after a kill. ``python -m benchmarks.start_up``.

Three starts of ``python -m engine run`` in one new data folder: the first ever, one after a clean stop, and one after
``kill -9`` under load. The first fill is waited for at the first start only; how long it takes depends on the market.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measuring import ROOT, parser, tell

FIRST_FILL_TIMEOUT_S = 120.0
UNDER_LOAD_S = 5.0


@contextlib.contextmanager
def engine(folder: Path, speed: int) -> Iterator[tuple[subprocess.Popen[str], float, tuple[float, float]]]:
    """A running engine, when its process was started (monotonic seconds), and wall and processor seconds to READY."""
    env = {**os.environ, "QUARTERDECK_DATA_DIR": str(folder)}
    arguments = [sys.executable, "-m", "engine", "run", "--stage", "demo", "--speed", str(speed), "--seed", "7"]
    started = time.perf_counter()
    process = subprocess.Popen(
        arguments, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line.startswith("READY"):
            raise RuntimeError(f"the engine did not start: {line!r}")
        wall, used = time.perf_counter() - started, psutil.Process(process.pid).cpu_times()
        yield process, started, (wall, used.user + used.system)
    finally:
        process.kill()
        process.wait(timeout=20)
        process.stdout.close()


def first_fill_s(folder: Path, started: float) -> float | None:
    """Seconds from ``started`` until the first fill was durable; None where none came in time."""
    address = f"file:{folder / 'money.sqlite'}?mode=ro"
    while time.perf_counter() - started < FIRST_FILL_TIMEOUT_S:
        with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
            if connection.execute("SELECT count(*) FROM fills").fetchone()[0]:
                return time.perf_counter() - started
        time.sleep(0.02)
    return None


def one_round(speed: int) -> dict[str, float | None]:
    """A folder's first three starts, seconds."""
    with tempfile.TemporaryDirectory(prefix="quarterdeck-bench-") as name:
        folder = Path(name) / "data"
        with engine(folder, speed) as (process, started, first):
            fill = first_fill_s(folder, started)
            asked = time.perf_counter()
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
            stop = time.perf_counter() - asked
        with engine(folder, speed) as (process, _, again):
            time.sleep(UNDER_LOAD_S)
        with engine(folder, speed) as (_, _, after_kill):
            pass
    return {
        "first start to READY": first[0],
        "first start to READY, processor time": first[1],
        "first start to first fill": fill,
        "clean stop": stop,
        "start again to READY": again[0],
        "start after kill -9 to READY": after_kill[0],
        "start after kill -9 to READY, processor time": after_kill[1],
    }


def main() -> None:
    """Measure and tell."""
    options = parser(__doc__)
    options.add_argument("--speed", type=int, default=60, help="market seconds a wall second (default 60)")
    options.add_argument("--rounds", type=int, default=3, help="new data folders (default 3)")
    given = options.parse_args()
    rounds = [one_round(given.speed) for _ in range(given.rounds)]
    figures: dict[str, Any] = {"unit": "s", "speed": given.speed}
    for name in rounds[0]:
        values = sorted(value for each in rounds if (value := each[name]) is not None)
        middle = values[len(values) // 2] if values else 0.0
        figures[name] = {"median": round(middle, 2), "all": [round(value, 2) for value in values]}
    tell("start-up", figures, as_json=given.json)


if __name__ == "__main__":
    main()
