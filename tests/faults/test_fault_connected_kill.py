"""A crash between any two lines of the order path, and random faults for as long as one likes; the exchange judges."""

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
from engine.domain.orders import Purpose, Side
from engine.exchanges.connected.lanes import Lane
from tests.faults.connected import FOUR, THREE, D, Killed, Market, Rig, rig
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
SOAK_S = float(os.environ.get("QUARTERDECK_SOAK_S", "10"))
SEED = int(os.environ.get("QUARTERDECK_SOAK_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
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


# -- random faults ----------------------------------------------------------------------------------------------------

FAULTS = (
    ("ack_lost", "create"), ("reset_before", "create"), ("reset_after", "create"), ("html", "create"),
    ("cut_body", "create"), ("garbage", "create"), ("error_after", "create"), ("error_before", "create"),
    ("ack_lost", "cancel"), ("reset_before", "cancel"), ("error_after", "cancel"), ("fill_before_cancel", "cancel"),
    ("ack_lost", "amend"), ("error_before", "amend"), ("reset_after", "amend"), ("error_before", "status"),
    ("error_before", "orders"), ("empty_list", "orders"), ("stale", "orders"), ("stale", "status"),
    ("empty_list", "fills"), ("error_before", "fills"), ("reset_after", "fills"), ("empty_list", "balance"),
    ("error_before", "balance"), ("empty_list", "positions"), ("garbage", "positions"), ("html", "orders"),
    ("cut_body", "fills"), ("empty_list", "history"),
)  # fmt: skip


class Episode:
    """One book under random faults; `script` tells what was done to it."""

    def __init__(self, book: Rig, seed: int) -> None:
        self.book = book
        self.dice = random.Random(seed)
        self.script: list[str] = []

    def run(self, steps: int = 16) -> None:
        """So many steps."""
        acts = (
            self.plant, self.plant, self.plant, self.buy, self.rest, self.cancel, self.close, self.bar, self.bar,
            self.wait, self.by_hand, self.crash,
        )  # fmt: skip
        for _ in range(steps):
            self.dice.choice(acts)()

    def _note(self, what: str) -> None:
        self.script.append(what)

    def plant(self) -> None:
        kind, where = self.dice.choice(FAULTS)
        count = self.dice.choice((1, 1, 2, 4))
        self._note(f"fault {kind} {where} x{count}")
        self.book.exchange.fault(kind, where, count=count, venue=self.book.market.where)

    def buy(self) -> None:
        side = self.dice.choice((Side.BUY, Side.BUY, Side.SELL)) if self.book.market.is_perpetual else Side.BUY
        self._note(f"{side.value} 0.01")
        self.book.place(side, "0.01")

    def rest(self) -> None:
        price = self.book.price * D(self.dice.choice(("0.985", "0.998")))
        self._note(f"buy 0.01 at {price.quantize(D(1))}")
        self.book.place(Side.BUY, "0.01", price.quantize(D(1)))

    def cancel(self) -> None:
        working = [
            order.intent.client_id
            for order in self.book.book.tracker.open_orders()
            if not order.state.is_final and order.intent.purpose is not Purpose.STOP
        ]
        if working:
            client_id = self.dice.choice(working)
            self._note(f"cancel {client_id}")
            self.book.cancel(client_id)

    def close(self) -> None:
        sleeve = self.dice.choice(("momentum", "manual"))
        if self.book.held(sleeve):
            share = self.dice.choice(("0.5", "1"))
            self._note(f"close {share} of {sleeve}")
            self.book.command(ClosePosition("live", sleeve, self.book.key, D(share)))

    def bar(self) -> None:
        conviction = self.dice.choice((0.0, 0.5, 1.0))
        price = (self.book.price * D(self.dice.choice(("0.97", "0.99", "1", "1.01", "1.02")))).quantize(D(1))
        self._note(f"bar {price}, conviction {conviction}")
        self.book.want(conviction, "1000")
        self.book.bar(price)

    def wait(self) -> None:
        seconds = self.dice.choice((2.0, 10.0, 35.0))
        self._note(f"wait {seconds}")
        self.book.live(seconds, 5.0)

    def by_hand(self) -> None:
        self._note("buy 0.003 by hand at the exchange")
        self.book.exchange.call("order", venue=self.book.market.where, symbol="BTCUSDT", side="buy", quantity="0.003",
                                perpetual=self.book.market.is_perpetual)  # fmt: skip

    def crash(self) -> None:
        self._note("crash")
        self.book.exchange.clear()
        self.book.crash()


def soak(exchange: StandIn, folder: Path, seed: int) -> None:
    """One episode; an error tells the seed and what was done."""
    market = random.Random(seed).choice(FOUR)
    episode: Episode | None = None
    try:
        with rig(exchange, market, folder, patience_s=dict.fromkeys(Lane, 30.0)) as book:  # a busy machine is no fault
            episode = Episode(book, seed)
            episode.run()
            book.settle()
            book.settle()
            assert book.uncovered() < D("0.001"), f"{book.uncovered()} without a stop: {book.titles()}"
    except (AssertionError, Exception) as error:
        script = "\n  ".join(episode.script if episode is not None else ())
        raise AssertionError(f"seed {seed} at {market}: {type(error).__name__}: {error}\n  {script}") from error


def test_random_faults_for_a_while_then_nothing_is_lost_or_doubled(exchange: StandIn, tmp_path: Path) -> None:
    print(f"seed {SEED}; again with QUARTERDECK_SOAK_SEED={SEED}, longer with QUARTERDECK_SOAK_S=1800")
    deadline = time.monotonic() + SOAK_S
    seed = SEED
    while time.monotonic() < deadline:
        soak(exchange, tmp_path, seed)
        seed += 1
