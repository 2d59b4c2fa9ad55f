"""An emergency stop at a venue that is down, has shut us out, or accepts no key: it holds, tries on, and says so."""

from __future__ import annotations

import pytest

from engine.domain.commands import EmergencyStop, TradingState
from engine.domain.conditions import VenueState
from engine.domain.facts import StopStep
from engine.domain.instruments import Instrument, Kind
from engine.domain.orders import OrderState, Side
from engine.exchanges.paper.faults import Call, Fault
from engine.trading.config import StopScope
from engine.trading.report import report
from tests.trading.harness import PERP, D
from tests.trading.real_desk import RealDesk

OTHER = Instrument("w", "BTC", "USDT", Kind.PERPETUAL, D("0.01"), D("0.0001"), D(5), D(10))


def stopped(**more: object) -> RealDesk:
    """A book that holds something when its line dies and the button is pressed."""
    desk = RealDesk(PERP, **more)  # type: ignore[arg-type]
    desk.bar("100")
    desk.turn(31)
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    desk.turn(31)
    assert desk.held() > 0
    desk.wire.is_down = True
    desk.command(EmergencyStop(None), "stop")
    return desk


@pytest.mark.parametrize("state", [VenueState.OFFLINE, VenueState.BANNED, VenueState.LOCKED, VenueState.MAINTENANCE])
def test_fault_61_venue_away_then_not_flat_with_the_exposure_until_there_is_proof(state: VenueState) -> None:
    desk = stopped()
    desk.wire.state = state
    desk.turn(10, times=30)
    view = report(desk.book, (), desk.clock.now(), 1).stop
    assert view is not None
    assert (view.flat, view.exposure) == (False, desk.held() * 100)
    assert "does not answer" in view.waiting_for
    assert f"{desk.held() * 100:,.2f} USDT" in view.waiting_for
    assert (desk.book.state, desk.book.latched) == (TradingState.HALTED, True)
    desk.wire.state, desk.wire.is_down = VenueState.ONLINE, False
    for _ in range(8):
        desk.bar("100")
        desk.turn(3)
    view = report(desk.book, (), desk.clock.now(), 1).stop
    assert view is not None
    assert (view.flat, view.exposure) == (True, None)
    assert desk.venue.positions() == ()
    assert "The emergency stop is flat" in desk.notices


def test_fault_61_stop_that_is_not_flat_then_told_again_after_one_five_and_fifteen_minutes() -> None:
    desk = stopped()
    desk.turn(1)
    told = []
    for minute in range(1, 47):
        desk.turn(10, times=6)
        told += [minute for notice in desk.notices if notice.startswith("NOT FLAT")]
        assert len([n for n in desk.notices if n.startswith("NOT FLAT")]) <= 1
        desk.notices.clear()
    assert told == [1, 5, 15, 30, 45]


def test_fault_61_venue_that_is_down_then_asked_ever_more_seldom_but_for_ever() -> None:
    desk = stopped()
    asked = []
    for _ in range(8):
        desk.wire.asked.clear()
        desk.turn(1, times=60)
        asked.append(desk.wire.asked["open_orders"])
    assert asked[0] > asked[-1] > 0
    assert asked[-1] <= 14


def test_fault_61_one_of_two_venues_down_then_the_other_is_flattened_meanwhile() -> None:
    desk = stopped(others=(OTHER,))
    assert desk.book.ledger.account_position(OTHER.key) > 0
    for _ in range(6):
        desk.bar("100")
        desk.turn(3)
    assert desk.book.ledger.account_position(OTHER.key) == 0
    assert desk.held() > 0
    assert desk.book.stop is not None
    assert StopStep.ORDERS_CANCELLED not in desk.book.stop.done


def test_fault_61_killed_while_the_venue_is_down_then_the_latch_and_the_attempts_go_on() -> None:
    desk = stopped()
    desk.turn(3, times=3)
    assert "did not answer" in desk.restart()[0]
    assert (desk.book.state, desk.book.latched) == (TradingState.HALTED, True)
    desk.turn(3, times=3)
    desk.wire.is_down = False
    for _ in range(8):
        desk.bar("100")
        desk.turn(3)
    assert desk.book.stop is not None
    assert desk.book.stop.is_flat


def test_fault_60_order_unknown_when_stopped_then_not_flat_before_its_proof() -> None:
    desk = RealDesk(PERP)
    desk.bar("100")
    desk.turn(31)
    desk.wire.inner.faults.plan(Call.SUBMIT, Fault.LOST_AFTER)
    desk.order_by_hand("2")
    desk.wire.is_down = True
    desk.command(EmergencyStop(None), "stop")
    desk.turn(3, times=5)
    order = next(o for o in desk.book.tracker.open_orders())
    assert order.state is OrderState.UNKNOWN
    view = report(desk.book, (), desk.clock.now(), 1).stop
    assert view is not None
    assert (view.flat, view.exposure) == (False, 200)
    desk.wire.is_down = False
    for _ in range(8):
        desk.bar("100")
        desk.turn(3)
    assert desk.book.stop is not None
    assert desk.book.stop.is_flat
    assert desk.venue.positions() == ()


