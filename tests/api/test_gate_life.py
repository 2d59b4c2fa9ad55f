"""Sessions, sockets, sizes and outages at the door."""

from __future__ import annotations

import asyncio
import re

import pytest
from starlette.datastructures import Headers
from starlette.testclient import TestClient
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect

from engine.api.gate import _limited
from engine.api.guests import Guests
from engine.api.requests import host_is_known
from engine.domain.commands import Role
from engine.domain.errors import StorageError
from engine.security.door_config import DoorConfig
from tests.api.api_fakes import FakeHost
from tests.security.door_fakes import OTHER_PASSWORD, PASSWORD

SOCKET = "ws://localhost:8501/_stcore/stream"
ORIGIN = {"origin": "http://localhost:8501"}


def form_key(text: str) -> str:
    match = re.search(r'name="form_key" value="([^"]+)"', text)
    assert match, text
    return match[1]


def sign_in(client: TestClient, name: str = "owner", password: str = PASSWORD):  # type: ignore[no-untyped-def]
    key = form_key(client.get("/signin").text)
    return client.post("/signin", data={"form_key": key, "name": name, "password": password}, headers=dict(ORIGIN))


@pytest.fixture
def inside(host: FakeHost, client: TestClient) -> TestClient:
    """A browser in which the owner is signed in."""
    host.parts.owner()
    assert sign_in(client).status_code == 303
    return client


# --- session life


def test_ses_01_sign_in_replaces_a_planted_cookie(host: FakeHost, client: TestClient) -> None:
    host.parts.owner()
    client.cookies.set("qd", "planted", domain="localhost.local", path="/")
    answer = sign_in(client)
    assert "planted" not in answer.headers["set-cookie"]


def test_ses_01_second_sign_in_ends_the_first_session_of_the_browser(host: FakeHost, inside: TestClient) -> None:
    first = host.access.identify(inside.cookies["qd"])
    assert first is not None
    key = secrets_cookie(inside)
    fields = {"form_key": key, "name": "owner", "password": PASSWORD}
    assert inside.post("/signin", data=fields, headers=dict(ORIGIN)).status_code == 303
    assert host.access.sessions.check(first.handle) is None
    assert inside.get("/stop").status_code == 200


def secrets_cookie(client: TestClient) -> str:
    """Plant a form cookie as the sign-in page would."""
    client.cookies.set("qd-form", "form-key-of-this-browser", domain="localhost.local", path="/")
    return "form-key-of-this-browser"


def test_ses_01_step_up_when_done_then_next_answer_carries_a_new_token(host: FakeHost, inside: TestClient) -> None:
    old = inside.cookies["qd"]
    session = host.access.identify(old)
    assert session is not None
    host.access.step_up(session.handle, PASSWORD)
    assert inside.get("/wallets").status_code == 200
    new = inside.cookies["qd"]
    assert new != old
    assert inside.get("/wallets").status_code == 200
    assert inside.get("/wallets", headers={"cookie": f"qd={old}"}).json() == {"error": "sign in first"}


def test_ses_05_idle_session_when_too_old_then_out(host: FakeHost, inside: TestClient) -> None:
    host.clock.move(minutes=29)
    assert inside.get("/wallets").status_code == 200
    host.clock.move(minutes=29)
    assert inside.get("/wallets").status_code == 200
    host.clock.move(minutes=31)
    assert inside.get("/wallets").status_code == 401


def test_signout_when_pressed_then_session_ends_everywhere(host: FakeHost, inside: TestClient) -> None:
    token = inside.cookies["qd"]
    key = form_key(inside.get("/signout").text)
    answer = inside.post("/signout", data={"form_key": key}, headers=dict(ORIGIN))
    assert answer.headers["location"] == "/signin?ended=1"
    assert host.access.identify(token) is None
    assert inside.get("/wallets").status_code == 401
    assert "You were signed out" in inside.get("/signin?ended=1").text


def test_signout_when_form_key_is_missing_then_nothing_ends(host: FakeHost, inside: TestClient) -> None:
    assert inside.post("/signout", data={}, headers=dict(ORIGIN)).headers["location"] == "/signout"
    assert host.access.identify(inside.cookies["qd"]) is not None


# --- sockets


