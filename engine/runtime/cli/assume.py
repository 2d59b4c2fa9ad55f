"""What a candle file's name leaves open on the command line: taken for Binance spot, and said so."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.runtime.cli.output import tell

_FOLDER = re.compile(r"(spot|futures)_[a-z0-9_-]+")
_PERPETUAL = re.compile(r"^[^-_]+_[^-_]+_[^-_]+-|-(futures|mark|funding)\b")
VENUE, KIND = "binance", "spot"


def assumed(files: Sequence[str], given: Mapping[str, Any]) -> dict[str, str]:
    """Venue and kind for files that neither a flag nor a folder named ``spot_VENUE`` places; {} where none is open.

    Only instrument facts (tick, lot, least order) depend on it, never a price. Told on stderr.
    """
    paths = [Path(name) for name in files]
    if not all(path.is_file() for path in paths) or any(_FOLDER.fullmatch(p.resolve().parent.name) for p in paths):
        return {}
    open_ = {} if given.get("venue") else {"venue": VENUE}
    if not given.get("kind") and not any(_PERPETUAL.search(path.name) for path in paths):
        open_["kind"] = KIND
    if open_:
        flags = " ".join(f"--{name} {value}" for name, value in open_.items())
        tell(f"taken as {flags}; give the flags if that is wrong")
    return open_
