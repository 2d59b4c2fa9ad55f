"""People, sessions and failed sign-ins in ``control.sqlite``: what two requests could race for is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, insert, or_, select, update
from sqlalchemy.exc import DatabaseError, IntegrityError

from engine.domain.commands import Role
from engine.domain.errors import AccessDenied, BadInput
from engine.domain.people import FailedAttempts, OwnerCode, Session, SignInAttempt, User
from engine.storage.base import cannot_read, cannot_record
from engine.storage.people_tables import (
    failures,
    owner_codes,
    people,
    session_from,
    session_values,
    sessions,
    user_from,
    user_values,
)

REMEMBERED = timedelta(hours=24)
"""Failures older than this are forgotten."""
_MOST_TIMES = 1_024


class SqlPeople:
    """Access control's store (`engine.security.ports.PeopleStore`).

    Parameters
    ----------
    writer, reader : Engine
        On ``control.sqlite`` from `open_engine`; the reader never waits for a writer.
    """

    def __init__(self, writer: Engine, reader: Engine) -> None:
        self._writer = writer
        self._reader = reader

    def user(self, name: str) -> User | None:
        """The person of that name, without regard to case."""
        with self._reading() as connection:
            return _user(connection, name)

    def users(self) -> tuple[User, ...]:
        """Everyone, by name."""
        with self._reading() as connection:
            rows = connection.execute(select(people).order_by(people.c.name_key))
            return tuple(user_from(row._mapping) for row in rows)

    def add_user(self, user: User) -> None:
        """Add a person; raises `BadInput` where the name is taken."""
        try:
            with self._writing() as connection:
                connection.execute(insert(people).values(user_values(user)))
        except IntegrityError as error:
            raise BadInput(f"there is already a person called {user.name!r}; choose another name") from error

    def change_user(self, name: str, change: Callable[[User], User]) -> User:
        """Change a person; raises `BadInput` (unknown name), `AccessDenied` (no enabled admin would be left)."""
        with self._writing() as connection:
            user = _user(connection, name)
            if user is None:
                raise BadInput(f"no person is called {name[:32]!r}; choose one of the existing people")
            changed = change(user)
            connection.execute(update(people).where(people.c.name_key == _key(name)).values(user_values(changed)))
            admins = select(func.count()).where(people.c.role == Role.ADMIN.value, people.c.disabled.is_(False))
            if not connection.execute(admins).scalar_one():
                raise AccessDenied(f"{user.name} is the last admin; make somebody else an admin first")
            return changed

    def put_owner_code(self, code: OwnerCode) -> None:
        """Replace the code of the first start."""
        with self._writing() as connection:
            connection.execute(delete(owner_codes))
            connection.execute(
                insert(owner_codes).values(position=1, code_hash=code.code_hash, expires_at=code.expires_at)
            )

    def claim_owner(self, code_hash: str, now: datetime, owner: User) -> bool:
        """If nobody exists and the code matches and lives: add the owner, burn the code."""
        with self._writing() as connection:
            if connection.execute(select(func.count()).select_from(people)).scalar_one():
                return False
            burnt = connection.execute(
                delete(owner_codes).where(owner_codes.c.code_hash == code_hash, owner_codes.c.expires_at > now)
            )
            if burnt.rowcount != 1:
                return False
            connection.execute(insert(people).values(user_values(owner)))
            return True

    def open_session(self, session: Session, proven_hash: str) -> bool:
        """Store the session only while the person is enabled and ``proven_hash`` is still their password hash."""
        with self._writing() as connection:
            user = _user(connection, session.user)
            if user is None or user.disabled or user.password_hash != proven_hash:
                return False
            connection.execute(delete(sessions).where(sessions.c.expires_at <= session.created_at))
            connection.execute(insert(sessions).values(session_values(session)))
            connection.execute(
                update(people).where(people.c.name_key == _key(user.name)).values(last_seen_at=session.created_at)
            )
            return True

    def session(self, handle: str) -> Session | None:
        """By handle."""
        with self._reading() as connection:
            return _session(connection, sessions.c.handle == handle)

    def session_by_token(self, token_hash: str) -> Session | None:
        """By the hash of its token or of its pending token."""
        with self._reading() as connection:
            matches = or_(sessions.c.token_hash == token_hash, sessions.c.pending_hash == token_hash)
            return _session(connection, matches)

    def sessions(self, user: str | None) -> tuple[Session, ...]:
        """Those of one person or of all, newest first."""
        query = _sessions_of_enabled().order_by(sessions.c.created_at.desc())
        if user is not None:
            query = query.where(sessions.c.user_key == _key(user))
        with self._reading() as connection:
            return tuple(session_from(row._mapping) for row in connection.execute(query))

    def change_session(self, handle: str, change: Callable[[Session], Session]) -> Session | None:
        """Change a session; None where it has ended."""
        with self._writing() as connection:
            session = _session(connection, sessions.c.handle == handle)
            if session is None:
                return None
            changed = change(session)
            connection.execute(update(sessions).where(sessions.c.handle == handle).values(session_values(changed)))
            seen = update(people).where(people.c.name_key == _key(session.user))
            connection.execute(seen.values(last_seen_at=changed.last_seen_at))
            return changed

    def end_sessions(self, user: str, but: str | None = None) -> int:
        """End every session of a person, except handle ``but``; how many."""
        query = delete(sessions).where(sessions.c.user_key == _key(user), sessions.c.handle != (but or ""))
        with self._writing() as connection:
            return int(connection.execute(query).rowcount)

    def end_session(self, handle: str) -> bool:
        """End one session; whether there was one."""
        with self._writing() as connection:
            return bool(connection.execute(delete(sessions).where(sessions.c.handle == handle)).rowcount)

    def reserve_attempt(self, attempt: SignInAttempt, wait_s: Callable[[FailedAttempts], float]) -> tuple[int, float]:
        """Read the windows, judge and count the attempt as failed; see `AttemptStore.reserve_attempt`."""
        with self._writing() as connection:
            connection.execute(delete(failures).where(failures.c.at < attempt.at - REMEMBERED))
            wait = wait_s(
                FailedAttempts(
                    _times(connection, failures.c.who == attempt.who, failures.c.address == attempt.address),
                    _times(connection, failures.c.address == attempt.address),
                    _times(connection),
                )
            )
            if wait > 0:
                return 0, wait
            row = insert(failures).values(who=attempt.who, address=attempt.address, at=attempt.at)
            return connection.execute(row.returning(failures.c.number)).scalar_one(), 0.0

    def settle_attempt(self, number: int) -> None:
        """Forget the attempt and the failures of the same person from the same address."""
        with self._writing() as connection:
            row = connection.execute(select(failures).where(failures.c.number == number)).mappings().first()
            if row is not None:
                same = (failures.c.who == row["who"], failures.c.address == row["address"])
                connection.execute(delete(failures).where(*same))

    def forget_attempts(self, who: str) -> int:
        """Forget every failure of a person; how many."""
        with self._writing() as connection:
            return int(connection.execute(delete(failures).where(failures.c.who == who)).rowcount)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self._writer.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except DatabaseError as error:
            raise cannot_record(error, _file(self._writer)) from error

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._reader.connect() as connection:
                yield connection
        except DatabaseError as error:
            raise cannot_read(error, _file(self._reader)) from error


def _file(engine: Engine) -> Path:
    return Path((engine.url.database or "control.sqlite").removeprefix("file:"))


def _key(name: str) -> str:
    # Half a surrogate pair cannot be stored, so nobody has it in their name.
    return name.casefold().encode("utf-8", "replace").decode()


def _user(connection: Connection, name: str) -> User | None:
    row = connection.execute(select(people).where(people.c.name_key == _key(name))).first()
    return None if row is None else user_from(row._mapping)


def _sessions_of_enabled() -> Any:
    """Sessions with the person's name as written; those of disabled people do not exist."""
    joined = sessions.join(people, sessions.c.user_key == people.c.name_key)
    return select(sessions, people.c.name).select_from(joined).where(people.c.disabled.is_(False))


def _session(connection: Connection, condition: Any) -> Session | None:
    row = connection.execute(_sessions_of_enabled().where(condition)).first()
    return None if row is None else session_from(row._mapping)


def _times(connection: Connection, *conditions: Any) -> tuple[datetime, ...]:
    query = select(failures.c.at).where(*conditions).order_by(failures.c.at.desc()).limit(_MOST_TIMES)
    return tuple(connection.execute(query).scalars())
