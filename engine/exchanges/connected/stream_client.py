"""A ccxt.pro client as the engine lets it work: it tells each event on its own, keeps none, asks nothing by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol

from engine.exchanges.connected.asking import Asks
from engine.exchanges.connected.lanes import Lane


class StreamLine(Asks, Protocol):
    """The line to the exchange, as far as streams need it."""

    def give_markets(self, client: Any) -> None:
        """Let a client know the markets as last loaded."""


class Told:
    """Stands where ccxt keeps what its streams told, and passes each event on instead.

    ccxt's own cache folds later events of an order into earlier ones and gives only the newest rows back; with this in
    its place no event is folded into another and none is missed, however many come at once.

    Parameters
    ----------
    hear : callable
        Gets every row as ccxt parsed it.
    """

    def __init__(self, hear: Callable[[Mapping[str, Any]], None]) -> None:
        self._hear = hear
        self.hashmap: dict[str, Any] = {}

    def append(self, row: Mapping[str, Any]) -> None:
        """Pass a row on."""
        self._hear(row)

    def getLimit(self, _symbol: str | None, limit: int | None) -> int | None:  # noqa: N802
        """As ccxt's caches; nothing is kept, so nothing is limited."""
        return limit

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Manners:
    """How a stream client behaves: its ccxt options, seconds between pings, and the lane its questions take."""

    options: Mapping[str, Any]
    keep_alive_s: float
    lane: Lane


def tame(client: Any, line: StreamLine, manners: Manners, pool: Executor) -> Any:
    """Make a fresh ccxt.pro client the engine's: markets shared, time corrected, its own questions sent by the line.

    What a stream asks by REST (listen keys, tokens) so obeys limits, bans and nonces like every other question.

    Parameters
    ----------
    client : ccxt.pro client
    line : StreamLine
    manners : Manners
    pool : Executor
        Waits for the line's answers, so that the event loop does not.
    """
    client.enableRateLimit = False
    client.options = {**client.options, **deepcopy(dict(manners.options))}
    client.streaming = {**client.streaming, "keepAlive": round(manners.keep_alive_s * 1000)}
    clock = client.milliseconds
    client.milliseconds = lambda: clock() + line.offset_ms
    client.fetch2 = _through(line, manners.lane, pool)
    line.give_markets(client)
    return client


def _through(line: StreamLine, lane: Lane, pool: Executor) -> Callable[..., Any]:
    async def asked(*arguments: Any, **more: Any) -> Any:
        def question(client: Any) -> Any:
            return client.fetch2(*arguments, **more)

        return await asyncio.get_running_loop().run_in_executor(pool, line.ask, lane, question)

    return asked