@pytest.mark.parametrize("state", [VenueState.OFFLINE, VenueState.LOCKED])
def test_stop_venue_back_after_a_long_silence_then_closed_as_soon_as_no_order_is_left(state: VenueState) -> None:
    desk = stopped()
    desk.wire.state = state
    desk.turn(10, times=60)
    desk.wire.state, desk.wire.is_down = VenueState.ONLINE, False
    desk.wire.asked.clear()
    seconds = 0
    while desk.wire.asked["submit"] == 0:
        desk.turn(0.2)
        seconds += 1
        assert seconds < 10, "two seconds and nothing was sent"


def test_stop_venue_that_refuses_every_order_then_asked_ever_more_seldom_and_no_other_waits_for_it() -> None:
    desk = stopped(others=(OTHER,))
    desk.wire.is_down, desk.wire.refuses = False, "not now"
    desk.wire.asked.clear()
    desk.turn(1, times=20)
    asked = desk.wire.asked["submit"]
    desk.bar("100")
    desk.turn(1, times=20)
    assert desk.book.ledger.account_position(OTHER.key) == 0
    assert asked < 8
    assert desk.wire.asked["submit"] <= asked + 2


class WallDesk(RealDesk):
    """One whose prices are real ones."""

    simulated = False


def test_stop_at_a_real_venue_then_its_steps_carry_wall_time() -> None:
    desk = WallDesk(PERP)
    desk.bar("100")
    desk.clock.seconds += 10_000
    desk.command(EmergencyStop(None), "stop")
    desk.turn(1, times=8)
    assert desk.book.stop is not None
    assert desk.book.stop.is_flat
    times = [at for _, _, at in desk.book.stop.steps]
    assert times == sorted(times)
    assert times[-1] <= desk.clock.now()
    assert (times[-1] - times[0]).total_seconds() >= 4
    assert (desk.clock.now() - times[0]).total_seconds() <= 9


def test_stop_that_is_not_flat_then_what_is_held_is_told_with_worth_and_age_of_its_price() -> None:
    desk = stopped()
    desk.turn(1, times=3)
    view = report(desk.book, (), desk.clock.now(), 1).stop
    assert view is not None
    (held,) = view.held
    assert (held.instrument, held.quantity, held.currency) == (desk.key, desk.held(), "USDT")
    assert held.worth == desk.held() * 100
    assert held.price_age_s == 0.0


def test_stop_while_locked_when_the_key_works_again_then_the_alert_about_the_lock_is_over() -> None:
    desk = RealDesk(PERP)
    desk.bar("100")
    desk.turn(31)
    desk.wire.state, desk.wire.is_down = VenueState.LOCKED, True
    desk.turn(1)
    assert desk.book.state is TradingState.LOCKED
    desk.command(EmergencyStop(None), "stop")
    desk.turn(1)
    desk.notices.clear()
    desk.wire.state, desk.wire.is_down = VenueState.ONLINE, False
    desk.turn(3, times=4)
    assert desk.notices.count("test is HALTED") == 1


class SparingDesk(RealDesk):
    """One whose stop leaves alone what the trader ordered himself."""

    scope = StopScope.ENGINE


@pytest.mark.parametrize(("kind", "own"), [(RealDesk, 1), (SparingDesk, 0)])
def test_stop_that_spares_the_traders_own_then_his_order_is_not_in_what_is_still_open(
    kind: type[RealDesk], own: int
) -> None:
    desk = kind(PERP)
    desk.bar("100")
    desk.own_order(Side.BUY, "3", "90")
    desk.turn(31)
    desk.order_by_hand("2")
    desk.bar("100")
    desk.bar("100")
    desk.wire.is_down = True
    desk.command(EmergencyStop(None), "stop")
    desk.turn(3)
    view = report(desk.book, (), desk.clock.now(), 1).stop
    assert view is not None
    assert view.exposure == 200 + 300 * own
    assert f"{view.exposure:.2f} USDT" in view.waiting_for


@pytest.mark.parametrize(("is_asked", "state"), [(True, TradingState.CLOSE_ONLY), (False, TradingState.ACTIVE)])
def test_errors_when_a_venue_is_left_alone_for_long_then_what_was_not_asked_is_no_error(
    is_asked: bool, state: TradingState
) -> None:
    desk = RealDesk()
    desk.bar("100")
    desk.wire.is_down, desk.wire.is_left_alone = is_asked, not is_asked
    for _ in range(30):
        desk.loop.resolver.resolve(everything=True)
    assert desk.book.venue_state(desk.key) is state
