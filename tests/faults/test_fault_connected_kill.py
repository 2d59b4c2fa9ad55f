"""A crash between any two lines of the order path; the exchange judges."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from engine.domain.commands import ClosePosition, TradingState
from tests.faults.connected import THREE, D, Killed, Market, Rig, rig
from tests.standin.client import StandIn

ROOT = Path(__file__).resolve().parents[2]
PATH = tuple(
    str(ROOT / "engine" / name)
    for name in (
        "trading/loop.py", "trading/sending.py", "trading/resolving.py", "exchanges/connected/venue.py",
        "exchanges/connected/ordering.py", "exchanges/connected/desk.py", "exchanges/connected/children.py",
        "exchanges/connected/legs.py", "exchanges/connected/line.py", "exchanges/connected/hearing.py",
    )
)  # fmt: skip
"""Where an order passes on the engine's thread."""
POINTS = int(os.environ.get("QUARTERDECK_KILL_POINTS", "4"))
"""Lines at which each market's run is killed beside those of `test_fault_kill_nine.py`; 0 is every line."""
SEED = int(os.environ.get("QUARTERDECK_KILL_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
Spot = tuple[str, int]


class Lines:
    """Counts the lines of the order path as they are reached, or kills at one of them."""

    def __init__(self, kill_at: Spot | None = None) -> None:
        self.seen: dict[Spot, int] = {}
        self._kill_at = kill_at

    def _line(self, frame: FrameType, event: str, _argument: Any) -> Callable[..., Any]:
        if event == "line":
            spot = (frame.f_code.co_filename, frame.f_lineno)
            self.seen[spot] = self.seen.get(spot, 0) + 1
            if spot == self._kill_at:
                raise Killed
        return self._line

    def _call(self, frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any] | None:
        return self._line if frame.f_code.co_filename in PATH else None

    def watch(self, work: Callable[[], None]) -> bool:
        """Run it; whether it was killed."""
        before = sys.gettrace()
        sys.settrace(self._call)
        try:
            work()
        except Killed:
            return True
        finally:
            sys.settrace(before)
        return False


def trade(book: Rig) -> None:
    """An entry with its stop, half of it closed, an order by hand placed, looked at and cancelled, the stop hit."""
    book.want(1.0)
    book.bar()
    book.live(15, 5.0)
    book.book.sleeves["momentum"].running = False
    book.command(ClosePosition("live", "momentum", book.key, D("0.5")))
    book.live(12, 6.0)
    book.cancel(book.buy("0.01", 49_500))
    book.live(12, 6.0)
    book.bar("45900")
    book.live(12, 6.0)


def survive(exchange: StandIn, market: Market, folder: Path, spot: Spot) -> None:
    with rig(exchange, market, folder) as book:
        was_killed = Lines(spot).watch(lambda: trade(book))
        started_s = time.process_time()  # of its own work: a busy machine is no fault
        found = book.crash() if was_killed else ()
        assert time.process_time() - started_s < 5, "a restart takes less than five seconds"
        assert found == (), f"{found}, killed at {spot}"
        book.settle()
        assert book.uncovered() < D("0.001"), f"{book.uncovered()} without a stop, killed at {spot}"
        assert book.book.state is TradingState.ACTIVE, book.titles()


@pytest.mark.parametrize("market", THREE, ids=str)
def test_fault_01_to_13_crash_at_any_line_of_the_order_path_then_the_books_are_the_exchanges(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    lines = Lines()
    with rig(exchange, market, tmp_path) as book:
        assert not lines.watch(lambda: trade(book))
    spots = sorted(lines.seen)
    assert len(spots) > 150
    chosen = random.Random(SEED).sample(spots, min(POINTS, len(spots)) or len(spots))
    for spot in chosen:
        try:
            survive(exchange, market, tmp_path, spot)
        except AssertionError as error:
            where = f"{Path(spot[0]).name}:{spot[1]}"
            raise AssertionError(f"killed at {where}, seed {SEED}: {error}") from error
