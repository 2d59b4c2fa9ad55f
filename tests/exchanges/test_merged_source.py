"""Candles of several venues as one market: every close once, nobody waited for for ever, and honest words about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.errors import BadInput, VenueUnreachable
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import Bars, BookTop, Candle, CandleArrays, FeedStatus, MarketEvent, Quotes, Timeframe
from engine.exchanges.merged import MergedSource, MergedTops

MINUTE = Timeframe(60)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
A, B = InstrumentKey("a:BTC/USDT"), InstrumentKey("b:BTC/USDT")
GRACE_S = 10.0


class Watch:
    """A clock by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.step_s = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        self.seconds += self.step_s
        return self.seconds


class Script:
    """A source that says what it is told to; `Event`s in the script are waited for, errors raised."""

    def __init__(self, venue: str, *steps: MarketEvent | Event | Exception) -> None:
        self.venue, self.steps = venue, steps
        self.closed = Event()
        self.is_connected = True

    def instruments(self) -> Sequence[Instrument]:
        if not self.is_connected:
            raise VenueUnreachable(f"{self.venue} is not connected yet")
        step = Decimal("0.01")
        return (Instrument(self.venue, "BTC", "USDT", Kind.SPOT, step, step, Decimal(5), Decimal(1)),)

    def history(self, key: InstrumentKey, bars: int) -> CandleArrays:
        raise VenueUnreachable(f"{self.venue}: {key}, {bars}")

    def close(self) -> None:
        self.closed.set()

    def events(self) -> Iterator[MarketEvent]:
        for step in self.steps:
            if isinstance(step, Event):
                while not step.wait(0.01) and not self.closed.is_set():
                    pass
            elif isinstance(step, Exception):
                raise step
            else:
                yield step


def bars(key: InstrumentKey, minute: int) -> Bars:
    at = NOON + timedelta(minutes=minute)
    price = Decimal(100)
    return Bars(at, (Candle(key, MINUTE, at - MINUTE.delta, price, price, price, price, Decimal(1)),))


def both(minute: int) -> Bars:
    return Bars(bars(A, minute).at, (*bars(A, minute).candles, *bars(B, minute).candles))


def status(venue: str, online: bool, minute: int = 0, detail: str = "") -> FeedStatus:
    return FeedStatus(venue, NOON + timedelta(minutes=minute), online, detail)


def merged(*scripts: Script, clock: Watch | None = None) -> MergedSource:
    return MergedSource({script.venue: script for script in scripts}, clock or Watch(), GRACE_S)


def closes(events: Sequence[MarketEvent]) -> list[Bars]:
    return [event for event in events if isinstance(event, Bars)]


def test_close_when_both_venues_have_told_it_then_it_is_one_event_sorted_by_venue() -> None:
    waits = Event()
    first = Script("b", bars(B, 1), bars(B, 2))
    second = Script("a", waits, bars(A, 1), bars(A, 2))
    source = merged(first, second)
    events = source.events()
    waits.set()
    assert list(events) == [both(1), both(2)]


def test_close_when_a_venue_is_offline_then_the_others_go_on_without_waiting() -> None:
    silent = Event()
    source = merged(Script("a", bars(A, 1), bars(A, 2)), Script("b", status("b", False, 0, "no answer"), silent))
    events = source.events()
    told = [next(events) for _ in range(3)]
    assert closes(told) == [bars(A, 1), bars(A, 2)]
    assert status("b", False, 0, "no answer").venue in {each.venue for each in told if isinstance(each, FeedStatus)}
    source.close()


def test_close_when_a_venue_is_late_then_the_others_wait_the_grace_and_its_status_says_so() -> None:
    clock, comes, again = Watch(), Event(), Event()
    source = merged(
        Script("a", bars(A, 1), bars(A, 2), again, bars(A, 3)),
        Script("b", bars(B, 1), comes, bars(B, 2), again, bars(B, 3)),
        clock=clock,
    )
    events = source.events()
    assert next(events) == both(1)
    clock.step_s = GRACE_S
    late = next(events)
    assert (late.venue, late.online) == ("b", False)  # type: ignore[union-attr]
    assert "12:02:00 UTC is late" in late.detail  # type: ignore[union-attr]
    assert late.at == NOON + timedelta(minutes=1)
    assert next(events) == bars(A, 2)
    comes.set()
    back = next(events)
    assert (back.venue, back.online) == ("b", True)  # type: ignore[union-attr]
    assert "came late" in back.detail  # type: ignore[union-attr]
    assert next(events) == bars(B, 2)
    clock.step_s = 0.0
    again.set()
    assert next(events) == both(3)
    source.close()


