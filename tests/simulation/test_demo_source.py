"""The demo's market source: pace, faults, resumption, and the order of what it tells."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from engine.domain.errors import BadInput, CommandRefused
from engine.domain.instruments import InstrumentKey, venue_of
from engine.domain.market import Bars, FeedStatus, FundingRate, MarketEvent, Quotes, to_ms
from engine.simulation.demo_faults import VenueFaults
from engine.simulation.demo_source import STATE_FILE, DemoSource
from engine.simulation.market_day import LIVE_START, MINUTE
from engine.simulation.pacing import Pace

SEED = 11
BTC_A, BTC_PERP = InstrumentKey("demo-a:BTC/USDT"), InstrumentKey("demo-b:BTC/USDT:USDT")
RANKS = {FeedStatus: 0, FundingRate: 1, Quotes: 2, Bars: 3}


class JumpingWaiter:
    """Time passes only by waiting, and at once."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now_s

    def wait(self, seconds: float) -> None:
        """Jump."""
        self.now_s += seconds

    def wake(self) -> None:
        """Nobody sleeps."""


def _source(speed: int = 60, folder: Path | None = None) -> tuple[DemoSource, JumpingWaiter]:
    waiter = JumpingWaiter()
    return DemoSource(SEED, speed, folder, waiter), waiter


def _until_bars(source: DemoSource, count: int) -> list[MarketEvent]:
    """Every event up to and with the ``count``-th bars."""
    collected: list[MarketEvent] = []
    left = count
    for event in source.events():
        collected.append(event)
        left -= isinstance(event, Bars)
        if left == 0:
            break
    return collected


def _bars(events: list[MarketEvent]) -> list[Bars]:
    return [event for event in events if isinstance(event, Bars)]


def test_events_when_started_then_feeds_are_online_and_every_minute_has_all_instruments() -> None:
    source, _ = _source()
    events = _until_bars(source, 3)
    assert [(event.venue, event.online) for event in events[:2] if isinstance(event, FeedStatus)] == [
        ("demo-a", True),
        ("demo-b", True),
    ]
    bars = _bars(events)
    assert [bar.at for bar in bars] == [LIVE_START + timedelta(minutes=minute) for minute in (1, 2, 3)]
    keys = [instrument.key for instrument in source.instruments()]
    assert all([candle.instrument for candle in bar.candles] == keys for bar in bars)
    assert all(candle.closed_at == bar.at for bar in bars for candle in bar.candles)


def test_events_when_eight_hours_pass_then_funding_comes_before_the_bars_of_its_instant() -> None:
    source, _ = _source(1000)
    events = _until_bars(source, 481)
    stamps = [position for position, event in enumerate(events) if isinstance(event, FundingRate)]
    assert len(stamps) == 2
    assert {venue_of(event.instrument) for event in events if isinstance(event, FundingRate)} == {"demo-b"}
    after = events[stamps[-1] + 1]
    assert isinstance(after, Bars)
    assert after.at == LIVE_START + timedelta(hours=8) == events[stamps[0]].at


def test_events_when_collected_then_market_time_and_rank_never_go_back() -> None:
    source, _ = _source(20)
    source.inject("demo-b", "outage", 3)
    events = _until_bars(source, 485)
    order = [(to_ms(event.at), RANKS[type(event)]) for event in events]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("speed", "quotes"), [(1, 59), (7, 8), (20, 2), (30, 1), (45, 1), (60, 1), (120, 1), (1000, 0)]
)
def test_events_when_slow_then_about_one_quote_a_wall_second_comes_between_closes(speed: int, quotes: int) -> None:
    source, _ = _source(speed)
    _until_bars(source, 1)
    between = _until_bars(source, 1)
    assert sum(isinstance(event, Quotes) for event in between) == quotes


