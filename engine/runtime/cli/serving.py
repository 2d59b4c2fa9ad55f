"""``run`` and ``console``: the engine alone, and the engine with the console in front of it."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from config.settings import PROJECT
from engine.domain.errors import AlreadyRunning, BadInput
from engine.runtime.attached import engine_is_elsewhere
from engine.runtime.cli.context import effective
from engine.runtime.cli.output import say
from engine.runtime.cli.port import require_free_port
from engine.runtime.host import Host
from engine.runtime.status import write_status
from engine.runtime.supervisor import BOOKS
from engine.storage.lock import holder

PORT = "QUARTERDECK_PORT"
_ENDING = ("SIGTERM", "SIGINT", "SIGHUP")


def run(options: argparse.Namespace) -> int:
    """Run the engine until a signal or the end of ``--for``."""
    ending = threading.Event()
    for name in _ENDING:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: ending.set())
    settings = effective(_changes(options))
    host = Host(settings, headless=True)
    host.start()
    try:
        snapshot = host.services.supervisor.snapshot()
        write_status(settings.settings.data_dir, snapshot)
        books = ", ".join(f"{book.name} {book.state.value}" for book in snapshot.books)
        say(f"READY process {os.getpid()}, books: {books}, data folder {settings.settings.data_dir}")
        sys.stdout.flush()
        ending.wait(options.duration_s)
    finally:
        host.stop()
    return 0


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if options.stage is not None:
        changes |= {f"{book}.enabled": options.stage == book for book in BOOKS}
    if options.stage not in (None, "demo") and (options.speed is not None or options.seed is not None):
        raise BadInput(f"--speed and --seed are for the simulated market; the {options.stage} stage runs in real time")
    if options.speed is not None:
        changes["demo.speed"] = options.speed
    if options.seed is not None:
        changes["demo.seed"] = options.seed
    return changes


def console(options: argparse.Namespace) -> int:
    """Serve the console, once it is clear that it can start."""
    settings = effective({"port": options.port} if options.port is not None else None).settings
    owner = holder(settings.data_dir)
    if owner is not None and not engine_is_elsewhere(settings):
        raise AlreadyRunning(
            f"an engine runs already in {settings.data_dir} (process {owner.pid}); use its console, stop it, "
            "or give this one another folder with QUARTERDECK_DATA_DIR"
        )
    require_free_port(settings.port)
    os.environ[PORT] = str(settings.port)
    os.chdir(PROJECT)
    sys.stdout.flush()
    return _serve([sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(settings.port)])


def _serve(command: Sequence[str]) -> int:
    if sys.platform == "win32":
        return subprocess.call(command)  # noqa: S603 - our own words
    os.execv(command[0], list(command))  # noqa: S606 - signals then reach the server itself
    raise AssertionError("unreachable")
