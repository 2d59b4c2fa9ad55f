"""Threads that watch: an error that nobody foresaw is told, closes entries, and ends no thread."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from command_line import wait_until

from engine.domain.conditions import MarketNews, VenueCondition, VenueHearing, VenueState
from engine.exchanges.accounts import AccountCheck
from engine.exchanges.steady import Steady
from engine.runtime import caretaker as tending
from engine.runtime.caretaker import Caretaker, KeyWatch, Ways
from engine.runtime.clock import SystemClock
from tests.trading.real_desk import RealDesk

GOOD = AccountCheck(True, "in order", can_trade=True, can_withdraw=False)


class Silent:
    """Streams and a watch that have nothing to tell."""

    hearing = VenueHearing("", "", 0.0, "")

    def start(self) -> None:
        """Begin."""

    def close(self) -> None:
        """End."""

    def market_news(self) -> Sequence[MarketNews]:
        """None."""
        return ()

    def ask_markets_soon(self) -> None:
        """Nothing to ask."""


def test_caretaker_when_its_check_fails_by_an_error_of_the_engines_own_then_entries_wait_and_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = RealDesk()
    desk.bar("100")
    desk.turn(31)
    monkeypatch.setattr(tending, "HEED_EVERY_S", 0.01)
    monkeypatch.setattr(tending, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(tending, "CHECK_EVERY_S", 0.0)
    monkeypatch.setattr("engine.exchanges.steady.FIRST_PAUSE_S", 0.05)
    failing = [True]

    def check() -> AccountCheck:
        if failing:
            raise AttributeError("no such answer")
        return GOOD

    condition = VenueCondition("v", VenueState.ONLINE, offset_ms=0)
    line = cast(Any, SimpleNamespace(condition=condition, close=lambda: None))
    key = KeyWatch(check, lambda _ok, _words: None, must_pass=False)
    caretaker = Caretaker(desk.loop, Ways(line, Silent(), Silent()), key, SystemClock(), GOOD)
    caretaker.drive()
    caretaker.start()
    try:
        wait_until(lambda: caretaker.drive() or "v" in desk.book.outside.untended)
        assert desk.notices.count("Nobody looks after the key of v") == 1
        assert "AttributeError: no such answer" in desk.book.outside.shown("v").waits
        assert "nobody looks after the key" in desk.order_by_hand().detail
        failing.clear()
        wait_until(lambda: caretaker.drive() or "v" not in desk.book.outside.untended)
        assert "The key of v is looked after again" in desk.notices
        assert desk.order_by_hand(command_id="then").status == "done"
    finally:
        caretaker.close()


def test_thread_when_a_turn_fails_whatever_the_error_then_it_is_told_once_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.exchanges.steady.FIRST_PAUSE_S", 0.001)
    over, turns, told = threading.Event(), list[int](), list[str]()

    def turn() -> None:
        turns.append(1)
        if len(turns) < 4:
            raise SystemExit("a library ends the thread")
        over.wait(0.001)

    steady = Steady("test", turn, over, told.append)
    steady.start()
    wait_until(lambda: len(turns) > 5)
    assert steady.fault == ""
    over.set()
    steady.join(5)
    assert told == ["an error of the engine's own, SystemExit: a library ends the thread"]
