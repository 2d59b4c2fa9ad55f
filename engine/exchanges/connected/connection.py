"""One websocket client kept up: opened, watched for silence, closed when lost, opened again after a growing pause."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from random import SystemRandom
from typing import Any

from engine.domain.errors import QuarterdeckError, VenueError
from engine.domain.ports import Clock
from engine.exchanges.client import KeyRefused, VenueThrottled

Watches = Callable[[Any], Sequence[Coroutine[Any, Any, None]]]
_ASKING_LEAVE = ("authenticated", "authenticateFlight")


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """Patience of a stream, seconds.

    Attributes
    ----------
    settle_s : float
        How long a connection stands before it counts: then what it did not tell is asked for.
    keep_alive_s, silent_s : float
        Pause between two pings, and after how long without any message the connection is taken for dead.
    first_wait_s, longest_wait_s : float
        Pause before the second try to connect, and the longest one; each is twice the one before.
    steady_s : float
        A connection that stood so long starts the pauses anew.
    leave_s : float
        How long the exchange may take to let a new connection listen: its answer may be lost.
    """

    settle_s: float = 1.0
    keep_alive_s: float = 10.0
    silent_s: float = 30.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 60.0
    steady_s: float = 60.0
    leave_s: float = 20.0


@dataclass(frozen=True, slots=True)
class StreamCondition:
    """A stream as it is now.

    Attributes
    ----------
    is_up : bool
        Connected, subscribed and not silent.
    detail : str
        Why it is not, in words; "" while it is.
    since : datetime or None
        Wall time of the last change.
    last_event_at : datetime or None
        Wall time of the last event it told.
    connections : int
        How often it was up so far.
    is_wanted : bool
        False where there is none, by the settings.
    """

    is_up: bool = False
    detail: str = "not connected yet"
    since: datetime | None = None
    last_event_at: datetime | None = None
    connections: int = 0
    is_wanted: bool = True


class StreamLost(VenueError):
    """The connection is gone, or as good as."""


class Connection:
    """Keeps one ccxt.pro client connected, on the event loop that runs `keep`.

    Parameters
    ----------
    open_client : callable
        Opens a client, ready for use.
    watches : callable
        Makes the endless coroutines that watch a client.
    clock : Clock
    plan : StreamPlan
    changed : callable
        Called after every change of `condition`, on the event loop's thread.
    """

    def __init__(
        self,
        open_client: Callable[[], Any],
        watches: Watches,
        clock: Clock,
        plan: StreamPlan,
        changed: Callable[[StreamCondition], None],
    ) -> None:
        self._open = open_client
        self._watches = watches
        self._clock = clock
        self._plan = plan
        self._changed = changed
        self._jitter = SystemRandom()
        self._restart = ""
        self.condition = StreamCondition()

    def note_event(self) -> None:
        """An event was told."""
        self.condition = replace(self.condition, last_event_at=self._clock.now())

    def restart(self, reason: str) -> None:
        """Connect anew at once, because this connection is not to be trusted; from any thread."""
        self._restart = reason

    def end(self) -> None:
        """Nobody keeps it up any more."""
        self._set(False, "ended")

    async def keep(self) -> None:
        """Keep it up until cancelled."""
        failures = 0
        while True:
            error = await self._once()
            if self.condition.is_up and self._stood_s() >= self._plan.steady_s:
                failures = 0
            failures += 1
            self._set(False, _words(error))
            await asyncio.sleep(self._pause_s(failures, error))

    def _stood_s(self) -> float:
        since = self.condition.since
        return 0.0 if since is None else (self._clock.now() - since).total_seconds()

    def _pause_s(self, failures: int, error: BaseException | None) -> float:
        growing_s = self._plan.first_wait_s * 2.0 ** min(failures - 1, 20)
        wait_s = min(self._plan.longest_wait_s, growing_s)
        if isinstance(error, KeyRefused | importlib.import_module("ccxt").AuthenticationError):
            wait_s = self._plan.longest_wait_s
        wait_s *= 0.5 + self._jitter.random() / 2
        return max(wait_s, error.retry_after_s) if isinstance(error, VenueThrottled) else wait_s

    async def _once(self) -> BaseException | None:
        """One connection from its opening to its end; what ended it."""
        session = asyncio.create_task(self._session())
        try:
            await asyncio.wait([session])
        finally:
            if not session.done():
                session.cancel()
                await asyncio.wait([session])
        return None if session.cancelled() else session.exception()

    async def _session(self) -> None:
        self._restart = ""
        client = self._open()
        try:
            tasks = [asyncio.create_task(watch) for watch in [*self._watches(client), self._look_after(client)]]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            raise next((error for error in map(_error_of, tasks) if error is not None), StreamLost("closed"))
        finally:
            await client.close()

    async def _look_after(self, client: Any) -> None:
        """Tell when the connection is up, and end it when it is silent."""
        beat_s = min(self._plan.settle_s, 0.25)
        ready_s = waited_s = 0.0
        while True:
            await asyncio.sleep(beat_s)
            if self._restart:
                reason, self._restart = self._restart, ""
                raise StreamLost(reason)
            sockets = [each for each in client.clients.values() if each.connectionStarted]
            self._require_signs_of_life(sockets)
            ready_s = ready_s + beat_s if _is_subscribed(sockets) else 0.0
            waited_s += beat_s
            if not self.condition.is_up and ready_s >= self._plan.settle_s:
                self._set(True, "")
            elif not self.condition.is_up and waited_s > self._plan.leave_s:
                raise StreamLost(f"connected, but not let in within {self._plan.leave_s:g} s")

    def _require_signs_of_life(self, sockets: Sequence[Any]) -> None:
        if self.condition.is_up and not sockets:
            raise StreamLost("closed")
        now_ms = int(self._clock.now().timestamp() * 1000)
        for socket in sockets:
            last_ms = socket.last_message_at or socket.connectionEstablished or socket.connectionStarted
            silent_s = (now_ms - last_ms) / 1000
            if silent_s > self._plan.silent_s:
                raise StreamLost(f"connected, but silent for {silent_s:.0f} s")

    def _set(self, is_up: bool, detail: str) -> None:
        last = self.condition
        if last.is_up is is_up and last.detail == detail:
            return
        since = self._clock.now() if last.is_up is not is_up or last.since is None else last.since
        self.condition = replace(
            last, is_up=is_up, detail=detail, since=since, connections=last.connections + int(is_up)
        )
        self._changed(self.condition)


def _is_subscribed(sockets: Sequence[Any]) -> bool:
    """Whether every socket is connected and waits for events, and none for leave to."""
    waiting = {name for socket in sockets for name, future in list(socket.futures.items()) if not future.done()}
    asking = {name for name in waiting if name in _ASKING_LEAVE or name.isdigit()}
    return bool(sockets) and all(socket.isConnected for socket in sockets) and bool(waiting) and not asking


def _error_of(task: asyncio.Task[None]) -> BaseException | None:
    return None if task.cancelled() else task.exception()


def _words(error: BaseException | None) -> str:
    """What ended a connection, without addresses: they may hold tokens."""
    if error is None:
        return "closed"
    if isinstance(error, QuarterdeckError):
        return str(error)
    ccxt = importlib.import_module("ccxt")
    if isinstance(error, ccxt.AuthenticationError):
        return "the exchange does not accept the key for its stream"
    if isinstance(error, ccxt.RequestTimeout):
        return "connected, but silent"
    if isinstance(error, ccxt.NetworkError | OSError):
        return "the connection was lost"
    return f"the stream ended with {type(error).__name__}"
