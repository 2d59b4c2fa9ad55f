"""The websocket side of a venue: orders, executions and quotes by themselves, on a thread with its own event loop.

Nothing a stream tells is trusted beyond its own words, and nothing it does not tell is concluded. Whatever was missed
while it was away is asked for by `engine.exchanges.connected.watch`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from engine.domain.instruments import Kind
from engine.domain.market import from_ms, to_ms
from engine.domain.ports import Clock
from engine.exchanges.connected.connection import Connection, StreamCondition, StreamLost, StreamPlan
from engine.exchanges.connected.dialects import VenueRow
from engine.exchanges.connected.ears import Ears, Hears
from engine.exchanges.connected.lanes import Lane
from engine.exchanges.connected.quotes import QuoteFeed
from engine.exchanges.connected.reading import Reader
from engine.exchanges.connected.stream_client import Manners, StreamLine, Told, tame
from engine.exchanges.connected.stream_rows import STREAM_ROWS, StreamRow, Watched
from engine.exchanges.steady import Steady

TOPS_PER_SUBSCRIPTION = 10
"""Bybit takes no more in one subscription on spot; nobody minds fewer."""
CLOSING_S = 10.0


@dataclass(frozen=True, slots=True)
class StreamSetup:
    """What a venue's streams are made of.

    Attributes
    ----------
    row : VenueRow
    line : StreamLine
    open_client : callable
        Opens a ccxt.pro client (`engine.exchanges.client.open_stream_client`); its argument says whether with keys.
    name : str
        Venue name in instrument keys; "" is the row's.
    plan : StreamPlan
    """

    row: VenueRow
    line: StreamLine
    open_client: Callable[[bool], Any]
    name: str = ""
    plan: StreamPlan = field(default_factory=StreamPlan)


class Streams:
    """Runs a venue's streams from `start` to `close`.

    Parameters
    ----------
    setup : StreamSetup
    venue : Hears
        Gets orders and executions.
    clock : Clock
    feed : QuoteFeed or None
        Gets quotes; None listens to none.
    """

    def __init__(self, setup: StreamSetup, venue: Hears, clock: Clock, feed: QuoteFeed | None = None) -> None:
        self._setup = setup
        self._clock = clock
        self._feed = feed
        self._row: StreamRow = STREAM_ROWS[setup.row.name]
        self._changed: Callable[[StreamCondition], None] = lambda _condition: None
        self._doubt: Callable[[], None] = lambda: None
        reader = Reader(setup.name or setup.row.name, setup.row.dialect, lambda: from_ms(self._now_ms()))
        self._ears = Ears(self._row, reader, venue, lambda: self._doubt(), self._now_ms())
        self._private = self._connection(Lane.STATUS, self._watch_account, lambda told: self._changed(told))
        self._public = self._connection(Lane.DATA, self._watch_tops, lambda _told: None)
        self._pool = ThreadPoolExecutor(2, thread_name_prefix=f"{setup.row.name}-stream-asks")
        self._started, self._over = Event(), Event()
        self._steady = Steady(f"{setup.row.name}-streams", self._run, self._over)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None

    def listen(self, changed: Callable[[StreamCondition], None], doubt: Callable[[], None]) -> None:
        """Who is told of changes of the private stream and of doubts; on the stream's thread. Call before `start`."""
        self._changed, self._doubt = changed, doubt

    def start(self) -> None:
        """Connect, and stay connected."""
        self._steady.start()
        self._started.wait(CLOSING_S)

    def close(self) -> None:
        """End the connections and the thread."""
        self._over.set()
        if self._loop is not None and self._ending is not None:
            with suppress(RuntimeError):  # it has ended already
                self._loop.call_soon_threadsafe(self._ending.set)
        self._steady.join(CLOSING_S)
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def condition(self) -> StreamCondition:
        """The private stream as it is now."""
        return self._private.condition

    @property
    def quotes_condition(self) -> StreamCondition:
        """The stream of quotes as it is now."""
        return self._public.condition

    @property
    def tells_trades(self) -> bool:
        """Whether every execution is told while the private stream is up."""
        return self._row.tells_trades

    def has_heard(self, number: str) -> bool:
        """Whether the private stream told an execution; from any thread."""
        return self._ears.has_heard(number)

    def restart(self, reason: str) -> None:
        """Connect anew, because what is there cannot be trusted; from any thread."""
        self._private.restart(reason)
        self._public.restart(reason)

    def _now_ms(self) -> int:
        return to_ms(self._clock.now()) + self._setup.line.offset_ms

    # -- on the streams' thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        finally:
            self._started.set()
            for connection in (self._private, self._public):
                connection.end()

    async def _live(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(self._went_wrong)
        self._started.set()
        if self._over.is_set():
            return
        connections = [self._private] if self._feed is None else [self._private, self._public]
        keepers = [asyncio.create_task(connection.keep()) for connection in connections]
        ending = asyncio.create_task(self._ending.wait())
        try:
            await asyncio.wait([ending, *keepers], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (ending, *keepers):
                task.cancel()
            await asyncio.gather(ending, *keepers, return_exceptions=True)
        if not self._over.is_set():
            raise next((e for e in map(_error_of, keepers) if e is not None), StreamLost("ended by itself"))

    def _went_wrong(self, _loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        """A message that ccxt cannot take ends its reading without a word: the connection is not to be trusted."""
        if context.get("handle") is not None:
            self.restart("a message could not be read")

    def _connection(
        self,
        lane: Lane,
        watches: Callable[[Any], Sequence[Coroutine[Any, Any, None]]],
        changed: Callable[[StreamCondition], None],
    ) -> Connection:
        def opened() -> Any:
            setup = self._setup
            manners = Manners(setup.row.dialect.options, setup.plan.keep_alive_s, lane)
            return tame(setup.open_client(lane is not Lane.DATA), setup.line, manners, self._pool)

        return Connection(opened, watches, self._clock, self._setup.plan, changed)

    def _watch_account(self, client: Any) -> list[Coroutine[Any, Any, None]]:
        def order(row: Mapping[str, Any]) -> None:
            self._private.note_event()
            self._ears.order(client, row)

        def trade(row: Mapping[str, Any]) -> None:
            self._private.note_event()
            self._ears.trade(client, row)

        client.orders = client.triggerOrders = Told(order)
        client.myTrades = Told(trade)
        return [_endless(client, watched) for watched in self._row.private]

    def _watch_tops(self, client: Any) -> list[Coroutine[Any, Any, None]]:
        assert self._feed is not None
        groups: list[list[str]] = []
        for kind in Kind:
            symbols = [each.instrument.symbol for each in self._feed.listed if each.instrument.kind is kind]
            groups += [symbols[at : at + TOPS_PER_SUBSCRIPTION] for at in range(0, len(symbols), TOPS_PER_SUBSCRIPTION)]
        return [self._watch_group(client, group) for group in groups]

    async def _watch_group(self, client: Any, symbols: list[str]) -> None:
        assert self._feed is not None
        while True:
            answer = await getattr(client, self._row.tops)(symbols)
            held = getattr(client, self._row.held) if self._row.held else {}
            for ticker in [answer] if "symbol" in answer else answer.values():
                newest = held.get(ticker.get("symbol"), ticker)
                if self._feed.put(newest):
                    self._public.note_event()


async def _endless(client: Any, watched: Watched) -> None:
    while True:
        await getattr(client, watched.method)(None, None, None, dict(watched.parameters))


def _error_of(task: asyncio.Task[None]) -> BaseException | None:
    return None if task.cancelled() else task.exception()
