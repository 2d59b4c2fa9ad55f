"""A market source read on a thread of its own, so that who takes its events can do something else between two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, Full, Queue
from threading import Event

from engine.domain.market import MarketEvent

_ROOM = 256


def pumped(
    events: Callable[[], Iterator[MarketEvent]], closed: Event, every_s: float, name: str
) -> Iterator[MarketEvent | None]:
    """The events as they come, and None where none came for ``every_s`` seconds; ends where they end.

    What reading the events raises is raised here.

    Parameters
    ----------
    events : callable
        Begins the events; called on the thread.
    closed : threading.Event
        Set to end before they do.
    every_s : float
    name : str
        Of the thread.
    """
    queue: Queue[MarketEvent] = Queue(_ROOM)
    pool = ThreadPoolExecutor(1, thread_name_prefix=name)
    filling = pool.submit(_fill, events, queue, closed)
    pool.shutdown(wait=False)
    while not closed.is_set():
        try:
            yield queue.get(timeout=min(every_s, 0.1) if filling.done() else every_s)
        except Empty:
            if filling.done() and queue.empty():
                filling.result()
                return
            yield None


def _fill(events: Callable[[], Iterator[MarketEvent]], queue: Queue[MarketEvent], closed: Event) -> None:
    for event in events():
        while not closed.is_set():
            try:
                queue.put(event, timeout=0.5)
            except Full:
                continue
            break
        else:
            return
