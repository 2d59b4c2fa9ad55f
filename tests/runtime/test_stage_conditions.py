"""What a stage needs, judged by how its venue is now and not by what was found before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from config.settings import load
from engine.domain.commands import Actor, Role
from engine.domain.conditions import VenueCondition, VenueState
from engine.domain.operations_views import ConnectionView
from engine.domain.portfolio import EngineSnapshot, FeedView
from engine.domain.stage_views import StageCondition
from engine.runtime.stages import StageDesk
from tests.pages.fake_console import FakeConsole

AT = datetime(2026, 3, 1, 22, 27, 16, tzinfo=UTC)


class Desk(StageDesk):
    """Stages of a live book whose only venue is in a given state; its key was once found good."""

    def __init__(self, state: VenueState, awaits: str = "") -> None:
        settings = load(environment={}, changes={"live.connections": ["bybit/real"]}).settings
        super().__init__(
            cast(Any, SimpleNamespace(supervisor=SimpleNamespace(settings=settings))),
            lambda: Actor("jo", Role.OPERATOR, "console"),
            "session",
        )
        self._feed = FeedView(
            "bybit", False, True, "", None, None, None, condition=VenueCondition("bybit", state, "", AT), awaits=awaits
        )

    def snapshot(self) -> EngineSnapshot:
        known = FakeConsole(live="armed").snapshot()
        return replace(known, books=tuple(replace(book, feeds=(self._feed,)) for book in known.books))

    def connections(self) -> tuple[ConnectionView, ...]:
        return (ConnectionView("bybit/real", "bybit", "real", False, AT, AT, True, "Bybit accepts the key"),)

    def live(self) -> dict[str, StageCondition]:
        [view] = [each for each in self.stages() if each.stage == "live"]
        rows = [*dict(view.by_account)["bybit/real"], *view.conditions]
        assert len({each.name for each in rows}) == len(rows)
        return {each.name: each for each in rows}


def test_conditions_when_the_venue_is_locked_then_neither_key_nor_comparison_is_called_good() -> None:
    told = Desk(VenueState.LOCKED).live()
    assert (told["key"].ok, told["key"].detail) == (False, "bybit does not accept the key: give it a working one")
    assert told["reconciliation"].ok is False
    assert told["reconciliation"].detail == "not compared since bybit is LOCKED, 2026-03-01 22:27:16 UTC"


def test_conditions_when_the_venue_answers_then_the_key_and_the_comparison_are_good() -> None:
    told = Desk(VenueState.ONLINE).live()
    assert (told["key"].ok, told["key"].detail) == (True, "Bybit accepts the key")
    assert (told["reconciliation"].ok, told["reconciliation"].detail) == (True, "compared and found equal")


def test_conditions_when_the_comparison_is_awaited_then_not_called_equal() -> None:
    told = Desk(VenueState.ONLINE, "books and exchange have not been compared yet").live()
    assert told["reconciliation"].ok is False
    assert "have not been compared yet" in told["reconciliation"].detail


def test_conditions_when_the_book_does_not_run_then_told_for_each_account_that_fits() -> None:
    class Idle(Desk):
        def snapshot(self) -> EngineSnapshot:
            return replace(super().snapshot(), books=())

    [view] = [each for each in Idle(VenueState.ONLINE).stages() if each.stage == "live"]
    [(account, rows)] = view.by_account
    told = {each.name: each.ok for each in rows}
    assert (account, told["connection"], told["key"]) == ("bybit/real", True, True)
    assert {each.name: each.ok for each in view.conditions}["arming"] is False


def test_conditions_when_the_account_of_the_settings_has_no_key_then_that_is_missing_and_not_offered() -> None:
    class Keyless(Desk):
        def connections(self) -> tuple[ConnectionView, ...]:
            return tuple(replace(row, created_at=None, checked_at=None) for row in super().connections())

    desk = Keyless(VenueState.ONLINE)
    told = desk.live()
    assert (told["connection"].ok, told["no key"].ok) == (True, False)
    assert told["no key"].detail == "no key is stored for it yet"
    assert [each.connections for each in desk.stages()] == [(), ()]
