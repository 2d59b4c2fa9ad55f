"""``status``: what the running engine publishes about itself."""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.domain.errors import EngineError, NotRunning
from engine.runtime.cli.folder import data_folder, running_engine
from engine.runtime.cli.output import say, say_json, say_table, tell
from engine.runtime.status import read_status

STALE_AFTER_S = 15.0
_PUBLISHES_WITHIN_S = 10.0
_LOOK_EVERY_S = 0.1


def status(options: argparse.Namespace) -> int:
    """Print the published state; raises `NotRunning`."""
    folder = data_folder()
    try:
        found = published(folder)
    except NotRunning as error:
        if options.json:
            say_json({"running": False, "state": "NOT RUNNING", "detail": str(error)})
        raise
    age_s = age_of(found)
    if age_s > STALE_AFTER_S:
        tell(f"quarterdeck: this is {age_s:.0f} s old: the engine does not publish; see logs/engine.log in {folder}")
    if options.json:
        say_json({"running": True, "age_s": round(age_s, 3), **found})
    else:
        _say(found, age_s)
    return 0


def published(folder: Path) -> dict[str, Any]:
    """What the engine that runs now has published; waits for a new one to do so for the first time.

    Raises
    ------
    NotRunning
        No engine owns the folder.
    EngineError
        It published nothing.
    """
    deadline = time.monotonic() + _PUBLISHES_WITHIN_S
    while True:
        owner = running_engine(folder)
        found = _read(folder)
        if found is not None and found.get("pid") == owner.pid:
            return found
        if time.monotonic() >= deadline:
            raise EngineError(f"the engine (process {owner.pid}) has published nothing yet; see logs/engine.log")
        time.sleep(_LOOK_EVERY_S)


def age_of(status: dict[str, Any]) -> float:
    """Wall seconds since it was published."""
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(status["published_at"])).total_seconds())


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        return read_status(folder)
    except ValueError as error:
        raise EngineError(
            f"status.json in {folder} is damaged ({error}); the engine replaces it every second"
        ) from error


def _say(status: dict[str, Any], age_s: float) -> None:
    say(
        f"engine: process {status['pid']}, version {status['version']}, since {status['started_at']}, "
        f"{status['restarts']} restarts, as of {age_s:.1f} s ago"
    )
    for book in status["books"].values():
        _say_book(book)


def _say_book(book: dict[str, Any]) -> None:
    mark = " SIMULATED" if book["simulated"] else ""
    reason = f" ({book['state_reason']})" if book["state_reason"] else ""
    say(f"\nbook {book['book']}{mark}: {book['state']}{reason}, market time {book['market_time']}")
    say(f"  equity {book['equity']} {book['currency']}, cash {book['cash']}, realised {book['realised']}, "
        f"unrealised {book['unrealised']}, fees {book['fees']}, drawdown {book['drawdown']}")  # fmt: skip
    say(f"  {book['open_orders']} open orders, {book['fills']} fills, journal row {book['sequence']}")
    if book["positions"]:
        columns = ("instrument", "strategy", "quantity", "entry_price", "mark", "unrealised", "stop_price")
        say_table(columns, [[position[name] for name in columns] for position in book["positions"]])
    if book["stop"]:
        flat = "VERIFIED FLAT" if book["stop"]["flat"] else f"waiting for {book['stop']['waiting_for']}"
        say(f"  stop by {book['stop']['actor']}: {book['stop']['reason']}; {flat}")
