"""Begins the process of a long job: at low priority before anything large is imported, so that a start delays nobody.

Started as ``python -m engine.runtime.job_start FOLDER TASK`` by `engine.runtime.jobs.Jobs`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import time
from pathlib import Path

_NICENESS = 19
_GROUP = Path("/proc/self/autogroup")
_TRIES, _AGAIN_S = 5, 0.12
"""The kernel takes one such change in a tenth of a second from a user, of all processes together."""


def yield_to_others() -> None:
    """Lower the priority of this process and of all it will start: whoever wakes up takes its core at once."""
    if sys.platform != "win32":
        os.nice(_NICENESS)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a container may forbid it; the lower priority stays
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        if os.getsid(0) == os.getpid():
            lower_session(_GROUP)


def lower_session(file: Path) -> bool:
    """Lower the share of the processor that this process's whole session gets; False where the kernel has no such file.

    A desktop's kernel divides the processor among sessions first, and only inside one by niceness: a job, which leads a
    session of its own, would get as much as the engine whatever its niceness. See ``autogroup`` in sched(7).

    Parameters
    ----------
    file : Path
        Takes the niceness of the session, as text.
    """
    for _ in range(_TRIES):
        try:
            _put(file, str(_NICENESS).encode())
        except BlockingIOError:
            time.sleep(_AGAIN_S)
        except OSError:
            return False
        else:
            return True
    return False


def _put(file: Path, text: bytes) -> None:
    handle = os.open(file, os.O_WRONLY)
    try:
        os.write(handle, text)
    finally:
        os.close(handle)


if __name__ == "__main__":
    yield_to_others()
    raise SystemExit(importlib.import_module("engine.runtime.job_worker").main(sys.argv[1:]))
