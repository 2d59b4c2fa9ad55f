"""What does not run or cannot be read stands on the pages with its reason and what follows, and only while it is so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.domain.portfolio import EngineSnapshot
from tests.pages.fake_console import FakeConsole
from tests.pages.page_runner import linked, opened, problems, text

STARTING = "it is still starting"
FAILED = "it could not be started: bybit does not answer; it is tried again"
UNREADABLE = "its fee is missing (number 8817, 2026-03-14T09:20:11+00:00)"
ASIDE = "row trades/4711, set aside by sam (never charged): its price is missing (number 4711, at a time not told)"


class Lacking(FakeConsole):
    """A console whose engine lacks the books ``absent``."""

    absent: tuple[tuple[str, str], ...] = ()

    def snapshot(self) -> EngineSnapshot:
        return replace(super().snapshot(), absent=self.absent)


class Unread(FakeConsole):
    """A console whose live book meets rows at its first venue that cannot be read."""

    unreadable: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()

    def snapshot(self) -> EngineSnapshot:
        known = super().snapshot()
        (*rest, last) = known.books
        (first, *others) = last.feeds
        assert first.condition is not None
        told = replace(first.condition, unreadable=self.unreadable, aside=self.aside)
        feeds = (replace(first, condition=told), *others)
        return replace(known, books=(*rest, replace(last, feeds=feeds)))


def lacking(*absent: tuple[str, str]) -> Lacking:
    console = Lacking()
    console.absent = absent
    return console


def unread(unreadable: tuple[str, ...] = (), aside: tuple[str, ...] = ()) -> Unread:
    console = Unread(live="armed")
    console.unreadable, console.aside = unreadable, aside
    return console


@pytest.mark.parametrize("page", ["overview", "health"])
def test_page_when_books_do_not_run_then_each_is_named_with_why(page: str) -> None:
    at = opened(page, lacking(("testnet", STARTING), ("live", FAILED)))
    assert problems(at) == ""
    assert f"The testnet book does not run: {STARTING}." in text(at)
    assert f"The live book does not run: {FAILED}." in text(at)


@pytest.mark.parametrize("page", ["overview", "health", "header"])
def test_page_when_every_book_runs_then_nothing_is_said_of_it(page: str) -> None:
    at = opened(page, lacking())
    assert problems(at) == ""
    assert "does not run" not in text(at)


def test_overview_when_no_book_runs_yet_then_why_is_told_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    console = FakeConsole()
    known = replace(console.snapshot(), books=(), absent=(("testnet", FAILED),))
    monkeypatch.setattr(console, "snapshot", lambda: known)
    assert f"The testnet book does not run: {FAILED}." in text(opened("overview", console))


def test_strip_when_a_book_does_not_run_then_marked_beside_the_choice() -> None:
    shown = text(opened("header", lacking(("testnet", STARTING))))
    assert "● ACTIVE testnet does not run" in shown


def test_strip_when_the_chosen_book_has_ended_then_its_state_is_as_last_told() -> None:
    shown = text(opened("header", lacking(("demo", "it ended: disk full; it is tried again"))))
    assert "last told ACTIVE demo does not run" in shown
    assert "● ACTIVE" not in shown


def test_book_when_a_link_names_one_that_is_absent_then_why_is_said() -> None:
    shown = text(linked("header", lacking(("testnet", STARTING)), book="testnet"))
    assert f"No book named testnet runs now ({STARTING}): this is the demo book." in shown


def test_exchanges_when_executions_cannot_be_read_then_each_row_what_follows_and_the_way_out() -> None:
    at = opened("exchanges", unread(unreadable=(UNREADABLE,)))
    shown = text(at)
    assert problems(at) == ""
    assert f"Executions at binance (live book) cannot be read {UNREADABLE}" in shown
    assert "Nothing is opened there meanwhile; exits and stops go on." in shown
    assert "python -m engine reconcile --set-aside ROW --reason TEXT" in shown
    assert "Nothing waits for them" not in shown


def test_exchanges_when_rows_are_set_aside_then_listed_and_nothing_is_said_to_wait() -> None:
    shown = text(opened("exchanges", unread(aside=(ASIDE,))))
    assert f"Executions at binance (live book) set aside {ASIDE}" in shown
    assert "Nothing waits for them any more. Each is booked once it can be read." in shown
    assert "Nothing is opened there meanwhile" not in shown


def test_exchanges_when_every_execution_can_be_read_then_nothing_is_said_of_it() -> None:
    at = opened("exchanges", unread())
    assert problems(at) == ""
    assert "Executions at" not in text(at)
    assert "--set-aside" not in text(at)
