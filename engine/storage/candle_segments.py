"""How candles lie on disk: one folder a series, one Parquet file a year, and a sidecar that names the valid files.

The sidecar is the truth: replacing it by a rename is what makes an import happen, all years at once or none. A file
that it does not name is the remains of an import that was cut short, and is removed by the next one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.domain.errors import BadInput, CannotRecord, StorageError
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import CandleArrays, Timeframe

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

SIDECAR = "series.json"
COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")
_FORMAT = 1
_SCHEMA = pa.schema([("timestamp", pa.int64()), *((name, pa.float64()) for name in COLUMNS[1:])])
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Segment:
    """One year of a series: its file, the SHA-256 of the file, and what is in it (times in ms UTC)."""

    year: int
    file: str
    sha256: str
    rows: int
    first_ms: int
    last_ms: int
    gaps: int
    missing_bars: int


@dataclass(frozen=True, slots=True)
class ImportRecord:
    """Where candles came from: a name for people, the SHA-256 of what was read, rows left out, and wall time."""

    source: str
    sha256: str
    rows_read: int
    rows_rejected: int
    imported_at: datetime


@dataclass(frozen=True, slots=True)
class Series:
    """The sidecar: an instrument and timeframe, its segments by year, and its imports, oldest first."""

    instrument: Instrument
    timeframe: Timeframe
    segments: tuple[Segment, ...]
    imports: tuple[ImportRecord, ...]

    @property
    def content_hash(self) -> str:
        """SHA-256 over the hashes of the segments: equal for equal candles, whatever the imports were."""
        return hashlib.sha256("".join(segment.sha256 for segment in self.segments).encode()).hexdigest()


def folder_name(text: str) -> str:
    """A name that is one safe folder on every system: capitals, digits and ``-`` stay, the rest becomes ``%xx``.

    Lower case is encoded because some file systems hold ``kPEPE`` and ``KPEPE`` to be one name.

    Raises
    ------
    BadInput
        The name is empty or too long for a folder.

    Examples
    --------
    >>> folder_name("BTC"), folder_name("../x")
    ('BTC', '%2e%2e%2f%78')
    """
    safe = re.sub(r"[^A-Z0-9-]", lambda match: "".join(f"%{byte:02x}" for byte in match[0].encode()), text)
    if not safe or len(safe) > _LONGEST_NAME:
        raise BadInput(f"{text[:100]!r} cannot name an instrument: 1 to {_LONGEST_NAME} letters and digits")
    return safe


def series_folder(root: Path, key: InstrumentKey, timeframe: Timeframe) -> Path:
    """Where a series lies: ``venue-NAME/BASE_QUOTE[_SETTLE]/timeframe`` under ``root``.

    Raises
    ------
    BadInput
        The venue is not lower-case letters, digits, ``-`` and ``_``, or a coin cannot be a folder's name.
    """
    venue, _, symbol = key.partition(":")
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", venue) is None:
        raise BadInput(f"venue {venue[:100]!r} is not a name of up to 32 lower-case letters, digits, - and _")
    return root / f"venue-{venue}" / "_".join(map(folder_name, re.split("[/:]", symbol))) / str(timeframe)


@contextlib.contextmanager
def recorded_in(folder: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write into `CannotRecord` that names the folder and the way out."""
    try:
        yield
    except OSError as error:
        raise CannotRecord(
            f"candles could not be written to {folder}: {error.strerror or error}. Nothing was changed; free some "
            "space, make the folder writable, or choose another data folder with QUARTERDECK_DATA_DIR"
        ) from error


def write_atomic(path: Path, content: bytes) -> None:
    """Write a whole file or nothing: a temporary file beside it, flushed to disk, then renamed."""
    temporary = path.with_name(f"{path.name}.{uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` durable; Windows has no such call and needs none."""
    if sys.platform != "win32":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a series for writing against other threads and processes; waits for its turn."""
    with (folder / ".lock").open("a+b") as file:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def encode(candles: CandleArrays) -> bytes:
    """Candles as one Parquet file. No dictionary: prices hardly repeat."""
    columns = (candles.opened_at_ms, candles.open, candles.high, candles.low, candles.close, candles.volume)
    table = pa.Table.from_arrays([pa.array(column) for column in columns], schema=_SCHEMA)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=False)
    return bytes(sink.getvalue())


def load_table(folder: Path, segment: Segment) -> pa.Table:
    """A segment's rows, after its bytes proved to be those that were written.

    Raises
    ------
    FileNotFoundError
        The file is gone (another process may just have replaced it).
    StorageError
        The file cannot be read or is not what was written; the message names it.
    """
    path = folder / segment.file
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != segment.sha256:
            raise broken(path, "it is not what was written")
        table = pq.read_table(pa.BufferReader(content), use_threads=False)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise broken(path, str(error)) from error
    if table.schema != _SCHEMA:
        raise broken(path, "its columns are not those of candles")
    return table


def to_arrays(table: pa.Table, timeframe: Timeframe) -> CandleArrays:
    """A table with the columns of candles as read-only arrays."""
    columns = [table.column(name).to_numpy() for name in COLUMNS]
    for column in columns:
        column.flags.writeable = False
    return CandleArrays(timeframe, *columns)


def empty_candles(timeframe: Timeframe) -> CandleArrays:
    """No candles."""
    return CandleArrays(timeframe, np.empty(0, np.int64), *np.empty((len(COLUMNS) - 1, 0)))


def broken(path: Path, why: str) -> StorageError:
    """The error for a file of the store that cannot be trusted."""
    return StorageError(
        f"candle file {path} is damaged ({why}); move the folder {path.parent} away and import the candles again"
    )


def write_series(folder: Path, series: Series) -> None:
    """Replace the sidecar: from here on the new segments are the series."""
    document = {
        "format": _FORMAT,
        "instrument": {
            **{name: str(value) for name, value in asdict(series.instrument).items() if name != "kind"},
            "kind": series.instrument.kind.value,
        },
        "timeframe": str(series.timeframe),
        "content_hash": series.content_hash,
        "segments": [asdict(segment) for segment in series.segments],
        "imports": [{**asdict(row), "imported_at": row.imported_at.isoformat()} for row in series.imports],
    }
    write_atomic(folder / SIDECAR, (json.dumps(document, indent=1) + "\n").encode())


def read_series(folder: Path) -> Series | None:
    """The sidecar of a folder, or None where nothing was imported yet.

    Raises
    ------
    StorageError
        The sidecar cannot be read; the message names it.
    """
    path = folder / SIDECAR
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise broken(path, str(error)) from error
    try:
        return _parse_series(json.loads(content))
    except (ValueError, KeyError, TypeError, AttributeError, InvalidOperation, BadInput) as error:
        raise broken(path, f"{type(error).__name__}: {error}") from error


def _parse_series(document: dict[str, Any]) -> Series:
    facts = document["instrument"]
    if document["format"] != _FORMAT:
        raise ValueError(f"format {document['format']} is not {_FORMAT}")
    instrument = Instrument(
        facts["venue"],
        facts["base"],
        facts["quote"],
        Kind(facts["kind"]),
        *(Decimal(facts[name]) for name in ("tick_size", "lot_size", "min_notional", "max_leverage")),
    )
    imports = tuple(
        ImportRecord(**{**row, "imported_at": datetime.fromisoformat(row["imported_at"])})
        for row in document["imports"]
    )
    segments = tuple(Segment(**row) for row in document["segments"])
    if any(Path(segment.file).name != segment.file for segment in segments):
        raise ValueError("a segment lies outside its folder")
    return Series(instrument, Timeframe.parse(document["timeframe"]), segments, imports)
