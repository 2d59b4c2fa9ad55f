"""Public candles against a loopback exchange: complete, in order, and honest when there is nothing."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from itertools import islice

import ccxt
import pytest
from exchange_stand_in import HTML, MINUTE_MS, Answer, BinanceCandles, MovedClock, StandIn, running_stand_in
from pydantic import ValidationError

from engine.domain.errors import BadInput, VenueUnreachable
from engine.domain.instruments import InstrumentKey
from engine.domain.market import Bars, FeedStatus, MarketEvent, to_ms
from engine.exchanges.public import MAX_BACKOFF_S, PublicFeedConfig, PublicSource

START_MS = 1_767_225_600_000
BTC, ETH = InstrumentKey("binance:BTC/USDT"), InstrumentKey("binance:ETH/USDT")


@pytest.fixture(autouse=True)
def _unthrottled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between real requests would only make the tests slow."""
    monkeypatch.setattr(ccxt.Exchange, "throttle", lambda _self, _cost=None: None)


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with running_stand_in() as server:
        yield server


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock(START_MS + 30_000)


@pytest.fixture
def candles(stand_in: StandIn, clock: MovedClock) -> BinanceCandles:
    return BinanceCandles(stand_in, clock)


@pytest.fixture
def source(stand_in: StandIn, clock: MovedClock) -> Iterator[PublicSource]:
    made = _source(clock, stand_in.url)
    yield made
    made.close()
    assert not list(made.events())


def _source(clock: MovedClock, url: str, symbols: tuple[str, ...] = ("BTC/USDT", "ETH/USDT")) -> PublicSource:
    config = PublicFeedConfig(exchange="binance", symbols=symbols, history_bars=20, timeout_s=1)
    return PublicSource(config, clock, url, wait=clock.wait, jitter=lambda: 1.0)


def _take(source: PublicSource, events: int) -> list[MarketEvent]:
    """So many events; then the feed is closed, so that its connection is too."""
    iterator = source.events()
    taken = list(islice(iterator, events))
    source._market.close()
    return taken


def _bars(events: list[MarketEvent]) -> list[Bars]:
    return [event for event in events if isinstance(event, Bars)]


def _statuses(events: list[MarketEvent]) -> list[FeedStatus]:
    return [event for event in events if isinstance(event, FeedStatus)]


def test_events_when_the_exchange_answers_then_every_close_holds_every_symbol(
    candles: BinanceCandles, source: PublicSource
) -> None:
    events = _take(source, 4)
    assert _statuses(events)[0].online
    bars = _bars(events)
    assert [to_ms(bar.at) for bar in bars] == [START_MS + minute * MINUTE_MS for minute in (1, 2, 3)]
    assert all([candle.instrument for candle in bar.candles] == [BTC, ETH] for bar in bars)
    assert str(bars[0].candles[0].high) == "50200.5"


def test_construction_when_nothing_was_started_then_nothing_is_asked(
    candles: BinanceCandles, stand_in: StandIn, source: PublicSource
) -> None:
    with pytest.raises(VenueUnreachable, match="not connected"):
        source.instruments()
    with pytest.raises(VenueUnreachable, match="not connected"):
        source.history(BTC, 10)
    assert stand_in.requests == []


def test_instruments_when_connected_then_tick_lot_and_notional_are_the_exchanges_own(
    candles: BinanceCandles, source: PublicSource
) -> None:
    source.connect()
    source._market.close()
    bitcoin = source.instruments()[0]
    assert [str(bitcoin.tick_size), str(bitcoin.lot_size), str(bitcoin.min_notional)] == ["0.01", "0.00001", "5"]


def test_history_when_connected_then_only_closed_candles_up_to_the_limit(
    candles: BinanceCandles, source: PublicSource
) -> None:
    source.connect()
    source._market.close()
    history = source.history(BTC, 500)
    assert len(history) == 20
    assert history.opened_at_ms[-1] == START_MS - MINUTE_MS
    with pytest.raises(BadInput, match="not carried"):
        source.history(InstrumentKey("binance:DOGE/USDT"), 5)


def test_events_when_own_clock_is_fast_then_no_unfinished_candle_is_shown(
    candles: BinanceCandles, source: PublicSource
) -> None:
    candles.skew_ms = -45_000
    for bar in _bars(_take(source, 4)):
        assert to_ms(bar.at) <= candles.now_ms