@pytest.mark.parametrize("way", ["revoked", "password", "disabled", "idle"])
def test_socket_when_session_ends_then_led_to_sign_in_and_cut(host: FakeHost, inside: TestClient, way: str) -> None:
    grant = host.access.local_grant("root")
    with inside.websocket_connect(SOCKET, headers=dict(ORIGIN)) as socket:
        socket.receive_json()
        socket.send_bytes(b"\x5a\x00")
        assert socket.receive_bytes() == b"echo \x5a\x00"
        if way == "revoked":
            host.access.sessions.end_all("owner")
        elif way == "password":
            host.access.people.set_password(grant, "owner", OTHER_PASSWORD)
        elif way == "disabled":
            host.access.people.add(grant, "second", Role.ADMIN, OTHER_PASSWORD)
            host.access.people.set_disabled(grant, "owner", True)
        else:
            host.clock.move(minutes=31)
        assert b"/signin?ended=1" in socket.receive_bytes()
        with pytest.raises(WebSocketDisconnect) as caught:
            socket.receive_bytes()
    assert caught.value.code == 1008


def test_socket_when_it_asks_to_clear_the_cache_then_frame_is_dropped(inside: TestClient) -> None:
    with inside.websocket_connect(SOCKET, headers=dict(ORIGIN)) as socket:
        socket.receive_json()
        socket.send_bytes(b"\x28\x01")
        socket.send_bytes(b"\x5a\x00")
        assert socket.receive_bytes() == b"echo \x5a\x00"


# --- sizes and outages


def test_api_19_body_when_too_large_then_413_announced_or_not(inside: TestClient) -> None:
    assert inside.post("/wallets", content=b"x" * 70_000, headers=dict(ORIGIN)).status_code == 413
    upload = "/_stcore/upload_file/a/b"
    assert inside.put(upload, content=b"x" * 70_000, headers=dict(ORIGIN)).json()["size"] == 70_000
    assert inside.put(upload, headers={**ORIGIN, "content-length": str(300 * 2**20)}).status_code == 413
    assert inside.post("/wallets", headers={**ORIGIN, "content-length": "-1"}).status_code == 413


def test_body_when_longer_than_announced_then_connection_ends(host: FakeHost) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"x" * 60, "more_body": True}

    async def read() -> list[str]:
        return [(await limited())["type"] for _ in range(2)]

    limited = _limited(receive, 100)
    assert asyncio.run(read()) == ["http.request", "http.disconnect"]


def test_ctl_04_store_is_out_then_known_session_can_still_stop(
    host: FakeHost, inside: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert inside.get("/stop").status_code == 200

    def broken(*_: object) -> None:
        raise StorageError("control.sqlite could not be read")

    monkeypatch.setattr(host.parts.store, "session_by_token", broken)
    monkeypatch.setattr(host.parts.store, "session", broken)
    monkeypatch.setattr(host.parts.store, "change_session", broken)
    assert inside.post("/api/v1/estop", json={"reason": "outage"}, headers=dict(ORIGIN)).status_code == 202
    assert host.stops[0][1] == "outage"
    stranger = inside.get("/stop", headers={"cookie": "qd=unknown"})
    assert stranger.status_code == 503


def test_lgn_08_spoofed_addresses_share_one_counter(host: FakeHost, client: TestClient) -> None:
    host.parts.owner()
    codes = []
    for number in range(7):
        key = form_key(client.get("/signin").text)
        fields = {"form_key": key, "name": "owner", "password": "not the password"}
        forwarded = {**ORIGIN, "x-forwarded-for": f"1.2.3.{number}"}
        codes.append(client.post("/signin", data=fields, headers=forwarded).status_code)
    assert codes == [401] * 5 + [429] * 2
    assert {row[3].split(":")[0] for row in host.audit.rows if row[1] == "login_failed"} == {"from forwarded"}


def test_guest_when_store_fails_during_a_socket_then_stays_until_its_time_is_over(
    host: FakeHost, inside: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    guests = Guests(host)
    guest = guests.identify(inside.cookies["qd"])
    assert guest is not None

    def broken(*_: object) -> None:
        raise StorageError("control.sqlite could not be read")

    for name in ("session", "session_by_token", "change_session"):
        monkeypatch.setattr(host.parts.store, name, broken)
    host.clock.move(minutes=5)
    guests.touch(guest)
    assert guests.is_live(guest)
    assert guests.identify(inside.cookies["qd"]) == guest
    host.clock.move(minutes=26)
    assert not guests.is_live(guest)
    with pytest.raises(StorageError):
        guests.identify(inside.cookies["qd"])


def test_guests_when_many_then_memory_is_bounded(host: FakeHost, inside: TestClient) -> None:
    guests = Guests(host)
    guest = guests.identify(inside.cookies["qd"])
    for number in range(1000):
        guests._remember(str(number), guest)
    assert len(guests._seen) == 256


@pytest.mark.parametrize("hosts", [[], ["localhost", "evil.example"], ["localhost:port"], ["localhost/x"]])
def test_host_header_when_missing_double_or_odd_then_unknown(hosts: list[str]) -> None:
    headers = Headers(raw=[(b"host", host.encode()) for host in hosts])
    assert not host_is_known(headers, DoorConfig())
