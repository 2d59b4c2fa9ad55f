"""Several books, each on a thread of its own: what hangs in one of them is nothing to the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_engine import until
from scripted_books import Books, HungVenue, ScriptedBook

from engine.domain.commands import (
    CommandStatus,
    ConfigureRisk,
    EmergencyStop,
    Promote,
    SetStrategy,
    SetTrading,
    TradingState,
)
from engine.domain.errors import EngineError, Fenced
from engine.runtime import errands, obeying
from engine.runtime.book_thread import LONGEST_QUESTION_S, BookThread
from engine.runtime.clock import SystemClock
from engine.runtime.lifeline import Lifeline
from engine.runtime.sentinel import SENTINEL
from engine.runtime.starting import RunningBook

HALT, CLOSE = TradingState.HALTED, TradingState.CLOSE_ONLY


@pytest.fixture
def books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Books]:
    monkeypatch.setattr(errands, "NOTE_AFTER_S", 0.1)
    made = Books(tmp_path, "fast", "slow")
    made.begin("fast", "slow")
    yield made
    for book in made.books.values():
        let_go(book)
    made.close()
    assert made.engine.failure is None


def let_go(book: ScriptedBook) -> None:
    venue: Any = book.desk.loop.venues["v"]
    if isinstance(venue, HungVenue):
        venue.go.set()


def test_events_when_another_books_venue_hangs_in_every_question_then_they_are_not_delayed(books: Books) -> None:
    books.books["slow"].hang()
    before = books.shown("slow").published_at
    fast = books.books["fast"]
    for _ in range(20):
        fast.source.waiting.put(fast.next_bar())
    until(lambda: books.life("fast").events == 20, "the events of the other book")
    until(lambda: books.shown("fast").market_time == fast.desk.at, "the other book to be shown")
    assert books.shown("slow").published_at <= before or books.life("slow").events == 0
    assert books.shown("slow").published_at < books.shown("fast").published_at, "its age can be seen"


def test_stop_of_all_when_one_book_hangs_then_the_other_stops_at_once_and_the_receipt_says_who_is_missing(
    books: Books,
) -> None:
    venue = books.books["slow"].hang()
    books.command(EmergencyStop(None), "c-stop")
    until(lambda: books.shown("fast").latched, "the stop of the book that answers")
    missing = "taken in by fast; slow has not answered yet"
    until(lambda: books.receipt("c-stop").detail == missing, "how far the stop has come")
    assert books.receipt("c-stop").status is CommandStatus.PENDING
    assert not books.books["slow"].desk.book.latched
    venue.go.set()
    answer = books.answer_to("c-stop")
    assert answer.status is CommandStatus.DONE
    assert answer.detail == "fast: latched; cancelling and flattening; slow: latched; cancelling and flattening"
    assert books.shown("slow").latched


def test_commands_when_one_book_hangs_then_the_others_are_answered_and_its_own_keep_their_order(books: Books) -> None:
    slow = books.books["slow"]
    venue = slow.hang()
    books.command(SetTrading("slow", HALT), "c-1")
    books.command(SetTrading("slow", CLOSE), "c-2")
    books.command(SetTrading("fast", HALT), "c-3")
    assert books.answer_to("c-3").status is CommandStatus.DONE
    until(lambda: books.receipt("c-1").detail, "how far the first has come")
    assert books.receipt("c-1").detail == "slow has not answered yet"
    venue.go.set()
    assert books.answer_to("c-2").status is CommandStatus.DONE
    asked = [row["command_id"] for row in slow.desk.journal.rows if row["type"] == "Command"]
    assert asked == ["c-1", "c-2"]
    assert books.shown("slow").state is CLOSE


def test_fault_65_sentinel_file_when_one_book_hangs_then_it_stays_until_all_have_taken_it(books: Books) -> None:
    venue = books.books["slow"].hang()
    (books.folder / SENTINEL).touch()
    until(lambda: books.books["fast"].desk.book.latched, "the stop of the book that answers")
    assert (books.folder / SENTINEL).exists(), "a crash now must find it again"
    venue.go.set()
    until(lambda: books.books["slow"].desk.book.latched, "the stop of the other")
    until(lambda: not (books.folder / SENTINEL).exists(), "the file to be moved away")
    assert books.books["fast"].desk.journal.kinds().count("Command") == 1


def test_stop_when_the_book_that_hangs_is_replaced_then_its_next_life_takes_it_in(books: Books) -> None:
    old, hung = books.life("slow"), books.books["slow"]
    venue = hung.hang()
    books.command(EmergencyStop(None), "c-stop")
    until(lambda: books.shown("fast").latched, "the stop of the book that answers")
    old.retire()
    books.engine.attach(books.thread("slow"))
    answer = books.answer_to("c-stop")
    assert answer.status is CommandStatus.DONE
    assert "slow: latched" in answer.detail
    assert books.books["slow"].desk.book.latched
    venue.go.set()
    old.join(10)
    assert isinstance(old.failure, Fenced) or old.failure is None
    assert not any(row["type"] == "OrderIntent" for row in hung.desk.journal.rows)
    with pytest.raises(Fenced, match="replaced while it hung"):
        hung.desk.loop._sender.require_place()


def test_command_for_a_book_that_leaves_then_refused_and_nobody_waits_for_it(books: Books) -> None:
    books.books["slow"].hang()
    books.command(SetTrading("slow", HALT), "c-1")
    books.command(EmergencyStop(None), "c-stop")
    until(lambda: books.shown("fast").latched, "the stop of the book that stays")
    books.life("slow").retire()
    books.engine.detach("slow")
    assert books.answer_to("c-1").detail == "no book 'slow' is running; there are fast"
    stop = books.answer_to("c-stop")
    assert stop.status is CommandStatus.UNKNOWN, "nobody knows what the book that left holds"
    assert stop.detail == f"fast: latched; cancelling and flattening; slow: {errands.NOT_STOPPED}"
    assert books.engine.snapshot is not None
    assert [book.name for book in books.engine.snapshot.books] == ["fast"]


# -- a promotion needs two books ---------------------------------------------------------------------------------------


def test_promotion_when_the_book_it_comes_from_hangs_then_refused_and_a_stop_does_not_wait_for_it(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(obeying, "ASKED_FOR_S", 30.0)
    books.books["slow"].hang()
    books.command(Promote("momentum", "slow", "fast"), "c-promote")
    books.command(EmergencyStop("fast"), "c-stop")
    assert books.answer_to("c-stop").status is CommandStatus.DONE
    refused = books.answer_to("c-promote")
    assert refused.status is CommandStatus.REFUSED
    assert "slow did not say within 30 s how momentum stands there" in refused.detail


def test_promotion_then_takes_what_the_other_book_says_after_its_own_earlier_commands(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    command = books.books["fast"].desk.loop.command

    def watched(given: Any, candidate: Any = None) -> Any:
        seen.append(candidate)
        return command(given, candidate)

    monkeypatch.setattr(books.books["fast"].desk.loop, "command", watched)
    venue = books.books["slow"].hang()
    monkeypatch.setattr(obeying, "ASKED_FOR_S", 30.0)
    books.books["slow"].desk.book.sleeves["momentum"].quarantined = "before"
    books.command(SetStrategy("slow", "momentum", False), "c-1")
    books.command(Promote("momentum", "slow", "fast"), "c-2")
    books.books["slow"].desk.book.sleeves["momentum"].quarantined = "after"
    venue.go.set()
    books.answer_to("c-2")
    [candidate] = seen
    assert (candidate.book, candidate.quarantined) == ("slow", "after")
    assert books.answer_to("c-1").status is CommandStatus.DONE


@pytest.mark.parametrize(("strategy", "words"), [("nobody", "no strategy 'nobody' in slow"), ("momentum", "fast: ")])
def test_promotion_when_the_stage_takes_none_then_refused_with_the_reason(
    books: Books, strategy: str, words: str
) -> None:
    books.command(Promote(strategy, "slow", "fast"), "c-1")
    answer = books.answer_to("c-1")
    assert answer.status is CommandStatus.REFUSED
    assert words in answer.detail


# -- hung, and cut -----------------------------------------------------------------------------------------------------


def test_hung_when_one_book_is_stuck_then_it_alone_is(books: Books) -> None:
    books.books["slow"].hang()
    slow, fast = books.life("slow"), books.life("fast")
    until(lambda: slow.is_hung(0.5) and not fast.is_hung(0.5), "the stuck book to be noticed, and no other")
    until(lambda: slow.is_hung(0.5) and not books.engine.is_hung(0.5), "the engine itself to go on")


def test_hung_when_one_slow_question_follows_the_other_then_not_for_each_is_a_sign_of_life() -> None:
    lifeline = Lifeline(SystemClock())
    lifeline.heartbeat -= 100
    lifeline.clock.monotonic()
    assert lifeline.silent_s > 99, "another thread's look at the clock counts for nothing"
    lifeline.begin()
    lifeline.heartbeat -= 100
    lifeline.clock.monotonic()
    assert lifeline.silent_s < 50
    lifeline.heartbeat -= 100
    lifeline.clock.now()
    assert lifeline.silent_s < 50


def test_hung_when_the_book_is_at_an_exchange_then_one_question_may_take_its_time(books: Books) -> None:
    thread, running = books.life("fast"), books.life("fast").running
    assert running is not None
    thread._lifeline = Lifeline(SystemClock())  # one that no longer beats
    thread._lifeline.heartbeat -= LONGEST_QUESTION_S / 2
    assert thread.is_hung(2)
    running.caretaker = _Caretaker()  # type: ignore[assignment]
    assert not thread.is_hung(2)
    thread._lifeline.heartbeat -= LONGEST_QUESTION_S
    assert thread.is_hung(2)


class _Caretaker:
    def drive(self) -> None:
        pass

    def cut(self) -> None:
        pass

    def close(self) -> None:
        pass


class Wire:
    """A line to an exchange."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


