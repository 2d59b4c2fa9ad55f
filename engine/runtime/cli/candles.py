"""``candles``: import files into the store, list what it holds, read all of it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.domain.errors import BadInput
from engine.runtime.cli.assume import assumed
from engine.runtime.cli.files import readable
from engine.runtime.cli.folder import data_folder
from engine.runtime.cli.output import complain, say, say_json, say_table, tell
from engine.runtime.cli.progress import Progress
from engine.runtime.clock import SystemClock
from engine.runtime.replay_data import read_file_facts
from engine.storage.candle_import import ImportOptions, ImportResult, ImportWatch, import_file
from engine.storage.candles import CandleStore, Coverage


def load(options: argparse.Namespace) -> int:
    """Import every file; one that cannot be used does not keep the others out."""
    store = _store()
    given = vars(options)
    facts = read_file_facts({**given, **assumed(options.files, given)})
    rules = ImportOptions(facts.instrument, SystemClock().now(), facts.flags)
    rows: list[dict[str, Any]] = []
    refused = 0
    for path in map(Path, options.files):
        try:
            with Progress() as progress:
                result = import_file(store, readable(path), path.name, rules, ImportWatch(_drawn(progress)))
        except BadInput as error:
            refused += 1
            complain(str(error))
            rows.append({"file": str(path), "imported": False, "problem": str(error)})
            continue
        rows.append(_imported(path, result))
        tell(_in_words(rows[-1]))
    if options.json:
        say_json(rows)
    return 2 if refused else 0


def _drawn(progress: Progress) -> Callable[[float, str], None]:
    def draw(share: float, text: str) -> None:
        progress(share, text)

    return draw


def _imported(path: Path, result: ImportResult) -> dict[str, Any]:
    report = result.report
    return {
        "file": str(path),
        "imported": True,
        "instrument": str(result.instrument.key),
        "timeframe": str(result.timeframe),
        "rows": report.rows_read,
        "rejected": report.rows_rejected,
        "faults": {row.fault.value: row.rows for row in report.rejected},
        "added": result.added,
        "corrected": result.corrected,
        "seconds": round(result.seconds, 3),
    }


def _in_words(row: dict[str, Any]) -> str:
    faults = ", ".join(f"{count} {fault}" for fault, count in row["faults"].items())
    rejected = f", {row['rejected']:,} left out ({faults})" if row["rejected"] else ""
    return (
        f"{row['file']}: {row['instrument']} {row['timeframe']}, {row['rows']:,} rows, {row['added']:,} new, "
        f"{row['corrected']:,} corrected{rejected}, {row['seconds']:.1f} s"
    )


def list_all(options: argparse.Namespace) -> int:
    """One row per series."""
    rows = [_coverage(row) for row in _store().coverage()]
    if options.json:
        say_json(rows)
    elif rows:
        columns = ("instrument", "timeframe", "rows", "first", "last", "gaps", "missing", "rejected")
        say_table(columns, [[row[name] for name in columns] for row in rows])
    else:
        say("the candle store is empty; fill it with candles import")
    return 0


def check(options: argparse.Namespace) -> int:
    """Read every candle and list each run of missing ones; raises `StorageError` for a damaged file."""
    store = _store()
    rows = []
    for coverage in store.coverage():
        gaps = store.gaps(coverage.instrument, coverage.timeframe)
        listed = [{"start": gap.start, "stop": gap.stop, "missing_bars": gap.missing_bars} for gap in gaps]
        rows.append({**_coverage(coverage), "gap_list": listed})
    if options.json:
        say_json(rows)
        return 0
    for row in rows:
        say(f"{row['instrument']} {row['timeframe']}: {row['rows']:,} candles, {row['missing']:,} missing in "
            f"{row['gaps']} gaps, {row['rejected']:,} rows were rejected at imports")  # fmt: skip
        for gap in row["gap_list"]:
            say(
                f"  {gap['start']:%Y-%m-%d %H:%M} until {gap['stop']:%Y-%m-%d %H:%M} UTC: {gap['missing_bars']} missing"
            )
    if not rows:
        say("the candle store is empty; fill it with candles import")
    return 0


def _store() -> CandleStore:
    return CandleStore(data_folder() / "candles")


def _coverage(row: Coverage) -> dict[str, Any]:
    return {
        "instrument": str(row.instrument),
        "kind": row.kind,
        "timeframe": str(row.timeframe),
        "rows": row.rows,
        "first": row.first,
        "last": row.last,
        "gaps": row.gaps,
        "missing": row.missing_bars,
        "rejected": row.rejected_rows,
        "source": row.source,
        "imported_at": row.imported_at,
        "content_hash": row.content_hash,
    }
