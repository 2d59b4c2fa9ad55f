"""Alerts in the control file: schema as declared, one open alert a key, and every change whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from engine.domain.errors import BadInput, CannotRecord, StorageError
from engine.domain.facts import Notice, Severity
from engine.domain.operations_views import ChannelView
from engine.storage.alerts import AlertStore, Routing
from engine.storage.alerts_outbox import Failure
from engine.storage.alerts_tables import alerts, channels, mutes, outbox
from engine.storage.base import ControlBase, Database
from engine.storage.database_file import DatabaseFile
from engine.storage.migrate import migrate_file

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
OFTEN = Routing(HOUR)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[DatabaseFile]:
    """An empty control file."""
    migrate_file(Database.CONTROL, tmp_path)
    made = DatabaseFile(tmp_path / "control.sqlite", full_sync=True)
    yield made
    made.close()


def notice(key: str = "demo:brake", severity: Severity = Severity.CRITICAL) -> Notice:
    return Notice(key, severity, "Emergency brake", "10.4 % past 10 %", "demo", NOW)


def channel(name: str, minimum: Severity = Severity.INFO) -> ChannelView:
    return ChannelView(name, "webhook", f"label {name}", "Webhook, host", minimum, "", None)


def test_schema_when_migrated_then_it_is_what_the_tables_declare(file: DatabaseFile) -> None:
    mine = {table.name for table in (alerts, mutes, channels, outbox)}
    with file.writer.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_name": lambda name, kind, _parents: kind != "table" or name in mine}
        )
        found = compare_metadata(context, ControlBase.metadata)
    assert not [change for change in found if not _adds_other(change, mine)]


def _adds_other(change: object, mine: set[str]) -> bool:
    """Tables of other parts were left out of the comparison, so they look missing."""
    kind, subject = change[0], change[1]  # type: ignore[index]
    table = subject.name if kind == "add_table" else getattr(getattr(subject, "table", None), "name", "")
    return kind in ("add_table", "add_index") and table not in mine


def test_record_when_many_threads_raise_one_key_then_one_alert_counts_them_all(file: DatabaseFile) -> None:
    store = AlertStore(file)
    store.channels.add(channel("c"), b"sealed", NOW)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: store.record(notice(), NOW, OFTEN), range(24)))
    (row,) = store.page(1, 10, True, NOW).rows
    assert row.count == 24
    assert len(store.outbox.due(NOW, 50)) == 1
    assert store.outbox.waiting() == 1


def test_record_when_the_message_before_still_waits_then_it_is_replaced(file: DatabaseFile) -> None:
    store = AlertStore(file)
    store.channels.add(channel("c"), b"sealed", NOW)
    store.record(notice(severity=Severity.WARNING), NOW, OFTEN)
    store.record(notice(), NOW + HOUR, OFTEN)
    (waiting,) = store.outbox.due(NOW + HOUR, 50)
    assert (waiting.notice.title, waiting.notice.severity) == ("Emergency brake (2 times)", Severity.CRITICAL)


def test_due_when_messages_wait_then_the_most_severe_first_and_paused_channels_left_alone(file: DatabaseFile) -> None:
    store = AlertStore(file)
    store.channels.add(channel("c"), b"sealed", NOW)
    for key, severity in (("i", Severity.INFO), ("c", Severity.CRITICAL), ("w", Severity.WARNING)):
        store.record(notice(key, severity), NOW, OFTEN)
    due = store.outbox.due(NOW, 50)
    assert [item.notice.key for item in due] == ["c", "w", "i"]
    failure = Failure(due[0].message_id, "c", "no answer", NOW, NOW + HOUR, NOW + HOUR / 2)
    assert store.outbox.failed(failure) == 1
    assert store.outbox.due(NOW, 50) == ()
    assert [item.notice.key for item in store.outbox.due(NOW + HOUR / 2, 50)] == ["w", "i"]
    tried = {item.notice.key: item.attempts for item in store.outbox.due(NOW + HOUR, 50)}
    assert tried == {"c": 1, "w": 0, "i": 0}


def test_test_message_when_one_waits_then_no_second(file: DatabaseFile) -> None:
    store = AlertStore(file)
    store.channels.add(channel("c"), b"sealed", NOW)
    for _ in range(3):
        store.outbox.add_test("c", notice("channel:test", Severity.INFO), NOW)
    assert len(store.outbox.due(NOW, 50)) == 1


def test_remove_when_messages_wait_then_they_go_and_the_alert_stays(file: DatabaseFile) -> None:
    store = AlertStore(file)
    store.channels.add(channel("c"), b"sealed", NOW)
    store.record(notice(), NOW, OFTEN)
    store.channels.remove("c")
    assert store.outbox.waiting() == 0
    assert store.open_count() == 1
    with pytest.raises(BadInput, match="no channel 'c'"):
        store.channels.get("c")


def test_page_when_out_of_bounds_then_named(file: DatabaseFile) -> None:
    with pytest.raises(BadInput, match="page 0"):
        AlertStore(file).page(0, 10, True, NOW)


def test_record_when_the_file_cannot_be_written_then_cannot_record_and_nothing_is_half_done(
    file: DatabaseFile, tmp_path: Path
) -> None:
    read_only = DatabaseFile(tmp_path / "control.sqlite", full_sync=True)
    read_only.writer.dispose()
    read_only.writer = file.reader
    with pytest.raises(CannotRecord):
        AlertStore(read_only).record(notice(), NOW, OFTEN)
    assert AlertStore(file).open_count() == 0


def test_read_when_the_file_is_missing_then_an_error_and_no_empty_page(tmp_path: Path) -> None:
    missing = DatabaseFile(tmp_path / "none.sqlite", full_sync=True)
    with pytest.raises(StorageError):
        AlertStore(missing).page(1, 10, True, NOW)
    with pytest.raises(StorageError):
        AlertStore(missing).channels.all()
    missing.close()
