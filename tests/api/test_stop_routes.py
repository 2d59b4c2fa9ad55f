"""The red button outside the console."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from engine.domain.commands import Role
from engine.domain.errors import CannotRecord
from tests.api.api_fakes import STEPS, FakeHost
from tests.security.door_fakes import OTHER_PASSWORD, PASSWORD

ORIGIN = {"origin": "http://localhost:8501"}


def hidden(text: str) -> dict[str, str]:
    return dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', text))


def enter(client: TestClient, name: str, password: str) -> None:
    fields = hidden(client.get("/signin").text) | {"name": name, "password": password}
    assert client.post("/signin", data=fields, headers=ORIGIN).status_code == 303


@pytest.fixture
def operator(host: FakeHost, client: TestClient) -> TestClient:
    host.parts.owner()
    host.parts.add("mate", Role.OPERATOR)
    enter(client, "mate", OTHER_PASSWORD)
    return client


def test_stop_page_when_pressed_then_asks_once_then_stops_once(host: FakeHost, operator: TestClient) -> None:
    first = operator.get("/stop")
    assert "STOP EVERYTHING" in first.text
    asked = operator.post("/stop", data=hidden(first.text), headers=ORIGIN)
    assert not host.stops
    assert "closed at the market" in asked.text
    fields = hidden(asked.text) | {"reason": "  flash\tcrash "}
    for _ in range(3):
        answer = operator.post("/stop", data=fields, headers=ORIGIN)
        assert (answer.status_code, answer.headers["location"]) == (303, "/stop")
    (actor, reason, _) = host.stops[0]
    assert len(host.stops) == 1
    assert (actor.name, actor.role, reason) == ("mate", Role.OPERATOR, "flash crash")


def test_stop_page_when_stopping_then_says_not_flat_until_proven(host: FakeHost, operator: TestClient) -> None:
    operator.post("/api/v1/estop", json={}, headers=ORIGIN)
    host.steps = 2
    page = operator.get("/stop").text
    assert "NOT FLAT" in page
    assert "VERIFIED FLAT" not in page
    assert 'http-equiv="refresh"' in page
    assert "two open orders at kraken-sim" in page
    assert "&lt;b&gt;twice" in page
    host.steps = len(STEPS)
    page = operator.get("/stop").text
    assert "VERIFIED FLAT" in page
    assert "NOT FLAT" not in page


def test_stop_page_when_form_key_is_wrong_then_nothing_stops(host: FakeHost, operator: TestClient) -> None:
    fields = {"form_key": "forged", "sure": "yes", "command_id": "a" * 32, "reason": "x"}
    assert operator.post("/stop", data=fields, headers=ORIGIN).status_code == 400
    assert not host.stops


def test_ctl_02_viewer_cannot_stop_by_page_or_call(host: FakeHost, client: TestClient) -> None:
    host.parts.owner()
    host.parts.add("guest", Role.VIEWER)
    enter(client, "guest", OTHER_PASSWORD)
    page = client.get("/stop")
    assert "needs the role operator" in page.text
    assert "STOP EVERYTHING" not in page.text
    session = host.access.identify(client.cookies["qd"])
    assert session is not None
    forged = {"form_key": session.form_key, "sure": "yes", "command_id": "a" * 32}
    assert client.post("/stop", data=forged, headers=ORIGIN).status_code == 403
    assert client.post("/api/v1/estop", json={}, headers=ORIGIN).status_code == 403
    assert not host.stops


def test_fault_65_call_when_posted_then_202_with_state_and_same_id_stops_once(
    host: FakeHost, operator: TestClient
) -> None:
    for _ in range(50):
        answer = operator.post("/api/v1/estop", json={"reason": "api", "command_id": "abcdefgh"}, headers=ORIGIN)
    assert answer.status_code == 202
    assert answer.json()["stop_id"] == "stop-1"
    assert answer.json()["status"]["latched"]
    assert [(stop[0].source, stop[2]) for stop in host.stops] == [("api", "abcdefgh")]
    assert operator.get("/api/v1/estop").json()["books"][0]["name"] == "demo"


def test_fault_65_call_without_body_then_stops(host: FakeHost, operator: TestClient) -> None:
    assert operator.post("/api/v1/estop", headers=ORIGIN).status_code == 202
    assert host.stops[0][1] == "stopped by hand"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{", "application/json"),
        (b"[" * 50_000, "application/json"),
        (b"[]", "application/json"),
        (b'{"book": "demo"}', "application/json"),
        (b'{"command_id": "../x"}', "application/json"),
        (b"reason=x", "application/x-www-form-urlencoded"),
        (b"reason=x", "text/plain"),
        (b"\xff\xfe", "application/json"),
    ],
)
def test_api_19_call_when_malformed_then_400(host: FakeHost, operator: TestClient, content: bytes, kind: str) -> None:
    answer = operator.post("/api/v1/estop", content=content, headers={**ORIGIN, "content-type": kind})
    assert answer.status_code == 400
    assert not host.stops


def test_stop_when_it_cannot_be_ordered_then_never_success(host: FakeHost, operator: TestClient) -> None:
    form = hidden(operator.post("/stop", data=hidden(operator.get("/stop").text), headers=ORIGIN).text)
    host.failure = CannotRecord("the disk is full; use the command line")
    answer = operator.post("/stop", data=form | {"reason": "x"}, headers=ORIGIN)
    assert answer.status_code == 503
    assert "NOT STOPPED" in answer.text
    assert operator.post("/api/v1/estop", json={}, headers=ORIGIN).status_code == 503


def test_lgn_10_stop_works_for_a_live_session_while_sign_in_is_locked(host: FakeHost, operator: TestClient) -> None:
    stranger = TestClient(operator.app, base_url="http://localhost:8501", follow_redirects=False)
    for _ in range(6):
        fields = hidden(stranger.get("/signin").text) | {"name": "mate", "password": "not the password"}
        last = stranger.post("/signin", data=fields, headers=ORIGIN)
    assert last.status_code == 429
    assert operator.post("/api/v1/estop", json={}, headers=ORIGIN).status_code == 202


def test_stop_page_when_owner_then_no_step_up_is_needed(host: FakeHost, client: TestClient) -> None:
    host.parts.owner()
    enter(client, "owner", PASSWORD)
    assert client.post("/api/v1/estop", json={}, headers=ORIGIN).status_code == 202
