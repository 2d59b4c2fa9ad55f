"""The folder of one long job: who asked for what, how far it is, and what came of it, each a small file."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from engine.domain.codec import utc_from_text, utc_text
from engine.domain.errors import BadInput, QuarterdeckError, StorageError
from engine.domain.views import JobState
from engine.storage.record_folder import RecordFolder, recorded

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
_LOG_TAIL_BYTES = 4000
_ORDER, _LIFE, _PROGRESS, _END, _CANCEL, _LOG = (
    "order.json",
    "life.json",
    "progress.json",
    "end.json",
    "cancel",
    "log.txt",
)


class JobCancelled(QuarterdeckError):
    """A person stopped the job; the message says what is left of its work."""


@dataclass(frozen=True, slots=True)
class JobOrder:
    """What a job is to do.

    Attributes
    ----------
    kind : str
        Jobs of one kind run one after the other.
    title : str
        What people call it.
    task : str
        ``module:function`` that the worker calls with the arguments and a `engine.runtime.job_worker.JobWatch`.
    arguments : mapping
        JSON values.
    """

    kind: str
    title: str
    task: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Life:
    """The process that works on a job; ``pid_started`` (seconds since 1970) tells it from a later one of its number."""

    pid: int
    pid_started: float
    started_at: datetime


@dataclass(frozen=True, slots=True)
class End:
    """How a job ended; ``result`` is empty unless it is done."""

    state: JobState
    detail: str
    ended_at: datetime
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Progress:
    """Share done (0 to 1) and the last thing the job said."""

    share: float
    text: str


class JobFolder:
    """Reads and writes the files of one job; each is replaced whole, so that a reader never sees half of one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = RecordFolder(path, "delete the folder of this job")

    @property
    def job_id(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def log(self) -> Path:
        """Where the worker's output goes."""
        return self.path / _LOG

    def write_order(self, order: JobOrder, asked_at: datetime) -> None:
        """Store what is to be done."""
        body = {
            "kind": order.kind,
            "title": order.title,
            "task": order.task,
            "arguments": dict(order.arguments),
            "asked_at": utc_text(asked_at),
        }
        self._write(_ORDER, body)

    def read_order(self) -> tuple[JobOrder, datetime]:
        """What is to be done and when it was asked for; raises `StorageError` where the file is damaged."""
        body = self._files.read(_ORDER)
        if body is None:
            raise StorageError(f"{self.path / _ORDER} is missing; delete the folder")
        try:
            order = JobOrder(str(body["kind"]), str(body["title"]), str(body["task"]), dict(body["arguments"]))
            return order, utc_from_text(body["asked_at"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._files.damaged(_ORDER, error) from error

    def write_life(self, life: Life) -> None:
        """Store which process works on it."""
        started = {"pid": life.pid, "pid_started": life.pid_started, "started_at": utc_text(life.started_at)}
        self._write(_LIFE, started)

    def read_life(self) -> Life | None:
        """The process that works on it, None before it was started."""
        body = self._files.read(_LIFE)
        if body is None:
            return None
        try:
            return Life(int(body["pid"]), float(body["pid_started"]), utc_from_text(body["started_at"]))
        except (KeyError, TypeError, ValueError) as error:
            raise self._files.damaged(_LIFE, error) from error

    def write_progress(self, progress: Progress) -> None:
        """Store how far it is; a disk that is full stops no job."""
        with contextlib.suppress(OSError):
            write_json(self.path / _PROGRESS, {"share": progress.share, "text": progress.text})

    def read_progress(self) -> Progress:
        """How far it is; nothing at first."""
        body = self._files.read(_PROGRESS) or {}
        try:
            return Progress(min(1.0, max(0.0, float(body.get("share", 0.0)))), str(body.get("text", "")))
        except (TypeError, ValueError) as error:
            raise self._files.damaged(_PROGRESS, error) from error

    def write_end(self, end: End) -> None:
        """Store how it ended."""
        body = {
            "state": end.state.value,
            "detail": end.detail,
            "ended_at": utc_text(end.ended_at),
            "result": dict(end.result),
        }
        self._write(_END, body)

    def read_end(self) -> End | None:
        """How it ended, None while it has not."""
        body = self._files.read(_END)
        if body is None:
            return None
        try:
            state = JobState(body["state"])
            return End(state, str(body["detail"]), utc_from_text(body["ended_at"]), dict(body["result"]))
        except (KeyError, TypeError, ValueError) as error:
            raise self._files.damaged(_END, error) from error

    def ask_to_stop(self) -> None:
        """Leave word that the job is not wanted any more."""
        with recorded(self.path):
            (self.path / _CANCEL).touch()

    def is_asked_to_stop(self) -> bool:
        """Whether somebody wants it stopped."""
        return (self.path / _CANCEL).exists()

    def last_words(self) -> str:
        """The last line the worker printed, "" if none: of a crash, the error's own message."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")

    def _write(self, name: str, body: Mapping[str, Any]) -> None:
        with recorded(self.path):
            write_json(self.path / name, body)


def checked_job_id(job_id: str) -> str:
    """The id itself; raises `BadInput` for one that cannot name a folder.

    >>> checked_job_id("c-0f3a")
    'c-0f3a'
    """
    if _JOB_ID.fullmatch(job_id) is None:
        raise BadInput(f"job id {job_id[:80]!r} is not 1 to 80 letters, digits, - and _")
    return job_id


def write_json(path: Path, body: Mapping[str, Any]) -> None:
    """Replace a file by JSON, whole; numbers that JSON does not know (Decimal) become their text."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        temporary.write_text(json.dumps(body, default=str, allow_nan=False), "utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
