"""The door in front of the console, attacked."""

from __future__ import annotations

import asyncio
import re

import pytest
from starlette.testclient import TestClient
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect

from engine.api.gate import _limited
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


# --- nothing without a session


@pytest.mark.parametrize(
    "path",
    [
        "/_stcore/health",
        "/_stcore/host-config",
        "/_stcore/metrics",
        "/_stcore/agent/interact",
        "/media/03be4af0.csv",
        "/static/js/index.js",
        "/app/static/x",
        "/stop",
        "/api/v1/estop",
        "/quarterdeck/",
        "/quarterdeck/../data/control.sqlite",
        "/signin/x",
        "/SIGNIN",
        "/api/v1/health/",
        "/.git/config",
    ],
)
def test_ses_13_and_dep_06_without_session_then_401_for_every_path(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 401
    assert answer.json() == {"error": "sign in first"}


def test_page_when_not_signed_in_then_sent_to_sign_in_and_back(host: FakeHost, client: TestClient) -> None:
    host.parts.owner()
    answer = client.get("/wallets", headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/signin?next=/wallets")
    key = form_key(client.get("/signin?next=/wallets").text)
    fields = {"form_key": key, "name": "owner", "password": PASSWORD, "next": "/wallets"}
    assert client.post("/signin", data=fields, headers=dict(ORIGIN)).headers["location"] == "/wallets"


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil", "/a\r\nSet-Cookie: x=y"])
def test_inj_09_sign_in_never_leads_elsewhere(host: FakeHost, client: TestClient, target: str) -> None:
    host.parts.owner()
    key = form_key(client.get("/signin", params={"next": target}).text)
    fields = {"form_key": key, "name": "owner", "password": PASSWORD, "next": target}
    assert client.post("/signin", data=fields, headers=dict(ORIGIN)).headers["location"] == "/"


def test_health_without_session_then_says_no_secret(client: TestClient, host: FakeHost) -> None:
    assert client.get("/api/v1/health").json() == {"live": True, "ready": True, "version": "test"}
    host.live = False
    assert client.get("/api/v1/health").status_code == 503
    host.failure = StorageError("path /secret/place")
    assert client.get("/api/v1/health").json() == {"live": False, "ready": False, "error": "StorageError"}


# --- names and origins


@pytest.mark.parametrize(
    "name", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "a@localhost", "", "[::2]"]
)
def test_dns_rebinding_when_host_is_foreign_then_421(inside: TestClient, name: str) -> None:
    assert inside.get("/", headers={"host": name}).status_code == 421
    with pytest.raises(WebSocketDisconnect), inside.websocket_connect(SOCKET, headers={"host": name}):
        pass


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:8501", "127.0.0.1:1", "[::1]:8501", "localhost."])
def test_host_when_loopback_then_known(client: TestClient, name: str) -> None:
    assert client.get("/api/v1/health", headers={"host": name}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://localhost:9999", "null", "https://localhost:8501", "http://localhost"]
)
def test_ses_10_foreign_origin_when_socket_or_post_then_refused(inside: TestClient, origin: str) -> None:
    assert inside.post("/api/v1/estop", json={}, headers={"origin": origin}).status_code == 403
    with (
        pytest.raises(WebSocketDisconnect) as caught,
        inside.websocket_connect(SOCKET, headers={"origin": origin}),
    ):
        pass
    assert caught.value.code == 1008


def test_ses_10_browser_says_other_site_then_refused_without_origin_too(inside: TestClient) -> None:
    assert inside.post("/api/v1/estop", json={}, headers={"sec-fetch-site": "same-site"}).status_code == 403


def test_api_24_answers_allow_no_foreign_origin(inside: TestClient) -> None:
    answer = inside.get("/", headers={"origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_ses_17_socket_without_session_then_1008_before_it_opens(host: FakeHost, client: TestClient) -> None:
    host.parts.owner()
    with pytest.raises(WebSocketDisconnect) as caught, client.websocket_connect(SOCKET, headers=dict(ORIGIN)):
        pass
    assert caught.value.code == 1008


# --- identity


def test_identity_when_client_claims_one_then_replaced_and_cookie_kept_outside(inside: TestClient) -> None:
    inside.cookies.set("other", "kept", domain="localhost.local", path="/")
    claims = {"x-quarterdeck-user": "admin", "X-Quarterdeck-Session": "forged", "x-quarterdeck-role": "admin"}
    seen = inside.get("/wallets", headers=claims).json()["headers"]
    assert seen["x-quarterdeck-user"] == "owner"
    assert seen["x-quarterdeck-session"] != "forged"
    assert "x-quarterdeck-role" not in seen
    token = inside.cookies["qd"]
    assert token not in str(seen)
    with inside.websocket_connect(SOCKET, headers={**ORIGIN, **claims}) as socket:
        hello = socket.receive_json()
    assert hello["user"] == "owner"
    assert token not in hello["cookie"]


def test_session_cookie_when_sent_twice_then_neither_counts(inside: TestClient) -> None:
    token = inside.cookies["qd"]
    inside.cookies.clear()
    assert inside.get("/stop", headers={"cookie": f"qd={token}"}).status_code == 200
    assert inside.get("/stop", headers={"cookie": f"qd=planted; qd={token}"}).status_code == 401


# --- cookies and headers


def test_ses_16_cookie_flags_on_loopback(host: FakeHost, client: TestClient) -> None:
    host.parts.owner()
    cookie = sign_in(client).headers.get_list("set-cookie")[0]
    assert re.fullmatch(r"qd=[\w-]{43}; HttpOnly; Path=/; SameSite=Strict", cookie)


def test_ses_16_cookie_flags_under_tls(host: FakeHost, client: TestClient) -> None:
    host.door = DoorConfig(tls=True, allowed_hosts=("trade.example",))
    host.parts.owner()
    safe = TestClient(client.app, base_url="https://trade.example", follow_redirects=False)
    page = safe.get("/signin")
    assert page.headers["strict-transport-security"] == "max-age=31536000"
    fields = {"form_key": form_key(page.text), "name": "owner", "password": PASSWORD}
    answer = safe.post("/signin", data=fields, headers={"origin": "https://trade.example"})
    cookie = answer.headers.get_list("set-cookie")[0]
    assert re.fullmatch(r"__Host-qd=[\w-]{43}; HttpOnly; Path=/; SameSite=Strict; Secure", cookie)


@pytest.mark.parametrize("path", ["/", "/signin", "/api/v1/health", "/media/x", "/nothing", "/quarterdeck/style.css"])
def test_ses_15_every_answer_carries_the_headers(inside: TestClient, path: str) -> None:
    for answer in (inside.get(path), inside.get(path, headers={"host": "evil.example"})):
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "server" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/signin", "/media/tax.csv"])
def test_html_and_downloads_when_answered_then_not_kept_by_caches(inside: TestClient, path: str) -> None:
    assert inside.get(path).headers["cache-control"] == "no-store"


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
