"""A backup is proven when it is made; nothing is left of one that could not be."""

from __future__ import annotations

import os
import sqlite3
import stat
import zipfile
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from engine.domain.errors import CannotRecord, ChainBroken
from engine.storage.backup import BackupReport, backup, backup_if_due, list_backups, prove


def test_backup_when_the_engine_runs_then_whole_private_and_without_keys(saved: BackupReport, key: bytes) -> None:
    with zipfile.ZipFile(saved.path) as archive:
        names = set(archive.namelist())
        contents = b"".join(archive.read(name) for name in names)
    assert names == {
        "manifest.json", "money.sqlite", "control.sqlite", "telemetry.sqlite", "journal.head", "audit.head",
        "quarterdeck.toml", "venues/demo-a.jsonl",
    }  # fmt: skip
    assert b"top secret" not in contents
    assert key not in contents
    assert stat.S_IMODE(saved.path.stat().st_mode) == 0o600
    assert (saved.journal_rows, saved.audit_rows, saved.with_keys) == (20, 1, False)
    assert prove(saved.path, key)[0].ok
    assert [path.name for path in saved.path.parent.iterdir()] == [saved.path.name]


def test_backup_when_with_keys_then_they_are_inside_and_it_says_so(saved: BackupReport, folder: Path) -> None:
    report = backup(folder, folder / "backups", with_keys=True)
    with zipfile.ZipFile(report.path) as archive:
        assert archive.read("keys/vault.key") == b"top secret"
    assert report.with_keys
    assert [info.with_keys for info in list_backups(folder / "backups")] == [True, False]


def test_backup_when_the_chain_is_broken_then_no_archive_of_it(
    saved: BackupReport, folder: Path, money_path: Path
) -> None:
    with closing(sqlite3.connect(money_path)) as connection:
        connection.execute("UPDATE journal SET book='x' WHERE sequence=3")
        connection.commit()
    with pytest.raises(ChainBroken, match="row 3"):
        backup(folder, folder / "backups")
    assert len(list_backups(folder / "backups")) == 1


def test_backup_when_the_target_is_a_file_or_full_then_cannot_record_and_nothing_left(
    saved: BackupReport, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "target").write_text("")
    with pytest.raises(CannotRecord, match="no backup in"):
        backup(folder, tmp_path / "target")

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotRecord, match="No space left"):
        backup(folder, tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []


def test_backup_if_due_when_young_then_nothing_and_old_ones_are_pruned(saved: BackupReport, folder: Path) -> None:
    assert backup_if_due(folder) is not None
    assert backup_if_due(folder) is None
    made = [backup_if_due(folder, every=timedelta(0), keep=3) for _ in range(4)]
    names = [info.path.name for info in list_backups(folder / "backups")]
    assert len([name for name in names if name.endswith("-daily.zip")]) == 3
    assert made[-1] is not None
    assert names[0] == made[-1].path.name
    assert saved.path.name in names


def test_list_backups_when_one_is_broken_then_its_problem_is_told(saved: BackupReport, folder: Path) -> None:
    (folder / "backups" / "quarterdeck-bad.zip").write_bytes(b"x")
    problems = {info.path.name: info.problem for info in list_backups(folder / "backups")}
    assert problems[saved.path.name] == ""
    assert "not a backup archive" in problems["quarterdeck-bad.zip"]
