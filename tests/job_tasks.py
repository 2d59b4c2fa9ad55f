"""Work for the tests of jobs, as a worker process finds it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.domain.errors import BadInput
from engine.runtime.job_files import JobCancelled
from engine.runtime.job_worker import JobOutcome, JobWatch


def answer(arguments: Mapping[str, Any], watch: JobWatch) -> JobOutcome:
    """Read what came with the order and say what it is run with."""
    text = (watch.files / "upload").read_text() if (watch.files / "upload").exists() else ""
    group = Path("/proc/self/autogroup")
    session = group.read_text().split()[-1] if group.exists() else "none"
    facts = {"text": text, "niceness": os.nice(0), "session": session, "threads": os.environ["OMP_NUM_THREADS"]}
    facts |= arguments
    return JobOutcome("all done", facts)


def wait_for_file(arguments: Mapping[str, Any], watch: JobWatch) -> JobOutcome:
    """Run until a file appears, saying how far it is; stop when asked."""
    watch.progress(0.5, "half way")
    with Path(arguments["log"]).open("a") as log:
        log.write(f"begin {arguments['name']}\n")
    while not Path(arguments["until"]).exists():
        if watch.cancelled():
            raise JobCancelled("stopped half way; nothing was kept")
        time.sleep(0.01)
    with Path(arguments["log"]).open("a") as log:
        log.write(f"end {arguments['name']}\n")
    return JobOutcome("the file came")


def deaf(arguments: Mapping[str, Any], watch: JobWatch) -> JobOutcome:
    """Never look whether it is asked to stop."""
    watch.progress(0.1, "busy")
    while True:
        time.sleep(0.05)


def refuse(arguments: Mapping[str, Any], watch: JobWatch) -> JobOutcome:
    """Fail with an error of ours."""
    raise BadInput("the value 7 cannot be used; give another")


def crash(arguments: Mapping[str, Any], watch: JobWatch) -> JobOutcome:
    """Fail with a bug."""
    raise RuntimeError("a bug in the work")


def die(arguments: Mapping[str, Any], watch: JobWatch) -> JobOutcome:
    """End as if the system had killed it."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")
