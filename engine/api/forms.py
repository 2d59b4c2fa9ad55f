"""Reads forms of our own pages and refuses those that were not drawn for this browser."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import parse_qsl

from anyio import CapacityLimiter, to_thread
from starlette.requests import ClientDisconnect, Request

from engine.api.gate import CALLER, GUEST
from engine.api.guests import Guest
from engine.api.requests import cookies, form_cookie
from engine.domain.errors import BadInput
from engine.domain.people import Caller
from engine.security.door_config import DoorConfig

FORM_KEY = "form_key"
_KEY = re.compile(r"[A-Za-z0-9_-]{24,64}")
Result = TypeVar("Result")


class FormExpired(BadInput):
    """The form's key is missing or belongs to another browser or session."""


def guest_of(request: Request) -> Guest | None:
    """Who is signed in, as the gate found out."""
    guest = request.scope[GUEST]
    return guest if isinstance(guest, Guest) else None


def caller_of(request: Request) -> Caller:
    """Where the request comes from, as the gate found out."""
    found = request.scope[CALLER]
    assert isinstance(found, Caller), "the session gate must be in front"
    return found


async def read_form(request: Request) -> dict[str, str]:
    """Fields of a URL-encoded form, at most 20 of them, each once; raises `BadInput`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise BadInput(f"a form was expected, not {kind[:60]!r}; use the page")
    try:
        body = await request.body()
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20, errors="strict")
    except (ValueError, ClientDisconnect) as error:
        raise BadInput("the form could not be read; open the page again") from error
    if len({name for name, _ in fields}) != len(fields):
        raise BadInput("the form names a field twice; open the page again")
    return dict(fields)


def check_form_key(fields: Mapping[str, str], expected: str) -> None:
    """Raise `FormExpired` unless the form carries the key it was drawn with."""
    given = fields.get(FORM_KEY, "")
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        raise FormExpired("this form has expired; it was filled in again for you, please send it once more")


def browser_key(request: Request, door: DoorConfig) -> str:
    """Key of forms drawn for a browser that has no session yet; "" where the cookie is missing or not ours."""
    key = cookies(request.headers).get(form_cookie(door), "")
    return key if _KEY.fullmatch(key) else ""


def local_path(target: str) -> str:
    """Where to go after signing in: a path of this console, or its start page for anything else.

    Examples
    --------
    >>> local_path("/wallets"), local_path("//evil.example"), local_path("https://evil.example"), local_path("/a\\\\b")
    ('/wallets', '/', '/', '/')
    """
    plain = target.startswith("/") and not target.startswith("//") and target.isprintable() and "\\" not in target
    return target if plain and len(target) < 200 and " " not in target else "/"


class Desk:
    """Threads of its own for slow, guessable work, so that a flood of sign-ins cannot hold up everybody else."""

    def __init__(self, places: int = 4) -> None:
        self._places = places
        self._limiter: CapacityLimiter | None = None

    async def run(self, work: Callable[[], Result]) -> Result:
        """The result of ``work``, done in one of the threads; its errors are raised here."""
        if self._limiter is None:
            self._limiter = CapacityLimiter(self._places)
        return await to_thread.run_sync(work, limiter=self._limiter)
