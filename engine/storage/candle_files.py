"""Reading market-data files in chunks, trusting nothing: sizes, types, encodings and times are checked first."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from engine.domain.errors import CandleError
from engine.domain.market import FloatArray, IntArray
from engine.storage.candle_columns import TIMESTAMP, choose_columns, too_large
from engine.storage.candle_names import FileFormat
from engine.storage.candle_times import TimeReader
from engine.storage.parquet_unpack import REFUSED

_HEADER_BYTES = 1 << 16
_LINE_BYTES = 1 << 20
_COMPRESSED = {b"PK": "zip", b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
_PROJECT = Path(__file__).resolve().parents[2]
Batches = Generator[tuple[list[pa.Array], float], None, None]
"""Columns as asked for, and the share of the file read."""
_UNREADABLE = (pa.ArrowException, OSError, MemoryError, ValueError, OverflowError)


@dataclass(frozen=True, slots=True)
class FileLimits:
    """How much of a file is accepted: its size once unpacked in bytes, and the rows taken at a time."""

    max_bytes: int = 512 << 20
    chunk_rows: int = 65_536


@dataclass(frozen=True, slots=True)
class RawRows:
    """Rows of one chunk: open times (ms UTC), one float64 column for each value asked for, and the share read."""

    times_ms: IntArray
    values: tuple[FloatArray, ...]
    share: float


class DataRows:
    """A market-data file, read once from beginning to end.

    Parameters
    ----------
    source : Path or bytes
        The file, or what a browser sent.
    name : str
        What messages call it.
    file_format : FileFormat
        Parquet or CSV; never guessed from the content.
    wanted : sequence of str
        Number columns to read, beside ``timestamp``; each must be there once.
    limits : FileLimits

    Raises
    ------
    CandleError
        The file is missing, empty, compressed or too large.
    """

    def __init__(
        self, source: Path | bytes, name: str, file_format: FileFormat, wanted: Sequence[str], limits: FileLimits
    ) -> None:
        self._source = source
        self._name = name
        self._format = file_format
        self._wanted = [TIMESTAMP, *wanted]
        self._limits = limits
        self._ignored: tuple[str, ...] = ()
        self._require_usable()

    @property
    def ignored(self) -> tuple[str, ...]:
        """Columns of the file that are not read; known once the first chunk was."""
        return self._ignored

    def sha256(self) -> str:
        """Hash of the file as it is."""
        with self._opened() as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def chunks(self) -> Iterator[RawRows]:
        """The rows, some ten thousand at a time, in the order of the file.

        Raises
        ------
        CandleError
            The file is not of its format or lacks a column, or a value cannot be read; the message names it.
        """
        times = TimeReader(self._name)
        batches = self._parquet_batches() if self._format is FileFormat.PARQUET else self._csv_batches()
        try:
            with contextlib.closing(batches):
                for (first, *others), share in batches:
                    yield RawRows(times.read(first), tuple(_numbers(column) for column in others), min(share, 1.0))
        except _UNREADABLE as error:
            said = " ".join(str(error).split())[:300] or type(error).__name__
            if "straddling object" in said:
                said = f"a line is longer than {_LINE_BYTES} bytes"
            raise CandleError(f"{self._name} cannot be read as {self._format.value}: {said}") from error

    def _require_usable(self) -> None:
        if isinstance(self._source, Path) and not self._source.is_file():
            raise CandleError(f"{self._name}: there is no file {self._source}")
        try:
            with self._opened() as file:
                head = file.read(6)
                size = file.seek(0, 2)
        except OSError as error:
            raise CandleError(f"{self._name} cannot be opened: {error.strerror}") from error
        if size == 0:
            raise CandleError(f"{self._name} is empty")
        if size > self._limits.max_bytes:
            raise too_large(self._name, size, self._limits.max_bytes)
        for magic, kind in _COMPRESSED.items():
            if head.startswith(magic):
                raise CandleError(f"{self._name} is compressed with {kind}; unpack it first")

    def _parquet_batches(self) -> Batches:
        with self._unpacker() as process:
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                self._feed(process)
                with pa.ipc.open_stream(process.stdout) as stream:
                    facts = stream.schema.metadata
                    rows, read = int(facts[b"rows"]), 0
                    self._leave_out(json.loads(facts[b"columns"]))
                    for batch in stream:
                        read += batch.num_rows
                        yield batch.columns, read / max(1, rows)
            except (pa.ArrowInvalid, OSError):
                # The child ended early: what it said is more use than that its output ended.
                self._judge(process.wait(), process.stderr.read())
            finally:
                process.kill()

    def _feed(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the child has ended; its exit status says why
            if isinstance(self._source, bytes):
                process.stdin.write(self._source)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()

    def _unpacker(self) -> subprocess.Popen[bytes]:
        request = {
            "name": self._name,
            "path": str(self._source) if isinstance(self._source, Path) else None,
            "wanted": self._wanted,
            "max_bytes": self._limits.max_bytes,
            "chunk_rows": self._limits.chunk_rows,
        }
        paths = os.pathsep.join(filter(None, (str(_PROJECT), os.environ.get("PYTHONPATH"))))
        return subprocess.Popen(  # noqa: S603 - this interpreter and our own module
            [sys.executable, "-m", "engine.storage.parquet_unpack", json.dumps(request)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths, "ARROW_DEFAULT_MEMORY_POOL": "system"},
        )

    def _judge(self, status: int, said: bytes) -> NoReturn:
        if status == REFUSED:
            raise CandleError(said.decode("utf-8", "replace")[:600])
        raise CandleError(
            f"{self._name} cannot be read as parquet: reading it ended the reader (status {status}); it is damaged"
        )

    def _csv_header(self) -> list[str]:
        with self._opened() as file:
            head = file.read(_HEADER_BYTES)
        if b"\0" in head:
            raise CandleError(f"{self._name} is not UTF-8 text (it may be UTF-16); save it as UTF-8")
        line, newline, _ = head.partition(b"\n")
        if not newline:
            raise CandleError(
                f"{self._name} has no row after its first line, or a first line over {_HEADER_BYTES} bytes"
            )
        try:
            header = line.decode("utf-8-sig").rstrip("\r")
            columns = next(csv.reader([header], strict=True), [])
        except (UnicodeDecodeError, csv.Error) as error:
            raise CandleError(f"{self._name}: the first line is not UTF-8 text of column names: {error}") from error
        if len(columns) == 1 and any(other in header for other in ";\t|"):
            raise CandleError(f"{self._name}: columns are not separated by commas: {header[:80]!r}")
        return columns

    def _csv_batches(self) -> Batches:
        header = self._csv_header()
        columns = choose_columns(self._name, header, self._wanted)
        self._leave_out(header)
        types = {column: pa.float64() for column in columns} | {columns[0]: pa.string()}
        with self._opened() as file:
            size = max(1, file.seek(0, 2))
            file.seek(0)
            reader = arrow_csv.open_csv(
                pa.PythonFile(file, "r"),
                read_options=arrow_csv.ReadOptions(block_size=_LINE_BYTES, use_threads=False),
                convert_options=arrow_csv.ConvertOptions(column_types=types, include_columns=columns),
            )
            for batch in reader:
                yield batch.columns, file.tell() / size

    def _leave_out(self, columns: list[str]) -> None:
        used = choose_columns(self._name, columns, self._wanted)
        self._ignored = tuple(column for column in columns if column not in used)

    def _opened(self) -> BytesIO | BufferedReader:
        return BytesIO(self._source) if isinstance(self._source, bytes) else self._source.open("rb")


def _numbers(column: pa.Array) -> FloatArray:
    if len(column) == 0:
        return np.empty(0)
    # The one place where numbers of a file become floats; empty cells become NaN and are counted as such.
    values: FloatArray = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return values
