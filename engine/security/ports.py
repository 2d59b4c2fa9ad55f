"""What access control needs from storage and from the audit trail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from engine.domain.commands import Actor
from engine.domain.people import FailedAttempts, OwnerCode, Session, SignInAttempt, User


class AuditLog(Protocol):
    """The append-only trail of who did what."""

    def append(self, actor: Actor, action: str, target: str, detail: str) -> object:
        """Make the row durable; raises `CannotRecord`, and then the action must not happen."""


class UserStore(Protocol):
    """People; names are compared without regard to case."""

    def user(self, name: str) -> User | None:
        """The person of that name."""

    def users(self) -> tuple[User, ...]:
        """Everyone, by name."""

    def add_user(self, user: User) -> None:
        """Add a person; raises `BadInput` where the name is taken."""

    def change_user(self, name: str, change: Callable[[User], User]) -> User:
        """Change a person in one transaction.

        Raises `BadInput` for an unknown name and `AccessDenied` where no enabled admin would be left.
        """


class OwnerStore(Protocol):
    """The one-time code of the first start."""

    def put_owner_code(self, code: OwnerCode) -> None:
        """Replace the code."""

    def claim_owner(self, code_hash: str, now: datetime, owner: User) -> bool:
        """In one transaction: if nobody exists and the code matches and lives, add the owner and burn the code."""


class SessionStore(Protocol):
    """Live sessions; those of disabled people do not exist."""

    def open_session(self, session: Session, proven_hash: str) -> bool:
        """Store the session only while the person is enabled and ``proven_hash`` is still their password hash."""

    def session(self, handle: str) -> Session | None:
        """By handle."""

    def session_by_token(self, token_hash: str) -> Session | None:
        """By the hash of its token or of its pending token."""

    def sessions(self, user: str | None) -> tuple[Session, ...]:
        """Those of one person or of all, newest first."""

    def change_session(self, handle: str, change: Callable[[Session], Session]) -> Session | None:
        """Change a session in one transaction; None where it has ended."""

    def end_sessions(self, user: str, but: str | None = None) -> int:
        """End every session of a person, except handle ``but``; how many."""

    def end_session(self, handle: str) -> bool:
        """End one session; whether there was one."""


class AttemptStore(Protocol):
    """The sliding windows behind the lockout, kept in the database so that no restart resets them."""

    def reserve_attempt(self, attempt: SignInAttempt, wait_s: Callable[[FailedAttempts], float]) -> tuple[int, float]:
        """Read the windows, judge and count the attempt as failed, in one transaction.

        Returns
        -------
        tuple of int and float
            Number of the attempt and 0.0; or 0 and the seconds to wait, and then nothing was counted.
        """

    def settle_attempt(self, number: int) -> None:
        """The attempt succeeded: forget it and the failures of the same person from the same address."""

    def forget_attempts(self, who: str) -> int:
        """Forget every failure of a person; how many."""


class PeopleStore(UserStore, OwnerStore, SessionStore, AttemptStore, Protocol):
    """Everything above, in one database."""
