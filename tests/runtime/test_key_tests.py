"""A key that an exchange had refused: a person's good test of it is heeded at once, from whatever process it came."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from engine.domain.conditions import VenueCondition, VenueState
from engine.exchanges.accounts import AccountCheck
from engine.runtime.caretaker import Caretaker, KeyWatch, Ways
from tests.trading.harness import PERP
from tests.trading.real_desk import RealDesk

GOOD = AccountCheck(True, "accepted", (), True, False)


class Rig:
    """A caretaker of a book whose venue is LOCKED; `passed_at` is what the stored key says of its last test."""

    def __init__(self) -> None:
        self.desk = RealDesk(PERP)
        self.state = VenueState.ONLINE
        self.passed_at: datetime | None = None
        self.checks = self.unlocked = 0
        key = KeyWatch(self._check, lambda ok, message: None, must_pass=False, passed_at=lambda: self.passed_at)
        ways = Ways(cast(Any, self), cast(Any, None), cast(Any, None))
        self.care = Caretaker(self.desk.loop, ways, key, self.desk.clock, GOOD)
        self.care.drive()
        self.desk.notices.clear()
        self.state = VenueState.LOCKED
        self.care.drive()

    @property
    def condition(self) -> VenueCondition:
        """The line's word."""
        return VenueCondition("v", self.state, offset_ms=0)

    def unlock(self) -> None:
        """The key is believed to work again."""
        self.unlocked += 1
        self.state = VenueState.DEGRADED

    def _check(self) -> AccountCheck:
        self.checks += 1
        return GOOD

    def pass_test(self) -> None:
        self.desk.clock.seconds += 5
        self.passed_at = self.desk.clock.now()
        self.desk.clock.seconds += 1


def test_locked_venue_when_a_test_of_its_key_passes_then_unlocked_at_once() -> None:
    rig = Rig()
    rig.care.heed_test()
    assert rig.checks == 0
    rig.pass_test()
    rig.care.heed_test()
    rig.care.drive()
    assert (rig.checks, rig.unlocked, rig.state) == (1, 1, VenueState.DEGRADED)
    assert rig.desk.notices[-1] == "The key of the exchange works"
    assert "The key of the exchange is not approved" in rig.desk.notices


def test_locked_venue_when_it_accepts_the_key_by_itself_then_the_alert_is_over() -> None:
    rig = Rig()
    rig.state = VenueState.ONLINE
    rig.care.drive()
    rig.care.drive()
    assert rig.desk.notices.count("The key of the exchange works") == 1


def test_locked_venue_when_it_accepts_the_key_by_itself_then_what_the_key_may_do_is_asked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.runtime.caretaker.HEED_EVERY_S", 0.0)
    rig = Rig()
    rig.state = VenueState.ONLINE
    rig.care._watch()
    assert rig.checks == 0
    rig.care.drive()
    rig.care._watch()
    assert rig.checks == 1


def test_locked_venue_when_the_test_was_before_then_not_checked_again_and_again() -> None:
    rig = Rig()
    rig.passed_at = rig.desk.clock.now() - timedelta(hours=1)
    for _ in range(5):
        rig.desk.clock.seconds += 1
        rig.care.heed_test()
    assert rig.checks == 0


def test_open_venue_when_a_test_passes_then_nothing_is_asked() -> None:
    rig = Rig()
    rig.state = VenueState.ONLINE
    rig.pass_test()
    rig.care.heed_test()
    assert rig.checks == 0


def test_locked_venue_when_the_last_test_did_not_pass_then_nothing_is_asked() -> None:
    rig = Rig()
    rig.desk.clock.seconds += 9
    rig.care.heed_test()
    assert rig.checks == 0
