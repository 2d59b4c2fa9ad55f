"""What a coin is worth: by which markets, over which coins, and how old that is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.wallet_views import CoinPrice
from engine.runtime.valuation import MOST_STEPS, Prices

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
D = Decimal


def price(pair: str, value: str, venue: str = "x", age_s: int = 0) -> CoinPrice:
    base, quote = pair.split("/")
    return CoinPrice(venue, base, quote, D(value), NOON - timedelta(seconds=age_s), f"{venue} mid")


def test_worth_when_a_market_lists_it_then_that_market_alone() -> None:
    found = Prices((price("ETH/BTC", "0.05"), price("BTC/USDT", "50000"), price("ETH/USDT", "2490"))).worth(
        "ETH", "USDT", "x"
    )
    assert found is not None
    assert (found.price, found.path, found.words) == (D(2490), ("ETH", "USDT"), "ETH → USDT")


def test_worth_when_no_market_lists_it_then_over_another_coin_and_as_old_as_the_oldest_price() -> None:
    found = Prices((price("ETH/BTC", "0.05", age_s=40), price("BTC/USDT", "50000", age_s=3))).worth("ETH", "USDT")
    assert found is not None
    assert (found.price, found.words) == (D(2500), "ETH → BTC → USDT")
    assert found.at == NOON - timedelta(seconds=40)


def test_worth_when_only_the_other_way_round_is_listed_then_one_over_the_price() -> None:
    found = Prices((price("USDT/USD", "0.999"), price("BTC/USD", "49950"))).worth("BTC", "USDT")
    assert found is not None
    assert found.path == ("BTC", "USD", "USDT")
    assert round(found.price, 6) == D(50000)


def test_worth_when_its_own_venue_knows_a_way_then_no_other_venue_is_asked() -> None:
    made = Prices(
        (price("ETH/USDT", "2400", "far"), price("ETH/BTC", "0.05", "own"), price("BTC/USDT", "50000", "own"))
    )
    own, far = made.worth("ETH", "USDT", "own"), made.worth("ETH", "USDT", "far")
    assert own is not None
    assert far is not None
    assert (own.words, own.source) == ("ETH → BTC → USDT", "own mid")
    assert (far.price, far.source) == (D(2400), "far mid")


def test_worth_when_its_own_venue_knows_no_way_then_others_do_and_all_sources_are_named() -> None:
    found = Prices((price("NEW/BTC", "0.001", "own"), price("BTC/USDT", "50000", "far"))).worth("NEW", "USDT", "own")
    assert found is not None
    assert (found.price, found.source) == (D(50), "own mid, far mid")


def test_worth_when_two_ways_are_as_short_then_the_busier_coin_is_taken() -> None:
    rows = (price("A/EUR", "9"), price("EUR/USDT", "1.1"), price("A/BTC", "0.0002"), price("BTC/USDT", "50000"))
    found = Prices(rows).worth("A", "USDT")
    assert found is not None
    assert found.path == ("A", "BTC", "USDT")


@pytest.mark.parametrize(
    "rows",
    [
        (),
        (price("ETH/BTC", "0.05"),),
        (price("A/B", "1"), price("B/C", "1"), price("C/D", "1"), price("D/USDT", "1"), price("ETH/A", "1")),
    ],
    ids=["no market", "a dead end", "too long a way"],
)
def test_worth_when_no_way_leads_there_then_none(rows: tuple[CoinPrice, ...]) -> None:
    assert Prices(rows).worth("ETH", "USDT") is None


def test_worth_when_it_is_the_currency_itself_then_one_without_a_path() -> None:
    found = Prices(()).worth("USDT", "USDT")
    assert found is not None
    assert (found.price, found.words, found.at) == (D(1), "", None)


def test_price_when_it_is_not_above_zero_then_it_is_no_price() -> None:
    assert Prices((price("ETH/USDT", "0"), price("BTC/USDT", "-1"))).coins == ()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ABCDE"), st.sampled_from("ABCDE"), st.integers(1, 999)), max_size=8))
def test_worth_when_markets_are_random_then_there_and_back_is_one_and_the_path_is_short(
    rows: list[tuple[str, str, int]],
) -> None:
    made = Prices(CoinPrice("x", base, quote, D(value), NOON, "x") for base, quote, value in rows if base != quote)
    there, back = made.worth("A", "E"), made.worth("E", "A")
    assert (there is None) is (back is None)
    if there is not None and back is not None:
        assert len(there.path) <= MOST_STEPS + 1
        assert len(set(there.path)) == len(there.path)
        if there.path == back.path[::-1]:
            assert abs(there.price * back.price - 1) < D("1e-20")
