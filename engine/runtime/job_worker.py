"""The process that does one long job: saying how far it is, stopping when asked. `job_start` begins it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.domain.errors import QuarterdeckError, StorageError
from engine.domain.ports import Clock
from engine.domain.views import JobState
from engine.runtime.clock import SystemClock
from engine.runtime.job_files import End, JobCancelled, JobFolder, Progress
from engine.storage.candle_import import ImportCancelled

_TELL_EVERY_S = 0.2
_ASK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """What a task hands back: a sentence for people and JSON values for pages."""

    detail: str
    result: Mapping[str, Any] = field(default_factory=dict)


class JobWatch:
    """What a task sees of the people who wait for it; ``clock`` dates what it records.

    Parameters
    ----------
    folder : JobFolder
    clock : Clock, optional
        Wall time of this computer by default: a worker is a process of its own.
    """

    def __init__(self, folder: JobFolder, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self._folder = folder
        self._told_at = self._asked_at = float("-inf")
        self._stop = False
        self._parent = os.getppid()

    @property
    def files(self) -> Path:
        """The job's own folder: what came with the order lies there; removed with the job."""
        return self._folder.path

    def progress(self, share: float, text: str) -> None:
        """Say how far the job is (0 to 1); told at most five times a second, so it may be called often."""
        now = self.clock.monotonic()
        if now - self._told_at >= _TELL_EVERY_S:
            self._told_at = now
            self._folder.write_progress(Progress(share, text))

    def cancelled(self) -> bool:
        """Whether somebody wants the job stopped; may be called often."""
        now = self.clock.monotonic()
        if not self._stop and now - self._asked_at >= _ASK_EVERY_S:
            self._asked_at = now
            self._stop = self._folder.is_asked_to_stop()
        return self._stop

    def unattended(self) -> bool:
        """Whether the console that started the job has ended meanwhile."""
        return os.getppid() != self._parent


Task = Callable[[Mapping[str, Any], JobWatch], JobOutcome]
"""A module-level function that a worker can find again by its name."""


def task_name(task: Task) -> str:
    """``module:function`` of a module-level function."""
    name: str = getattr(task, "__qualname__", "")
    assert name.isidentifier(), f"{task} is not a function of a module"
    return f"{task.__module__}:{name}"


def find_task(name: str) -> Task:
    """The function of that name; raises `StorageError` where there is none (an order of another version)."""
    module, _, function = name.partition(":")
    try:
        task: Task = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise StorageError(f"this version knows no work called {name!r}; ask for it again") from error
    return task


def work(folder: JobFolder, name: str) -> JobState:
    """Do the job and store how it ended. An error that is not ours ends the process; its last words are the reason."""
    watch = JobWatch(folder)
    try:
        order, _ = folder.read_order()
        outcome = find_task(name)(order.arguments, watch)
        end = End(JobState.DONE, outcome.detail, watch.clock.now(), outcome.result)
    except (JobCancelled, ImportCancelled) as error:
        end = End(JobState.CANCELLED, str(error), watch.clock.now(), {})
    except QuarterdeckError as error:
        end = End(JobState.FAILED, str(error), watch.clock.now(), {})
    folder.write_end(end)
    return end.state


def main(arguments: Sequence[str]) -> int:
    """Exit status 0 whenever the end was stored, whatever it was."""
    path, name = arguments
    work(JobFolder(Path(path)), name)
    return 0
