"""The demo's market source: the simulated market shown bar by bar at a chosen speed, with faults on demand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument, InstrumentKey, venue_of
from engine.domain.market import (
    Bars,
    BookTop,
    CandleArrays,
    FeedStatus,
    MarketEvent,
    Quotes,
    from_ms,
    to_ms,
)
from engine.simulation.demo_faults import FaultKind, VenueFaults
from engine.simulation.demo_listings import DEMO_VENUES
from engine.simulation.market import MarketSimulator
from engine.simulation.market_day import LIVE_START, MINUTE, day_index, minute_of
from engine.simulation.pacing import Pace, Waiter, WallWaiter, checked_speed

DEFAULT_SPEED = 60
QUOTED_UP_TO = 120
"""Fastest speed at which every close is quoted: past it no quotes come."""
STATE_FILE = "demo-market.json"


class DemoSource:
    """A `MarketSource` over the seeded simulator. Market time is simulated: it starts at `LIVE_START` and runs at
    ``speed`` market seconds a wall second.

    One thread iterates `events`; every other method may be called from any thread.

    Parameters
    ----------
    seed : int
        Zero or above; the same seed is the same market for ever.
    speed : int
        1 to 1000.
    state_folder : Path or None
        Where the start states of the kept days are stored, so that a restart late in the market's life is quick.
        Only a cache: without it, or with a broken one, the same days are generated again.
    waiter : Waiter or None
        Waiting and its clock; None is real time.
    """

    simulated = True

    def __init__(
        self,
        seed: int,
        speed: int = DEFAULT_SPEED,
        state_folder: Path | None = None,
        waiter: Waiter | None = None,
    ) -> None:
        self._market = MarketSimulator(seed)
        self._waiter = waiter or WallWaiter()
        self._pace = Pace(self._waiter, speed)
        self._state_file = None if state_folder is None else state_folder / STATE_FILE
        self._saved_day = -1
        self._now_ms = to_ms(LIVE_START)
        self._faults = VenueFaults()
        self._closed = False
        if self._state_file is not None:
            self._market.load(self._state_file)

    @property
    def market_time(self) -> datetime:
        """Market time of the last event."""
        return from_ms(self._now_ms)

    @property
    def speed(self) -> int:
        """Market seconds a wall second."""
        return self._pace.speed

    def set_speed(self, speed: int) -> None:
        """Change the speed at once; raises `BadInput` outside 1 to 1000."""
        self._pace.speed = checked_speed(speed)
        self._waiter.wake()

    def close(self) -> None:
        """End `events` promptly, from any thread."""
        self._closed = True
        self._waiter.wake()

    def resume_at(self, market_time: datetime) -> None:
        """Continue with the first close after ``market_time``; call before `events`. Running faults are forgotten.

        Raises
        ------
        BadInput
            Where ``market_time`` lies before the market's first live instant.
        """
        if market_time < LIVE_START:
            raise BadInput(
                f"market time {market_time.isoformat()} is before the demo market's start {LIVE_START.isoformat()}"
            )
        self._now_ms = to_ms(market_time)
        self._faults.clear()

    def inject(self, venue: str, fault: str, minutes: int) -> None:
        """Make a venue fail for the next ``minutes`` closes.

        Parameters
        ----------
        venue : str
            ``demo-a`` or ``demo-b``.
        fault : str
            ``outage``: no bars and no quotes, announced by `FeedStatus` at both ends. ``gap``: bars are missing while
            the feed calls itself online. Missed bars are in `history` and `candles` afterwards, never in `events`.
            Funding stamps go on: they are the venue's own bookings.
        minutes : int
            Market minutes, 1 to 1440.

        Raises
        ------
        BadInput
            For an unknown venue or fault or a number of minutes out of bounds.
        CommandRefused
            While another fault of this venue is running.
        """
        self._faults.inject(venue, fault, minutes, self._now_ms)
        self._waiter.wake()

    def instruments(self) -> Sequence[Instrument]:
        """Every simulated instrument, sorted by (venue, symbol)."""
        return self._market.instruments

    def history(self, key: InstrumentKey, bars: int) -> CandleArrays:
        """The last closed candles, at most ``bars``; raises `BadInput` for an unknown instrument or ``bars`` below 1.

        At least 14 days are there before the first live bar. While a venue is out, its history ends where the outage
        began; afterwards it is complete.
        """
        if bars < 1:
            raise BadInput(f"history of {bars} bars: ask for at least one")
        known_ms = self._known_until_ms(key)
        return self._market.window(key, known_ms - bars * MINUTE.ms, known_ms)

    def candles(self, key: InstrumentKey, start: datetime, stop: datetime) -> CandleArrays:
        """Closed candles opened from ``start`` to before ``stop``, as far back as days are kept (16); for charts."""
        return self._market.window(key, to_ms(start), min(to_ms(stop), self._known_until_ms(key)))

    def top(self, key: InstrumentKey) -> BookTop:
        """Best bid and ask at the last close; raises `BadInput` for an unknown instrument."""
        row = self._market.row(key)
        closed_ms = self._now_ms - self._now_ms % MINUTE.ms
        last = closed_ms - MINUTE.ms
        day = self._market.day(day_index(last))
        mid = float(day.close[row, minute_of(last)])
        return day.top(row, self._market.instruments[row], closed_ms, mid)

    def events(self) -> Iterator[MarketEvent]:
        """Feed states first, then quotes and bars as market time passes; ends after `close`.

        Events come in the order of market time; of one instant: feed status, funding, bars (or quotes).
        """
        if not self._closed:
            yield from (FeedStatus(venue, self.market_time, True, "simulated market") for venue in DEMO_VENUES)
        while not self._closed:
            yield from self._faults.announcements(self.market_time)
            due_ms = self._next_due_ms()
            wait_s = self._pace.seconds_until(due_ms, self._now_ms)
            if wait_s > 0:
                self._waiter.wait(wait_s)
            elif due_ms % MINUTE.ms:
                yield self._quotes(due_ms)
            else:
                if MINUTE.seconds <= self._pace.speed <= QUOTED_UP_TO:
                    yield self._quotes_at_close(due_ms)
                yield from self._close_of_minute(due_ms)

    def _next_due_ms(self) -> int:
        """The next quote on the grid of one wall second, else the next close."""
        step_ms = self._pace.speed * 1000
        into_ms = self._now_ms % MINUTE.ms
        next_ms = into_ms // step_ms * step_ms + step_ms
        return self._now_ms - into_ms + min(next_ms, MINUTE.ms)

    def _quotes(self, at_ms: int) -> Quotes:
        self._now_ms = at_ms
        index, minute, second = day_index(at_ms), minute_of(at_ms), at_ms % MINUTE.ms // 1000
        day, path = self._market.day(index), self._market.path(index, minute)
        heard = {venue for venue in DEMO_VENUES if self._faults.silenced(venue, at_ms) is not FaultKind.OUTAGE}
        tops = tuple(
            day.top(row, instrument, at_ms, float(path[row, second]))
            for row, instrument in enumerate(self._market.instruments)
            if instrument.venue in heard
        )
        return Quotes(from_ms(at_ms), tops)

    def _quotes_at_close(self, at_ms: int) -> Quotes:
        """The tops at a close, where market time runs too fast for quotes between closes."""
        index, minute = day_index(at_ms - MINUTE.ms), minute_of(at_ms - MINUTE.ms)
        day = self._market.day(index)
        heard = {venue for venue in DEMO_VENUES if self._faults.silenced(venue, at_ms) is None}
        tops = tuple(
            day.top(row, instrument, at_ms, float(day.close[row, minute]))
            for row, instrument in enumerate(self._market.instruments)
            if instrument.venue in heard
        )
        return Quotes(from_ms(at_ms), tops)

    def _close_of_minute(self, at_ms: int) -> Iterator[MarketEvent]:
        opened_ms = at_ms - MINUTE.ms
        index, minute = day_index(opened_ms), minute_of(opened_ms)
        day = self._market.day(index)
        self._save_state(index)
        heard = {venue for venue in DEMO_VENUES if self._faults.silenced(venue, at_ms) is None}
        candles = tuple(
            day.candle(row, instrument, minute)
            for row, instrument in enumerate(self._market.instruments)
            if instrument.venue in heard
        )
        self._now_ms = at_ms
        yield from self._faults.end(at_ms)
        yield from day.funding_stamps(self._market.instruments, minute)
        yield Bars(from_ms(at_ms), candles)

    def _known_until_ms(self, key: InstrumentKey) -> int:
        """Close of the newest candle that may be shown."""
        now_ms = self._faults.known_until(venue_of(key), self._now_ms)
        return now_ms - now_ms % MINUTE.ms

    def _save_state(self, index: int) -> None:
        """Once a simulated day."""
        if self._state_file is not None and index != self._saved_day:
            self._saved_day = index
            self._market.save(self._state_file)
