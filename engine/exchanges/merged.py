"""The candles of several venues as one market source: every close is one event, however late one of them is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Condition, Event

from engine.domain.errors import BadInput, VenueUnreachable
from engine.domain.instruments import Instrument, InstrumentKey, venue_of
from engine.domain.market import Bars, CandleArrays, FeedStatus, MarketEvent, Quotes
from engine.domain.ports import Clock
from engine.exchanges.quoted import Source, Tops, newer

GRACE_S = 10.0
"""A venue gives out a close at the latest 8 s after it, with what it has by then; the rest is for the way."""
_ROOM = 256
_LOOK_S = 0.2


class MergedTops:
    """The quotes of several feeds, taken as one."""

    def __init__(self, feeds: Sequence[Tops]) -> None:
        self._feeds = tuple(feeds)

    def take(self) -> Quotes | None:
        """What has come since the last time at any of them; None where nothing has."""
        taken: Quotes | None = None
        for feed in self._feeds:
            taken = newer(taken, feed.take())
        return taken


@dataclass(slots=True)
class _Venue:
    """One source, what it has told and nobody has taken, and whether the others wait for it.

    It is waited for until it says that it is offline, or was late; then not before it has caught up with the others.
    """

    name: str
    source: Source
    told: deque[MarketEvent] = field(default_factory=deque)
    awaited: bool = True
    is_late: bool = False
    reading: Future[None] | None = None

    @property
    def head(self) -> MarketEvent | None:
        """The oldest event nobody has taken."""
        return self.told[0] if self.told else None


class MergedSource:
    """Sources of candles, one a venue, as one: a close goes out once every venue that is awaited has told it.

    A venue that is offline is not awaited. One that is late holds the others for ``grace_s`` after the first of them
    told the close; then they go on, and it counts as offline, in its own `FeedStatus`, until it has caught up. The last
    close that the others were shown is an event of its own where a venue tells it after them; older ones are none any
    more: they are in its history, from which windows are filled once it is online again. Market time never goes back.

    Parameters
    ----------
    sources : mapping of str to Source
        By name of the venue in instrument keys and feed statuses.
    clock : Clock
    grace_s : float
    """

    def __init__(self, sources: Mapping[str, Source], clock: Clock, grace_s: float = GRACE_S) -> None:
        self._venues = [_Venue(name, source) for name, source in sorted(sources.items())]
        self._clock = clock
        self._grace_s = grace_s
        self._closed = Event()
        self._news = Condition()
        self._shown: datetime | None = None
        self._waiting: tuple[datetime, float] | None = None

    def instruments(self) -> Sequence[Instrument]:
        """Those of every venue that is connected.

        Raises
        ------
        VenueUnreachable
            None is.
        """
        found: list[Instrument] = []
        silent: VenueUnreachable | None = None
        for venue in self._venues:
            try:
                found += venue.source.instruments()
            except VenueUnreachable as error:
                silent = error
        if not found and silent is not None:
            raise silent
        return found

    def history(self, key: InstrumentKey, bars: int) -> CandleArrays:
        """As the venue's own source; raises `BadInput` for a venue that is not among them."""
        for venue in self._venues:
            if venue.name == venue_of(key):
                return venue.source.history(key, bars)
        raise BadInput(
            f"there are no candles of {key} here; there are those of {', '.join(v.name for v in self._venues)}"
        )

    def close(self) -> None:
        """End the events."""
        self._closed.set()
        for venue in self._venues:
            venue.source.close()
        with self._news:
            self._news.notify_all()

    # -- events --------------------------------------------------------------------------------------------------

    def events(self) -> Iterator[MarketEvent]:
        """Statuses of every venue, and closes with the candles of all, until `close`; raises what a source raises."""
        pool = ThreadPoolExecutor(len(self._venues), thread_name_prefix="candles-of")
        for venue in self._venues:
            venue.reading = pool.submit(self._read, venue)
        pool.shutdown(wait=False)
        while not self._closed.is_set():
            with self._news:
                ready = self._ready()
                if ready:
                    self._news.notify_all()  # there is room again
                if not ready and self._has_ended():
                    return
                if not ready and not self._closed.is_set():
                    self._news.wait(_LOOK_S)
            yield from ready

    def _read(self, venue: _Venue) -> None:
        for event in venue.source.events():
            with self._news:
                while len(venue.told) >= _ROOM and not self._closed.is_set():
                    self._news.wait(_LOOK_S)
                venue.told.append(event)
                self._news.notify_all()
            if self._closed.is_set():
                return

    def _has_ended(self) -> bool:
        """Whether every source ended and everything was taken; raises what ended one."""
        ended = [venue for venue in self._venues if venue.reading and venue.reading.done() and not venue.told]
        for venue in ended:
            assert venue.reading is not None
            venue.reading.result()
            venue.awaited = False
        return len(ended) == len(self._venues)

    def _ready(self) -> list[MarketEvent]:
        """What can go out now: what is no close at once, a close once it is complete or has waited long enough."""
        found: list[MarketEvent] = []
        for venue in self._venues:
            found += self._passing(venue)
        found += self._close()
        return found

    def _passing(self, venue: _Venue) -> Iterator[MarketEvent]:
        """What a venue tells before its next close that the others have not passed."""
        while (event := venue.head) is not None:
            if isinstance(event, Bars):
                if self._shown is None or event.at > self._shown:
                    return
                venue.told.popleft()
                if event.at == self._shown:
                    yield from self._in_time(venue, event.at, f"its close of {event.at:%H:%M:%S} UTC came late")
                    yield event
                continue
            venue.told.popleft()
            yield self._status(venue, event) if isinstance(event, FeedStatus) else event

    def _in_time(self, venue: _Venue, at: datetime, detail: str) -> Iterator[FeedStatus]:
        """A venue that was late is with the others again."""
        if venue.is_late:
            venue.is_late = False
            yield FeedStatus(venue.name, at, True, detail)

    def _status(self, venue: _Venue, told: FeedStatus) -> FeedStatus:
        """What a venue says of itself: never before what was shown, and not online while its closes are late."""
        venue.awaited = told.online
        venue.is_late = venue.is_late and told.online
        told = replace(told, at=max(told.at, self._shown or told.at))
        return replace(told, online=False, detail=f"its closes are late: {told.detail}") if venue.is_late else told

    def _close(self) -> Iterator[MarketEvent]:
        """The next close, if it may go out."""
        heads = [(venue, venue.head) for venue in self._venues]
        closes = [(venue, bars) for venue, bars in heads if isinstance(bars, Bars)]
        if not closes:
            self._waiting = None
            return
        at = min(bars.at for _, bars in closes)
        missing = [venue for venue, event in heads if event is None and venue.awaited and not venue.is_late]
        if missing and not self._has_waited(at):
            return
        for venue in missing:
            venue.is_late = True
            yield FeedStatus(venue.name, self._shown or at, False, f"its close of {at:%H:%M:%S} UTC is late")
        told = [(venue, bars) for venue, bars in closes if bars.at == at]
        for venue, _ in told:
            venue.told.popleft()
            yield from self._in_time(venue, self._shown or at, "its closes are in time again")
        self._shown, self._waiting = at, None
        candles = (candle for _, bars in told for candle in bars.candles)
        yield Bars(at, tuple(sorted(candles, key=lambda each: (venue_of(each.instrument), each.instrument))))

    def _has_waited(self, at: datetime) -> bool:
        """Whether the others have waited long enough for who has not told this close."""
        now = self._clock.monotonic()
        if self._waiting is None or self._waiting[0] != at:
            self._waiting = (at, now)
        return now - self._waiting[1] >= self._grace_s
