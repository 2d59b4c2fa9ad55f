"""Exchanges that stand in for a silent one share its instruments: who tells which, who takes over, what is believed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.errors import VenueUnreachable
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import Bars, Candle, Timeframe
from engine.exchanges.spares import REST_ROUNDS, Borrowed, SharedSpares

MINUTE = Timeframe(60)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
COINS = ("BTC", "ETH", "SOL", "XRP")


def _instrument(base: str) -> Instrument:
    return Instrument("bybit", base, "USDT", Kind.SPOT, Decimal("0.01"), Decimal("0.0001"), Decimal(5), Decimal(1))


OWN = tuple(_instrument(base) for base in COINS)


def _candle(key: InstrumentKey, at: datetime, close: Decimal) -> Candle:
    return Candle(key, MINUTE, at - MINUTE.delta, close, close, close, close, Decimal(1))


class Spare:
    """An exchange that tells the closes of a minute, one step apart in price."""

    def __init__(self, title: str, coins: Sequence[str] = COINS, until: int = 1, price: str = "100") -> None:
        self.title, self.coins, self.until, self.price = title, coins, until, Decimal(price)
        self.asked: list[list[str]] = []
        self.is_down = False

    def lists(self, own: Sequence[Instrument]) -> frozenset[InstrumentKey]:
        return frozenset(each.key for each in own if each.base in self.coins)

    def bars(self, own: Sequence[Instrument], timeframe: Timeframe, since: datetime) -> list[Bars]:
        self.asked.append([each.base for each in own])
        if self.is_down:
            raise VenueUnreachable("no answer")
        closes = [NOON + timedelta(minutes=minute) for minute in range(self.until + 1)]
        return [Bars(at, tuple(_candle(each.key, at, self.price) for each in own)) for at in closes if at >= since]

    def close(self) -> None:
        """Nothing is open."""


class Case:
    """Spares asked about the closes after noon."""

    def __init__(self, *spares: Spare) -> None:
        self.now = NOON + timedelta(hours=1)
        self.shared = SharedSpares(spares, lambda: self.now)

    def ask(self, minute: int = 0) -> Borrowed:
        last = {each.key: _candle(each.key, NOON, Decimal(100)) for each in OWN}
        return self.shared.bars(OWN, MINUTE, NOON + timedelta(minutes=minute), last)


def _coins(bars: Bars) -> list[str]:
    return [candle.instrument.split(":")[1].split("/")[0] for candle in bars.candles]


def test_instruments_when_two_list_them_then_each_is_asked_for_half_and_every_close_is_whole() -> None:
    one, two = Spare("One"), Spare("Two")
    told = Case(one, two).ask()
    assert [len(one.asked[0]), len(two.asked[0])] == [2, 2]
    assert [_coins(bars) for bars in told.bars] == [sorted(COINS)]
    assert "One (" in told.words
    assert "Two (" in told.words


def test_instruments_when_asked_again_then_each_stays_with_the_exchange_it_was_with() -> None:
    one, two = Spare("One", until=2), Spare("Two", until=2)
    case = Case(one, two)
    case.ask()
    case.ask(1)
    assert one.asked[0] == one.asked[1]
    assert two.asked[0] == two.asked[1]


def test_instruments_when_one_lists_only_some_then_the_other_takes_the_rest() -> None:
    one, two = Spare("One", coins=("BTC",)), Spare("Two")
    told = Case(one, two).ask()
    assert _coins(told.bars[0]) == sorted(COINS)
    assert {coin for group in one.asked for coin in group} <= {"BTC"}


def test_instrument_when_nobody_lists_it_then_the_others_go_on_and_it_is_named() -> None:
    told = Case(Spare("One", coins=("BTC", "ETH", "SOL"))).ask()
    assert _coins(told.bars[0]) == ["BTC", "ETH", "SOL"]
    assert "nobody stands in for XRP/USDT" in told.words


def test_exchange_when_it_fails_then_another_takes_over_in_the_same_round_and_it_rests_for_a_while() -> None:
    one, two = Spare("One"), Spare("Two")
    case = Case(one, two)
    one.is_down = True
    told = case.ask()
    assert _coins(told.bars[0]) == sorted(COINS)
    assert "One cannot: no answer" in told.words
    one.is_down = False
    for _ in range(REST_ROUNDS - 1):
        case.ask()
    assert len(one.asked) == 1


def test_exchange_when_its_market_is_another_then_it_does_not_stand_in() -> None:
    told = Case(Spare("One", price="103")).ask()
    assert told.bars == ()
    assert "closed at 103 there, at 100 here" in told.words


def test_exchange_when_it_is_behind_then_the_close_waits_for_it() -> None:
    case = Case(Spare("One", until=2), Spare("Two", until=1))
    assert [bars.at.minute for bars in case.ask().bars] == [1]


def test_exchanges_when_the_next_close_cannot_be_there_yet_then_nobody_is_asked() -> None:
    one = Spare("One")
    case = Case(one)
    case.ask()
    case.now = NOON + timedelta(seconds=90)
    assert case.ask(1).bars == ()
    assert len(one.asked) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sets(st.sampled_from(COINS)), st.booleans()), min_size=1, max_size=4))
def test_closes_whoever_lists_what_and_fails_then_each_instrument_is_told_once_by_one_that_lists_it(
    rows: list[tuple[set[str], bool]],
) -> None:
    spares = [Spare(f"S{n}", sorted(coins)) for n, (coins, _) in enumerate(rows)]
    for spare, (_, is_down) in zip(spares, rows, strict=True):
        spare.is_down = is_down
    told = Case(*spares).ask()
    possible = set().union(*(coins for coins, is_down in rows if not is_down))
    assert [_coins(bars) for bars in told.bars] == ([sorted(possible)] if possible else [])
