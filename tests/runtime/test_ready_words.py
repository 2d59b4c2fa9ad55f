"""The line that says an engine is ready tells a stop that waits, and a latch that holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from engine.domain.commands import Actor, Command, CommandBody, EmergencyStop, Role, SetTrading, TradingState
from engine.runtime.ready_words import ready_words, stops_in
from tests.pages.fake_console import FakeConsole

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def stored(*bodies: CommandBody) -> frozenset[str | None]:
    return stops_in(Command("c", Actor("sam", Role.OPERATOR, "console"), NOW, "", body) for body in bodies)


@pytest.mark.parametrize(
    ("bodies", "demo", "paper"),
    [
        ((), "demo ACTIVE", "paper ACTIVE"),
        ((SetTrading("demo", TradingState.ACTIVE),), "demo ACTIVE", "paper ACTIVE"),
        ((EmergencyStop(None),), "demo STOPPING: a stored stop", "paper STOPPING: a stored stop"),
        ((EmergencyStop("paper"),), "demo ACTIVE", "paper STOPPING: a stored stop"),
    ],
)
def test_ready_when_a_stop_is_stored_then_its_books_are_stopping(
    bodies: tuple[CommandBody, ...], demo: str, paper: str
) -> None:
    words = ready_words(FakeConsole().snapshot(), stored(*bodies))
    assert demo in words
    assert paper in words


@pytest.mark.parametrize(("stop", "said"), [("running", "STOPPING, not flat yet"), ("flat", "VERIFIED FLAT")])
def test_ready_when_latched_then_says_so_and_how_far_the_stop_is(stop: str, said: str) -> None:
    snapshot = FakeConsole(stop=stop).snapshot()
    books = tuple(replace(book, latched=book.stop is not None) for book in snapshot.books)
    assert f"demo HALTED latched, {said}" in ready_words(replace(snapshot, books=books), frozenset())