def test_retire_when_a_book_is_still_being_built_then_its_lines_are_cut_and_it_never_begins(books: Books) -> None:
    asked, go, wires = threading.Event(), threading.Event(), [Wire(), Wire()]

    def slow_build(lifeline: Lifeline) -> RunningBook:
        lifeline.opened(wires[0])
        asked.set()
        go.wait(10)
        lifeline.opened(wires[1])
        raise AssertionError("not reached")

    thread: BookThread = books.thread("new", slow_build)
    books.engine.attach(thread)
    assert asked.wait(10)
    assert not thread.has_begun
    thread.retire()
    assert wires[0].closed.wait(10)
    go.set()
    thread.join(10)
    assert isinstance(thread.failure, Fenced)
    assert wires[1].closed.is_set(), "a line opened afterwards is shut again"
    assert books.engine.snapshot is not None
    assert "new" not in [book.name for book in books.engine.snapshot.books]
    books.engine.detach("new")


def test_wait_when_the_start_was_given_up_then_it_ends_at_once() -> None:
    lifeline = Lifeline(SystemClock())
    lifeline.wait(0)
    lifeline.cut()
    with pytest.raises(Fenced, match="given up while it hung"):
        lifeline.wait(3600)


def test_attach_when_the_engine_ends_then_refused(books: Books) -> None:
    books.engine.end()
    with pytest.raises(EngineError, match="the engine is ending"):
        books.engine.attach(books.thread("new"))


def test_risk_of_one_book_when_changed_then_the_other_keeps_its_own(books: Books) -> None:
    books.command(ConfigureRisk("fast", '{"brake_drawdown": "0.05"}'), "c-1")
    books.answer_to("c-1")
    assert books.books["slow"].desk.book.risk == ScriptedBook("x").desk.book.risk
