"""Begins the process of a long job: at low priority before anything large is imported, so that a start delays nobody.

Started as ``python -m engine.runtime.job_start FOLDER TASK`` by `engine.runtime.jobs.Jobs`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys

_NICENESS = 10


def yield_to_others() -> None:
    """Lower the priority of this process and of all it will start: whoever wakes up takes its core at once."""
    if sys.platform != "win32":
        os.nice(_NICENESS)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a container may forbid it; the lower priority stays
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


if __name__ == "__main__":
    yield_to_others()
    raise SystemExit(importlib.import_module("engine.runtime.job_worker").main(sys.argv[1:]))
