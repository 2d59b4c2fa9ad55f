"""Backtests beside their peers in one run: ``python benchmarks/backtest.py [--vectorbt PYTHON] [--nautilus PYTHON]``.

Each peer runs in a process of its own environment, which the options name by its interpreter (see
`requirements-peers.txt`); one that is not named or does not start is told as missing. Runs are interleaved: every tool
once, then every tool again; the median counts. Figures are told only after trades and final equity agree.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # run as a file, the folder of this one is there instead

from benchmarks import backtest_work as work  # noqa: E402
from benchmarks.measuring import parser, tell  # noqa: E402

OURS, LIMIT, REPLAY, NAUTILUS = "quarterdeck", "bare numba loop", "quarterdeck replay", "nautilus_trader"
VECTORBT = {"vectorbt (numba)": "numba", "vectorbt (rust)": "rust"}
WARM_BARS = 5000
ROUND_S = 0.1
"""A tool that takes milliseconds is run for so long in each round; every peer takes longer with one run."""

AGREES = 1e-6
"""Relative; tools add up in different orders, and nautilus_trader rounds money to 8 decimals."""


@dataclass(slots=True)
class Peer:
    """A process that runs a workload when asked; ``missing`` says why there is none."""

    command: list[str]
    missing: str = ""
    _process: subprocess.Popen[str] | None = field(default=None, init=False)

    def run(self, name: str) -> tuple[float, work.Outcome] | None:
        """Seconds and outcome of one run; None once it is missing."""
        if self.missing:
            return None
        if self._process is None:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(name + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.missing = (self._process.communicate()[1].strip().splitlines() or ["it ended without a word"])[-1]
            return None
        found = json.loads(answer)
        return found["seconds"], (found["trades"], found["final_equity"])

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def timed(run: Callable[[], work.Outcome]) -> tuple[float, work.Outcome]:
    """Wall seconds of a run and what it gave: the median of as many as fit into a tenth of a second, at least one."""
    seconds: list[float] = []
    while sum(seconds) < ROUND_S:
        started = perf_counter()
        outcome = run()
        seconds.append(perf_counter() - started)
    return statistics.median(seconds), outcome


def require_equal(workload: str, tool: str, outcome: work.Outcome, expected: work.Outcome) -> None:
    """Stop the benchmark where a tool did something else; such a figure would compare nothing."""
    trades, equity = outcome
    if trades != expected[0] or not math.isclose(equity, expected[1], rel_tol=AGREES):
        sys.exit(f"{workload}: {tool} made {trades} trades and {equity}, {OURS} {expected[0]} and {expected[1]}")


def row(bars: int, seconds: list[float], outcome: work.Outcome) -> dict[str, Any]:
    """The figures of a tool; the first run (compilation, caches) is told apart."""
    warm = seconds[1:] or seconds
    median = statistics.median(warm)
    return {
        "median_s": round(median, 6),
        "first_s": round(seconds[0], 3),
        "runs": len(warm),
        "bars_per_second": round(bars / median),
        "trades": outcome[0],
        "final_equity": round(outcome[1], 6),
    }


def measure(name: str, load: work.Workload, peers: Mapping[str, Peer], rounds: int) -> dict[str, Any]:
    """One workload in every tool, interleaved."""
    tools: dict[str, Callable[[], tuple[float, work.Outcome] | None]] = {
        OURS: partial(timed, load.ours),
        LIMIT: partial(timed, load.limit),
        **{tool: partial(peer.run, name) for tool, peer in peers.items()},
    }
    seconds: dict[str, list[float]] = {tool: [] for tool in tools}
    expected = load.ours()
    outcomes: dict[str, work.Outcome] = {}
    for _ in range(rounds + 1):
        for tool, run in tools.items():
            done = run()
            if done is not None:
                require_equal(name, tool, done[1], expected)
                seconds[tool].append(done[0])
                outcomes[tool] = done[1]
    figures: dict[str, Any] = {
        tool: row(load.bars, seconds[tool], outcomes[tool]) if seconds[tool] else {"missing": peers[tool].missing}
        for tool in tools
    }
    ours = figures[OURS]["median_s"]
    figures["ratios"] = {tool: round(figures[tool]["median_s"] / ours, 2) for tool in tools if seconds[tool]}
    return figures


def measure_events(sizes: work.Sizes, peer: Peer, rounds: int) -> dict[str, Any]:
    """The event-driven engines: bars a second of the replay and of nautilus_trader, each agreeing with the kernel.

    The first run of each (compilation, caches) is told apart; the replay's is a short one.
    """
    expected = work.by_lots(sizes.event_driven)
    first = work.replayed(min(sizes.replay, WARM_BARS))[2]
    replays: list[float] = []
    theirs: list[float] = []
    outcome = expected
    warm = peer.run("cross") or (0.0, expected)
    for _ in range(rounds):
        outcome, kernel, taken = work.replayed(sizes.replay)
        require_equal("replay", REPLAY, outcome, kernel)
        replays.append(taken)
        done = peer.run("cross")
        if done is not None:
            require_equal("cross, whole lots", NAUTILUS, done[1], expected)
            theirs.append(done[0])
    figures: dict[str, Any] = {REPLAY: {"bars": sizes.replay, **row(sizes.replay, [first, *replays], outcome)}}
    if not theirs:
        return {**figures, NAUTILUS: {"missing": peer.missing}}
    figures[NAUTILUS] = {"bars": sizes.event_driven, **row(sizes.event_driven, [warm[0], *theirs], expected)}
    ratio = figures[REPLAY]["bars_per_second"] / figures[NAUTILUS]["bars_per_second"]
    return {**figures, "ratios": {"replay to nautilus_trader, bars a second": round(ratio, 2)}}


def peers_of(given: Any, folder: Path) -> dict[str, Peer]:
    """Processes to be started, by tool."""
    here = Path(__file__).parent
    missing = "not run: --vectorbt names no interpreter" if not given.vectorbt else ""
    found = {
        tool: Peer([given.vectorbt, str(here / "peer_vectorbt.py"), str(folder), engine], missing)
        for tool, engine in VECTORBT.items()
    }
    missing = "not run: --nautilus names no interpreter" if not given.nautilus else ""
    found[NAUTILUS] = Peer([given.nautilus, str(here / "peer_nautilus_cross.py"), str(folder)], missing)
    for peer in found.values():
        if not peer.missing and not Path(peer.command[0]).is_file():
            peer.missing = f"no interpreter at {peer.command[0]}"
    return found


def main() -> None:
    """Measure and tell."""
    options = parser(__doc__)
    options.add_argument("--runs", type=int, default=5, help="runs that count, after one that does not (default 5)")
    options.add_argument("--vectorbt", default="", help="Python interpreter of an environment that has vectorbt")
    options.add_argument("--nautilus", default="", help="Python interpreter of an environment that has nautilus_trader")
    options.add_argument("--only", action="append", choices=("cross", "levels", "sweep", "portfolio", "events"))
    options.add_argument("--small", action="store_true", help="a hundredth of the bars, to see that it works")
    given = options.parse_args()
    sizes = work.Sizes(10_000, 1000, 2000, 5000, 3000) if given.small else work.Sizes()
    chosen = given.only or ["cross", "levels", "sweep", "portfolio", "events"]
    figures: dict[str, Any] = {"conventions": work.CONVENTIONS}
    with tempfile.TemporaryDirectory(prefix="quarterdeck-bench-") as name:
        work.write_inputs(Path(name), sizes)
        peers = peers_of(given, Path(name))
        nautilus = peers.pop(NAUTILUS)
        try:
            loads = work.workloads(sizes)
            for one in [one for one in loads if one in chosen]:
                figures[one] = measure(one, loads[one], peers, given.runs)
            if "events" in chosen:
                figures["events"] = measure_events(sizes, nautilus, given.runs)
        finally:
            for peer in (*peers.values(), nautilus):
                peer.close()
    tell("backtests beside their peers", figures, as_json=given.json)


if __name__ == "__main__":
    main()
