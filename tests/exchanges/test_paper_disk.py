"""Full and failing disks under the simulated venue's journal: nothing half done, and trading goes on afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from paper_market import BUY, FREE, INSTRUMENTS, bar, open_venue, order, prices, state_of
from venue_judge import judge

from engine.domain.errors import CannotRecord, VenueUnreachable
from engine.exchanges.paper import FileVenueJournal, PaperVenue


@pytest.fixture
def path(tmp_path):
    return tmp_path / "demo.jsonl"


def _restore(journal) -> PaperVenue:
    return PaperVenue.restore("demo", INSTRUMENTS, FREE, journal)


@pytest.mark.parametrize("short", [False, True], ids=["no space", "short write"])
def test_disk_when_full_then_nothing_happened_and_later_all_works(path, monkeypatch, short) -> None:
    venue = open_venue(journal=FileVenueJournal(path))
    venue.submit(order("a1", BUY, "1"))
    before = state_of(venue)
    write = os.write

    def fail(file: int, data: bytes) -> int:
        if short:
            return write(file, data[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(VenueUnreachable, match="could not record submit of a2"):
        venue.submit(order("a2", BUY, "1"))
    with pytest.raises(VenueUnreachable):
        venue.cancel("a1")
    with pytest.raises(CannotRecord, match="disk space"):
        venue.observe(bar(0, 100, 101, 99, 100))
    assert state_of(venue) == before
    monkeypatch.undo()
    assert prices(venue.observe(bar(1, 100, 101, 99, 100))) == ["a1 1@100"]
    assert state_of(_restore(FileVenueJournal(path))) == state_of(venue)
    assert judge(path).problems == []


def test_disk_when_full_at_a_new_part_then_the_old_one_goes_on(path, monkeypatch) -> None:
    venue = open_venue(journal=FileVenueJournal(path, rotate_lines=2))
    monkeypatch.setattr(FileVenueJournal, "_write_next_part", _no_space)
    for number in range(5):
        venue.submit(order(f"a{number}", BUY, "1"))
    assert len(list(path.parent.glob("*.jsonl"))) == 1
    monkeypatch.undo()
    venue.submit(order("a9", BUY, "1"))
    assert len(list(path.parent.glob("*.jsonl"))) == 2
    assert state_of(_restore(FileVenueJournal(path))) == state_of(venue)


def _no_space(journal: FileVenueJournal, line: bytes) -> None:
    raise OSError(28, "No space left on device")


def test_clock_when_it_cannot_be_written_then_said(path, monkeypatch) -> None:
    venue = open_venue(journal=FileVenueJournal(path))

    def fail(file: int, data: bytes, offset: int) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pwrite", fail)
    with pytest.raises(CannotRecord, match="venue clock"):
        venue.observe(bar(0, 100, 101, 99, 100))


def test_new_part_when_it_cannot_take_its_place_then_the_old_one_stays(path, monkeypatch) -> None:
    venue = open_venue(journal=FileVenueJournal(path, rotate_lines=3, fsync=True))
    rename = Path.rename

    def fail(source: Path, target: Path) -> Path:
        if source.name == "demo.next.jsonl":
            raise OSError(13, "Permission denied")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", fail)
    for number in range(4):
        venue.submit(order(f"a{number}", BUY, "1"))
    assert judge(path).lines == 5
    monkeypatch.undo()
    venue.submit(order("a4", BUY, "1"))
    assert sorted(judge(path).orders) == ["a0", "a1", "a2", "a3", "a4"]
    assert path.with_name("demo.000000000001.jsonl").exists()
    assert judge(path).problems == []


def test_part_when_files_cannot_be_opened_any_more_then_the_journal_goes_on_writing_its_own(path, monkeypatch) -> None:
    journal = FileVenueJournal(path, rotate_lines=3)
    venue, files = open_venue(journal=journal), os.open

    def no_descriptors(name: Path, *rest: int) -> int:
        if Path(name) == path:
            raise OSError(24, "Too many open files")
        return files(name, *rest)

    monkeypatch.setattr(os, "open", no_descriptors)
    for number in range(8):
        venue.submit(order(f"a{number}", BUY, "1"))
    monkeypatch.undo()
    journal.close()
    assert state_of(_restore(FileVenueJournal(path))) == state_of(venue)
    assert judge(path).problems == []
    assert len(judge(path).orders) == 8


def test_part_when_its_folder_cannot_be_synced_then_the_old_one_goes_on(path, monkeypatch) -> None:
    venue = open_venue(journal=FileVenueJournal(path, rotate_lines=3, fsync=True))
    monkeypatch.setattr(FileVenueJournal, "_sync_folder", lambda journal: _no_space(journal, b""))
    for number in range(5):
        venue.submit(order(f"a{number}", BUY, "1"))
    assert [part.name for part in path.parent.glob("*.jsonl")] == [path.name]
    monkeypatch.undo()
    assert state_of(_restore(FileVenueJournal(path))) == state_of(venue)


def test_line_when_synced_then_is_on_the_disk_before_the_answer(path, monkeypatch) -> None:
    venue, sync, synced = open_venue(journal=FileVenueJournal(path, fsync=True)), os.fsync, []

    def watched(file: int) -> None:
        sync(file)
        synced.append(path.read_bytes().count(b"\n"))

    monkeypatch.setattr(os, "fsync", watched)
    venue.submit(order("a1", BUY, "1"))
    venue.observe(bar(0, 100, 101, 99, 100))
    venue.observe(bar(1, 100, 101, 99, 100))
    assert synced == [2, 3], "an order and its execution; a candle that nothing met costs nothing"
