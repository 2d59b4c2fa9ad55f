"""A comparison that a person asks for: every difference, and what explains it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from engine.domain.errors import VenueAmbiguous
from engine.domain.orders import Approved, OrderUpdate, Side
from engine.trading.reconciling import Kind, Reconciliation, Row, reconcile
from tests.trading.harness import PERP, SPOT, D
from tests.trading.real_desk import RealDesk


def holding(instrument=SPOT) -> RealDesk:  # type: ignore[no-untyped-def]
    desk = RealDesk(instrument)
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    desk.turn(31)
    assert desk.held() > 0
    return desk


def rows(found: Reconciliation, kind: Kind) -> list[Row]:
    return [row for row in found.rows if row.kind is kind]


@pytest.mark.parametrize("instrument", [SPOT, PERP], ids=["spot", "perpetual"])
def test_reconcile_when_nobody_else_trades_then_equal(instrument) -> None:  # type: ignore[no-untyped-def]
    found = reconcile(holding(instrument).loop)
    assert found.equal
    assert found.unexplained == ()
    assert all(row.equal for row in found.rows)


def test_reconcile_when_a_deposit_was_told_then_it_explains_the_balance() -> None:
    desk = holding()
    desk.wire.flow("USDT", "500")
    found = reconcile(desk.loop)
    assert found.equal
    [usdt] = [row for row in rows(found, Kind.BALANCE) if row.what == "USDT"]
    assert D(usdt.exchange) - D(usdt.books) == 500
    assert "500 USDT of it are your own" in usdt.explanation
    assert any("deposit" in row.explanation and row.what.startswith("flow") for row in found.rows)


def test_reconcile_when_money_is_gone_without_a_word_then_unexplained_and_nothing_is_halted() -> None:
    desk = holding()
    desk.wire.moved["USDT"] = Decimal(-7)
    found = reconcile(desk.loop)
    assert not found.equal
    [row] = [row for row in found.rows if not row.equal]
    assert (row.kind, row.what) == (Kind.BALANCE, "USDT")
    assert "not explained: -7 USDT" in row.explanation
    assert desk.book.state.value == "ACTIVE"


def test_reconcile_when_the_trader_ordered_himself_then_it_is_named_as_his() -> None:
    desk = holding()
    desk.own_order(Side.BUY, "2", "90")
    found = reconcile(desk.loop)
    assert found.equal
    [row] = rows(found, Kind.ORDER)
    assert (row.what, row.books, row.exchange) == ("mine-1", "-", "buy 2 BTC/USDT at 90")
    assert "your own" in row.explanation


def test_reconcile_when_an_order_was_executed_unheard_then_booked_and_told() -> None:
    desk = holding()
    before = desk.book.ledger.fills
    heard = desk.wire.observe
    desk.wire.observe = lambda event: [fact for fact in heard(event) if not fact]  # type: ignore[method-assign]
    desk.bar("40")  # far below the stop: the venue executes it, and tells nobody
    found = reconcile(desk.loop)
    assert found.equal
    told = rows(found, Kind.FILL)
    assert len(told) == desk.book.ledger.fills - before > 0
    assert "booked now" in told[0].explanation


def test_reconcile_when_a_venue_does_not_answer_then_not_equal_and_named() -> None:
    desk = holding()
    desk.wire.is_down = True
    found = reconcile(desk.loop)
    assert not found.equal
    assert found.silent == (("v", "no answer"),)
    assert rows(found, Kind.BALANCE) == []


def test_reconcile_when_an_order_has_no_proof_then_it_is_no_equality() -> None:
    def silent(approved: Approved) -> OrderUpdate:
        raise VenueAmbiguous(f"no answer about {approved.intent.client_id}")

    desk = holding()
    desk.wire.submit = silent  # type: ignore[method-assign]
    desk.order_by_hand("1")
    found = reconcile(desk.loop)
    assert not found.equal
    [row] = rows(found, Kind.ORDER)
    assert (row.books, row.exchange, row.equal) == ("UNKNOWN", "no proof", False)
