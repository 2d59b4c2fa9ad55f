"""Lost answers, outages and lying lists, asserted from the venue's own journal."""

from __future__ import annotations

import pytest
from paper_market import BUY, SELL, at, bar, dec, fills, open_venue, order, prices
from venue_judge import differences, judge

from engine.domain.errors import BadInput, OrderNotFound, StorageError, VenueAmbiguous, VenueRejected, VenueUnreachable
from engine.domain.market import FeedStatus
from engine.domain.orders import OrderState
from engine.exchanges.paper import Call, Fault, FileVenueJournal, OutageMode


@pytest.fixture
def journal(tmp_path):
    journal = FileVenueJournal(tmp_path / "demo.jsonl")
    yield journal
    journal.close()


@pytest.mark.parametrize(
    ("fault", "error", "exists"),
    [
        (Fault.UNREACHABLE, VenueUnreachable, False),
        (Fault.LOST_BEFORE, VenueAmbiguous, False),
        (Fault.LOST_AFTER, VenueAmbiguous, True),
        (Fault.REJECTED, VenueRejected, False),
    ],
)
def test_submit_when_the_line_fails_then_the_journal_knows_whether_the_order_exists(
    journal, fault, error, exists
) -> None:
    venue = open_venue(journal=journal)
    venue.faults.plan(Call.SUBMIT, fault)
    with pytest.raises(error, match="a1"):
        venue.submit(order("a1", BUY, "1"))
    assert ("a1" in judge(journal.path).orders) is exists
    again = venue.submit(order("a1", BUY, "1"))
    assert again.state is OrderState.WORKING
    assert len(judge(journal.path).orders) == 1


@pytest.mark.parametrize(
    ("fault", "error", "state"),
    [
        (Fault.UNREACHABLE, VenueUnreachable, "working"),
        (Fault.LOST_BEFORE, VenueAmbiguous, "working"),
        (Fault.LOST_AFTER, VenueAmbiguous, "cancelled"),
        (Fault.NOT_FOUND, OrderNotFound, "working"),
    ],
)
def test_cancel_when_the_line_fails_then_the_journal_knows_what_became_of_it(journal, fault, error, state) -> None:
    venue = open_venue(journal=journal)
    venue.submit(order("a1", BUY, "1"))
    venue.faults.plan(Call.CANCEL, fault)
    with pytest.raises(error):
        venue.cancel("a1")
    assert judge(journal.path).orders["a1"].state == state


def test_amend_when_the_answer_is_lost_then_it_was_done(journal) -> None:
    venue = open_venue(journal=journal)
    venue.submit(order("a1", BUY, "1"))
    venue.faults.plan(Call.AMEND, Fault.LOST_AFTER)
    with pytest.raises(VenueAmbiguous):
        venue.amend("a1", dec(2))
    assert judge(journal.path).orders["a1"].quantity == 2


def test_questions_when_the_line_fails_then_each_fault_is_met_once() -> None:
    venue = open_venue()
    venue.submit(order("a1", BUY, "1"))
    questions = {
        Call.OPEN_ORDERS: venue.open_orders,
        Call.BALANCES: venue.balances,
        Call.POSITIONS: venue.positions,
        Call.EXECUTIONS: lambda: venue.executions_since("")[0],
    }
    for call, ask in questions.items():
        truth = ask()
        venue.faults.plan(call, Fault.EMPTY, Fault.UNREACHABLE)
        assert ask() == ()
        with pytest.raises(VenueUnreachable):
            ask()
        assert ask() == truth
    venue.faults.plan(Call.ORDER, Fault.NOT_FOUND)
    with pytest.raises(OrderNotFound):
        venue.order("a1")
    assert venue.order("a1").state is OrderState.WORKING


def test_plan_when_a_call_cannot_meet_the_fault_then_refused() -> None:
    with pytest.raises(BadInput, match="balances cannot meet LOST_AFTER; it can meet EMPTY, UNREACHABLE"):
        open_venue().faults.plan(Call.BALANCES, Fault.LOST_AFTER)


