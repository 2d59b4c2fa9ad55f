"""Targets and trailing stops in the core: what is sent, what survives a crash, what the strategy does afterwards."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.codec import decode, encode
from engine.domain.commands import ClosePosition, ConfigureRisk
from engine.domain.errors import CannotRecord
from engine.domain.facts import BestPrice
from engine.domain.orders import OrderState, Purpose
from engine.exchanges.paper.faults import Call, Fault
from engine.risk.limits import RiskConfig
from engine.trading.recovery import compare
from tests.trading.harness import PERP, SPOT, D, Desk


def _desk(instrument: Any = SPOT, **risk: str) -> Desk:
    """A desk whose limits have targets or trailing stops from the first bar on."""
    desk = Desk(instrument)
    desk.command(ConfigureRisk("test", RiskConfig(**{k: D(v) for k, v in risk.items()}).model_dump_json()))
    return desk


def _bought(**risk: str) -> Desk:
    """A long position from 100, its stop 10 below."""
    desk = _desk(**risk)
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    assert desk.held() > 0
    return desk


def _stop(desk: Desk) -> Decimal | None:
    (stop,) = desk.book.tracker.stops("momentum", desk.key)
    return stop.stop_price


def _outcome(desk: Desk) -> str:
    return desk.book.sleeves["momentum"].ideas[desk.key].outcome


def test_entry_when_targets_are_wanted_then_sent_with_stop_and_target_as_one() -> None:
    desk = _desk(take_profit="1.5")
    desk.want(1.0)
    desk.bar("100")
    entry, stop, target = [o.intent for o in desk.book.tracker.open_orders()]
    assert (target.purpose, target.side, target.limit_price) == (Purpose.TARGET, stop.side, D(115))
    assert (target.parent_id, target.pair_id, target.quantity) == (entry.client_id, stop.client_id, entry.quantity)
    assert {u.client_id for u in desk.venue.open_orders()} == {o.client_id for o in (entry, stop, target)}


def test_target_when_filled_then_the_trade_is_over_and_not_bought_right_back() -> None:
    desk = _bought(take_profit="1.5")
    desk.bar("100", high="116", close="114")
    assert desk.held() == 0
    assert desk.venue.open_orders() == ()
    desk.bar("114")
    assert _outcome(desk) == "target reached: waits until the conviction has gone back to zero"
    desk.bar("114")
    assert desk.held() == 0
    desk.want(0.0)
    desk.bar("114")
    desk.want(1.0)
    desk.bar("114")
    desk.bar("114")
    assert desk.held() > 0


def test_target_when_filled_in_part_then_the_rest_is_held_and_nothing_is_added() -> None:
    desk = _bought(take_profit="1.5")
    before = desk.held()
    desk.bar("100", high="116", close="100", volume="100")
    assert desk.held() == before - 5
    assert _outcome(desk) == "target partly filled: the rest waits for its target or its stop"
    (stop,) = desk.book.tracker.stops("momentum", desk.key)
    assert desk.book.tracker.covered(stop) == desk.held()
    desk.want(0.3)
    desk.bar("100")
    assert desk.held() == before - 5
    desk.want(0.0)
    desk.bar("100")
    desk.bar("100")
    assert desk.held() == 0
    assert desk.venue.open_orders() == ()


def test_target_when_half_is_closed_by_hand_then_stop_and_target_shrink() -> None:
    desk = _bought(take_profit="1.5")
    desk.command(ClosePosition("test", "momentum", desk.key, D("0.5")), "c-half")
    desk.bar("100")
    held = desk.held()
    assert held > 0
    sizes = {o.intent.purpose: o.remaining for o in desk.book.tracker.open_orders()}
    assert sizes == {Purpose.STOP: held, Purpose.TARGET: held}
    desk.bar("100", high="116")
    assert desk.held() == 0


def test_target_when_never_sent_then_added_at_the_next_look() -> None:
    desk = _desk(take_profit="1.5")
    desk.want(1.0)
    submit, calls = desk.venue.submit, []

    def watched(approved):  # type: ignore[no-untyped-def]
        calls.append(approved.intent.purpose)
        if calls.count(Purpose.TARGET) == 1 and approved.intent.purpose is Purpose.TARGET:
            desk.venue.faults.plan(Call.SUBMIT, Fault.UNREACHABLE)
        return submit(approved)

    desk.venue.submit = watched  # type: ignore[method-assign]
    desk.bar("100")
    desk.bar("100")
    (target,) = desk.book.tracker.targets("momentum", desk.key)
    assert target.remaining == desk.held()
    assert calls.count(Purpose.TARGET) == 2


def test_target_when_cancelled_by_hand_then_stays_away_and_the_stop_stays() -> None:
    from engine.domain.commands import CancelOrder

    desk = _bought(take_profit="1.5")
    (target,) = desk.book.tracker.targets("momentum", desk.key)
    desk.command(CancelOrder("test", target.intent.client_id), "c-cancel")
    desk.bar("100")
    desk.bar("100")
    assert desk.book.tracker.targets("momentum", desk.key) == []
    assert _stop(desk) == 90


def test_trail_when_bars_complete_then_the_stop_follows_and_never_moves_back() -> None:
    desk = _bought(trail="1")
    assert _stop(desk) == 90
    desk.bar("100", high="115", close="114")
    assert _stop(desk) == 105
    desk.bar("114", high="114", close="110")
    assert _stop(desk) == 105
    (stop,) = desk.book.tracker.stops("momentum", desk.key)
    assert desk.venue.order(stop.intent.client_id).stop_price == 105
    desk.bar("110", low="104", close="106")
    assert desk.held() == 0


def test_trail_when_the_move_fails_then_tried_again_from_the_best_price_at_the_next_close() -> None:
    desk = _bought(trail="1")
    desk.venue.faults.plan(Call.AMEND, Fault.UNREACHABLE)
    desk.bar("100", high="115", close="114")
    assert _stop(desk) == 90
    desk.bar("114", high="114", close="113")
    assert _stop(desk) == 105


def test_trail_when_the_answer_is_lost_then_moved_once_more_without_harm() -> None:
    desk = _bought(trail="1")
    desk.venue.faults.plan(Call.AMEND, Fault.LOST_AFTER)
    desk.bar("100", high="115", close="114")
    desk.bar("114", high="114", close="113")
    (stop,) = desk.book.tracker.stops("momentum", desk.key)
    assert stop.stop_price == desk.venue.order(stop.intent.client_id).stop_price == 105


def test_trail_when_a_stop_has_to_be_added_then_at_the_moved_price_and_it_follows_on() -> None:
    desk = _bought(trail="1", take_profit="4")
    desk.bar("100", high="115", close="114")
    (stop,) = desk.book.tracker.stops("momentum", desk.key)
    desk.venue.cancel(stop.intent.client_id)  # behind the engine's back
    desk.loop.resolve(everything=True)
    desk.bar("114")
    (again,) = desk.book.tracker.stops("momentum", desk.key)
    assert (again.stop_price, again.intent.parent_id) == (105, None)
    (target,) = desk.book.tracker.targets("momentum", desk.key)
    assert (target.intent.pair_id, target.intent.limit_price) == (again.intent.client_id, 140)
    desk.bar("114", high="118", close="117")
    assert _stop(desk) == 108
    assert compare(desk.loop) == []


def test_trail_when_off_then_no_fact_and_no_move() -> None:
    desk = _bought()
    desk.bar("100", high="115", close="114")
    assert _stop(desk) == 90
    assert "BestPrice" not in desk.journal.kinds()


def test_trail_when_switched_off_and_added_to_then_what_was_held_follows_on() -> None:
    desk = _desk(trail="1")
    desk.want(0.5)
    desk.bar("100")
    desk.bar("100")
    desk.book.set_risk(RiskConfig())
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100", high="115", close="114")
    old, new = desk.book.tracker.stops("momentum", desk.key)
    assert (old.stop_price, new.stop_price, new.intent.trail_distance) == (105, 90, None)


@pytest.mark.parametrize("checkpoint", [True, False])
def test_restart_when_a_stop_has_moved_then_best_price_distance_and_stop_are_known(checkpoint: bool) -> None:
    desk = _bought(trail="1", take_profit="4")
    desk.bar("100", high="115", close="114")
    if checkpoint:
        desk.loop.maybe_checkpoint(force=True)
    before = (desk.book.best_prices, desk.book.trails, desk.book.stop_prices, desk.book.target_prices)
    assert desk.restart() == ()
    assert (desk.book.best_prices, desk.book.trails, desk.book.stop_prices, desk.book.target_prices) == before
    assert _stop(desk) == 105
    desk.bar("114", high="114", close="113")
    assert _stop(desk) == 105
    desk.bar("113", high="120", close="119")
    assert _stop(desk) == 110


def test_checkpoint_when_written_before_stops_could_move_then_still_read() -> None:
    desk = _bought()
    desk.loop.maybe_checkpoint(force=True)
    sequence, state = desk.journal.checkpoints[-1]
    old = {name: value for name, value in state.items() if name not in ("target_prices", "trails", "best_prices")}
    old["orders"] = [[client_id, row[:6]] for client_id, row in state["orders"]]
    added = ("pair_id", "trail_distance")
    old["intents"] = [{k: v for k, v in row.items() if k not in added} for row in state["intents"]]
    desk.journal.checkpoints[-1] = (sequence, old)
    assert desk.restart() == ()
    assert _stop(desk) == 90
    desk.bar("100", low="80", close="85")
    assert desk.held() == 0


def test_best_price_when_stored_then_read_back() -> None:
    desk = Desk()
    fact = BestPrice("momentum", desk.key, D("115.5"), desk.at)
    assert decode(encode(fact)) == fact


def test_step_when_it_adds_a_stop_and_closes_the_position_then_the_exit_is_sent_at_once() -> None:
    desk = _bought(take_profit="1.5")
    (stop,) = desk.book.tracker.stops("momentum", desk.key)
    desk.venue.cancel(stop.intent.client_id)
    desk.loop.resolve(everything=True)
    desk.want(0.0)
    desk.bar("100")
    (exit_,) = list(desk.book.tracker.open_orders())
    assert (exit_.intent.purpose, exit_.state) == (Purpose.EXIT, OrderState.WORKING)
    desk.bar("100")
    assert desk.held() == 0


def test_step_when_it_adds_a_stop_and_closes_a_part_then_the_stop_covers_the_rest() -> None:
    desk = _bought(take_profit="1.5")
    whole = desk.held()
    (stop,) = desk.book.tracker.stops("momentum", desk.key)
    desk.venue.cancel(stop.intent.client_id)
    desk.loop.resolve(everything=True)
    desk.want(0.5)
    desk.bar("100")
    sizes = {o.intent.purpose: o.quantity for o in desk.book.tracker.open_orders()}
    assert sizes[Purpose.STOP] == sizes[Purpose.TARGET] == whole - sizes[Purpose.EXIT]
    assert desk.book.failed_trades.in_a_row == 0
    desk.bar("100")
    assert compare(desk.loop) == []


STEPS = st.lists(
    st.tuples(
        st.sampled_from([1.0, 0.5, 0.0, -1.0]),
        st.integers(85, 120),
        st.integers(0, 12),
        st.sampled_from(["40000", "400", "60"]),
        st.booleans(),
    ),
    min_size=4,
    max_size=20,
)
WAYS_OUT = st.sampled_from([("1.5", "1"), ("0.5", "0.4"), ("", "1"), ("1", "")])


def _protected(desk: Desk) -> None:
    """No order of a sleeve sells more than it holds, and no target more than its stop."""
    tracker = desk.book.tracker
    for sleeve in desk.book.sleeves:
        held = abs(desk.held(sleeve))
        assert sum((tracker.covered(stop) for stop in tracker.stops(sleeve, desk.key)), D(0)) <= held
        for target in tracker.targets(sleeve, desk.key):
            stop = tracker.get(target.intent.pair_id or "")
            assert stop is not None
            assert target.remaining <= stop.remaining


@settings(max_examples=50, deadline=None)
@given(STEPS, st.sampled_from([SPOT, PERP]), WAYS_OUT)
def test_crash_at_any_step_with_targets_and_trails_then_nothing_is_lost_or_doubled(
    steps: list[Any], instrument: Any, ways_out: tuple[str, str]
) -> None:
    wanted = {name: value for name, value in zip(("take_profit", "trail"), ways_out, strict=True) if value}
    desk = _desk(instrument, **wanted)
    for conviction, price, wick, volume, crash in steps:
        desk.want(conviction, "5")
        desk.bar(str(price), high=str(price + wick), low=str(price - wick), close=str(price), volume=volume)
        if crash:
            assert desk.restart() == ()
    desk.bar("100")
    desk.bar("100")
    _protected(desk)
    assert sorted(desk.booked_fills()) == sorted(desk.venue_fills())
    assert compare(desk.loop) == []
    balances = {b.currency: b.total for b in desk.venue.balances()}
    assert instrument is PERP or balances["BTC"] - D("0.5") == desk.held()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 90), st.sampled_from([SPOT, PERP]), WAYS_OUT)
def test_crash_between_any_two_records_with_both_then_books_and_venue_agree(
    cut: int, instrument: Any, ways_out: tuple[str, str]
) -> None:
    wanted = {name: value for name, value in zip(("take_profit", "trail"), ways_out, strict=True) if value}
    desk = _desk(instrument, **wanted)
    desk.journal.refuse_after = len(desk.journal.rows) + cut
    bars = [(1.0, 100, 3), (1.0, 101, 3), (1.0, 104, 4), (0.5, 105, 4), (1.0, 108, 6), (0.0, 109, 3), (1.0, 108, 2)]
    bars += [(1.0, 109, 9), (-1.0, 104, 3), (-1.0, 103, 4), (-1.0, 99, 5), (0.0, 98, 2), (1.0, 97, 3), (1.0, 98, 3)]
    for conviction, price, wick in bars:
        desk.want(conviction, "5")
        try:
            desk.bar(str(price), high=str(price + wick), low=str(price - wick), close=str(price), volume="400")
        except CannotRecord:
            desk.journal.refuse_after = None
            assert desk.restart() == ()
    desk.journal.refuse_after = None
    desk.bar("100")
    _protected(desk)
    assert sorted(desk.booked_fills()) == sorted(desk.venue_fills())
    assert compare(desk.loop) == []


def test_trailing_stop_when_the_answer_to_its_move_was_lost_then_the_next_move_never_goes_back() -> None:
    desk = _desk(PERP, trail="1")
    desk.want(0.5)
    desk.bar("100")
    desk.bar("100")
    (stop,) = desk.book.tracker.stops("momentum", desk.key)
    desk.want(1.0)
    desk.venue.faults.plan(Call.AMEND, Fault.LOST_AFTER)
    desk.bar("100", high="115", close="106")  # moved to 105, the answer lost; an entry is added
    desk.bar("106", high="107", close="106")  # it fills: the best price begins anew at 107
    assert stop.stop_price == D(105)
    assert desk.venue.order(stop.intent.client_id).stop_price == D(105)


def test_trailing_stop_when_the_venue_refuses_every_move_then_entries_stay_allowed() -> None:
    desk = _bought(trail="1")
    for number in range(25):
        desk.venue.faults.plan(Call.AMEND, Fault.REJECTED)
        desk.bar(str(101 + number))
    assert _stop(desk) == D(90)
    assert not desk.book.venue_errors
