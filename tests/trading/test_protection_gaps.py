"""What no stop or target could protect: not sent where it cannot be taken, told once, journaled, mended at once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from engine.domain.codec import plain
from engine.domain.commands import CancelOrder, ConfigureRisk, PlaceOrder, TradingState
from engine.domain.errors import VenueRejected
from engine.domain.facts import Notice
from engine.domain.orders import OrderState, OrderType, Purpose, Side
from engine.exchanges.paper.faults import Call, Fault
from engine.exchanges.paper.records import Cause
from engine.execution import tracker
from engine.risk.limits import RiskConfig
from engine.trading.core import outcome_of
from engine.trading.decisions import Decider
from engine.trading.recovery import compare
from engine.trading.report import report
from tests.trading.harness import PERP, SPOT, D, Desk


def _desk(instrument: Any = SPOT, **risk: str) -> Desk:
    desk = Desk(instrument)
    desk.command(ConfigureRisk("test", RiskConfig(**{k: D(v) for k, v in risk.items()}).model_dump_json()), "risk")
    return desk


def _bought(**risk: str) -> Desk:
    desk = _desk(**risk)
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    assert desk.held() > 0
    return desk


def _told(desk: Desk) -> list[Notice]:
    """Every notice from here on."""
    told: list[Notice] = []
    before = desk.loop._observer

    def observe(event: Any, outcome: Any) -> None:
        told.extend(outcome.notices)
        if before is not None:
            before(event, outcome)

    desk.loop._observer = observe
    return told


def _covered(desk: Desk) -> Decimal:
    stops = desk.book.tracker.stops("momentum", desk.key)
    return sum((desk.book.tracker.covered(stop) for stop in stops), D(0))


def _gaps(desk: Desk) -> list[tuple[str, Decimal]]:
    """The gaps in the journal: what is missing, and how much."""
    return [(r["gap"], D(r["quantity"])) for r in desk.journal.rows if r["type"] == "ProtectionGap"]


def _lose(desk: Desk, *orders: tracker.TrackedOrder) -> None:
    """Orders end at the venue, behind the engine's back."""
    for order in orders:
        desk.venue.cancel(order.intent.client_id)
    desk.loop.resolve(everything=True)


def _with_dust() -> Desk:
    """A position of which 0.0004 BTC, worth 0.04 USDT of at least 5, have lost their stop."""
    desk = _bought()
    whole = desk.held()
    (stop,) = desk.book.tracker.stops("momentum", desk.key)
    desk.venue.amend(stop.intent.client_id, whole - D("0.0004"))
    desk.loop.resolve(everything=True)
    assert _covered(desk) == whole - D("0.0004")
    return desk


def _sent_stops(desk: Desk) -> int:
    return sum(1 for r in desk.journal.rows if r["type"] == "OrderIntent" and r["purpose"] == "stop")


def _view(desk: Desk) -> Any:
    (position,) = report(desk.book, (), desk.at, 1).positions
    return position


def test_missing_stop_when_below_the_minimum_then_not_sent_and_told_once() -> None:
    desk = _with_dust()
    told, sent = _told(desk), _sent_stops(desk)
    for _ in range(5):
        desk.bar("100")
        desk.loop.protect()
    assert _sent_stops(desk) == sent
    assert desk.book.state is TradingState.ACTIVE
    assert desk.book.failed_trades.in_a_row == 0
    (notice,) = told
    assert notice.title == "A remainder has no stop"
    assert "0.0004 BTC" in notice.detail
    assert "worth 0.04 USDT" in notice.detail
    assert "minimum of 5 USDT" in notice.detail
    assert _gaps(desk) == [("stop below the minimum", D("0.0004"))]


def test_missing_stop_when_below_the_minimum_then_shown_as_unprotected() -> None:
    desk = _with_dust()
    desk.bar("100")
    position = _view(desk)
    assert position.unprotected == D("0.0004")
    assert "minimum of 5 USDT" in position.warnings[0]


def test_remainder_when_it_grows_above_the_minimum_then_protected_at_once_and_told() -> None:
    desk = _with_dust()
    desk.bar("100")
    (stop,) = desk.book.tracker.stops("momentum", desk.key)
    told = _told(desk)
    desk.venue.amend(stop.intent.client_id, desk.held() - D("0.2"))
    desk.loop.resolve(everything=True)
    desk.loop.protect()
    assert _covered(desk) == desk.held()
    assert [notice.title for notice in told] == ["Protected again"]
    assert _gaps(desk)[-1] == ("stop below the minimum", D(0))
    assert _view(desk).unprotected == 0


def test_remainder_when_its_price_rises_above_the_minimum_then_protected_at_that_close() -> None:
    desk = _bought()
    (stop,) = desk.book.tracker.stops("momentum", desk.key)
    desk.venue.amend(stop.intent.client_id, desk.held() - D("0.049"))
    desk.loop.resolve(everything=True)
    desk.bar("100")
    assert _covered(desk) == desk.held() - D("0.049")
    desk.bar("100", close="103")
    assert _covered(desk) == desk.held()


