"""The commands where no engine runs: before the first start, after the last, and around a crash."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing

from command_line import PASSWORD, Engine, end, wait_until


def test_run_when_its_time_is_over_then_the_books_are_whole_and_nobody_runs(traded: Engine) -> None:
    status = traded("status", "--json")
    assert status.code == 3
    assert status.json["running"] is False
    assert "no engine runs" in status.err
    verified = traded("audit", "verify", "--json")
    assert verified.code == 0
    assert all(row["holds"] for row in verified.json["chains"])


def test_run_when_killed_then_the_next_one_goes_on_in_the_same_journal(engine: Engine) -> None:
    process = engine.start("--stage", "demo", "--speed", "1000", "--seed", "7")
    wait_until(lambda: engine.published().get("fills", 0) > 0)
    assert end(process, signal.SIGKILL) == -signal.SIGKILL
    before = engine("export", "fills").json
    assert engine("run", "--stage", "demo", "--speed", "600", "--seed", "7", "--for", "1").code == 0
    assert engine("export", "fills").json[: len(before)] == before
    assert engine("audit", "verify").code == 0


def test_stop_when_nobody_runs_then_the_next_start_is_halted_first(engine: Engine) -> None:
    pending = engine("stop", "--json")
    assert pending.code == 3
    assert pending.json["state"] == "PENDING"
    process = engine.start("--stage", "demo", "--speed", "600")
    try:
        wait_until(lambda: bool((engine.published().get("stop") or {}).get("flat")))
        status = engine.published()
    finally:
        code = end(process, signal.SIGINT)
    assert code == 0
    assert (status["state"], status["state_reason"]) == ("HALTED", "by command")
    kinds = [row["kind"] for row in engine("export", "journal").json]
    assert "OrderIntent" not in kinds


def test_stop_when_the_control_file_is_damaged_then_the_sentinel_orders_it(traded: Engine) -> None:
    (traded.folder / "control.sqlite").write_bytes(b"no database" * 500)
    said = traded("stop", "--reason", "disk trouble")
    assert said.code == 3
    assert "disk trouble" in (traded.folder / "STOP").read_text()
    assert traded("stop", "--reason", "one book", "--book", "demo").code == 1


def test_arm_when_nobody_runs_then_nothing_is_stored(engine: Engine) -> None:
    said = engine("arm", "--book", "demo", "--reason", "x", "--yes")
    assert said.code == 3
    assert not (engine.folder / "control.sqlite").exists()


def test_audit_verify_when_a_row_was_changed_then_it_names_the_row(traded: Engine) -> None:
    with closing(sqlite3.connect(traded.folder / "money.sqlite")) as money, money:
        for trigger in [row[0] for row in money.execute("SELECT name FROM sqlite_schema WHERE type='trigger'")]:
            money.execute(f'DROP TRIGGER "{trigger}"')
        money.execute("UPDATE journal SET payload = replace(payload, '50000', '90000') WHERE sequence = 2")
    said = traded("audit", "verify", "--json")
    assert said.code == 1
    assert said.json["holds"] is False
    assert said.json["chains"][0]["broken_at"] == 2


def test_restore_when_done_then_the_next_start_is_halted_until_armed(traded: Engine) -> None:
    saved = traded("backup", "--json").json
    restored = traded("restore", saved["file"], "--json").json
    assert restored["journal_rows"] == saved["journal_rows"]
    process = traded.start("--stage", "demo", "--speed", "60")
    try:
        assert traded.published()["state"] == "HALTED"
        assert traded("arm", "--book", "demo", "--reason", "books agree", "--yes").code == 0
        wait_until(lambda: traded.published()["state"] == "ACTIVE")
    finally:
        end(process)
    assert traded("audit", "verify").code == 0


def test_users_when_the_folder_is_fresh_then_the_first_is_an_admin(engine: Engine) -> None:
    refused = engine("users", "add", "sam", "--role", "viewer", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert refused.code == 2
    assert "must be an admin" in refused.err
    assert engine("users", "add", "ada", "--role", "admin", "--password-stdin", stdin=f"{PASSWORD}\n").code == 0
    assert engine("users", "add", "sam", "--role", "viewer", "--password-stdin", stdin=f"{PASSWORD}\n").code == 0
    assert engine("users", "reset", "sam", "--password-stdin", stdin=f"{PASSWORD} again\n").code == 0
    assert [(user["name"], user["role"]) for user in engine("users", "list", "--json").json] == [
        ("ada", "admin"), ("sam", "viewer"),
    ]  # fmt: skip
    assert engine("users", "reset", "nobody", "--password-stdin", stdin=f"{PASSWORD}\n").code == 2
    assert (engine.folder.stat().st_mode & 0o077) == 0
