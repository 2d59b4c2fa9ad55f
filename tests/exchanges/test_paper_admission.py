"""What the simulated venue refuses, what it holds back, and how orders are changed and cancelled."""

from __future__ import annotations

import pytest
from paper_market import (
    BUY,
    FREE,
    LIMIT,
    MARKET,
    PERP,
    SELL,
    STOP,
    bar,
    dec,
    free,
    open_venue,
    order,
    prices,
    total,
    updates,
)

from engine.domain.errors import BadInput, OrderNotFound, VenueRejected
from engine.domain.instruments import Instrument, Kind
from engine.domain.orders import OrderState
from engine.exchanges.paper import PaperCosts

UNKNOWN = Instrument("demo", "XRP", "USDT", Kind.SPOT, dec("0.1"), dec("0.1"))


@pytest.mark.parametrize(
    ("approved", "words"),
    [
        (order("a1", BUY, "1", instrument=UNKNOWN), "demo:XRP/USDT is not traded here"),
        (order("A1", BUY, "1"), "client id 'A1'"),
        (order("a" * 19, BUY, "1"), "1 to 18 characters"),
        (order("a1", BUY, "0.0005"), "quantity 0.0005 is not a positive multiple of the lot 0.001"),
        (order("a1", BUY, "0"), "quantity 0 is not"),
        (order("a1", BUY, "-1"), "quantity -1 is not"),
        (order("a1", BUY, "NaN"), "quantity NaN is not"),
        (order("a1", BUY, "1", LIMIT, "99.95"), "limit price 99.95 is not a positive multiple of the tick 0.1"),
        (order("a1", BUY, "1", LIMIT), "limit price None"),
        (order("a1", BUY, "1", STOP, "0"), "stop price 0 is not"),
        (order("a1", BUY, "0.099"), "too small: 0.099 x 100 = 9.900 USDT, minimum 10"),
        (order("a1", SELL, "0.099", reduce_only=True), "dust, too small to close on its own: 0.099 x 100"),
        (order("a1", BUY, "1", reduce_only=True), "spot is never short"),
        (order("a1", BUY, "101"), "insufficient balance: needs 10100.000000000000 USDT, free 10000"),
        (order("a1", SELL, "0.2"), "insufficient balance: needs 0.2 BTC, free 0"),
        (order("a1", BUY, "1001", instrument=PERP), "insufficient balance: needs 10010.000000000000 USDT"),
        (order("a1", SELL, "1", STOP, "95", parent="e1"), "its entry e1 is unknown here"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_submit_when_a_rule_is_broken_then_rejected_with_the_numbers(approved, words) -> None:
    venue = open_venue()
    with pytest.raises(VenueRejected) as caught:
        venue.submit(approved)
    assert words in str(caught.value)
    assert not venue.open_orders()
    with pytest.raises(OrderNotFound):
        venue.order(approved.intent.client_id)


def test_submit_when_fee_and_costs_exceed_the_balance_then_rejected() -> None:
    venue = open_venue(PaperCosts())
    # 100 x 1.0002 x 1.001 = 100.120020 a unit: 99.880 fit into 10,000, 99.881 do not
    with pytest.raises(VenueRejected, match=r"needs 10000\.087"):
        venue.submit(order("a1", BUY, "99.881"))
    assert venue.submit(order("a2", BUY, "99.880")).state is OrderState.WORKING


def test_submit_when_the_last_close_is_known_then_it_counts_and_not_the_reference() -> None:
    venue = open_venue()
    venue.observe(bar(0, 100, 101, 99, 200))
    with pytest.raises(VenueRejected, match="needs 12000"):
        venue.submit(order("a1", BUY, "60", minute=1))


@pytest.mark.parametrize(
    ("child", "words"),
    [
        (order("c1", BUY, "1", STOP, "95", parent="e1"), "on the other side"),
        (order("c1", SELL, "1", MARKET, parent="e1"), "a child is a stop or limit of at most 1"),
        (order("c1", SELL, "1.001", STOP, "95", parent="e1"), "at most 1, the quantity of its entry"),
        (order("c1", SELL, "1", STOP, "95", parent="e1", instrument=PERP), "same instrument"),
    ],
    ids=["same side", "market", "too large", "other instrument"],
)
def test_child_when_it_does_not_fit_its_entry_then_rejected(child, words) -> None:
    venue = open_venue()
    venue.submit(order("e1", BUY, "1", LIMIT, "90"))
    with pytest.raises(VenueRejected, match=words):
        venue.submit(child)


def test_child_when_its_entry_ended_unfilled_then_rejected() -> None:
    venue = open_venue()
    venue.submit(order("e1", BUY, "1", LIMIT, "90"))
    venue.cancel("e1")
    with pytest.raises(VenueRejected, match="ended with nothing filled"):
        venue.submit(order("c1", SELL, "1", STOP, "80", parent="e1"))


def test_child_when_smaller_than_the_minimum_then_accepted_with_its_entry() -> None:
    venue = open_venue()
    venue.submit(order("e1", BUY, "0.1"))
    assert venue.submit(order("c1", SELL, "0.05", STOP, "95", parent="e1")).state is OrderState.WORKING


def test_submit_when_sent_twice_then_one_order_even_after_it_filled() -> None:
    venue = open_venue()
    first = venue.submit(order("a1", BUY, "1"))
    assert venue.submit(order("a1", BUY, "1")) == first
    assert len(venue.open_orders()) == 1
    venue.observe(bar(0, 100, 101, 99, 100))
    assert venue.submit(order("a1", BUY, "1", minute=5)).state is OrderState.FILLED
    assert not venue.open_orders()


@pytest.mark.parametrize(
    ("approved", "coin", "held_back"),
    [
        (order("a1", BUY, "2", LIMIT, "90"), "USDT", "180.18"),
        (order("a1", BUY, "2", STOP, "110"), "USDT", "220.264044"),
        (order("a1", BUY, "2"), "USDT", "200.24004"),
        (order("a1", SELL, "2", LIMIT, "120"), "BTC", "2"),
        (order("a1", SELL, "2", STOP, "90", reduce_only=True), "BTC", "0"),
        (order("a1", SELL, "2", LIMIT, "100", instrument=PERP), "USDT", "20.2"),
    ],
    ids=["limit and fee", "stop, costs and fee", "market, costs and fee", "coins", "reduce-only", "margin and fee"],
)
def test_balance_when_an_order_works_then_its_part_is_not_free(approved, coin, held_back) -> None:
    venue = open_venue(PaperCosts(), btc="5")
    venue.submit(approved)
    assert total(venue, coin) - free(venue, coin) == dec(held_back)
    venue.cancel("a1")
    assert total(venue, coin) == free(venue, coin)


def test_balance_when_an_order_fills_in_part_then_the_rest_is_held_back() -> None:
    venue = open_venue(FREE.model_copy(update={"volume_share": dec("0.5")}))
    venue.submit(order("a1", BUY, "2", LIMIT, "90"))
    venue.observe(bar(0, 100, 101, 80, 100, volume=1))
    assert (total(venue, "USDT"), free(venue, "USDT")) == (dec(10000) - 45, dec(10000) - 180)


def test_margin_when_a_position_is_open_then_it_and_the_open_loss_are_not_free() -> None:
    venue = open_venue()
    venue.submit(order("a1", BUY, "10", instrument=PERP))
    venue.observe(bar(0, 100, 101, 90, 95, instrument=PERP))
    assert (total(venue, "USDT"), free(venue, "USDT")) == (dec(10000), dec(10000) - 100 - 50)
    venue.observe(bar(1, 100, 130, 90, 130, instrument=PERP))
    assert free(venue, "USDT") == dec(10000) - 100


def test_cancel_when_filled_then_the_fill_is_the_evidence() -> None:
    venue = open_venue()
    venue.submit(order("a1", BUY, "1"))
    venue.observe(bar(0, 100, 101, 99, 100))
    answer = venue.cancel("a1")
    assert (answer.state, answer.filled) == (OrderState.FILLED, dec(1))


def test_cancel_or_amend_when_unknown_then_order_not_found() -> None:
    venue = open_venue()
    for call in (venue.cancel, venue.order, lambda client_id: venue.amend(client_id, dec(1))):
        with pytest.raises(OrderNotFound, match="no order 'nope'"):
            call("nope")


def test_amend_when_resting_then_quantity_and_reserve_follow() -> None:
    venue = open_venue()
    venue.submit(order("a1", BUY, "1", LIMIT, "90"))
    assert venue.amend("a1", dec(3)).quantity == dec(3)
    assert free(venue, "USDT") == dec(10000 - 270)
    assert venue.amend("a1", dec(1)).quantity == dec(1)
    assert prices(venue.observe(bar(0, 100, 101, 80, 100))) == ["a1 1@90"]


def test_amend_when_an_entry_changes_then_its_child_follows_and_is_told() -> None:
    venue = open_venue()
    venue.submit(order("e1", BUY, "1", LIMIT, "90"))
    venue.submit(order("s1", SELL, "1", STOP, "80", parent="e1"))
    venue.amend("e1", dec(2))
    told = updates(venue.observe(bar(0, 100, 101, 99, 100)))
    assert [(update.client_id, update.quantity) for update in told] == [("s1", dec(2))]


@pytest.mark.parametrize(
    ("quantity", "words"),
    [
        ("0.5", "has filled 0.5; 0.5 is not above it"),
        ("0.6005", "multiple of the lot"),
        ("500", "insufficient balance: needs"),
    ],
)
def test_amend_when_the_quantity_cannot_be_then_rejected(quantity, words) -> None:
    venue = open_venue(FREE.model_copy(update={"volume_share": dec("0.5")}))
    venue.submit(order("a1", BUY, "2", LIMIT, "90"))
    venue.observe(bar(0, 100, 101, 80, 100, volume=1))
    with pytest.raises(VenueRejected, match=words):
        venue.amend("a1", dec(quantity))
    assert venue.order("a1").filled == dec("0.5")


def test_amend_when_below_the_minimum_or_ended_then_rejected() -> None:
    venue = open_venue()
    venue.submit(order("a1", BUY, "2", LIMIT, "90"))
    with pytest.raises(VenueRejected, match="too small"):
        venue.amend("a1", dec("0.1"))
    venue.cancel("a1")
    with pytest.raises(VenueRejected, match="is cancelled and cannot be changed"):
        venue.amend("a1", dec(3))


@pytest.mark.parametrize("bad", ["-1", "NaN", "Infinity"])
def test_start_when_a_balance_cannot_be_then_refused(bad) -> None:
    with pytest.raises(BadInput, match="start balances"):
        open_venue(usdt=bad)
