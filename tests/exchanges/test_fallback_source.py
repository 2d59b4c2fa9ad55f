"""Quotes between candles, and candles of another exchange while the own one sends none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Event
from threading import enumerate as threads

import pytest
from connected_case import until

from engine.domain.errors import BadInput, VenueUnreachable
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import (
    Bars,
    BookTop,
    Candle,
    CandleArrays,
    FeedStatus,
    MarketEvent,
    Quotes,
    Timeframe,
)
from engine.exchanges import EXCHANGES
from engine.exchanges.fallback import FallbackSource, SpareExchange
from engine.exchanges.quoted import QuotedSource
from engine.exchanges.spares import SharedSpares
from engine.runtime.clock import SystemClock
from tests.standin.client import running

MINUTE = Timeframe(60)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
BTC = Instrument("bybit", "BTC", "USDT", Kind.SPOT, Decimal("0.01"), Decimal("0.0001"), Decimal(5), Decimal(1))
ETH = Instrument("bybit", "ETH", "USDT", Kind.SPOT, Decimal("0.01"), Decimal("0.0001"), Decimal(5), Decimal(1))


def _bars(minute: int, close: str = "100", key: InstrumentKey = BTC.key) -> Bars:
    at, price = NOON + timedelta(minutes=minute), Decimal(close)
    return Bars(at, (Candle(key, MINUTE, at - MINUTE.delta, price, price, price, price, Decimal(1)),))


def _status(online: bool, minute: int = 0) -> FeedStatus:
    return FeedStatus("bybit", NOON + timedelta(minutes=minute), online, "as the source says")


def _quotes(seconds: float, bid: str = "99", key: InstrumentKey = BTC.key) -> Quotes:
    at = NOON + timedelta(seconds=seconds)
    return Quotes(at, (BookTop(key, at, Decimal(bid), Decimal(bid) + 1, Decimal(1), Decimal(1)),))


class Script:
    """A source that says what it is told to; `Event`s in the script are waited for."""

    def __init__(self, *steps: MarketEvent | Event | Exception) -> None:
        self.steps = steps
        self.closed = Event()

    def instruments(self) -> Sequence[Instrument]:
        return (BTC,)

    def history(self, key: InstrumentKey, bars: int) -> CandleArrays:
        raise BadInput(f"{bars} bars of {key} are not in the script")

    def events(self) -> Iterator[MarketEvent]:
        for step in self.steps:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, Event):
                while not step.wait(0.01) and not self.closed.is_set():
                    continue
            else:
                yield step
        self.closed.wait(10)

    def close(self) -> None:
        self.closed.set()


class Spare:
    """Another exchange with these closes."""

    def __init__(self, title: str, *told: Bars, error: Exception | None = None) -> None:
        self.title, self.told, self.error = title, told, error
        self.asked: list[datetime] = []
        self.closed = False

    def lists(self, own: Sequence[Instrument]) -> frozenset[InstrumentKey]:
        return frozenset(each.key for each in own)

    def bars(self, own: Sequence[Instrument], timeframe: Timeframe, since: datetime) -> list[Bars]:
        self.asked.append(since)
        if self.error is not None:
            raise self.error
        return [bars for bars in self.told if bars.at >= since]

    def close(self) -> None:
        self.closed = True


def _fallback(script: Script, *spares: Spare) -> FallbackSource:
    return FallbackSource(script, "bybit", MINUTE, SharedSpares(spares, SystemClock().now), 0.02)


def _take(source: FallbackSource | QuotedSource, count: int) -> list[MarketEvent]:
    taken = []
    events = source.events()
    for event in events:
        taken.append(event)
        if len(taken) == count:
            break
    source.close()
    return taken + list(events)


def test_candles_when_the_own_exchange_is_silent_then_anothers_come_in_its_place_and_the_feed_stays_offline() -> None:
    spare = Spare("Kraken", _bars(1, "100.5"), _bars(2, "101"), _bars(3, "102"))
    source = _fallback(Script(_bars(1), _status(False, 1)), spare)
    first, offline, marked, second, third = _take(source, 5)
    assert (first, offline, second, third) == (_bars(1), _status(False, 1), _bars(2, "101"), _bars(3, "102"))
    assert isinstance(marked, FeedStatus)
    assert (marked.online, "Kraken stand in" in marked.detail) == (False, True)
    assert spare.closed


def test_candles_when_the_own_exchange_is_back_then_closes_that_were_shown_do_not_come_again() -> None:
    back = Event()
    script = Script(_bars(1), _status(False, 1), back, _status(True, 1), _bars(2, "101"), _bars(3, "102"))
    source = _fallback(script, Spare("Kraken", _bars(1), _bars(2, "101.1")))
    taken: list[MarketEvent] = []
    for event in source.events():
        taken.append(event)
        if event == _bars(2, "101.1"):
            back.set()
        if event == _bars(3, "102"):
            source.close()
    closes = [(each.at, each.candles[0].close) for each in taken if isinstance(each, Bars)]
    assert [str(close) for _, close in closes] == ["100", "101.1", "102"]
    assert [each.online for each in taken if isinstance(each, FeedStatus)] == [False, False, True]


def test_candles_when_the_own_exchange_sends_them_then_no_other_is_asked() -> None:
    spare = Spare("Kraken", _bars(2))
    source = _fallback(Script(_bars(1), _status(True, 1), _bars(2)), spare)
    assert len(_take(source, 3)) == 3
    assert spare.asked == []


@pytest.mark.parametrize(
    ("first", "why"),
    [
        (Spare("Kraken", _bars(1, "103"), _bars(2)), "closed at 103 there, at 100 here"),
        (Spare("Kraken", _bars(2)), "to compare with"),
        (Spare("Kraken", error=VenueUnreachable("no answer")), "no answer"),
        (Spare("Kraken", error=BadInput("it does not trade BTC/USDT")), "does not trade"),
    ],
)
def test_candles_when_another_exchange_cannot_stand_in_then_it_says_why_and_the_next_is_asked(
    first: Spare, why: str
) -> None:
    second = Spare("Binance", _bars(1), _bars(2, "101"))
    source = _fallback(Script(_bars(1), _status(False, 1)), first, second)
    _, _, marked, shown = _take(source, 4)
    assert isinstance(marked, FeedStatus)
    assert "Binance stand in" in marked.detail
    assert "Kraken cannot: " in marked.detail
    assert why in marked.detail
    assert shown == _bars(2, "101")


def test_candles_when_reading_them_fails_then_the_error_is_raised_where_they_are_taken() -> None:
    source = _fallback(Script(_bars(1), BadInput("the file is gone")))
    with pytest.raises(BadInput, match="the file is gone"):
        list(source.events())


def test_spare_exchange_when_it_is_asked_then_its_closes_carry_the_own_keys_and_reach_up_to_now(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as exchange:
        spare = SpareExchange(EXCHANGES["binance"], SystemClock(), 5.0, exchange.rest_url("binance"))
        now = datetime.now(UTC)
        since = now.replace(second=0, microsecond=0) - timedelta(minutes=5)
        told = spare.bars((BTC, ETH), MINUTE, since)
        listed = spare.lists((BTC, ETH, replace(BTC, base="NOPE")))
        spare.close()
    assert listed == {BTC.key, ETH.key}
    assert told[0].at == since
    assert 5 <= len(told) <= 7
    assert all([candle.instrument for candle in bars.candles] == [BTC.key, ETH.key] for bars in told)


class Feed:
    """Quotes one after the other, each once."""

    def __init__(self, *quotes: Quotes) -> None:
        self.left = list(quotes)

    def take(self) -> Quotes | None:
        return self.left.pop(0) if self.left else None


def test_quotes_when_candles_pause_then_they_come_between_them() -> None:
    source = QuotedSource(Script(_bars(0)), Feed(_quotes(10), _quotes(20, "98")), 0.01)
    assert _take(source, 3) == [_bars(0), _quotes(10), _quotes(20, "98")]


def test_quotes_when_they_are_of_after_the_next_close_then_they_wait_until_it_was_shown() -> None:
    late = Event()
    feed = Feed(_quotes(61), _quotes(62, "97", ETH.key), _quotes(63, "98"))
    source = QuotedSource(Script(_bars(0), late, _bars(1)), feed, 0.01)
    events = source.events()
    assert next(events) == _bars(0)
    late.set()
    rest = [next(events), next(events)]
    source.close()
    assert rest[0] == _bars(1)
    assert isinstance(rest[1], Quotes)
    assert rest[1].at >= NOON + timedelta(seconds=61)


def test_quotes_before_the_first_candle_then_they_are_not_shown() -> None:
    begin = Event()
    source = QuotedSource(Script(begin, _bars(0)), Feed(), 0.01)
    begin.set()
    assert _take(source, 1) == [_bars(0)]


def test_close_when_events_were_read_then_no_thread_is_left() -> None:
    source = QuotedSource(Script(_bars(0)), Feed(), 0.01)
    _take(source, 1)
    until(lambda: not any(thread.name.startswith("candles-of") for thread in threads()))
