"""A clock that tests move, a web server that keeps what it is sent, and an alert centre over a real database."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from engine.domain.commands import Actor, Role
from engine.domain.facts import Notice, Severity
from engine.domain.operations_views import AlertRow
from engine.monitoring.alerts import AlertCentre
from engine.monitoring.config import AlertConfig
from engine.security import KEY_STORES
from engine.security.vault import Vault
from engine.storage.alerts import AlertStore
from engine.storage.base import Database
from engine.storage.database_file import DatabaseFile
from engine.storage.migrate import migrate_file

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
PERSON = Actor("ada", Role.OPERATOR, "console")


class StoppedClock:
    """Wall time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - START).total_seconds()

    def move(self, **parts: float) -> None:
        self.at += timedelta(**parts)


def notice(key: str = "demo:brake", severity: Severity = Severity.CRITICAL, title: str = "Emergency brake") -> Notice:
    """Something a book wants people to know, in market time."""
    return Notice(key, severity, title, "drawdown 10.4 % past 10 %", "demo", datetime(2025, 1, 1, tzinfo=UTC))


@dataclass
class Desk:
    """An alert centre, what it stands on, and short ways to look at it."""

    centre: AlertCentre
    store: AlertStore
    vault: Vault
    clock: StoppedClock
    config: AlertConfig
    file: DatabaseFile

    def again(self) -> AlertCentre:
        """A new process over the same files."""
        return AlertCentre(self.store, self.vault, self.clock, self.config)

    def open(self) -> tuple[AlertRow, ...]:
        return self.centre.page(1, 50, open_only=True).rows

    def all(self) -> tuple[AlertRow, ...]:
        return self.centre.page(1, 50, open_only=False).rows

    def one(self, key: str) -> AlertRow:
        """The newest alert of a key."""
        return next(row for row in self.all() if row.key == key)


@contextmanager
def alert_desk(folder: Path, **settings: Any) -> Iterator[Desk]:
    """An alert centre that may tell this computer; daily tests are off unless asked for."""
    migrate_file(Database.CONTROL, folder)
    file = DatabaseFile(folder / "control.sqlite", full_sync=True)
    (folder / "keys").mkdir(mode=0o700)
    vault = Vault(KEY_STORES["file"](folder / "keys"), folder / "keys" / "keyring.json")
    config = AlertConfig(**{"allow_loopback": True, "timeout_s": 2, "test_every_hours": 0, **settings})
    store, clock = AlertStore(file), StoppedClock()
    try:
        yield Desk(AlertCentre(store, vault, clock, config), store, vault, clock, config, file)
    finally:
        file.close()


@dataclass
class Receiver:
    """A web server: what was posted, and how it answers."""

    port: int = 0
    status: int = 204
    location: str = ""
    posted: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook/s3cret-t0ken"

    def titles(self) -> list[str]:
        return [item["title"] for item in self.posted]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Run a `Receiver` on this computer."""
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.paths.append(self.path)
            if kept.status < 300:
                kept.posted.append(json.loads(body))
            self.send_response(kept.status)
            if kept.location:
                self.send_header("Location", kept.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    kept.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


@contextmanager
def raw_server(answer: bytes, hold: bool) -> Iterator[int]:
    """A port that answers these bytes to whoever connects, then closes, or holds the line open; gives the port."""
    listening = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()
    lines: list[socket.socket] = []

    def serve() -> None:
        while not ended.is_set():
            try:
                line, _ = listening.accept()
            except OSError:
                return
            lines.append(line)
            line.recv(65536)
            line.sendall(answer)
            if not hold:
                line.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        ended.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for line in lines:
            line.close()
        thread.join(timeout=5)
