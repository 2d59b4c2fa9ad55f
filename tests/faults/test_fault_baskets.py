"""Faults of baskets: a leg refused, unknown or late, or the process killed at any call of the order path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.domain.baskets import BasketState
from engine.domain.orders import OrderState
from engine.exchanges.paper.faults import Call, Fault
from tests.faults.judged import judged
from tests.trading.basket_case import HERE, THERE, apart, bars, baskets, coins, drive, good_bars, state, stock
from tests.trading.harness import Desk

UNWOUND, COMPLETED = BasketState.UNWOUND, BasketState.COMPLETED


class Killed(BaseException):
    """The process is gone at this very line."""


@contextmanager
def stocked(folder: Path, **values: Any) -> Iterator[Desk]:
    """At the end nothing works any more, and the books are what the venues wrote down."""
    with judged(folder, HERE, ("arbitrage",), others=(THERE,)) as desk:
        stock(desk, **values)
        yield desk
        assert not [order for order in desk.book.tracker.open_orders() if order.remaining]


def half(desk: Desk) -> None:
    """The buy is marketable, the sale at 101 is not."""
    bars(desk, {HERE: "99.9", THERE: "100.5"})
    drive(desk)


def moves(desk: Desk) -> list[str]:
    return [row["state"] for row in desk.journal.rows if row["type"] == "BasketMoved"]


def test_fault_21_one_leg_filled_and_the_other_late_then_unwound_by_the_rule_decided_before(tmp_path: Path) -> None:
    with stocked(tmp_path) as desk:
        apart(desk)
        for _ in range(4):
            half(desk)
        assert moves(desk) == ["unwinding", "unwound"]
        (basket,) = baskets(desk)
        assert basket.result is not None
        assert basket.result < 0
        assert coins(desk) == (0, 2)


@pytest.mark.parametrize("first", [True, False], ids=["the first sent", "the second sent"])
@pytest.mark.parametrize("fault", [Fault.REJECTED, Fault.UNREACHABLE, Fault.LOST_BEFORE, Fault.LOST_AFTER])
def test_fault_21_a_leg_refused_or_without_an_answer_then_nothing_is_left_half(
    tmp_path: Path, fault: Fault, first: bool
) -> None:
    with stocked(tmp_path) as desk:
        desk.venues["w" if first else "v"].faults.plan(Call.SUBMIT, fault)
        apart(desk)
        for _ in range(4):
            good_bars(desk)
            drive(desk)
        assert state(desk) in (UNWOUND, COMPLETED)
        assert coins(desk) == ((2, 0) if state(desk) is COMPLETED else (0, 2))


def test_fault_21_a_leg_stays_unknown_then_nothing_is_taken_back_before_proof(tmp_path: Path) -> None:
    with stocked(tmp_path) as desk:
        desk.venues["v"].faults.plan(Call.SUBMIT, Fault.LOST_AFTER)
        apart(desk)
        desk.venues["v"].faults.plan(Call.ORDER, *[Fault.UNREACHABLE] * 3)
        desk.venues["v"].faults.plan(Call.OBSERVE, Fault.WITHHELD)
        good_bars(desk)
        drive(desk, 200)
        assert state(desk) is BasketState.UNWINDING
        unknown = [o for o in desk.book.tracker.open_orders() if o.state is OrderState.UNKNOWN]
        assert [order.intent.instrument for order in unknown] == [HERE.key]
        for _ in range(4):
            drive(desk)
        assert state(desk) is COMPLETED  # it had filled: the proof says so
        assert coins(desk) == (2, 0)


def test_fault_21_hedging_then_the_missing_leg_is_completed_once(tmp_path: Path) -> None:
    with stocked(tmp_path, unwind="hedge", hedge_loss_bps="500") as desk:
        apart(desk)
        half(desk)
        half(desk)
        apart(desk)
        half(desk)
        half(desk)
        assert moves(desk) == ["unwinding", "completed"]
        assert coins(desk) == (2, 0)


def _kill_at(desk: Desk, patch: pytest.MonkeyPatch, number: int, *, sent: bool) -> None:
    """Let the call with this number, submissions and cancellations of both venues counted, be the last."""
    count = iter(range(1000))

    def dying(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def run(argument: Any) -> Any:
            if next(count) != number:
                return call(argument)
            if sent:
                call(argument)
            raise Killed

        return run

    for venue in desk.venues.values():
        for name in ("submit", "cancel"):
            patch.setattr(venue, name, dying(getattr(venue, name)))


def _run(desk: Desk) -> None:
    apart(desk)
    for _ in range(4):
        half(desk)


@pytest.mark.parametrize("sent", [False, True], ids=["before it is sent", "after it was taken"])
@pytest.mark.parametrize("number", range(4), ids=["first leg", "second leg", "withdrawal", "repair"])
def test_fault_21_kill_at_any_call_then_the_rule_is_carried_out_after_recovery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, sent: bool
) -> None:
    with stocked(tmp_path) as desk:
        with monkeypatch.context() as patch:
            _kill_at(desk, patch, number, sent=sent)
            with pytest.raises(Killed):
                _run(desk)
        assert desk.restart() == ()
        for _ in range(6):
            half(desk)
        assert state(desk) is UNWOUND
        assert coins(desk) == (0, 2)
        assert moves(desk).count("unwound") == 1
