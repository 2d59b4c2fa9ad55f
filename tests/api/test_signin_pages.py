"""Sign-in and first start as a browser sees them."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from engine.api.app_parts import first_start_notice
from engine.domain.commands import Role
from engine.domain.errors import CannotRecord, StorageError
from tests.api.api_fakes import FakeHost
from tests.security.door_fakes import OTHER_PASSWORD, PASSWORD

ORIGIN = {"origin": "http://localhost:8501"}


def drawn(client: TestClient, path: str) -> dict[str, str]:
    """Hidden fields of the form on a page."""
    return dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', client.get(path).text))


def post(client: TestClient, path: str, **fields: str):  # type: ignore[no-untyped-def]
    return client.post(path, data=drawn(client, path) | fields, headers=ORIGIN)


def test_first_start_when_nobody_exists_then_every_way_leads_there(host: FakeHost, client: TestClient) -> None:
    assert client.get("/", headers={"accept": "text/html"}).headers["location"] == "/signin"
    assert client.get("/signin").headers["location"] == "/first-start"


def test_first_start_when_code_is_right_then_signed_in_and_page_is_gone(host: FakeHost, client: TestClient) -> None:
    notice = first_start_notice(host, "http://127.0.0.1:8501")
    match = re.search(r"[A-Z2-9]{5}(?:-[A-Z2-9]{5}){3}", notice)
    assert match
    answer = post(client, "/first-start", code=match[0], name="owner", password=PASSWORD, again=PASSWORD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert client.get("/wallets").json()["headers"]["x-quarterdeck-user"] == "owner"
    client.cookies.clear()
    assert client.get("/first-start").headers["location"] == "/signin"
    assert first_start_notice(host, "http://127.0.0.1:8501") == ""


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"code": "WRONG"}, 401, "That is not the code"),
        ({"password": "short", "again": "short"}, 400, "use 12 to 128"),
        ({"again": "something else"}, 400, "The two passwords differ"),
        ({"name": "a b"}, 400, "cannot be a name"),
    ],
)
def test_first_start_when_something_is_wrong_then_says_what(
    host: FakeHost, client: TestClient, fields: dict[str, str], status: int, words: str
) -> None:
    good = {"code": host.access.issue_owner_code(), "name": "owner", "password": PASSWORD, "again": PASSWORD}
    answer = post(client, "/first-start", **(good | fields))
    assert answer.status_code == status
    assert words in answer.text
    assert PASSWORD not in answer.text
    assert host.access.needs_owner()


def test_lgn_01_and_02_wrong_password_and_unknown_name_look_the_same(host: FakeHost, client: TestClient) -> None:
    host.parts.owner()
    known = post(client, "/signin", name="owner", password="not the password")
    unknown = post(client, "/signin", name="nobody", password="not the password")
    assert known.status_code == unknown.status_code == 401
    assert known.text.replace("owner", "nobody") == unknown.text
    assert "The name or the password is wrong." in known.text
    assert "qd=" not in known.headers["set-cookie"].replace("qd-form=", "")


def test_lgn_07_too_many_then_429_with_retry_after(host: FakeHost, client: TestClient) -> None:
    host.parts.owner()
    for _ in range(5):
        post(client, "/signin", name="owner", password="not the password")
    answer = post(client, "/signin", name="owner", password=PASSWORD)
    assert answer.status_code == 429
    assert 55 <= int(answer.headers["retry-after"]) <= 61
    assert "try again in 6" in answer.text


@pytest.mark.parametrize("key", ["", "forged", None])
def test_csrf_when_form_key_is_wrong_then_not_judged(host: FakeHost, client: TestClient, key: str | None) -> None:
    host.parts.owner()
    fields = drawn(client, "/signin") | {"name": "owner", "password": PASSWORD}
    fields.pop("form_key")
    if key is not None:
        fields["form_key"] = key
    answer = client.post("/signin", data=fields, headers=ORIGIN)
    assert answer.status_code == 400
    assert "send it once more" in answer.text
    again = dict(re.findall(r'name="(form_key)" value="([^"]+)"', answer.text))
    assert client.post("/signin", data=fields | again, headers=ORIGIN).status_code == 303


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"name=a&name=b", "application/x-www-form-urlencoded"),
        (b"\xff=\xff", "application/x-www-form-urlencoded"),
        (b"&".join(b"f%d=1" % n for n in range(30)), "application/x-www-form-urlencoded"),
        (b'{"name": "owner"}', "application/json"),
        (b"", ""),
    ],
)
def test_api_19_form_when_malformed_then_400(host: FakeHost, client: TestClient, body: bytes, kind: str) -> None:
    host.parts.owner()
    answer = client.post("/signin", content=body, headers={**ORIGIN, "content-type": kind})
    assert answer.status_code == 400


def test_inj_02_hostile_text_when_shown_again_then_escaped(host: FakeHost, client: TestClient) -> None:
    host.parts.owner()
    hostile = "\"><img src=x onerror=alert(1)>'"
    answer = post(client, "/signin", name=hostile, password="not the password")
    assert "<img src=x" not in answer.text
    assert "&lt;img src=x onerror" in answer.text


def test_pages_when_drawn_then_no_script_and_a_policy_without_any(host: FakeHost, client: TestClient) -> None:
    host.parts.owner()
    page = client.get("/signin")
    assert "<script" not in page.text
    assert "style=" not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self';")


def test_ses_18_store_is_out_then_page_without_stack_or_path(
    host: FakeHost, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.parts.owner()
    host.audit.failure = CannotRecord("control.sqlite could not be written: the disk is full")
    answer = post(client, "/signin", name="owner", password=PASSWORD)
    assert answer.status_code == 503
    assert "the disk is full" in answer.text
    assert "Traceback" not in answer.text

    def broken(*_: object) -> None:
        raise StorageError("control.sqlite could not be read")

    monkeypatch.setattr(host.parts.store, "users", broken)
    assert client.get("/signin").status_code == 503
    assert client.get("/first-start").status_code == 503


def test_signin_when_already_in_then_goes_on(host: FakeHost, client: TestClient) -> None:
    host.parts.owner()
    post(client, "/signin", name="owner", password=PASSWORD)
    assert client.get("/signin?next=/risk").headers["location"] == "/risk"


def test_ses_09_two_browsers_then_each_sees_itself(host: FakeHost, client: TestClient) -> None:
    host.parts.owner()
    host.parts.add("guest", Role.VIEWER)
    other = TestClient(client.app, base_url="http://localhost:8501", follow_redirects=False)
    post(client, "/signin", name="owner", password=PASSWORD)
    post(other, "/signin", name="guest", password=OTHER_PASSWORD)
    assert client.get("/x").json()["headers"]["x-quarterdeck-user"] == "owner"
    assert other.get("/x").json()["headers"]["x-quarterdeck-user"] == "guest"
