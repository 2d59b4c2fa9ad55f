"""The words for people: who may sign in, their live sessions, and the attempts that are counted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engine.domain.commands import Role


@dataclass(frozen=True, slots=True)
class User:
    """A person who may sign in. ``password_hash`` carries its own algorithm and parameters."""

    name: str
    role: Role
    password_hash: str
    disabled: bool
    created_at: datetime
    last_seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a request comes from: network address and browser, as far as they can be trusted."""

    address: str
    agent: str


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser, stored without its token.

    Attributes
    ----------
    handle : str
        Public name of the session; knowing it opens nothing.
    user : str
        Name of the person.
    token_hash : str
        SHA-256 (hex) of the cookie's token.
    pending_hash : str or None
        SHA-256 of a token that was handed out to replace it and has not come back yet.
    form_key : str
        Random text that every form of this session must carry.
    caller : Caller
        Where it was opened.
    created_at, last_seen_at, expires_at : datetime
        Wall time; ``expires_at`` is the absolute end.
    stepped_up_until : datetime or None
        Until when the password counts as proven again.
    rotation_due : bool
        Whether the next answer over HTTP must carry a new token.
    """

    handle: str
    user: str
    token_hash: str
    pending_hash: str | None
    form_key: str
    caller: Caller
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    stepped_up_until: datetime | None = None
    rotation_due: bool = False


@dataclass(frozen=True, slots=True)
class SignInAttempt:
    """One try: ``who`` is the SHA-256 of the folded name that was typed, which need not exist."""

    who: str
    address: str
    at: datetime


@dataclass(frozen=True, slots=True)
class FailedAttempts:
    """Times of failures still counted, newest first: of this person from this address, of the address, of everyone."""

    pair: tuple[datetime, ...]
    address: tuple[datetime, ...]
    everyone: tuple[datetime, ...]


@dataclass(frozen=True, slots=True)
class OwnerCode:
    """The one-time code that lets the first account be made; only its SHA-256 is kept."""

    code_hash: str
    expires_at: datetime
