"""One list of an exchange read to its end, a page at a question: what is read stays read where the next page fails."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.domain.errors import VenueError
from engine.domain.market import from_ms, to_ms
from engine.domain.orders import CashFlow, FundingPaid
from engine.domain.unread import UnreadRow
from engine.exchanges.connected.asking import Asks
from engine.exchanges.connected.fields import Unreadable
from engine.exchanges.connected.lanes import Lane
from engine.exchanges.connected.paging import ODD, Page, PageReader, Place, Span
from engine.exchanges.connected.reading import Trade

Row = Trade | FundingPaid | CashFlow
RowReader = Callable[[Mapping[str, Any]], Row | None]
"""Makes a fact of a row in the library's words; None where it is of no concern. Raises `Unreadable`."""
QUIET_MS = 15 * 3_600_000
"""A list in which nothing happens is taken as read up to so long ago: longer than a clock is wrong that was set by
another zone, lest what is executed next lies before the mark."""
MOST_FAILURES = 5
"""A page that fails so often in a row may be gone, such as by a name that has expired: its span is begun anew. After
each time twice as many failures are borne, so that an exchange that seldom answers is read to the end, too."""
MOST_REPEATS = 2
"""Pages in a row that tell nothing new, after which a list counts as one that does not end."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far one list was read, all in ms of the exchange's clock.

    Attributes
    ----------
    at_ms : int
        Everything before it was told.
    seen : tuple of str
        Numbers told that the next look will find again.
    begin_ms : int
        Nothing of before it is told.
    told_ms : int
        Time of the newest row told; 0 where ``at_ms`` is, or nothing was.
    """

    at_ms: int
    seen: tuple[str, ...] = ()
    begin_ms: int = 0
    told_ms: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """One list.

    Attributes
    ----------
    name : str
        Its name in the cursor.
    scope : str
        What it is of: a symbol, a kind, or empty for all.
    pages : callable
    read : callable
    overlap_ms : int
        How much of it is read again, because exchanges show some rows late.
    span_ms : int
        Longest span of time of one question.
    oldest_first : bool
        Whether its pages come in the order of time, so that each can be told as it comes.
    is_aside : callable
        Whether a row, by the name of its list and its number, may stay unread.
    """

    name: str
    scope: str
    pages: PageReader
    read: RowReader
    overlap_ms: int
    span_ms: int
    oldest_first: bool
    is_aside: Callable[[str, str], bool] = lambda _listed, _number: False


@dataclass(frozen=True, slots=True)
class Odd:
    """A row that cannot be read: its number and time (ms) as far as told, why, and what it is called.

    ``between_ms`` is where it was looked for.
    """

    number: str
    at_ms: int | None
    why: str
    name: str
    between_ms: tuple[int, int]

    @property
    def words(self) -> str:
        """Why, and which row of the exchange's own list is meant."""
        at = "at a time not told" if self.at_ms is None else from_ms(self.at_ms).isoformat(timespec="seconds")
        number = self.number or f"not told, called {self.name}"
        return f"{self.why} (number {number}, {at})"

    def row(self, listed: str) -> UnreadRow:
        """As people and the journal know it."""
        since_ms, until_ms = self.between_ms if self.at_ms is None else (self.at_ms, self.at_ms)
        return UnreadRow(listed, self.name, self.words, from_ms(since_ms), from_ms(until_ms))


