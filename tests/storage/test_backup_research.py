"""Runs of research come back with a restore, whole or not at all, and one that the archive does not have stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.domain.errors import CannotRecord
from engine.storage import backup as backup_module
from engine.storage.backup import backup
from engine.storage.backup_research import ResearchChoice, choose_research, read_whole
from engine.storage.restore import check_at_start, restore


def put(folder: Path, run: str, at: int = 0, **files: str) -> Path:
    """A run whose files were written ``at`` (seconds since 1970)."""
    path = folder / "research" / run
    path.mkdir(parents=True, exist_ok=True)
    for name, content in (files or {"result": run, "note": "mine"}).items():
        (path / name).write_text(content)
        os.utime(path / name, (at, at))
    return path


def runs_of(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder / "research").as_posix(): path.read_text()
        for path in (folder / "research").rglob("*")
        if path.is_file()
    }


def names(choice: ResearchChoice) -> tuple[list[str], list[str]]:
    taken, left_out = ([run.path.name for run in part] for part in (choice.taken, choice.left_out))
    return taken, left_out


@pytest.mark.usefixtures("key")
def test_restore_when_the_runs_were_lost_then_each_is_back_and_a_newer_one_stays(folder: Path) -> None:
    put(folder, "a")
    put(folder, "b", result="as it was")
    report = backup(folder, folder / "backups")
    assert report.left_out == ()
    for path in (folder / "research" / "a").iterdir():
        path.unlink()
    (folder / "research" / "a").rmdir()
    put(folder, "b", result="changed since", extra="x")
    put(folder, "c", result="made since")
    restored = restore(report.path, folder)
    assert runs_of(folder) == {"a/result": "a", "a/note": "mine", "b/result": "as it was", "c/result": "made since"}
    assert runs_of(restored.moved_aside) == {"b/result": "changed since", "b/extra": "x"}
    assert restored.missing_research == ()


@pytest.mark.usefixtures("key")
def test_restore_when_the_folder_never_had_research_then_it_is_made(folder: Path, tmp_path: Path) -> None:
    put(folder, "a")
    report = backup(folder, tmp_path / "away", with_keys=True)
    new = tmp_path / "new"
    restore(report.path, new)
    assert runs_of(new) == {"a/result": "a", "a/note": "mine"}
    assert (new / "research").stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("stop_after", range(0, 13, 2))
def test_restore_when_interrupted_then_the_next_start_completes_the_runs_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    put(folder, "a")
    put(folder, "b")
    report = backup(folder, folder / "backups")
    put(folder, "a", result="changed")
    done = 0
    rename = Path.rename

    def limited(self: Path, target: Path) -> Path:
        nonlocal done
        if done == stop_after:
            raise OSError(5, "power cut")
        done += 1
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", limited)
        with pytest.raises(CannotRecord, match="power cut"):
            restore(report.path, folder)
    check_at_start(folder)
    assert runs_of(folder) == {"a/result": "a", "a/note": "mine", "b/result": "b", "b/note": "mine"}


def test_choice_when_too_large_then_the_newest_whole_runs_and_the_rest_is_named(tmp_path: Path) -> None:
    for at, (run, size) in enumerate({"old": 10, "big": 100, "mid": 30, "new": 40}.items()):
        put(tmp_path, run, at, result="x" * size)
    assert names(choose_research(tmp_path)) == (["new", "mid", "big", "old"], [])
    assert names(choose_research(tmp_path, most_bytes=70)) == (["new", "mid"], ["big", "old"])
    assert names(choose_research(tmp_path, most_files=1)) == (["new"], ["mid", "big", "old"])
    assert names(choose_research(tmp_path, most_bytes=0)) == ([], ["new", "mid", "big", "old"])


def test_choice_when_there_is_nothing_or_no_run_then_nothing(tmp_path: Path) -> None:
    assert choose_research(tmp_path) == ResearchChoice((), ())
    put(tmp_path, ".deleted")
    (tmp_path / "research" / "link").symlink_to(tmp_path)
    (tmp_path / "research" / "loose").write_text("x")
    assert choose_research(tmp_path) == ResearchChoice((), ())


def test_run_when_deleted_or_half_written_meanwhile_then_never_a_part_of_it(tmp_path: Path) -> None:
    path = put(tmp_path, "a", result="x", curve="y")
    (path / "result.1234.tmp").write_text("half")
    (run,) = choose_research(tmp_path).taken
    assert [file.name for file, _ in read_whole(run)] == ["curve", "result"]
    path.rename(path.with_name(".gone"))
    assert read_whole(run) == ()


@pytest.mark.usefixtures("key")
def test_backup_when_runs_are_left_out_then_it_and_the_restore_say_which(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = put(folder, "old", 1)
    put(folder, "new", 2)
    monkeypatch.setattr(backup_module, "choose_research", lambda data: choose_research(data, most_files=2))
    report = backup(folder, folder / "backups")
    assert report.left_out == ("research/old",)
    assert restore(report.path, folder).missing_research == ()
    old.rename(folder / "elsewhere")
    assert restore(report.path, folder).missing_research == ("research/old",)
