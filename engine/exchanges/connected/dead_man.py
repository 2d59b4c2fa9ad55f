"""The dead-man's switch: the exchange cancels orders when the engine is no longer heard.

It cancels every order of the account, protective stops too. A position without its stop is worse than an entry that
fills late, so the switch is set only while nothing but the engine's own entries rests there, and taken back before
anything else is placed. Where it cannot be taken back with proof it is never set: Bybit's acts when a connection is
lost, has no way back and is for institutions alone; Binance, KuCoin and Coinbase have none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Lock, Thread
from typing import Any, TypeVar

from engine.domain.conditions import VenueCondition
from engine.domain.errors import VenueError, VenueUnreachable
from engine.domain.orders import OrderIntent, Purpose
from engine.exchanges.connected.asking import Asks
from engine.exchanges.connected.dialects import Parameters, VenueRow
from engine.exchanges.connected.lanes import Lane
from engine.exchanges.connected.reading import Report
from engine.exchanges.connected.registry import Lookup
from engine.exchanges.connected.stream_rows import STREAM_ROWS

T = TypeVar("T")
EXIT_WAIT_S = 1.0
"""How long an exit or a stop waits for the switch to be taken back: it acts a minute after the last heartbeat, and is
taken back meanwhile, or at the next one."""
TIMEOUT_S = 60
"""Seconds without a heartbeat after which the exchange cancels; Kraken's own advice for a beat every 15 s."""


class DeadMan:
    """The switch of one venue.

    Parameters
    ----------
    row : VenueRow
    line : Asks
    lookup : callable
        The intent behind an engine's id, None for orders of others; from any thread.
    """

    def __init__(self, row: VenueRow, line: Asks, lookup: Lookup) -> None:
        self._ways: tuple[Parameters, ...] = row.dialect.dead_man
        self._line = line
        self._lookup = lookup
        self._is_set = False
        self._mark = 0
        self._lock = Lock()

    @staticmethod
    def exists(row: VenueRow) -> bool:
        """Whether the venue has a switch that can be taken back."""
        return bool(row.dialect.dead_man) and STREAM_ROWS[row.name].switch_can_be_withdrawn

    @property
    def is_set(self) -> bool:
        """Whether the exchange would cancel by itself, as far as known."""
        return self._is_set

    @property
    def mark(self) -> int:
        """Changes whenever something else than an entry is about to be sent; taken before the orders are asked for."""
        return self._mark

    def beat(self, orders: Iterable[Report], mark: int) -> None:
        """Set, renew or take back the switch for what rests at the exchange now.

        Parameters
        ----------
        orders : iterable of Report
            Every open order.
        mark : int
            `mark` from before they were asked for; where it has changed since, the switch is taken back.

        Raises
        ------
        VenueError
            It was not heard; the switch counts as set.
        """
        purposes = [self._purpose(report) for report in orders]
        with self._lock:
            if mark == self._mark and purposes and all(purpose is Purpose.ENTRY for purpose in purposes):
                self._is_set = True  # from the first byte on: an answer may be lost
                self._call(TIMEOUT_S)
            else:
                self._take_back()

    def stand_down(self) -> None:
        """Take the switch back, because something else than an entry is about to be sent.

        Raises `VenueError` where that was not heard, or not within `EXIT_WAIT_S`; it counts as set then, and the
        attempt goes on.
        """
        self._mark += 1
        if not self._is_set and not self._lock.locked():
            return
        failed: list[VenueError] = []
        attempt = Thread(target=self._withdraw, args=(failed,), name="dead-man", daemon=True)
        attempt.start()
        attempt.join(EXIT_WAIT_S)
        if failed:
            raise failed[0]
        if attempt.is_alive():
            raise VenueUnreachable(f"the dead-man's switch could not be taken back within {EXIT_WAIT_S:g} s")

    def _withdraw(self, failed: list[VenueError]) -> None:
        with self._lock:
            try:
                self._take_back()
            except VenueError as error:
                failed.append(error)

    def _take_back(self) -> None:
        if self._is_set:
            self._call(0)
            self._is_set = False

    def _purpose(self, report: Report) -> Purpose | None:
        intent: OrderIntent | None = self._lookup(report.client_id) if report.client_id else None
        return None if intent is None else intent.purpose

    def _call(self, timeout_s: int) -> None:
        for way in self._ways:
            self._line.ask(Lane.STATUS, _bound(timeout_s * 1000, way))


class GuardedLine:
    """A line that takes the switch back before anything but an entry is sent.

    Parameters
    ----------
    line : Asks
    switch : DeadMan
    """

    def __init__(self, line: Asks, switch: DeadMan) -> None:
        self._line = line
        self._switch = switch

    def ask(self, lane: Lane, question: Callable[[Any], T], weight: int = 1) -> T:
        """As the line."""
        return self._line.ask(lane, question, weight)

    def send(self, lane: Lane, call: Callable[[Any], T], weight: int = 1, late: Callable[[T], None] | None = None) -> T:
        """As the line; an exit or a stop that cannot have the switch taken back first is sent all the same."""
        if lane is not Lane.ENTRY:
            with suppress(VenueError):
                self._switch.stand_down()
        return self._line.send(lane, call, weight, late)

    @property
    def offset_ms(self) -> int:
        """As the line."""
        return self._line.offset_ms

    @property
    def condition(self) -> VenueCondition:
        """As the line."""
        return self._line.condition


def _bound(timeout_ms: int, way: Parameters) -> Callable[[Any], Any]:
    return lambda client: client.cancel_all_orders_after(timeout_ms, dict(way))
