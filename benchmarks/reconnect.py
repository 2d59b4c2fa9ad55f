"""From an exchange that answers again to trading again, in seconds. ``python -m benchmarks.reconnect``.

An engine in a process of its own (``python -m engine run --stage testnet``) at the stand-in exchange of the tests.
Trading again means that the exchange has accepted an order that opens something: small market orders are given by
command, one after the other, until one is. Why those before it were not carried out tells what was waited for; the
requests that the exchange saw tell what a start is made of.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measuring import ROOT, parser, tell
from engine.domain.commands import Actor, Command, CommandStatus, PlaceOrder, Role
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import OrderType, Side
from engine.runtime.clock import SystemClock
from engine.storage.chain import load_or_create_key
from engine.storage.control import ControlStore
from tests.connected_book import Engine as Folder
from tests.standin.client import StandIn, running

KEY = InstrumentKey("bybit:BTC/USDT:USDT")
SIZE = Decimal("0.001")
PATIENCE_S = 90.0
AWAY_S = 8.0
"""How long the exchange is away: long enough for the circuit breaker."""
SETTLED_S = 3.0


@dataclass
class Run:
    """What one return to trading took (seconds from its beginning), and why orders before it were not carried out."""

    accepted_s: float
    refused: dict[str, float] = field(default_factory=dict)
    marks: dict[str, float] = field(default_factory=dict)


class Trial:
    """One data folder at one exchange."""

    def __init__(self, exchange: StandIn, folder: Path) -> None:
        self.exchange, self.folder = exchange, folder
        self._count = 0
        self._prepare()
        self.control = ControlStore(
            folder / "control.sqlite", load_or_create_key(folder / "keys" / "journal.key"), SystemClock()
        )

    def _prepare(self) -> None:
        made = Folder(self.exchange, self.folder)
        made.connect()
        made.close()
        book = {"connections": ["bybit/main"], "symbols": [KEY.partition(":")[2]], "capital": "5000"}
        account = {
            "exchange": "bybit",
            "sandbox": True,
            "rest_url": self.exchange.rest_url("bybit"),
            "websocket_url": self.exchange.websocket_url("bybit"),
        }
        tables: dict[str, dict[str, object]] = {"testnet": {**book}, "venues.main": {**account}}
        lines = [
            line
            for name, values in tables.items()
            for line in (f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), "")
        ]
        (self.folder / "quarterdeck.toml").write_text("\n".join(lines), encoding="utf-8")

    @contextmanager
    def engine(self) -> Iterator[tuple[subprocess.Popen[str], dict[str, float]]]:
        """An engine that is READY, and when it was started and ready (monotonic seconds), with processor seconds."""
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "engine", "run", "--stage", "testnet"],
            cwd=ROOT,
            env={**os.environ, "QUARTERDECK_DATA_DIR": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line.startswith("READY"):
                raise RuntimeError(f"the engine did not start: {line!r}")
            ready = time.monotonic()
            used = psutil.Process(process.pid).cpu_times()
            yield process, {"started": started, "ready": ready, "processor": used.user + used.system}
        finally:
            process.kill()
            process.wait(timeout=20)
            process.stdout.close()

    def trade(self, begun: float) -> Run:
        """Give orders until one is accepted; ``begun`` is the monotonic second that counts as 0."""
        refused: dict[str, float] = {}
        while time.monotonic() - begun < PATIENCE_S:
            before = len(self._accepted())
            status, detail = self._order()
            if status is CommandStatus.DONE and len(self._accepted()) > before:
                return Run(time.monotonic() - begun, refused)
            refused[detail or status.value] = round(time.monotonic() - begun, 2)
        raise RuntimeError(f"not traded within {PATIENCE_S:.0f} s: {refused}")

    def _accepted(self) -> list[dict[str, Any]]:
        return [each for each in self.exchange.requests(venue="bybit", where="create") if each["status"] == 200]

    def _order(self) -> tuple[CommandStatus, str]:
        self._count += 1
        command_id, actor = f"r-{time.time_ns()}-{self._count}", Actor("bench", Role.ADMIN, "bench")
        body = PlaceOrder("testnet", KEY, Side.BUY, SIZE, OrderType.MARKET)
        self.control.submit(Command(command_id, actor, SystemClock().now(), "bench", body))
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            told = self.control.receipt(command_id)
            if told is not None and told.status is not CommandStatus.PENDING:
                return told.status, told.detail.partition(": ")[2] or told.detail
            time.sleep(0.01)
        raise RuntimeError("the engine does not answer")

    # -- what happens ----------------------------------------------------------------------------------------------

    def restart(self, number: int) -> Run:
        """Killed at work with a position and an order, then started again; 0 is the start of the process."""
        with self.engine() as (process, _):
            self.trade(time.monotonic())
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=20)
        asked, offset = len(self.exchange.requests(venue="bybit")), time.time() - time.monotonic()
        with self.engine() as (_, marks):
            run = self.trade(marks["started"])
        run.marks = {
            "READY": marks["ready"] - marks["started"],
            "processor time to READY": marks["processor"],
        }
        seen = self.exchange.requests(venue="bybit")[asked:]
        for name, where in (("first question", ""), ("first candles asked", "candles"), ("order sent", "create")):
            first = next((row for row in seen if where in ("", row["where"])), None)
            if first is not None:
                run.marks[name] = first["at"] / 1000 - offset - marks["started"]
        return run

    def while_running(self, disturb: Callable[[], float]) -> Run:
        """Disturbed while it trades; 0 is what ``disturb`` returns."""
        with self.engine() as _:
            self.trade(time.monotonic())
            time.sleep(SETTLED_S)
            return self.trade(disturb())

    def websockets(self, number: int) -> Run:
        """Every websocket is cut once; the exchange takes new ones at once."""

        def drop() -> float:
            self.exchange.call("drop", venue="bybit")
            return time.monotonic()

        return self.while_running(drop)

    def streams(self, number: int) -> Run:
        """The same, until the new websockets are signed in and stand."""
        with self.engine() as _:
            self.trade(time.monotonic())
            time.sleep(SETTLED_S)
            before = self._streams()
            self.exchange.call("drop", venue="bybit")
            begun = time.monotonic()
            while self._streams() < before:
                time.sleep(0.02)
                if time.monotonic() - begun > PATIENCE_S:
                    raise RuntimeError("the streams did not come back")
            return Run(time.monotonic() - begun)

    def _streams(self) -> int:
        state = self.exchange.call("state")
        return int(state["signed_in"].get("bybit", 0))

    def rest_away(self, number: int) -> Run:
        """Connections are reset for a while; 0 is when they are not any more."""

        def away() -> float:
            self.exchange.fault("reset_before", "any", count=100_000, venue="bybit")
            self.exchange.call("drop", venue="bybit")
            time.sleep(AWAY_S)
            self.exchange.clear()
            return time.monotonic()

        return self.while_running(away)

    def banned(self, number: int) -> Run:
        """Shut out for a while by an answer that says for how long; 0 is its end."""

        def ban() -> float:
            self.exchange.fault("ban", "any", count=1, venue="bybit", seconds=AWAY_S)
            deadline = time.monotonic() + PATIENCE_S
            while not [row for row in self.exchange.requests(venue="bybit")[-20:] if row["status"] in (403, 418, 429)]:
                time.sleep(0.01)
                if time.monotonic() > deadline:
                    raise RuntimeError("the ban was never met")
            told = time.monotonic()
            time.sleep(AWAY_S)
            return told + AWAY_S

        return self.while_running(ban)


def main() -> None:
    """Measure and tell."""
    options = parser(__doc__)
    options.add_argument("--runs", type=int, default=3, help="of each kind (default 3)")
    kinds = ("restart", "websockets", "streams", "rest_away", "banned")
    options.add_argument("--only", choices=kinds, action="append", help="one kind (may be repeated)")
    given = options.parse_args()
    figures: dict[str, Any] = {"unit": "s"}
    with tempfile.TemporaryDirectory(prefix="quarterdeck-bench-") as name:
        for kind in given.only or kinds:
            folder = Path(name) / kind
            folder.mkdir()
            with running(folder, funds="USDT=100000") as exchange, closing_trial(exchange, folder / "data") as trial:
                runs = [getattr(trial, kind)(number) for number in range(given.runs)]
            figures |= _figures(kind.replace("_", " "), runs)
    tell("reconnect", figures, as_json=given.json)


@contextmanager
def closing_trial(exchange: StandIn, folder: Path) -> Iterator[Trial]:
    """A trial for the length of the block."""
    trial = Trial(exchange, folder)
    with closing(trial.control), contextlib.suppress(KeyboardInterrupt):
        yield trial


def _figures(kind: str, runs: list[Run]) -> dict[str, Any]:
    took = [run.accepted_s for run in runs]
    told: dict[str, Any] = {f"{kind}: first entry accepted": _all(took)}
    for name in runs[0].marks:
        told[f"{kind}: {name}"] = _all([run.marks[name] for run in runs if name in run.marks])
    reasons = {reason: at for run in runs for reason, at in run.refused.items()}
    for reason, at in reasons.items():
        told[f"{kind}: refused until {at} s"] = reason
    return told


def _all(values: list[float]) -> dict[str, Any]:
    ordered = sorted(values)
    return {"median": round(ordered[len(ordered) // 2], 2), "all": [round(value, 2) for value in values]}


if __name__ == "__main__":
    main()