def test_events_when_one_symbol_is_late_then_it_is_waited_for_within_the_grace(
    candles: BinanceCandles, source: PublicSource, clock: MovedClock
) -> None:
    late = ("ETHUSDT", START_MS)
    candles.missing.add(late)
    iterator = source.events()
    next(iterator)
    original = clock.wait

    def arrives_after_four_seconds(seconds: float) -> None:
        original(seconds)
        if candles.now_ms > START_MS + MINUTE_MS + 4_000:
            candles.missing.discard(late)

    source._wait = arrives_after_four_seconds
    bars = next(iterator)
    source._market.close()
    assert isinstance(bars, Bars)
    assert [candle.instrument for candle in bars.candles] == [BTC, ETH]
    assert clock.now_ms < START_MS + MINUTE_MS + 8_000


def test_events_when_one_symbol_skips_a_minute_then_the_close_goes_out_without_it(
    candles: BinanceCandles, source: PublicSource
) -> None:
    candles.missing.add(("ETHUSDT", START_MS))
    first, second = _bars(_take(source, 3))
    assert [candle.instrument for candle in first.candles] == [BTC]
    assert [candle.instrument for candle in second.candles] == [BTC, ETH]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Answer("Internal Server Error", 500, "text/plain"), "not available"),
        (HTML, "no list of candles"),
        (Answer("]{ not json", 200), "no list of candles|cannot be read"),
        (Answer([["x"]]), "sends no candle since"),
        (Answer([]), "sends no candle since"),
        (Answer({"code": -1003, "msg": "Too much request weight used"}, 429), "fewer questions"),
    ],
    ids=["500", "html", "garbage", "rows that are none", "empty list", "429"],
)
def test_events_when_the_exchange_fails_then_offline_is_told_and_the_gap_is_filled_in_order(
    candles: BinanceCandles, stand_in: StandIn, source: PublicSource, fault: Answer, said: str
) -> None:
    iterator = source.events()
    good = [next(iterator), next(iterator)]
    stand_in.answer("/api/v3/klines", fault)
    offline = next(iterator)
    assert isinstance(offline, FeedStatus)
    assert not offline.online
    assert re.search(said, offline.detail), offline.detail
    stand_in.routes["/api/v3/klines"] = candles.klines
    after = [next(iterator), next(iterator), next(iterator), next(iterator)]
    source._market.close()
    assert [status.online for status in _statuses(after)] == [True]
    times = [to_ms(bar.at) for bar in _bars(good + after)]
    assert times == list(range(times[0], times[-1] + 1, MINUTE_MS))
    order = [to_ms(event.at) for event in [*good, offline, *after]]
    assert order == sorted(order)


def test_events_when_nothing_listens_then_offline_with_growing_capped_backoff(clock: MovedClock) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    source = _source(clock, url)
    iterator = source.events()
    offline = next(iterator)
    assert isinstance(offline, FeedStatus)
    assert not offline.online
    assert "cannot be reached" in offline.detail

    def closes_after_nine(seconds: float) -> None:
        clock.wait(seconds)
        if len(clock.waits) == 9:
            source.close()

    source._wait = closes_after_nine
    assert list(iterator) == []
    assert clock.waits == [1, 2, 4, 8, 16, 32, MAX_BACKOFF_S, MAX_BACKOFF_S, MAX_BACKOFF_S]


@pytest.mark.parametrize("banned", [418, 429])
def test_events_when_throttled_then_the_exchanges_own_pause_is_kept(
    candles: BinanceCandles, stand_in: StandIn, source: PublicSource, clock: MovedClock, banned: int
) -> None:
    iterator = source.events()
    next(iterator)
    ban = Answer({"code": -1003, "msg": "banned"}, banned, headers=(("Retry-After", "137"),))
    stand_in.answer("/api/v3/klines", ban)
    offline = next(iterator)
    assert isinstance(offline, FeedStatus)
    stand_in.routes["/api/v3/klines"] = candles.klines
    next(iterator)
    source._market.close()
    assert 137 in clock.waits


