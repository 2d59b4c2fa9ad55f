"""What books are made of: the name of an installation, and venues whose files outlive a power cut."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest
from paper_market import BUY, FREE, INSTRUMENTS, order

from engine.domain.errors import BadInput, CannotRecord
from engine.runtime.build import _venues, installation_id


def test_installation_when_asked_again_then_the_same(tmp_path: Path) -> None:
    name = installation_id(tmp_path)
    assert len(name) == 5
    assert installation_id(tmp_path) == name
    assert [path.name for path in tmp_path.iterdir()] == ["installation"]


@pytest.mark.parametrize("left", [b"", b"\n", b"\0\0\0\0\0"], ids=["empty", "blank", "zeros"])
def test_installation_when_its_first_writing_was_cut_short_then_made_anew(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "installation").write_bytes(left)
    name = installation_id(tmp_path)
    assert (tmp_path / "installation").read_text() == name


@pytest.mark.parametrize("left", [b"abc", b"ABCDE", b"abcdef", b"ab\xffde"])
def test_installation_when_it_holds_something_else_then_refused(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "installation").write_bytes(left)
    with pytest.raises(BadInput, match="must hold five letters or digits"):
        installation_id(tmp_path)
    assert (tmp_path / "installation").read_bytes() == left


def test_installation_when_the_disk_is_full_then_nothing_half_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotRecord):
        installation_id(tmp_path)
    assert not (tmp_path / "installation").exists()


def test_venue_of_a_book_when_it_answers_then_its_line_was_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venues = _venues(tmp_path, INSTRUMENTS, FREE, {"demo": {"USDT": Decimal(1000)}})
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    venues.by_name["demo"].submit(order("a1", BUY, "1"))
    assert len(synced) == 1
    for journal in venues.journals:
        journal.close()