def test_quotes_when_shown_then_they_lie_inside_the_candle_that_is_still_open() -> None:
    source, _ = _source(5)
    events = _until_bars(source, 30)
    quotes: list[Quotes] = []
    for event in events:
        if isinstance(event, Quotes):
            quotes.append(event)
        elif isinstance(event, Bars):
            candles = {candle.instrument: candle for candle in event.candles}
            for quote in quotes:
                assert event.at - timedelta(minutes=1) < quote.at < event.at
                for top in quote.tops:
                    slack = (top.ask - top.bid) / 2 + (top.ask - top.bid)
                    assert top.bid < top.ask
                    assert min(top.bid_size, top.ask_size) > 0
                    assert candles[top.instrument].low - slack <= top.mid <= candles[top.instrument].high + slack
            quotes = []


def test_events_when_paced_then_wall_time_is_market_time_over_speed() -> None:
    source, waiter = _source(120)
    started = waiter.now_s
    _until_bars(source, 20)
    assert waiter.now_s - started == pytest.approx(10)


def test_set_speed_when_running_then_the_pace_changes_at_once() -> None:
    source, waiter = _source(60)
    iterator = source.events()
    list(islice(iterator, 4))
    source.set_speed(600)
    started = waiter.now_s
    list(islice(iterator, 20))
    assert waiter.now_s - started == pytest.approx(2, abs=0.2)
    assert source.speed == 600


@pytest.mark.parametrize("speed", [0, -1, 1001, 1.5, True, "60"])
def test_set_speed_when_out_of_bounds_then_it_is_refused(speed: object) -> None:
    source, _ = _source()
    with pytest.raises(BadInput, match="speed"):
        source.set_speed(speed)  # type: ignore[arg-type]
    assert source.speed == 60


def test_pace_when_the_machine_slept_then_the_market_waits_instead_of_bursting() -> None:
    waiter = JumpingWaiter()
    pace = Pace(waiter, 60)
    assert pace.seconds_until(60_000, 0) == pytest.approx(1)
    waiter.now_s += 3600
    assert pace.seconds_until(60_000, 0) == 0
    assert pace.seconds_until(120_000, 60_000) == pytest.approx(1)


def test_pace_when_a_little_late_then_it_catches_up() -> None:
    waiter = JumpingWaiter()
    pace = Pace(waiter, 60)
    pace.seconds_until(60_000, 0)
    waiter.now_s += 1.4
    assert pace.seconds_until(60_000, 0) == 0
    assert pace.seconds_until(120_000, 60_000) == pytest.approx(0.6)


def test_history_when_nothing_was_shown_yet_then_two_weeks_lie_before_the_first_bar() -> None:
    source, _ = _source()
    history = source.history(BTC_A, 100_000)
    assert len(history) == 14 * 1440
    assert history.opened_at_ms[-1] == to_ms(LIVE_START) - MINUTE.ms
    first = _bars(_until_bars(source, 1))[0].candles[1]
    assert first.instrument == BTC_A
    assert abs(float(first.open) / history.close[-1] - 1) < 0.02


def test_history_when_bars_were_shown_then_it_ends_with_them_and_holds_the_same_numbers() -> None:
    source, _ = _source(1000)
    bars = _bars(_until_bars(source, 50))
    history = source.history(BTC_PERP, 50)
    shown = [candle for bar in bars for candle in bar.candles if candle.instrument == BTC_PERP]
    assert [float(candle.close) for candle in shown] == history.close.tolist()
    assert [to_ms(candle.opened_at) for candle in shown] == history.opened_at_ms.tolist()


def test_candles_when_a_range_is_asked_then_just_its_past_bars_come() -> None:
    source, _ = _source(1000)
    _until_bars(source, 30)
    start = LIVE_START - timedelta(minutes=5)
    assert len(source.candles(BTC_A, start, LIVE_START + timedelta(minutes=10))) == 15
    assert len(source.candles(BTC_A, start, LIVE_START + timedelta(days=3))) == 35
    assert len(source.candles(BTC_A, LIVE_START + timedelta(days=2), LIVE_START + timedelta(days=3))) == 0


def test_top_when_asked_then_it_stands_around_the_last_close() -> None:
    source, _ = _source()
    bar = _bars(_until_bars(source, 2))[-1]
    for candle in bar.candles:
        top = source.top(candle.instrument)
        assert top.bid < top.ask
        assert abs(top.mid / candle.close - 1) < Decimal("0.01")
        assert top.at == bar.at