@pytest.mark.parametrize("checkpoint", [True, False])
def test_restart_when_a_remainder_was_told_then_not_told_again_and_still_shown(checkpoint: bool) -> None:
    desk = _with_dust()
    desk.bar("100")
    if checkpoint:
        desk.loop.maybe_checkpoint(force=True)
    desk.notices.clear()
    assert desk.restart() == ()
    desk.bar("100")
    assert "A remainder has no stop" not in desk.notices
    assert _view(desk).unprotected == D("0.0004")


def test_remainder_when_the_position_is_closed_then_over() -> None:
    desk = _with_dust()
    desk.bar("100")
    desk.want(0.0)
    desk.bar("100")
    desk.bar("100")
    desk.bar("100")
    assert desk.held() == 0
    assert desk.book.gaps == {}


def test_exit_when_an_added_stop_would_shrink_below_the_minimum_then_sent_and_the_stop_goes() -> None:
    desk = _bought()
    (stop,) = desk.book.tracker.stops("momentum", desk.key)
    _lose(desk, stop)
    desk.bar("100")
    whole = desk.held()
    (added,) = desk.book.tracker.stops("momentum", desk.key)
    assert added.intent.parent_id is None
    decider = Decider(desk.book, desk.at)
    decider.close("momentum", SPOT, whole - D("0.01"), "closed by jo")
    desk.loop.send(outcome_of(decider.decided, [], []))
    desk.bar("100")
    assert desk.held() == D("0.01")
    desk.bar("100")
    assert desk.book.state is TradingState.ACTIVE
    assert _view(desk).unprotected == D("0.01")


def test_lost_stop_when_an_entry_works_then_replaced_at_once() -> None:
    desk = _desk(PERP)
    desk.want(0.5)
    desk.bar("100")
    desk.bar("100")
    (stop,) = desk.book.tracker.stops("momentum", desk.key)
    desk.want(1.0)
    desk.bar("100", volume="0")
    assert any(o.intent.purpose is Purpose.ENTRY and o.remaining for o in desk.book.tracker.open_orders())
    _lose(desk, stop)
    desk.loop.protect()
    assert _covered(desk) == desk.held() > 0
    for _ in range(4):
        desk.bar("100")
        assert _covered(desk) == desk.held()
    assert compare(desk.loop) == []


def test_entry_when_it_fills_in_parts_then_its_child_covers_each_and_none_is_added() -> None:
    desk = _desk(PERP)
    desk.want(1.0)
    desk.bar("100")
    sent = _sent_stops(desk)
    for _ in range(3):
        desk.bar("100", volume="100")
        assert _covered(desk) == desk.held() > 0
    assert _sent_stops(desk) == sent


def _refuse_targets(desk: Desk) -> list[str]:
    """The venue refuses every target; the ids of those it has seen."""
    submit, seen = desk.venue.submit, []

    def refusing(approved: Any) -> Any:
        if approved.intent.purpose is Purpose.TARGET:
            seen.append(approved.intent.client_id)
            raise VenueRejected("limit price outside the band of 10 %")
        return submit(approved)

    desk.venue.submit = refusing  # type: ignore[method-assign]
    return seen


def test_target_when_the_venue_refuses_it_then_told_once_and_not_sent_at_every_close() -> None:
    desk = _desk(take_profit="1.5")
    seen, told = _refuse_targets(desk), _told(desk)
    desk.want(1.0)
    for _ in range(20):
        desk.bar("100")
    assert len(seen) == 1
    (notice,) = told
    assert notice.title == "A take-profit is missing"
    assert "outside the band" in notice.detail
    assert f"{plain(desk.held())} BTC" in notice.detail
    assert [gap for gap, _ in _gaps(desk)] == ["no target"]
    assert "outside the band" in _view(desk).warnings[0]


def test_target_when_it_was_refused_then_tried_again_after_an_hour_and_counted_once() -> None:
    desk = _desk(take_profit="1.5")
    submit = desk.venue.submit
    seen = _refuse_targets(desk)
    desk.want(1.0)
    for _ in range(200):
        desk.bar("100")
    assert len(seen) == 4
    assert desk.book.state is TradingState.ACTIVE
    desk.venue.submit = submit  # type: ignore[method-assign]
    told = _told(desk)
    for _ in range(61):
        desk.bar("100")
    (target,) = desk.book.tracker.targets("momentum", desk.key)
    assert target.state is OrderState.WORKING
    assert [notice.title for notice in told] == ["The take-profit works again"]
    assert _view(desk).warnings == ()


