"""``stop`` while one book holds it up: the books that have taken it in are shown, and who is missing is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.domain.commands import Command
from engine.runtime.cli import trading
from engine.runtime.cli.context import control_of
from engine.runtime.cli.main import main
from engine.storage.migrate import migrate


def test_stop_when_one_book_hangs_then_the_others_are_shown_and_the_one_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    migrate(tmp_path)
    given: list[Command] = []

    def published(folder: Path) -> dict[str, Any]:
        with control_of(folder) as control:
            [(_, command)] = control.pending(0)
            control.note(command.command_id, "taken in by demo; live has not answered yet")
        given.append(command)
        step = {"step": "latched", "detail": "no entries", "at": "2026-01-01T00:00:00+00:00"}
        stop = {"id": command.command_id, "flat": True, "waiting_for": "", "steps": [step]}
        book = {"state": "HALTED", "latched": True}
        return {"books": {"demo": {**book, "stop": stop}, "live": {**book, "state": "ACTIVE", "stop": None}}}

    monkeypatch.setattr(trading, "published", published)
    monkeypatch.setattr(trading, "holder", lambda _folder: 1)
    code = main(["--data-dir", str(tmp_path), "stop", "--reason", "a test", "--json", "--wait", "1"])
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert (code, answer["state"], list(answer["books"])) == (1, "STOPPING", ["demo"])
    assert answer["detail"] == "taken in by demo; live has not answered yet; look again with status"
    assert "demo: latched (no entries)" in said.err
