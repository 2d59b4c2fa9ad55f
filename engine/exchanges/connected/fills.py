"""Executions as the core takes them: fills under the ids of their orders, which the exchange may have to be asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from engine.domain.errors import VenueError
from engine.domain.orders import CashFlow, Fill, FundingPaid
from engine.domain.unread import UnreadRow
from engine.exchanges.connected.aside import Aside
from engine.exchanges.connected.executions import READ_S, Executions
from engine.exchanges.connected.fields import Unreadable
from engine.exchanges.connected.hearing import Hearing
from engine.exchanges.connected.legs import KeptOrder
from engine.exchanges.connected.reading import Trade
from engine.exchanges.connected.sweeps import Row, number_of

Told = Fill | FundingPaid | CashFlow


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read after a cursor and not told yet, oldest first, and the cursor after all of it.

    ``odd`` says of executions that nobody can tell whose they are, why.
    """

    after: str
    rows: deque[Row]
    following: str
    odd: list[tuple[Unreadable, UnreadRow]] = field(default_factory=list)


class Fills:
    """Tells what was executed at one venue; used by the engine's thread alone.

    Whose an execution is may cost a question. Where there are many of them, what was found out in time is told under
    the old cursor, and the next look goes on with the rest: what a restart reads again is known by its number. One
    whose order is answered with something that cannot be read holds up no other: all are read again, with what is new.

    Parameters
    ----------
    executions : Executions
    hearing : Hearing
    after : callable
        Called for every order of the engine's that has executed.
    monotonic : callable
        Seconds that never go back.
    aside : Aside, optional
        Rows that nothing waits for.
    """

    def __init__(
        self,
        executions: Executions,
        hearing: Hearing,
        after: Callable[[KeptOrder], None],
        monotonic: Callable[[], float],
        aside: Aside | None = None,
    ) -> None:
        self._executions = executions
        self._hearing = hearing
        self._after = after
        self._monotonic = monotonic
        self._read: _Read | None = None
        self._why = ""
        self._aside = aside or Aside()
        self._odd: tuple[UnreadRow, ...] = ()

    @property
    def unreadable(self) -> tuple[UnreadRow, ...]:
        """Rows that cannot be read, and those whose order cannot."""
        return (*self._executions.unreadable, *self._odd)

    @property
    def unread(self) -> str:
        """Why the last look did not tell everything, in words; "" where it did."""
        return self._why or self._executions.unread

    def since(self, cursor: str) -> tuple[Sequence[Told], str]:
        """What is after a cursor, oldest first, and the new one; raises as `Executions.since`."""
        if self._read is None or self._read.after != cursor:
            self._read, self._why = None, ""
            rows, following = self._executions.since(cursor)
            self._read = _Read(cursor, deque(rows), following)
        read = self._read
        told = self._tell(read)
        if read.rows:
            return told, cursor
        self._read, self._odd = None, tuple(row for _, row in read.odd)
        if read.odd and not told:
            raise read.odd[0][0]
        return told, cursor if read.odd else read.following

    def _tell(self, read: _Read) -> list[Told]:
        """As many rows as it can be found out in time whose they are; raises where that is not one."""
        told: list[Told] = []
        orders: dict[str, KeptOrder] = {}
        ends_s = self._monotonic() + READ_S
        while read.rows and (not (told or read.odd) or self._monotonic() < ends_s):
            row = read.rows[0]
            try:
                fills, touched = self._hearing.trades([row] if isinstance(row, Trade) else [])
            except Unreadable as error:
                self._pass_by(read, row, error)
                continue
            except VenueError as error:
                self._why = f"whose {len(read.rows)} executions are could not be asked: {error}"
                if not told:
                    raise
                break
            read.rows.popleft()
            told += fills if isinstance(row, Trade) else [row]
            orders |= {order.client_id: order for order in touched}
        else:
            self._why = f"it is still being asked whose {len(read.rows)} executions are" if read.rows else ""
            if read.odd and not read.rows:
                self._why = f"nobody can tell whose {len(read.odd)} executions are: {read.odd[0][0]}"
        for order in orders.values():
            self._after(order)
        return told

    def _pass_by(self, read: _Read, row: Row, error: Unreadable) -> None:
        """One whose order cannot be read holds up no other, and where it was set aside no cursor either."""
        read.rows.popleft()
        number, at = number_of(row), row.at
        if not self._aside.holds("", number):
            words = f"{error} (number {number}, {at.isoformat(timespec='seconds')})"
            read.odd.append((error, UnreadRow("", number, words, at, at)))
