"""Websocket connections of the stand-in exchange, with the faults that befall them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from .faults import Faults

HOLD_S = 0.5
"""How long a message to be reordered waits for the one that overtakes it."""


@dataclass(eq=False)
class Connection:
    """One websocket: its topics, and what is still to be sent, in order."""

    socket: web.WebSocketResponse
    venue: str
    kind: str
    transport: asyncio.BaseTransport | None = None
    topics: set[str] = field(default_factory=set)
    private: bool = False
    memory: dict[str, Any] = field(default_factory=dict)
    outbox: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    async def pump(self) -> None:
        """Send what is in the outbox until the connection is gone."""
        while not self.socket.closed:
            message = await self.outbox.get()
            try:
                await self.socket.send_str(message)
            except (ConnectionError, RuntimeError):
                return


@dataclass
class Hub:
    """All connections; private messages pass through the faults on their way."""

    faults: Faults
    connections: set[Connection] = field(default_factory=set)
    opened: Counter[str] = field(default_factory=Counter)
    _held: list[tuple[Connection, str]] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def add(self, connection: Connection) -> asyncio.Task[None]:
        """A new connection, and the task that sends its messages."""
        self.connections.add(connection)
        self.opened[connection.venue] += 1
        return self.start(connection.pump())

    def of(self, venue: str, private: bool | None = None) -> list[Connection]:
        """Connections of a venue, all or only the signed-in ones."""
        return [each for each in self.connections if each.venue == venue and private in (None, each.private)]

    def send(self, connection: Connection, message: Any) -> None:
        """Put a message into the outbox, unless the socket is silent."""
        if self.faults.look(("stream_silent",), venue=connection.venue) is None:
            connection.outbox.put_nowait(json.dumps(message, separators=(",", ":")))

    def send_private(self, connection: Connection, message: Any) -> None:
        """A message about orders or money: lost, doubled or overtaken where a fault says so."""
        if self.faults.take(("stream_silent", "stream_lost"), venue=connection.venue) is not None:
            return
        line = json.dumps(message, separators=(",", ":"))
        if self.faults.take(("stream_reorder",), venue=connection.venue) is not None:
            self._hold(connection, line)
            return
        connection.outbox.put_nowait(line)
        if self.faults.take(("stream_duplicate",), venue=connection.venue) is not None:
            connection.outbox.put_nowait(line)
        self._release()

    async def drop(self, venue: str = "") -> int:
        """Cut the connections of a venue, or all, without a word; the number cut."""
        chosen = [each for each in self.connections if venue in ("", each.venue)]
        for each in chosen:
            if isinstance(each.transport, asyncio.WriteTransport):
                each.transport.abort()
        return len(chosen)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run in the background; held on to until done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _hold(self, connection: Connection, line: str) -> None:
        if not self._held:
            asyncio.get_running_loop().call_later(HOLD_S, self._release)
        self._held.append((connection, line))

    def _release(self) -> None:
        """What was held goes out, the last first."""
        held, self._held = self._held, []
        for connection, line in reversed(held):
            connection.outbox.put_nowait(line)
