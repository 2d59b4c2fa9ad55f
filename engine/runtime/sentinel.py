"""The file that stops every book where a command cannot be stored: the engine looks for it before each command."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from engine.domain.errors import CannotRecord
from engine.storage.ballast import Ballast

SENTINEL = "STOP"
_DONE = f"{SENTINEL}.done-"


def done_path(path: Path, stamp_ns: int) -> Path:
    """What the file is called once every book has taken the stop in; the stamp is when it was written."""
    return path.with_name(f"{_DONE}{stamp_ns}")


def last_stop_by_file(folder: Path) -> datetime | None:
    """When everything was last stopped by the file (wall time, UTC); None where it never was."""
    stamps = [path.name.removeprefix(_DONE) for path in folder.glob(f"{_DONE}*")]
    newest_ns = max((int(stamp) for stamp in stamps if stamp.isdigit()), default=None)
    return None if newest_ns is None else datetime.fromtimestamp(newest_ns / 1e9, UTC)


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
