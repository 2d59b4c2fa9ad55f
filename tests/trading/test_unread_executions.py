"""Executions that were not all read, or cannot be: what is there is booked, nothing is opened, and people are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from engine.domain.commands import TradingState
from engine.domain.errors import VenueUnreachable
from engine.trading.recovery import take_baseline
from tests.trading.harness import D
from tests.trading.real_desk import RealDesk, Wire

MANY = "v's executions since 12:00 are many; they are still being read"
ODD = "v told an execution of BTC/USDT without its fee (number 7, 2026-01-01T00:00:00+00:00)"


class PartialWire(Wire):
    """Tells executions in parts, and may hold rows that cannot be read."""

    unread = ""
    unreadable: Sequence[str] = ()
    parts: Iterator[int] = iter(())

    @property
    def needs_resync(self) -> str:
        """As the real one."""
        return self.resync or self.unread

    def executions_since(self, cursor: str) -> tuple[Sequence[Any], str]:
        """So many rows as the next part holds; all of them after the last one."""
        told, following = super().executions_since(cursor)
        rows = next(self.parts, None)
        self.unread = "" if rows is None else MANY
        if self.unreadable:
            self.unread = "; ".join(self.unreadable)
        if rows is None:
            return told, following
        return told[:rows], str(int(cursor or "0") + min(rows, len(told)))

    def pass_over(self, cursor: str) -> tuple[int, str]:
        """As the real one."""
        told, following = self.executions_since(cursor)
        return len(told), following


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> RealDesk:
    monkeypatch.setattr("tests.trading.real_desk.Wire", PartialWire)
    made = RealDesk()
    made.bar("100")
    made.turn(31)
    return made


def wire(desk: RealDesk) -> PartialWire:
    assert isinstance(desk.wire, PartialWire)
    return desk.wire


def test_backlog_when_it_is_still_being_read_then_nothing_is_compared_or_opened_and_nothing_halts(
    desk: RealDesk,
) -> None:
    desk.wire.moved["USDT"] = D(-500)  # a fee that is not told yet
    wire(desk).parts = iter([0] * 400)
    desk.turn(1, times=300)
    assert desk.book.state is TradingState.ACTIVE
    assert "still being read" in desk.order_by_hand().detail
    desk.wire.moved.clear()
    wire(desk).parts = iter(())
    desk.turn(12)
    desk.turn(12)
    assert desk.order_by_hand(command_id="then").status == "done"


def test_rows_when_some_cannot_be_read_then_the_others_are_booked_and_a_person_is_told_once(desk: RealDesk) -> None:
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    fills = desk.book.ledger.fills
    wire(desk).unreadable = (ODD,)
    strange = replace(desk.venue.executions_since("")[0][0], client_id="his", trade_id="v-his", at=desk.at)
    tell: Callable[[str], Any] = wire(desk).executions_since
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk.wire, "executions_since", lambda cursor: ((*tell(cursor)[0], strange), tell(cursor)[1]))
        with pytest.raises(VenueUnreachable, match="without its fee"):
            desk.loop.pull()
    assert (desk.book.has_external(strange), desk.book.ledger.fills) == (True, fills)
    desk.turn(1, times=60)
    assert desk.notices.count("Executions at v cannot be read") == 1
    assert "without its fee" in desk.order_by_hand().detail
    wire(desk).unreadable = ()
    desk.turn(12)
    assert desk.notices.count("Executions at v can be read again") == 1


def test_baseline_when_executions_come_in_parts_then_it_begins_after_the_last_of_them(desk: RealDesk) -> None:
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    whole, end = desk.venue.executions_since("")
    assert whole
    wire(desk).parts = iter([0, 1, 0])
    take_baseline(desk.loop)
    assert desk.book.cursors["v"] == end


def test_baseline_when_executions_are_never_read_to_the_end_then_the_start_is_refused(desk: RealDesk) -> None:
    wire(desk).unreadable = (ODD,)
    with pytest.raises(VenueUnreachable, match=r"were not read: .*without its fee"):
        take_baseline(desk.loop)
