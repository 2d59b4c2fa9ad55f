"""The loopback channel of an engine that runs in a process of its own: snapshots out, wakes and candles on request.

Only who can read the data folder gets in: the door's number and its key lie there in a file that others may not read.
Commands do not come this way: they are durable rows, so that none is lost where the engine is down.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import structlog
from pydantic import BaseModel, ConfigDict

from config.settings import Settings
from engine.domain.errors import BadInput, CannotRecord, QuarterdeckError
from engine.domain.instruments import InstrumentKey
from engine.domain.market import CandleArrays
from engine.domain.portfolio import EngineSnapshot
from engine.domain.ports import Clock
from engine.runtime.engine_port import EnginePort

CHANNEL_FILE = "engine.channel"
LONGEST_WAIT_S = 0.5
_LOOK_EVERY_S = 0.02
_MOST_BYTES = 1_000_000
_log = structlog.get_logger(__name__)


class SnapshotMessage(BaseModel):
    """A snapshot on its way; ``alive`` is whether the loop makes progress."""

    model_config = ConfigDict(ser_json_inf_nan="constants", frozen=True)

    snapshot: EngineSnapshot
    alive: bool


@dataclass(frozen=True, slots=True)
class Door:
    """Where a living engine listens, and the key that opens."""

    port: int
    token: str
    pid: int


def read_door(folder: Path) -> Door | None:
    """The door an engine has left in its data folder; None where there is none, or none that can be read."""
    try:
        values = json.loads((folder / CHANNEL_FILE).read_text(encoding="utf-8"))
        return Door(int(values["port"]), str(values["token"]), int(values["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Channel:
    """Serves one engine to the consoles of this computer.

    Parameters
    ----------
    engine : EnginePort
    folder : Path
        Its data folder.
    clock : Clock
    """

    def __init__(self, engine: EnginePort, folder: Path, clock: Clock) -> None:
        self._path = folder / CHANNEL_FILE
        self._token = secrets.token_urlsafe(32)
        handler = type("BoundHandler", (_Handler,), {"engine": engine, "token": self._token, "clock": clock})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True

    def open(self) -> None:
        """Listen, and leave the door's number; raises `CannotRecord` where that cannot be written."""
        threading.Thread(target=self._server.serve_forever, name="channel", daemon=True).start()
        text = json.dumps({"port": self._server.server_address[1], "token": self._token, "pid": os.getpid()})
        try:
            self._path.unlink(missing_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            text = f"{self._path} cannot be written: {error.strerror}; check the folder's rights"
            raise CannotRecord(text) from error

    def close(self) -> None:
        """Listen no more."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A console that went away in the middle of an answer is worth no traceback."""
        _log.info("a console's connection ended", error=repr(sys.exc_info()[1]))


class _Handler(BaseHTTPRequestHandler):
    """One console's connection."""

    engine: EnginePort
    token: str
    clock: Clock
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        """Questions."""
        self._answer({"/snapshot": self._snapshot, "/history": self._history})

    def do_POST(self) -> None:
        """Requests."""
        self._answer({"/wake": self._wake, "/book": self._book})

    def log_message(self, *_: Any) -> None:
        """Nothing: addresses of this channel are of no use in a log."""

    def _answer(self, places: dict[str, Any]) -> None:
        given = self.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
            self._send(HTTPStatus.FORBIDDEN, b"{}")
            return
        place = places.get(urlsplit(self.path).path)
        if place is None:
            self._send(HTTPStatus.NOT_FOUND, b"{}")
            return
        try:
            self._send(HTTPStatus.OK, place())
        except QuarterdeckError as error:
            body = json.dumps({"error": type(error).__name__, "message": str(error)}).encode()
            self._send(HTTPStatus.CONFLICT, body)
        except (ValueError, KeyError) as error:
            _log.error("channel could not read a request", path=self.path, error=str(error))
            self._send(HTTPStatus.BAD_REQUEST, b"{}")

    def _send(self, status: HTTPStatus, body: bytes) -> None:
        with suppress(OSError):  # the console is gone
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def _query(self, name: str) -> str:
        return parse_qs(urlsplit(self.path).query).get(name, [""])[0]

    def _body(self) -> dict[str, Any]:
        length = int(self.headers.get("Content-Length") or 0)
        if length > _MOST_BYTES:
            raise BadInput(f"a request of {length} bytes; at most {_MOST_BYTES} are taken")
        values: dict[str, Any] = json.loads(self.rfile.read(length) or b"{}")
        return values

    def _snapshot(self) -> bytes:
        """The newest snapshot; waits a moment where it is the one the console has."""
        known, deadline = self._query("after"), self.clock.monotonic() + LONGEST_WAIT_S
        snapshot = self.engine.snapshot()
        while snapshot.published_at.isoformat() == known and self.clock.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S)
            snapshot = self.engine.snapshot()
        message = SnapshotMessage.model_construct(snapshot=snapshot, alive=self.engine.is_alive())
        return message.model_dump_json().encode()

    def _history(self) -> bytes:
        candles = self.engine.history(
            self._query("book"), InstrumentKey(self._query("instrument")), int(self._query("bars"))
        )
        return json.dumps(_columns(candles)).encode()

    def _wake(self) -> bytes:
        self._body()
        self.engine.wake()
        return b"{}"

    def _book(self) -> bytes:
        body = self._body()
        self.engine.switch_book(str(body["book"]), Settings.model_validate(body["settings"]), bool(body["wanted"]))
        return b"{}"


COLUMNS = ("opened_at_ms", "open", "high", "low", "close", "volume")


def _columns(candles: CandleArrays) -> dict[str, Any]:
    columns: dict[str, Any] = {name: getattr(candles, name).tolist() for name in COLUMNS}
    return {"timeframe": str(candles.timeframe), **columns}
