"""How long each exchange's host wants to be left alone by this address, known to everything here that asks it.

A ban or a requested pause belongs to the address and not to who was told it: candles, checks of keys, wallets, prices
and the lines of all books look here before they ask, and write down what they are told. It is kept in small files, so
that other processes on the data folder know it too and a restart forgets nothing. Sandboxes have hosts of their own.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine.domain.ports import Clock

_STRANGE = re.compile(r"[^a-z0-9.-]+")
_TOO_FREQUENT = "too frequent"
UNTOLD_BAN_S = 120.0
"""A ban whose end is not told; Binance's shortest."""
TOO_FREQUENT_S = 600.0
"""Bybit's 403 "access too frequent" asks for ten minutes without a request, in its documentation alone."""


@dataclass(frozen=True, slots=True)
class Shut:
    """A door that is shut: for how many seconds yet, and whether it is a ban rather than a requested pause."""

    left_s: float
    is_ban: bool


@dataclass(frozen=True, slots=True)
class _Term:
    """An end by wall time, and by this process's monotonic clock: whichever comes first counts, as clocks are set."""

    until: datetime
    deadline_s: float


class HostMemory:
    """One host of one exchange. Safe in all threads; two of the same file know the same.

    Parameters
    ----------
    path : Path
        Made with its folder when first something is told. A file that cannot be read counts as nothing known.
    clock : Clock
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._terms: dict[str, _Term] = {}
        self._stamp: tuple[int, int, int] | None = None

    def shut(self) -> Shut | None:
        """Whether nothing may be asked now; None where it may."""
        with self._lock:
            self._refresh()
            left = {kind: self._left_s(term) for kind, term in self._terms.items()}
        longest = max(left, key=lambda kind: left[kind], default="")
        return Shut(left[longest], left.get("ban", 0.0) > 0) if longest and left[longest] > 0 else None

    def ban(self, seconds: float) -> None:
        """The exchange has shut this address out for so long; the later of two ends counts."""
        self._tell("ban", seconds)

    def pause(self, seconds: float) -> None:
        """The exchange asks not to be asked for so long."""
        self._tell("pause", seconds)

    def hear(self, status: int, headers: Mapping[str, str], body: str) -> None:
        """Learn from an answer. A pause counts where its length was told: other refusals may be about one key."""
        told_s = told_pause_s(headers)
        if is_ban(status, body):
            self.ban(told_s if told_s is not None else TOO_FREQUENT_S if status == 403 else UNTOLD_BAN_S)
        elif status == 429 and told_s is not None:
            self.pause(told_s)

    def _left_s(self, term: _Term) -> float:
        return min((term.until - self._clock.now()).total_seconds(), term.deadline_s - self._clock.monotonic())

    def _tell(self, kind: str, seconds: float) -> None:
        with self._lock:
            self._refresh()
            self._learn(kind, self._clock.now() + timedelta(seconds=seconds), seconds)
            with suppress(OSError):  # it still holds in this process
                self._write()

    def _learn(self, kind: str, until: datetime, length_s: float) -> None:
        known = self._terms.get(kind)
        if known is None or until > known.until:
            left_s = min(length_s, (until - self._clock.now()).total_seconds())
            self._terms[kind] = _Term(until, self._clock.monotonic() + left_s)

    def _refresh(self) -> None:
        """Take over what others wrote since the last look."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            state = self._path.stat()
            stamp = (state.st_mtime_ns, state.st_size, state.st_ino)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            for kind, (until, length_s) in json.loads(self._path.read_text(encoding="utf-8")).items():
                self._learn(kind, datetime.fromisoformat(until), float(length_s))

    def _write(self) -> None:
        now = self._clock.now()
        values = {
            kind: [term.until.isoformat(), max(0.0, (term.until - now).total_seconds())]
            for kind, term in self._terms.items()
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.new")
        with beside.open("w", encoding="utf-8") as file:
            json.dump(values, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)


class Hosts:
    """The memories of one data folder.

    Parameters
    ----------
    folder : Path
        Made when first something is told.
    clock : Clock
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder, self._clock = folder, clock
        self._known: dict[tuple[str, str], HostMemory] = {}
        self._lock = threading.Lock()

    def at(self, exchange: str, url: str) -> HostMemory:
        """The memory of the host an address is at."""
        key = (exchange, urlsplit(url).netloc.lower())
        with self._lock:
            known = self._known.get(key)
            if known is None:
                known = self._known[key] = shared_memory(self._folder, *key, self._clock)
            return known


def shared_memory(folder: Path, exchange: str, host: str, clock: Clock) -> HostMemory:
    """The memory of a host of an exchange; all that are made for the same folder know the same."""
    return HostMemory(folder / f"{_STRANGE.sub('_', f'{exchange}-{host}'.lower())}.host.json", clock)


def is_ban(status: int | None, body: str) -> bool:
    """Whether an answer shuts the address out, rather than asking it to be slower."""
    return status == 418 or (status == 403 and _TOO_FREQUENT in body.lower())


def told_pause_s(headers: Mapping[str, Any]) -> float | None:
    """Seconds the answer itself names, at least one; None where it names none.

    Parameters
    ----------
    headers : mapping
        Of an answer that asks for fewer questions: KuCoin tells with every one in how many ms its limit begins anew,
        Bybit at which ms of its clock, which is the one of ``Date``.
    """
    told = {name.lower(): value for name, value in headers.items()}
    try:
        if "retry-after" in told:
            return max(1.0, float(told["retry-after"]))
        if "x-bapi-limit-reset-timestamp" in told and "date" in told:
            their_now_s = parsedate_to_datetime(told["date"]).timestamp()
            return max(1.0, float(told["x-bapi-limit-reset-timestamp"]) / 1000 - their_now_s)
        return max(1.0, float(told["gw-ratelimit-reset"]) / 1000) if "gw-ratelimit-reset" in told else None
    except ValueError:
        return None
