"""What a deletion of a run leaves behind when it is killed."""

from __future__ import annotations

from pathlib import Path

from engine.runtime.run_shelf import sweep_deleted


def test_start_when_a_deletion_was_killed_then_its_rest_goes_and_nothing_else(tmp_path: Path) -> None:
    rest, run, foreign = (tmp_path / name for name in (f".{'0f' * 16}", "r-1", ".keep"))
    for folder in (rest, run, foreign):
        folder.mkdir()
        (folder / "fills.csv").write_text("x")
    (tmp_path / f".{'a' * 32}").symlink_to(run)
    sweep_deleted(tmp_path)
    assert not rest.exists()
    assert (run / "fills.csv").exists()
    assert foreign.exists()


def test_start_when_there_are_no_runs_then_nothing_happens(tmp_path: Path) -> None:
    sweep_deleted(tmp_path / "replays")
    assert list(tmp_path.iterdir()) == []
