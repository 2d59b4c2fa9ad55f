"""Cuts a live websocket within a second of its session's end, also one on which nothing is said."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnected

from engine.api.frames import is_by_person, is_refused, redirect
from engine.api.guests import Guest, Guests

CHECK_EVERY_S = 0.5
TOUCH_EVERY_S = 30.0
POLICY_VIOLATION = 1008
Connection = tuple[Scope, Receive, Send]


async def watched(app: ASGIApp, connection: Connection, guest: Guest, guests: Guests) -> None:
    """Serve the socket while the session lives; afterwards send the browser to the sign-in page and close."""
    scope, receive, send = connection
    socket = _WatchedSocket(receive, send)
    watch = asyncio.create_task(_watch(socket, guest, guests), name="session-watch")
    try:
        with suppress(WebSocketDisconnected):  # closing what the browser has closed already
            await app(scope, socket.receive, socket.send)
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch


async def _watch(socket: _WatchedSocket, guest: Guest, guests: Guests) -> None:
    touched_at = asyncio.get_running_loop().time()
    while True:
        await asyncio.sleep(CHECK_EVERY_S)
        now = asyncio.get_running_loop().time()
        if socket.person_acted and now - touched_at >= TOUCH_EVERY_S:
            socket.person_acted, touched_at = False, now
            await run_in_threadpool(guests.touch, guest)
        if not await run_in_threadpool(guests.is_live, guest):
            await socket.cut()
            return


class _WatchedSocket:
    """Both directions of a socket with a switch that ends it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._gone = asyncio.Event()
        self._open = False
        self.person_acted = False

    async def receive(self) -> Message:
        """The next message that may pass, or a disconnect once cut."""
        while True:
            message = await self._next()
            frame = message.get("bytes")
            if message["type"] != "websocket.receive" or frame is None:
                return message
            if is_refused(frame):
                continue
            self.person_acted = self.person_acted or is_by_person(frame)
            return message

    async def send(self, message: Message) -> None:
        """Pass a message on; nothing leaves once cut."""
        if self._gone.is_set():
            return
        if message["type"] == "websocket.accept":
            self._open = True
        await self._send(message)

    async def cut(self) -> None:
        """Show the way to the sign-in page, close, and tell the code behind that the browser has left."""
        if self._gone.is_set():
            return
        self._gone.set()
        with suppress(RuntimeError, OSError):
            if self._open:
                await self._send({"type": "websocket.send", "bytes": redirect("/signin?ended=1")})
            await self._send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "signed out"})

    async def _next(self) -> Message:
        if self._gone.is_set():
            return {"type": "websocket.disconnect", "code": POLICY_VIOLATION}
        message = asyncio.ensure_future(self._receive())
        gone = asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait({message, gone}, return_when=asyncio.FIRST_COMPLETED)
            if message.done():
                return message.result()
        finally:
            for task in (message, gone):
                task.cancel()
        return {"type": "websocket.disconnect", "code": POLICY_VIOLATION}
