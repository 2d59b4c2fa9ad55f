"""Random faults for as long as one likes, then nothing is lost or doubled; the exchange judges."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from engine.domain.commands import ClosePosition
from engine.domain.orders import Purpose, Side
from engine.exchanges.connected.lanes import Lane
from tests.faults.connected import FOUR, D, Rig, rig
from tests.standin.client import StandIn

SOAK_S = float(os.environ.get("QUARTERDECK_SOAK_S", "120"))
"""Wall seconds; the episode under way then is still finished."""
SEED = int(os.environ.get("QUARTERDECK_SOAK_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)

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
        patience_s = dict.fromkeys(Lane, 30.0)  # a busy machine is no fault
        with rig(exchange, market, folder, patience_s=patience_s, may_idle=True) as book:
            episode = Episode(book, seed)
            episode.run()
            book.settle()
            book.settle()
            assert book.uncovered() < D("0.001"), f"{book.uncovered()} without a stop: {book.titles()}"
    except (AssertionError, Exception) as error:
        script = "\n  ".join(episode.script if episode is not None else ())
        raise AssertionError(f"seed {seed} at {market}: {type(error).__name__}: {error}\n  {script}") from error


@pytest.mark.timeout(SOAK_S + 300)
def test_random_faults_for_a_while_then_nothing_is_lost_or_doubled(exchange: StandIn, tmp_path: Path) -> None:
    print(f"seed {SEED}; again with QUARTERDECK_SOAK_SEED={SEED}, longer with QUARTERDECK_SOAK_S=1800")
    deadline = time.monotonic() + SOAK_S
    seed = SEED
    while time.monotonic() < deadline:
        soak(exchange, tmp_path, seed)
        seed += 1
    print(f"{seed - SEED} episodes passed")