@pytest.mark.parametrize(
    "prices",
    [
        ["NaN", "50200.5", "49900.1", "50000.0"],
        ["0.0", "50200.5", "0.0", "50000.0"],
        ["50000.0", "49000.0", "49900.1", "50000.0"],
        ["-1", "50200.5", "-1", "50000.0"],
        ["Infinity", "Infinity", "49900.1", "50000.0"],
    ],
    ids=["nan", "zero", "high below open", "negative", "infinite"],
)
def test_events_when_a_price_cannot_be_then_the_candle_is_refused_and_said(
    candles: BinanceCandles, source: PublicSource, prices: list[str]
) -> None:
    candles.spoiled["ETHUSDT", START_MS] = prices
    events = _take(source, 4)
    assert any("refused a candle" in status.detail and "ETH/USDT" in status.detail for status in _statuses(events))
    first = _bars(events)[0]
    assert [candle.instrument for candle in first.candles] == [BTC]


def test_events_when_resumed_then_closes_after_that_instant_come_as_events(
    candles: BinanceCandles, source: PublicSource, clock: MovedClock
) -> None:
    clock.now_ms = START_MS + 10 * MINUTE_MS
    source.resume_at(clock.now().replace(minute=4, second=0))
    bars = _bars(_take(source, 6))
    assert [to_ms(bar.at) for bar in bars] == [START_MS + minute * MINUTE_MS for minute in (5, 6, 7, 8, 9)]


def test_events_when_history_needs_several_answers_then_all_pages_are_read(
    candles: BinanceCandles, stand_in: StandIn, clock: MovedClock
) -> None:
    config = PublicFeedConfig(exchange="binance", symbols=("BTC/USDT",), history_bars=700)
    source = PublicSource(config, clock, stand_in.url, wait=clock.wait)
    source.connect()
    source._market.close()
    opened = source.history(BTC, 700).opened_at_ms
    assert len(opened) == 700
    assert set(opened[1:] - opened[:-1]) == {MINUTE_MS}


@pytest.mark.parametrize(
    ("symbols", "timeframe", "said"),
    [
        (("BTC/EUR",), "1m", "does not trade 'BTC/EUR'; with BTC it trades BTC/USDT"),
        (("NOPE/USDT",), "1m", "with NOPE it trades nothing"),
        (("BTC/USDT",), "7m", "has no 7m candles"),
    ],
)
def test_connect_when_the_exchange_lacks_it_then_bad_input_says_what_there_is(
    candles: BinanceCandles, stand_in: StandIn, clock: MovedClock, symbols: tuple[str, ...], timeframe: str, said: str
) -> None:
    config = PublicFeedConfig(exchange="binance", symbols=symbols, timeframe=timeframe)
    source = PublicSource(config, clock, stand_in.url, wait=clock.wait)
    with pytest.raises(BadInput, match=said):
        source.connect()
    source._market.close()


def test_connect_when_a_symbol_is_listed_no_more_and_that_is_no_reason_then_the_others_are_carried(
    candles: BinanceCandles, stand_in: StandIn, clock: MovedClock
) -> None:
    symbols = ("BTC/USDT", "GONE/USDT")
    config = PublicFeedConfig(exchange="binance", symbols=symbols, history_bars=20, timeout_s=1, also_halted=True)
    source = PublicSource(config, clock, stand_in.url, wait=clock.wait, jitter=lambda: 1.0)
    source.connect()
    source._market.close()
    assert [each.key for each in source.instruments()] == [BTC]
    assert [len(source.history(key, 5)) for key in (BTC, InstrumentKey("binance:GONE/USDT"))] == [5, 0]
    with pytest.raises(BadInput, match="not carried"):
        source.history(InstrumentKey("binance:DOGE/USDT"), 5)


def test_connect_when_the_markets_are_an_empty_list_then_it_is_a_failure(
    candles: BinanceCandles, stand_in: StandIn, source: PublicSource
) -> None:
    stand_in.answer("/api/v3/exchangeInfo", Answer({"symbols": []}))
    with pytest.raises(VenueUnreachable, match="empty list"):
        source.connect()
    source._market.close()


@pytest.mark.parametrize(
    "values",
    [
        {"exchange": "mtgox", "symbols": ("BTC/USDT",)},
        {"exchange": "binance", "symbols": ()},
        {"exchange": "binance", "symbols": ("BTC/USDT",), "timeframe": "soon"},
        {"exchange": "binance", "symbols": ("BTC/USDT",), "history_bars": 1},
        {"exchange": "binance", "symbols": ("BTC/USDT",), "unknown": 1},
    ],
)
def test_config_when_a_value_cannot_be_then_it_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PublicFeedConfig.model_validate(values)
