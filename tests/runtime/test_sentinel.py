"""The stop by file, from the command line, the console and the plain page alike."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.domain.commands import Actor, Role
from engine.domain.errors import AccessDenied, BadInput, CannotRecord, StorageError
from engine.runtime.host import Host
from engine.runtime.sentinel import SENTINEL, order_stop_by_file
from engine.storage.ballast import BALLAST_FILE

WRITE = Path.write_text
JO = Actor("jo", Role.OPERATOR, "api")


def full_until_released(path: Path, text: str, **how: Any) -> int:
    """A disk without space but for what is kept in reserve."""
    if (path.parent / BALLAST_FILE).exists():
        raise OSError(28, "No space left on device")
    return WRITE(path, text, **how)


def full(path: Path, text: str, **how: Any) -> int:
    raise OSError(28, "No space left on device")


def refused(error: Exception) -> Any:
    def submit(command: object) -> None:
        raise error

    return submit


def host_on(folder: Path, error: Exception) -> tuple[Host, list[str]]:
    """A host whose control file refuses every command, and who was woken."""
    host, woken = Host(), []
    host._services = SimpleNamespace(  # type: ignore[assignment]
        control=SimpleNamespace(submit=refused(error)),
        folder=folder,
        clock=SimpleNamespace(now=lambda: datetime(2026, 1, 1, tzinfo=UTC)),
        supervisor=SimpleNamespace(wake=lambda: woken.append("engine")),
    )
    return host, woken


def test_disk_when_full_then_the_reserve_is_given_for_the_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / BALLAST_FILE).write_bytes(b"kept")
    monkeypatch.setattr(Path, "write_text", full_until_released)
    assert order_stop_by_file(tmp_path, "jo: enough").read_text(encoding="utf-8") == "jo: enough"
    assert not (tmp_path / BALLAST_FILE).exists()


def test_red_button_when_the_control_file_fails_then_the_file_stops_and_the_engine_is_woken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / BALLAST_FILE).write_bytes(b"kept")
    monkeypatch.setattr(Path, "write_text", full_until_released)
    host, woken = host_on(tmp_path, CannotRecord("control.sqlite: the disk is full"))
    assert host.post_stop(JO, "enough", "12345678") == "12345678"
    assert (tmp_path / SENTINEL).read_text(encoding="utf-8") == "jo: enough"
    assert woken == ["engine"]


def test_red_button_when_nothing_can_be_written_then_says_so_in_the_words_of_the_house(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "write_text", full)
    host, _ = host_on(tmp_path, StorageError("control.sqlite is gone"))
    with pytest.raises(CannotRecord, match=r"not stopped: control\.sqlite is gone; the file .* could not be written"):
        host.post_stop(JO, "enough", "12345678")


def test_red_button_when_refused_then_no_file_stops_anything(tmp_path: Path) -> None:
    host, _ = host_on(tmp_path, BadInput("the id was used for something else"))
    with pytest.raises(BadInput):
        host.post_stop(JO, "enough", "12345678")
    with pytest.raises(AccessDenied):
        host.post_stop(Actor("eve", Role.VIEWER, "api"), "enough", "12345678")
    assert not (tmp_path / SENTINEL).exists()
