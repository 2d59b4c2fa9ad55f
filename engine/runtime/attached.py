"""An engine in another process, as a console sees it: its newest snapshot, and within two seconds that it is gone."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import structlog

from config.settings import Settings
from engine.domain import errors
from engine.domain.commands import TradingState
from engine.domain.errors import AlreadyRunning, BadInput, EngineError, NotRunning, QuarterdeckError
from engine.domain.instruments import InstrumentKey
from engine.domain.market import CandleArrays, Timeframe
from engine.domain.portfolio import EngineSnapshot
from engine.domain.ports import Clock
from engine.exchanges.steady import Steady
from engine.runtime.channel import COLUMNS, LONGEST_WAIT_S, Door, SnapshotMessage, read_door
from engine.storage.lock import FolderLock, holder
from engine.storage.migrate import migrate
from engine.storage.restore import check_at_start

GONE_AFTER_S = 1.5
"""Seconds without a word after which the engine counts as gone; a page then says so within two."""
_ANSWER_WITHIN_S = 1.0
_LONG_ANSWER_S = 60.0
_TRY_AGAIN_S = 0.2
_log = structlog.get_logger(__name__)


def prepare_folder(folder: Path) -> None:
    """Check and migrate what lies in a data folder, unless a living engine has done so.

    Raises
    ------
    QuarterdeckError
        What prevents its use, with the way out.
    """
    try:
        with FolderLock(folder):
            check_at_start(folder)
            migrate(folder)
    except AlreadyRunning:
        return


def engine_is_elsewhere(settings: Settings) -> bool:
    """Whether a console is to attach: by setting, or because an engine with a channel owns the data folder."""
    folder = settings.data_dir
    return settings.engine.apart or (read_door(folder) is not None and holder(folder) is not None)


class AttachedEngine:
    """Follows the engine of a data folder; it may die and come back, this stays.

    Parameters
    ----------
    settings : Settings
    clock : Clock
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self._folder: Path = settings.data_dir
        self._clock = clock
        self._ending = threading.Event()
        self._newest: EngineSnapshot | None = None
        self._heard_at = float("-inf")
        self._alive = False
        self._is_shut = False
        self._why = "no engine has been started in this data folder yet"
        self._first = threading.Event()

    def start(self, patience_s: float) -> None:
        """Begin to follow; waits at most ``patience_s`` for the first word, and goes on without one."""
        Steady("attached", self._follow, self._ending, self._stumbled).start()
        self._first.wait(patience_s)

    def stop(self) -> None:
        """Let go of the engine, which trades on."""
        self._ending.set()

    # -- the port -------------------------------------------------------------------------------------------------

    def snapshot(self) -> EngineSnapshot:
        """The newest word of the engine, however old; raises `NotRunning` where there was none yet."""
        if self._newest is None:
            raise NotRunning(f"{self._why}; start it with: python -m engine run")
        return self._newest

    def is_alive(self) -> bool:
        """Whether it was heard just now, and its loop makes progress."""
        return self._alive and not self._is_shut and self._clock.monotonic() - self._heard_at < GONE_AFTER_S

    def absence(self) -> str:
        """Why nobody trades now; "" while the engine answers."""
        if self.is_alive():
            return ""
        silent_s = self._clock.monotonic() - self._heard_at
        if self._newest is None:
            return self._why
        if self._is_shut:
            return f"the engine has ended: {self._why}"
        if silent_s < GONE_AFTER_S:
            return "the engine answers, and its loop makes no progress"
        return f"the engine has not been heard for {silent_s:.0f} s: {self._why}"

    def state(self) -> TradingState:
        """The most restrictive state of all books, as last told."""
        states = [book.state for book in self.snapshot().books]
        return max(states, key=lambda state: state.severity, default=TradingState.ACTIVE)

    def wake(self) -> None:
        """Ask it to look for commands at once; it does within a moment even where this does not reach it."""
        threading.Thread(target=self._wake, name="wake", daemon=True).start()

    def history(self, book: str, instrument: InstrumentKey, bars: int) -> CandleArrays:
        """The last closed candles of a book's market."""
        query = urlencode({"book": book, "instrument": instrument, "bars": bars})
        values = self._request("GET", f"/history?{query}")
        columns = [np.asarray(values[name], dtype=np.int64 if name == "opened_at_ms" else float) for name in COLUMNS]
        return CandleArrays(Timeframe.parse(values["timeframe"]), *columns)

    def switch_book(self, book: str, settings: Settings, wanted: bool) -> None:
        """Add or remove a book that can be switched."""
        body = {"book": book, "settings": settings.model_dump(mode="json"), "wanted": wanted}
        self._request("POST", "/book", body, _LONG_ANSWER_S)
        self.settings = settings

    # -- the wire -------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """As long as one engine answers."""
        door = read_door(self._folder)
        if door is None:
            self._lost("no engine runs in this data folder")
            return
        connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=_ANSWER_WITHIN_S)
        try:
            while not self._ending.is_set():
                self._hear(connection, door)
        except ConnectionRefusedError:  # its door is shut: that needs no waiting to be believed
            self._is_shut = True
            self._lost(f"process {door.pid} is gone, nothing listens at its door")
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._lost(f"process {door.pid} does not answer ({type(error).__name__})")
        except QuarterdeckError as error:
            self._lost(str(error))
        finally:
            connection.close()

    def _hear(self, connection: http.client.HTTPConnection, door: Door) -> None:
        known = self._newest.published_at.isoformat() if self._newest is not None else ""
        text = _exchange(connection, door, "GET", f"/snapshot?{urlencode({'after': known})}", b"")
        message = SnapshotMessage.model_validate_json(text)
        self._newest, self._alive, self._heard_at = message.snapshot, message.alive, self._clock.monotonic()
        self._is_shut = False
        self._first.set()
        if message.snapshot.published_at.isoformat() == known:
            self._ending.wait(LONGEST_WAIT_S / 10)

    def _stumbled(self, words: str) -> None:
        self._why = f"the console could not follow it: {words}"

    def _lost(self, why: str) -> None:
        self._why = why
        self._ending.wait(_TRY_AGAIN_S)

    def _wake(self) -> None:
        try:
            self._request("POST", "/wake")
        except QuarterdeckError as error:
            _log.info("engine could not be woken; it looks for commands by itself", error=str(error))

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, patience_s: float = _ANSWER_WITHIN_S * 5
    ) -> dict[str, Any]:
        door = read_door(self._folder)
        if door is None:
            raise NotRunning("no engine runs in this data folder; start it with: python -m engine run")
        connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=patience_s)
        try:
            text = _exchange(connection, door, method, path, json.dumps(body or {}).encode())
            values: dict[str, Any] = json.loads(text)
            return values
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise EngineError(f"the engine (process {door.pid}) did not answer: {type(error).__name__}") from error
        finally:
            connection.close()


def _exchange(connection: http.client.HTTPConnection, door: Door, method: str, path: str, body: bytes) -> bytes:
    connection.request(method, path, body or None, {"Authorization": f"Bearer {door.token}"})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status == http.client.OK:
        return text
    if answer.status == http.client.CONFLICT:
        values = json.loads(text)
        raise _error_named(values["error"])(values["message"])
    raise EngineError(f"the engine (process {door.pid}) refused: {answer.status}")


def _error_named(name: str) -> Callable[[str], QuarterdeckError]:
    """The error of ours that the engine raised."""
    kind = getattr(errors, name, None)
    return kind if isinstance(kind, type) and issubclass(kind, QuarterdeckError) else BadInput
