"""The simulated venue's own journal: written before it answers, readable after ``kill -9``, the judge of crash tests.

A line is a whole answer or a whole observed event in one write, so it is there entirely or not at all. After so many
lines the file moves to ``<name>.<first line>.jsonl`` and a new one starts with a checkpoint. Market time that passes
without anything happening goes to ``<name>.clock``, two fixed-width numbers: microseconds since 1970 of the last event
and of the last candles.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from engine.domain.errors import CannotRecord, StorageError
from engine.exchanges.paper.records import Moment, decode, encode

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_CLOCK_WIDTH = 20


class VenueJournal(Protocol):
    """Where a simulated venue writes what it did."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever written."""

    @property
    def is_long(self) -> bool:
        """Whether it is time for a checkpoint."""

    @property
    def torn(self) -> str:
        """What was dropped from the end when the file was opened, or empty."""

    def append(self, moment: Moment) -> None:
        """Write one line; raises `CannotRecord`, and then the line is not there."""

    def tick(self, at: datetime, bars_at: datetime | None) -> None:
        """Note that market time passed and nothing happened."""

    def compact(self, checkpoint: Moment) -> None:
        """Start a new part with a checkpoint."""

    def since_checkpoint(self) -> Iterator[Moment]:
        """The last checkpoint and what came after it."""

    def history(self) -> Iterator[Moment]:
        """Everything, oldest first, checkpoints included."""

    def mentions(self, client_id: str) -> bool:
        """Whether any line may name that order; no is certain, and much cheaper than `history`."""

    def clock(self) -> tuple[datetime, datetime | None] | None:
        """Time of the last event and of the last candles that passed without a line."""