def test_events_when_duplicated_reversed_or_withheld_then_the_executions_stay_true() -> None:
    venue = open_venue(btc="9")
    venue.faults.plan(Call.OBSERVE, Fault.DUPLICATED, Fault.REVERSED, Fault.WITHHELD)
    seen = []
    for minute in range(4):
        venue.submit(order(f"a{minute}", BUY, "1", minute=minute))
        venue.submit(order(f"b{minute}", SELL, "1", minute=minute))
        seen.append([fill.client_id for fill in fills(venue.observe(bar(minute, 100, 101, 99, 100)))])
    assert seen == [["a0", "a0", "b0", "b0"], ["b1", "a1"], [], ["a3", "b3"]]
    assert [fill.trade_id for fill in venue.executions_since("")[0]] == [f"demo-{n}" for n in range(1, 9)]


def test_outage_when_unreachable_then_nothing_is_sent_and_events_come_afterwards() -> None:
    venue = open_venue()
    venue.submit(order("a1", BUY, "1"))
    venue.set_outage(at(3))
    with pytest.raises(VenueUnreachable, match="submit of a2 was not sent"):
        venue.submit(order("a2", BUY, "1"))
    assert venue.observe(bar(0, 100, 101, 99, 100)) == ()
    for ask in (venue.open_orders, venue.balances, venue.positions, lambda: venue.order("a1")):
        with pytest.raises(VenueUnreachable):
            ask()
    assert venue.observe(bar(1, 100, 101, 99, 100)) == ()
    assert prices(venue.observe(bar(2, 100, 101, 99, 100))) == ["a1 1@100"]
    assert [update.client_id for update in venue.open_orders()] == []
    assert venue.submit(order("a2", BUY, "1", minute=3)).state is OrderState.WORKING


@pytest.mark.parametrize(("mode", "exists"), [(OutageMode.ACCEPTED, True), (OutageMode.LOST, False)])
def test_outage_when_answers_are_lost_then_ambiguous_either_way(journal, mode, exists) -> None:
    venue = open_venue(journal=journal)
    venue.set_outage(at(3), mode)
    with pytest.raises(VenueAmbiguous):
        venue.submit(order("a1", BUY, "1"))
    assert ("a1" in judge(journal.path).orders) is exists


def test_outage_when_mixed_then_the_seed_decides_and_repeats() -> None:
    def fates(seed: int) -> list[str]:
        venue = open_venue()
        venue.set_outage(at(3), OutageMode.MIXED, seed)
        found = []
        for number in range(30):
            try:
                venue.submit(order(f"a{number}", BUY, "1"))
            except (VenueUnreachable, VenueAmbiguous) as error:
                found.append(type(error).__name__)
        return found

    assert fates(1) == fates(1) != fates(2)
    assert set(fates(1)) == {"VenueUnreachable", "VenueAmbiguous"}


def test_outage_when_market_time_passes_without_candles_then_ends() -> None:
    venue = open_venue()
    venue.set_outage(at(3))
    venue.observe(FeedStatus("demo", at(3), True, "back"))
    assert venue.open_orders() == ()


def test_cursor_when_not_of_this_venue_then_refused() -> None:
    venue = open_venue()
    with pytest.raises(BadInput, match="cursor 'x'"):
        venue.executions_since("x")
    with pytest.raises(StorageError, match="the books have seen 5"):
        venue.executions_since("5")


def test_judge_when_the_books_differ_then_says_how(journal) -> None:
    venue = open_venue(journal=journal)
    venue.submit(order("a1", BUY, "1"))
    venue.observe(bar(0, 100, 101, 99, 100))
    verdict = judge(journal.path)
    fill = ("demo-1", "a1", "buy", dec(1), dec(100), dec(0))
    balances = {"USDT": dec(9900), "BTC": dec(1)}
    assert differences(verdict, [fill], balances) == []
    assert differences(verdict, [fill, fill], balances) == [f"booked 2 times: {fill}"]
    assert differences(verdict, [], {"USDT": dec(9900)}) == [
        "happened, but is not booked: ('demo-1', 'a1', 'buy', Decimal('1'), Decimal('100'), Decimal('0E-8'))",
        "BTC: the books say 0, the venue holds 1",
    ]