@dataclass(slots=True)
class Sweep:
    """One list from its mark to now; kept in memory between calls until it is at the end.

    Attributes
    ----------
    wanted : Wanted
    base : Mark or None
        The mark it goes on from: as last handed out, None before the first.
    mark : Mark
        Where it is now.
    begun_ms : int
        When it began; what is executed later is the next sweep's.
    span : Span
        What is being read.
    place : mapping or None
        The next page; None is the first one of the span.
    found : dict
        Rows read of the span and not told yet, by number.
    odd : dict
        Rows that cannot be read, of every span so far.
    """

    wanted: Wanted
    base: Mark | None
    mark: Mark
    begun_ms: int
    span: Span
    place: Place | None = None
    found: dict[str, Row] = field(default_factory=dict)
    odd: dict[str, Odd] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    pages: int = 0
    failures: int = 0
    most_failures: int = MOST_FAILURES
    repeats: int = 0
    is_done: bool = False

    @classmethod
    def begin(cls, wanted: Wanted, mark: Mark | None, now_ms: int, history_ms: int) -> Sweep:
        """A sweep from a mark, or from ``history_ms`` ago where there is none."""
        first_ms = now_ms - history_ms if mark is None else mark.at_ms - wanted.overlap_ms
        start = Mark(first_ms, (), first_ms) if mark is None else mark
        sweep = cls(wanted, mark, start, now_ms, Span(wanted.scope, first_ms, first_ms))
        sweep._span_from(first_ms)
        return sweep

    def step(self, line: Asks, weight: int) -> list[Row]:
        """Read one page; what can be told now, oldest first. Raises as `Asks.ask`; the page is asked for again then."""
        page = self._ask(line, weight)
        self.repeats = 0 if self._take(page) else self.repeats + 1
        if page.following is not None:
            if self.repeats >= MOST_REPEATS:
                self._span_from(self.span.since_ms)
                raise Unreadable(f"the list {self.wanted.name!r} does not end: its pages tell nothing new")
            self.place = page.following
            return self._tell(self._newest_ms()) if self.wanted.oldest_first else []
        told = self._tell(max(self._newest_ms(), min(self.span.until_ms, self.begun_ms - QUIET_MS)))
        self.is_done = self.span.until_ms >= self.begun_ms
        if not self.is_done:
            self._span_from(self.span.until_ms + 1)
        return told

    def _ask(self, line: Asks, weight: int) -> Page:
        span, place, pages = self.span, self.place, self.wanted.pages
        try:
            page = line.ask(Lane.STATUS, lambda client: pages(client, span, place), weight)
        except VenueError:
            self.failures += 1
            if self.failures >= self.most_failures:
                self.most_failures *= 2
                self._span_from(span.since_ms)
            raise
        self.failures = 0
        self.pages += 1
        return page

    def _span_from(self, since_ms: int) -> None:
        until_ms = min(since_ms + self.wanted.span_ms - 1, self.begun_ms + self.wanted.overlap_ms)
        self.span, self.place = Span(self.wanted.scope, since_ms, until_ms), None
        self.failures = self.repeats = 0
        self.known.clear()

    def _take(self, page: Page) -> bool:
        """Read the rows of a page; whether one of them was not on those before."""
        before = len(self.known)
        for raw in page.rows:
            try:
                if ODD in raw:
                    raise Unreadable(str(raw[ODD]))
                row = self.wanted.read(raw)
            except Unreadable as error:
                self._keep_odd(raw, str(error))
                continue
            if row is None:
                self.known.add(f"{raw.get('id')} {raw.get('timestamp')}")
            elif to_ms(row.at) >= self.span.since_ms:
                self.known.add(number_of(row))
                self.found[number_of(row)] = row
        return len(self.known) > before

    def _keep_odd(self, raw: Mapping[str, Any], why: str) -> None:
        number, at_ms = str(raw.get("id") or ""), raw.get("timestamp")
        at_ms = at_ms if type(at_ms) is int and at_ms > 0 else None
        if at_ms is not None and at_ms < self.span.since_ms:
            return  # some lists reach back beyond what was asked for
        self.known.add(f"odd {number or raw}")
        name = number or f"row-{hashlib.sha256(str(raw).encode()).hexdigest()[:12]}"
        if not self.wanted.is_aside(self.wanted.name, name):
            self.odd[name] = Odd(number, at_ms, why, name, (max(0, self.span.since_ms), self.begun_ms))

    def _newest_ms(self) -> int:
        return max([self.mark.at_ms, *(to_ms(row.at) for row in self.found.values())])

    def _tell(self, read_ms: int) -> list[Row]:
        """Hand out what was found, and move the mark to ``read_ms``, yet never beyond a row that cannot be read."""
        before, overlap_ms = self.mark, self.wanted.overlap_ms
        seen = set(before.seen)
        self._forget_read(seen)
        told_from_ms = max(before.begin_ms, before.at_ms - overlap_ms)
        told = [row for n, row in self.found.items() if n not in seen and to_ms(row.at) >= told_from_ms]
        told_ms = max([before.told_ms, before.at_ms, *(to_ms(row.at) for row in self.found.values())])
        at_ms = self._held(max(before.at_ms, read_ms))
        near = {n for n, row in self.found.items() if to_ms(row.at) >= at_ms - overlap_ms}
        if at_ms - overlap_ms <= max(before.told_ms, before.at_ms):  # a list that is suddenly empty, or short of some
            near |= seen
        self.mark = Mark(at_ms, tuple(sorted(near)), before.begin_ms, told_ms if told_ms > at_ms else 0)
        if told:
            self.base = self.mark
        self.found = {}
        return sorted(told, key=lambda row: row.at)

    def _forget_read(self, seen: set[str]) -> None:
        """A row that was read before, or on another page, is no riddle."""
        read = seen | self.found.keys()
        self.odd = {
            key: odd
            for key, odd in self.odd.items()
            if not odd.number or not any(is_number(n, odd.number) for n in read)
        }

    def _held(self, at_ms: int) -> int:
        """So far that the next look reads again what could not be read."""
        held = [self.mark.at_ms if odd.at_ms is None else odd.at_ms for odd in self.odd.values()]
        return max(self.mark.at_ms, min([at_ms, *held]))


def is_number(number: str, told: str) -> bool:
    """Whether a row's number is the one an exchange told: some are numbered by symbol."""
    return number == told or number.endswith(f":{told}")


def number_of(row: Row) -> str:
    """The number an execution, payment or movement of money is known by."""
    if isinstance(row, Trade):
        return row.number
    return row.payment_id if isinstance(row, FundingPaid) else row.flow_id
