"""Rounds of taking orders against an independent solver, hand-computed ladders and what must never happen."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.quant.arbitrage import Edge, LegTerms, cycle, rate_after_fee, two_venues
from tests.quant.reference import assert_close, case_of, reference

D = Decimal
LOT, TICK = D("0.0001"), D("0.01")


def ladder(rows: Sequence[Sequence[Any]]) -> list[tuple[Decimal, Decimal]]:
    return [(D(str(price)), D(str(size))) for price, size in rows]


def leg(is_buy: bool, rows: Sequence[Sequence[Any]], fee: Any = 0, **more: Any) -> LegTerms:
    return LegTerms(is_buy, ladder(rows), D(str(fee)), more.pop("lot", LOT), more.pop("tick", TICK), **more)


@pytest.mark.parametrize("case_id", ["cross_zero_fee", "cross_10bps_each"])
def test_two_venues_when_compared_with_the_solver_then_equal(case_id: str) -> None:
    content = reference("arbitrage")
    case = case_of(content, case_id)
    inputs, expected = case["inputs"], case["expected"]
    edge = two_venues(
        leg(True, inputs["asks_exchange_A"], inputs["taker_fee_A"]),
        leg(False, inputs["bids_exchange_B"], inputs["taker_fee_B"]),
    )
    bought, sold = edge.legs
    assert_close(float(bought.quantity), expected["optimal_buy_qty"], content["tolerance"])
    assert_close(float(edge.net), expected["max_profit_quote"], content["tolerance"])
    assert_close(float(bought.value / bought.quantity), expected["buy_vwap"], content["tolerance"])
    assert_close(float(sold.value / sold.quantity), expected["sell_vwap"], content["tolerance"])


@pytest.mark.parametrize("case_id", ["tri_no_arb_after_fees", "tri_same_quotes_fee_0.1pct"])
def test_cycle_when_at_the_best_prices_then_the_product_of_the_rates(case_id: str) -> None:
    content = reference("arbitrage")
    case = case_of(content, case_id)
    quotes, fee = case["inputs"]["quotes_bid_ask"], case["inputs"]["taker_fee_per_leg"]

    def at(pair: str, is_buy: bool) -> LegTerms:
        return leg(is_buy, [(quotes[pair][1 if is_buy else 0], 1000)], fee, tick=D("0.00001"))

    ways = {
        "USDT>ETH>BTC>USDT": (at("ETH/USDT", True), at("ETH/BTC", False), at("BTC/USDT", False)),
        "USDT>BTC>ETH>USDT": (at("BTC/USDT", True), at("ETH/BTC", True), at("ETH/USDT", False)),
    }
    for way, legs in ways.items():
        product = rate_after_fee(legs[0]) * rate_after_fee(legs[1]) * rate_after_fee(legs[2])
        expected = case["expected"]["net_return_by_cycle"][way]
        assert_close(float(product - 1), expected, content["tolerance"])
        edge = cycle(legs)
        assert bool(edge.legs) is (expected > 0)
        if edge.legs:  # rounding to lots leaves a little over
            assert D(str(expected)) * 10_000 - D("0.01") < edge.net_bps <= D(str(expected)) * 10_000 + D("0.0001")


def test_two_venues_when_money_coins_or_the_limit_are_short_then_the_least_counts() -> None:
    asks, bids = [(100, 5)], [(102, 5)]

    def bought(**more: Any) -> Decimal:
        most = more.pop("most", None)
        money, coins = more.get("money"), more.get("coins")
        edge = two_venues(leg(True, asks, "0.001", inventory=money), leg(False, bids, "0.001", inventory=coins), most)
        return edge.legs[0].quantity

    assert bought() == 5
    assert bought(coins=D("2.00005")) == 2
    assert bought(money=D("300.3001")) == 3
    assert bought(money=D("300.3")) == D("2.9999")  # the fee itself is rounded up
    assert bought(most=D(100)) == 1


def test_two_venues_when_lots_differ_then_a_whole_number_of_both() -> None:
    edge = two_venues(leg(True, [(100, "1.0099")], lot=D("0.0001")), leg(False, [(102, 9)], lot=D("0.003")))
    assert edge.legs[0].quantity == edge.legs[1].quantity == D("1.008")


@pytest.mark.parametrize(
    ("bid", "size", "minimum", "words"),
    [
        ("100.19", "5", "0", "fees are more"),
        ("102", "0.00009", "0", "less than a lot"),
        ("102", "0.04", "5", "minimum of 5"),
    ],
)
def test_two_venues_when_nothing_is_earned_then_it_says_why(bid: str, size: str, minimum: str, words: str) -> None:
    edge = two_venues(leg(True, [(100, size)], "0.001", min_notional=D(minimum)), leg(False, [(bid, size)], "0.001"))
    assert not edge.legs
    assert edge.net == 0
    assert words in edge.why_not


def test_two_venues_when_a_level_is_off_the_tick_then_the_worse_price_counts() -> None:
    edge = two_venues(leg(True, [("100.001", 1)]), leg(False, [("100.019", 1)]))
    assert edge.why_not == "fees are more than the gap between the prices"


def test_cycle_when_an_inventory_is_short_then_every_leg_is_small() -> None:
    legs = (
        leg(True, [(100, 50)]),
        leg(False, [("2", 50)], inventory=D("7.00009")),
        leg(False, [("60", 90)], inventory=D("12")),
    )
    edge = cycle(legs)
    assert [one.quantity for one in edge.legs] == [6, 6, 12]
    assert (edge.gross, edge.fees, edge.net, edge.net_bps) == (D(120), D(0), D(120), D(2000))


def test_cycle_when_fees_are_charged_then_gross_less_fees_is_net() -> None:
    edge = cycle((leg(True, [(100, 50)], "0.001"), leg(False, [("2", 9)], "0.001"), leg(False, [("60", 90)], "0.001")))
    assert edge.gross - edge.fees == edge.net
    first, second, third = edge.legs
    assert edge.net == third.value - third.fee - first.value
    assert second.quantity <= first.quantity - first.fee
    assert third.quantity <= second.value - second.fee


def test_leg_when_a_number_makes_no_sense_then_refused() -> None:
    for rows, fee in (([(0, 1)], 0), ([(100, -1)], 0), ([(100, 1), (99, 1)], 0), ([(100, 1)], 1), ([("NaN", 1)], 0)):
        with pytest.raises(ValueError, match=r"."):
            leg(True, rows, fee)
    with pytest.raises(ValueError, match="first leg buys"):
        two_venues(leg(False, []), leg(False, []))
    with pytest.raises(ValueError, match="at least two"):
        cycle([leg(True, [])])


PRICES = st.decimals("90", "110", places=2)
SIZES = st.decimals("0", "3", places=4)
FEES = st.decimals("0", "0.004", places=4)
STOCK = st.none() | st.decimals("0", "400", places=4)


@st.composite
def legs_of(draw: st.DrawFn, is_buy: bool, around: int = 1) -> LegTerms:
    rows = draw(st.lists(st.tuples(PRICES, SIZES), max_size=4))
    rows = sorted(((price / around, size) for price, size in rows), reverse=not is_buy)
    lot = draw(st.sampled_from([D("0.0001"), D("0.003"), D("0.1")]))
    least = draw(st.sampled_from([D(0), D(5)]))
    return LegTerms(is_buy, rows, draw(FEES), lot, D("0.01"), least, draw(STOCK))


def check_legs(edge: Edge, terms: Sequence[LegTerms]) -> None:
    """Within the depth, on the grid, at or above the minimum, and the value is what the ladder asks."""
    for one, term in zip(edge.legs, terms, strict=True):
        assert one.quantity > 0
        assert one.quantity % term.lot == 0
        assert one.quantity <= sum(size for _, size in term.ladder)
        assert one.value >= term.min_notional
        worst = one.quantity * one.worst_price
        assert one.value <= worst if term.is_buy else one.value >= worst


@settings(max_examples=150, deadline=None)
@given(legs_of(True), legs_of(False))
def test_two_venues_when_anything_comes_then_no_loss_and_nothing_that_is_not_there(
    buy: LegTerms, sell: LegTerms
) -> None:
    edge = two_venues(buy, sell)
    if not edge.legs:
        assert edge.why_not
        assert edge.net == 0
        return
    check_legs(edge, (buy, sell))
    bought, sold = edge.legs
    assert bought.quantity == sold.quantity
    assert 0 < edge.net == sold.value * 1 - sold.fee - bought.value - bought.fee
    assert bought.fee >= bought.value * buy.fee
    assert buy.inventory is None or bought.value + bought.fee <= buy.inventory
    assert sell.inventory is None or sold.quantity <= sell.inventory


@settings(max_examples=150, deadline=None)
@given(legs_of(True), legs_of(False, 50), legs_of(False))
def test_cycle_when_anything_comes_then_no_loss_and_nothing_that_is_not_there(
    first: LegTerms, second: LegTerms, third: LegTerms
) -> None:
    legs = (first, second, third)
    edge = cycle(legs)
    if not edge.legs:
        assert edge.why_not
        return
    check_legs(edge, legs)
    one, two, three = edge.legs
    assert 0 < edge.net == three.value - three.fee - one.value
    assert two.quantity <= one.quantity - one.fee
    assert three.quantity <= two.value - two.fee
    given_of = (one.value, two.quantity, three.quantity)
    assert all(term.inventory is None or amount <= term.inventory for term, amount in zip(legs, given_of, strict=True))
