"""``audit verify``, ``backup`` and ``restore``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from engine.domain.errors import BadInput
from engine.runtime.cli.context import effective, journal_key, system_actor
from engine.runtime.cli.folder import CONTROL_FILE, data_folder, used_folder
from engine.runtime.cli.output import say, say_json, tell
from engine.runtime.clock import SystemClock
from engine.storage.audit import AuditTrail
from engine.storage.backup import BACKUP_FOLDER, backup
from engine.storage.chain import ChainReport
from engine.storage.database_file import DatabaseFile
from engine.storage.lock import holder
from engine.storage.restore import restore
from engine.storage.verify import verify, verify_audit, verify_projections

BROKEN = 1


def verify_all(options: argparse.Namespace) -> int:
    """Recompute both chains; exit code 0 only if everything holds."""
    folder = used_folder()
    money = effective().settings.money_file
    if not money.exists():
        raise BadInput(f"{money} does not exist: no engine has traded in this data folder")
    key = journal_key(folder)
    rows = [_chain("journal", verify(money, key)), _chain("audit", verify_audit(folder / CONTROL_FILE, key))]
    rows.append(_tables(folder, money))
    holds = all(row["holds"] is not False for row in rows)
    if options.json:
        say_json({"holds": holds, "chains": rows})
    else:
        for row in rows:
            say(f"{row['name']}: {_verdict(row['holds'])}, {row['detail']}")
    return 0 if holds else BROKEN


def _chain(name: str, report: ChainReport) -> dict[str, Any]:
    broken_at = report.broken_at
    return {"name": name, "holds": report.ok, "rows": report.rows, "broken_at": broken_at, "detail": report.detail}


def _tables(folder: Path, money: Path) -> dict[str, Any]:
    """Whether orders, fills and the rest are what the journal says; asked only while nothing is being written."""
    row: dict[str, Any] = {"name": "tables", "holds": None, "rows": None, "broken_at": None}
    if holder(folder) is not None:
        return {**row, "detail": "an engine is writing; stop it to compare the tables with the journal"}
    differences = verify_projections(money)
    return {**row, "holds": not differences, "detail": "; ".join(differences) or "they are what the journal says"}


def _verdict(holds: bool | None) -> str:
    return "not compared" if holds is None else "holds" if holds else "BROKEN"


def back_up(options: argparse.Namespace) -> int:
    """Make a verified backup."""
    folder = used_folder()
    target = Path(options.to).expanduser().absolute() if options.to else folder / BACKUP_FOLDER
    _note(folder, "backup", str(target), "with key files" if options.with_keys else "")
    report = backup(folder, target, with_keys=options.with_keys)
    if options.json:
        say_json(
            {
                "file": str(report.path),
                "created_at": report.created_at,
                "bytes": report.bytes,
                "files": report.files,
                "journal_rows": report.journal_rows,
                "audit_rows": report.audit_rows,
                "with_keys": report.with_keys,
                "left_out": report.left_out,
            }
        )
    else:
        say(f"{report.path}: {report.bytes:,} bytes, {report.journal_rows:,} journal rows and "
            f"{report.audit_rows:,} audit rows verified")  # fmt: skip
    if report.left_out:
        tell(f"{len(report.left_out)} older backtests are not inside, the archive would grow too large: "
             f"copy the folder research/ as well, or delete what is not needed.")  # fmt: skip
    if not report.with_keys:
        tell("The keys are not inside: keep a copy of the folder keys/ elsewhere, or restoring is not possible.")
    return 0


def bring_back(options: argparse.Namespace) -> int:
    """Replace the data folder's state by a backup's."""
    folder = data_folder()
    archive = Path(options.file).expanduser().absolute()
    if not archive.is_file():
        raise BadInput(f"{archive} is no file; name a backup archive (backups are in {folder / BACKUP_FOLDER})")
    report = restore(archive, folder)
    _note(folder, "restore", archive.name, f"made {report.created_at:%Y-%m-%d %H:%M:%S} UTC")
    if options.json:
        say_json(
            {
                "created_at": report.created_at,
                "moved_aside": str(report.moved_aside),
                "journal_rows": report.journal_rows,
                "epoch_floor": report.epoch_floor,
                "missing_candles": report.missing_candles,
                "missing_research": report.missing_research,
            }
        )
        return 0
    say(f"restored the state of {report.created_at:%Y-%m-%d %H:%M:%S} UTC: {report.journal_rows:,} journal rows")
    say(f"what was there lies in {report.moved_aside}; the next start is HALTED until arm")
    if report.missing_candles:
        say(f"import again: {', '.join(report.missing_candles)}")
    if report.missing_research:
        say(f"{len(report.missing_research)} backtests were left out of this backup and are not here: run them again")
    return 0


def _note(folder: Path, action: str, target: str, detail: str) -> None:
    """Write who did it into the audit trail."""
    file = DatabaseFile(folder / CONTROL_FILE, full_sync=True)
    try:
        AuditTrail(file, journal_key(folder), SystemClock()).append(system_actor(), action, target, detail)
    finally:
        file.close()
