"""Derivative positions of the simulated venue: average entry, funding, liquidation; by hand."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from paper_market import (
    BUY,
    FREE,
    LIMIT,
    PERP,
    SELL,
    SPOT,
    at,
    bar,
    candle,
    dec,
    fills,
    funding,
    open_venue,
    order,
    prices,
    total,
    updates,
)

from engine.domain.market import Bars
from engine.domain.orders import FundingPaid, OrderState
from engine.exchanges.paper import MemoryVenueJournal, PaperCosts, PaperVenue
from engine.exchanges.paper.accounts import PerpetualPosition


def _hold(venue, side, quantity, price="100") -> None:
    venue.submit(order("e1", side, quantity, instrument=PERP, reference=price))
    venue.observe(bar(0, price, price, price, price, instrument=PERP))


def test_position_when_added_to_then_entry_is_the_average() -> None:
    position = PerpetualPosition()
    assert position.add(dec(1), dec(100)) == 0
    assert position.add(dec(3), dec(120)) == 0
    assert (position.quantity, position.entry_price) == (dec(4), dec(115))


@pytest.mark.parametrize(("sign", "gain"), [(1, "10"), (-1, "-10")], ids=["long", "short"])
def test_position_when_half_is_closed_then_half_the_gain_is_realised(sign, gain) -> None:
    position = PerpetualPosition()
    position.add(dec(2 * sign), dec(100))
    assert position.add(dec(-1 * sign), dec(110)) == dec(gain)
    assert position.entry_price == dec(100)


def test_position_when_shares_of_the_cost_are_not_exact_then_the_round_trip_is() -> None:
    position = PerpetualPosition()
    position.add(dec(3), dec("33.33"))
    position.add(dec(4), dec("33.34"))
    gains = [position.add(dec(-1), dec(40)) for _ in range(7)]
    # seven times 40 less 3 x 33.33 less 4 x 33.34
    assert sum(gains) == dec("46.65")
    assert (position.quantity, position.cost) == (0, 0)


def test_position_when_turned_then_the_old_is_realised_and_the_new_enters_at_the_price() -> None:
    position = PerpetualPosition()
    position.add(dec(-2), dec(100))
    assert position.add(dec(5), dec(90)) == dec(20)
    assert (position.quantity, position.entry_price) == (dec(3), dec(90))


@pytest.mark.parametrize(
    ("side", "rate", "amount"),
    [
        (BUY, "0.0001", "-0.022"),
        (BUY, "-0.0001", "0.022"),
        (SELL, "0.0001", "0.022"),
        (SELL, "-0.0001", "-0.022"),
    ],
    ids=["long pays", "long receives", "short receives", "short pays"],
)
def test_funding_when_a_position_is_held_then_long_pays_short_at_a_positive_rate(side, rate, amount) -> None:
    venue = open_venue(PaperCosts.plain(dec(0)))
    _hold(venue, side, "2")
    (payment,) = venue.observe(funding(5, rate, "110"))
    assert isinstance(payment, FundingPaid)
    assert (payment.amount, payment.currency, payment.payment_id) == (dec(amount), "USDT", "demo-2")
    assert total(venue, "USDT") == dec(10000) + dec(amount)


def test_funding_when_flat_then_nothing_is_paid() -> None:
    venue = open_venue()
    assert venue.observe(funding(5, "0.0001", "110")) == ()


def test_funding_when_asked_for_later_then_is_among_the_executions() -> None:
    venue = open_venue()
    _hold(venue, BUY, "2")
    venue.observe(funding(5, "0.0001", "110"))
    found, cursor = venue.executions_since("")
    assert ([type(each).__name__ for each in found], cursor) == (["Fill", "FundingPaid"], "2")
    assert venue.executions_since("1")[0] == found[1:]
    assert venue.executions_since("2") == ((), "2")


def test_long_when_its_margin_is_exhausted_then_closed_at_the_liquidation_price() -> None:
    venue = open_venue(usdt="100")
    _hold(venue, BUY, "10")
    venue.submit(order("t1", SELL, "1", LIMIT, "150", instrument=PERP, minute=1))
    # equity 100 + 10 (p - 100) equals 0.005 x 10 p at p = 900 / 9.95 = 90.4523; a fill at 90.4 after the tick
    messages = venue.observe(bar(1, 100, 101, 90, 95, instrument=PERP))
    assert prices(messages) == ["liq3 10@90.4"]
    assert updates(messages)[-1].reason == "liquidated"
    assert venue.order("t1").reason == "liquidated"
    assert (venue.positions(), total(venue, "USDT")) == ((), dec(4))


def test_long_when_the_candle_stays_above_the_liquidation_price_then_kept() -> None:
    venue = open_venue(usdt="100")
    _hold(venue, BUY, "10")
    assert venue.observe(bar(1, 100, 101, "90.5", 95, instrument=PERP)) == ()


def test_short_when_the_bar_gaps_over_the_liquidation_price_then_closed_at_the_open() -> None:
    venue = open_venue(usdt="100")
    _hold(venue, SELL, "10")
    messages = venue.observe(bar(1, 120, 121, 119, 120, instrument=PERP))
    assert prices(messages) == ["liq2 10@120"]
    assert total(venue, "USDT") == dec(-100)
    assert fills(messages)[0].side is BUY


def test_liquidation_when_costs_are_set_then_pays_spread_slippage_and_taker_fee() -> None:
    venue = open_venue(PaperCosts(), usdt="102")
    _hold(venue, BUY, "10")
    fill = fills(venue.observe(bar(1, 50, 51, 49, 50, volume=1, instrument=PERP)))[0]
    # 50 x 0.9998 = 49.99, down to 49.9; 499 x 0.001
    assert (fill.price, fill.fee, fill.quantity) == (dec("49.9"), dec("0.499"), dec(10))


def test_spot_when_held_on_the_same_venue_then_not_part_of_the_margin() -> None:
    venue = open_venue(usdt="100", btc="50")
    _hold(venue, BUY, "10")
    assert prices(venue.observe(bar(1, 80, 81, 79, 80, instrument=PERP))) == ["liq2 10@80"]
    assert total(venue, "BTC") == dec(50)
    assert venue.submit(order("x1", SELL, "1", instrument=SPOT, minute=2)).state is OrderState.WORKING


def test_opening_when_margin_is_missing_at_the_fill_then_opens_what_it_pays() -> None:
    venue = open_venue(usdt="100")
    venue.submit(order("e1", BUY, "10", instrument=PERP))
    assert prices(venue.observe(bar(0, 125, 125, 125, 125, instrument=PERP))) == ["e1 8@125"]
    assert venue.order("e1").state is OrderState.CANCELLED
    assert venue.positions()[0].quantity * Decimal(125) / 10 == total(venue, "USDT")


def test_two_positions_when_one_gains_then_it_carries_the_margin_of_the_other() -> None:
    second = replace(PERP, base="ETH")
    venue = PaperVenue("demo", [PERP, second], FREE, MemoryVenueJournal(), {"USDT": dec(200)})
    venue.submit(order("e1", BUY, "10", instrument=PERP))
    venue.submit(order("e2", SELL, "5", instrument=second))
    venue.observe(Bars(at(1), tuple(candle(0, (100, 100, 100, 100), key=each.key) for each in (PERP, second))))
    # the short has gained 5 x 20 at 80: E = 200 + 100, N = 5 x 80, so p = (0.005 x 400 + 1000 - 300) / 9.95 = 70.55
    assert venue.observe(bar(1, 100, 100, 80, 80, instrument=second)) == ()
    assert venue.observe(bar(1, 100, 100, "70.6", 100, instrument=PERP)) == ()
    assert prices(venue.observe(bar(2, 100, 100, "70.5", 100, instrument=PERP))) == ["liq3 10@70.5"]
    assert [position.instrument for position in venue.positions()] == [second.key]
