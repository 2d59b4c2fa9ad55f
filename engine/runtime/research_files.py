"""The folder of one backtest: what was asked, its result, its curve, its trades, and what a person noted about it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from engine.domain.codec import utc_from_text, utc_text
from engine.domain.errors import StorageError
from engine.domain.market import FloatArray, IntArray
from engine.domain.research import RunNote
from engine.storage.record_folder import RecordFolder

_REQUEST, _RESULT, _CURVE, _TRADES, _NOTE = "request.json", "result.json", "curve.npz", "trades.jsonl", "note.json"
_TRADE_PARTS = ("trades", "open_trades")
_COLUMNS = ("at_ms", "equity", "drawdown", "hold")


@dataclass(frozen=True, slots=True)
class StoredCurve:
    """Equity and buy-and-hold (the run's currency), drawdown (share, negative) by market time; arrays of one length."""

    at_ms: IntArray
    equity: FloatArray
    drawdown: FloatArray
    hold: FloatArray


class ResearchFolder:
    """Reads and writes the files of one backtest, each whole; ``result.json`` comes last and makes it complete.

    Every writer raises `CannotRecord`, every reader `StorageError` where a file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = RecordFolder(path, "delete this backtest and run it again")

    @property
    def run_id(self) -> str:
        """The folder's name."""
        return self.path.name

    def write_request(self, request: Mapping[str, Any]) -> None:
        """Begin the run."""
        self._files.write(_REQUEST, _json(request))

    def write_result(self, record: Mapping[str, Any], curve: StoredCurve) -> None:
        """Complete the run; trades, open ones last, get a file of their own, so that a list of runs reads none."""
        rest = {name: value for name, value in record.items() if name not in _TRADE_PARTS}
        self._files.write(_CURVE, _curve_bytes(curve))
        self._files.write(_TRADES, _lines([trade for part in _TRADE_PARTS for trade in record.get(part, ())]))
        self._files.write(_RESULT, _json(rest))

    def write_note(self, note: RunNote | None) -> None:
        """Replace the note; None removes it."""
        if note is not None:
            self._files.write(_NOTE, _json({"text": note.text, "by": note.by, "at": utc_text(note.at)}))
        else:
            self._files.remove(_NOTE)

    def request(self) -> dict[str, Any]:
        """What was asked for; empty before the run began."""
        return self._files.read(_REQUEST) or {}

    def result(self) -> dict[str, Any] | None:
        """What came of it without its trades, None while it is not complete."""
        return self._files.read(_RESULT)

    def note(self) -> RunNote | None:
        """What a person wrote about it."""
        body = self._files.read(_NOTE)
        if body is None:
            return None
        try:
            return RunNote(str(body["text"]), str(body["by"]), utc_from_text(body["at"]))
        except (KeyError, TypeError, ValueError) as error:
            raise self.damaged(_NOTE, error) from error

    def started_at(self) -> datetime | None:
        """When its worker began (wall time), None before."""
        text = self.request().get("started_at")
        try:
            return utc_from_text(text) if isinstance(text, str) else None
        except ValueError as error:
            raise self.damaged(_REQUEST, error) from error

    def curve(self) -> StoredCurve:
        """Equity of a complete run."""
        try:
            with np.load(self.path / _CURVE, allow_pickle=False) as arrays:
                columns = [np.asarray(arrays[name]) for name in _COLUMNS]
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise self.damaged(_CURVE, error) from error
        if len({column.shape for column in columns}) != 1 or columns[0].ndim != 1:
            raise self.damaged(_CURVE, ValueError("its columns differ in length"))
        return StoredCurve(columns[0].astype(np.int64), *(column.astype(np.float64) for column in columns[1:]))

    def trades(self) -> list[dict[str, Any]]:
        """Trades of a complete run by exit, open ones last; JSON values."""
        try:
            lines = (self.path / _TRADES).read_text("utf-8").splitlines()
            return [dict(json.loads(line)) for line in lines]
        except (OSError, TypeError, ValueError) as error:
            raise self.damaged(_TRADES, error) from error

    def damaged(self, name: str, error: Exception) -> StorageError:
        """What to say about a file that cannot be read."""
        return self._files.damaged(name, error)


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, allow_nan=False, indent=1).encode()


def _lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(row, allow_nan=False)}\n" for row in rows).encode()


def _curve_bytes(curve: StoredCurve) -> bytes:
    sink = io.BytesIO()
    np.savez_compressed(sink, at_ms=curve.at_ms, equity=curve.equity, drawdown=curve.drawdown, hold=curve.hold)
    return sink.getvalue()
