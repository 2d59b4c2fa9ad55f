"""The served console with the real routes and headers around it, but no sign-in: what a lost server is tried on."""

from __future__ import annotations

import tempfile
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.api.app_parts import build
from engine.api.headers import guarded
from tests.api.api_fakes import FakeHost


class Headers:
    """Adds the headers that the session gate adds, the content policy above all."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        outward = guarded(send, str(scope["path"]), HOST.door, []) if scope["type"] == "http" else send
        await self._app(scope, receive, outward)


HOST = FakeHost(Path(tempfile.gettempdir()))
routes, _ = build(HOST)
app = st.App("served_console.py", routes=routes, middleware=[Middleware(Headers)])
