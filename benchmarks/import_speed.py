"""Rows a second of a candle import, checks included. ``python -m benchmarks.import_speed``."""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from benchmarks.markets import made
from benchmarks.measuring import parser, tell
from engine.domain.instruments import Instrument, Kind
from engine.domain.market import Timeframe
from engine.storage.candle_import import ImportOptions, import_file
from engine.storage.candle_names import NameFlags
from engine.storage.candles import CandleStore

NAME = "BTC_USDT-1m"


def lookup(venue: str, base: str, quote: str, kind: Kind) -> Instrument:
    """Facts that fit the made-up candles."""
    return Instrument(venue, base, quote, kind, Decimal("0.01"), Decimal("0.0001"), Decimal(5))


def write_files(folder: Path, rows: int) -> list[Path]:
    """The same candles as Parquet and as CSV."""
    candles = next(iter(made(1, rows, Timeframe(60)).values()))
    columns = {name: getattr(candles, name) for name in ("open", "high", "low", "close", "volume")}
    table = pa.table({"timestamp": candles.opened_at_ms, **columns})
    parquet, text = folder / f"{NAME}.parquet", folder / f"{NAME}.csv"
    pq.write_table(table, parquet)
    pyarrow.csv.write_csv(table, text)
    return [parquet, text]


def import_s(path: Path, store: CandleStore) -> float:
    """Wall seconds of one import."""
    options = ImportOptions(lookup, datetime.now(UTC), NameFlags(venue="bench", kind=Kind.SPOT))
    started = time.perf_counter()
    import_file(store, path, path.name, options)
    return time.perf_counter() - started


def main() -> None:
    """Measure and tell."""
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=1_000_000, help="candles of each file (default 1,000,000)")
    given = options.parse_args()
    figures: dict[str, Any] = {"unit": "rows a second", "rows": given.rows}
    with tempfile.TemporaryDirectory(prefix="quarterdeck-bench-") as name:
        for path in write_files(Path(name), given.rows):
            store = CandleStore(Path(name) / f"store-{path.suffix[1:]}")
            new, again = import_s(path, store), import_s(path, store)
            kind = path.suffix[1:]
            figures[f"{kind}, new series"] = round(given.rows / new)
            figures[f"{kind}, merged into itself"] = round(given.rows / again)
    tell("import speed", figures, as_json=given.json)


if __name__ == "__main__":
    main()
