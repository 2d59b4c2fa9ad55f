"""Executions and funding after a cursor, read to the end: oldest first, each once, and an error is never an empty list.

The cursor is a JSON text: for each list that is read the time of its newest row (ms), the numbers of the rows shortly
before it, and where its beginning was (ms). The next look begins that much earlier, because exchanges show some
executions late. Every page is a question of its own. Where not all could be read, what was is told and the cursor
stands behind it; the rest, and every row that cannot be read, is asked for again at the next look. A row that was set
aside holds no cursor: it is asked for again by its time, now and then.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from engine.domain.errors import BadInput, VenueError, VenueUnreachable
from engine.domain.instruments import Kind
from engine.domain.market import from_ms, to_ms
from engine.domain.unread import UnreadRow
from engine.exchanges.connected.aside import Aside
from engine.exchanges.connected.asking import Parts
from engine.exchanges.connected.dialects import Flows, Funding, Paging, Trades
from engine.exchanges.connected.fields import Unreadable
from engine.exchanges.connected.paging import flow_pages, funding_page, trade_pages
from engine.exchanges.connected.sweeps import Mark, Row, Sweep, Wanted, is_number, number_of

__all__ = ["Executions", "Row", "number_of"]

_log = structlog.get_logger(__name__)
OVERLAP_MS = 20_000
FUNDING_OVERLAP_MS = 3_600_000
FLOW_OVERLAP_MS = 86_400_000
"""A deposit is listed from when it was seen, and counts from when it was confirmed: up to a day later."""
FLOW_EVERY_MS = 60_000
ASIDE_EVERY_MS = 300_000
"""How often one row that was set aside is asked for again."""
RECENT_MS = 20_000
"""Where there is no time for more, a list counts as read that was read as it stood so long ago: an exchange whose every
page takes seconds would be known at no time otherwise."""
READ_S = 4.0
"""Wall seconds after which a look begins no second page of a list: whoever asks has other things to do, too."""


class Executions:
    """Reads what was executed at one venue.

    Parameters
    ----------
    parts : Parts
    now_ms : callable
        The exchange's time, ms.
    history_ms : int
        How long ago the beginning is, which the cursor "" stands for.
    monotonic : callable
        Seconds that never go back.
    aside : Aside, optional
        Rows that nothing waits for.

    Attributes
    ----------
    unread : str
        Why the last look did not read everything, in words; "" where it did.
    """

    def __init__(
        self,
        parts: Parts,
        now_ms: Callable[[], int],
        history_ms: int = 86_400_000,
        monotonic: Callable[[], float] = time.monotonic,
        aside: Aside | None = None,
    ) -> None:
        self.unread = ""
        self._aside = aside or Aside()
        self._aside_due_ms = self._aside_turn = 0
        self._again: list[tuple[UnreadRow, Sweep]] = []
        self._parts = parts
        self._trades: Trades = parts.row.dialect.trades
        self._now_ms = now_ms
        self._history_ms = history_ms
        self._monotonic = monotonic
        self._flows_due_ms = 0
        self._sweeps: dict[str, Sweep] = {}
        self._odd: dict[str, tuple[UnreadRow, ...]] = {}
        self._first = ""

    @property
    def unreadable(self) -> tuple[UnreadRow, ...]:
        """Rows that cannot be read; what they are is not booked, and they are asked for again and again."""
        return tuple(row for name in sorted(self._odd) for row in self._odd[name])

    def since(self, cursor: str) -> tuple[list[Row], str]:
        """Rows after the cursor, oldest first, and the new cursor; `unread` says where that is not all.

        Raises
        ------
        BadInput
            The cursor is not one of this venue's.
        VenueUnreachable
            Nothing could be told, and not everything was read.
        """
        marks, now_ms, ends_s = self._read_cursor(cursor), self._now_ms(), self._monotonic() + READ_S
        rows: list[Row] = []
        left: dict[str, VenueError] = {}
        for wanted in self._in_turn(list(self._trade_lists())):
            try:
                self._read(wanted, marks, rows, (now_ms, ends_s))
            except Unreadable as error:
                left[wanted.name] = error
            except VenueError as error:  # it would not answer to the other lists either
                left[wanted.name] = error
                break
        if not left:
            self._read_payments(marks, rows, (now_ms, ends_s))
            self._look_at_aside(rows, (now_ms, ends_s))
        self._first = next(iter(left), "")
        self._say(left)
        following = json.dumps({name: _plain(mark) for name, mark in sorted(marks.items())})
        if not rows and (left or (self._odd and not self._sweeps)):
            raise next(iter(left.values()), VenueUnreachable(self.unread))
        rows.sort(key=lambda row: row.at)
        return rows, following

    def flows_soon(self) -> None:
        """Money has moved: the next look asks for deposits and withdrawals too, so that it is soon explained."""
        self._flows_due_ms = 0

    def _say(self, left: Mapping[str, VenueError]) -> None:
        venue = self._parts.row.name
        if left:
            self.unread = f"not all of {venue}'s executions could be read: {next(iter(left.values()))}"
        elif self._sweeps:
            oldest_ms = min(sweep.mark.at_ms for sweep in self._sweeps.values())
            since = from_ms(oldest_ms).isoformat(timespec="seconds")
            self.unread = f"{venue}'s executions since {since} are many; they are still being read"
        elif self._odd:
            self.unread = (
                f"not all of {venue}'s executions can be read: {'; '.join(row.words for row in self.unreadable)}"
            )
        else:
            self.unread = ""

    def _read(self, wanted: Wanted, marks: dict[str, Mark], rows: list[Row], when: tuple[int, float]) -> None:
        """Go on reading one list: at least one page, more while there is time; the mark is moved over what was told."""
        (now_ms, ends_s), name = when, wanted.name
        while True:
            sweep = self._sweep(wanted, marks.get(name), now_ms)
            try:
                told = sweep.step(self._parts.line, self._parts.row.limits.weights.trades)
            except VenueError:
                if not sweep.pages:  # one that begins later does as well
                    del self._sweeps[name]
                raise
            if told or sweep.is_done:
                rows += told
                marks[name] = sweep.mark
            if sweep.is_done:
                self._end(name, sweep)
                slack_ms = RECENT_MS if self._monotonic() >= ends_s else 0
                if sweep.begun_ms >= now_ms - slack_ms:
                    return
                self._sweep(wanted, marks[name], now_ms)  # it began at an earlier look: more may have happened since
            if self._monotonic() >= ends_s:
                return

    def _sweep(self, wanted: Wanted, mark: Mark | None, now_ms: int) -> Sweep:
        """The one under way, where it goes on from this mark; else a new one."""
        sweep = self._sweeps.get(wanted.name)
        if sweep is None or sweep.base != mark:
            sweep = self._sweeps[wanted.name] = Sweep.begin(wanted, mark, now_ms, self._history_ms)
        return sweep

    def _end(self, name: str, sweep: Sweep) -> None:
        del self._sweeps[name]
        self._odd.pop(name, None)
        if sweep.odd:
            self._odd[name] = tuple(odd.row(name) for odd in sweep.odd.values())

    def _in_turn(self, lists: Sequence[Wanted]) -> list[Wanted]:
        """From the one that failed last, so that no list waits for another for ever."""
        first = next((n for n, wanted in enumerate(lists) if wanted.name == self._first), 0)
        return [*lists[first:], *lists[:first]]

    def _read_payments(self, marks: dict[str, Mark], rows: list[Row], when: tuple[int, float]) -> None:
        """Funding, deposits, withdrawals and the like. Where they cannot be read, executions are told all the same: a
        balance that nothing explains is noticed by whoever compares the books, and the next look explains it.
        """
        now_ms, lists = when[0], list(self._funding_lists())
        is_due = now_ms >= self._flows_due_ms
        if is_due:
            self._flows_due_ms = now_ms + FLOW_EVERY_MS
        lists += (flows for flows in self._flow_lists() if is_due or flows.name in self._sweeps)
        for wanted in lists:
            try:
                self._read(wanted, marks, rows, when)
            except VenueError:
                marks.setdefault(wanted.name, Mark(now_ms, (), now_ms))
                _log.info("payments not read", venue=self._parts.row.name, list=wanted.name)
                self._sweeps.pop(wanted.name, None)

    def _look_at_aside(self, rows: list[Row], when: tuple[int, float]) -> None:
        """Ask for one of the rows that were set aside, in turn: it is told where it can be read by now."""
        (now_ms, ends_s), kept = when, self._aside.rows
        if not self._again and kept and now_ms >= self._aside_due_ms:
            self._aside_due_ms = now_ms + ASIDE_EVERY_MS
            row = kept[self._aside_turn % len(kept)]
            self._aside_turn += 1
            self._again = [(row, _around(row, wanted)) for wanted in self._lists_of(row)]
        told = {number_of(each) for each in rows}
        while self._again:
            row, sweep = self._again[0]
            try:
                found = sweep.step(self._parts.line, self._parts.row.limits.weights.trades)
            except VenueError as error:
                _log.info("row set aside not asked for", venue=self._parts.row.name, row=row.name, error=str(error))
                self._again = []
                return
            mine = (each for each in found if is_number(number_of(each), row.number))
            rows += (each for each in mine if number_of(each) not in told)
            if sweep.is_done:
                self._again.pop(0)
            if self._monotonic() >= ends_s:
                return

    def _lists_of(self, row: UnreadRow) -> list[Wanted]:
        lists: Iterable[Wanted] = self._trade_lists()
        if row.listed:
            lists = (*lists, *self._funding_lists(), *self._flow_lists())
        return [wanted for wanted in lists if row.listed in ("", wanted.name)]

    def _read_cursor(self, cursor: str) -> dict[str, Mark]:
        if not cursor:
            return {}
        try:
            return {name: _mark(*values) for name, values in json.loads(cursor).items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise BadInput(f"cursor {cursor[:80]!r} is not one of {self._parts.row.name}") from error

    # -- what lists there are -------------------------------------------------------------------------------------

    def _trade_lists(self) -> Iterator[Wanted]:
        pages, by_time = trade_pages(self._parts), self._trades.paging is Paging.FORWARD
        aside = self._aside.holds
        for scope in self._scopes():
            name = f"trades {scope}".strip()
            yield Wanted(name, scope, pages, self._row, OVERLAP_MS, self._trades.span_ms, by_time, aside)

    def _funding_lists(self) -> Iterator[Wanted]:
        for scope in self._funding_scopes():
            name, read = f"funding {scope}".strip(), self._parts.reader.funding
            span_ms, aside = self._trades.span_ms, self._aside.holds
            yield Wanted(name, scope, funding_page, read, FUNDING_OVERLAP_MS, span_ms, False, aside)

    def _flow_lists(self) -> Iterator[Wanted]:
        for number, flows in enumerate(self._parts.row.dialect.flows):
            name, read = f"flows {number}", self._flow_reader(flows)
            span_ms, aside = self._trades.span_ms, self._aside.holds
            yield Wanted(name, "", flow_pages(flows), read, FLOW_OVERLAP_MS, span_ms, False, aside)

    def _flow_reader(self, flows: Flows) -> Callable[[Mapping[str, Any]], Row | None]:
        return lambda row: self._parts.reader.flow(row, flows)

    def _row(self, row: Mapping[str, Any]) -> Row:
        if "code" in row:
            return self._parts.reader.funding(row, paid_is_positive=True)
        return self._parts.reader.trade(row)

    def _scopes(self) -> list[str]:
        if self._trades.by_symbol:
            return sorted(listed.instrument.symbol for listed in self._parts.listed.values())
        if self._trades.raw_method:
            return sorted("spot" if kind is Kind.SPOT else "linear" for kind in self._parts.kinds)
        return [""]

    def _funding_scopes(self) -> list[str]:
        dialect = self._parts.row.dialect
        if dialect.funding is not Funding.HISTORY or Kind.PERPETUAL not in self._parts.kinds:
            return []
        if not dialect.funding_by_symbol:
            return [""]
        listed = self._parts.listed.values()
        return sorted(each.instrument.symbol for each in listed if each.instrument.kind is Kind.PERPETUAL)


def _around(row: UnreadRow, wanted: Wanted) -> Sweep:
    """What a list holds about the time of a row; rows that cannot be read hold nothing up there."""
    everything = replace(wanted, is_aside=lambda *_: True)
    return Sweep.begin(everything, Mark(to_ms(row.since)), to_ms(row.until) + 1, 0)


def _mark(at_ms: Any, seen: Any, begin_ms: Any, told_ms: Any = 0) -> Mark:
    return Mark(int(at_ms), tuple(seen), int(begin_ms), int(told_ms))


def _plain(mark: Mark) -> list[Any]:
    values: list[Any] = [mark.at_ms, list(mark.seen), mark.begin_ms]
    return [*values, mark.told_ms] if mark.told_ms else values
