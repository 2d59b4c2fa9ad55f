"""What comes by itself, from streams and late answers, until the engine's own thread takes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Event, Lock
from typing import Any

from engine.domain.orders import Fill, FundingPaid, OrderUpdate
from engine.exchanges.connected.reading import Report, Trade

Message = OrderUpdate | Fill | FundingPaid


@dataclass(frozen=True, slots=True)
class HeardOrder:
    """An order as a stream told it, in ccxt's words."""

    answer: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HeardTrade:
    """An execution as a stream told it, in ccxt's words."""

    answer: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LateAnswer:
    """What the exchange said about an order after patience had ended."""

    exchange_id: str
    report: Report


News = Message | HeardOrder | HeardTrade | LateAnswer | Report | Trade


class Inbox:
    """A queue from any thread to one. Executions are never dropped, so it has no bound.

    Attributes
    ----------
    pending : threading.Event
        Set while something waits.
    """

    def __init__(self) -> None:
        self.pending = Event()
        self._news: deque[News] = deque()
        self._lock = Lock()

    def put(self, news: News) -> None:
        """Add something; from any thread."""
        with self._lock:
            self._news.append(news)
            self.pending.set()

    def drain(self) -> list[News]:
        """Take everything, oldest first."""
        with self._lock:
            news = list(self._news)
            self._news.clear()
            self.pending.clear()
        return news
