"""Every job of a data folder as it is now: found on disk, settled where its process is gone, forgotten in time."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import structlog

from engine.domain.errors import CannotRecord, StorageError
from engine.domain.ports import Clock
from engine.domain.views import JobState, JobView
from engine.runtime.job_files import End, JobFolder, JobOrder, checked_job_id
from engine.runtime.job_processes import JobProcesses
from engine.storage.record_folder import recorded

_log = structlog.get_logger(__name__)
_LEAST_SHARE = 0.01
ENDED = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class _Known:
    """A job with the instant that orders it among the others."""

    view: JobView
    asked_at: datetime


class JobShelf:
    """The folders of all jobs, with what is known of their processes; ``lock`` guards changes, readers need none."""

    def __init__(self, path: Path, clock: Clock, processes: JobProcesses) -> None:
        self._path = path
        self._clock = clock
        self._processes = processes
        self._ended: dict[str, _Known] = {}
        self.lock = threading.RLock()

    def folder(self, job_id: str) -> JobFolder:
        """Where a job lies or would lie; raises `BadInput` for what cannot be an id."""
        return JobFolder(self._path / checked_job_id(job_id))

    def lay_down(self, folder: JobFolder, order: JobOrder, files: Mapping[str, bytes]) -> None:
        """Make the folder of a new job beside its place and move it there whole; raises `CannotRecord`."""
        draft = JobFolder(self._path / f".{uuid4().hex}")
        with recorded(self._path):
            try:
                draft.path.mkdir(mode=0o700, parents=True)
                for name, content in files.items():
                    (draft.path / name).write_bytes(content)
                draft.write_order(order, self._clock.now())
                draft.path.rename(folder.path)
            finally:
                shutil.rmtree(draft.path, ignore_errors=True)

    def view(self, folder: JobFolder) -> JobView | None:
        """One job, None where there is none; a damaged one is FAILED and says so."""
        known = self._look(folder)
        return known.view if known is not None else None

    def views(self) -> list[JobView]:
        """Every job, newest first; raises `StorageError` where the folder cannot be read."""
        try:
            names = [entry.name for entry in os.scandir(self._path) if entry.is_dir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"{self._path} cannot be read: {error.strerror}") from error
        folders = [JobFolder(self._path / name) for name in names if not name.startswith(".")]
        known = [one for one in map(self._look, folders) if one is not None]
        known.sort(key=lambda one: (one.asked_at, one.view.job_id), reverse=True)
        return [one.view for one in known]

    def end(self, folder: JobFolder, state: JobState, detail: str) -> None:
        """Write down how a job ended that could not do so itself."""
        try:
            folder.write_end(End(state, detail, self._clock.now(), {}))
        except CannotRecord as error:
            _log.error("the end of a job cannot be stored", job=folder.job_id, error=str(error))

    def forget(self, job_id: str) -> None:
        """Remove a job that has ended."""
        with self.lock:
            self._ended.pop(job_id, None)
            shutil.rmtree(self.folder(job_id).path, ignore_errors=True)

    def _look(self, folder: JobFolder) -> _Known | None:
        known = self._ended.get(folder.job_id)
        if known is not None:
            return known
        with self.lock:
            if not folder.path.exists():
                return None
            try:
                self._settle(folder)
                order, asked_at = folder.read_order()
                known = _Known(_view(folder, order, asked_at, self._clock.now()), asked_at)
            except StorageError as error:
                return _damaged(folder, error)
            if known.view.state in ENDED:
                self._ended[folder.job_id] = known
        return known

    def _settle(self, folder: JobFolder) -> None:
        """Write down the end of a job whose process is gone without having done so."""
        life = folder.read_life()
        if life is None or folder.read_end() is not None or self._processes.is_alive(folder, life):
            return
        if folder.read_end() is not None:  # it ended between the two looks
            return
        if folder.is_asked_to_stop():
            self.end(folder, JobState.CANCELLED, "stopped; what it had stored stays")
        else:
            self.end(folder, JobState.FAILED, self._processes.cause(folder))


def _damaged(folder: JobFolder, error: StorageError) -> _Known:
    since = datetime.fromtimestamp(folder.path.stat().st_mtime, UTC)
    view = JobView(folder.job_id, "unknown", folder.job_id, JobState.FAILED, 0.0, str(error), since, 0.0, None, "")
    return _Known(view, since)


def _view(folder: JobFolder, order: JobOrder, asked_at: datetime, now: datetime) -> JobView:
    progress, life, end = folder.read_progress(), folder.read_life(), folder.read_end()
    started_at = life.started_at if life is not None else asked_at
    seconds = max(0.0, ((end.ended_at if end is not None else now) - started_at).total_seconds())
    state = end.state if end is not None else JobState.QUEUED if life is None else JobState.RUNNING
    running = state is JobState.RUNNING
    text = end.detail if end is not None else progress.text or ("starting" if running else "waits for its turn")
    return JobView(
        job_id=folder.job_id,
        kind=order.kind,
        title=order.title,
        state=state,
        share=1.0 if state is JobState.DONE else progress.share,
        detail=f"stopping; {text}" if running and folder.is_asked_to_stop() else text,
        started_at=started_at,
        seconds=seconds,
        seconds_left=_seconds_left(seconds, progress.share) if running else None,
        result=json.dumps(end.result) if end is not None and state is JobState.DONE else "",
    )


def _seconds_left(seconds: float, share: float) -> float | None:
    """At the speed so far; None while too little is done to tell."""
    return seconds * (1 - share) / share if share >= _LEAST_SHARE else None
