"""Disk space in reserve is really taken, and given back when it is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.domain.errors import CannotRecord, StorageError
from engine.storage.ballast import Ballast
from engine.storage.lease import read_epoch_floor, restored_reason, write_epoch_floor


def test_ballast_when_ensured_then_the_bytes_are_on_the_disk_and_released_once(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path, 3_000_000)
    ballast.ensure()
    ballast.ensure()
    status = (tmp_path / "ballast").stat()
    assert status.st_size == 3_000_000
    assert status.st_blocks * 512 >= 3_000_000
    assert ballast.release()
    assert not ballast.release()


def test_ballast_when_there_is_no_room_then_cannot_record(tmp_path: Path) -> None:
    with pytest.raises(CannotRecord, match="reserve"):
        Ballast(tmp_path / "nowhere").ensure()


def test_epoch_floor_when_lower_is_written_then_it_stays(tmp_path: Path) -> None:
    assert read_epoch_floor(tmp_path) == 0
    write_epoch_floor(tmp_path, 5)
    write_epoch_floor(tmp_path, 3)
    assert read_epoch_floor(tmp_path) == 5


def test_epoch_floor_when_the_file_is_damaged_then_an_error_says_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "epoch").write_text("many")
    with pytest.raises(StorageError, match="write a number into it"):
        read_epoch_floor(tmp_path)


def test_restored_reason_when_the_mark_is_damaged_then_still_halted(tmp_path: Path) -> None:
    (tmp_path / "restored.json").write_text("{")
    assert "cannot be read" in str(restored_reason(tmp_path))
