"""A real Dask cluster on loopback: a scheduler and two workers, each a process; where one was killed another begins."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORKERS = 2
_COMMON = ("--no-dashboard", "--host", "127.0.0.1")


@contextmanager
def _dask(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process of Dask, and the last word of the line in which it says that it is ready."""
    command = [sys.executable, "-m", "distributed.cli." + words[0], *words[1:]]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
        try:
            assert process.stderr is not None
            ready = next(line for line in process.stderr if re.search(r"Scheduler at:|Registered to:", line))
            yield process, ready.split()[-1]
        finally:
            process.kill()


@dataclass
class Cluster:
    """Its address and its workers."""

    address: str
    folder: Path
    _stack: ExitStack
    workers: list[subprocess.Popen[str]] = field(default_factory=list)

    def complete(self) -> None:
        """Start workers until there are two that live."""
        self.workers = [one for one in self.workers if one.poll() is None]
        while len(self.workers) < WORKERS:
            own = ("--no-nanny", "--nthreads", "1", "--local-directory", str(self.folder), *_COMMON)
            process, _ = self._stack.enter_context(_dask("dask_worker", self.address, *own))
            self.workers.append(process)


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A scheduler and two workers that end with the block."""
    with ExitStack() as stack:
        _, address = stack.enter_context(_dask("dask_scheduler", "--port", "0", *_COMMON))
        found = Cluster(address, folder, stack)
        found.complete()
        yield found


@dataclass
class Killer:
    """Kills a process once, when some of the work is done; used as the progress of what is tested."""

    process: subprocess.Popen[str]
    after: int
    killed: bool = False

    def __call__(self, done: int, *_more: object) -> bool:
        if done >= self.after and not self.killed:
            self.killed = True
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        return True
