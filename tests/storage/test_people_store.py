"""People in the control file: schema, races and failures."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from engine.domain.commands import Role
from engine.domain.errors import AccessDenied, BadInput, CannotRecord, StorageError
from engine.domain.people import Caller, OwnerCode, Session, SignInAttempt, User
from engine.storage.base import ControlBase, Database, open_engine
from engine.storage.migrate import migrate
from engine.storage.people import SqlPeople

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OWNER = User("Owner", Role.ADMIN, "hash", False, NOW)
SESSION = Session(
    "handle", "Owner", "t" * 64, None, "key", Caller("127.0.0.1", "x"), NOW, NOW, NOW + timedelta(hours=12)
)


@pytest.fixture
def store(tmp_path: Path) -> SqlPeople:
    migrate(tmp_path)
    path = Database.CONTROL.path(tmp_path)
    return SqlPeople(open_engine(path, full_sync=False), open_engine(path, full_sync=False, read_only=True))


def test_schema_when_migrated_then_equals_the_models(tmp_path: Path) -> None:
    migrate(tmp_path)
    ours = {"people", "owner_code", "sessions", "signin_failures"}
    engine = open_engine(Database.CONTROL.path(tmp_path), full_sync=False)
    with engine.connect() as connection:
        options = {"include_name": lambda name, kind, _: kind != "table" or name in ours}
        context = MigrationContext.configure(connection, opts=options)
        differences = [d for d in compare_metadata(context, ControlBase.metadata) if "add_table" not in str(d[0])]
    engine.dispose()
    assert [d for d in differences if "sessions" in str(d) or "people" in str(d) or "signin" in str(d)] == []


def test_user_when_stored_then_read_back_without_regard_to_case(store: SqlPeople) -> None:
    store.add_user(OWNER)
    assert store.user("oWNER") == OWNER
    assert store.users() == (OWNER,)
    with pytest.raises(BadInput, match="already"):
        store.add_user(replace(OWNER, name="OWNER"))
    with pytest.raises(BadInput, match="no person"):
        store.change_user("nobody", lambda user: user)


def test_change_user_when_last_admin_would_go_then_rolled_back(store: SqlPeople) -> None:
    store.add_user(OWNER)
    with pytest.raises(AccessDenied):
        store.change_user("owner", lambda user: replace(user, role=Role.VIEWER))
    assert store.user("owner") == OWNER


def test_session_when_stored_then_found_by_both_tokens_and_gone_when_disabled(store: SqlPeople) -> None:
    store.add_user(OWNER)
    store.add_user(replace(OWNER, name="second"))
    assert store.open_session(SESSION, "hash")
    assert not store.open_session(replace(SESSION, handle="other", token_hash="u" * 64), "another hash")
    assert store.session_by_token("t" * 64) == SESSION
    changed = store.change_session("handle", lambda session: replace(session, pending_hash="p" * 64))
    assert store.session_by_token("p" * 64) == changed
    assert store.sessions("OWNER") == store.sessions(None) == (changed,)
    store.change_user("owner", lambda user: replace(user, disabled=True))
    assert store.session("handle") is None
    assert store.change_session("handle", lambda session: session) is None


def test_sessions_when_ended_then_only_the_others_stay(store: SqlPeople) -> None:
    store.add_user(OWNER)
    for number in range(3):
        store.open_session(replace(SESSION, handle=f"h{number}", token_hash=str(number) * 64), "hash")
    assert store.end_sessions("owner", but="h1") == 2
    assert [session.handle for session in store.sessions(None)] == ["h1"]
    assert store.end_session("h1")
    assert not store.end_session("h1")


def test_owner_code_when_claimed_then_exactly_once(store: SqlPeople) -> None:
    store.put_owner_code(OwnerCode("old", NOW + timedelta(hours=1)))
    store.put_owner_code(OwnerCode("new", NOW + timedelta(hours=1)))
    assert not store.claim_owner("old", NOW, OWNER)
    assert not store.claim_owner("new", NOW + timedelta(hours=2), OWNER)
    assert store.claim_owner("new", NOW, OWNER)
    assert not store.claim_owner("new", NOW, replace(OWNER, name="other"))


def test_attempts_when_a_day_old_then_forgotten(store: SqlPeople) -> None:
    seen: list[int] = []

    def judge(failed):  # type: ignore[no-untyped-def]
        seen.append(len(failed.pair))
        return 0.0

    attempt = SignInAttempt("who", "address", NOW)
    for at in (NOW, NOW + timedelta(hours=23), NOW + timedelta(hours=25)):
        store.reserve_attempt(replace(attempt, at=at), judge)
    assert seen == [0, 1, 1]
    assert store.forget_attempts("who") == 2


def test_attempt_when_settled_then_failures_of_the_pair_go_and_others_stay(store: SqlPeople) -> None:
    first, _ = store.reserve_attempt(SignInAttempt("who", "here", NOW), lambda _: 0.0)
    store.reserve_attempt(SignInAttempt("who", "there", NOW), lambda _: 0.0)
    store.settle_attempt(first)
    store.settle_attempt(first)
    assert store.forget_attempts("who") == 1


def test_store_when_file_is_read_only_or_missing_then_our_errors(tmp_path: Path) -> None:
    migrate(tmp_path)
    path = Database.CONTROL.path(tmp_path)
    reader = open_engine(path, full_sync=False, read_only=True)
    with pytest.raises(CannotRecord):
        SqlPeople(reader, reader).add_user(OWNER)
    missing = open_engine(tmp_path / "none.sqlite", full_sync=False, read_only=True)
    with pytest.raises(StorageError):
        SqlPeople(missing, missing).users()
