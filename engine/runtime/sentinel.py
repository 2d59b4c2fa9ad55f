"""The file that stops every book where a command cannot be stored: the engine looks for it before each command."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from engine.domain.errors import CannotRecord
from engine.storage.ballast import Ballast

SENTINEL = "STOP"


def order_stop_by_file(folder: Path, text: str) -> Path:
    """Leave the file; on a full disk, the space kept in reserve is given back for it.

    Parameters
    ----------
    folder : Path
        The data folder.
    text : str
        Who orders the stop, and why.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    CannotRecord
        The file could not be written: nothing is stopped.
    """
    path = folder / SENTINEL
    try:
        path.write_text(text, encoding="utf-8")
    except OSError:
        with suppress(CannotRecord):  # what counts is whether the file can be written now
            Ballast(folder).release()
        _write_again(path, text)
    return path


def _write_again(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotRecord(
            f"the file {path} could not be written ({error.strerror}); free disk space or check the folder's rights"
        ) from error
