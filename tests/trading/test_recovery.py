"""Recovery: the fold of all facts is the book, and a book is compared with its venues before it trades."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.commands import (
    CancelOrder,
    ClosePosition,
    CommandBody,
    EmergencyStop,
    PlaceOrder,
    Rearm,
    SetAllocation,
    SetStrategy,
    SetTrading,
    TradingState,
)
from engine.domain.market import FundingRate
from engine.domain.orders import Approved, OrderIntent, OrderState, OrderType, OrderUpdate, Purpose, Side
from engine.exchanges.paper.faults import Call, Fault
from engine.trading.recovery import Reconciler, compare
from tests.trading.harness import PERP, SPOT, D, Desk, ListJournal

FROM_MARKS = {"now", "bars_at", "units", "sleeve_peaks", "records", "brake", "venue_errors", "cursors", "entry_times"}
"""What rests on prices or on conversations, not on facts: a crash sets it back to the last checkpoint."""
CALLS = [Fault.LOST_AFTER, Fault.LOST_BEFORE, Fault.UNREACHABLE, Fault.REJECTED]


def rebuilt(desk: Desk, checkpoints: list[Any]) -> dict[str, Any]:
    """The book that another engine makes of the journal and these checkpoints."""
    other = object.__new__(Desk)
    other.__dict__.update(desk.__dict__)
    other.journal = ListJournal()
    other.journal.rows, other.journal.checkpoints = desk.journal.rows, checkpoints
    other._build()
    other.loop.load()
    return other.book.dump()


def some_command(desk: Desk, dice: random.Random) -> CommandBody:
    side = dice.choice([Side.BUY, Side.SELL])
    open_ = [o.intent.client_id for o in desk.book.tracker.open_orders()]
    return dice.choice(
        [
            SetStrategy("test", "momentum", dice.random() < 0.6),
            SetTrading("test", dice.choice([TradingState.ACTIVE, TradingState.CLOSE_ONLY, TradingState.HALTED])),
            PlaceOrder("test", desk.key, side, D(1), OrderType.MARKET),
            PlaceOrder("test", desk.key, side, D(1), OrderType.LIMIT, D(dice.randrange(95, 105))),
            CancelOrder("test", dice.choice([*open_, "nothing"])),
            ClosePosition("test", dice.choice(["momentum", "manual"]), desk.key, D("0.5")),
            SetAllocation("test", "fixed", (("momentum", D(dice.randrange(1, 5)) / 10),)),
            EmergencyStop(None),
            Rearm("test"),
        ]
    )


def random_life(seed: int, steps: int = 22) -> tuple[Desk, list[Any]]:
    """A book after a random life, and the checkpoints it had somewhere in the middle."""
    dice = random.Random(seed)
    desk = Desk(dice.choice([SPOT, PERP]), ("momentum", "breakout"))
    cut, kept = dice.randrange(2, steps), list(desk.journal.checkpoints)
    for number in range(steps):
        desk.want(dice.choice([1.0, 0.5, 0.0, -1.0]), "5", dice.choice(["momentum", "breakout"]))
        if dice.random() < 0.25:
            desk.venue.faults.plan(dice.choice([Call.SUBMIT, Call.CANCEL, Call.AMEND]), dice.choice(CALLS))
        if dice.random() < 0.35:
            desk.command(some_command(desk, dice), f"c-{number}")
        if dice.random() < 0.1:
            desk.loop.step(FundingRate(desk.key, desk.at, D("0.0001"), D(100)))
        desk.script.error = ValueError("broken") if dice.random() < 0.1 else None
        price, wick = dice.randrange(85, 120), dice.randrange(0, 12)
        desk.bar(str(price), high=str(price + wick), low=str(price - wick), close=str(price), volume="40000")
        if dice.random() < 0.4:
            desk.pass_time(3)
            desk.loop.resolve()
        if number == cut:
            desk.loop.maybe_checkpoint(force=True)
            kept = list(desk.journal.checkpoints)
    return desk, kept


def differing(live: dict[str, Any], other: dict[str, Any], left_out: set[str]) -> dict[str, Any]:
    assert live.keys() == other.keys()
    texts = {name: (json.dumps(live[name]), json.dumps(other[name])) for name in live.keys() - left_out}
    return {name: pair for name, pair in texts.items() if pair[0] != pair[1]}


def without_reason(dump: dict[str, Any]) -> dict[str, Any]:
    """Why a strategy was quarantined is not a fact; that it was stopped is."""
    return {**dump, "sleeves": [{**sleeve, "quarantined": ""} for sleeve in dump["sleeves"]]}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
def test_fold_of_all_facts_then_equals_the_book_and_the_checkpoint_with_its_tail(seed: int) -> None:
    desk, checkpoints = random_life(seed)
    live = without_reason(desk.book.dump())
    for kept, left_out in ((checkpoints, FROM_MARKS), ([], FROM_MARKS | {"external"})):
        other = without_reason(rebuilt(desk, kept))
        assert differing(live, other, left_out) == {}


def test_latch_when_released_and_killed_then_the_restarted_book_buys_again_as_the_living_one_would() -> None:
    desk = Desk()
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    desk.bar("100", low="85", close="95")
    assert [latch for _, _, latch in desk.book.dump()["stopped_out"]] == [1]
    desk.want(0.0)
    desk.bar("95")
    assert desk.book.dump()["stopped_out"] == []
    desk.restart()
    assert desk.book.dump()["stopped_out"] == []
    desk.want(1.0)
    desk.bar("96")
    assert desk.book.tracker.working("momentum", desk.key) > 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**9))
def test_checkpoint_when_taken_at_the_end_then_is_the_book_to_the_last_field(seed: int) -> None:
    desk, _ = random_life(seed)
    desk.loop.maybe_checkpoint(force=True)
    fresh = rebuilt(desk, desk.journal.checkpoints)
    assert differing(json.loads(json.dumps(desk.book.dump())), fresh, set()) == {}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**9))
def test_random_life_with_lost_answers_then_books_and_venue_agree_and_every_position_is_protected(seed: int) -> None:
    desk, _ = random_life(seed)
    for _ in range(4):
        desk.pass_time(3)
        desk.loop.pull()
        desk.loop.resolve(everything=True)
        desk.loop.protect()
        desk.stop.drive()
    for _ in range(3):
        desk.pass_time(3)
        desk.loop.resolve(everything=True)
        desk.loop.protect()
    assert sorted(desk.booked_fills()) == sorted(desk.venue_fills())
    assert compare(desk.loop) == []
    ledger = desk.book.ledger
    made = sum((t.realised - t.fees + t.funding for t in ledger.sleeves.values()), Decimal(0))
    assert ledger.equity(desk.book.price) == ledger.capital + made + ledger.unrealised(desk.book.price)
    assert not any(o.state is OrderState.UNKNOWN for o in desk.book.tracker.open_orders())
    for sleeve, key, holding in ledger.open_holdings():
        if sleeve == "manual" or desk.book.latched:
            continue
        stops = [s for s in desk.book.tracker.stops(sleeve, key) if s.intent.side.sign * holding.quantity < 0]
        covered = sum((desk.book.tracker.covered(s) for s in stops), Decimal(0))
        assert covered + desk.book.tracker.pending_exits(key, sleeve) >= abs(holding.quantity), sleeve


# -- comparing with the venues -----------------------------------------------------------------------------------------


def holding() -> Desk:
    desk = Desk()
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    return desk


def test_fault_38_one_odd_answer_at_the_start_then_concludes_nothing() -> None:
    desk = holding()
    desk.venue.faults.plan(Call.BALANCES, Fault.EMPTY)
    assert desk.restart() == ()
    assert desk.book.state is TradingState.ACTIVE


def test_fault_38_odd_answers_that_last_then_halted_with_the_difference_named() -> None:
    desk = holding()
    desk.venue.faults.plan(Call.BALANCES, Fault.EMPTY, Fault.EMPTY)
    assert "the books say" in desk.restart()[0]
    assert desk.book.state is TradingState.HALTED
    assert "Books and venues differ" in desk.notices


def test_fault_25_venue_silent_at_the_start_then_halted_and_not_believed_empty() -> None:
    desk = holding()
    held = desk.held()
    desk.venue.set_outage(desk.at + timedelta(minutes=1))
    assert "did not answer" in desk.restart()[0]
    assert desk.book.state is TradingState.HALTED
    assert desk.held() == held


def test_fault_30_executions_never_told_then_found_by_asking_and_protected_at_once() -> None:
    desk = Desk()
    desk.want(1.0)
    desk.bar("100")
    desk.venue.faults.plan(Call.OBSERVE, Fault.WITHHELD)
    desk.bar("100")
    assert desk.booked_fills() == []
    watch = Reconciler(desk.loop, desk.clock)
    desk.pass_time(11)
    watch.drive()
    assert desk.booked_fills() == desk.venue_fills() != []
    assert [desk.book.tracker.covered(s) for s in desk.book.tracker.stops("momentum", desk.key)] == [desk.held()]
    assert desk.book.state is TradingState.ACTIVE


def test_reconciler_when_books_and_venue_differ_twice_then_halts_and_tells_once() -> None:
    desk = holding()
    desk.book.external[("v", "BTC")] -= 1
    watch = Reconciler(desk.loop, desk.clock)
    states = []
    for _ in range(5):
        desk.pass_time(11)
        watch.drive()
        states.append(desk.book.state)
    assert states[0] is TradingState.ACTIVE
    assert set(states[1:]) == {TradingState.HALTED}
    assert desk.notices.count("Books and venues differ") == 1


def test_reconciler_when_a_venue_is_silent_then_proves_nothing() -> None:
    desk = holding()
    desk.venue.set_outage(desk.at + timedelta(minutes=5))
    watch = Reconciler(desk.loop, desk.clock)
    for _ in range(3):
        desk.pass_time(11)
        watch.drive()
    assert desk.book.state is TradingState.ACTIVE


@pytest.mark.parametrize(("epoch", "whose"), [(1, "a record that was lost"), (9, "another engine")])
def test_fault_43_order_in_our_name_that_the_books_do_not_know_then_halted(epoch: int, whose: str) -> None:
    desk = holding()
    client_id = f"t0abcde{epoch:04d}0000099"
    intent = OrderIntent(
        client_id, desk.key, Side.BUY, D(1), OrderType.LIMIT, Purpose.ENTRY, "momentum", desk.at, D(100), D(50)
    )
    desk.venue.submit(Approved(intent))
    found = desk.restart()
    assert whose in found[0]
    assert desk.book.state is TradingState.HALTED


def test_order_believed_ended_that_the_venue_still_works_then_halted() -> None:
    desk = holding()
    stop = desk.book.tracker.stops("momentum", desk.key)[0]
    ended = OrderUpdate(stop.intent.client_id, "v", desk.key, OrderState.CANCELLED, D(0), desk.at)
    desk.loop.take([ended], desk.at)
    assert "which the books believe cancelled" in desk.restart()[0]
    assert desk.book.state is TradingState.HALTED


def test_position_without_a_stop_at_the_start_then_has_one_before_the_first_candle() -> None:
    desk = holding()
    for stop in desk.book.tracker.stops("momentum", desk.key):
        desk.venue.cancel(stop.intent.client_id)
    desk.restart()
    stops = desk.book.tracker.stops("momentum", desk.key)
    assert [(s.quantity, s.intent.stop_price, s.state) for s in stops] == [(desk.held(), D(90), OrderState.WORKING)]
