"""What an exchange listed of a book's symbols, kept for starts at which it does not answer or lists one no more."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.domain.errors import VenueUnreachable
from engine.storage.lease import write_durably


def keep(path: Path, markets: Mapping[str, Any], symbols: Sequence[str]) -> Mapping[str, Any]:
    """The exchange's list, with a symbol that it had at an earlier start and has no more as one that is not traded.

    Parameters
    ----------
    path : Path
        Where the symbols' part of the list is kept.
    markets : mapping
        ccxt's list of markets, as just told.
    symbols : sequence of str
        The book's.
    """
    before = _read(path)
    gone = {symbol: {**before[symbol], "active": False} for symbol in symbols if symbol in before.keys() - markets}
    known = {**gone, **{symbol: markets[symbol] for symbol in symbols if symbol in markets}}
    write_durably(path, json.dumps(known, default=str).encode())
    return {**markets, **gone}


def kept(path: Path, venue: str) -> Mapping[str, Any]:
    """The list as last kept; raises `VenueUnreachable` where there is none."""
    known = _read(path)
    if not known:
        raise VenueUnreachable(f"{venue} does not answer, and its list of markets was not kept")
    return known


def _read(path: Path) -> dict[str, Any]:
    """What was kept; nothing where the file is missing or unreadable: then only what the exchange says counts."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
