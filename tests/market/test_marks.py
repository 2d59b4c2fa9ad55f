"""What becomes a mark and what is refused at the door."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.errors import BadInput
from engine.domain.instruments import InstrumentKey
from engine.domain.market import Bars, BookTop, Candle, Quotes, Timeframe
from engine.market.marks import JumpBand, Mark, Marks, MarkSource, PriceRejection, RejectedPrice

BTC = InstrumentKey("demo:BTC/USDT")
ETH = InstrumentKey("demo:ETH/USDT")
START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = Timeframe(3600)


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def bar(price: str, hours: float = 1, key: InstrumentKey = BTC) -> Bars:
    value = Decimal(price)
    return Bars(at(hours), (Candle(key, HOUR, at(hours - 1), value, value, value, value, Decimal(1)),))


def quote(bid: str, ask: str, hours: float = 1, size: str = "1") -> Quotes:
    top = BookTop(BTC, at(hours), Decimal(bid), Decimal(ask), Decimal(size), Decimal(size))
    return Quotes(at(hours), (top,))


def only(rejections: tuple[PriceRejection, ...]) -> RejectedPrice:
    assert len(rejections) == 1
    return rejections[0].reason


def test_apply_when_a_bar_closes_makes_its_close_the_mark() -> None:
    marks = Marks()
    assert marks.apply(bar("100")) == ()
    assert marks.price(BTC) == Mark(Decimal(100), at(1), MarkSource.CLOSE)
    assert marks.price(ETH) is None
    assert marks.rejected == {}


def test_apply_when_quoted_makes_the_mid_the_mark() -> None:
    marks = Marks()
    assert marks.apply(quote("99", "102")) == ()
    assert marks.price(BTC) == Mark(Decimal("100.5"), at(1), MarkSource.MID)


def test_apply_when_both_are_of_one_instant_prefers_the_mid() -> None:
    marks = Marks()
    marks.apply(quote("99", "101"))
    assert marks.apply(bar("102")) == ()
    assert marks.price(BTC) == Mark(Decimal(100), at(1), MarkSource.MID)
    marks.apply(bar("102", hours=2))
    assert marks.price(BTC) == Mark(Decimal(102), at(2), MarkSource.CLOSE)
    marks.apply(quote("99", "101", hours=2))
    assert marks.price(BTC) == Mark(Decimal(100), at(2), MarkSource.MID)


def test_age_when_time_passes_is_market_time_since_the_mark() -> None:
    marks = Marks()
    assert marks.age(BTC, at(3)) is None
    marks.apply(bar("100"))
    assert marks.age(BTC, at(3)) == timedelta(hours=2)
    assert marks.age(BTC, at(0)) == timedelta(0)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (bar("NaN", 2), RejectedPrice.NOT_A_NUMBER),
        (bar("sNaN", 2), RejectedPrice.NOT_A_NUMBER),
        (bar("Infinity", 2), RejectedPrice.NOT_A_NUMBER),
        (bar("0", 2), RejectedPrice.ZERO),
        (bar("-1", 2), RejectedPrice.NEGATIVE),
        (bar("1e-40", 2), RejectedPrice.MAGNITUDE),
        (bar("9e999999", 2), RejectedPrice.MAGNITUDE),
        (bar("301", 2), RejectedPrice.JUMP),
        (bar("33", 2), RejectedPrice.JUMP),
        (bar("100", 0.5), RejectedPrice.LATE),
        (quote("NaN", "101", 2), RejectedPrice.NOT_A_NUMBER),
        (quote("99", "NaN", 2), RejectedPrice.NOT_A_NUMBER),
        (quote("0", "101", 2), RejectedPrice.ZERO),
        (quote("-5", "101", 2), RejectedPrice.NEGATIVE),
        (quote("102", "101", 2), RejectedPrice.CROSSED),
        (quote("99", "101", 2, size="-1"), RejectedPrice.NEGATIVE),
        (quote("99", "101", 2, size="NaN"), RejectedPrice.NOT_A_NUMBER),
        (quote("99", "101", 2, size="9e999999"), RejectedPrice.MAGNITUDE),
        (quote("500", "501", 2), RejectedPrice.JUMP),
        (quote("99", "101", 0.5), RejectedPrice.LATE),
    ],
)
def test_apply_when_the_price_is_bad_refuses_and_keeps_the_mark(event: Bars | Quotes, reason: RejectedPrice) -> None:
    marks = Marks()
    marks.apply(bar("100"))
    rejections = marks.apply(event)
    assert only(rejections) is reason
    assert rejections[0].detail
    assert marks.price(BTC) == Mark(Decimal(100), at(1), MarkSource.CLOSE)
    assert marks.rejected == {(BTC, reason): 1}


@pytest.mark.parametrize(("price", "held"), [("300", True), ("300.01", False), ("33.34", True), ("33.33", False)])
def test_apply_when_at_the_edge_of_the_band_decides_by_the_factor(price: str, held: bool) -> None:
    marks = Marks()
    marks.apply(bar("100"))
    assert (marks.apply(bar(price, 2)) == ()) is held


def test_apply_when_high_and_low_do_not_enclose_refuses() -> None:
    candle = Candle(BTC, HOUR, at(0), Decimal(100), Decimal(99), Decimal(98), Decimal(99), Decimal(1))
    assert only(Marks().apply(Bars(at(1), (candle,)))) is RejectedPrice.DISORDER


def test_apply_when_one_of_many_is_bad_takes_the_others() -> None:
    good, bad = bar("100").candles[0], bar("NaN", key=ETH).candles[0]
    marks = Marks()
    assert [rejection.instrument for rejection in marks.apply(Bars(at(1), (bad, good)))] == [ETH]
    assert marks.price(BTC) is not None
    assert marks.price(ETH) is None


def test_apply_when_a_jump_is_confirmed_believes_the_third() -> None:
    marks = Marks()
    marks.apply(bar("100"))
    assert only(marks.apply(bar("10", 2))) is RejectedPrice.JUMP
    assert only(marks.apply(bar("11", 2))) is RejectedPrice.JUMP
    assert only(marks.apply(bar("11", 3))) is RejectedPrice.JUMP
    assert marks.price(BTC) == Mark(Decimal(100), at(1), MarkSource.CLOSE)
    assert marks.apply(bar("12", 4)) == ()
    assert marks.price(BTC) == Mark(Decimal(12), at(4), MarkSource.CLOSE)
    assert marks.rejected == {(BTC, RejectedPrice.JUMP): 3}


def test_apply_when_quotes_jump_every_second_believes_the_third_minute() -> None:
    marks = Marks()
    marks.apply(quote("99", "101"))
    for seconds in range(1, 121):
        assert only(marks.apply(quote("999", "1001", 1 + seconds / 3600))) is RejectedPrice.JUMP
    assert marks.price(BTC) == Mark(Decimal(100), at(1), MarkSource.MID)
    late = 1 + 122 / 3600
    assert marks.apply(quote("999", "1001", late)) == ()
    assert marks.price(BTC) == Mark(Decimal(1000), at(late), MarkSource.MID)


def test_apply_when_jumps_disagree_or_are_interrupted_starts_again() -> None:
    marks = Marks()
    marks.apply(bar("100"))
    for hours, price in ((2, "10"), (3, "1000"), (4, "10"), (5, "11")):
        assert only(marks.apply(bar(price, hours))) is RejectedPrice.JUMP
    marks.apply(bar("101", 6))
    assert only(marks.apply(bar("11", 7))) is RejectedPrice.JUMP
    assert marks.price(BTC) == Mark(Decimal(101), at(6), MarkSource.CLOSE)


def test_apply_when_never_to_be_confirmed_keeps_the_mark() -> None:
    marks = Marks(JumpBand(Decimal(2), confirmations=0))
    marks.apply(bar("100"))
    for hours in range(2, 12):
        assert only(marks.apply(bar("500", hours))) is RejectedPrice.JUMP


@pytest.mark.parametrize(("factor", "confirmations"), [("1", 3), ("NaN", 3), ("0.5", 3), ("3", -1)])
def test_band_when_senseless_refuses(factor: str, confirmations: int) -> None:
    with pytest.raises(BadInput, match="jump band"):
        JumpBand(Decimal(factor), confirmations)


DECIMALS = st.decimals(allow_nan=True, allow_infinity=True) | st.decimals(1, 1000)


@given(prices=st.lists(st.tuples(DECIMALS, DECIMALS, DECIMALS, DECIMALS, st.booleans()), max_size=20))
@settings(max_examples=150, deadline=None)
def test_apply_when_fed_anything_never_raises_and_every_mark_is_a_price(
    prices: list[tuple[Decimal, Decimal, Decimal, Decimal, bool]],
) -> None:
    marks = Marks()
    for number, (first, second, third, fourth, quoted) in enumerate(prices):
        event: Bars | Quotes
        if quoted:
            event = Quotes(at(number), (BookTop(BTC, at(number), first, second, third, fourth),))
        else:
            event = Bars(at(number), (Candle(BTC, HOUR, at(number), first, second, third, fourth, Decimal(1)),))
        marks.apply(event)
        mark = marks.price(BTC)
        assert mark is None or (mark.price.is_finite() and mark.price > 0)
