"""Routes and middleware for the application, composed around a host."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from engine.api.gate import SessionGate
from engine.api.headers import PLAIN_POLICY
from engine.api.ports import HostPort
from engine.api.signin import SignInPages
from engine.api.stop import StopRoutes
from engine.domain.errors import QuarterdeckError

_ASSETS = Path(__file__).with_name("assets")
_KINDS = {"style.css": "text/css", "mark.svg": "image/svg+xml", "watch.js": "text/javascript"}


def build(host: HostPort) -> tuple[list[BaseRoute], list[Middleware]]:
    """What ``st.App(..., routes=, middleware=)`` takes; the gate is the outermost middleware."""
    routes: list[BaseRoute] = [
        *SignInPages(host).routes(),
        *StopRoutes(host).routes(),
        Route("/overview", _to_the_first_page, methods=["GET"]),
        Route("/api/v1/health", partial(_health, host), methods=["GET"]),
        *(Route(f"/quarterdeck/{name}", partial(_asset, name), methods=["GET"]) for name in _KINDS),
    ]
    return routes, [Middleware(SessionGate, host=host)]


def first_start_notice(host: HostPort, address: str) -> str:
    """What to print in the terminal while there is no account, with a fresh one-time code; "" where there is one."""
    if not host.access.needs_owner():
        return ""
    code = host.access.issue_owner_code()
    line = "─" * 62
    return (
        f"\n  {line}\n   First start. Open {address}/first-start"
        "\n   and make the owner's account with this one-time code:"
        f"\n\n        {code}\n\n   It is good for 24 hours and for one account.\n  {line}\n"
    )


async def _health(host: HostPort, request: Request) -> Response:
    try:
        state = dict(await run_in_threadpool(host.health))
    except QuarterdeckError as error:
        state = {"live": False, "ready": False, "error": type(error).__name__}
    return JSONResponse(state, 200 if state.get("live") else 503, {"content-security-policy": PLAIN_POLICY})


async def _to_the_first_page(request: Request) -> Response:
    """The first page has the root as its address; a bookmark by its name is led there."""
    return RedirectResponse("/", 307)


async def _asset(name: str, request: Request) -> Response:
    headers = {"content-security-policy": PLAIN_POLICY, "cache-control": "public, max-age=300"}
    return FileResponse(_ASSETS / name, media_type=_KINDS[name], headers=headers)
