"""An entry that adds to a position: its own orders are its own, what the position remembers is never loosened."""

from __future__ import annotations

from decimal import Decimal

import pytest

from engine.domain.commands import CancelOrder, ClosePosition, ConfigureRisk
from engine.domain.orders import Purpose
from engine.risk.limits import RiskConfig
from tests.trading.harness import PERP, SPOT, D, Desk

WHERE = ("momentum", SPOT.key)


def _half(conviction: float = 0.5, **risk: str) -> Desk:
    """Half a position from 100, its stop 10 away, its target (if any) by the setting."""
    desk = Desk(PERP if conviction < 0 else SPOT)
    _set(desk, "limits", **risk)
    desk.want(conviction)
    desk.bar("100")
    desk.bar("100")
    assert desk.held() != 0
    return desk


def _set(desk: Desk, command_id: str, **risk: str) -> None:
    limits = RiskConfig(**{name: D(value) for name, value in risk.items()})
    desk.command(ConfigureRisk("test", limits.model_dump_json()), command_id)


def _stops(desk: Desk) -> list[Decimal | None]:
    return [stop.stop_price for stop in desk.book.tracker.stops("momentum", desk.key)]


def _cover_anew(desk: Desk) -> None:
    """Close by hand and think better of it: every stop is cancelled, then one is added for all that is held."""
    desk.command(ClosePosition("test", "momentum", desk.key, D(1)), "close")
    (exit_,) = [o for o in desk.book.tracker.open_orders() if o.intent.purpose is Purpose.EXIT]
    desk.command(CancelOrder("test", exit_.intent.client_id), "cancel")
    (stop,) = desk.book.tracker.stops("momentum", desk.key)
    assert stop.remaining == abs(desk.held())


def test_add_on_when_its_stop_lies_farther_then_a_stop_that_is_added_for_all_lies_at_the_nearer() -> None:
    desk = _half()
    desk.want(1.0, "10")
    desk.bar("96")
    desk.bar("96")
    assert _stops(desk) == [90, 86]
    _cover_anew(desk)
    assert _stops(desk) == [90]


def test_add_on_when_its_stop_lies_nearer_then_a_stop_that_is_added_for_all_lies_there() -> None:
    desk = _half()
    desk.want(1.0, "10")
    desk.bar("104")
    desk.bar("104")
    assert _stops(desk) == [90, 94]
    _cover_anew(desk)
    assert _stops(desk) == [94]


def test_add_on_when_short_then_the_lower_stop_stays() -> None:
    desk = _half(-0.5)
    desk.want(-1.0, "10")
    desk.bar("104")
    desk.bar("104")
    assert _stops(desk) == [110, 114]
    _cover_anew(desk)
    assert _stops(desk) == [110]


def test_add_on_when_the_stop_had_followed_then_what_is_remembered_is_not_behind_it() -> None:
    desk = _half(trail="1")
    desk.want(1.0)
    desk.bar("100", high="112", close="108")  # moved to 102; the added entry's stop lies at 98
    desk.bar("108")
    assert _stops(desk) == [102, 98]
    _cover_anew(desk)
    assert _stops(desk) == [102]


@pytest.mark.parametrize(("first", "second"), [("10", "20"), ("20", "10")])
def test_add_on_when_it_trails_at_another_distance_then_the_shorter_is_remembered(first: str, second: str) -> None:
    desk = Desk()
    _set(desk, "limits", trail="1")
    desk.want(0.25, first)
    desk.bar("100")
    desk.bar("100")
    desk.want(1.0, second)
    desk.bar("100")
    desk.bar("100")
    assert len(_stops(desk)) == 2
    assert desk.book.trails[WHERE] == 10


def test_add_on_when_trailing_was_switched_off_then_what_is_held_still_trails() -> None:
    desk = _half(trail="1")
    _set(desk, "off")
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    _cover_anew(desk)
    desk.bar("100", high="115", close="112")
    assert _stops(desk) == [105]


def _targets(desk: Desk) -> list[Decimal | None]:
    return [target.intent.limit_price for target in desk.book.tracker.targets("momentum", desk.key)]


def test_add_on_when_it_has_a_target_then_the_position_keeps_its_own() -> None:
    desk = _half(take_profit="2")
    desk.want(1.0)
    desk.bar("104")
    desk.bar("104")
    assert _targets(desk) == [120, 124]
    _cover_anew(desk)
    desk.bar("104")
    assert _targets(desk) == [120]


def test_add_on_when_targets_were_switched_off_then_the_position_keeps_its_own() -> None:
    desk = _half(take_profit="2")
    _set(desk, "off")
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    _cover_anew(desk)
    desk.bar("100")
    assert _targets(desk) == [120]


def test_add_on_when_only_it_has_a_target_then_what_was_held_gets_none() -> None:
    desk = _half()
    _set(desk, "on", take_profit="2")
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    desk.bar("100")
    (target,) = desk.book.tracker.targets("momentum", desk.key)
    assert target.quantity < desk.held()
    assert WHERE not in desk.book.target_prices


def test_entry_when_another_still_works_then_the_nearer_stop_is_remembered() -> None:
    desk = Desk()
    desk.want(0.5)
    desk.bar("100")
    desk.want(1.0)
    desk.bar("97", volume="0")  # the first has not filled yet
    desk.bar("97")
    assert _stops(desk) == [90, 87]
    assert desk.book.stop_prices[WHERE] == 90


@pytest.mark.parametrize("checkpoint", [True, False])
def test_restart_when_an_entry_was_added_then_stop_target_and_trail_are_remembered_alike(checkpoint: bool) -> None:
    desk = _half(trail="1", take_profit="2")
    desk.want(1.0, "12")
    desk.bar("97")
    desk.bar("97")
    known = [dict(m) for m in (desk.book.stop_prices, desk.book.target_prices, desk.book.trails)]
    if checkpoint:
        desk.loop.maybe_checkpoint(force=True)
    assert desk.restart() == ()
    assert known == [dict(m) for m in (desk.book.stop_prices, desk.book.target_prices, desk.book.trails)]
    assert known[:2] == [{WHERE: D(90)}, {WHERE: D(120)}]
