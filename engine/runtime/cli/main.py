"""Reads the command line, does what it says, and turns every expected failure into one line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.domain.errors import (
    AccessDenied,
    AlreadyRunning,
    BadInput,
    CommandRefused,
    NotRunning,
    QuarterdeckError,
)
from engine.runtime.cli.arguments import build_parser
from engine.runtime.cli.output import complain
from engine.runtime.cli.port import PortTaken

FAILED, BAD_INPUT, WRONG_STATE, REFUSED, INTERRUPTED, PIPE_CLOSED = 1, 2, 3, 4, 130, 141
_CODES: tuple[tuple[type[QuarterdeckError], int], ...] = (
    (BadInput, BAD_INPUT),
    (NotRunning, WRONG_STATE),
    (AlreadyRunning, WRONG_STATE),
    (PortTaken, WRONG_STATE),
    (AccessDenied, REFUSED),
    (CommandRefused, REFUSED),
)
DATA_DIR = "QUARTERDECK_DATA_DIR"


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line (default ``sys.argv``); the exit code, see ``--help``."""
    # Before any import that starts threads: numeric libraries must not take the cores the engine's loop runs on.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.umask(0o077)  # what is written here is for its owner alone
    try:
        options = build_parser().parse_args(arguments)
        if options.data_dir is not None:
            os.environ[DATA_DIR] = str(Path(options.data_dir).expanduser().absolute())
        return _run(options)
    except QuarterdeckError as error:
        complain(str(error))
        return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)
    except BrokenPipeError:
        # Whoever read our output has seen enough; what is left must not raise again when Python closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        complain(f"{error.strerror or error}: {error.filename or 'no file named'}; check the path and its rights")
        return FAILED
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED


def _run(options: argparse.Namespace) -> int:
    """Load only the module of the command: help and refusals stay instant."""
    module, _, function = str(options.run).partition(":")
    command: Callable[[argparse.Namespace], int] = getattr(importlib.import_module(module), function)
    code = command(options)
    sys.stdout.flush()
    return code