@pytest.mark.parametrize("bars", [0, -5])
def test_history_when_no_bars_are_wished_then_it_is_refused(bars: int) -> None:
    source, _ = _source()
    with pytest.raises(BadInput, match="at least one"):
        source.history(BTC_A, bars)


@pytest.mark.parametrize("with_folder", [True, False])
@pytest.mark.parametrize("shown", [1, 719, 1440, 3000])
def test_resume_when_restarted_then_the_next_bars_are_those_of_an_uninterrupted_run(
    tmp_path: Path, with_folder: bool, shown: int
) -> None:
    folder = tmp_path if with_folder else None
    source, _ = _source(1000, folder)
    *_, last = _bars(_until_bars(source, shown))
    expected = _bars(_until_bars(source, 5))
    restarted, _ = _source(60, folder)
    restarted.resume_at(last.at)
    assert _bars(_until_bars(restarted, 5)) == expected
    assert restarted.history(BTC_A, 9000).close.tolist() == source.history(BTC_A, 9000).close.tolist()


def test_resume_when_the_instant_lies_inside_a_minute_then_that_minute_still_closes() -> None:
    source, _ = _source(10)
    source.resume_at(LIVE_START + timedelta(minutes=7, seconds=25))
    events = _until_bars(source, 1)
    assert events[-1].at == LIVE_START + timedelta(minutes=8)
    assert all(event.at > LIVE_START + timedelta(minutes=7, seconds=25) for event in events[2:])


