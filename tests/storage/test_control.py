"""Commands once, settings with their history, sealed keys, and an audit that nobody can rewrite."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.domain.commands import Actor, CommandStatus, Receipt, Role
from engine.domain.errors import BadInput, CannotRecord, StorageError
from engine.runtime.clock import SystemClock
from engine.storage.control import ControlStore
from engine.storage.rows import AuditFilters

JO = Actor("jo", Role.ADMIN, "cli")


def test_submit_when_new_then_pending_in_order_and_after_an_answer_no_more(control: ControlStore, make: Any) -> None:
    first, second = make.command(), make.command()
    assert control.submit(first)
    assert control.submit(second)
    assert control.pending() == [(1, first), (2, second)]
    assert control.pending(after=1) == [(2, second)]
    control.complete(first.command_id, CommandStatus.DONE, "cancelled")
    assert control.pending() == [(2, second)]
    assert control.receipt(first.command_id) == Receipt(first.command_id, CommandStatus.DONE, "cancelled")
    assert control.receipt("nobody") is None


def test_submit_when_repeated_then_stored_once_and_the_receipt_stays(control: ControlStore, make: Any) -> None:
    command = make.command()
    assert control.submit(command)
    assert not control.submit(replace(command, at=command.at + timedelta(seconds=1)))
    control.complete(command.command_id, CommandStatus.REFUSED, "halted")
    control.complete(command.command_id, CommandStatus.DONE, "too late")
    assert not control.submit(command)
    assert control.receipt(command.command_id) == Receipt(command.command_id, CommandStatus.REFUSED, "halted")
    assert control.pending() == []


@pytest.mark.parametrize("change", [{"client_id": "other"}, {"name": "eve"}], ids=["body", "actor"])
def test_submit_when_the_id_was_used_for_another_command_then_bad_input(
    control: ControlStore, make: Any, change: dict[str, str]
) -> None:
    control.submit(make.command("c1"))
    with pytest.raises(BadInput, match="'c1' was used by jo for CancelOrder"):
        control.submit(make.command("c1", **change))
    assert len(control.pending()) == 1


def test_submit_when_many_threads_send_the_same_then_it_is_new_once(control: ControlStore, make: Any) -> None:
    command = make.command()
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(control.submit(command))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False] * 5 + [True]


def test_submit_when_a_reason_holds_no_text_then_it_comes_back_unchanged(control: ControlStore, make: Any) -> None:
    command = replace(make.command(), reason="broken \ud800 text")
    control.submit(command)
    assert control.pending() == [(1, command)]


def test_complete_when_unknown_then_storage_error(control: ControlStore) -> None:
    with pytest.raises(StorageError, match="'c9' is not stored"):
        control.complete("c9", CommandStatus.DONE, "")


def test_note_then_told_beside_a_command_until_it_is_answered(control: ControlStore, make: Any) -> None:
    control.submit(make.command("c1"))
    control.note("c1", "live has not answered yet")
    control.note("nobody", "is not stored, and nothing happens")
    assert control.receipt("c1") == Receipt("c1", CommandStatus.PENDING, "live has not answered yet")
    assert [command.command_id for _, command in control.pending()] == ["c1"], "it is still to be carried out"
    control.complete("c1", CommandStatus.DONE, "latched")
    control.note("c1", "too late")
    assert control.receipt("c1") == Receipt("c1", CommandStatus.DONE, "latched")


def test_settings_when_changed_then_every_version_stays_and_rollback_is_a_new_one(control: ControlStore) -> None:
    settings = control.settings
    assert settings.get("engine", "limit") is None
    assert settings.put("engine", "limit", {"a": 1}, "jo") == 1
    assert settings.put("engine", "limit", [2], "eve", "tighter") == 2
    assert settings.put("user:jo", "limit", "dark", "jo") == 1
    assert settings.rollback("engine", "limit", 1, "jo") == 3
    assert settings.get("engine", "limit") == {"a": 1}
    told = [(row.version, row.actor, row.note) for row in settings.history("engine", "limit")]
    assert told == [(3, "jo", "back to version 1"), (2, "eve", "tighter"), (1, "jo", "")]
    assert settings.values("engine") == {"limit": {"a": 1}}
    settings.put("engine", "limit", None, "jo")
    assert settings.values("engine") == {}


def test_settings_when_a_value_is_no_json_or_a_version_unknown_then_bad_input(control: ControlStore) -> None:
    with pytest.raises(BadInput, match=r"engine\.limit"):
        control.settings.put("engine", "limit", float("nan"), "jo")
    with pytest.raises(BadInput, match="no version 4"):
        control.settings.rollback("engine", "limit", 4, "jo")


def test_credentials_when_stored_then_only_sealed_bytes_and_never_in_a_repr(
    control: ControlStore, folder: Path
) -> None:
    shelf = control.credentials
    shelf.add("kraken", "main", b"sealed-1", {"sandbox": False})
    shelf.add("bybit", "main", b"sealed-2", {})
    with pytest.raises(BadInput, match="already"):
        shelf.add("kraken", "main", b"other", {})
    assert [row.exchange_id for row in shelf.all()] == ["bybit", "kraken"]
    assert shelf.get("kraken", "main").check_ok is None
    shelf.record_check("kraken", "main", False, "permission denied")
    row = shelf.get("kraken", "main")
    assert (row.sealed, row.options, row.check_ok, row.check_detail) == (
        b"sealed-1", '{"sandbox": false}', False, "permission denied",
    )  # fmt: skip
    assert "sealed-1" not in repr(row)


def test_credentials_when_resealed_then_only_over_the_expected_bytes(control: ControlStore) -> None:
    shelf = control.credentials
    shelf.add("kraken", "main", b"old", {})
    assert shelf.reseal("kraken", "main", b"old", b"new")
    assert not shelf.reseal("kraken", "main", b"old", b"newer")
    assert shelf.get("kraken", "main").sealed == b"new"
    shelf.remove("kraken", "main")
    for gone in (shelf.get, shelf.remove):
        with pytest.raises(BadInput, match="no keys labelled 'main'"):
            gone("kraken", "main")
    with pytest.raises(BadInput):
        shelf.record_check("kraken", "main", True, "")


def test_audit_when_appended_then_paged_filtered_and_verified(control: ControlStore) -> None:
    audit = control.audit
    assert audit.verify().ok
    for number in range(12):
        action = "user_added" if number % 2 else "login"
        assert audit.append(JO, action, f"user {number}", '{"a": 1}') == number + 1
    page = audit.page(AuditFilters(action="login"), 1, 4)
    assert (page.total, [row.sequence for row in page.rows]) == (6, [11, 9, 7, 5])
    assert audit.page(AuditFilters(text="USER 11")).total == 1
    assert audit.page(AuditFilters(actor="eve")).total == 0
    newest = audit.page(AuditFilters()).rows[0]
    assert audit.page(AuditFilters(since=newest.at, until=newest.at)).total == 0
    report = audit.verify()
    assert (report.ok, report.rows) == (True, 12)


@pytest.mark.parametrize(
    ("statement", "broken_at"),
    [
        ("UPDATE audit SET actor='eve' WHERE sequence=2", 2),
        ("DELETE FROM audit WHERE sequence=2", 2),
        ("DELETE FROM audit WHERE sequence=4", 4),
    ],
    ids=["changed", "removed", "cut"],
)
def test_audit_when_tampered_then_verify_names_the_row_also_after_new_ones(
    control: ControlStore, statement: str, broken_at: int
) -> None:
    for number in range(4):
        control.audit.append(JO, "login", str(number), "")
    with closing(sqlite3.connect(control.file.path)) as connection:
        connection.execute(statement)
        connection.commit()
    for _ in range(3):
        control.audit.append(JO, "login", "later", "")
    report = control.audit.verify()
    assert (report.ok, report.broken_at) == (False, broken_at)


def test_audit_when_two_processes_append_then_one_chain(control: ControlStore, key: bytes) -> None:
    other = ControlStore(control.file.path, key, SystemClock())
    threads = [
        threading.Thread(target=lambda part=part: [part.audit.append(JO, "x", "", "") for _ in range(15)])
        for part in (control, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    report = control.audit.verify()
    assert (report.ok, report.rows) == (True, 30)


def test_audit_when_the_text_is_no_text_then_it_is_stored_with_a_mark(control: ControlStore) -> None:
    control.audit.append(JO, "login", "a\ud800b", "")
    assert control.audit.page(AuditFilters()).rows[0].target == "a?b"
    assert control.audit.verify().ok


def test_control_when_another_program_holds_the_file_then_cannot_record(control: ControlStore, make: Any) -> None:
    with control.file.write() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=50")
    with closing(sqlite3.connect(control.file.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CannotRecord, match="locked"):
            control.audit.append(JO, "stop", "demo", "")
        with pytest.raises(CannotRecord, match="locked"):
            control.submit(make.command())
        assert control.pending() == []
        other.execute("ROLLBACK")


def test_control_when_the_file_is_gone_then_reading_is_an_error_not_an_empty_list(
    folder: Path, key: bytes, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "control.sqlite").unlink()
    store = ControlStore(copy / "control.sqlite", key, SystemClock())
    with pytest.raises(StorageError, match=r"control\.sqlite could not be read"):
        store.pending()
    store.close()
