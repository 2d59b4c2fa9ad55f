"""Sessions, proof of the password again, and people, attacked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.domain.commands import Role
from engine.domain.errors import AccessDenied, BadInput
from engine.domain.people import Caller
from engine.security.access import WRONG
from engine.security.lockout import TooManyAttempts
from engine.security.sessions import token_hash
from tests.security.door_fakes import HERE, OTHER_PASSWORD, PASSWORD, THERE, Door


def guess(door: Door, name: str, caller: Caller = HERE, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(AccessDenied, match=WRONG):
            door.access.sign_in(name, "not the password", caller)


# --- sessions


def test_ses_01_every_sign_in_has_a_new_token_and_step_up_asks_for_another(door: Door) -> None:
    first, second = door.owner(), door.access.sign_in("owner", PASSWORD, HERE)
    assert first.token != second.token
    door.access.step_up(second.session.handle, PASSWORD)
    session = door.access.identify(second.token.text())
    assert session is not None
    assert session.rotation_due
    fresh = door.access.sessions.rotate(session)
    assert fresh is not None
    assert door.access.identify(second.token.text()) is not None, "the browser may not have the new one yet"
    assert door.access.identify(fresh.text()) is not None
    assert door.access.identify(second.token.text()) is None
    assert door.access.stepped_up(second.session.handle)


def test_ses_03_password_change_ends_every_session(door: Door) -> None:
    old, other = door.owner(), door.access.sign_in("owner", PASSWORD, THERE)
    door.access.change_password(old.session.handle, PASSWORD, OTHER_PASSWORD)
    assert door.access.identify(old.token.text()) is None
    assert door.access.identify(other.token.text()) is None
    with pytest.raises(AccessDenied):
        door.access.sign_in("owner", PASSWORD, HERE)
    door.access.sign_in("owner", OTHER_PASSWORD, HERE)


def test_password_change_when_the_old_one_is_wrong_then_nothing_changes_and_it_counts(door: Door) -> None:
    mine = door.owner()
    for _ in range(5):
        with pytest.raises(AccessDenied):
            door.access.change_password(mine.session.handle, "not the old one", OTHER_PASSWORD)
    with pytest.raises(TooManyAttempts):
        door.access.sign_in("owner", PASSWORD, HERE)
    assert door.access.identify(mine.token.text()) is not None


@pytest.mark.parametrize("new", [PASSWORD, "short"])
def test_password_change_when_the_new_one_is_old_or_weak_then_refused(door: Door, new: str) -> None:
    mine = door.owner()
    with pytest.raises(BadInput):
        door.access.change_password(mine.session.handle, PASSWORD, new)
    assert door.access.identify(mine.token.text()) is not None


def test_ses_03_session_opened_with_the_old_password_during_the_change_is_refused(door: Door) -> None:
    door.owner()
    proven = door.store.user("owner")
    assert proven is not None
    door.access.people.set_password(door.access.local_grant("root"), "owner", OTHER_PASSWORD)
    assert door.access.sessions.open(proven, HERE) is None


def test_ses_04_disabled_person_is_out_at_once(door: Door) -> None:
    door.owner()
    door.add("mate", Role.OPERATOR)
    mate = door.access.sign_in("mate", OTHER_PASSWORD, HERE)
    door.access.people.set_disabled(door.access.local_grant("root"), "mate", True)
    assert door.access.identify(mate.token.text()) is None
    with pytest.raises(AccessDenied):
        door.access.actor(mate.session.handle, "console")
    guess(door, "mate")


@pytest.mark.parametrize(("minutes", "alive"), [(29, True), (31, False)])
def test_ses_05_idle_time_ends_a_session(door: Door, minutes: int, alive: bool) -> None:
    token = door.owner().token.text()
    door.clock.move(minutes=minutes)
    assert (door.access.identify(token) is not None) is alive


def test_ses_06_absolute_life_ends_an_active_session(door: Door) -> None:
    token = door.owner().token.text()
    for _ in range(12 * 3 - 1):
        door.clock.move(minutes=20)
        session = door.access.identify(token)
        assert session is not None
        door.access.sessions.touch(session)
    door.clock.move(minutes=21)
    assert door.access.identify(token) is None


def test_session_when_clock_is_set_back_then_ends(door: Door) -> None:
    token = door.owner().token.text()
    door.clock.move(hours=-2)
    assert door.access.identify(token) is None


def test_ses_07_token_is_stored_only_as_hash_and_forgeries_fail(door: Door) -> None:
    signed_in = door.owner()
    token = signed_in.token.text()
    stored = b"".join(path.read_bytes() for path in door.folder.glob("control.sqlite*"))
    assert token.encode() not in stored
    for forged in ("", "some_key", token[:-1], token + "x", token_hash(token), signed_in.session.handle):
        assert door.access.identify(forged) is None


def test_ses_09_two_people_keep_their_own_roles(door: Door) -> None:
    owner = door.owner()
    door.add("guest", Role.VIEWER)
    guest = door.access.sign_in("guest", OTHER_PASSWORD, HERE)
    assert door.access.actor(owner.session.handle, "console").role is Role.ADMIN
    assert door.access.actor(guest.session.handle, "console").role is Role.VIEWER


def test_revoke_when_own_or_admin_then_ends_it_and_others_may_not(door: Door) -> None:
    owner = door.owner()
    door.add("guest", Role.VIEWER)
    guest = door.access.sign_in("guest", OTHER_PASSWORD, HERE)
    with pytest.raises(BadInput):
        door.access.revoke(guest.session.handle, owner.session.handle)
    door.access.revoke(owner.session.handle, guest.session.handle)
    assert door.access.sessions.check(guest.session.handle) is None
    assert [s.handle for s in door.access.sessions.live(None)] == [owner.session.handle]


def test_sign_out_when_done_then_token_is_dead(door: Door) -> None:
    signed_in = door.owner()
    door.access.sign_out(signed_in.session)
    assert door.access.identify(signed_in.token.text()) is None
    assert door.audit.actions()[-1] == "logout"


# --- step-up and people


def test_step_up_when_right_then_lasts_five_minutes(door: Door) -> None:
    handle = door.owner().session.handle
    with pytest.raises(AccessDenied, match="confirm your password"):
        door.access.people_grant(handle)
    door.access.step_up(handle, PASSWORD)
    door.access.people_grant(handle)
    door.clock.move(minutes=5, seconds=1)
    assert not door.access.stepped_up(handle)
    with pytest.raises(AccessDenied):
        door.access.people_grant(handle)


def test_step_up_when_clock_is_set_back_then_does_not_last_longer(door: Door) -> None:
    handle = door.owner().session.handle
    door.access.step_up(handle, PASSWORD)
    door.clock.move(minutes=-4)
    assert not door.access.stepped_up(handle)


def test_step_up_when_wrong_then_counts_as_a_failure(door: Door) -> None:
    handle = door.owner().session.handle
    for _ in range(5):
        with pytest.raises(AccessDenied, match="the password is wrong"):
            door.access.step_up(handle, "not the password")
    with pytest.raises(TooManyAttempts):
        door.access.step_up(handle, PASSWORD)
    assert door.audit.actions().count("step_up_failed") == 5


def test_people_grant_when_not_admin_then_refused(door: Door) -> None:
    door.owner()
    door.add("mate", Role.OPERATOR)
    mate = door.access.sign_in("mate", OTHER_PASSWORD, HERE)
    door.access.step_up(mate.session.handle, OTHER_PASSWORD)
    with pytest.raises(AccessDenied, match="needs the role admin"):
        door.access.people_grant(mate.session.handle)


def test_ctl_05_last_admin_cannot_be_disabled_or_downgraded(door: Door) -> None:
    door.owner()
    grant = door.access.local_grant("root")
    rows = len(door.audit.rows)
    with pytest.raises(AccessDenied, match="last admin"):
        door.access.people.set_disabled(grant, "owner", True)
    with pytest.raises(AccessDenied, match="last admin"):
        door.access.people.set_role(grant, "OWNER", Role.VIEWER)
    assert len(door.audit.rows) == rows
    door.add("second", Role.ADMIN)
    door.access.people.set_role(grant, "owner", Role.VIEWER)
    with pytest.raises(AccessDenied, match="last admin"):
        door.store.change_user("second", lambda user: replace(user, disabled=True))


def test_role_change_when_done_then_sessions_end(door: Door) -> None:
    door.owner()
    door.add("mate", Role.OPERATOR)
    mate = door.access.sign_in("mate", OTHER_PASSWORD, HERE)
    door.access.people.set_role(door.access.local_grant("root"), "mate", Role.VIEWER)
    assert door.access.identify(mate.token.text()) is None


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", "a-", "x" * 33, "a\n", "ünï", "a/b", "a@b.example", "<b>"])
def test_names_when_odd_then_refused(door: Door, name: str) -> None:
    with pytest.raises(BadInput, match="cannot be a name"):
        door.access.people.prepare(name, Role.VIEWER, PASSWORD)


def test_add_when_name_differs_only_in_case_then_refused(door: Door) -> None:
    door.owner()
    with pytest.raises(BadInput, match="already a person"):
        door.add("Owner", Role.VIEWER)


def test_step_up_when_session_ends_meanwhile_then_refused(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = door.owner().session.handle
    monkeypatch.setattr(door.access.sessions, "step_up", lambda _: None)
    with pytest.raises(AccessDenied, match="signed out"):
        door.access.step_up(handle, PASSWORD)


def test_sign_in_when_disabled_between_check_and_session_then_refused(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.owner()
    monkeypatch.setattr(door.access.sessions, "open", lambda *_: None)
    with pytest.raises(AccessDenied, match=WRONG):
        door.access.sign_in("owner", PASSWORD, HERE)


def test_actor_when_person_is_gone_then_signed_out(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = door.owner().session.handle
    monkeypatch.setattr(door.store, "user", lambda _: None)
    with pytest.raises(AccessDenied, match="signed out"):
        door.access.actor(handle, "console")
    with pytest.raises(BadInput, match="no person"):
        door.access.people.find("owner")
