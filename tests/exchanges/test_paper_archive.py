"""Ids of orders a venue no longer holds: none is ever taken for new, however many there were."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paper_market import BUY, FREE, INSTRUMENTS, LIMIT, open_venue, order, state_of

from engine.domain.errors import OrderNotFound
from engine.domain.orders import OrderState
from engine.exchanges.paper import FileVenueJournal, PaperVenue
from engine.exchanges.paper.archive import MOST_SERIES, ArchivedIds
from engine.exchanges.paper.state import RECENT_ORDERS, VenueState
from engine.execution.identity import ClientIds


def archived(*client_ids: str) -> ArchivedIds:
    found = ArchivedIds()
    for client_id in client_ids:
        found.add(client_id)
    return found


def test_checkpoint_when_half_a_million_orders_are_archived_then_stays_small() -> None:
    ids, state = ClientIds("d0", "abcde", 1), VenueState({}, {})
    for _ in range(500_000):
        state.archived.add(ids.next())
    assert len(json.dumps(state.dump())) < 1_000


def test_id_when_above_every_archived_one_then_is_new_without_a_look() -> None:
    old, new = ClientIds("d0", "abcde", 1), ClientIds("d0", "abcde", 2)
    used = [old.next() for _ in range(100)]
    found = archived(*used)
    assert all(found.may_hold(client_id) for client_id in used)
    assert not found.may_hold(old.next())
    assert not found.may_hold(new.next())
    assert not found.may_hold(ClientIds("p0", "abcde", 1).next())


def test_ids_when_numbered_in_plain_digits_then_ten_follows_nine() -> None:
    found = archived("liq9", "liq10")
    assert found.may_hold("liq009")
    assert not found.may_hold("liq11")


@settings(max_examples=60)
@given(st.lists(st.text("01a9z-é", max_size=20), max_size=30), st.text("01a9z-é", max_size=20))
def test_ids_of_any_maker_then_none_is_forgotten_and_dumps_agree(client_ids: list[str], other: str) -> None:
    found = archived(*client_ids)
    again = ArchivedIds.load(json.loads(json.dumps(found.dump())))
    assert all(again.may_hold(client_id) for client_id in client_ids)
    assert again.may_hold(other) == found.may_hold(other)


def test_makers_when_there_are_thousands_then_space_is_bounded_and_none_is_forgotten() -> None:
    many = [f"{'x' * (n % 7)}{n:x}-1" for n in range(5_000)]
    found = archived(*many)
    assert len(found.dump()["marks"]) == MOST_SERIES
    assert all(found.may_hold(client_id) for client_id in many)


def test_journal_of_an_earlier_version_then_its_ids_are_recognised() -> None:
    old = {**VenueState({}, {}).dump(), "archived": "d0abcde00010000001 d0abcde00010000009 mine"}
    state = VenueState({}, {})
    state.load(old)
    assert state.archived.may_hold("d0abcde00010000005")
    assert state.archived.may_hold("mine")
    assert not state.archived.may_hold("d0abcde0001000000a")


@pytest.fixture
def worn(tmp_path) -> PaperVenue:
    """A venue whose first orders are archived; n1 was never placed, though later ones were."""
    venue = open_venue(journal=FileVenueJournal(tmp_path / "demo.jsonl", rotate_lines=300))
    for number in range(RECENT_ORDERS + 200):
        if number != 1:
            venue.submit(order(f"n{number}", BUY, "1", LIMIT, "50"))
            venue.cancel(f"n{number}")
    return venue


def test_id_below_the_mark_when_never_used_then_not_found_and_can_be_placed(worn: PaperVenue) -> None:
    with pytest.raises(OrderNotFound):
        worn.order("n1")
    assert worn.submit(order("n1", BUY, "1")).state is OrderState.WORKING


def test_id_when_archived_then_is_never_placed_twice(worn: PaperVenue, tmp_path) -> None:
    again = PaperVenue.restore("demo", INSTRUMENTS, FREE, FileVenueJournal(tmp_path / "demo.jsonl"))
    assert state_of(again) == state_of(worn)
    for venue in (worn, again):
        assert venue.submit(order("n0", BUY, "1")).state is OrderState.CANCELLED
        assert venue.open_orders() == ()
