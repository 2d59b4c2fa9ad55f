"""Tables of people, sessions and failed sign-ins, and how their rows become domain objects."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Table, Text
from sqlmodel import Field

from engine.domain.commands import Role
from engine.domain.people import Caller, Session, User
from engine.storage.base import ControlBase, UtcText


class PersonRow(ControlBase, table=True):
    """A person; ``name_key`` is the folded name."""

    __tablename__ = "people"

    name_key: str = Field(primary_key=True, sa_type=Text)
    name: str = Field(sa_type=Text)
    role: str = Field(sa_type=Text)
    password_hash: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_type=UtcText)
    disabled: bool = False
    last_seen_at: datetime | None = Field(default=None, sa_type=UtcText)


class OwnerCodeRow(ControlBase, table=True):
    """The one-time code of the first start, hashed; at most one row."""

    __tablename__ = "owner_code"

    position: int = Field(primary_key=True)
    code_hash: str = Field(sa_type=Text)
    expires_at: datetime = Field(sa_type=UtcText)


class SessionRow(ControlBase, table=True):
    """A live session; deleting the row ends it."""

    __tablename__ = "sessions"

    handle: str = Field(primary_key=True, sa_type=Text)
    user_key: str = Field(foreign_key="people.name_key", ondelete="CASCADE", index=True, sa_type=Text)
    token_hash: str = Field(unique=True, sa_type=Text)
    form_key: str = Field(sa_type=Text)
    address: str = Field(sa_type=Text)
    agent: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_type=UtcText)
    last_seen_at: datetime = Field(sa_type=UtcText)
    expires_at: datetime = Field(sa_type=UtcText)
    pending_hash: str | None = Field(default=None, index=True, sa_type=Text)
    stepped_up_until: datetime | None = Field(default=None, sa_type=UtcText)
    rotation_due: bool = False


class SignInFailureRow(ControlBase, table=True):
    """A sign-in that failed or is still being judged."""

    __tablename__ = "signin_failures"

    number: int | None = Field(default=None, primary_key=True)
    who: str = Field(index=True, sa_type=Text)
    address: str = Field(index=True, sa_type=Text)
    at: datetime = Field(sa_type=UtcText, index=True)


def _table(name: str) -> Table:
    return ControlBase.metadata.tables[name]


people = _table("people")
owner_codes = _table("owner_code")
sessions = _table("sessions")
failures = _table("signin_failures")


def user_values(user: User) -> dict[str, Any]:
    """Columns of a person."""
    return {
        "name_key": user.name.casefold(),
        "name": user.name,
        "role": user.role.value,
        "password_hash": user.password_hash,
        "created_at": user.created_at,
        "disabled": user.disabled,
        "last_seen_at": user.last_seen_at,
    }


def user_from(row: RowMapping) -> User:
    """A person from their columns."""
    return User(
        row["name"], Role(row["role"]), row["password_hash"], row["disabled"], row["created_at"], row["last_seen_at"]
    )


def session_values(session: Session) -> dict[str, Any]:
    """Columns of a session."""
    return {
        "handle": session.handle,
        "user_key": session.user.casefold(),
        "token_hash": session.token_hash,
        "pending_hash": session.pending_hash,
        "form_key": session.form_key,
        "address": session.caller.address,
        "agent": session.caller.agent,
        "created_at": session.created_at,
        "last_seen_at": session.last_seen_at,
        "expires_at": session.expires_at,
        "stepped_up_until": session.stepped_up_until,
        "rotation_due": session.rotation_due,
    }


def session_from(row: RowMapping) -> Session:
    """A session from its columns and its person's name."""
    return Session(
        handle=row["handle"],
        user=row["name"],
        token_hash=row["token_hash"],
        pending_hash=row["pending_hash"],
        form_key=row["form_key"],
        caller=Caller(row["address"], row["agent"]),
        created_at=row["created_at"],
        last_seen_at=row["last_seen_at"],
        expires_at=row["expires_at"],
        stepped_up_until=row["stepped_up_until"],
        rotation_due=row["rotation_due"],
    )
