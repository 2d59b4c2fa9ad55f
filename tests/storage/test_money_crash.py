"""The money file against kill -9, a full disk and a read-only folder, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("QUARTERDECK_STORAGE_KILLS", "20"))

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and signals")

COMMON = """
import os, random, resource, signal, sqlite3, stat, struct, sys
from contextlib import closing
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from conftest import FactMaker
from engine.runtime.clock import SystemClock
from engine.domain.errors import CannotRecord
from engine.storage.base import connect
from engine.storage.chain import load_or_create_key
from engine.storage.money import MoneyStore
from engine.storage.verify import verify, verify_projections
folder = Path({folder!r})
path, key = folder / "money.sqlite", load_or_create_key(folder / "keys" / "journal.key")
"""

KILL = """
def child(pipe, seed):
    make, store = FactMaker(), MoneyStore(path, key, SystemClock())
    make.numbers = iter(range(seed * 1_000_000, (seed + 1) * 1_000_000))
    journal = store.journal("demo", store.acquire_lease("test"))
    while True:
        intents = [make.intent() for _ in range(4)]
        last = journal.append([*intents, *[make.fill(intent) for intent in intents]], make.now).sequence
        os.write(pipe, struct.pack("q", last))
        if last % 5 == 0:
            journal.checkpoint(last, {{"last": last}})

random.seed(1)
for seed in range({kills}):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        child(writer, seed)
    os.close(writer)
    acknowledged = 0
    for _ in range(random.randrange(1, 25)):
        acknowledged = struct.unpack("q", os.read(reader, 8))[0]
    for _ in range(random.randrange(0, 20_000)):
        pass
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while rest := os.read(reader, 8):
        acknowledged = struct.unpack("q", rest)[0]
    os.close(reader)
    report = verify(path, key)
    assert report.ok, report
    assert report.rows % 8 == 0, f"half a batch: {{report.rows}}"
    assert acknowledged <= report.rows <= acknowledged + 8, (acknowledged, report.rows)
    with closing(connect(path, read_only=True)) as connection:
        assert connection.execute("SELECT count(*) FROM fills").fetchone()[0] == report.rows // 2
        assert connection.execute("SELECT count(*) FROM orders").fetchone()[0] == report.rows // 2
assert verify_projections(path) == []
print("rows", report.rows)
"""

FULL = """
make, store = FactMaker(), MoneyStore(path, key, SystemClock())
journal = store.journal("demo", store.acquire_lease("test"))
last = journal.append([make.fill()], make.now).sequence
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
largest = max(file.stat().st_size for file in folder.glob("money.sqlite*"))
resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 20_000, resource.RLIM_INFINITY))
stored = last
try:
    while stored < 100_000:
        stored = journal.append([make.fill() for _ in range(3)], make.now).sequence
    raise SystemExit("the limit was never met")
except CannotRecord as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert verify(path, key).rows == stored, (verify(path, key), stored)
assert journal.append([make.fill()], make.now).sequence == stored + 1
store.close()
assert verify(path, key).ok and verify_projections(path) == []
"""

READ_ONLY = """
store = MoneyStore(path, key, SystemClock())
journal = store.journal("demo", store.acquire_lease("test"))
store.close()
for place in (*folder.rglob("*"), folder):
    place.chmod(0o555 if place.is_dir() else 0o444)
if os.getuid() == 0:
    for place in list(folder.parents)[:3]:
        place.chmod(0o755)
    os.setuid(65534)
try:
    store = MoneyStore(path, key, SystemClock())
    store.acquire_lease("test")
    raise SystemExit("it was writable")
except CannotRecord as error:
    print(error)
"""


def run(folder: Path, script: str, **values: object) -> str:
    tests = str(Path(__file__).parent)
    code = (COMMON + script).format(root=str(ROOT), tests=tests, folder=str(folder), **values)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_append_when_killed_at_random_instants_then_chain_whole_and_nothing_acknowledged_lost(folder: Path) -> None:
    assert "rows" in run(folder, KILL, kills=KILLS)


def test_append_when_the_disk_is_full_then_cannot_record_and_nothing_is_half_written(folder: Path) -> None:
    said = run(folder, FULL)
    assert "money.sqlite could not be written" in said
    assert "disk" in said


def test_open_when_the_folder_is_read_only_then_cannot_record_says_so(folder: Path) -> None:
    try:
        said = run(folder, READ_ONLY)
    finally:
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)
    assert "money.sqlite could not be written" in said
    assert "writable" in said
