"""A position whose exit came to nothing has its stop back within the same step."""

from __future__ import annotations

from decimal import Decimal

import pytest

from engine.domain.commands import CancelOrder, ClosePosition
from engine.domain.orders import OrderState, Purpose
from engine.exchanges.paper.faults import Call, Fault
from tests.trading.harness import PERP, SPOT, Desk


def _bought(desk: Desk) -> Desk:
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    assert desk.held() > 0
    return desk


def _covered(desk: Desk) -> Decimal:
    return sum((desk.book.tracker.covered(s) for s in desk.book.tracker.stops("momentum", desk.key)), Decimal(0))


@pytest.mark.parametrize("instrument", [SPOT, PERP], ids=["spot", "perpetual"])
def test_exit_when_cancelled_because_the_wish_is_back_then_the_stop_is_back_in_the_same_step(instrument) -> None:  # type: ignore[no-untyped-def]
    desk = _bought(Desk(instrument))
    desk.want(0.0)
    desk.bar("100")  # the exit is sent, its stop is cancelled for it
    desk.want(1.0)
    desk.bar("100", volume="0")  # nothing traded; the wish is back, so the exit is cancelled
    assert _covered(desk) == desk.held() > 0
    assert {s.stop_price for s in desk.book.tracker.stops("momentum", desk.key)} == {Decimal(90)}
    desk.bar("100", low="60", close="62")
    assert desk.held() == 0


def test_exit_when_half_of_it_filled_before_then_the_stop_covers_the_rest() -> None:
    desk = _bought(Desk())
    before = desk.held()
    desk.want(0.0)
    desk.bar("100")
    desk.want(1.0)
    desk.bar("100", volume="400")  # a fifth of it at most
    assert 0 < desk.held() < before
    assert _covered(desk) == desk.held()


def test_exit_when_a_person_cancels_it_then_the_stop_is_back_with_the_command() -> None:
    desk = _bought(Desk())
    desk.command(ClosePosition("test", "momentum", desk.key, Decimal(1)), "close")
    (exit_,) = [o for o in desk.book.tracker.open_orders() if o.intent.purpose is Purpose.EXIT]
    assert _covered(desk) == 0
    desk.command(CancelOrder("test", exit_.intent.client_id), "cancel")
    assert exit_.state is OrderState.CANCELLED
    assert _covered(desk) == desk.held() > 0


def test_exit_when_the_venue_rejects_it_then_the_stop_is_back_in_the_same_step() -> None:
    desk = _bought(Desk())
    desk.want(0.0)
    desk.venue.faults.plan(Call.SUBMIT, Fault.REJECTED)
    desk.bar("100")
    assert _covered(desk) == desk.held() > 0


def test_exit_when_nothing_proves_that_it_is_cancelled_then_no_stop_beside_it_until_it_is() -> None:
    desk = _bought(Desk())
    desk.want(0.0)
    desk.bar("100")
    desk.want(1.0)
    desk.venue.faults.plan(Call.CANCEL, Fault.LOST_BEFORE)
    desk.bar("100", volume="0")
    pending = desk.book.tracker.pending_exits(desk.key, "momentum")
    assert pending == desk.held()
    assert _covered(desk) == 0
    for _ in range(3):
        desk.pass_time(5)
        desk.loop.resolve()
        desk.loop.protect()
    assert _covered(desk) == desk.held() > 0
