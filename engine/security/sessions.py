"""Sessions kept on the server: a random token in the browser, only its hash here, and an end that always comes."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from engine.domain.people import Caller, Session, User
from engine.domain.ports import Clock
from engine.security.access_config import AccessConfig
from engine.security.ports import SessionStore
from engine.security.secret import Secret

TOUCH_EVERY = timedelta(seconds=30)
"""How exactly the last use is stored; a write per request would cost more than it tells."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session with the token for the browser's cookie, which is not stored anywhere."""

    session: Session
    token: Secret


class Sessions:
    """Opens, finds, extends and ends sessions."""

    def __init__(self, store: SessionStore, clock: Clock, config: AccessConfig) -> None:
        self._store = store
        self._clock = clock
        self._config = config

    def open(self, user: User, caller: Caller) -> SignedIn | None:
        """A new session with a new token; None where the person was disabled or changed the password meanwhile."""
        now = self._clock.now()
        token = Secret(secrets.token_urlsafe(32))
        session = Session(
            handle=secrets.token_urlsafe(16),
            user=user.name,
            token_hash=token_hash(token.text()),
            pending_hash=None,
            form_key=secrets.token_urlsafe(24),
            caller=caller,
            created_at=now,
            last_seen_at=now,
            expires_at=now + self._config.absolute,
        )
        return SignedIn(session, token) if self._store.open_session(session, user.password_hash) else None

    def identify(self, token: str) -> Session | None:
        """The live session behind a cookie, or None; does not extend it."""
        hashed = token_hash(token)
        session = self._alive(self._store.session_by_token(hashed))
        if session is not None and session.pending_hash == hashed:
            return self._store.change_session(session.handle, lambda s: _confirmed(s, hashed))
        return session

    def check(self, handle: str) -> Session | None:
        """The live session of that handle, or None; does not extend it."""
        return self._alive(self._store.session(handle))

    def touch(self, session: Session) -> None:
        """A person acted: the idle time starts again."""
        now = self._clock.now()
        if now - session.last_seen_at >= TOUCH_EVERY:
            self._store.change_session(session.handle, lambda s: replace(s, last_seen_at=max(s.last_seen_at, now)))

    def rotate(self, session: Session) -> Secret | None:
        """A new token for the browser; the old one works until the new one has come back. None where it has ended."""
        token = Secret(secrets.token_urlsafe(32))
        hashed = token_hash(token.text())
        return token if self._store.change_session(session.handle, lambda s: replace(s, pending_hash=hashed)) else None

    def step_up(self, handle: str) -> datetime | None:
        """Note that the password was proven again; until when. The next answer over HTTP carries a new token."""
        until = self._clock.now() + self._config.step_up
        changed = self._store.change_session(handle, lambda s: replace(s, stepped_up_until=until, rotation_due=True))
        return until if changed else None

    def is_stepped_up(self, session: Session) -> bool:
        """Whether the last step-up still holds."""
        until, now = session.stepped_up_until, self._clock.now()
        return until is not None and now < until <= now + self._config.step_up

    def live(self, user: str | None) -> tuple[Session, ...]:
        """Sessions of one person or of all that are still good, newest first."""
        return tuple(session for session in self._store.sessions(user) if self._alive(session))

    def end(self, handle: str) -> bool:
        """End one session; whether there was one."""
        return self._store.end_session(handle)

    def end_all(self, user: str, but: str | None = None) -> int:
        """End every session of a person except handle ``but``; how many."""
        return self._store.end_sessions(user, but)

    def is_in_time(self, session: Session) -> bool:
        """Whether neither idle time nor absolute life of what is known of the session has run out; asks no store."""
        now = self._clock.now()
        # A clock set back by more than a moment makes every age unknown: sign in again.
        sane = session.created_at - timedelta(minutes=5) <= now
        return sane and now < session.expires_at and now - session.last_seen_at < self._config.idle

    def _alive(self, session: Session | None) -> Session | None:
        return session if session is not None and self.is_in_time(session) else None


def token_hash(token: str) -> str:
    """SHA-256 (hex) of a token; 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _confirmed(session: Session, hashed: str) -> Session:
    if session.pending_hash != hashed:
        return session
    return replace(session, token_hash=hashed, pending_hash=None, rotation_due=False)
