"""Tracking: no fill twice, no order forgotten while it may still fill."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.errors import BadInput
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import Fill, Liquidity, OrderIntent, OrderState, OrderType, OrderUpdate, Purpose, Side
from engine.execution.identity import ClientIds
from engine.execution.tracker import KEEP_ENDED, Tracker

AT = datetime(2026, 1, 1, tzinfo=UTC)
KEY = InstrumentKey("v:BTC/USDT")
D = Decimal


def intent(
    client_id: str = "c1", quantity: str = "10", purpose: Purpose = Purpose.ENTRY, side: Side = Side.BUY
) -> OrderIntent:
    return OrderIntent(client_id, KEY, side, D(quantity), OrderType.MARKET, purpose, "momentum", AT, D(100))


def update(state: OrderState, filled: str = "0", client_id: str = "c1", quantity: Decimal | None = None) -> OrderUpdate:
    return OrderUpdate(client_id, "v", KEY, state, D(filled), AT, "o1", quantity)


def fill(trade_id: str, quantity: str, client_id: str = "c1") -> Fill:
    return Fill(
        "v", "m", trade_id, client_id, "o1", KEY, Side.BUY, D(quantity), D(100), D(0), "USDT", Liquidity.TAKER, AT
    )


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["1", "2", "3", "4"]), max_size=12))
def test_fills_in_any_order_and_repeated_then_each_counts_once(ids: list[str]) -> None:
    tracker = Tracker()
    tracker.add(intent())
    for trade_id in ids:
        if tracker.is_new_fill(fill(trade_id, "2")):
            tracker.apply_fill(fill(trade_id, "2"))
    order = tracker.get("c1")
    assert order is not None
    assert order.filled == 2 * len(set(ids))


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(list(OrderState))), max_size=30))
def test_open_on_when_orders_come_and_go_then_equals_the_open_orders_of_the_instrument(
    reports: list[tuple[str, OrderState]],
) -> None:
    tracker, keys = Tracker(), {"a": KEY, "b": KEY, "c": InstrumentKey("v:ETH/USDT")}
    for client_id, key in keys.items():
        tracker.add(replace(intent(client_id), instrument=key))
    for client_id, state in reports:
        tracker.apply_update(replace(update(state, client_id=client_id), instrument=keys[client_id]))
        if state is OrderState.PARTIAL:
            tracker.apply_fill(replace(fill(f"{client_id}1", "10", client_id), instrument=keys[client_id]))
        for key in set(keys.values()):
            assert list(tracker.open_on(key)) == [o for o in tracker.open_orders() if o.intent.instrument == key]


def test_fill_before_the_acknowledgement_then_is_booked() -> None:
    tracker = Tracker()
    tracker.add(intent())
    tracker.apply_fill(fill("1", "4"))
    tracker.apply_update(update(OrderState.WORKING))
    order = tracker.get("c1")
    assert order is not None
    assert (order.state, order.filled, order.remaining) == (OrderState.PARTIAL, D(4), D(6))


def test_cancelled_with_a_fill_outstanding_then_stays_open_until_it_is_booked() -> None:
    tracker = Tracker()
    tracker.add(intent())
    tracker.apply_update(update(OrderState.CANCELLED, "4"))
    assert [o.intent.client_id for o in tracker.open_orders()] == ["c1"]
    tracker.apply_fill(fill("1", "4"))
    assert list(tracker.open_orders()) == []


def test_working_when_unknown_then_counts_at_its_worst() -> None:
    tracker = Tracker()
    tracker.add(intent())
    tracker.apply_update(update(OrderState.UNKNOWN))
    assert tracker.working("momentum", KEY) == D(10)
    assert tracker.has_unknown(KEY)


def test_child_stop_when_entry_fills_partly_then_covers_just_that() -> None:
    tracker = Tracker()
    tracker.add(intent())
    stop = tracker.add(replace(intent("c2", purpose=Purpose.STOP, side=Side.SELL), parent_id="c1"))
    assert tracker.covered(stop) == 0
    tracker.apply_fill(fill("1", "3"))
    assert tracker.covered(stop) == D(3)


def test_ended_orders_when_many_then_only_the_newest_are_kept_and_open_ones_never_lost() -> None:
    tracker = Tracker()
    tracker.add(intent("open"))
    for number in range(KEEP_ENDED + 50):
        tracker.add(intent(f"x{number}"))
        tracker.apply_update(update(OrderState.CANCELLED, client_id=f"x{number}"))
    assert tracker.get("open") is not None
    assert tracker.get("x0") is None
    assert tracker.get(f"x{KEEP_ENDED + 49}") is not None


def test_checkpoint_when_restored_then_equal() -> None:
    tracker = Tracker()
    tracker.add(intent())
    tracker.apply_update(update(OrderState.WORKING, quantity=D(8)))
    tracker.apply_fill(fill("1", "3"))
    other = Tracker()
    other.restore({i.client_id: i for i in tracker.intents()}, tracker.state())
    assert other.state() == tracker.state()
    assert not other.is_new_fill(fill("1", "3"))


def test_report_that_says_nothing_new_then_is_known() -> None:
    tracker = Tracker()
    tracker.add(intent())
    assert not tracker.knows(update(OrderState.WORKING))
    tracker.apply_update(update(OrderState.WORKING))
    assert tracker.knows(update(OrderState.WORKING))
    assert not tracker.knows(update(OrderState.WORKING, "1"))


def test_client_ids_when_epoch_rises_then_never_repeat() -> None:
    first, second = ClientIds("d0", "abcde", 1), ClientIds("d0", "abcde", 2)
    ids = [first.next() for _ in range(100)] + [second.next() for _ in range(100)]
    assert len(set(ids)) == 200
    assert all(len(i) == 18 and i.isalnum() and i == i.lower() for i in ids)
    assert second.epoch_of(ids[0]) == 1


@pytest.mark.parametrize(("book", "installation"), [("d", "abcde"), ("d0", "abc"), ("D0", "abcde"), ("d0", "ab-de")])
def test_client_ids_when_parts_are_unfit_then_refused(book: str, installation: str) -> None:
    with pytest.raises(BadInput, match="0-9a-z"):
        ClientIds(book, installation, 1)
