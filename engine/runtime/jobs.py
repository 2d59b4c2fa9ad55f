"""Long work in processes of their own: queued, watched, cancelled, and remembered across restarts of the console."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from engine.domain.errors import BadInput, CannotRecord, StorageError
from engine.domain.ports import Clock
from engine.domain.views import JobState, JobView
from engine.runtime.backup_job import make_backup
from engine.runtime.clock import SystemClock
from engine.runtime.job_files import JobFolder, JobOrder
from engine.runtime.job_processes import JobProcesses
from engine.runtime.job_shelf import ENDED, JobShelf
from engine.runtime.job_worker import task_name

_log = structlog.get_logger(__name__)
_EXIT_S = 5.0


@dataclass(frozen=True, slots=True)
class JobRules:
    """How jobs are run.

    Attributes
    ----------
    trusted : tuple of str
        Beginnings of module names a task may come from; what lies in the data folder cannot name other code.
    kept : int
        Finished jobs that are remembered.
    grace_s : float
        Wall seconds a job has to stop by itself once asked, before its process is ended.
    look_every_s : float
        Wall seconds between two looks at the workers.
    """

    trusted: tuple[str, ...] = ("engine.",)
    kept: int = 50
    grace_s: float = 10.0
    look_every_s: float = 0.2


class Jobs:
    """The long work of one data folder; one object of it at a time, used by any thread.

    A job is a folder under ``data/jobs`` and, while it runs, a process of low priority. Jobs of one kind run one
    after the other. A worker outlives the console: the next console finds it again, or says why it is gone.

    Parameters
    ----------
    data : Path
        The data folder.
    clock : Clock, optional
        Wall time of this computer by default.
    rules : JobRules, optional
    """

    def __init__(self, data: Path, clock: Clock | None = None, rules: JobRules | None = None) -> None:
        self._clock = clock or SystemClock()
        self._rules = rules or JobRules()
        self._processes = JobProcesses()
        self._shelf = JobShelf(data / "jobs", self._clock, self._processes)
        self._asked_to_stop: dict[str, float] = {}
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    # -- asking --------------------------------------------------------------------------------------------------

    def start(self, job_id: str, order: JobOrder, files: Mapping[str, bytes] | None = None) -> JobView:
        """Queue a job; the same id is carried out once, and a repeat gets the view of the first.

        Parameters
        ----------
        job_id : str
            Up to 80 letters, digits, ``-`` and ``_``.
        order : JobOrder
        files : mapping of str to bytes, optional
            Laid into the job's folder before it begins.

        Raises
        ------
        BadInput
            The id cannot be used.
        CannotRecord
            The data folder is read-only or full; nothing was queued.
        """
        folder = self._shelf.folder(job_id)
        assert order.task.startswith(self._rules.trusted), f"{order.task} is not to be run"
        with self._shelf.lock:
            if not folder.path.exists():
                self._shelf.lay_down(folder, order, files or {})
            self._keep_watching()
        return self.view(job_id)

    def start_backup(self, job_id: str, data: Path) -> JobView:
        """Queue a verified backup of a data folder."""
        return self.start(job_id, JobOrder("backup", "verified backup", task_name(make_backup), {"data": str(data)}))

    def cancel(self, job_id: str) -> None:
        """Ask a job to stop: at once where it waits, soon where it runs; an ended one stays as it is.

        Raises
        ------
        BadInput
            There is no such job.
        """
        with self._shelf.lock:
            state, folder = self.view(job_id).state, self._shelf.folder(job_id)
            if state is JobState.QUEUED:
                self._shelf.end(folder, JobState.CANCELLED, "cancelled before it began")
            elif state is JobState.RUNNING:
                folder.ask_to_stop()
            self._keep_watching()

    def forget(self, job_id: str) -> None:
        """Remove a job that has ended, with its files.

        Raises
        ------
        BadInput
            There is no such job, or it runs or waits.
        """
        with self._shelf.lock:
            if self.view(job_id).state not in ENDED:
                raise BadInput(f"job {job_id!r} has not ended; cancel it first")
            self._processes.reap([job_id], _EXIT_S)  # its worker may be about to exit
            self._shelf.forget(job_id)

    # -- reading -------------------------------------------------------------------------------------------------

    def knows(self, job_id: str) -> bool:
        """Whether there is such a job; False also for what cannot be an id."""
        try:
            return self._shelf.folder(job_id).path.exists()
        except BadInput:
            return False

    def view(self, job_id: str) -> JobView:
        """One job as it is now; raises `BadInput` for an unknown one."""
        view = self._shelf.view(self._shelf.folder(job_id))
        if view is None:
            raise BadInput(f"there is no job {job_id!r}; the last {self._rules.kept} finished ones are kept")
        return view

    def order(self, job_id: str) -> JobOrder:
        """What a job was asked to do; raises `BadInput` for an unknown one."""
        self.view(job_id)
        return self._shelf.folder(job_id).read_order()[0]

    def views(self, kind: str | None = None) -> tuple[JobView, ...]:
        """Every job of a kind (None: all), newest first; raises `StorageError` where they cannot be read."""
        return tuple(view for view in self._shelf.views() if kind in (None, view.kind))

    def wait(self, job_id: str, timeout_s: float) -> JobView:
        """Wait until a job has ended, or so many wall seconds; the view then."""
        deadline = time.monotonic() + timeout_s
        view = self.view(job_id)
        while view.state not in ENDED and time.monotonic() < deadline:
            time.sleep(0.02)
            view = self.view(job_id)
        return view

    # -- life ----------------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Take up what an earlier console left: jobs still queued start, those still running are watched again."""
        with self._shelf.lock:
            self._keep_watching()

    def close(self, *, stop_jobs: bool = False) -> None:
        """Stop watching. Running jobs go on, unless they are to be stopped too; queued ones wait for `resume`."""
        with self._shelf.lock:
            self._closing = True
            self._wake.set()
            thread = self._thread
        if thread is not None:
            thread.join()
        with self._shelf.lock:
            for view in self._shelf.views() if stop_jobs else ():
                if view.state is JobState.RUNNING:
                    self._shelf.folder(view.job_id).ask_to_stop()
                    self._processes.kill(self._shelf.folder(view.job_id))
            self._processes.reap([view.job_id for view in self._shelf.views() if view.state in ENDED], _EXIT_S)

    # -- watching ------------------------------------------------------------------------------------------------

    def _keep_watching(self) -> None:
        if (self._thread is None or not self._thread.is_alive()) and not self._closing:
            self._thread = threading.Thread(target=self._watch, name="jobs", daemon=True)
            self._thread.start()
        self._wake.set()

    def _watch(self) -> None:
        while True:
            with self._shelf.lock:
                if self._closing or not self._turn():
                    self._thread = None
                    return
            self._wake.wait(self._rules.look_every_s)
            self._wake.clear()

    def _turn(self) -> bool:
        """Start what may start, end what should, forget what is old; False once nothing is left to watch."""
        try:
            views = self._shelf.views()
        except StorageError as error:
            _log.error("jobs cannot be looked after", error=str(error))
            return True
        running = [view for view in views if view.state is JobState.RUNNING]
        for view in running:
            self._hurry(self._shelf.folder(view.job_id))
        busy = {view.kind for view in running}
        for view in reversed(views):
            if view.state is JobState.QUEUED and view.kind not in busy:
                busy.add(view.kind)
                self._launch(self._shelf.folder(view.job_id))
        ended = [view.job_id for view in views if view.state in ENDED]
        self._processes.reap(ended)
        for job_id in ended[self._rules.kept :]:
            self._shelf.forget(job_id)
        return len(ended) < len(views)

    def _hurry(self, folder: JobFolder) -> None:
        """End the process of a job that was asked to stop and has not."""
        if folder.is_asked_to_stop():
            now = self._clock.monotonic()
            asked = self._asked_to_stop.setdefault(folder.job_id, now)
            if now - asked >= self._rules.grace_s:
                self._processes.kill(folder)

    def _launch(self, folder: JobFolder) -> None:
        task = folder.read_order()[0].task
        if not task.startswith(self._rules.trusted):
            self._shelf.end(folder, JobState.FAILED, f"{task!r} is not among the work this version may do")
            return
        try:
            self._processes.launch(folder, task, self._clock.now())
        except CannotRecord as error:
            self._shelf.end(folder, JobState.FAILED, str(error))
