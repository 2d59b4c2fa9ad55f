"""Who may come in: first start, sign-in, sessions, proof of the password again, and who is asking."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace
from datetime import datetime, timedelta

from engine.domain.commands import Actor, Role
from engine.domain.errors import AccessDenied, BadInput
from engine.domain.people import Caller, OwnerCode, Session, User
from engine.security.access_config import AccessConfig
from engine.security.lockout import Lockout, Reserved, TooManyAttempts
from engine.security.passwords import check_strength
from engine.security.people import People, PeopleGrant, Trail, checked_name, shown
from engine.security.sessions import Sessions, SignedIn

CODE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""No 0, O, 1 or I: the code is read from a terminal."""
WRONG = "the name or the password is wrong"
SIGNED_OUT = "you are signed out; sign in again"


class Access:
    """The one door for people. Thread-safe: all state is in the store.

    Attributes
    ----------
    people : People
        Accounts, for admins.
    sessions : Sessions
        Live sessions.
    """

    def __init__(self, trail: Trail, config: AccessConfig) -> None:
        self._store = trail.store
        self._audit = trail.audit
        self._clock = trail.clock
        self._hasher = trail.hasher
        self._config = config
        self._lockout = Lockout(trail.store, trail.clock, config)
        self._blocked_at: datetime | None = None
        self.sessions = Sessions(trail.store, trail.clock, config)
        self.people = People(trail, self.sessions, self._lockout)

    def needs_owner(self) -> bool:
        """Whether nobody exists yet."""
        return not self._store.users()

    def issue_owner_code(self) -> str:
        """A new one-time code for `create_owner`, for the terminal; the one before is void. Only its hash is kept."""
        if not self.needs_owner():
            raise AccessDenied("there is an account already; sign in, or reset its password on the command line")
        code = "".join(secrets.choice(CODE_LETTERS) for _ in range(20))
        expires_at = self._clock.now() + timedelta(hours=self._config.owner_code_hours)
        self._store.put_owner_code(OwnerCode(_code_hash(code), expires_at))
        return "-".join(code[i : i + 5] for i in range(0, 20, 5))

    def create_owner(self, code: str, name: str, password: str, caller: Caller) -> SignedIn:
        """Make the first account, an admin, and sign it in.

        Raises
        ------
        BadInput, WeakPassword
            The name or the password cannot be used; the code stays good.
        AccessDenied
            The code is wrong, used or older than 24 hours, or somebody exists.
        TooManyAttempts
            Too many wrong codes.
        """
        check_strength(password, (checked_name(name),))
        attempt = self._reserve(self._typed(name), "owner code", caller)
        owner = self.people.prepare(name, Role.ADMIN, password)
        actor = Actor(owner.name, Role.ADMIN, "console")
        if not self._store.claim_owner(_code_hash(code), self._clock.now(), owner):
            self._audit.append(self._typed(name), "owner_code_refused", shown(name), f"from {caller.address}")
            raise AccessDenied(self._why_no_owner(attempt))
        self._lockout.settle(attempt.number)
        self._audit.append(actor, "owner_created", owner.name, f"from {caller.address}")
        return self._open(owner, caller)

    def sign_in(self, name: str, password: str, caller: Caller) -> SignedIn:
        """Check name and password and open a session with a new token.

        Raises
        ------
        AccessDenied
            One message, and one duration, for a wrong password, an unknown name and a disabled person.
        TooManyAttempts
            Not judged; says how long to wait.
        """
        typed = self._typed(name)
        number = self._reserve(typed, name, caller).number
        user = self._store.user(name)
        right = self._hasher.verify(password, user.password_hash if user else None)
        if user is None or user.disabled or not right:
            self._audit.append(typed, "login_failed", typed.name, f"from {caller.address}")
            raise AccessDenied(WRONG)
        self._lockout.settle(number)
        user = self._rehashed(user, password)
        self._audit.append(Actor(user.name, user.role, "console"), "login", user.name, f"from {caller.address}")
        return self._open(user, caller)

    def sign_out(self, session: Session) -> None:
        """End the session; ends it even where the audit trail cannot be written."""
        ended = self.sessions.end(session.handle)
        if ended:
            self._audit.append(self._known(session), "logout", session.user, "")

    def identify(self, token: str) -> Session | None:
        """The live session behind a cookie's token."""
        return self.sessions.identify(token)

    def check(self, handle: str) -> Session:
        """The live session of that handle; raises `AccessDenied`."""
        session = self.sessions.check(handle)
        if session is None:
            raise AccessDenied(SIGNED_OUT)
        return session

    def actor(self, handle: str, source: str) -> Actor:
        """Who is asking, with the role as it is now; raises `AccessDenied`."""
        session = self.check(handle)
        user = self._store.user(session.user)
        if user is None or user.disabled:
            raise AccessDenied(SIGNED_OUT)
        return Actor(user.name, user.role, source)

    def step_up(self, handle: str, password: str) -> datetime:
        """Prove the password again, for re-arming, limits, keys and people.

        Returns
        -------
        datetime
            Until when it counts (wall time).

        Raises
        ------
        AccessDenied
            The password is wrong or the session has ended.
        TooManyAttempts
            Wrong tries count together with those at sign-in.
        """
        session = self.check(handle)
        user = self._proven(session, password, "step_up_failed")
        self._audit.append(Actor(user.name, user.role, "console"), "step_up", user.name, "")
        until = self.sessions.step_up(handle)
        if until is None:
            raise AccessDenied(SIGNED_OUT)
        return until

    def stepped_up(self, handle: str) -> bool:
        """Whether the last step-up of a live session still holds."""
        session = self.sessions.check(handle)
        return session is not None and self.sessions.is_stepped_up(session)

    def people_grant(self, handle: str) -> PeopleGrant:
        """Leave to change people: an admin whose step-up holds; raises `AccessDenied`."""
        actor = self.actor(handle, "console")
        if not actor.role.allows(Role.ADMIN):
            raise AccessDenied(f"changing people needs the role admin; {actor.name} is {actor.role.value}")
        if not self.stepped_up(handle):
            raise AccessDenied("confirm your password first; it then counts for a few minutes")
        return PeopleGrant(actor)

    def local_grant(self, system_user: str) -> PeopleGrant:
        """Leave for the command line: who can write the data folder could change it anyway. Also lifts a lockout."""
        return PeopleGrant(Actor(system_user, Role.ADMIN, "cli"))

    def change_password(self, handle: str, old: str, new: str) -> None:
        """Change one's own password and end every session, this one included: an old cookie opens nothing any more.

        Raises
        ------
        AccessDenied
            The old password is wrong, or the session has ended.
        BadInput, WeakPassword
            The new one is the old one, or too weak; nothing was changed.
        TooManyAttempts
            Wrong old passwords count together with those at sign-in.
        """
        session = self.check(handle)
        user = self._proven(session, old, "password_change_failed")
        if new == old:
            raise BadInput("the new password is the old one; choose another")
        hashed = self.people.hashed(user.name, new)
        actor = Actor(user.name, user.role, "console")
        self._audit.append(actor, "password_changed", user.name, "all sessions end")
        self._store.change_user(user.name, lambda u: replace(u, password_hash=hashed))
        self.sessions.end_all(user.name)

    def revoke(self, handle: str, target: str) -> None:
        """End a session: one's own, or anybody's for an admin; raises `AccessDenied`, `BadInput`."""
        actor = self.actor(handle, "console")
        session = self.sessions.check(target)
        if session is None or (session.user != actor.name and not actor.role.allows(Role.ADMIN)):
            raise BadInput("that session has ended already")
        self.sessions.end(target)
        self._audit.append(actor, "session_revoked", session.user, f"opened from {session.caller.address}")

    def _open(self, user: User, caller: Caller) -> SignedIn:
        signed_in = self.sessions.open(user, caller)
        if signed_in is None:
            raise AccessDenied(WRONG)
        return signed_in

    def _proven(self, session: Session, password: str, failure: str) -> User:
        user = self._store.user(session.user)
        typed = self._known(session)
        number = self._reserve(typed, session.user, session.caller).number
        if user is None or not self._hasher.verify(password, user.password_hash):
            self._audit.append(typed, failure, session.user, f"from {session.caller.address}")
            raise AccessDenied("the password is wrong")
        self._lockout.settle(number)
        return user

    def _why_no_owner(self, attempt: Reserved) -> str:
        if not self.needs_owner():
            return "somebody has made the owner's account meanwhile; sign in with it"
        left = attempt.tries_left
        tries = "1 more try" if left == 1 else f"{left} more tries"
        after = f"{tries} before you have to wait" if left else "Now you have to wait"
        return (
            f"that is not the code, or it is older than {self._config.owner_code_hours} hours. It stands in the "
            f"terminal where the console was started; a restart prints a new one and voids the old. {after}"
        )

    def _reserve(self, typed: Actor, name: str, caller: Caller) -> Reserved:
        try:
            return self._lockout.reserve(name, caller)
        except TooManyAttempts as refusal:
            now = self._clock.now()
            # One row a minute: a flood of refused tries must not fill the audit trail.
            if self._blocked_at is None or now - self._blocked_at >= timedelta(minutes=1):
                self._blocked_at = now
                self._audit.append(typed, "login_blocked", typed.name, f"from {caller.address}: {refusal}")
            raise

    def _rehashed(self, user: User, password: str) -> User:
        if not self._hasher.is_outdated(user.password_hash):
            return user
        hashed, old = self._hasher.hash(password), user.password_hash
        return self._store.change_user(
            user.name, lambda u: replace(u, password_hash=hashed) if u.password_hash == old else u
        )

    def _typed(self, name: str) -> Actor:
        return Actor(shown(name), Role.VIEWER, "console")

    def _known(self, session: Session) -> Actor:
        user = self._store.user(session.user)
        return Actor(session.user, user.role if user else Role.VIEWER, "console")


def _code_hash(code: str) -> str:
    letters = "".join(c for c in code.upper() if c.isalnum())
    return hashlib.sha256(letters.encode()).hexdigest()
