"""Where the data folder is and who runs an engine in it; loads no database."""

from __future__ import annotations

import os
from pathlib import Path

from config.settings import load
from engine.domain.errors import BadInput, NotRunning, StorageError
from engine.storage.lock import Holder, holder

CONTROL_FILE = "control.sqlite"
_WAY_OUT = "check the path and its rights, or give another folder with --data-dir"


def data_folder() -> Path:
    """The data folder by the settings; raises `SettingsError`."""
    return load().settings.data_dir


def writable_folder() -> Path:
    """The data folder, made where it is missing: asked before long work whose result belongs into it.

    Raises
    ------
    StorageError
        It cannot be made or written to.
    """
    folder = data_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder} cannot be made: {error.strerror}; {_WAY_OUT}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(f"{folder} cannot be written to; {_WAY_OUT}")
    return folder


def used_folder() -> Path:
    """The data folder, where an engine has run or something was prepared; raises `BadInput` for one never used."""
    folder = data_folder()
    if not (folder / CONTROL_FILE).exists():
        raise BadInput(f"{folder} holds no data of Quarterdeck yet; check --data-dir, or start once with make run")
    return folder


def running_engine(folder: Path) -> Holder:
    """Who runs the engine of this folder; raises `NotRunning` where nobody does."""
    found = holder(folder)
    if found is None:
        raise NotRunning(f"no engine runs in {folder}; start one with make run or python -m engine run")
    return found