class MemoryVenueJournal:
    """A journal that lives as long as the process: for replays and tests."""

    is_long = False
    torn = ""

    def __init__(self) -> None:
        self.moments: list[Moment] = []
        self._clock: tuple[datetime, datetime | None] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever written."""
        return not self.moments

    def append(self, moment: Moment) -> None:
        """Keep one line."""
        self.moments.append(moment)

    def tick(self, at: datetime, bars_at: datetime | None) -> None:
        """Note that market time passed."""
        self._clock = at, bars_at

    def compact(self, checkpoint: Moment) -> None:
        """Never asked for: memory keeps every line."""
        raise StorageError(f"a journal in memory takes no checkpoint (at {checkpoint.at}); use FileVenueJournal")

    def since_checkpoint(self) -> Iterator[Moment]:
        """Every line."""
        return iter(self.moments)

    def history(self) -> Iterator[Moment]:
        """Every line."""
        return iter(self.moments)

    def mentions(self, client_id: str) -> bool:
        """Never asked for: memory archives nothing."""
        return True

    def clock(self) -> tuple[datetime, datetime | None] | None:
        """Time of the last event and candles that passed without a line."""
        return self._clock


class FileVenueJournal:
    """A journal of JSON lines.

    Parameters
    ----------
    path : Path
        The current part, e.g. ``data/venues/demo.jsonl``; folders are made.
    rotate_lines : int
        Lines after which a part is closed; at least 2.
    fsync : bool
        Also survive a power cut, as the engine's own books do: a venue that forgets what they have booked cannot be
        recovered. Not needed against ``kill -9``: the page cache belongs to the kernel. The clock file is never synced.
        Costs about 0.3 ms a line on a solid-state disk (0.04 ms without); only what happened is a line.

    Raises
    ------
    StorageError
        The file cannot be opened, or its last whole line is not a line of a journal.
    """

    def __init__(self, path: Path, *, rotate_lines: int = 10_000, fsync: bool = False) -> None:
        self.path = path
        self._rotate_lines = max(rotate_lines, 2)
        self._fsync = fsync
        self._size = self._number = self._lines = 0
        self._next_part = path.with_name(f"{path.stem}.next{path.suffix}")
        self._clock_path = path.with_name(f"{path.stem}.clock")
        self.torn = ""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._finish_rotation()
            self._file = self._open()
            self._clock_file = os.open(self._clock_path, os.O_RDWR | os.O_CREAT, 0o600)
            self._sync_folder()
        except OSError as error:
            raise StorageError(f"venue journal {path} cannot be opened: {error}; check folder and rights") from error

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever written."""
        return self._number == 0

    @property
    def is_long(self) -> bool:
        """Whether the current part has reached its number of lines."""
        return self._lines >= self._rotate_lines

    def append(self, moment: Moment) -> None:
        """Write one line with one call; a short write is taken back and raises `CannotRecord`."""
        line = encode(moment, self._number + 1)
        try:
            written = os.write(self._file, line)
            if written != len(line):
                os.ftruncate(self._file, self._size)
                raise CannotRecord(f"venue journal {self.path}: {written} of {len(line)} bytes; free disk space")
            if self._fsync:
                os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise CannotRecord(f"venue journal {self.path}: {error}; free disk space or check the disk") from error
        self._size += written
        self._number += 1
        self._lines += 1

    def tick(self, at: datetime, bars_at: datetime | None) -> None:
        """Note in the side file that market time passed; overwriting in place needs no disk space."""
        text = f"{(at - _EPOCH) // _MICROSECOND:0{_CLOCK_WIDTH}d} {_micros(bars_at):0{_CLOCK_WIDTH}d}\n"
        try:
            os.pwrite(self._clock_file, text.encode("ascii"), 0)
        except OSError as error:
            raise CannotRecord(f"venue clock {self._clock_path}: {error}; free disk space") from error

    def compact(self, checkpoint: Moment) -> None:
        """Move the current part beside and start a new one whose first line is the checkpoint.

        Raises `CannotRecord`; the current part then goes on.
        """
        line = encode(checkpoint, self._number + 1)
        try:
            upcoming = self._write_next_part(line)
            try:
                self._change_parts(self._part(self._number + 1 - self._lines))
            except OSError:
                os.close(upcoming)
                raise
        except OSError as error:
            raise CannotRecord(f"venue journal {self.path} cannot start a new part: {error}") from error
        ended, self._file = self._file, upcoming
        self._size, self._lines, self._number = len(line), 1, self._number + 1
        with suppress(OSError):  # every line in it is written; there is nothing left to lose
            os.close(ended)

    def since_checkpoint(self) -> Iterator[Moment]:
        """The current part; raises `StorageError` naming file and line."""
        return self._read(self.path, None)

    def history(self) -> Iterator[Moment]:
        """Every part, oldest first; a missing line raises `StorageError`."""
        expected = 1
        for part in self._parts():
            for moment in self._read(part, expected):
                expected += 1
                yield moment

    def mentions(self, client_id: str) -> bool:
        """Look for the id in the bytes of every part, without reading what the lines say.

        Raises `StorageError` where a part is missing: the id may stand there.
        """
        sought, expected = json.dumps(client_id).encode("ascii"), 1
        for part in self._parts():
            content = part.read_bytes()
            number = _decode(content[: content.find(b"\n") + 1], part, 1)[0] if content else expected
            if number != expected:
                raise StorageError(f"{part} begins with number {number} instead of {expected}; a part is missing")
            if sought in content:
                return True
            expected += content.count(b"\n")
        return False

    def clock(self) -> tuple[datetime, datetime | None] | None:
        """What the side file says; None while it says nothing readable."""
        text = os.pread(self._clock_file, 2 * _CLOCK_WIDTH + 2, 0).decode("ascii", "replace").split()
        if len(text) != 2 or not all(part.isdigit() and len(part) == _CLOCK_WIDTH for part in text):
            return None
        at, bars_at = (int(part) for part in text)
        return _EPOCH + at * _MICROSECOND, _EPOCH + bars_at * _MICROSECOND if bars_at else None

    def close(self) -> None:
        """Give the files back; the journal must not be used afterwards."""
        os.close(self._file)
        os.close(self._clock_file)

    def _parts(self) -> list[Path]:
        """Every file of lines, oldest first."""
        ended = self.path.parent.glob(f"{self.path.stem}.{'[0-9]' * 12}{self.path.suffix}")
        return [*sorted(ended), self.path]

    def _part(self, first: int) -> Path:
        return self.path.with_name(f"{self.path.stem}.{first:012d}{self.path.suffix}")

    def _write_next_part(self, line: bytes) -> int:
        """The file that will be the current part, open for appending: once it has its place nothing can fail."""
        file = os.open(self._next_part, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            written = os.write(file, line)
            if written != len(line):
                raise OSError(errno.ENOSPC, f"{written} of {len(line)} bytes written")
            if self._fsync:
                os.fsync(file)
        except OSError:
            os.close(file)
            raise
        return file

    def _change_parts(self, part: Path) -> None:
        """Give the current part the name of an older one and the next part its place, or leave both as they are."""
        self.path.rename(part)
        try:
            self._next_part.rename(self.path)
            self._sync_folder()
        except OSError:
            part.rename(self.path)
            raise

    def _sync_folder(self) -> None:
        """Make new names survive a power cut too; Windows does it by itself."""
        if not self._fsync or os.name == "nt":
            return
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _finish_rotation(self) -> None:
        """A kill between the two renames leaves only the next part; before the first, both."""
        if self._next_part.exists():
            if self.path.exists():
                self._next_part.unlink()
            else:
                self._next_part.rename(self.path)

    def _open(self) -> int:
        """Open for appending, cutting off an unfinished last line."""
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        content = self.path.read_bytes()
        self._size = content.rfind(b"\n") + 1
        tail = content[self._size :]
        if tail:
            self.torn = f"{self.path.name}: {len(tail)} bytes of an unfinished last line dropped: {tail[:80]!r}"
            os.ftruncate(file, self._size)
        last = content[content.rfind(b"\n", 0, max(self._size - 1, 0)) + 1 : self._size]
        self._lines = content.count(b"\n")
        self._number = _decode(last, self.path, self._lines)[0] if last else 0
        return file

    def _read(self, path: Path, expected: int | None) -> Iterator[Moment]:
        with path.open("rb") as lines:
            for row, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    return
                number, moment = _decode(line, path, row)
                if expected is not None and number != expected:
                    raise StorageError(f"{path}, line {row}: number {number} instead of {expected}; a part is missing")
                expected = number + 1
                yield moment


def _decode(line: bytes, path: Path, row: int) -> tuple[int, Moment]:
    try:
        return decode(line)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise StorageError(
            f"{path}, line {row} is not a line of a venue journal ({error!r}); restore the file from a backup, "
            "or move it away to start a new venue"
        ) from error


def _micros(at: datetime | None) -> int:
    return 0 if at is None else (at - _EPOCH) // _MICROSECOND