def test_resume_when_before_the_market_began_then_it_is_refused() -> None:
    source, _ = _source()
    with pytest.raises(BadInput, match="before the demo market's start"):
        source.resume_at(datetime(2025, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1, "seed": 12, "days": []}', "\x00"])
def test_state_file_when_broken_or_foreign_then_the_market_is_rebuilt(tmp_path: Path, content: str) -> None:
    expected = _bars(_until_bars(_source(1000)[0], 3))
    (tmp_path / STATE_FILE).write_text(content)
    source, _ = _source(1000, tmp_path)
    assert _bars(_until_bars(source, 3)) == expected
    assert json.loads((tmp_path / STATE_FILE).read_text())["seed"] == SEED


def test_state_file_when_the_folder_cannot_be_written_then_the_market_goes_on(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    source, _ = _source(1000, blocked)
    assert len(_bars(_until_bars(source, 2))) == 2


def test_state_file_when_many_days_pass_then_it_stays_small(tmp_path: Path) -> None:
    source, _ = _source(1000, tmp_path)
    source.resume_at(LIVE_START + timedelta(days=40))
    _until_bars(source, 1)
    stored = json.loads((tmp_path / STATE_FILE).read_text())
    assert len(stored["days"]) <= 18
    assert (tmp_path / STATE_FILE).stat().st_size < 50_000
    assert [path.name for path in tmp_path.iterdir()] == [STATE_FILE]


def test_outage_when_injected_then_the_venue_goes_silent_and_says_so_at_both_ends() -> None:
    source, _ = _source(1000)
    _until_bars(source, 2)
    source.inject("demo-b", "outage", 3)
    iterator = source.events()
    events = [event for event in islice(iterator, 7) if not _first_status(event)]
    offline, *bars, online, back = events
    assert isinstance(offline, FeedStatus)
    assert (offline.venue, offline.online) == ("demo-b", False)
    assert "simulated outage of 3 minutes" in offline.detail
    assert [{venue_of(candle.instrument) for candle in bar.candles} for bar in _bars(bars)] == [{"demo-a"}] * 2
    assert isinstance(online, FeedStatus)
    assert online.online
    assert isinstance(back, Bars)
    assert {venue_of(candle.instrument) for candle in back.candles} == {"demo-a"}
    assert {venue_of(candle.instrument) for candle in next(iterator).candles} == {"demo-a", "demo-b"}  # type: ignore[union-attr]


def _first_status(event: MarketEvent) -> bool:
    return isinstance(event, FeedStatus) and event.detail == "simulated market"


def test_outage_when_running_then_history_stops_and_is_complete_afterwards() -> None:
    source, _ = _source(1000)
    _until_bars(source, 10)
    source.inject("demo-b", "outage", 5)
    _until_bars(source, 3)
    assert source.history(BTC_PERP, 1).opened_at_ms[-1] == to_ms(LIVE_START) + 9 * MINUTE.ms
    assert source.history(BTC_A, 1).opened_at_ms[-1] == to_ms(LIVE_START) + 12 * MINUTE.ms
    _until_bars(source, 4)
    history = source.history(BTC_PERP, 17)
    assert history.opened_at_ms[-1] == to_ms(LIVE_START) + 16 * MINUTE.ms
    assert set(np.diff(history.opened_at_ms)) == {MINUTE.ms}


def test_outage_when_both_venues_are_out_then_time_goes_on_with_empty_bars() -> None:
    source, _ = _source(1000)
    source.inject("demo-a", "outage", 2)
    source.inject("demo-b", "outage", 2)
    bars = _bars(_until_bars(source, 3))
    assert [len(bar.candles) for bar in bars] == [0, 0, 10]


def test_outage_when_slow_then_the_venue_has_no_quotes_either() -> None:
    source, _ = _source(10)
    source.inject("demo-a", "outage", 1)
    quotes = [event for event in _until_bars(source, 1) if isinstance(event, Quotes)]
    assert quotes
    assert {venue_of(top.instrument) for quote in quotes for top in quote.tops} == {"demo-b"}


def test_gap_when_injected_then_bars_are_missing_and_the_feed_calls_itself_online() -> None:
    source, _ = _source(1000)
    _until_bars(source, 2)
    source.inject("demo-a", "gap", 2)
    events = [event for event in _until_bars(source, 3) if not _first_status(event)]
    assert not any(isinstance(event, FeedStatus) for event in events)
    assert [len(bar.candles) for bar in _bars(events)] == [4, 4, 10]
    assert len(source.history(BTC_A, 4)) == 4


def test_funding_when_the_venue_is_out_then_it_is_booked_all_the_same() -> None:
    source, _ = _source(1000)
    source.resume_at(LIVE_START + timedelta(hours=7, minutes=58))
    source.inject("demo-b", "outage", 5)
    events = _until_bars(source, 3)
    assert sum(isinstance(event, FundingRate) for event in events) == 2


@pytest.mark.parametrize(
    ("venue", "fault", "minutes"),
    [("binance", "outage", 5), ("demo-a", "fire", 5), ("demo-a", "gap", 0), ("demo-a", "gap", 1441)],
)
def test_inject_when_a_value_cannot_be_then_it_is_refused(venue: str, fault: str, minutes: int) -> None:
    with pytest.raises(BadInput):
        VenueFaults().inject(venue, fault, minutes, 0)


def test_inject_when_one_is_running_then_the_second_is_refused_until_its_end() -> None:
    source, _ = _source(1000)
    source.inject("demo-a", "gap", 2)
    with pytest.raises(CommandRefused, match="wait for its end"):
        source.inject("demo-a", "outage", 2)
    _until_bars(source, 3)
    source.inject("demo-a", "outage", 2)


def test_events_when_measured_then_a_close_costs_less_than_a_millisecond() -> None:
    source, _ = _source(1000)
    _until_bars(source, 10)
    started = time.process_time()
    _until_bars(source, 2880)
    assert (time.process_time() - started) / 2880 < 0.001


def test_close_when_another_thread_waits_then_events_end_promptly() -> None:
    source = DemoSource(SEED, 1)
    collected: list[MarketEvent] = []
    thread = Thread(target=lambda: collected.extend(source.events()))
    thread.start()
    source.close()
    thread.join(5)
    assert not thread.is_alive()
    assert list(source.events()) == []


def test_set_speed_when_another_thread_waits_then_it_wakes() -> None:
    source = DemoSource(SEED, 1)
    collected: list[Bars] = []

    def watch() -> None:
        for event in source.events():
            if isinstance(event, Bars):
                collected.append(event)
                source.close()

    thread = Thread(target=watch)
    thread.start()
    source.set_speed(1000)
    thread.join(10)
    assert collected
