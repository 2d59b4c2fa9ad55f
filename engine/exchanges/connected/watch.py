"""Watches a venue beside its streams: asks again what they should have told, and says when the venue is not known.

It runs on a thread of its own and asks on the STATUS lane, so that the engine never waits for it. What it learns goes
to the venue as evidence like every other; it concludes nothing from absence and sends no orders.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event, Lock
from typing import Any

import structlog

from engine.domain.conditions import MarketNews, VenueHearing, VenueState
from engine.domain.errors import OrderNotFound, QuarterdeckError, VenueUnreachable
from engine.domain.market import from_ms, to_ms
from engine.domain.orders import FundingPaid
from engine.domain.ports import Clock
from engine.exchanges.connected.asking import Asker, Parts
from engine.exchanges.connected.connection import StreamCondition
from engine.exchanges.connected.executions import Executions
from engine.exchanges.connected.holdings import Holdings
from engine.exchanges.connected.market_rules import MarketRules
from engine.exchanges.connected.placing import Listed
from engine.exchanges.connected.reading import Reader, Report, Trade
from engine.exchanges.connected.stream_rows import STREAM_ROWS
from engine.exchanges.connected.watch_setup import Look, WatchCalls, WatchPlan, WatchSetup, WatchView
from engine.exchanges.steady import Steady, attempt, words_of

RETRY_S = 5.0
"""Pause before a look that failed is tried again."""
LONGEST_RETRY_S = 300.0
"""The same at most where an error of the engine's own ended it: each time twice as long."""
FIRST_LOOK_MS = 60_000
"""How long before its first look the watch asks for executions; those of before it began are not told."""
STARTED = "it was not asked yet"
OVERDUE_PERIODS = 3
"""A look that was not answered for so many of its periods: what happens at the venue is not known any more."""
_LOOKS = {"orders": "open orders", "money": "executions and balances"}
"""What must be answered after something may have been missed, and in good time, by job."""
_log = structlog.get_logger(__name__)
_AWAY = (VenueState.OFFLINE, VenueState.MAINTENANCE, VenueState.BANNED, VenueState.LOCKED)


@dataclass(slots=True)
class _Job:
    """A duty. ``done_at`` is when (monotonic) it last began and succeeded, ``trouble`` why and since when it fails, and
    ``retry_s`` how soon it is tried again then; ``stumbles`` counts errors of the engine's own, one after the other.
    """

    every_s: float
    work: Callable[[], None]
    due: float
    done_at: float
    gaps_known: int = -1
    trouble: tuple[str, float] | None = None
    retry_s: float = RETRY_S
    stumbles: int = 0


