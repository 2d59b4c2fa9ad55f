"""Executions that were not all read, or cannot be: what is there is booked, nothing is opened, and people are told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.domain.commands import SetRowAside, SetTrading, TradingState
from engine.domain.errors import VenueUnreachable
from engine.domain.orders import Fill, Liquidity, Side
from engine.domain.unread import Moved, UnreadRow
from engine.trading.reconciling import Kind, reconcile
from engine.trading.recovery import take_baseline
from tests.trading.harness import D
from tests.trading.real_desk import RealDesk, Wire

MANY = "v's executions since 12:00 are many; they are still being read"
AT = datetime(2026, 1, 1, tzinfo=UTC)
ODD = UnreadRow(
    "trades BTC/USDT",
    "7",
    "v told an execution of BTC/USDT without its fee (number 7, 2026-01-01T00:00:00+00:00)",
    AT,
    AT,
)
OTHER = replace(ODD, listed="trades ETH/USDT", words="v told an execution of ETH/USDT without its price (number 7)")


class PartialWire(Wire):
    """Tells executions in parts, and may hold rows that cannot be read."""

    unread = ""
    odd: Sequence[UnreadRow] = ()
    aside: Collection[UnreadRow] = ()
    parts: Iterator[int] = iter(())

    @property
    def unreadable(self) -> Sequence[UnreadRow]:
        """As the real one."""
        return [row for row in self.odd if row not in self.aside]

    def leave_aside(self, rows: Collection[UnreadRow]) -> None:
        """As the real one."""
        self.aside = rows

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
            self.unread = "; ".join(row.words for row in self.unreadable)
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
    wire(desk).odd = (ODD,)
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
    wire(desk).odd = ()
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
    wire(desk).odd = (ODD,)
    with pytest.raises(VenueUnreachable, match=r"were not read: .*without its fee"):
        take_baseline(desk.loop)


def set_aside(desk: RealDesk, row: str, command_id: str = "aside") -> Any:
    return desk.command(SetRowAside("test", row), command_id, reason="looked up")


def test_row_when_a_person_sets_it_aside_then_entries_go_on_and_it_is_listed_through_a_restart(desk: RealDesk) -> None:
    wire(desk).odd = (ODD,)
    desk.turn(31)
    assert "without its fee" in desk.order_by_hand().detail
    assert [row.equal for row in reconcile(desk.loop).rows if row.kind is Kind.EXECUTION] == [False]

    done = set_aside(desk, "7")
    assert done.status == "done"
    assert "without its fee" in done.detail
    assert desk.notices[-1] == "Nothing waits for executions at v any more"
    desk.turn(12)
    desk.turn(12)
    assert desk.order_by_hand(command_id="then").status == "done"

    for with_checkpoint in (False, True):
        if with_checkpoint:
            desk.loop.maybe_checkpoint(force=True)
        desk.restart()
        desk.turn(31)
        [row] = [row for row in reconcile(desk.loop).rows if row.kind is Kind.EXECUTION]
        assert (row.what, row.books, row.equal) == ("trades BTC/USDT/7", "set aside", True)
        assert "set aside by jo (looked up)" in row.explanation
        assert desk.book.outside.shown("v").aside == (row.explanation,)
        assert "v" not in desk.book.outside.awaiting


def test_row_when_it_can_be_read_after_it_was_set_aside_then_it_is_booked_and_no_longer_listed(desk: RealDesk) -> None:
    wire(desk).odd = (ODD,)
    desk.turn(31)
    set_aside(desk, "7")
    desk.turn(12)
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    first = next(each for each in desk.venue.executions_since("")[0] if isinstance(each, Fill))
    fills = desk.book.ledger.fills
    late = replace(first, client_id="his", trade_id="BTC/USDT:7", at=desk.at)
    desk.loop.take([late], desk.at)
    assert desk.book.has_external(late)
    assert desk.book.ledger.fills == fills
    assert desk.book.outside.shown("v").aside == ()


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("8", "looked up", "is no row that test could not read"),
        ("7", "looked up", "may be any of trades BTC/USDT/7 at v, trades ETH/USDT/7 at v"),
        ("trades BTC/USDT/7", " ", "say why"),
    ],
)
def test_row_when_not_just_one_is_meant_or_nothing_says_why_then_it_is_refused(
    desk: RealDesk, name: str, reason: str, words: str
) -> None:
    wire(desk).odd = (ODD, OTHER)
    desk.turn(31)
    done = desk.command(SetRowAside("test", name), "aside", reason=reason)
    assert done is not None
    assert done.status == "refused"
    assert words in done.detail
    assert desk.book.outside.aside == {}


def test_row_when_another_is_set_aside_then_entries_wait_for_it_all_the_same(desk: RealDesk) -> None:
    wire(desk).odd = (ODD, OTHER)
    desk.turn(31)
    set_aside(desk, "trades BTC/USDT/7")
    desk.turn(31)
    assert "without its price" in desk.order_by_hand().detail


def test_row_when_a_person_says_what_it_did_then_that_is_no_difference_until_it_is_booked_itself(
    desk: RealDesk,
) -> None:
    his = desk.book.external["v", "BTC"]
    wire(desk).odd = (ODD,)
    desk.wire.moved |= {"BTC": D("0.1"), "USDT": D("-10")}
    desk.turn(31)
    set_aside(desk, "7")
    desk.turn(31, times=10)
    assert desk.book.state is TradingState.HALTED

    moved = (Moved("BTC", D("0.1")), Moved("USDT", D("-10")))
    done = desk.command(SetRowAside("test", "7", moved), "again", reason="bought by hand")
    assert done is not None
    assert "counted as your own: BTC=+0.1, USDT=-10" in done.detail
    assert "the book is HALTED, which a person ends then" in done.detail
    desk.command(SetTrading("test", TradingState.ACTIVE), "active")
    desk.turn(31, times=10)
    assert desk.book.state is TradingState.ACTIVE
    desk.loop.maybe_checkpoint(force=True)
    desk.restart()
    assert desk.book.external["v", "BTC"] == his + D("0.1")

    fill = Fill(
        "v", "main", "BTC/USDT:7", "his", "x-7", desk.key, Side.BUY, D("0.1"), D("100"), D(0), "USDT",
        Liquidity.TAKER, desk.at,
    )  # fmt: skip
    wire(desk).odd = ()
    desk.loop.take([fill], desk.at)
    assert desk.book.external["v", "BTC"] == his + D("0.1")
    assert desk.restart() == ()


@pytest.mark.parametrize(
    ("moved", "words"),
    [
        (Moved("BTC/USDT", D("0.1")), "name a coin"),
        (Moved("BTC", D("1e30")), "no such number"),
        (Moved("BTC", D(0)), "no such number"),
        (Moved("SOL/USDT:USDT", D(1), D(100)), "is no derivative of test at v"),
    ],
)
def test_row_when_what_it_did_cannot_be_counted_then_it_is_refused(desk: RealDesk, moved: Moved, words: str) -> None:
    wire(desk).odd = (ODD,)
    desk.turn(31)
    done = desk.command(SetRowAside("test", "7", (moved,)), "aside", reason="looked up")
    assert done is not None
    assert (done.status, desk.book.outside.aside) == ("refused", {})
    assert words in done.detail


@pytest.mark.parametrize(
    ("listed", "told", "is_it"),
    [
        ("trades BTC/USDT", "BTC/USDT:7", True),
        ("trades BTC/USDT", "ETH/USDT:7", False),
        ("trades BTC/USDT", "7", False),  # a payment of that number
        ("trades spot", "7", True),
        ("flows 0", "7", True),
        ("", "7", True),
        ("trades spot", "77", False),
    ],
)
def test_row_when_something_is_told_under_its_number_then_only_that_of_its_list_is_it(
    listed: str, told: str, is_it: bool
) -> None:
    assert replace(ODD, listed=listed).is_told_as(told) is is_it
