"""Files named on the command line: whether they are there comes before what their names say."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from engine.domain.errors import BadInput


def readable(path: Path) -> Path:
    """The path itself; raises `BadInput` where there is no file, before anybody wonders about its name."""
    if path.is_dir():
        raise BadInput(f"{path} is a folder, not a file; name a .parquet or .csv file")
    if not path.is_file():
        raise BadInput(f"there is no file {path}; name a .parquet or .csv file that exists")
    return path


def all_readable(names: Iterable[str]) -> list[Path]:
    """Every file by its path; raises `BadInput` for the first that is not there."""
    return [readable(Path(name)) for name in names]
