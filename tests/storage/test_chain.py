"""The hash chain shows every way to change what was recorded."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.errors import CannotRecord, StorageError
from engine.runtime.clock import SystemClock
from engine.storage.chain import JOURNAL, Head, export_head, link, load_or_create_key, read_head
from engine.storage.money import BookJournal, MoneyStore
from engine.storage.verify import verify, verify_tail

ROWS = 10


@pytest.fixture
def recorded(store: MoneyStore, journal: BookJournal, make: Any, money_path: Path) -> Path:
    for _ in range(ROWS):
        journal.append([make.cash()], make.now)
    journal.checkpoint(ROWS, {})
    store.close()
    return money_path


def tamper(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


RENUMBER = [f"UPDATE journal SET sequence={row - 1} WHERE sequence={row}" for row in range(5, ROWS + 1)]
SWAP = [f"UPDATE journal SET sequence={new} WHERE sequence={old}" for old, new in ((4, 99), (5, 4), (99, 5))]
COPIED = "book, market_time, wall_time, kind, payload, mac FROM journal WHERE sequence=3"
INSERT = "INSERT INTO journal SELECT {sequence}, " + COPIED


@pytest.mark.parametrize(
    ("statements", "broken_at"),
    [
        (["UPDATE journal SET payload=replace(payload, '10000', '90000') WHERE sequence=4"], 4),
        (["UPDATE journal SET book='paper' WHERE sequence=1"], 1),
        (["UPDATE journal SET market_time='2020-01-01T00:00:00.000000Z' WHERE sequence=10"], 10),
        (["UPDATE journal SET kind='Fill' WHERE sequence=7"], 7),
        (["UPDATE journal SET mac=zeroblob(32) WHERE sequence=7"], 7),
        (["UPDATE journal SET payload=5 WHERE sequence=2"], 2),
        (["UPDATE journal SET kind=kind||substr(payload,1,1), payload=substr(payload,2) WHERE sequence=6"], 6),
        (["DELETE FROM journal WHERE sequence=4"], 4),
        (["DELETE FROM journal WHERE sequence=1"], 1),
        (["DELETE FROM journal WHERE sequence=4", *RENUMBER], 4),
        (SWAP, 4),
        ([INSERT.format(sequence=11)], 11),
        ([INSERT.format(sequence=0)], 1),
        (["DELETE FROM journal WHERE sequence > 8"], 9),
        (["DELETE FROM journal"], 1),
    ],
    ids=[
        "amount changed", "book changed", "time changed", "kind changed", "code changed", "type changed",
        "letter moved to the neighbour", "row removed", "first row removed", "row removed, rest renumbered",
        "rows swapped", "row appended", "row put before", "tail cut", "all cut",
    ],
)  # fmt: skip
def test_verify_when_tampered_then_the_first_bad_row_is_named(
    recorded: Path, key: bytes, statements: list[str], broken_at: int
) -> None:
    assert verify(recorded, key).ok
    tamper(recorded, *statements)
    report = verify(recorded, key)
    assert (report.ok, report.broken_at) == (False, broken_at)
    assert str(broken_at) in report.detail


def test_verify_when_untouched_then_all_rows_hold(recorded: Path, key: bytes) -> None:
    report = verify(recorded, key)
    assert (report.rows, report.ok, report.broken_at) == (ROWS, True, None)


def test_verify_when_another_key_then_not_ok(recorded: Path) -> None:
    assert not verify(recorded, b"x" * 32).ok


def test_verify_tail_when_rows_follow_the_checkpoint_then_they_and_the_end_are_checked(
    recorded: Path, key: bytes, make: Any
) -> None:
    store = MoneyStore(recorded, key, SystemClock())
    journal = store.journal("demo", store.acquire_lease("again"))
    journal.append([make.fill() for _ in range(3)], make.now)
    store.close()
    assert verify_tail(recorded, key) == verify(recorded, key)
    tamper(recorded, "UPDATE journal SET payload='{}' WHERE sequence=4")
    assert verify_tail(recorded, key).ok
    tamper(recorded, "UPDATE journal SET payload='{}' WHERE sequence=12")
    assert verify_tail(recorded, key).broken_at == 12
    tamper(recorded, "DELETE FROM journal WHERE sequence>=12")
    assert "cut off" in verify_tail(recorded, key).detail
    tamper(recorded, "UPDATE journal SET mac=zeroblob(32) WHERE sequence=10")
    assert verify_tail(recorded, key).broken_at == 10


def remove(head: Path) -> None:
    head.unlink()


def shorten(head: Path) -> None:
    body = json.loads(head.read_text())
    head.write_text(json.dumps({**body, "count": 3}))


def garble(head: Path) -> None:
    head.write_text("{")


@pytest.mark.parametrize("change", [remove, shorten, garble], ids=["removed", "count changed", "no JSON"])
def test_verify_when_the_head_is_tampered_then_not_ok(
    recorded: Path, key: bytes, change: Callable[[Path], None]
) -> None:
    change(recorded.parent / "journal.head")
    report = verify(recorded, key)
    assert not report.ok
    assert "journal.head" in report.detail


def test_verify_when_the_tail_is_cut_and_written_on_then_the_old_head_still_shows_it(
    recorded: Path, key: bytes, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    tamper(recorded, "DELETE FROM journal WHERE sequence > 8", "DELETE FROM checkpoints")
    store = MoneyStore(recorded, key, SystemClock())
    journal = store.journal("demo", store.acquire_lease("again"))
    for _ in range(5):
        make_sure = journal.append([make.fill()], make.now).sequence
    journal.checkpoint(make_sure, {})
    store.close()
    report = verify(recorded, key)
    assert (report.ok, report.broken_at) == (False, 10)
    assert "does not fit its signed head" in caplog.text


def test_head_when_rows_are_appended_then_it_follows_now_and_then(
    journal: BookJournal, make: Any, money_path: Path, key: bytes
) -> None:
    head = JOURNAL.head_path(money_path)
    journal.append([make.cash() for _ in range(499)], make.now)
    assert read_head(head, key) == Head(0, JOURNAL.genesis(key))
    journal.append([make.cash()], make.now)
    found = read_head(head, key)
    assert found is not None
    assert found.count == 500


def test_export_head_when_the_folder_is_gone_then_cannot_record(tmp_path: Path) -> None:
    with pytest.raises(CannotRecord, match=r"journal\.head"):
        export_head(tmp_path / "nowhere" / "journal.head", b"k" * 32, Head(1, b"m"), durable=True)


@given(st.lists(st.text(max_size=6), min_size=2, max_size=4), st.lists(st.text(max_size=6), min_size=2, max_size=4))
def test_link_when_the_texts_differ_then_the_codes_do(one: list[str], other: list[str]) -> None:
    same = link(b"k", b"p", 1, tuple(one)) == link(b"k", b"p", 1, tuple(other))
    assert same == (one == other)


def test_key_when_made_then_private_and_the_same_again(tmp_path: Path) -> None:
    path = tmp_path / "data" / "keys" / "journal.key"
    key = load_or_create_key(path)
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_or_create_key(path) == key
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(("what", "mode"), [("file", 0o640), ("file", 0o604), ("folder", 0o750)])
def test_key_when_others_can_reach_it_then_refused_with_the_way_out(tmp_path: Path, what: str, mode: int) -> None:
    path = tmp_path / "keys" / "journal.key"
    load_or_create_key(path)
    (path if what == "file" else path.parent).chmod(mode)
    with pytest.raises(StorageError, match=f"mode {mode:04o}.*chmod"):
        load_or_create_key(path)


def test_key_when_it_is_a_link_or_too_short_then_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "journal.key"
    key = load_or_create_key(path)
    path.write_bytes(key[:31])
    with pytest.raises(StorageError, match="31 bytes"):
        load_or_create_key(path)
    path.rename(path.with_name("other"))
    path.symlink_to(path.with_name("other"))
    with pytest.raises(StorageError, match="reached by others"):
        load_or_create_key(path)


def test_key_when_its_folder_cannot_be_made_then_cannot_record(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file")
    with pytest.raises(CannotRecord, match=r"journal\.key"):
        load_or_create_key(tmp_path / "keys" / "journal.key")
