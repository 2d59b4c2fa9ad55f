"""The worker processes of a console: started at low priority, recognised after a restart, ended when they must be."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import psutil

from engine.domain.errors import CannotRecord
from engine.runtime.job_files import JobFolder, Life

_PROJECT = Path(__file__).resolve().parents[2]
_SAME_START_S = 2.0
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class JobProcesses:
    """Processes by job, those of an earlier console included; used under the lock of `engine.runtime.jobs.Jobs`."""

    def __init__(self) -> None:
        self._own: dict[str, subprocess.Popen[bytes]] = {}

    def launch(self, folder: JobFolder, task: str, now: datetime) -> None:
        """Start the worker of a job in a session of its own, so that Ctrl-C in the console's terminal spares it.

        Raises
        ------
        CannotRecord
            The process could not be started, or not be written down; then it is ended again.
        """
        try:
            with folder.log.open("wb") as log:
                process = subprocess.Popen(  # noqa: S603 - this interpreter and our own module
                    [sys.executable, "-m", "engine.runtime.job_start", str(folder.path), task],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=_PROJECT,
                    env={**os.environ, **dict.fromkeys(_THREADS, "1")}, start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            raise CannotRecord(f"its process could not be started: {error.strerror or error}") from error
        self._own[folder.job_id] = process
        try:
            folder.write_life(Life(process.pid, _started_at(process.pid), now))
        except CannotRecord:
            self._end(process.pid)
            process.wait()
            raise

    def is_alive(self, folder: JobFolder, life: Life) -> bool:
        """Whether the worker still runs."""
        own = self._own.get(folder.job_id)
        if own is not None:
            return own.poll() is None
        return _is_that_process(life)

    def kill(self, folder: JobFolder) -> None:
        """End the worker and its children now; harmless when it is gone."""
        life = folder.read_life()
        if life is None or not self.is_alive(folder, life):
            return
        self._end(life.pid)
        own = self._own.get(folder.job_id)
        if own is not None:
            own.wait()

    def reap(self, ended: Iterable[str], patience_s: float = 0.0) -> None:
        """Let go of the processes of jobs that have ended; each may take so many wall seconds to exit."""
        for job_id in ended:
            process = self._own.get(job_id)
            if process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(patience_s)
                    del self._own[job_id]

    def cause(self, folder: JobFolder) -> str:
        """Why a worker is gone that left no result, in words."""
        own = self._own.get(folder.job_id)
        status = own.poll() if own is not None else None
        said = folder.last_words()
        if status is not None and status < 0:
            name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
            memory = "; the computer may have run out of memory" if name == "SIGKILL" else ""
            return f"its process was ended by {name}{memory}; what it had stored stays. Start it again"
        if said:
            return f"its process failed: {said}"
        return "its process is gone and left no result (was the computer restarted?); start it again"

    def _end(self, pid: int) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            for one in (*process.children(recursive=True), process):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()


def _started_at(pid: int) -> float:
    """Seconds since 1970; 0 for a process that is gone already."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return 0.0


def _is_that_process(life: Life) -> bool:
    """Whether the process of that number is the one that was started, and not a later one."""
    try:
        process = psutil.Process(life.pid)
        same = abs(process.create_time() - life.pid_started) <= _SAME_START_S
        return same and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
