"""A changed archive is refused; a good one is restored without losing what was there; damage is found at start."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.domain.commands import CommandStatus
from engine.domain.errors import AlreadyRunning, BadInput, CannotRecord, StorageError
from engine.runtime.clock import SystemClock
from engine.storage import restore as restore_module
from engine.storage.archive import MANIFEST
from engine.storage.backup import BackupReport, backup
from engine.storage.control import ControlStore
from engine.storage.lease import clear_restored, read_epoch_floor, restored_reason
from engine.storage.lock import FolderLock
from engine.storage.migrate import migrate
from engine.storage.money import MoneyStore
from engine.storage.restore import check_at_start, finish_restore, restore
from engine.storage.verify import verify, verify_audit


def rewrite(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Unpack an archive, change its members, pack it again."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def state_of(folder: Path) -> dict[str, bytes]:
    names = ("*.sqlite", "*.head", "venues/*", "keys/*", "epoch", "quarterdeck.toml")
    return {str(path.relative_to(folder)): path.read_bytes() for name in names for path in folder.glob(name)}


def test_restore_when_good_then_the_state_is_back_and_the_later_one_lies_aside(
    saved: BackupReport, folder: Path, money_path: Path, key: bytes, make: Any
) -> None:
    (folder / "epoch").write_text("7\n")
    (folder / "venues" / "demo-a.jsonl").write_text('{"row": 2}\n')
    (folder / "venues" / "demo-a.5.jsonl").write_text("later")
    (folder / "candles" / "btc.parquet").unlink()
    report = restore(saved.path, folder)
    assert verify(money_path, key).rows == 20
    assert verify(report.moved_aside / "money.sqlite", key).rows == 25
    assert [path.read_text() for path in (folder / "venues").iterdir()] == ['{"row": 1}\n']
    assert (report.moved_aside / "venues" / "demo-a.5.jsonl").read_text() == "later"
    assert report.missing_candles == ("candles/btc.parquet",)
    assert "was restored" in str(restored_reason(folder))
    assert migrate(folder) == []
    store = MoneyStore(money_path, key, SystemClock())
    journal = store.journal("demo", store.acquire_lease("test"))
    assert read_epoch_floor(folder) == 8
    assert journal.append([make.cash()], make.now).sequence == 21
    store.close()
    clear_restored(folder)
    assert restored_reason(folder) is None


def test_restore_when_commands_were_waiting_then_they_are_not_carried_out_late(
    saved: BackupReport, folder: Path, key: bytes
) -> None:
    with closing(sqlite3.connect(folder / "control.sqlite")) as connection:
        has_sessions = connection.execute("SELECT 1 FROM sqlite_schema WHERE name='sessions'").fetchone()
    restore(saved.path, folder)
    control = ControlStore(folder / "control.sqlite", key, SystemClock())
    receipt = control.receipt("c1")
    assert receipt is not None
    assert receipt.status is CommandStatus.REFUSED
    assert control.pending() == []
    with control.file.read() as reading:
        if has_sessions:
            assert reading.exec_driver_sql("SELECT count(*) FROM sessions").scalar_one() == 0
    control.close()


def test_restore_when_an_engine_runs_then_refused_and_nothing_touched(saved: BackupReport, folder: Path) -> None:
    before = state_of(folder)
    with FolderLock(folder), pytest.raises(AlreadyRunning):
        restore(saved.path, folder)
    assert state_of(folder) == before


def flip_a_byte(members: dict[str, bytes]) -> None:
    body = bytearray(members["money.sqlite"])
    body[len(body) // 2] ^= 1
    members["money.sqlite"] = bytes(body)


def drop_a_file(members: dict[str, bytes]) -> None:
    del members["venues/demo-a.jsonl"]


def add_a_file(members: dict[str, bytes]) -> None:
    members["extra.py"] = b"print()"


def drop_manifest(members: dict[str, bytes]) -> None:
    del members[MANIFEST]


def with_manifest(change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> Callable[[dict[str, bytes]], None]:
    def run(members: dict[str, bytes]) -> None:
        document = json.loads(members[MANIFEST])
        change(document["body"], members)
        members[MANIFEST] = json.dumps(document).encode()

    return run


def forge_hash(body: dict[str, Any], members: dict[str, bytes]) -> None:
    import hashlib

    members["quarterdeck.toml"] = b"port = 1\n"
    for entry in body["files"]:
        if entry["name"] == "quarterdeck.toml":
            entry.update(bytes=9, sha256=hashlib.sha256(b"port = 1\n").hexdigest())


def climb_out(body: dict[str, Any], members: dict[str, bytes]) -> None:
    members["../evil"] = b"x"
    body["files"].append({"name": "../evil", "bytes": 1, "sha256": "00"})


def be_absolute(body: dict[str, Any], members: dict[str, bytes]) -> None:
    members["/etc/evil"] = b"x"
    body["files"].append({"name": "/etc/evil", "bytes": 1, "sha256": "00"})


def be_a_drive(body: dict[str, Any], members: dict[str, bytes]) -> None:
    members["C:evil"] = b"x"
    body["files"].append({"name": "C:evil", "bytes": 1, "sha256": "00"})


def be_a_bomb(body: dict[str, Any], members: dict[str, bytes]) -> None:
    members["venues/bomb"] = bytes(50_000_000)
    body["files"].append({"name": "venues/bomb", "bytes": 50_000_000, "sha256": "00"})


def be_newer(body: dict[str, Any], members: dict[str, bytes]) -> None:
    body["format"] = 99


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (flip_a_byte, "money.sqlite"),
        (drop_a_file, "not in the archive"),
        (add_a_file, "extra.py"),
        (drop_manifest, "manifest"),
        (with_manifest(forge_hash), "not signed"),
        (with_manifest(climb_out), "outside the data folder"),
        (with_manifest(be_absolute), "outside the data folder"),
        (with_manifest(be_a_drive), "outside the data folder"),
        (with_manifest(be_a_bomb), "unpacks to 50000000"),
        (with_manifest(be_newer), "format 99"),
    ],
)
def test_restore_when_the_archive_was_changed_then_refused_and_nothing_touched(
    saved: BackupReport, folder: Path, change: Callable[[dict[str, bytes]], None], named: str
) -> None:
    rewrite(saved.path, change)
    before = state_of(folder)
    with pytest.raises((BadInput, StorageError), match=named):
        restore(saved.path, folder)
    assert state_of(folder) == before
    assert restored_reason(folder) is None
    assert not list(folder.glob(".restoring-*"))


def test_restore_when_a_member_is_a_link_then_refused(saved: BackupReport, folder: Path) -> None:
    with zipfile.ZipFile(saved.path) as archive:
        members = {info: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(saved.path, "w") as archive:
        for info, content in members.items():
            if info.filename == "quarterdeck.toml":
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, content)
    with pytest.raises(BadInput, match="no plain file"):
        restore(saved.path, folder)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut off"])
def test_restore_when_it_is_no_archive_then_bad_input(folder: Path, key: bytes, content: bytes) -> None:
    path = folder / "some.zip"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="not a backup archive"):
        restore(path, folder)
    with pytest.raises(BadInput, match="not a backup archive"):
        restore(folder / "nowhere.zip", folder)


def test_restore_when_the_machine_is_new_then_it_needs_the_keys(
    saved: BackupReport, folder: Path, tmp_path: Path, key: bytes
) -> None:
    new = tmp_path / "new"
    with pytest.raises(BadInput, match="put the key files of that time there first"):
        restore(saved.path, new)
    full = backup(folder, tmp_path / "full", with_keys=True)
    restore(full.path, new)
    assert (new / "keys" / "vault.key").read_bytes() == b"top secret"
    assert stat.S_IMODE((new / "keys").stat().st_mode) == 0o700
    assert verify(new / "money.sqlite", key).rows == 25
    assert verify_audit(new / "control.sqlite", key).rows == 1


def test_restore_when_the_disk_is_too_small_then_refused_before_anything(
    saved: BackupReport, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state_of(folder)
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1000))
    with pytest.raises(BadInput, match="free disk space"):
        restore(saved.path, folder)
    assert state_of(folder) == before


@pytest.mark.parametrize("stop_after", range(14))
def test_restore_when_interrupted_at_any_rename_then_the_next_start_completes_it(
    saved: BackupReport, folder: Path, money_path: Path, key: bytes, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
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
            restore(saved.path, folder)
    messages = check_at_start(folder)
    assert messages[0] == "an interrupted restore was completed"
    assert verify(money_path, key).rows == 20
    assert restored_reason(folder)
    assert not finish_restore(folder)
    assert check_at_start(folder) == []
    (aside,) = folder.glob("before-restore-*")
    assert verify(aside / "money.sqlite", key).rows == 25
    assert not list(folder.glob(".restoring-*"))


def garbage(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def overwrite_pages(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[4096 : len(body) - 4096] = b"\xff" * (len(body) - 8192)
    path.write_bytes(body)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def lose(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("harm", [garbage, overwrite_pages, cut_short, empty, lose])
@pytest.mark.parametrize("name", ["money.sqlite", "control.sqlite"])
def test_check_at_start_when_a_database_is_damaged_then_the_backup_takes_its_place_and_halted(
    saved: BackupReport, folder: Path, key: bytes, harm: Callable[[Path], None], name: str
) -> None:
    for end in ("-wal", "-shm"):
        (folder / f"{name}{end}").unlink(missing_ok=True)
    harm(folder / name)
    (message,) = check_at_start(folder)
    assert name in message
    assert f"restored from {saved.path.name}" in message
    assert message in str(restored_reason(folder))
    assert verify(folder / "money.sqlite", key).ok
    assert verify_audit(folder / "control.sqlite", key).ok
    assert len(list(folder.glob(f"{name}.corrupt-*"))) == (harm is not lose)
    assert check_at_start(folder) == []
    assert migrate(folder) == []


def test_check_at_start_when_the_newest_backup_is_bad_then_the_one_before(
    saved: BackupReport, folder: Path, money_path: Path, key: bytes
) -> None:
    newer = backup(folder, folder / "backups")
    rewrite(newer.path, flip_a_byte)
    garbage(money_path)
    (message,) = check_at_start(folder)
    assert saved.path.name in message
    assert verify(money_path, key).rows == 20


def test_check_at_start_when_there_is_no_backup_then_it_starts_empty_and_says_so(
    saved: BackupReport, folder: Path, money_path: Path, key: bytes
) -> None:
    saved.path.unlink()
    garbage(money_path)
    (message,) = check_at_start(folder)
    assert "no usable backup, it starts empty" in message
    assert migrate(folder) == ["money.sqlite: new -> 0002_fill_identity"]
    store = MoneyStore(money_path, key, SystemClock())
    assert store.acquire_lease("test") == 2
    store.close()
    assert verify(money_path, key).ok


def test_check_at_start_when_only_telemetry_is_damaged_then_replaced_but_not_halted(
    saved: BackupReport, folder: Path
) -> None:
    garbage(folder / "telemetry.sqlite")
    (message,) = check_at_start(folder)
    assert "telemetry.sqlite" in message
    assert restored_reason(folder) is None


def test_check_at_start_when_all_is_well_or_new_then_nothing(saved: BackupReport, folder: Path, tmp_path: Path) -> None:
    assert check_at_start(folder) == []
    (tmp_path / "fresh").mkdir()
    assert check_at_start(tmp_path / "fresh") == []
    assert restored_reason(folder) is None


def test_check_at_start_when_another_program_locks_the_file_then_it_is_not_taken_for_damage(
    saved: BackupReport, folder: Path, money_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(_path: Path) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(restore_module, "connect", locked)
    with pytest.raises(CannotRecord, match="database is locked"):
        check_at_start(folder)
    assert money_path.exists()
