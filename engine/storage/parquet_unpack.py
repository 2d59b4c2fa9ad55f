"""The program that opens a Parquet file nobody vouches for, in a process of its own.

A damaged or hostile file can make the native reader abort, or unpack far more than its footer declares. Here that ends
a child process with a memory limit, not the engine. It writes the columns asked for to its standard output as an Arrow
stream; the file's column names and row count are in the schema's metadata.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.domain.errors import CandleError
from engine.storage.candle_columns import choose_columns, too_large

REFUSED = 3
"""Exit status when standard error holds the reason in words for people."""
_GIB = 1 << 30
_MOST_THRIFT_BYTES = 1 << 24
_CPU_S = 600


def main() -> int:
    """Unpack the file that the JSON of the first argument describes; the exit status."""
    request = json.loads(sys.argv[1])
    _limit_resources(request["max_bytes"])
    try:
        _unpack(request)
    except CandleError as error:
        sys.stderr.write(str(error))
        return REFUSED
    except BrokenPipeError:  # the reader went away
        return 1
    except (pa.ArrowException, OSError, MemoryError, ValueError, OverflowError) as error:
        said = " ".join(str(error).split())[:300] or type(error).__name__
        sys.stderr.write(f"{request['name']} cannot be read as parquet: {said}")
        return REFUSED
    return 0


def _limit_resources(max_bytes: int) -> None:
    if sys.platform == "win32":
        return
    import resource

    with contextlib.suppress(OSError, ValueError):  # a system without such limits still has the process boundary
        resource.setrlimit(resource.RLIMIT_AS, (_GIB + 2 * max_bytes, _GIB + 2 * max_bytes))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _unpack(request: dict[str, Any]) -> None:
    name, wanted = request["name"], request["wanted"]
    path = request["path"]
    source = pa.BufferReader(sys.stdin.buffer.read()) if path is None else pa.OSFile(path)
    file = pq.ParquetFile(
        source, thrift_string_size_limit=_MOST_THRIFT_BYTES, thrift_container_size_limit=_MOST_THRIFT_BYTES
    )
    schema = file.schema_arrow
    columns = choose_columns(name, schema.names, wanted)
    for column, label in zip(columns[1:], wanted[1:], strict=True):
        kind = schema.field(column).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            raise CandleError(f"{name}: column {label} holds {kind}, not numbers")
    _require_small(file.metadata, name, request["max_bytes"], len(columns))
    facts = {"columns": json.dumps(schema.names), "rows": str(file.metadata.num_rows)}
    fields = [schema.field(column).with_name(label) for column, label in zip(columns, wanted, strict=True)]
    sent = pa.schema(fields, metadata=facts)
    with pa.ipc.new_stream(sys.stdout.buffer, sent) as sink:
        for batch in file.iter_batches(request["chunk_rows"], columns=columns, use_threads=False):
            sink.write_batch(pa.RecordBatch.from_arrays([batch.column(one) for one in columns], schema=sent))


def _require_small(metadata: pq.FileMetaData, name: str, max_bytes: int, columns: int) -> None:
    # A few bytes can declare billions of equal rows, so both what the file says it unpacks to and what its rows take as
    # numbers must be within the limit.
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    rows = max(metadata.num_rows, sum(group.num_rows for group in groups))
    declared = sum(group.total_byte_size for group in groups)
    size = max(declared, rows * 8 * columns)
    if size > max_bytes:
        raise too_large(name, size, max_bytes)


if __name__ == "__main__":
    sys.exit(main())
