"""Turns a cookie into the person behind it, and remembers the last answer for when the store cannot be asked."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from engine.api.ports import HostPort
from engine.domain.commands import Actor
from engine.domain.errors import AccessDenied, StorageError
from engine.domain.people import Session
from engine.security.sessions import token_hash

_MOST = 256
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Guest:
    """A signed-in person on one request."""

    session: Session
    actor: Actor


class Guests:
    """Asks access control; blocking, call it from a thread.

    While the store is out, a session that was good before is believed until its idle time ends: the red button must
    work then. A cookie never seen before is not.
    """

    def __init__(self, host: HostPort) -> None:
        self._host = host
        self._seen: dict[str, Guest] = {}

    def identify(self, token: str) -> Guest | None:
        """The person behind a cookie's token, or None; raises `StorageError` where neither store nor memory knows."""
        key = token_hash(token)
        try:
            session = self._host.access.identify(token)
            guest = None if session is None else self._guest(session)
        except StorageError as error:
            return self._remembered(key, error)
        self._remember(key, guest)
        return guest

    def is_live(self, guest: Guest) -> bool:
        """Whether the session still lives."""
        try:
            return self._guest(guest.session) is not None
        except StorageError as error:
            _LOG.warning("session_check_failed", extra={"error": str(error)})
            return self._host.access.sessions.is_in_time(guest.session)

    def touch(self, guest: Guest) -> None:
        """A person acted; a failure to note it ends nothing."""
        try:
            self._host.access.sessions.touch(guest.session)
        except StorageError as error:
            _LOG.warning("session_touch_failed", extra={"error": str(error)})

    def _guest(self, session: Session) -> Guest | None:
        try:
            return Guest(session, self._host.access.actor(session.handle, "console"))
        except AccessDenied:
            return None

    def _remember(self, key: str, guest: Guest | None) -> None:
        self._seen.pop(key, None)
        if guest is not None:
            self._seen[key] = guest
        while len(self._seen) > _MOST:
            self._seen.pop(next(iter(self._seen)), None)

    def _remembered(self, key: str, error: StorageError) -> Guest:
        guest = self._seen.get(key)
        if guest is None or not self._host.access.sessions.is_in_time(guest.session):
            raise error
        _LOG.warning("session_from_memory", extra={"error": str(error)})
        return guest
