"""An order of the engine and the orders at the exchange that stand for it: ids, sums and ends."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from threading import Thread

import pytest
from connected_case import client_id, intent
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.orders import OrderState, OrderType, Purpose, Side
from engine.exchanges.connected.inbox import HeardTrade, Inbox
from engine.exchanges.connected.legs import KeptOrder, Leg, engine_id, leg_id, leg_number
from engine.exchanges.connected.reading import Report
from engine.exchanges.connected.registry import FOREIGN, REMEMBERED, Registry

AT = datetime(2026, 11, 21, tzinfo=UTC)
IDS = st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=18, max_size=18)


def _kept(quantity: str = "1") -> KeptOrder:
    wanted = intent(2, "BTC/USDT:USDT", Side.SELL, quantity, OrderType.STOP, Purpose.STOP, stop_price="95")
    return KeptOrder(wanted, wanted.quantity, wanted.stop_price, AT)


def _report(state: OrderState | None, filled: str = "0", quantity: str | None = "1") -> Report:
    size = None if quantity is None else Decimal(quantity)
    return Report("n-1", None, "BTC/USDT:USDT", Side.SELL, state, Decimal(filled), size, None, AT)


@given(IDS, st.integers(0, 0xFFFFF))
def test_leg_id_when_read_back_then_names_order_and_number(name: str, number: int) -> None:
    made = leg_id(name, number)
    assert (engine_id(made), leg_number(made)) == (name, number)
    assert len(made) <= 32
    assert made.isalnum()


@given(st.text(max_size=40))
def test_engine_id_when_somebody_elses_then_it_stays(name: str) -> None:
    assert engine_id(name) == name or leg_id(engine_id(name), leg_number(name)) == name


def test_order_when_it_changes_legs_then_what_they_filled_adds_up() -> None:
    order = _kept()
    first = order.new_leg(Decimal(1), waits=True)
    first.hear(_report(OrderState.CANCELLED, "0.25"))
    second = order.new_leg(Decimal("0.75"), waits=True)
    assert (first.exchange_id, second.exchange_id) == (client_id(2), leg_id(client_id(2), 1))
    second.hear(_report(OrderState.FILLED, "0.75", "0.75"))
    assert (order.state, order.filled, order.is_over) == (OrderState.FILLED, Decimal(1), True)


def test_order_when_a_leg_of_before_a_restart_ended_then_what_became_of_it_is_unknown_until_the_others_are_sought() -> (
    None
):
    order = _kept()
    order.sought = False
    order.adopt_leg(client_id(2), is_stop=True).hear(_report(OrderState.CANCELLED, "0.25"))
    assert (order.state, order.is_over) == (OrderState.UNKNOWN, False)
    order.adopt_leg(leg_id(client_id(2), 1), is_stop=True).hear(_report(OrderState.WORKING, "0", "0.75"))
    assert order.state is OrderState.PARTIAL
    order.adopt_leg(leg_id(client_id(2), 1), is_stop=True).hear(_report(OrderState.FILLED, "0.75", "0.75"))
    assert (order.state, order.filled, order.is_over) == (OrderState.FILLED, Decimal(1), True)


def test_order_when_its_only_leg_was_refused_then_it_does_not_exist_and_the_id_is_not_used_again() -> None:
    order = _kept()
    order.drop_leg(order.new_leg(Decimal(1), waits=True))
    assert order.new_leg(Decimal(1), waits=True).exchange_id == leg_id(client_id(2), 1)


def test_order_when_asleep_then_it_works_and_ends_with_its_reason() -> None:
    order = _kept()
    order.sleeps = True
    assert (order.state, order.is_waiting, order.is_over) == (OrderState.WORKING, True, False)
    order.end(OrderState.CANCELLED, "its entry ended with nothing filled")
    told = order.update("bybit")
    assert (told.state, told.reason) == (OrderState.CANCELLED, "its entry ended with nothing filled")
    assert told.venue_order_id is None


@pytest.mark.parametrize("late", [OrderState.WORKING, OrderState.PARTIAL, OrderState.PENDING_CANCEL])
def test_leg_when_a_late_report_comes_after_its_end_then_it_stays_ended(late: OrderState) -> None:
    leg = Leg(client_id(2), Decimal(1))
    leg.hear(_report(OrderState.CANCELLED, "0.4"))
    leg.hear(_report(late, "0.1"))
    assert (leg.state, leg.done) == (OrderState.CANCELLED, Decimal("0.4"))


def test_leg_when_executions_come_twice_then_they_count_once_and_end_it_when_whole() -> None:
    leg = Leg(client_id(2), Decimal(1))
    for number in ("a", "a", "b"):
        leg.book(number, Decimal("0.5"))
    assert (leg.done, leg.state) == (Decimal(1), OrderState.FILLED)


def test_leg_when_only_acknowledged_then_it_works() -> None:
    leg = Leg(client_id(2), Decimal(1), state=OrderState.UNKNOWN)
    leg.hear(_report(None, quantity=None))
    assert (leg.state, leg.venue_order_id) == (OrderState.WORKING, "n-1")


def test_registry_when_a_book_knows_an_order_then_it_is_taken_over_once() -> None:
    wanted = intent(2, "BTC/USDT:USDT", Side.SELL, "1", OrderType.STOP, Purpose.STOP, stop_price="95", parent_id=1)
    registry = Registry({wanted.client_id: wanted}.get)
    assert registry.get(client_id(9)) is None
    order = registry.get(wanted.client_id)
    assert order is not None
    assert registry.get(wanted.client_id) is order
    assert registry.children(client_id(1)) == [order]


def test_registry_when_many_orders_have_ended_then_the_oldest_are_forgotten_and_none_that_works() -> None:
    registry = Registry(lambda _: None)
    working = registry.add(intent(1, "BTC/USDT:USDT", Side.BUY, "1"))
    working.new_leg(Decimal(1), waits=False)
    for number in range(2, REMEMBERED + 10):
        order = registry.add(intent(number, "BTC/USDT:USDT", Side.BUY, "1"))
        order.new_leg(Decimal(1), waits=False).hear(_report(OrderState.FILLED, "1"))
    assert len(list(registry)) <= REMEMBERED + 1
    assert registry.known(client_id(1)) is working
    assert registry.known(client_id(2)) is None


def test_inbox_when_filled_by_many_threads_then_nothing_is_lost_and_pending_tells() -> None:
    inbox = Inbox()
    news = [HeardTrade({"id": str(number)}) for number in range(200)]
    threads = [Thread(target=inbox.put, args=(each,)) for each in news]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inbox.pending.is_set()
    drained = inbox.drain()
    assert sorted(str(each.answer["id"]) for each in drained if isinstance(each, HeardTrade)) == sorted(
        str(each.answer["id"]) for each in news
    )
    assert not inbox.pending.is_set()
    assert inbox.drain() == []


def test_registry_when_many_orders_of_others_are_met_then_only_the_newest_are_kept_and_the_engines_all() -> None:
    registry = Registry(lambda _: None)
    order = registry.add(intent(1, "BTC/USDT:USDT", Side.BUY, "1"))
    leg = order.new_leg(Decimal(1), waits=False)
    leg.venue_order_id = "ours"
    registry.note(order, leg)
    for number in range(FOREIGN + 10):
        registry.own(f"n-{number}", "his")
    assert registry.owner("ours") == leg.exchange_id
    assert [registry.owner(f"n-{number}") for number in (0, 9)] == [None, None]
    assert [registry.owner(f"n-{number}") for number in (10, FOREIGN + 9)] == ["his", "his"]
