"""Child orders of the simulated venue: asleep until their entry fills, covering just what it filled; by hand."""

from __future__ import annotations

from paper_market import BUY, LIMIT, MARKET, SELL, STOP, bar, dec, open_venue, order, prices, total, updates

from engine.domain.orders import OrderState
from engine.exchanges.paper import PaperCosts

UNCAPPED = PaperCosts(volume_share=None)


def _bracket(venue, entry=MARKET, entry_price=None, stop="95", quantity="1") -> None:
    venue.submit(order("e1", BUY, quantity, entry, entry_price))
    venue.submit(order("s1", SELL, quantity, STOP, stop, parent="e1", reduce_only=True))


def test_child_stop_when_entry_bar_reaches_it_then_fills_in_that_bar() -> None:
    venue = open_venue(UNCAPPED)
    _bracket(venue)
    assert prices(venue.observe(bar(0, 100, 101, 94, 100))) == ["e1 1@100.1", "s1 1@94.9"]
    assert total(venue, "BTC") == 0


def test_child_stop_when_entry_opens_beyond_it_then_fills_at_the_open() -> None:
    venue = open_venue()
    _bracket(venue)
    assert prices(venue.observe(bar(0, 90, 91, 89, 90))) == ["e1 1@90", "s1 1@90"]


def test_child_stop_when_limit_entry_fills_inside_the_bar_then_counts_against_the_whole_bar() -> None:
    venue = open_venue()
    _bracket(venue, LIMIT, "98")
    assert prices(venue.observe(bar(0, 100, 101, 94, 100))) == ["e1 1@98", "s1 1@95"]


def test_child_stop_when_stop_entry_fills_inside_the_bar_then_the_open_is_not_its_price() -> None:
    venue = open_venue()
    _bracket(venue, STOP, "105", stop="103")
    assert prices(venue.observe(bar(0, 100, 106, 99, 104))) == ["e1 1@105", "s1 1@103"]


def test_child_stop_when_entry_not_filled_then_sleeps() -> None:
    venue = open_venue()
    _bracket(venue, LIMIT, "90")
    assert venue.observe(bar(0, 100, 101, 94, 100)) == ()
    assert venue.order("s1").state is OrderState.WORKING


def test_child_stop_when_entry_cancelled_unfilled_then_is_cancelled_and_told() -> None:
    venue = open_venue()
    _bracket(venue, LIMIT, "90")
    assert venue.cancel("e1").state is OrderState.CANCELLED
    told = updates(venue.observe(bar(0, 100, 101, 99, 100)))
    assert [(update.client_id, update.state) for update in told] == [("s1", OrderState.CANCELLED)]
    assert told[0].reason == "its entry ended with nothing filled"


def test_child_stop_when_entry_fills_in_part_then_covers_that_part() -> None:
    venue = open_venue(PaperCosts(carry_bars=0))
    _bracket(venue, quantity="10")
    messages = venue.observe(bar(0, 100, 101, 99, 100, volume=80))
    assert prices(messages) == ["e1 4@100.1"]
    assert venue.order("e1").state is OrderState.CANCELLED
    assert (venue.order("s1").quantity, venue.order("s1").state) == (dec(4), OrderState.WORKING)
    assert prices(venue.observe(bar(1, 100, 101, 90, 100))) == ["s1 4@94.9"]
    assert venue.order("s1").state is OrderState.FILLED


def test_child_stop_when_triggered_while_the_entry_still_fills_then_ends_the_entry() -> None:
    venue = open_venue(PaperCosts())
    _bracket(venue, quantity="10")
    assert prices(venue.observe(bar(0, 100, 101, 94, 100, volume=80))) == ["e1 4@100.1", "s1 4@94.9"]
    assert venue.order("e1").state is OrderState.CANCELLED
    assert venue.order("e1").reason == "its protective stop was triggered"
    assert venue.order("s1").state is OrderState.FILLED
    assert not venue.open_orders()


def test_child_limit_when_entry_filled_at_the_open_then_may_fill_in_that_bar() -> None:
    venue = open_venue()
    venue.submit(order("e1", BUY, "1"))
    venue.submit(order("t1", SELL, "1", LIMIT, "105", parent="e1", reduce_only=True))
    assert prices(venue.observe(bar(0, 100, 106, 99, 100))) == ["e1 1@100", "t1 1@105"]


def test_child_limit_when_entry_filled_inside_the_bar_then_waits_for_the_next() -> None:
    venue = open_venue()
    venue.submit(order("e1", BUY, "1", LIMIT, "98"))
    venue.submit(order("t1", SELL, "1", LIMIT, "105", parent="e1", reduce_only=True))
    assert prices(venue.observe(bar(0, 100, 106, 97, 100))) == ["e1 1@98"]
    assert prices(venue.observe(bar(1, 100, 106, 97, 100))) == ["t1 1@105"]


def test_child_limit_when_it_sold_all_its_entry_got_then_is_filled_when_the_entry_ends() -> None:
    venue = open_venue(PaperCosts(carry_bars=1))
    venue.submit(order("e1", BUY, "10"))
    venue.submit(order("t1", SELL, "10", LIMIT, "105", parent="e1", reduce_only=True))
    assert prices(venue.observe(bar(0, 100, 106, 99, 100, volume=80))) == ["e1 4@100.1", "t1 4@105"]
    assert venue.order("t1").state is OrderState.PARTIAL
    told = updates(venue.observe(bar(1, 100, 106, 99, 100, volume=0)))
    assert [(each.client_id, each.state) for each in told] == [
        ("e1", OrderState.CANCELLED),
        ("t1", OrderState.FILLED),
    ]
