"""Acts of the console and their rows in the audit: none is done without a row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config.settings import load
from engine.domain.commands import Actor, Role
from engine.domain.errors import BadInput, CannotRecord
from engine.runtime.clock import SystemClock
from engine.runtime.operations import Operations
from engine.storage.control import ControlStore
from engine.storage.migrate import migrate
from engine.storage.rows import AuditFilters

DESCRIBED = {
    "venues.play.exchange": "bybit",
    "venues.play.sandbox": True,
    "venues.play.rest_url": "http://127.0.0.1:9/bybit",
    "venues.real.exchange": "kraken",
}


class Office:
    """An admin's console over a real control file and an alert centre that a test breaks."""

    def __init__(self, folder: Path) -> None:
        migrate(folder)
        self.control = ControlStore(folder / "control.sqlite", bytes(32), SystemClock())
        self.channels: list[str] = []
        self.refusal: Exception | None = None
        services: Any = SimpleNamespace(
            control=self.control, alerts=SimpleNamespace(add_channel=self._add), folder=folder, jobs=None
        )
        services.supervisor = SimpleNamespace(settings=load(environment={}, changes=DESCRIBED).settings)
        self.console = Operations(services, lambda: Actor("jo", Role.ADMIN, "console"), "session")

    def _add(self, kind: str, label: str, address: str, severity: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.channels.append(label)

    def add(self) -> None:
        self.console.add_channel("webhook", "Phone", "https://example.org/secret", "warning")

    def actions(self) -> list[str]:
        return [row.action for row in reversed(self.control.audit.page(AuditFilters()).rows)]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.control.close()


def test_channel_when_added_then_audited_once(office: Office) -> None:
    office.add()
    assert (office.channels, office.actions()) == (["Phone"], ["channel_added"])


def test_channel_when_the_audit_cannot_be_written_then_not_added(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise CannotRecord("the disk is full")

    monkeypatch.setattr(office.control.audit, "append", full)
    with pytest.raises(CannotRecord, match="the disk is full"):
        office.add()
    assert office.channels == []


def test_channel_when_refused_then_the_trail_says_that_it_was_not_added(office: Office) -> None:
    office.refusal = BadInput("a label twice")
    with pytest.raises(BadInput, match="a label twice"):
        office.add()
    assert office.actions() == ["channel_added", "channel_not_added"]


def test_accounts_when_listed_then_those_of_the_settings_without_keys_are_there_too(office: Office) -> None:
    shelf = office.control.credentials
    shelf.add("kraken", "real", b"sealed", {"sandbox": False})
    shelf.add("bybit", "other", b"sealed", {"sandbox": True})
    told = {row.connection_id: row for row in office.console.connections()}
    assert set(told) == {"kraken/real", "bybit/other", "bybit/play"}
    assert {name: (row.has_keys, row.in_settings, row.sandbox, row.address) for name, row in told.items()} == {
        "kraken/real": (True, True, False, ""),
        "bybit/other": (True, False, True, ""),
        "bybit/play": (False, True, True, "http://127.0.0.1:9/bybit"),
    }
