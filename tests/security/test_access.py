"""First start, sign-in and lockout, attacked."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import bcrypt
import pytest

from engine.domain.commands import Role
from engine.domain.errors import AccessDenied, CannotRecord
from engine.domain.people import Caller, SignInAttempt
from engine.security import passwords
from engine.security.access import WRONG
from engine.security.lockout import TooManyAttempts
from engine.security.passwords import WeakPassword
from tests.security.door_fakes import HERE, OTHER_PASSWORD, PASSWORD, THERE, Door, MovableClock, open_door


def guess(door: Door, name: str, caller: Caller = HERE, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(AccessDenied, match=WRONG):
            door.access.sign_in(name, "not the password", caller)


# --- first start


def test_owner_code_when_used_once_then_makes_an_admin_and_is_burnt(door: Door) -> None:
    code = door.access.issue_owner_code()
    signed_in = door.access.create_owner(code.lower().replace("-", " "), "owner", PASSWORD, HERE)
    assert door.access.actor(signed_in.session.handle, "console").role is Role.ADMIN
    with pytest.raises(AccessDenied, match="somebody has made the owner's account meanwhile"):
        door.access.create_owner(code, "second", OTHER_PASSWORD, HERE)
    with pytest.raises(AccessDenied, match="there is an account already"):
        door.access.issue_owner_code()


def test_owner_code_when_older_than_24_hours_then_refused(door: Door) -> None:
    code = door.access.issue_owner_code()
    door.clock.move(hours=24, seconds=1)
    with pytest.raises(AccessDenied):
        door.access.create_owner(code, "owner", PASSWORD, HERE)
    assert door.access.needs_owner()


def test_owner_code_when_wrong_then_says_where_it_is_and_how_many_tries_are_left(door: Door) -> None:
    code = door.access.issue_owner_code()
    for left in ("4 more tries", "3 more tries", "2 more tries", "1 more try", "Now you have to wait"):
        with pytest.raises(AccessDenied, match=f"in the terminal where the console was started.*{left}"):
            door.access.create_owner("WRONG", "owner", PASSWORD, HERE)
    with pytest.raises(TooManyAttempts):
        door.access.create_owner(code, "owner", PASSWORD, HERE)


def test_owner_code_when_wrong_before_then_the_right_one_still_works(door: Door) -> None:
    code = door.access.issue_owner_code()
    with pytest.raises(AccessDenied):
        door.access.create_owner("WRONG", "owner", PASSWORD, HERE)
    assert door.access.create_owner(code, "owner", PASSWORD, HERE).session.user == "owner"


def test_owner_code_when_password_is_weak_then_code_stays_good(door: Door) -> None:
    code = door.access.issue_owner_code()
    with pytest.raises(WeakPassword):
        door.access.create_owner(code, "owner", "password1234", HERE)
    door.access.create_owner(code, "owner", PASSWORD, HERE)


def test_owner_code_when_two_race_then_one_owner(door: Door) -> None:
    code = door.access.issue_owner_code()

    def claim(name: str) -> bool:
        try:
            door.access.create_owner(code, name, PASSWORD, HERE)
        except AccessDenied:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(claim, ["a1", "b1", "c1", "d1"])) == 1
    assert len(door.access.people.all()) == 1


def test_owner_code_when_stored_then_only_as_hash(door: Door) -> None:
    code = door.access.issue_owner_code().replace("-", "")
    assert code.encode() not in b"".join(p.read_bytes() for p in door.folder.glob("control.sqlite*"))


# --- sign-in


def test_lgn_01_wrong_password_then_generic_refusal_and_audit_row_without_it(door: Door) -> None:
    door.owner()
    with pytest.raises(AccessDenied, match=f"^{WRONG}$"):
        door.access.sign_in("owner", "hunter2 hunter2", THERE)
    actor, action, target, detail = door.audit.rows[-1]
    assert (action, target, actor.name) == ("login_failed", "owner", "owner")
    assert THERE.address in detail
    assert "hunter2" not in repr(door.audit.rows)


def test_lgn_02_unknown_user_then_same_message_and_same_work(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    door.owner()
    matches, costs = passwords._argon_matches, []

    def counted(text: str, stored: str) -> bool:
        found = matches(text, stored)  # it ran, it was not only named
        costs.append(stored.split("$")[1:4])
        return found

    guess(door, "nobody")  # the first unknown name also makes the hash it is compared with
    monkeypatch.setattr(passwords, "_argon_matches", counted)
    guess(door, "owner")
    guess(door, "nobody")
    assert len(costs) == 2
    assert costs[0] == costs[1]


def test_lgn_04_new_browser_does_not_reset_the_counter(door: Door) -> None:
    door.owner()
    guess(door, "owner", times=5)
    with pytest.raises(TooManyAttempts):
        door.access.sign_in("owner", PASSWORD, replace(HERE, agent="fresh browser"))


def test_lgn_05_restart_does_not_reset_the_counter(tmp_path: Path) -> None:
    clock = MovableClock()
    with open_door(tmp_path, clock=clock) as door:
        door.owner()
        guess(door, "owner", times=5)
    with open_door(tmp_path, clock=clock) as again, pytest.raises(TooManyAttempts):
        again.access.sign_in("owner", PASSWORD, HERE)


def test_lgn_05_delays_grow_expire_and_end_with_the_right_password(door: Door) -> None:
    door.owner()
    guess(door, "owner", times=5)
    waits = []
    for _ in range(7):
        with pytest.raises(TooManyAttempts) as caught:
            door.access.sign_in("owner", "not the password", HERE)
        waits.append(caught.value.retry_after_s)
        door.clock.move(seconds=caught.value.retry_after_s)
        guess(door, "owner")
    assert [round(wait, -1) for wait in waits] == [60, 120, 240, 480, 900, 900, 900]
    door.clock.move(minutes=16)
    door.access.sign_in("owner", PASSWORD, HERE)
    guess(door, "owner", times=4)
    door.access.sign_in("owner", PASSWORD, HERE)


def test_lgn_06_parallel_wrong_passwords_are_counted_exactly(door: Door) -> None:
    door.owner()
    start = threading.Barrier(12)

    def attempt(_: int) -> str:
        start.wait()
        try:
            door.access.sign_in("owner", "not the password", HERE)
        except TooManyAttempts:
            return "blocked"
        except AccessDenied:
            return "wrong"
        return "in"

    with ThreadPoolExecutor(12) as pool:
        results = list(pool.map(attempt, range(12)))
    assert (results.count("wrong"), results.count("blocked")) == (5, 7)


def test_lgn_07_spraying_from_one_address_is_blocked_and_said_once_a_minute(door: Door) -> None:
    door.owner()
    outcomes = []
    for number in range(40):
        with pytest.raises(AccessDenied) as caught:
            door.access.sign_in(f"user{number}", "not the password", THERE)
        outcomes.append(isinstance(caught.value, TooManyAttempts))
    assert outcomes.index(True) == 20
    assert all(outcomes[20:])
    assert door.audit.actions().count("login_blocked") == 1


def test_lgn_07_guessing_from_everywhere_is_blocked_but_not_on_loopback(door: Door) -> None:
    door.owner()
    for number in range(100):
        door.store.reserve_attempt(SignInAttempt(str(number), f"198.51.100.{number}", door.clock.now()), lambda _: 0.0)
    with pytest.raises(TooManyAttempts):
        door.access.sign_in("owner", PASSWORD, THERE)
    door.access.sign_in("owner", PASSWORD, HERE)


def test_lgn_10_attacker_elsewhere_does_not_lock_the_owner_out(door: Door) -> None:
    session = door.owner().session
    guess(door, "owner", THERE, times=5)
    with pytest.raises(TooManyAttempts):
        door.access.sign_in("owner", PASSWORD, THERE)
    door.access.sign_in("owner", PASSWORD, HERE)
    assert door.access.actor(session.handle, "console").name == "owner"


def test_lgn_10_command_line_unlocks(door: Door) -> None:
    door.owner()
    guess(door, "owner", times=5)
    assert door.access.people.unlock(door.access.local_grant("root"), "owner") == 5
    door.access.sign_in("owner", PASSWORD, HERE)
    guess(door, "owner", times=5)
    door.access.people.set_password(door.access.local_grant("root"), "owner", OTHER_PASSWORD)
    door.access.sign_in("owner", OTHER_PASSWORD, HERE)


def test_lgn_11_passwords_that_differ_after_72_bytes_are_different(door: Door) -> None:
    base = ("quiet river " * 7)[:72]
    grant = door.access.local_grant("root")
    door.owner()
    door.access.people.add(grant, "long", Role.VIEWER, base + "b")
    with pytest.raises(AccessDenied):
        door.access.sign_in("long", base + "c", HERE)
    door.access.sign_in("long", base + "b", HERE)


@pytest.mark.parametrize(
    "name", ["admin'--", "' OR 1=1 --", '"; DROP TABLE people;--', "o\x00wner", "\ud800", "x" * 9999]
)
def test_lgn_16_hostile_names_are_plain_failures(door: Door, name: str) -> None:
    door.owner()
    guess(door, name)
    assert [user.name for user in door.access.people.all()] == ["owner"]


@pytest.mark.parametrize("kind", ["bcrypt cost 4", "pbkdf2 1000"])
def test_lgn_17_weak_hash_lets_in_once_and_is_replaced(door: Door, kind: str) -> None:
    door.owner()
    if kind.startswith("bcrypt"):
        weak = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    else:
        weak = "pbkdf2_sha256$1000$salt$" + hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), b"salt", 1000).hex()
    door.store.change_user("owner", lambda user: replace(user, password_hash=weak))
    guess(door, "owner")
    door.access.sign_in("owner", PASSWORD, HERE)
    stored = door.store.user("owner")
    assert stored is not None
    assert stored.password_hash.startswith("$argon2id$v=19$m=19456,t=2,")
    door.access.sign_in("owner", PASSWORD, HERE)


def test_sign_in_when_audit_cannot_be_written_then_refused(door: Door) -> None:
    door.owner()
    door.audit.failure = CannotRecord("disk full")
    with pytest.raises(CannotRecord):
        door.access.sign_in("owner", PASSWORD, HERE)
    assert len(door.access.sessions.live("owner")) == 1
