"""Adding, changing and removing people: by an admin with a fresh password proof, or from the command line."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace

from engine.domain.commands import Actor, Role
from engine.domain.errors import AccessDenied, BadInput
from engine.domain.people import User
from engine.domain.ports import Clock
from engine.security.lockout import Lockout
from engine.security.passwords import PasswordHasher, check_strength
from engine.security.ports import AuditLog, PeopleStore
from engine.security.sessions import Sessions

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,30}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Trail:
    """What every change of people needs: where it is stored, where it is written down, and when it happened."""

    store: PeopleStore
    audit: AuditLog
    clock: Clock
    hasher: PasswordHasher


@dataclass(frozen=True, slots=True)
class PeopleGrant:
    """Proof that ``actor`` may change people; made by `Access.people_grant` or `Access.local_grant`."""

    actor: Actor


class People:
    """The accounts. Every change is written to the audit trail first, and ends the sessions it must end."""

    def __init__(self, trail: Trail, sessions: Sessions, lockout: Lockout) -> None:
        self._store = trail.store
        self._audit = trail.audit
        self._clock = trail.clock
        self._hasher = trail.hasher
        self._sessions = sessions
        self._lockout = lockout

    def all(self) -> tuple[User, ...]:
        """Everyone, by name."""
        return self._store.users()

    def find(self, name: str) -> User:
        """The person of that name; raises `BadInput`."""
        user = self._store.user(name)
        if user is None:
            raise BadInput(f"no person is called {shown(name)!r}; choose one of the existing people")
        return user

    def prepare(self, name: str, role: Role, password: str) -> User:
        """A checked person with a hashed password, not stored yet; raises `BadInput`, `WeakPassword`."""
        return User(checked_name(name), role, self.hashed(name, password), False, self._clock.now())

    def hashed(self, name: str, password: str) -> str:
        """Hash of a password that is good enough for the person of that name; raises `WeakPassword`."""
        check_strength(password, (name,))
        return self._hasher.hash(password)

    def add(self, grant: PeopleGrant, name: str, role: Role, password: str) -> User:
        """Add a person; raises `BadInput` where the name is taken or unfit, `WeakPassword`."""
        if self._store.user(name) is not None:
            raise BadInput(f"there is already a person called {shown(name)!r}; choose another name")
        user = self.prepare(name, role, password)
        self._audit.append(grant.actor, "user_added", user.name, f"role {role.value}")
        self._store.add_user(user)
        return user

    def set_role(self, grant: PeopleGrant, name: str, role: Role) -> None:
        """Change a role and end the person's sessions; raises `AccessDenied` for the last enabled admin."""
        user = self.find(name)
        self._keep_an_admin(user, loses_it=role is not Role.ADMIN)
        self._audit.append(grant.actor, "user_role_changed", user.name, f"{user.role.value} to {role.value}")
        self._store.change_user(user.name, lambda u: replace(u, role=role))
        self._sessions.end_all(user.name)

    def set_disabled(self, grant: PeopleGrant, name: str, disabled: bool) -> None:
        """Keep a person out or let them in again; raises `AccessDenied` for the last enabled admin."""
        user = self.find(name)
        self._keep_an_admin(user, loses_it=disabled)
        self._audit.append(grant.actor, "user_disabled" if disabled else "user_enabled", user.name, "")
        self._store.change_user(user.name, lambda u: replace(u, disabled=disabled))
        if disabled:
            self._sessions.end_all(user.name)

    def set_password(self, grant: PeopleGrant, name: str, password: str) -> None:
        """Give a person a new password, end all their sessions and lift their lockout; raises `WeakPassword`."""
        user = self.find(name)
        hashed = self.hashed(user.name, password)
        self._audit.append(grant.actor, "password_reset", user.name, "all sessions end")
        self._store.change_user(user.name, lambda u: replace(u, password_hash=hashed))
        self._sessions.end_all(user.name)
        self._lockout.forgive(user.name)

    def unlock(self, grant: PeopleGrant, name: str) -> int:
        """Lift a person's lockout; how many failures were forgotten."""
        self._audit.append(grant.actor, "lockout_lifted", shown(name), "")
        return self._lockout.forgive(name)

    def _keep_an_admin(self, user: User, loses_it: bool) -> None:
        """Refuse before the audit row is written; the store asks again inside its transaction."""
        admins = [u.name for u in self._store.users() if u.role is Role.ADMIN and not u.disabled]
        if loses_it and admins == [user.name]:
            raise AccessDenied(f"{user.name} is the last admin; make somebody else an admin first")


def checked_name(name: str) -> str:
    """A name of 1 to 32 letters, digits, dots, dashes or underscores; raises `BadInput`."""
    if _NAME.fullmatch(name) is None:
        raise BadInput(
            f"{shown(name)!r} cannot be a name; use 1 to 32 letters, digits, dots, dashes or underscores, "
            "beginning and ending with a letter or digit"
        )
    return name


def shown(name: str) -> str:
    """What was typed as a name, fit for a message or the audit trail: at most 32 printable characters.

    Examples
    --------
    >>> shown("eve" + chr(10) + "fake row")
    'eve?fake?row'
    """
    printable = "".join("?" if unicodedata.category(c)[0] in "CZ" else c for c in name[:33])
    return printable if len(printable) <= 32 else printable[:31] + "…"