def test_target_when_the_venue_ends_it_by_itself_then_told_once_and_not_replaced() -> None:
    desk = _bought(take_profit="1.5")
    (target,) = desk.book.tracker.targets("momentum", desk.key)
    exchange = desk.venue._exchange
    turn, order = exchange._turn(desk.at), exchange._recorder.find(target.intent.client_id)
    assert order is not None
    turn.end(order, "expired")
    exchange._conclude(turn, Cause.BARS)
    told = _told(desk)
    desk.loop.resolve(everything=True)
    for _ in range(70):
        desk.bar("100")
    assert [notice.title for notice in told] == ["A take-profit is missing"]
    assert "expired" in told[0].detail
    assert desk.book.tracker.targets("momentum", desk.key) == []


def test_target_when_its_stop_triggered_and_waits_for_volume_then_nothing_is_told() -> None:
    desk = _bought(take_profit="1.5")
    told = _told(desk)
    desk.bar("100", low="85", close="88", volume="0")
    desk.bar("88", volume="0")
    assert desk.held() > 0
    assert desk.book.tracker.targets("momentum", desk.key) == []
    desk.bar("88")
    desk.bar("88")
    assert desk.held() == 0
    assert told == []


@pytest.mark.parametrize("checkpoint", [True, False])
def test_target_when_cancelled_by_hand_then_stays_away_however_many_orders_end_and_after_a_restart(
    checkpoint: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker, "KEEP_ENDED", 2)
    desk = _bought(take_profit="1.5")
    (target,) = desk.book.tracker.targets("momentum", desk.key)
    told = _told(desk)
    desk.command(CancelOrder("test", target.intent.client_id), "c-cancel")
    for number in range(4):
        _end_an_order(desk, number)
    if checkpoint:
        desk.loop.maybe_checkpoint(force=True)
    assert desk.restart() == ()
    desk.bar("100")
    for number in range(4, 8):
        _end_an_order(desk, number)
    (stop,) = desk.book.tracker.stops("momentum", desk.key)
    _lose(desk, stop)
    desk.bar("100")
    assert desk.book.tracker.targets("momentum", desk.key) == []
    assert _covered(desk) == desk.held()
    assert told == []


def test_target_when_cancelled_by_hand_and_added_to_then_only_the_new_part_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracker, "KEEP_ENDED", 2)
    desk = _desk(PERP, take_profit="1.5")
    desk.want(0.5)
    desk.bar("100")
    desk.bar("100")
    first = desk.held()
    (target,) = desk.book.tracker.targets("momentum", desk.key)
    desk.command(CancelOrder("test", target.intent.client_id), "c-cancel")
    desk.want(1.0)
    for number in range(6):
        _end_an_order(desk, number)
    assert desk.held() > first
    (target,) = desk.book.tracker.targets("momentum", desk.key)
    assert target.remaining == desk.held() - first


def _end_an_order(desk: Desk, number: int) -> None:
    """An order by hand that rests far away and is cancelled: one more ended order to remember."""
    place = PlaceOrder("test", desk.key, Side.BUY, D("0.1"), OrderType.LIMIT, D(99))
    done = desk.command(place, f"place-{desk.epoch}-{number}")
    assert done is not None
    (order,) = [o for o in desk.book.tracker.open_orders() if o.intent.sleeve == "manual"]
    desk.command(CancelOrder("test", order.intent.client_id), f"end-{desk.epoch}-{number}")
    desk.bar("100")


def test_trailing_stop_when_the_venue_refuses_to_move_it_then_told_once_and_asked_ever_more_seldom() -> None:
    desk = _bought(trail="1")
    amend, asked = desk.venue.amend, []

    def refusing(client_id: str, quantity: Any = None, stop_price: Any = None) -> Any:
        asked.append(stop_price)
        raise VenueRejected("a stop may be moved once a day")

    desk.venue.amend = refusing  # type: ignore[method-assign]
    told = _told(desk)
    for number in range(32):
        desk.bar(str(101 + number))
    assert 3 <= len(asked) <= 7
    (notice,) = told
    assert notice.title == "A trailing stop cannot follow"
    assert "once a day" in notice.detail
    assert "BTC" in notice.detail
    assert [gap for gap, _ in _gaps(desk)] == ["stop cannot follow"]
    assert desk.book.state is TradingState.ACTIVE
    desk.venue.amend = amend  # type: ignore[method-assign]
    for _ in range(40):
        desk.bar("132")
    (stop,) = desk.book.tracker.stops("momentum", desk.key)
    assert stop.stop_price == D(122)
    assert [one.title for one in told] == ["A trailing stop cannot follow", "The trailing stop follows again"]
    assert _view(desk).warnings == ()


def test_trailing_stop_when_the_venue_cannot_be_reached_then_asked_at_the_next_close() -> None:
    desk = _bought(trail="1")
    told = _told(desk)
    desk.venue.faults.plan(Call.AMEND, Fault.UNREACHABLE)
    desk.bar("105")
    desk.bar("105")
    (stop,) = desk.book.tracker.stops("momentum", desk.key)
    assert stop.stop_price == D(95)
    assert told == []
