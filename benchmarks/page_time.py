"""Server time of every page with a year of history, over the websocket. ``python -m benchmarks.page_time``.

A data folder is filled with a year (`benchmarks.year`; ``--folder`` keeps it for the next time), the console is
started on it, and a client signs in and runs each page again and again. A rerun counts from the request to the message
that the script has finished; drawing in a browser comes on top. The engine trades meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measuring import ROOT, Spread, parser, tell
from benchmarks.streamlit_client import Visitor
from benchmarks.year import Year, fill_folder

NAME, PASSWORD = "bench", "a long enough pass phrase 7"
READY_TIMEOUT_S = 90.0
PAGES = (
    *("overview", "positions", "strategies", "replay", "wallets", "exchanges", "risk"),
    *("tax", "data", "health", "alerts", "audit", "settings"),
)


def add_person(folder: Path) -> None:
    """The one who signs in; refused harmlessly where it is there from the last time."""
    arguments = [sys.executable, "-m", "engine", "users", "add", NAME, "--role", "admin", "--password-stdin"]
    env = {**os.environ, "QUARTERDECK_DATA_DIR": str(folder)}
    subprocess.run(arguments, cwd=ROOT, env=env, input=PASSWORD + "\n", text=True, capture_output=True, check=False)


@contextlib.contextmanager
def console(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The served console: its address and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    env = {**os.environ, "QUARTERDECK_DATA_DIR": str(folder), "QUARTERDECK_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", "console"],
        cwd=ROOT,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(address)
        yield address, psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)


def _wait_until_ready(address: str) -> None:
    end = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < end:
        if _is_ready(address):
            return
        time.sleep(0.2)
    raise RuntimeError(f"the console at {address} was not ready within {READY_TIMEOUT_S:.0f} s")


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/api/v1/health", timeout=2) as answer:
            return bool(json.load(answer).get("ready"))
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def measure(address: str, server: psutil.Process, reruns: int) -> dict[str, Any]:
    """First run and reruns of every page, and of the fragments that refresh by themselves; milliseconds.

    ``cpu`` is the processor time a rerun took in the server's process, the engine's own work of that time included:
    on a machine that others use it says more than the wall clock.
    """
    figures: dict[str, Any] = {}
    visitor = Visitor(address, NAME, PASSWORD)
    try:
        everything: list[float] = []
        for page in PAGES:
            first = visitor.open(page)
            before = _cpu_s(server)
            runs = [visitor.open(page) for _ in range(reruns)]
            cpu_ms = (_cpu_s(server) - before) / reruns * 1000
            seconds = [run.seconds for run in runs]
            everything += seconds
            row: dict[str, Any] = {"first": round(first.seconds * 1000, 1)}
            spread = Spread.of(seconds, 1000)
            row |= {"p50": spread.p50, "p95": spread.p95, "largest": spread.largest, "cpu": round(cpu_ms, 1)}
            row |= {"messages": runs[-1].messages, "kilobytes": round(runs[-1].bytes / 1024, 1)}
            fragments = list(dict.fromkeys(first.fragments or runs[-1].fragments))
            ticks = [visitor.refresh(page, each).seconds for each in fragments for _ in range(max(3, reruns // 4))]
            if ticks:
                row |= {"fragments": len(fragments), "fragment_p95": Spread.of(ticks, 1000).p95}
            if runs[-1].errors:
                row["told"] = sorted({error[:80] for error in runs[-1].errors})
            figures[page] = row
        figures["all pages"] = Spread.of(everything, 1000)
    finally:
        visitor.close()
    return figures


def _cpu_s(server: psutil.Process) -> float:
    times = server.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    """Measure and tell."""
    options = parser(__doc__)
    options.add_argument("--reruns", type=int, default=20, help="reruns of each page (default 20)")
    options.add_argument("--fills", type=int, default=20_000, help="fills in the year (default 20,000)")
    options.add_argument("--minutes", type=int, default=525_600, help="minutes of equity (default a year)")
    options.add_argument("--folder", type=Path, help="data folder to fill once and keep")
    given = options.parse_args()
    with contextlib.ExitStack() as stack:
        folder = given.folder
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quarterdeck-bench-"))) / "data"
        if not (folder / "money.sqlite").exists():
            fill_folder(folder, Year(given.fills, given.minutes))
            add_person(folder)
        address, server = stack.enter_context(console(folder.absolute()))
        figures = {"unit": "ms", "reruns": given.reruns, **measure(address, server, given.reruns)}
    tell("page time", figures, as_json=given.json)


if __name__ == "__main__":
    main()
