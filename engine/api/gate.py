"""The door in front of everything: without a live session only the sign-in pages and the health check answer."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.api.guests import Guest, Guests
from engine.api.headers import PLAIN_POLICY, guarded
from engine.api.ports import HostPort
from engine.api.requests import (
    caller,
    cookie_header,
    cookies,
    form_cookie,
    host_is_known,
    origin_is_own,
    session_cookie,
    without_cookies,
)
from engine.api.socket import watched
from engine.domain.errors import StorageError
from engine.security.door_config import DoorConfig

OPEN_PATHS = frozenset({"/signin", "/first-start", "/api/v1/health", "/quarterdeck/style.css", "/quarterdeck/mark.svg"})
"""What answers without a session."""
USER_HEADER = b"x-quarterdeck-user"
SESSION_HEADER = b"x-quarterdeck-session"
GUEST = "quarterdeck.guest"
"""Place of the `Guest` (or None) in the ASGI scope, for our own routes."""
CALLER = "quarterdeck.caller"
"""Place of the `Caller` in the ASGI scope."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SMALL_BODY = 64 * 1024
_UPLOADS = "/_stcore/upload_file"


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: int
    text: str


class SessionGate:
    """Pure ASGI middleware; must be the outermost.

    It answers for every path, ``/media``, ``/_stcore/*`` and websockets included. It takes away what a client claims
    about its own identity and our cookies, and hands inward the name of the person and the session's handle, never
    its token.
    """

    def __init__(self, app: ASGIApp, host: HostPort) -> None:
        self._app = app
        self._host = host
        self._guests = Guests(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        door, path = self._host.door, str(scope["path"])
        headers = Headers(scope=scope)
        refusal = _refused(scope, headers, door)
        if refusal is not None:
            answer = PlainTextResponse(refusal.text, refusal.status)
            await answer(scope, receive, guarded(send, path, door, []))
            return
        try:
            guest = await self._guest(headers, door)
        except StorageError:
            answer = PlainTextResponse("The session store cannot be read; use the command line to stop.", 503)
            await answer(scope, receive, guarded(send, path, door, []))
            return
        if guest is None and path not in OPEN_PATHS:
            away = _sent_away(scope, headers)
            await away(scope, receive, guarded(send, path, door, []))
            return
        extra = [] if guest is None else await self._kept_alive(guest, door)
        inner = _inward(scope, guest, door)
        await self._app(inner, _limited(receive, _limit(path, door)), guarded(send, path, door, extra))

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        door, headers = self._host.door, Headers(scope=scope)
        guest = None
        if host_is_known(headers, door) and origin_is_own(headers, door):
            try:
                guest = await self._guest(headers, door)
            except StorageError:
                guest = None
        if guest is None:
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "not signed in"})
            return
        await watched(self._app, (_inward(scope, guest, door), receive, send), guest, self._guests)

    async def _guest(self, headers: Headers, door: DoorConfig) -> Guest | None:
        token = cookies(headers).get(session_cookie(door))
        return await run_in_threadpool(self._guests.identify, token) if token else None

    async def _kept_alive(self, guest: Guest, door: DoorConfig) -> list[tuple[bytes, bytes]]:
        """Note the visit; a new token for the browser where the session asks for one."""
        await run_in_threadpool(self._guests.touch, guest)
        if not guest.session.rotation_due:
            return []
        try:
            token = await run_in_threadpool(self._host.access.sessions.rotate, guest.session)
        except StorageError:
            return []
        return [] if token is None else [cookie_header(session_cookie(door), token.text(), door)]


def _refused(scope: Scope, headers: Headers, door: DoorConfig) -> _Refusal | None:
    if not host_is_known(headers, door):
        return _Refusal(421, "This console does not answer to that host name; open it by its own address.")
    if scope["method"] not in _SAFE and not origin_is_own(headers, door):
        return _Refusal(403, "This request came from another site and was refused.")
    limit = _limit(str(scope["path"]), door)
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > limit:
        return _Refusal(413, f"The request is larger than {limit} bytes.")
    return None


def _limit(path: str, door: DoorConfig) -> int:
    """Bytes a request may carry; uploads get some room for the form around the file."""
    return (door.upload_megabytes + 1) * 1024 * 1024 if path.startswith(_UPLOADS) else _SMALL_BODY


def _sent_away(scope: Scope, headers: Headers) -> Response:
    """People are led to the sign-in page, programs get a 401."""
    wants_page = "text/html" in headers.get("accept", "")
    if scope["method"] in ("GET", "HEAD") and wants_page:
        asked = scope.get("query_string", b"").decode("latin-1")
        here = f"{scope['path']}?{asked}" if asked else str(scope["path"])
        target = "/signin" if here == "/" else f"/signin?next={quote(here, safe='/')}"
        return RedirectResponse(target, 303, {"content-security-policy": PLAIN_POLICY, "cache-control": "no-store"})
    return JSONResponse({"error": "sign in first"}, 401, {"content-security-policy": PLAIN_POLICY})


def _inward(scope: Scope, guest: Guest | None, door: DoorConfig) -> Scope:
    """The scope for the code behind the door."""
    raw = [(n, v) for n, v in scope["headers"] if not n.lower().startswith((b"x-quarterdeck-", b"x-forwarded-"))]
    inner: Scope = dict(scope)
    inner[GUEST], inner[CALLER] = guest, caller(scope, door)
    if guest is not None:
        # The sign-in pages read the form cookie; everything else has no business with it.
        hidden = {session_cookie(door)} if scope["path"] in OPEN_PATHS else {session_cookie(door), form_cookie(door)}
        raw = without_cookies(raw, hidden)
        raw += [(USER_HEADER, guest.actor.name.encode()), (SESSION_HEADER, guest.session.handle.encode())]
    inner["headers"] = raw
    return inner


def _limited(receive: Receive, limit: int) -> Receive:
    """A ``receive`` that ends the connection when more arrives than was announced or allowed."""
    seen = 0

    async def receive_within() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > limit:
                return {"type": "http.disconnect"}
        return message

    return receive_within
