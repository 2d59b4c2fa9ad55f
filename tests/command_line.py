"""Runs the real command line, in processes of its own or in this one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from engine.runtime.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
PASSWORD = "a long enough pass phrase"
START_S = 60.0


@dataclass(frozen=True, slots=True)
class Said:
    """What a finished command wrote and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its result, read as JSON."""
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Engine:
    """``python -m engine`` on one data folder."""

    folder: Path

    def environment(self) -> dict[str, str]:
        """The caller's, without its settings."""
        slow = "PYTHONDONTWRITEBYTECODE"  # every process would compile what it imports
        kept = {key: value for key, value in os.environ.items() if not key.startswith("QUARTERDECK_") and key != slow}
        return {**kept, "QUARTERDECK_DATA_DIR": str(self.folder), "OMP_NUM_THREADS": "1"}

    def __call__(self, *words: str, stdin: str = "") -> Said:
        """Carry out one command and wait for it."""
        done = subprocess.run(
            [sys.executable, "-m", "engine", *words],
            cwd=ROOT,
            env=self.environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Said(done.returncode, done.stdout, done.stderr)

    def published(self) -> dict[str, Any]:
        """What a running engine last published; {} before that. Cheaper to look at again than the command."""
        path = self.folder / "status.json"
        return json.loads(path.read_text()) if path.exists() else {}  # type: ignore[no-any-return]

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start ``run`` and wait for its ready line."""
        log = (self.folder.parent / f"{self.folder.name}.log").open("w")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", "engine", "run", *words],
                cwd=ROOT,
                env=self.environment(),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_S)
        line = process.stdout.readline() if ready else ""
        if not line.startswith("READY"):
            process.kill()
            pytest.fail(f"the engine did not get ready: {line} {Path(log.name).read_text()[-2000:]}")
        return process


class SameProcess(Engine):
    """The same commands carried out by this process, which has imported everything already; engines get their own."""

    def __call__(self, *words: str, stdin: str = "") -> Said:
        """Carry out one command; only its exit code, its output and the data folder are left of it."""
        if words[0] in ("run", "console"):
            return super().__call__(*words, stdin=stdin)
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", newline=""), io.StringIO()
        mask = os.umask(0o022)
        try:
            with (
                mock.patch.dict(os.environ, self.environment(), clear=True),
                mock.patch.object(sys, "stdin", io.StringIO(stdin)),
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
            ):
                code = main(list(words))
        finally:
            os.umask(mask)
        out.flush()
        written = out.buffer
        assert isinstance(written, io.BytesIO)
        return Said(code, written.getvalue().decode(), err.getvalue())


def end(process: subprocess.Popen[str], by: int = signal.SIGTERM) -> int:
    """End a running engine; its exit code."""
    process.send_signal(by)
    code = process.wait(30)
    assert process.stdout is not None
    process.stdout.close()
    return code


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Look again until something holds; fails the test when it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
