"""``run`` and ``console``: the engine alone, and the engine with the console in front of it."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from config.settings import PROJECT, Settings
from engine.domain.errors import AlreadyRunning, BadInput
from engine.runtime import collector
from engine.runtime.accounts import STAGES, Stage
from engine.runtime.attached import engine_is_elsewhere
from engine.runtime.cli.context import access_of, control_of, effective
from engine.runtime.cli.output import say
from engine.runtime.cli.port import require_free_port
from engine.runtime.connections import Connections
from engine.runtime.host import Host
from engine.runtime.preconditions import missing
from engine.runtime.ready_words import ready_words, stops_waiting
from engine.runtime.status import write_status
from engine.runtime.supervisor import BOOKS
from engine.security import KEY_STORES
from engine.security.vault import Vault
from engine.storage.lock import holder
from engine.storage.money_reader import MoneyReader

PORT = "QUARTERDECK_PORT"
_ENDING = ("SIGTERM", "SIGINT", "SIGHUP")


def run(options: argparse.Namespace) -> int:
    """Run the engine until a signal or the end of ``--for``."""
    settings = effective(_changes(options))
    enabled = [book for book in BOOKS if getattr(settings.settings, book).enabled]
    if len(enabled) == 1 and enabled[0] in STAGES:  # beside others it may be missing; alone there is nothing to run
        _require_ready(settings.settings, STAGES[enabled[0]])
    ending = threading.Event()
    for name in _ENDING:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: ending.set())
    host = Host(settings, headless=True)
    host.start()
    try:
        stops = stops_waiting(host.services.control, settings.settings.data_dir)
        snapshot = host.services.supervisor.snapshot()
        write_status(settings.settings.data_dir, snapshot)
        books = ready_words(snapshot, stops)
        say(f"READY process {os.getpid()}, books: {books}, data folder {settings.settings.data_dir}")
        sys.stdout.flush()
        ending.wait(options.duration_s)
    finally:
        host.stop()
        collector.give_back()
    return 0


def _require_ready(settings: Settings, stage: Stage) -> None:
    """Refuse a stage that would begin now, with everything that it lacks; one that has begun starts as it can."""
    folder = settings.data_dir
    if holder(folder) is not None or _has_begun(settings, stage):
        return  # who owns the folder is told by the start; what is held must be looked after whatever else is missing
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with control_of(folder) as control, access_of(control, folder, settings.access) as access:
        vault = Vault(KEY_STORES["file"](folder / "keys"), folder / "keys" / "keyring.json")
        found = missing(settings, stage, Connections(control, vault), access.people.all())
    if found:
        later = "" if stage.sandbox else "; once it runs, it waits for a promoted strategy and for arm --book live"
        listed = "; ".join(f"({number}) {why.rstrip('.')}" for number, why in enumerate(found, 1))
        raise BadInput(f"{stage.name} cannot start: {listed}{later}")


def _has_begun(settings: Settings, stage: Stage) -> bool:
    if not settings.money_file.exists():
        return False
    with closing(MoneyReader(settings.money_file)) as reader:
        return reader.counts(stage.name).journal_rows > 0


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
