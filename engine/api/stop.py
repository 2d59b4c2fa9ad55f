"""The red button outside the console: a plain page and a call for programs, both for operators and admins."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from engine.api.forms import FORM_KEY, check_form_key, guest_of, read_form
from engine.api.guests import Guest
from engine.api.html import Field, Form, form, heading, link, message, page, stop_state
from engine.api.ports import HostPort
from engine.domain.commands import Actor, Role
from engine.domain.errors import BadInput, QuarterdeckError

COMMAND_ID = re.compile(r"[0-9A-Za-z-]{8,64}")
_LONGEST_REASON = 200


class StopRoutes:
    """``/stop`` for people, ``/api/v1/estop`` for programs with a session."""

    def __init__(self, host: HostPort) -> None:
        self._host = host

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/stop", self.show, methods=["GET"]),
            Route("/stop", self.press, methods=["POST"]),
            Route("/api/v1/estop", self.status, methods=["GET"]),
            Route("/api/v1/estop", self.call, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The button, or the workflow while a stop is under way; asks again by itself until everything is flat."""
        guest = _guest(request)
        try:
            status = await run_in_threadpool(self._host.stop_status)
        except QuarterdeckError as error:
            return page("Stop", heading("Emergency stop", "") + message(f"{error}.") + _first_step(guest), 503)
        return _state_page(guest, status)

    async def press(self, request: Request) -> Response:
        """First press asks, second press stops."""
        guest = _guest(request)
        try:
            fields = await read_form(request)
            check_form_key(fields, guest.session.form_key)
            if not guest.actor.role.allows(Role.OPERATOR):
                return page("Stop", heading("Emergency stop", "") + message(_needs_operator(guest.actor)), 403)
            if fields.get("sure") != "yes":
                return _confirm_page(guest)
            command_id = _checked_id(fields.get("command_id", ""))
            reason = _checked_reason(fields.get("reason", ""))
            await run_in_threadpool(partial(self._host.post_stop, guest.actor, reason, command_id))
        except BadInput as error:
            return page("Stop", heading("Emergency stop", "") + message(f"{error}.") + _first_step(guest), 400)
        except QuarterdeckError as error:
            body = heading("NOT STOPPED", "The stop could not be ordered.") + message(f"{error}.") + _first_step(guest)
            return page("Stop", body, 503)
        return RedirectResponse("/stop", 303)

    async def status(self, request: Request) -> Response:
        """The workflow's state as JSON."""
        try:
            return JSONResponse(dict(await run_in_threadpool(self._host.stop_status)))
        except QuarterdeckError as error:
            return JSONResponse({"error": str(error)}, 503)

    async def call(self, request: Request) -> Response:
        """Order a stop: ``{"reason": text, "command_id": text}``, both optional; the same id orders one stop."""
        actor = Actor(_guest(request).actor.name, _guest(request).actor.role, "api")
        if not actor.role.allows(Role.OPERATOR):
            return JSONResponse({"error": _needs_operator(actor)}, 403)
        try:
            wanted = await _json(request)
            command_id = _checked_id(str(wanted.get("command_id") or secrets.token_hex(16)))
            reason = _checked_reason(str(wanted.get("reason") or ""))
            stop_id = await run_in_threadpool(partial(self._host.post_stop, actor, reason, command_id))
            state = await run_in_threadpool(self._host.stop_status)
        except BadInput as error:
            return JSONResponse({"error": str(error)}, 400)
        except QuarterdeckError as error:
            return JSONResponse({"error": str(error)}, 503)
        return JSONResponse({"stop_id": stop_id, "command_id": command_id, "status": dict(state)}, 202)


def _guest(request: Request) -> Guest:
    guest = guest_of(request)
    assert guest is not None, "the gate lets only people through"
    return guest


def _first_step(guest: Guest) -> str:
    if not guest.actor.role.allows(Role.OPERATOR):
        return message(_needs_operator(guest.actor), "note")
    return form(Form("/stop", {FORM_KEY: guest.session.form_key}, (), "STOP EVERYTHING", danger=True))


def _confirm_page(guest: Guest) -> Response:
    hidden = {FORM_KEY: guest.session.form_key, "sure": "yes", "command_id": secrets.token_hex(16)}
    reason = Field("reason", "Reason", value="stopped by hand", focus=True)
    body = heading("Stop everything?", "This is the last question.")
    body += (
        '<ul class="facts"><li>New entries are refused at once, in every book.</li>'
        "<li>Every working order of the engine is cancelled at its venue.</li>"
        "<li>Every position the engine opened or adopted is closed at the market.</li>"
        "<li>Nothing trades again until somebody re-arms.</li></ul>"
    )
    body += form(Form("/stop", hidden, (reason,), "Yes, stop and flatten", danger=True))
    return page("Stop everything?", body + link("/stop", "No, go back"))


def _state_page(guest: Guest, status: Mapping[str, Any]) -> Response:
    latched, flat = bool(status.get("latched")), bool(status.get("flat"))
    if not latched:
        body = heading("Emergency stop", "Cancels, flattens and verifies, in every book.") + _first_step(guest)
        return page("Stop", body + stop_state(status) + link("/", "Back to the console"))
    title = "VERIFIED FLAT" if flat else "NOT FLAT"
    line = "Every stopped book is flat." if flat else "The stop is under way; this page follows it."
    body = heading(title, line) + stop_state(status) + _first_step(guest) + link("/", "Back to the console")
    return page(title, body, refresh_s=5 if flat else 2)


def _needs_operator(actor: Actor) -> str:
    return f"stopping needs the role operator or admin; {actor.name} is {actor.role.value}"


def _checked_id(command_id: str) -> str:
    if COMMAND_ID.fullmatch(command_id) is None:
        raise BadInput(f"command_id {command_id[:70]!r} is not 8 to 64 letters, digits or dashes")
    return command_id


def _checked_reason(reason: str) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in reason).split())
    return text[:_LONGEST_REASON] or "stopped by hand"


async def _json(request: Request) -> Mapping[str, Any]:
    body = await request.body()
    if not body:
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise BadInput(f"application/json was expected, not {kind[:60]!r}")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadInput("the body is not JSON") from error
    if not isinstance(content, dict) or set(content) - {"reason", "command_id"}:
        raise BadInput('the body must be {"reason": text, "command_id": text}, both optional')
    return content
