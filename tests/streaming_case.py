"""A connected venue with its streams and its watch, over the real libraries to the stand-in exchange."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from connected_case import Case, connected, quiet, until

from engine.domain.market import from_ms, to_ms
from engine.domain.orders import Fill, OrderUpdate
from engine.exchanges.connected.connection import StreamPlan
from engine.exchanges.connected.dialects import VenueRow
from engine.exchanges.connected.listing import read_listed
from engine.exchanges.connected.quotes import QuoteFeed
from engine.exchanges.connected.streams import Streams, StreamSetup
from engine.exchanges.connected.watch import Watch
from engine.exchanges.connected.watch_setup import WatchCalls, WatchPlan, WatchSetup
from engine.runtime.clock import SystemClock
from tests.standin.client import StandIn

QUICK = StreamPlan(settle_s=0.1, keep_alive_s=0.2, silent_s=1.0, first_wait_s=0.05, longest_wait_s=0.2, leave_s=2)
SELDOM = WatchPlan(orders_s=3600, money_s=3600, beat_s=0.02)
"""A watch that looks at the beginning, and then only where it has a reason to."""
OFTEN = WatchPlan(orders_s=0.5, money_s=0.5, deaf_s=0.3, beat_s=0.02)


class Streaming:
    """The parts of a venue that streams, and everything that was told of it."""

    def __init__(self, case: Case, plan: WatchPlan) -> None:
        self.case = case
        self.clock = SystemClock()
        self.told: list[Any] = []
        self.gaps: list[str] = []
        self.asked = 0
        listed = read_listed(case.row, case.line.load_markets(), [i.symbol for i in case.venue.instruments()])
        self.feed = QuoteFeed(listed, lambda: from_ms(to_ms(self.clock.now())))
        setup = StreamSetup(case.row, case.line, self._opened, plan=QUICK)
        self.streams = Streams(setup, case.venue, self.clock, self.feed)
        watched = WatchSetup(case.row, case.line, listed, self.streams, case.venue.hear, plan=plan)
        self.watch = Watch(watched, self.clock, WatchCalls(gap=self.gaps.append, asked=self._was_asked))

    def _opened(self, _keyed: bool) -> Any:
        return self.case.exchange.stream_client(self.case.where, self.case._kind)

    def _was_asked(self) -> None:
        self.asked += 1

    def start(self) -> None:
        """Connect, and wait until the venue is fresh."""
        self.streams.start()
        self.watch.start()
        until(lambda: self.watch.view.is_fresh)

    def close(self) -> None:
        """End the threads."""
        self.watch.close()
        self.streams.close()

    def hear(self) -> list[Any]:
        """Everything told so far, oldest first."""
        self.told += self.case.venue.observe(quiet())
        return self.told

    def fills(self) -> list[str]:
        """Client ids of the executions told so far; each as often as it was told."""
        return [each.client_id for each in self.hear() if isinstance(each, Fill)]

    def trade_ids(self) -> set[str]:
        """Numbers of the executions told so far."""
        return {each.trade_id for each in self.hear() if isinstance(each, Fill)}

    def last(self, client_id: str) -> OrderUpdate:
        """The last word on an order."""
        updates = [each for each in self.hear() if isinstance(each, OrderUpdate) and each.client_id == client_id]
        return updates[-1]


@contextmanager
def streaming(
    exchange: StandIn, row: VenueRow, symbols: tuple[str, ...], folder: Path, plan: WatchPlan = SELDOM
) -> Iterator[Streaming]:
    """A streaming venue for the length of the block."""
    with connected(exchange, row, symbols, folder) as case:
        made = Streaming(case, plan)
        try:
            made.start()
            yield made
        finally:
            made.close()
