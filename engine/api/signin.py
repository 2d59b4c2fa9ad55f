"""Sign-in, first start and sign-out: plain pages of our own in front of the console."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.api.forms import (
    FORM_KEY,
    Desk,
    browser_key,
    caller_of,
    check_form_key,
    guest_of,
    local_path,
    read_form,
)
from engine.api.html import Field, Form, form, heading, link, message, page
from engine.api.ports import HostPort
from engine.api.requests import cookie_header, form_cookie, session_cookie
from engine.domain.errors import AccessDenied, BadInput, QuarterdeckError, StorageError
from engine.security.lockout import TooManyAttempts
from engine.security.sessions import SignedIn

ENDED = "you were signed out; sign in to go on"


class SignInPages:
    """The routes; ``host.access`` does the work."""

    def __init__(self, host: HostPort) -> None:
        self._host = host
        self._desk = Desk()

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/signin", self.show_signin, methods=["GET"]),
            Route("/signin", self.sign_in, methods=["POST"]),
            Route("/first-start", self.show_first_start, methods=["GET"]),
            Route("/first-start", self.first_start, methods=["POST"]),
            Route("/signout", self.show_signout, methods=["GET"]),
            Route("/signout", self.sign_out, methods=["POST"]),
        ]

    async def show_signin(self, request: Request) -> Response:
        """The sign-in form; elsewhere where it is not needed."""
        target = local_path(request.query_params.get("next", "/"))
        if guest_of(request) is not None:
            return RedirectResponse(target, 303)
        try:
            if await run_in_threadpool(self._host.access.needs_owner):
                return RedirectResponse("/first-start", 303)
        except StorageError as error:
            return self._drawn(request, _signin_page(target, "", error))
        note = message(ENDED, "note") if "ended" in request.query_params else ""
        return self._drawn(request, _signin_page(target, "", None, note))

    async def sign_in(self, request: Request) -> Response:
        """Check name and password."""
        name, target = "", "/"
        try:
            fields = await read_form(request)
            name, target = fields.get("name", ""), local_path(fields.get("next", "/"))
            check_form_key(fields, browser_key(request, self._host.door))
            password, caller = fields.get("password", ""), caller_of(request)
            signed_in = await self._desk.run(partial(self._host.access.sign_in, name, password, caller))
        except QuarterdeckError as error:
            return self._drawn(request, _signin_page(target, name, error))
        return await self._entered(request, signed_in, target)

    async def show_first_start(self, request: Request) -> Response:
        """The form for the first account, while there is none."""
        try:
            needed = await run_in_threadpool(self._host.access.needs_owner)
        except StorageError as error:
            return self._drawn(request, _owner_page("", "", error))
        return self._drawn(request, _owner_page("", "", None)) if needed else RedirectResponse("/signin", 303)

    async def first_start(self, request: Request) -> Response:
        """Make the first account."""
        code = name = ""
        try:
            fields = await read_form(request)
            code, name, password = (fields.get(key, "") for key in ("code", "name", "password"))
            check_form_key(fields, browser_key(request, self._host.door))
            if password != fields.get("again", ""):
                raise BadInput("the two passwords differ; type the same one twice")
            make = partial(self._host.access.create_owner, code, name, password, caller_of(request))
            signed_in = await self._desk.run(make)
        except QuarterdeckError as error:
            return self._drawn(request, _owner_page(code, name, error))
        return await self._entered(request, signed_in, "/")

    async def show_signout(self, request: Request) -> Response:
        """One question, so that no link from elsewhere can sign anybody out."""
        guest = guest_of(request)
        assert guest is not None, "the gate lets only people through"
        question = Form("/signout", {FORM_KEY: guest.session.form_key}, (), "Sign out")
        line = f"You are signed in as {guest.actor.name}. The engine goes on trading after you leave."
        return page("Sign out", heading("Sign out?", line) + form(question) + link("/", "Back to the console"))

    async def sign_out(self, request: Request) -> Response:
        """End the session."""
        guest = guest_of(request)
        assert guest is not None, "the gate lets only people through"
        try:
            check_form_key(await read_form(request), guest.session.form_key)
            await run_in_threadpool(self._host.access.sign_out, guest.session)
        except StorageError as error:
            return page("Sign out", heading("Sign out", "Something went wrong.") + message(str(error)), 503)
        except BadInput:
            return RedirectResponse("/signout", 303)
        gone = RedirectResponse("/signin?ended=1", 303)
        gone.raw_headers.append(cookie_header(session_cookie(self._host.door), "", self._host.door, max_age_s=0))
        return gone

    async def _entered(self, request: Request, signed_in: SignedIn, target: str) -> Response:
        """Into the console with a new token; a session this browser had before ends."""
        door, old = self._host.door, guest_of(request)
        if old is not None:
            await run_in_threadpool(self._host.access.sign_out, old.session)
        inside = RedirectResponse(target, 303)
        inside.raw_headers.append(cookie_header(session_cookie(door), signed_in.token.text(), door))
        inside.raw_headers.append(cookie_header(form_cookie(door), "", door, max_age_s=0))
        return inside

    def _drawn(self, request: Request, draw: Callable[[str], Response]) -> Response:
        """A page with a form, tied to this browser by a cookie."""
        key = browser_key(request, self._host.door) or secrets.token_urlsafe(24)
        answer = draw(key)
        answer.raw_headers.append(cookie_header(form_cookie(self._host.door), key, self._host.door))
        return answer


def _signin_page(target: str, name: str, error: QuarterdeckError | None, note: str = "") -> Callable[[str], Response]:
    def draw(key: str) -> Response:
        fields = (
            Field("name", "Name", auto="username", value=name[:64], focus=not name),
            Field("password", "Password", "password", "current-password", focus=bool(name)),
        )
        body = heading("Quarterdeck", "Sign in to the console") + (message(_words(error)) or note)
        body += form(Form("/signin", {FORM_KEY: key, "next": target}, fields, "Sign in"))
        body += '<p class="aside">Forgotten? <code>python -m engine users reset NAME</code> on the machine itself.</p>'
        return _with_retry(page("Sign in", body, _status(error)), error)

    return draw


def _owner_page(code: str, name: str, error: QuarterdeckError | None) -> Callable[[str], Response]:
    def draw(key: str) -> Response:
        fields = (
            Field("code", "One-time code", value=code[:64], hint="Printed in the terminal that runs the console."),
            Field("name", "Your name", auto="username", value=name[:64], hint="Letters, digits, dots and dashes."),
            Field(
                "password",
                "Password",
                "password",
                "new-password",
                hint="At least 12 characters. A few unrelated words are best.",
            ),
            Field("again", "Password again", "password", "new-password"),
        )
        body = heading("Welcome aboard", "Make the owner's account") + message(_words(error))
        body += form(Form("/first-start", {FORM_KEY: key}, fields, "Create account"))
        return _with_retry(page("First start", body, _status(error)), error)

    return draw


def _words(error: QuarterdeckError | None) -> str:
    return "" if error is None else f"{error}."


def _status(error: QuarterdeckError | None) -> int:
    if error is None:
        return 200
    kinds = ((TooManyAttempts, 429), (AccessDenied, 401), (BadInput, 400))
    return next((status for kind, status in kinds if isinstance(error, kind)), 503)


def _with_retry(answer: Response, error: QuarterdeckError | None) -> Response:
    if isinstance(error, TooManyAttempts):
        answer.headers["retry-after"] = str(error.retry_after_s)
    return answer
