"""The routes and the gate around a small application that answers like the console would."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from engine.api.app_parts import build
from tests.api.api_fakes import FakeHost

with warnings.catch_warnings():
    # The pinned test tools hold httpx, not the successor this class asks for.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

ADDRESS = "http://localhost:8501"


async def _echo(request: Request) -> Response:
    body = await request.body()
    return JSONResponse({"headers": dict(request.headers), "size": len(body), "path": request.url.path})


async def _page(request: Request) -> Response:
    return Response("<html>", media_type="text/html", headers={"server": "secret/1.0"})


async def _stream(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_json({"user": socket.headers["x-quarterdeck-user"], "cookie": socket.headers.get("cookie", "")})
    async for frame in socket.iter_bytes():
        await socket.send_bytes(b"echo " + frame)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[FakeHost]:
    """A started host with nobody in it."""
    made = FakeHost(tmp_path)
    made.start()
    yield made
    made.stop()


def application(host: FakeHost) -> Starlette:
    """The gate and our routes before a stand-in for the console."""
    routes, middleware = build(host)
    inner = [
        WebSocketRoute("/_stcore/stream", _stream),
        Route("/", _page),
        Route("/{path:path}", _echo, methods=["GET", "POST", "PUT"]),
    ]
    return Starlette(routes=[*routes, *inner], middleware=middleware)


@pytest.fixture
def client(host: FakeHost) -> Iterator[TestClient]:
    """A browser without cookies."""
    with TestClient(application(host), base_url=ADDRESS, follow_redirects=False, client=("127.0.0.1", 5000)) as made:
        yield made
