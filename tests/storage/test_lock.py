"""One engine per data folder, also after kill -9 and with worker processes left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.domain.errors import AlreadyRunning, CannotRecord
from engine.storage.lock import LOCK_FILE, FolderLock, holder

ROOT = Path(__file__).resolve().parents[2]
OWNER = """
import os, sys, time
from pathlib import Path
from engine.storage.lock import FolderLock
FolderLock(Path({folder!r})).acquire()
{then}
print("ready", flush=True)
time.sleep(60)
"""


def start_owner(folder: Path, then: str = "") -> subprocess.Popen[str]:
    code = OWNER.format(folder=str(folder), then=then)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("ready")
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def test_lock_when_free_then_owned_described_and_given_back(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert holder(folder) is None
    with FolderLock(folder):
        found = holder(folder)
        assert found is not None
        assert found.pid == os.getpid()
        assert json.loads((folder / LOCK_FILE).read_text())["host"] == found.host
    assert holder(folder) is None
    with FolderLock(folder):
        pass


def test_lock_when_owned_in_this_process_then_already_running(tmp_path: Path) -> None:
    with FolderLock(tmp_path), pytest.raises(AlreadyRunning, match=f"process {os.getpid()} "):
        FolderLock(tmp_path).acquire()


def test_lock_when_owned_by_another_process_then_its_id_and_the_way_out_and_free_after_kill(tmp_path: Path) -> None:
    owner = start_owner(tmp_path)
    try:
        with pytest.raises(AlreadyRunning, match=f"process {owner.pid} on .* since 2.*QUARTERDECK_DATA_DIR"):
            FolderLock(tmp_path).acquire()
    finally:
        end(owner)
    assert holder(tmp_path) is None
    with FolderLock(tmp_path):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_lock_when_a_forked_worker_outlives_its_engine_then_the_folder_is_free(tmp_path: Path) -> None:
    then = "child = os.fork()\nif child == 0:\n    time.sleep(60); os._exit(0)\nPath({!r}).write_text(str(child))"
    note = tmp_path / "child"
    owner = start_owner(tmp_path, then.format(str(note)))
    end(owner)
    try:
        with FolderLock(tmp_path):
            pass
    finally:
        os.kill(int(note.read_text()), signal.SIGKILL)


def test_lock_when_others_keep_asking_then_it_is_still_acquired(tmp_path: Path) -> None:
    stop = threading.Event()
    lock = FolderLock(tmp_path)
    lock.acquire()
    lock.release()

    def ask() -> None:
        while not stop.is_set():
            holder(tmp_path)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for _ in range(20):
            with FolderLock(tmp_path):
                pass
    finally:
        stop.set()
        thread.join()


def test_lock_when_the_folder_is_a_file_then_cannot_record(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(CannotRecord, match="data folder writable"):
        FolderLock(tmp_path / "data").acquire()


def test_lock_when_its_owner_was_killed_then_the_next_one_knows_and_the_one_after_does_not(tmp_path: Path) -> None:
    owner = start_owner(tmp_path)
    end(owner)
    with FolderLock(tmp_path) as next_one:
        assert next_one.abandoned_by is not None
        assert next_one.abandoned_by.pid == owner.pid
    with FolderLock(tmp_path) as after:
        assert after.abandoned_by is None