class Watch:
    """Watches one venue from `start` to `close`.

    Parameters
    ----------
    setup : WatchSetup
    clock : Clock
    calls : WatchCalls
    """

    def __init__(self, setup: WatchSetup, clock: Clock, calls: WatchCalls | None = None) -> None:
        self._setup = setup
        self._clock = clock
        self._calls = calls or WatchCalls()
        self._line = setup.line
        self._began_ms = self._now_ms()
        reader = Reader(setup.name or setup.row.name, setup.row.dialect, lambda: from_ms(self._now_ms()))
        self._listed = {each.instrument.key: each for each in setup.listed}
        parts = Parts(setup.row, setup.line, reader, self._listed)
        self._asker = Asker(parts)
        no_flows = replace(setup.row, dialect=replace(setup.row.dialect, flows=()))
        lists = replace(parts, row=no_flows)
        self._executions = Executions(lists, self._now_ms, FIRST_LOOK_MS, clock.monotonic, setup.aside)
        self._holdings = Holdings(parts)
        self._cursor = ""
        self._orders: dict[str, Report] = {}
        self._mark = 0
        self._untold: dict[str, tuple[float, int]] = {}
        self._rules = MarketRules(setup.row, setup.name or setup.row.name, setup.listed, setup.modes)
        self._news: deque[MarketNews] = deque(self._rules.begin())
        self._look, self._gap = Look(), STARTED
        self._gap_count = 0
        self._was = VenueState.ONLINE
        self._deaf_since: float | None = clock.monotonic()
        self._lock = Lock()
        self._wake, self._closed = Event(), Event()
        self._jobs = self._planned(setup.plan)
        self._steady = Steady(f"{setup.name or setup.row.name}-watch", self._turn, self._closed)
        setup.streams.listen(self._stream_changed, self.look_soon)

    def _planned(self, plan: WatchPlan) -> dict[str, _Job]:
        now, patience = self._clock.monotonic(), STREAM_ROWS[self._setup.row.name].patience
        modes_s = plan.markets_s if self._setup.modes == {} else plan.modes_again_s
        return {
            "orders": _Job(plan.orders_s * patience, self._look_at_orders, now, now),
            "money": _Job(plan.money_s * patience, self._look_at_money, now, now),
            "clock": _Job(plan.clock_s, self._look_at_clock, now + plan.clock_s, now),
            "markets": _Job(plan.markets_s, self._look_at_markets, now + plan.markets_s, now),
            "modes": _Job(plan.markets_s, self._look_at_modes, now + modes_s, now, retry_s=plan.modes_again_s),
            "key": _Job(plan.key_s, self._calls.check_key, now + plan.key_s, now),
            "switch": _Job(plan.switch_s, self._beat, now + plan.switch_s, now),
        }

    # -- for others, from any thread ------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to watch."""
        self._steady.start()

    def close(self) -> None:
        """End the thread, after the answer it may be waiting for."""
        self._closed.set()
        self._wake.set()
        self._steady.join()

    @property
    def view(self) -> WatchView:
        """How well the venue is known now."""
        now = self._clock.monotonic()
        failing = [job.trouble for job in self._jobs.values() if job.trouble is not None]
        words, since = max(failing, key=lambda each: now - each[1], default=("", now))
        with self._lock:
            gap, look = self._gap, self._look
        fault = self._steady.fault
        gap = f"the watch ended with {fault}, and begins again" if fault else gap
        deaf_s = now - self._deaf_since if self._deaf_since is not None else 0.0
        stream = self._setup.streams.condition
        plan = self._setup.plan
        is_alone = not stream.is_wanted or deaf_s >= (plan.alone_s if stream.connections else plan.never_heard_s)
        return WatchView(stream, gap, look, words, now - since, self._overdue(now), is_alone)

    @property
    def hearing(self) -> VenueHearing:
        """How well it is known what happens there."""
        view = self.view
        name = self._setup.name or self._setup.row.name
        return VenueHearing(view.why_not_fresh(name), view.trouble, view.trouble_s, view.asked_instead(name))

    def market_news(self) -> Sequence[MarketNews]:
        """What was found of instruments since this was last asked, oldest first; each piece is told once."""
        return [self._news.popleft() for _ in range(len(self._news))]

    def look_soon(self) -> None:
        """Look at orders and money at the next beat: something happened of which not everything is known."""
        self._jobs["orders"].due = self._jobs["money"].due = float("-inf")
        self._wake.set()

    def ask_markets_soon(self) -> None:
        """Look at the exchange's rules at the next beat: it refused an order for one of them."""
        self._jobs["markets"].due = self._jobs["modes"].due = float("-inf")
        self._wake.set()

    def note_gap(self, reason: str) -> None:
        """Something may have been missed: everything is asked before the venue counts as known again."""
        with self._lock:
            self._gap = reason
            self._gap_count += 1
        self._calls.gap(reason)
        self.look_soon()

    # -- the watch's thread ---------------------------------------------------------------------------------------

    def _turn(self) -> None:
        self.beat()
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        self._wake.wait(self._setup.plan.beat_s)
        self._wake.clear()
        self.notice_sleep(wall, monotonic)

    def beat(self) -> None:
        """Do what is due now; a failure is told by `view`, and tried again."""
        self._notice_state()
        gaps = self._gap_count
        for job in self._jobs.values():
            if self._clock.monotonic() < job.due or self._closed.is_set():
                continue
            self._do(job, gaps)
        self._end_gap()
        self._notice_deafness()

    def _do(self, job: _Job, gaps: int) -> None:
        began = self._clock.monotonic()
        job.due = began + job.every_s
        error = attempt(job.work)
        if error is None:
            job.done_at, job.gaps_known, job.trouble, job.stumbles = began, gaps, None, 0
            return
        now, retry_s, words = self._clock.monotonic(), min(job.retry_s, job.every_s), str(error)
        if not isinstance(error, QuarterdeckError):
            words, retry_s = self._stumbled(job, error), min(LONGEST_RETRY_S, retry_s * 2.0 ** min(job.stumbles, 10))
        job.due = now + retry_s
        job.trouble = (words, job.trouble[1] if job.trouble is not None else now)

    def _stumbled(self, job: _Job, error: BaseException) -> str:
        """Nobody foresaw it: entries wait until everything was asked again."""
        words = f"a look ended with {words_of(error)}"
        _log.error("a look failed", venue=self._setup.name or self._setup.row.name, exc_info=error)
        job.stumbles += 1
        if job.stumbles == 1:
            self.note_gap(words)
        return words

    def _end_gap(self) -> None:
        """A gap is over once orders and money were asked since it began, be it one after the other."""
        with self._lock:
            is_over = bool(self._gap) and all(self._jobs[name].gaps_known == self._gap_count for name in _LOOKS)
            if is_over:
                self._gap = ""
        if is_over:
            self._calls.asked()

    def _overdue(self, now: float) -> str:
        name = self._setup.name or self._setup.row.name
        for look, what in _LOOKS.items():
            job = self._jobs[look]
            late_s = now - job.done_at
            if late_s > OVERDUE_PERIODS * job.every_s:
                return f"{name} was last asked for {what} with success {late_s:.0f} s ago"
        return ""

    def _stream_changed(self, condition: StreamCondition) -> None:
        """Both ends of an absence are told: what was missed is asked for once the stream tells again."""
        if condition.is_up:
            self._deaf_since = None
        elif self._deaf_since is None:
            self._deaf_since = self._clock.monotonic()
        if condition.is_up:
            self.note_gap("the stream begins" if condition.connections == 1 else "the stream was away")
        elif condition.connections:
            self.note_gap(f"the stream is away: {condition.detail}")

    def _notice_state(self) -> None:
        state = self._line.condition.state
        was, self._was = self._was, state
        if was in _AWAY and state not in _AWAY:
            self.note_gap(f"the venue was {was.value}")

    def notice_sleep(self, wall: datetime, monotonic: float) -> None:
        """Find out whether this process slept since a moment (by both clocks), which was to be a short while ago.

        A process that slept knows old prices and an old clock: it asks, and makes up for nothing.
        """
        slept_s = max((self._clock.now() - wall).total_seconds(), self._clock.monotonic() - monotonic)
        if slept_s > self._setup.plan.asleep_s:
            self._jobs["clock"].due = float("-inf")
            self._setup.streams.restart("the computer slept")
            self.note_gap(f"the computer slept for {slept_s:.0f} s")
        elif self._line.clock_has_jumped():
            self._jobs["clock"].due = float("-inf")
            self.note_gap("this computer's clock was set")

    def _notice_deafness(self) -> None:
        """An execution that the exchange has and its stream never told, nor anything since."""
        now = self._clock.monotonic()
        for number, (due, at_ms) in list(self._untold.items()):
            if now < due:
                continue
            del self._untold[number]
            told = self._setup.streams.condition.last_event_at
            is_alive = told is not None and to_ms(told) + self._line.offset_ms >= at_ms
            if not is_alive and self._setup.streams.condition.is_up and not self._setup.streams.has_heard(number):
                self._setup.streams.restart(f"connected, but it did not tell execution {number}")

    # -- looks ----------------------------------------------------------------------------------------------------

    def _look_at_orders(self) -> None:
        """Every open order, and the ones that were open at the last look: what became of them is asked, not guessed."""
        switch = self._setup.switch
        mark = switch.mark if switch is not None else 0
        found = {report.venue_order_id: report for report in self._asker.open_orders()}
        gone = [report for number, report in self._orders.items() if number not in found]
        for report in found.values():
            self._setup.tell(report)
        self._orders, self._mark = found, mark
        for report in gone:
            try:
                self._setup.tell(self._ask_again(report))
            except OrderNotFound:
                continue

    def _ask_again(self, report: Report) -> Report:
        symbol = report.symbol or ""
        if report.client_id is None:
            return self._asker.by_own_id(report.venue_order_id, symbol)
        is_stop = report.stop_price is not None
        return self._asker.order(report.client_id, symbol, is_stop=is_stop, venue_order_id=report.venue_order_id)

    def _look_at_money(self) -> None:
        """Executions, funding and what is held; money the trader moved is left to who books it once."""
        rows, self._cursor = self._executions.since(self._cursor)
        for row in rows:
            if isinstance(row, Trade | FundingPaid) and to_ms(row.at) >= self._began_ms:
                self._setup.tell(row)
                self._expect(row)
        if self._executions.unread:
            raise VenueUnreachable(self._executions.unread)
        balances, positions = self._holdings.balances(), self._holdings.positions()
        with self._lock:
            self._look = Look(self._clock.now(), balances, positions)

    def _expect(self, row: Any) -> None:
        """The stream must tell it, too, where it was up before and has had the time."""
        streams = self._setup.streams
        since = streams.condition.since
        if not isinstance(row, Trade) or not streams.tells_trades or not streams.condition.is_up or since is None:
            return
        if to_ms(row.at) > to_ms(since) + self._line.offset_ms:
            self._untold[row.number] = (self._clock.monotonic() + self._setup.plan.deaf_s, to_ms(row.at))

    def _look_at_clock(self) -> None:
        self._line.measure_offset()

    def _look_at_markets(self) -> None:
        markets = self._line.load_markets(self._setup.prepare)
        self._tell_markets(self._rules.read(markets, from_ms(self._now_ms())))

    def _look_at_modes(self) -> None:
        """How the account is set up for what is traded; what was against it lasts until the exchange says otherwise."""
        problems = self._holdings.mode_problems()
        self._tell_markets(self._rules.set_modes(problems))
        if problems:
            self._jobs["modes"].due = self._clock.monotonic() + self._setup.plan.modes_again_s

    def _tell_markets(self, news: Iterable[MarketNews]) -> None:
        for each in news:
            self._listed[each.instrument.key] = Listed(each.instrument, each.contract_size)
            self._news.append(each)

    def _beat(self) -> None:
        if self._setup.switch is not None:
            self._setup.switch.beat(self._orders.values(), self._mark)

    def _now_ms(self) -> int:
        return to_ms(self._clock.now()) + self._setup.line.offset_ms
