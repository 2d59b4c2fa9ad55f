"""What is said about an order by hand: whether it can be cancelled, what closing does, and what became of it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from engine.domain.commands import PlaceOrder
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import OrderType, Purpose, Side
from engine.domain.portfolio import BookSnapshot, WorkingOrder
from engine.runtime.order_review import after_close, after_order, close_words, why_not_cancelled
from tests.pages import fake_records as made
from tests.pages.fake_console import FakeConsole

D = Decimal
BTC = InstrumentKey("demo-a:BTC/USDT")
STOP = made.working_orders()[0]
BOOK = FakeConsole().snapshot().book("demo")


def book(*orders: WorkingOrder, **changes: Any) -> BookSnapshot:
    return replace(BOOK, orders=orders, **changes)


def test_cancel_when_a_stop_protects_a_position_then_refused_with_the_way_out() -> None:
    assert "close the position" in why_not_cancelled(book(STOP), STOP.client_id)


def test_cancel_when_a_stop_protects_a_working_entry_then_that_is_to_be_cancelled() -> None:
    entry = replace(STOP, client_id="e1", purpose=Purpose.ENTRY)
    assert "cancel that entry" in why_not_cancelled(book(STOP, entry, positions=()), STOP.client_id)


def test_cancel_when_a_stop_protects_nothing_then_allowed() -> None:
    assert why_not_cancelled(book(STOP, positions=()), STOP.client_id) == ""


def test_cancel_when_the_order_is_gone_then_said() -> None:
    assert why_not_cancelled(book(), "d9") == "It is not working any more"


@pytest.mark.parametrize(
    ("purpose", "sleeve"), [(Purpose.ENTRY, "momentum"), (Purpose.EXIT, "manual"), (Purpose.STOP, "breakout")]
)
def test_cancel_when_it_protects_nothing_of_its_own_then_allowed(purpose: Purpose, sleeve: str) -> None:
    order = replace(STOP, purpose=purpose, sleeve=sleeve)
    assert why_not_cancelled(book(order), order.client_id) == ""


def test_close_when_its_strategy_is_paused_then_no_reopening_is_announced() -> None:
    sleeves = tuple(replace(sleeve, running=False) for sleeve in BOOK.sleeves)
    assert close_words(replace(BOOK, sleeves=sleeves), BOOK.positions[0], whole=False) == ("Its stop shrinks with it.",)


def test_after_close_when_working_then_the_rest_then_filled_then_look() -> None:
    working = replace(STOP, purpose=Purpose.EXIT, filled=D("0.0021"))
    assert after_close(book(working), "momentum", BTC) == "Sent; not filled yet: 0.04 BTC still working."
    assert after_close(book(positions=()), "momentum", BTC) == "Sent and filled: the position is closed."
    assert after_close(book(), "momentum", BTC).startswith("Sent. What was filled stands under Fills")


def test_after_order_when_another_order_by_hand_rests_then_it_is_not_taken_for_this_one() -> None:
    other = replace(STOP, sleeve="manual", purpose=Purpose.ENTRY, quantity=D(9))
    body = PlaceOrder("demo", BTC, Side.BUY, D(1), OrderType.MARKET)
    assert after_order(book(other), body).startswith("Sent. ")
