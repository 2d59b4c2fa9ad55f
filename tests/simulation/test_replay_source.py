"""The past in the order of market time: merging, funding, history, and what is refused before it starts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations, product

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import Bars, CandleArrays, FundingRate, MarketEvent, Timeframe, to_ms
from engine.domain.ports import MarketSource
from engine.market.checks import take
from engine.market.funding import FundingSeries
from engine.simulation import replay_source
from engine.simulation.instrument_table import instrument_for
from engine.simulation.replay_source import ReplaySource
from engine.storage.candle_import import read_funding
from tests.shared_data import shared_path

Line = tuple[str, datetime, tuple[str, ...]]
HOUR = Timeframe(3600)
START = datetime(2024, 1, 1, tzinfo=UTC)
START_MS = 1_704_067_200_000


def instrument(venue: str = "binance", base: str = "BTC", kind: Kind = Kind.SPOT, tick: str = "0.01") -> Instrument:
    return Instrument(venue, base, "USDT", kind, Decimal(tick), Decimal("0.001"), Decimal(5))


def rows(*numbers: int, timeframe: Timeframe = HOUR, price: float = 100.0) -> CandleArrays:
    opens = price + np.array(numbers, dtype=np.float64)
    times = START_MS + np.array(numbers, dtype=np.int64) * timeframe.ms
    return CandleArrays(timeframe, times, opens, opens + 2, opens - 2, opens + 1, opens / 8)


def funding(*hours: float) -> FundingSeries:
    at_ms = np.array([START_MS + int(hour * 3_600_000) for hour in hours], dtype=np.int64)
    return FundingSeries(at_ms, tuple(Decimal(number + 1) / 10_000 for number in range(len(hours))))


BTC, ETH, KRAKEN = instrument(), instrument(base="ETH"), instrument("kraken")
PERP = instrument(kind=Kind.PERPETUAL)


def told(events: list[MarketEvent]) -> list[Line]:
    """Kind, time and instruments of each event."""
    lines: list[Line] = []
    for event in events:
        if isinstance(event, Bars):
            lines.append(("bars", event.at, tuple(candle.instrument for candle in event.candles)))
        elif isinstance(event, FundingRate):
            lines.append(("funding", event.at, (event.instrument,)))
    return lines


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def test_events_when_one_instrument_yields_each_candle_with_exact_values() -> None:
    source: MarketSource = ReplaySource({BTC: rows(0, 1, 3)})
    events = list(source.events())
    assert told(events) == [("bars", at(1), (BTC.key,)), ("bars", at(2), (BTC.key,)), ("bars", at(4), (BTC.key,))]
    assert isinstance(events[2], Bars)
    candle = events[2].candles[0]
    assert (candle.opened_at, candle.closed_at, candle.timeframe) == (at(3), at(4), HOUR)
    assert (candle.open, candle.high, candle.low, candle.close) == tuple(map(Decimal, ("103", "105", "101", "104")))
    assert (str(candle.close), candle.volume) == ("104.00", Decimal("12.875"))


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_events_when_arguments_come_in_any_order_are_the_same(order: tuple[int, ...]) -> None:
    given_series = [(BTC, rows(0, 1, 2)), (ETH, rows(1, 2, 3)), (KRAKEN, rows(0, 2, 4))]
    source = ReplaySource(dict(given_series[number] for number in order))
    assert [one.key for one in source.instruments()] == [BTC.key, ETH.key, KRAKEN.key]
    assert told(list(source.events())) == [
        ("bars", at(1), (BTC.key, KRAKEN.key)),
        ("bars", at(2), (BTC.key, ETH.key)),
        ("bars", at(3), (BTC.key, ETH.key, KRAKEN.key)),
        ("bars", at(4), (ETH.key,)),
        ("bars", at(5), (KRAKEN.key,)),
    ]
    assert source.bars == 9


def test_events_when_timeframes_differ_merge_by_close() -> None:
    source = ReplaySource({BTC: rows(0, timeframe=Timeframe(7200)), ETH: rows(0, 1, 2)})
    assert told(list(source.events())) == [
        ("bars", at(1), (ETH.key,)),
        ("bars", at(2), (BTC.key, ETH.key)),
        ("bars", at(3), (ETH.key,)),
    ]


def test_events_when_a_perpetual_pays_come_before_the_bars_of_the_instant() -> None:
    series = {PERP: rows(0, 1, 2), BTC: rows(0, 1, 2)}
    events = list(ReplaySource(series, {PERP.key: funding(0.5, 2, 2.5, 9)}).events())
    assert told(events) == [
        ("bars", at(1), (BTC.key, PERP.key)),
        ("funding", at(2), (PERP.key,)),
        ("bars", at(2), (BTC.key, PERP.key)),
        ("funding", at(2.5), (PERP.key,)),
        ("bars", at(3), (BTC.key, PERP.key)),
    ]
    rate = events[1]
    assert isinstance(rate, FundingRate)
    assert (rate.rate, rate.mark) == (Decimal("0.0002"), Decimal("102"))


def test_events_when_two_perpetuals_pay_at_once_are_sorted() -> None:
    other = instrument(base="ADA", kind=Kind.PERPETUAL)
    series = {PERP: rows(0, 1), other: rows(0, 1)}
    events = list(ReplaySource(series, {PERP.key: funding(1), other.key: funding(1)}).events())
    assert told(events)[:2] == [("funding", at(1), (other.key,)), ("funding", at(1), (PERP.key,))]


def test_events_when_told_that_no_funding_is_paid_have_none() -> None:
    source = ReplaySource({PERP: rows(0, 1)}, {PERP.key: None})
    assert [kind for kind, _, _ in told(list(source.events()))] == ["bars", "bars"]


def test_events_when_given_a_start_and_stop_stay_inside_them() -> None:
    source = ReplaySource({BTC: rows(*range(10))}, start=at(3), stop=at(6))
    assert len(source.history(BTC.key, 100)) == 3
    assert [line[1] for line in told(list(source.events()))] == [at(4), at(5), at(6)]
    assert source.bars == 3
    assert len(source.precomputed(BTC.key)) == 10


def test_history_when_replaying_never_shows_the_future() -> None:
    source = ReplaySource({BTC: rows(*range(10)), ETH: rows(*range(10), timeframe=Timeframe(7200))}, start=at(2))
    assert source.history(BTC.key, 1).opened_at_ms.tolist() == [START_MS + HOUR.ms]
    for event in source.events():
        assert isinstance(event, Bars)
        for key in (BTC.key, ETH.key):
            known = source.history(key, 3)
            closes = known.opened_at_ms + known.timeframe.ms
            assert len(known) <= 3
            assert closes[-1] <= to_ms(event.at)
            whole = source.precomputed(key)
            assert len(whole) == len(known) or whole.opened_at_ms[-1] >= known.opened_at_ms[-1]


def test_history_when_nothing_was_replayed_yet_is_empty() -> None:
    source = ReplaySource({BTC: rows(0, 1)})
    assert len(source.history(BTC.key, 5)) == 0
    with pytest.raises(BadInput, match="ETH/USDT is not replayed; there are binance:BTC/USDT"):
        source.history(ETH.key, 5)


def test_events_when_closed_end_before_the_next_instant() -> None:
    source = ReplaySource({BTC: rows(*range(10))})
    seen = []
    for event in source.events():
        seen.append(event)
        if len(seen) == 2:
            source.close()
    assert len(seen) == 2


@pytest.mark.parametrize("at_once", [1, 2, 3, 7])
@given(
    parts=st.lists(st.lists(st.integers(0, 15), unique=True, min_size=1, max_size=8), min_size=1, max_size=3),
    stamps=st.lists(st.integers(0, 40), unique=True, max_size=8),
)
@settings(max_examples=25, deadline=None)
def test_events_when_merged_in_any_chunks_equal_a_plain_sort(
    at_once: int, parts: list[list[int]], stamps: list[int]
) -> None:
    traded = [PERP, ETH, KRAKEN][: len(parts)]
    series = {one: rows(*sorted(part), timeframe=Timeframe(1800)) for one, part in zip(traded, parts, strict=True)}
    rates = funding(*(stamp / 4 for stamp in sorted(stamps)))
    source = ReplaySource(series, {PERP.key: rates})
    original = replay_source._INSTANTS_AT_ONCE
    replay_source._INSTANTS_AT_ONCE = at_once
    try:
        events = list(source.events())
    finally:
        replay_source._INSTANTS_AT_ONCE = original
    assert told(events) == expected(series, rates)


def expected(
    series: Mapping[Instrument, CandleArrays], rates: FundingSeries
) -> list[tuple[str, datetime, tuple[str, ...]]]:
    closes: dict[int, list[InstrumentKey]] = {}
    for one in sorted(series, key=lambda instrument: (instrument.venue, instrument.symbol)):
        for opened in series[one].opened_at_ms.tolist():
            closes.setdefault(opened + 1_800_000, []).append(one.key)
    lines = [(close, 1, "bars", tuple(keys)) for close, keys in closes.items()]
    known = series[PERP].opened_at_ms[0] + 1_800_000
    for stamp in rates.at_ms.tolist():
        if max(min(closes), known) <= stamp <= max(closes):
            lines.append((stamp, 0, "funding", (PERP.key,)))
    return [(kind, datetime.fromtimestamp(ms / 1000, UTC), keys) for ms, _, kind, keys in sorted(lines)]


def broken(column: str, row: int, value: float) -> CandleArrays:
    candles = rows(*range(5))
    getattr(candles, column)[row] = value
    return candles


@pytest.mark.parametrize(
    ("series", "said"),
    [
        ({}, "no candle to replay"),
        ({BTC: rows()}, "no candle to replay"),
        ({BTC: broken("close", 2, np.nan)}, "not a number"),
        ({BTC: broken("low", 2, -1.0)}, "a negative value"),
        ({BTC: broken("high", 2, 1.0)}, "do not enclose"),
        ({BTC: take(rows(0, 1, 2), np.array([1, 0, 2]))}, "overlap or are out of order"),
        ({BTC: take(rows(0, 1, 2), np.array([0, 1, 1]))}, "overlap or are out of order"),
        ({instrument(tick="1000"): rows(0, 1)}, "less than half a tick of 1000; give --tick-size"),
        ({instrument(tick="1e-20"): rows(0, 1)}, "too many ticks"),
        ({BTC: rows(0, 1), instrument(tick="0.1"): rows(0, 1)}, "give each instrument once"),
    ],
)
def test_source_when_the_candles_cannot_be_replayed_refuses(series: dict[Instrument, CandleArrays], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        ReplaySource(series)


def test_source_when_a_perpetual_has_no_word_on_funding_says_how_to_give_it() -> None:
    with pytest.raises(BadInput, match=r"--funding FILE .* --no-funding"):
        ReplaySource({PERP: rows(0, 1)})
    with pytest.raises(BadInput, match="spot and pays no funding"):
        ReplaySource({BTC: rows(0, 1)}, {BTC.key: funding(1)})
    with pytest.raises(BadInput, match=r"no rate between .* --no-funding"):
        ReplaySource({PERP: rows(*range(48))}, {PERP.key: funding(1000)})


def test_source_when_nothing_lies_in_the_range_refuses() -> None:
    with pytest.raises(BadInput, match="no candle to replay between 2030"):
        ReplaySource({BTC: rows(0, 1)}, start=datetime(2030, 1, 1, tzinfo=UTC))


def real(name: str, timeframe: str) -> CandleArrays:
    table = pq.read_table(shared_path(f"data/{name}"))
    columns = [table.column(column).to_numpy() for column in ("timestamp", "open", "high", "low", "close", "volume")]
    return CandleArrays(Timeframe.parse(timeframe), *columns)


def test_events_when_real_years_are_replayed_hold_every_candle_to_the_tick() -> None:
    series = {
        instrument_for("binance", coin, "USDT", Kind.SPOT): real(f"spot_binance/{coin}_USDT-1h.parquet", "1h")
        for coin in ("SOL", "BTC", "ETH")
    }
    closes: dict[InstrumentKey, list[Decimal]] = {one.key: [] for one in series}
    started = time.process_time()
    for event in ReplaySource(series).events():
        assert isinstance(event, Bars)
        for candle in event.candles:
            closes[candle.instrument].append(candle.close)
    seconds = time.process_time() - started
    count = sum(map(len, closes.values()))
    assert count == 73_265 + 73_265 + 50_489
    assert count / seconds > 30_000
    for one, candles in series.items():
        made = np.array([float(close) for close in closes[one.key]])
        assert np.all(np.abs(made - candles.close) <= float(one.tick_size) / 2 + 1e-9)
        assert all(close % one.tick_size == 0 for close in closes[one.key][::97])


def test_events_when_a_real_perpetual_is_replayed_hold_its_funding() -> None:
    file = read_funding(shared_path("data/futures_binance/BTC_USDT_USDT-funding.parquet"))
    perpetual = instrument_for("binance", "BTC", "USDT", Kind.PERPETUAL)
    candles = real("futures_binance/BTC_USDT_USDT-1h-futures.parquet", "1h")
    source = ReplaySource({perpetual: candles}, {file.instrument: file.series})
    events = list(source.events())
    rates = [event for event in events if isinstance(event, FundingRate)]
    assert (len(rates), len(events) - len(rates)) == (7_323, 58_623)
    for rate, (before, after) in product(rates[:3], [(-1, 1)]):
        place = events.index(rate)
        assert events[place + before].at < rate.at == events[place + after].at
        bar = events[place + after]
        assert isinstance(bar, Bars)
        assert rate.mark == bar.candles[0].close
