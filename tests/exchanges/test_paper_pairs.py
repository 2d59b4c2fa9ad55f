"""A stop and its target at the simulated venue: one cancels the other; worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from paper_market import (
    BUY,
    LIMIT,
    MARKET,
    PERP,
    SELL,
    SPOT,
    STOP,
    at,
    bar,
    dec,
    open_venue,
    order,
    prices,
    total,
    updates,
)

from engine.domain.errors import VenueRejected
from engine.domain.orders import Approved, OrderState
from engine.exchanges.paper import MemoryVenueJournal, PaperCosts, PaperVenue


def _pair(approved: Approved, stop_id: str) -> Approved:
    return Approved(replace(approved.intent, pair_id=stop_id))


def _bracket(
    venue: PaperVenue, stop: str = "95", target: str = "105", quantity: str = "1", entry: str | None = None
) -> None:
    """An entry (at the market, or a limit at ``entry``) with stop and target."""
    venue.submit(order("e1", BUY, quantity, MARKET if entry is None else LIMIT, entry))
    venue.submit(order("s1", SELL, quantity, STOP, stop, parent="e1"))
    venue.submit(_pair(order("t1", SELL, quantity, LIMIT, target, parent="e1"), "s1"))


def _held(venue: PaperVenue, btc: str = "2") -> None:
    """A stop and a target for what is held already."""
    venue.submit(order("s1", SELL, btc, STOP, "95"))
    venue.submit(_pair(order("t1", SELL, btc, LIMIT, "105"), "s1"))


def _state(venue: PaperVenue, client_id: str) -> tuple[OrderState, Decimal | None, str]:
    found = venue.order(client_id)
    return found.state, found.quantity, found.reason


def test_target_when_traded_through_by_a_tick_then_fills_at_its_price_and_its_stop_ends() -> None:
    venue = open_venue()
    _bracket(venue)
    messages = venue.observe(bar(0, 100, "105.1", 99, 100))
    assert prices(messages) == ["e1 1@100", "t1 1@105"]
    assert [(each.client_id, each.state) for each in updates(messages)][-2:] == [
        ("t1", OrderState.FILLED),
        ("s1", OrderState.CANCELLED),
    ]
    assert not venue.open_orders()
    assert venue.order("s1").reason == "its target was filled"


def test_target_when_only_touched_then_waits() -> None:
    venue = open_venue()
    _bracket(venue)
    assert prices(venue.observe(bar(0, 100, 105, 99, 100))) == ["e1 1@100"]
    assert {update.client_id for update in venue.open_orders()} == {"s1", "t1"}


def test_target_when_a_later_bar_opens_beyond_it_then_fills_at_its_price_and_no_better() -> None:
    venue = open_venue()
    _bracket(venue)
    venue.observe(bar(0, 100, 101, 99, 100))
    assert prices(venue.observe(bar(1, 110, 112, 109, 111))) == ["t1 1@105"]


def test_target_when_its_entry_opens_beyond_it_then_takes_at_that_open() -> None:
    venue = open_venue(PaperCosts(volume_share=None))
    _bracket(venue)
    assert prices(venue.observe(bar(0, 110, 112, 109, 111))) == ["e1 1@110.1", "t1 1@109.9"]  # each pays its costs
    assert total(venue, "BTC") == 0


def test_target_when_its_limit_entry_fills_inside_the_bar_then_waits_for_the_next() -> None:
    venue = open_venue()
    _bracket(venue, entry="98")
    assert prices(venue.observe(bar(0, 100, 106, 97, 100))) == ["e1 1@98"]
    assert prices(venue.observe(bar(1, 100, 106, 97, 100))) == ["t1 1@105"]


@pytest.mark.parametrize("minute", [0, 1])
def test_stop_and_target_when_one_bar_reaches_both_then_the_stop_is_first(minute: int) -> None:
    venue = open_venue()
    _bracket(venue)
    for calm in range(minute):
        venue.observe(bar(calm, 100, 101, 99, 100))
    assert prices(venue.observe(bar(minute, 100, 110, 90, 100)))[-1] == "s1 1@95"
    assert _state(venue, "t1") == (OrderState.CANCELLED, None, "its stop was triggered")
    assert total(venue, "BTC") == 0


def test_target_when_filled_in_part_then_its_stop_covers_the_rest() -> None:
    venue = open_venue(PaperCosts(volume_share=Decimal("0.05")))
    _bracket(venue, quantity="10")
    venue.observe(bar(0, 100, 101, 99, 100))
    assert prices(venue.observe(bar(1, 100, 106, 99, 100, volume=80))) == ["t1 4@105"]
    assert (venue.order("s1").quantity, venue.order("t1").filled) == (6, 4)
    assert prices(venue.observe(bar(2, 100, 101, 90, 100))) == ["s1 6@94.9"]
    assert _state(venue, "t1")[0] is OrderState.CANCELLED
    assert total(venue, "BTC") == 0


def test_target_when_it_fills_while_its_entry_still_does_then_the_entry_ends() -> None:
    venue = open_venue(PaperCosts())
    _bracket(venue, quantity="10")
    assert prices(venue.observe(bar(0, 100, 106, 99, 100, volume=80))) == ["e1 4@100.1", "t1 4@105"]
    assert _state(venue, "e1") == (OrderState.CANCELLED, None, "its target was reached")
    assert not venue.open_orders()
    assert total(venue, "BTC") == 0


def test_pair_when_its_entry_ends_in_part_then_both_cover_what_it_got() -> None:
    venue = open_venue(PaperCosts(carry_bars=0))
    _bracket(venue, quantity="10")
    venue.observe(bar(0, 100, 101, 99, 100, volume=80))
    assert {(each.client_id, each.quantity) for each in venue.open_orders()} == {("s1", dec(4)), ("t1", dec(4))}


def test_pair_when_its_entry_ends_with_nothing_filled_then_both_end() -> None:
    venue = open_venue()
    _bracket(venue, entry="90")
    venue.cancel("e1")
    told = updates(venue.observe(bar(0, 100, 101, 99, 100)))
    assert {(each.client_id, each.state) for each in told} == {
        ("s1", OrderState.CANCELLED),
        ("t1", OrderState.CANCELLED),
    }


def test_pair_when_for_what_is_held_then_the_coins_are_held_back_once() -> None:
    venue = open_venue(btc="2")
    _held(venue)
    free = {balance.currency: balance.free for balance in venue.balances()}
    assert free["BTC"] == 0
    assert prices(venue.observe(bar(0, 100, 106, 99, 100))) == ["t1 2@105"]
    assert total(venue, "BTC") == 0
    assert {balance.currency: balance.free for balance in venue.balances()}["BTC"] == 0


def test_pair_when_the_target_has_sold_a_part_then_the_rest_stays_held_back() -> None:
    venue = open_venue(PaperCosts(), btc="2")
    _held(venue)
    venue.observe(bar(0, 100, 106, 99, 100, volume=10))
    balance = next(each for each in venue.balances() if each.currency == "BTC")
    assert (balance.total, balance.free) == (dec("1.5"), 0)
    with pytest.raises(VenueRejected, match="insufficient balance"):
        venue.submit(order("x1", SELL, "0.5", minute=1))


def test_stop_when_amended_smaller_or_cancelled_then_its_target_follows() -> None:
    venue = open_venue(btc="2")
    _held(venue)
    venue.amend("s1", dec(1))
    assert venue.order("t1").quantity == 1
    venue.cancel("s1")
    assert _state(venue, "t1") == (OrderState.CANCELLED, dec(1), "its stop has ended")


def test_target_when_cancelled_then_its_stop_stays() -> None:
    venue = open_venue(btc="2")
    _held(venue)
    venue.cancel("t1")
    assert [each.client_id for each in venue.open_orders()] == ["s1"]


def test_target_when_for_a_position_beyond_it_then_takes_at_the_next_open() -> None:
    venue = open_venue(PaperCosts(volume_share=None), btc="2")
    _held(venue)
    assert prices(venue.observe(bar(0, 110, 112, 108, 111))) == ["t1 2@109.9"]


REFUSED = [
    ("of an unknown stop", order("t2", SELL, "1", LIMIT, "105"), "zz", "does not work here"),
    ("on the other side", order("t2", BUY, "1", LIMIT, "105"), "s1", "a target is a limit on the side"),
    ("larger than its stop", order("t2", SELL, "3", LIMIT, "105"), "s1", "at most 2"),
    ("that is no limit", order("t2", SELL, "1", STOP, "90"), "s1", "a target is a limit"),
    ("the second of its stop", order("t2", SELL, "1", LIMIT, "106"), "s1", "has a target already"),
]


@pytest.mark.parametrize(("what", "sent", "stop_id", "why"), REFUSED, ids=[row[0] for row in REFUSED])
def test_target_when_it_does_not_fit_its_stop_then_rejected(what: str, sent: Approved, stop_id: str, why: str) -> None:
    venue = open_venue(btc="5")
    _held(venue)
    with pytest.raises(VenueRejected, match=why):
        venue.submit(_pair(sent, stop_id))


def test_target_when_amended_alone_then_rejected() -> None:
    venue = open_venue(btc="2")
    _held(venue)
    with pytest.raises(VenueRejected, match="follows its stop s1"):
        venue.amend("t1", dec(1))


def test_stop_price_when_amended_then_counts_from_the_next_candle_and_is_told() -> None:
    venue = open_venue()
    _bracket(venue)
    venue.observe(bar(0, 100, 104, 99, 103))
    told = venue.amend("s1", stop_price=dec("101"))
    assert (told.stop_price, told.quantity, told.state) == (101, None, OrderState.WORKING)
    assert prices(venue.observe(bar(1, 103, 104, "100.9", 102))) == ["s1 1@101"]


def test_stop_price_when_a_bar_opens_beyond_the_moved_stop_then_fills_at_the_open() -> None:
    venue = open_venue()
    _bracket(venue)
    venue.observe(bar(0, 100, 104, 99, 103))
    venue.amend("s1", stop_price=dec("101"))
    assert prices(venue.observe(bar(1, 98, 99, 97, 98))) == ["s1 1@98"]


def test_stop_price_when_the_market_has_passed_it_already_then_triggers_at_the_next_open() -> None:
    venue = open_venue()
    _bracket(venue)
    venue.observe(bar(0, 100, 104, 99, 100))
    venue.amend("s1", stop_price=dec("102"))
    assert prices(venue.observe(bar(1, 100, 101, 99, 100))) == ["s1 1@100"]


def test_stop_price_when_the_stop_has_ended_or_triggered_then_answered_as_it_is() -> None:
    venue = open_venue(PaperCosts())
    _bracket(venue)
    venue.observe(bar(0, 100, 101, 99, 100))
    venue.observe(bar(1, 94, 95, 90, 92, volume=0))
    told = venue.amend("s1", stop_price=dec("99"))
    assert (told.state, told.stop_price) == (OrderState.WORKING, 95)
    venue.cancel("s1")
    assert venue.amend("s1", stop_price=dec("99")).state is OrderState.CANCELLED


@pytest.mark.parametrize(("client_id", "price"), [("e1", "95"), ("s1", "95.05"), ("s1", "-1"), ("s1", "NaN")])
def test_stop_price_when_it_cannot_be_then_rejected(client_id: str, price: str) -> None:
    venue = open_venue()
    _bracket(venue, entry="90")
    with pytest.raises(VenueRejected, match="cannot be moved"):
        venue.amend(client_id, stop_price=Decimal(price))


def test_late_word_of_a_child_when_it_was_amended_since_then_says_how_it_stands() -> None:
    venue = open_venue(PaperCosts())
    _bracket(venue, quantity="10")
    venue.observe(bar(0, 100, 101, 99, 100, volume=80))
    venue.cancel("e1")  # both children shrink to 4, which the venue tells with the next event
    venue.amend("s1", dec(3))
    told = {each.client_id: each.quantity for each in updates(venue.observe(bar(1, 100, 101, 99, 100)))}
    assert told == {"s1": dec(3), "t1": dec(3)}


def test_journal_when_restored_then_pairs_and_moved_stops_are_as_they_were() -> None:
    journal = MemoryVenueJournal()
    venue = open_venue(PaperCosts(), journal)
    _bracket(venue, quantity="10")
    venue.observe(bar(0, 100, 101, 99, 100))
    venue.observe(bar(1, 100, 106, 99, 100, volume=80))
    venue.amend("s1", stop_price=dec("97"))
    again = PaperVenue.restore("demo", (SPOT, PERP), PaperCosts(), journal)
    assert again.open_orders() == venue.open_orders()
    assert prices(again.observe(bar(2, 100, 101, 96, 97))) == ["s1 6@96.9"]
    assert not again.open_orders()


def test_perpetual_when_its_target_fills_then_the_position_is_flat() -> None:
    venue = open_venue()
    venue.submit(order("e1", SELL, "1", instrument=PERP))
    venue.submit(order("s1", BUY, "1", STOP, "105", parent="e1", instrument=PERP))
    venue.submit(_pair(order("t1", BUY, "1", LIMIT, "95", parent="e1", instrument=PERP), "s1"))
    found = prices(venue.observe(bar(0, 100, 101, "94.9", 96, instrument=PERP)))
    assert found == ["e1 1@100", "t1 1@95"]
    assert not venue.positions()
    assert at(0)
