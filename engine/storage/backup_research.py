"""Which results of research go into a backup: whole runs, the newest first, up to a size."""

from __future__ import annotations

import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

RESEARCH_FOLDER = "research"
STUDIES_FOLDER = "studies"
RUN_FOLDERS = (RESEARCH_FOLDER, STUDIES_FOLDER)
"""Folders whose folders are runs, or studies with what was found and noted."""
MOST_BYTES = 256 << 20
"""Of all runs together, before they are packed: an archive is made every day and many of them are kept."""
MOST_FILES = 10_000
"""Half of what an archive may hold."""
_TRIES = 3


@dataclass(frozen=True, slots=True)
class ResearchRun:
    """What one run takes.

    Attributes
    ----------
    path : Path
        Its folder.
    files, bytes : int
        How many files it has, and their size.
    changed_at : float
        When the newest of them was written, seconds since 1970.
    """

    path: Path
    files: int
    bytes: int
    changed_at: float

    @property
    def name(self) -> str:
        """Its place in the data folder, e.g. ``research/r1``."""
        return f"{self.path.parent.name}/{self.path.name}"


@dataclass(frozen=True, slots=True)
class ResearchChoice:
    """What a backup takes, and what it leaves out because it would grow too large; both newest first."""

    taken: tuple[ResearchRun, ...]
    left_out: tuple[ResearchRun, ...]


def choose_research(data_folder: Path, most_bytes: int = MOST_BYTES, most_files: int = MOST_FILES) -> ResearchChoice:
    """The newest runs that together stay within the limits; from the first that does not fit, none."""
    found = (path for name in RUN_FOLDERS for path in (data_folder / name).glob("[!.]*"))
    folders = (path for path in found if path.is_dir() and not path.is_symlink())
    runs = sorted(map(_run, folders), key=lambda run: (run.changed_at, run.name), reverse=True)
    size = count = 0
    for index, run in enumerate(runs):
        size, count = size + run.bytes, count + run.files
        if size > most_bytes or count > most_files:
            return ResearchChoice(tuple(runs[:index]), tuple(runs[index:]))
    return ResearchChoice(tuple(runs), ())


def read_whole(run: ResearchRun) -> tuple[tuple[Path, bytes], ...]:
    """Every file of a run with its content, never a part of it; nothing where a person has deleted the run since."""
    for _ in range(_TRIES):
        with suppress(FileNotFoundError):  # its note was removed in between, or the whole run
            return tuple((path, path.read_bytes()) for path in _files(run.path))
    return ()


def _run(path: Path) -> ResearchRun:
    count, size, changed_at = 0, 0, 0.0
    for file in _files(path):
        with suppress(FileNotFoundError):
            status = file.stat()
            count, size, changed_at = count + 1, size + status.st_size, max(changed_at, status.st_mtime)
    return ResearchRun(path, count, size, changed_at)


def _files(path: Path) -> list[Path]:
    """Files of a run; one that is just being written has another name until it is whole."""
    found = []
    for file in sorted(path.rglob("*")):
        with suppress(FileNotFoundError):
            if stat.S_ISREG(file.lstat().st_mode) and file.suffix != ".tmp":
                found.append(file)
    return found
