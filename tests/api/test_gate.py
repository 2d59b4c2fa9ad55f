"""The door in front of the console, attacked."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from engine.domain.errors import StorageError
from engine.security.door_config import DoorConfig
from tests.api.api_fakes import FakeHost
from tests.security.door_fakes import PASSWORD

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


@pytest.mark.parametrize(("page", "there"), [("/wallets", "/wallets"), ("/risk?book=live", "/risk%3Fbook%3Dlive")])
def test_page_when_not_signed_in_then_sent_to_sign_in_and_back(
    host: FakeHost, client: TestClient, page: str, there: str
) -> None:
    host.parts.owner()
    answer = client.get(page, headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/signin?next={there}")
    key = form_key(client.get(answer.headers["location"]).text)
    fields = {"form_key": key, "name": "owner", "password": PASSWORD, "next": page}
    assert client.post("/signin", data=fields, headers=dict(ORIGIN)).headers["location"] == page


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


@pytest.mark.parametrize("planted", ['"quoted"', "ünï", "short", "x" * 65, "a" * 30 + "\x01"])
def test_form_cookie_when_planted_then_replaced_and_never_echoed(
    host: FakeHost, client: TestClient, planted: str
) -> None:
    host.parts.owner()
    answer = client.get("/signin", headers={"cookie": f"qd-form={planted}".encode()})
    assert answer.status_code == 200
    assert re.match(r"qd-form=[\w-]{32}; ", answer.headers["set-cookie"])
