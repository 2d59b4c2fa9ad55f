"""A verified backup as a job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.runtime.job_worker import JobOutcome, JobWatch
from engine.storage.backup import BACKUP_FOLDER, backup


def make_backup(arguments: Mapping[str, Any], watch: JobWatch) -> JobOutcome:
    """Back up the data folder ``data``; keys stay out of the archive. Raises as `engine.storage.backup.backup`."""
    data = Path(arguments["data"])
    watch.progress(0.0, "copying and checking the databases")
    report = backup(data, data / BACKUP_FOLDER)
    detail = f"{report.path.name}: {report.files} files, {report.journal_rows:,} journal rows checked"
    if report.left_out:
        detail += f"; {len(report.left_out)} older backtests are not inside, it would grow too large"
    return JobOutcome(detail, {"name": report.path.name, "bytes": report.bytes, "journal_rows": report.journal_rows})