def test_close_when_nobody_has_waited_long_enough_then_nothing_goes_out() -> None:
    clock, comes = Watch(), Event()
    source = merged(Script("a", bars(A, 1)), Script("b", comes, bars(B, 1)), clock=clock)
    source._venues[0].told.append(bars(A, 1))
    clock.seconds = 5.0
    assert source._ready() == []
    clock.seconds = 5.0 + GRACE_S - 0.1
    assert source._ready() == []
    clock.seconds = 5.0 + GRACE_S
    assert closes(source._ready()) == [bars(A, 1)]


def test_close_when_it_is_older_than_what_was_shown_then_it_is_no_event_any_more() -> None:
    source = merged(Script("a"), Script("b"))
    one, other = source._venues
    other.told.append(status("b", False))
    one.told.append(bars(A, 1))
    assert closes(source._ready()) == [bars(A, 1)]
    one.told.append(bars(A, 2))
    assert closes(source._ready()) == [bars(A, 2)]
    other.told += [status("b", True, 0), bars(B, 1), bars(B, 2), bars(B, 3)]
    one.told.append(bars(A, 3))
    told = source._ready()
    assert told[0] == status("b", True, 2)  # its own time has passed: told at the others'
    assert closes(told) == [bars(B, 2), both(3)]


def test_status_when_a_venue_is_late_then_it_is_not_called_online_until_it_has_caught_up() -> None:
    clock = Watch()
    source = merged(Script("a"), Script("b"), clock=clock)
    one, other = source._venues
    one.told.append(bars(A, 1))
    assert source._ready() == []
    clock.seconds = GRACE_S
    assert [type(each) for each in source._ready()] == [FeedStatus, Bars]
    other.told.append(status("b", True, 0, "refused a candle"))
    [told] = source._ready()
    assert told == status("b", False, 1, "its closes are late: refused a candle")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.booleans(), st.integers(0, 12)), max_size=40),
)
def test_events_whatever_the_order_then_time_never_goes_back_and_no_close_is_shown_twice(
    steps: list[tuple[str, bool, int]],
) -> None:
    clock = Watch()
    source = merged(Script("a"), Script("b"), clock=clock)
    venues = {venue.name: venue for venue in source._venues}
    at, told = {"a": 0, "b": 0}, []
    for name, is_bars, wait_s in steps:
        clock.seconds += wait_s
        at[name] += is_bars
        key = {"a": A, "b": B}[name]
        venues[name].told.append(bars(key, at[name]) if is_bars else status(name, wait_s % 2 == 0, at[name]))
        told += source._ready()
    shown = [event.at for event in told if isinstance(event, Bars)]
    assert shown == sorted(shown)
    candles = [(each.instrument, each.opened_at) for event in closes(told) for each in event.candles]
    assert len(candles) == len(set(candles))
    last = NOON
    for event in told:
        assert event.at >= last
        last = max(last, event.at if isinstance(event, Bars) else last)


def test_source_when_one_breaks_then_that_is_raised() -> None:
    source = merged(Script("a", bars(A, 1), BadInput("the source broke")), Script("b", bars(B, 1)))
    events = source.events()
    with pytest.raises(BadInput, match="the source broke"):
        list(events)
    source.close()


def test_instruments_and_history_then_each_is_asked_of_its_own_venue() -> None:
    one, other = Script("a"), Script("b")
    source = merged(one, other)
    assert [each.key for each in source.instruments()] == [A, B]
    other.is_connected = False
    assert [each.key for each in source.instruments()] == [A]
    one.is_connected = False
    with pytest.raises(VenueUnreachable, match="not connected yet"):
        source.instruments()
    with pytest.raises(VenueUnreachable, match="b: b:BTC/USDT, 7"):
        source.history(B, 7)
    with pytest.raises(BadInput, match="there are those of a, b"):
        source.history(InstrumentKey("c:BTC/USDT"), 7)


def test_quotes_of_several_feeds_when_taken_then_they_are_one_set() -> None:
    class Feed:
        def __init__(self, *told: Quotes) -> None:
            self.told = list(told)

        def take(self) -> Quotes | None:
            return self.told.pop() if self.told else None

    def quotes(key: InstrumentKey, seconds: int) -> Quotes:
        at = NOON + timedelta(seconds=seconds)
        return Quotes(at, (BookTop(key, at, Decimal(99), Decimal(100), Decimal(1), Decimal(1)),))

    tops = MergedTops([Feed(quotes(B, 3)), Feed(), Feed(quotes(A, 1))])
    taken = tops.take()
    assert taken is not None
    assert (taken.at, [top.instrument for top in taken.tops]) == (NOON + timedelta(seconds=3), [A, B])
    assert tops.take() is None
