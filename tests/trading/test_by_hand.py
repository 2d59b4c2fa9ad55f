"""Stop orders that people placed: counted as cover of a position, never as the strategy's stop."""

from __future__ import annotations

from dataclasses import replace

from engine.domain.commands import PlaceOrder
from engine.domain.orders import OrderType, Side
from engine.domain.portfolio import HandStop, Position
from engine.trading.report import report
from tests.trading.harness import PERP, SPOT, D
from tests.trading.real_desk import RealDesk


def shown(desk: RealDesk) -> Position:
    (position,) = report(desk.book, (), desk.clock.now(), 1).positions
    return position


def bought(quantity: str = "2", instrument: object = PERP) -> RealDesk:
    desk = RealDesk(instrument)  # type: ignore[arg-type]
    desk.bar("100")
    desk.turn(31)
    desk.order_by_hand(quantity)
    desk.bar("100")
    desk.bar("100")
    return desk


def place_stop(desk: RealDesk, quantity: str, price: str, number: str) -> None:
    body = PlaceOrder(
        "test", desk.key, Side.SELL, D(quantity), OrderType.STOP, stop_price=D(price), reduce_only=True
    )  # fmt: skip
    done = desk.command(body, number)
    assert done is not None
    assert done.status == "done", done.detail


def test_position_by_hand_when_it_has_no_stop_order_then_bare() -> None:
    position = shown(bought())
    assert (position.stop_price, position.by_hand, position.is_bare) == (None, None, True)


def test_stop_order_given_here_then_covers_its_part_of_the_position_and_the_nearest_price_is_told() -> None:
    desk = bought()
    place_stop(desk, "0.5", "80", "s1")
    position = shown(desk)
    assert position.by_hand == HandStop(D(80), D("0.5"), D("1.5"))
    assert position.is_bare
    place_stop(desk, "1.5", "90", "s2")
    position = shown(desk)
    assert position.by_hand == HandStop(D(90), D(2), D(0))
    assert (position.is_bare, position.stop_price) == (False, None)


def test_stop_order_given_here_on_spot_when_it_leaves_dust_then_all_is_covered() -> None:
    desk = bought("1.0004", SPOT)
    place_stop(desk, "1", "90", "s1")
    position = shown(desk)
    assert position.by_hand is not None
    assert position.by_hand.uncovered == 0
    assert not position.is_bare


def test_stop_order_at_the_exchange_when_reduce_only_then_counted_up_to_what_is_held() -> None:
    desk = bought()
    order = desk.own_order(Side.SELL, "5", "70")
    desk.wire.own_orders[:] = [replace(order, order_type=OrderType.STOP, limit_price=None, stop_price=D(70))]
    desk.turn(11)
    assert shown(desk).by_hand is None
    desk.wire.own_orders[:] = [replace(desk.wire.own_orders[0], reduce_only=True)]
    desk.turn(11)
    assert shown(desk).by_hand == HandStop(D(70), D(2), D(0))


def test_stop_order_at_the_exchange_when_a_strategy_has_its_own_then_beside_it_and_not_in_its_place() -> None:
    desk = RealDesk(PERP)
    desk.bar("100")
    desk.turn(31)
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    before = shown(desk)
    order = desk.own_order(Side.SELL, "0.5", "70")
    desk.wire.own_orders[:] = [
        replace(order, order_type=OrderType.STOP, limit_price=None, stop_price=D(70), reduce_only=True)
    ]
    desk.turn(11)
    position = shown(desk)
    assert (position.stop_price, position.is_bare) == (before.stop_price, False)
    assert position.by_hand == HandStop(D(70), D("0.5"), position.quantity - D("0.5"))


def test_position_that_is_dust_then_no_stop_is_missed() -> None:
    desk = bought("1.0004", SPOT)
    assert shown(desk).is_bare
    desk.command(PlaceOrder("test", desk.key, Side.SELL, D(1), OrderType.MARKET), "sell")
    desk.bar("100")
    desk.bar("100")
    position = shown(desk)
    assert (position.quantity, position.is_dust, position.is_bare) == (D("0.0004"), True, False)
