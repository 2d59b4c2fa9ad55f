"""``status``: what the running engine publishes about itself."""

from __future__ import annotations

import argparse
import time
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.domain.errors import EngineError, NotRunning
from engine.runtime.cli.folder import data_folder, running_engine
from engine.runtime.cli.output import say, say_json, say_table, tell
from engine.runtime.clock import SystemClock
from engine.runtime.status import read_status

STALE_AFTER_S = 15.0
_PUBLISHES_WITHIN_S = 10.0
_LOOK_EVERY_S = 0.1
_HEADS = {
    "entry_price": "entry, quote",
    "mark": "mark, quote",
    "unrealised": "unrealised, {currency}",
    "stop_price": "stop, quote",
    "target_price": "target, quote",
}
"""What stands above a column of positions, where it is not its name."""


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
    return max(0.0, (SystemClock().now() - datetime.fromisoformat(status["published_at"])).total_seconds())


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
    for name, why in status.get("absent", {}).items():
        say(f"\nbook {name} does not run: {why}")
    for book in status["books"].values():
        _say_book(book)


def _say_book(book: dict[str, Any]) -> None:
    mark = " SIMULATED" if book["simulated"] else ""
    reason = f" ({book['state_reason']})" if book["state_reason"] else ""
    say(f"\nbook {book['book']}{mark}: {book['state']}{reason}, market time {book['market_time']}")
    money = {name: _money(book[name]) for name in ("equity", "cash", "realised", "unrealised", "fees")}
    known = book["drawdown"] is not None
    drawdown = f"{Decimal(book['drawdown']) * 100:.2f} %" if known else "unknown until the first prices"
    say(f"  equity {money['equity']} {book['currency']}, cash {money['cash']}, realised {money['realised']}, "
        f"unrealised {money['unrealised']}, fees {money['fees']}, drawdown {drawdown}")  # fmt: skip
    say(f"  {book['open_orders']} open orders, {book['fills']} fills, journal row {book['sequence']}")
    if book["positions"]:
        columns = (
            "instrument", "strategy", "quantity", "entry_price", "mark", "unrealised", "stop_price", "target_price",
        )  # fmt: skip
        heads = tuple(_HEADS.get(name, name).format(currency=book["currency"]) for name in columns)
        say_table(heads, [[_cell(name, position[name]) for name in columns] for position in book["positions"]])
    for venue in book["venues"]:
        for words in (*venue["unreadable"], *venue["set_aside"]):
            say(f"  {venue['venue']}: {words}")
    if book["stop"]:
        flat = "VERIFIED FLAT" if book["stop"]["flat"] else f"waiting for {book['stop']['waiting_for']}"
        say(f"  stop by {book['stop']['actor']}: {book['stop']['reason']}; {flat}")


def _money(text: str | None) -> str:
    """An amount of money for people, to the hundredth; ``--json`` has it exactly."""
    return "unknown" if text is None else f"{round(Decimal(text), 2) + 0:.2f}"


def _cell(name: str, value: str | None) -> str | Decimal | None:
    """A cell of the table of positions; an average price gets the digits its size deserves."""
    if value is None or name in ("instrument", "strategy"):
        return value
    if name == "unrealised":
        return Decimal(_money(value))
    number = Decimal(value)
    return number if name != "entry_price" else round(number, 2 if number >= 100 else 4 if number >= 1 else 8)
