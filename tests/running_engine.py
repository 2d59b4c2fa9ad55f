"""A real engine on the simulated market in a folder of its own, fast and busy, for tests of the threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import venue_judge

from config.settings import Settings, load
from engine.domain.commands import Actor, Command, CommandBody, CommandStatus, Receipt, Role
from engine.domain.portfolio import BookSnapshot
from engine.runtime.supervisor import Supervisor
from engine.storage.money_reader import MoneyReader

VENUES = ("demo-a", "demo-b")
BUSY: dict[str, Any] = {
    "demo.speed": 1000,
    "demo.deployed": "0.9",
    "risk.brake_drawdown": "0.40",
    "risk.daily_loss": "0.50",
    "risk.strategy_drawdown": "1",
    "risk.portfolio_drawdown": "1",
    "demo.strategy_settings.momentum.fast_ema_bars": 2,
    "demo.strategy_settings.momentum.slow_ema_bars": 4,
    "demo.strategy_settings.momentum.entry_gap_atr": 0.05,
    "demo.strategy_settings.momentum.exit_gap_atr": 0.0,
    "demo.strategy_settings.momentum.higher_timeframe_factor": 2,
    "demo.strategy_settings.momentum.higher_timeframe_bars": 2,
    "demo.strategy_settings.momentum.max_hold_bars": 5,
    "demo.strategy_settings.momentum.volume_window_bars": 5,
    "demo.strategy_settings.momentum.stop_atr_multiple": 2.0,
    "demo.strategy_settings.breakout.channel_bars": 5,
    "demo.strategy_settings.breakout.exit_channel_bars": 3,
    "demo.strategy_settings.breakout.entry_buffer_atr": 0.0,
    "demo.strategy_settings.breakout.volatility_window_bars": 30,
    "demo.strategy_settings.breakout.max_hold_bars": 6,
    "demo.strategy_settings.breakout.stop_atr_multiple": 2.0,
}
"""Strategies so quick that every market minute has orders in flight."""


def settings_for(folder: Path, **changes: Any) -> Settings:
    """Effective settings of a busy engine; dots of a name are written as two underscores."""
    named = {name.replace("__", "."): value for name, value in changes.items()}
    return load(environment={}, changes={**BUSY, "data_dir": str(folder), **named}).settings


@contextmanager
def running(folder: Path, **changes: Any) -> Iterator[Supervisor]:
    """An engine that is stopped at the end, whatever happens."""
    supervisor = Supervisor(settings_for(folder, **changes))
    supervisor.start()
    try:
        yield supervisor
    finally:
        supervisor.stop()


def until(condition: Callable[[], object], what: str, timeout_s: float = 25.0) -> None:
    """Return as soon as the condition holds; fail with ``what`` was waited for once the time is over."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.005)


def demo(supervisor: Supervisor) -> BookSnapshot:
    """The demo book now."""
    return supervisor.snapshot().book("demo")


def order(supervisor: Supervisor, body: CommandBody, command_id: str, wake: bool = True) -> None:
    """Put a command into the control file, as the console does."""
    assert supervisor.control is not None
    actor = Actor("jo", Role.ADMIN, "test")
    supervisor.control.submit(Command(command_id, actor, supervisor.clock.now(), "test", body))
    if wake and supervisor.thread is not None:
        supervisor.thread.wake()


def receipt(supervisor: Supervisor, command_id: str) -> Receipt:
    """What became of a command, once the engine has answered."""
    control = supervisor.control
    assert control is not None
    found: list[Receipt] = []

    def answered() -> bool:
        answer = control.receipt(command_id)
        found[:] = [answer] if answer is not None else []
        return answer is not None and answer.status is not CommandStatus.PENDING

    until(answered, f"an answer to {command_id}")
    return found[0]


def stop_is_flat(supervisor: Supervisor) -> bool:
    stop = demo(supervisor).stop
    return stop is not None and stop.flat


def wait_for_trades(supervisor: Supervisor, fills: int = 5) -> None:
    until(lambda: demo(supervisor).fills >= fills and demo(supervisor).positions, f"{fills} fills and a position")


def judge_says(folder: Path) -> list[str]:
    """Every difference between the books of a stopped engine and its venues' own journals."""
    reader = MoneyReader(folder / "money.sqlite")
    try:
        mine = list(reader.fills_for_digest("demo"))
    finally:
        reader.close()
    found = []
    for venue in VENUES:
        verdict = venue_judge.judge(folder / "venues" / f"{venue}.jsonl")
        found += verdict.problems
        booked = sorted(fill.trade_id for fill in mine if fill.venue == venue)
        theirs = sorted(fill.trade_id for fill in verdict.fills)
        if booked != theirs:
            found.append(f"{venue}: booked {len(booked)} fills, the venue made {len(theirs)}")
    return found


def open_at_the_venues(folder: Path) -> list[str]:
    """Open orders and derivative positions by the venues' own journals."""
    found = []
    for venue in VENUES:
        verdict = venue_judge.judge(folder / "venues" / f"{venue}.jsonl")
        found += [each.client_id for each in verdict.open_orders]
        found += [key for key, (quantity, _) in verdict.positions.items() if quantity]
    return found
