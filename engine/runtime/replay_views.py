"""Finished and running replays as pages show them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from uuid import uuid4

from engine.domain.codec import utc_from_text
from engine.domain.errors import BadInput, StorageError
from engine.domain.views import FillRow, JobState, JobView, PageOf, ReplayView
from engine.runtime.job_files import checked_job_id
from engine.runtime.jobs import Jobs
from engine.simulation.run_files import RunFolder, recorded

KIND = "replay"
FOLDER = "replays"
CURVE_POINTS = 1500
MAX_PAGE = 10_000
_DELETED = re.compile(r"\.[0-9a-f]{32}")
"""What `ReplayShelf.delete` calls a folder before it goes."""
_RUNNING = (JobState.QUEUED, JobState.RUNNING)


def sweep_deleted(folder: Path) -> None:
    """Remove what a deletion left that was killed half way; call at the start, before anything is deleted.

    Parameters
    ----------
    folder : Path
        Of runs; it need not exist. What cannot be removed is left for the next start.
    """
    for path in folder.glob(".*"):
        if _DELETED.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


class ReplayShelf:
    """The replays of a data folder: jobs that queue and run, and results that stay when their job is forgotten."""

    def __init__(self, data: Path, jobs: Jobs) -> None:
        self._folder = data / FOLDER
        self._jobs = jobs
        self._complete: dict[str, ReplayView] = {}

    def folder(self, run_id: str) -> RunFolder:
        """Where a run lies; raises `BadInput` for what cannot be an id."""
        return RunFolder(self._folder / checked_job_id(run_id))

    def views(self) -> tuple[ReplayView, ...]:
        """Every replay, newest first, without curves; raises `StorageError` where they cannot be read."""
        jobs = {job.job_id: job for job in self._jobs.views(KIND)}
        stored = [path.name for path in self._folder.glob("[!.]*") if path.is_dir()] if self._folder.exists() else []
        found = [self._view(run_id, jobs.get(run_id)) for run_id in {*jobs, *stored}]
        return tuple(sorted(found, key=lambda view: (view.job.started_at, view.run_id), reverse=True))

    def view(self, run_id: str) -> ReplayView:
        """One replay with its curve; raises `BadInput` for an unknown one."""
        folder = self.folder(run_id)
        job = self._jobs.view(run_id) if self._jobs.knows(run_id) else None
        if not folder.path.exists() and (job is None or job.kind != KIND):
            raise BadInput(f"there is no replay {run_id!r}")
        view = self._view(run_id, job)
        curve = folder.curve()
        if curve is None:
            return view
        facts = folder.result() or folder.partial() or {}
        return replace(view, curve=curve.view(CURVE_POINTS, str(facts.get("currency", ""))))

    def fills(self, run_id: str, page: int, size: int) -> PageOf[FillRow]:
        """Fills of a replay, newest first.

        Raises
        ------
        BadInput
            An unknown replay, a page below 1, or a size outside 1 to 10,000.
        """
        if page < 1 or not 1 <= size <= MAX_PAGE:
            raise BadInput(f"page {page} of {size} rows: pages count from 1 and hold 1 to {MAX_PAGE:,} rows")
        folder = self.folder(run_id)
        if not folder.path.exists() and not self._jobs.knows(run_id):
            raise BadInput(f"there is no replay {run_id!r}")
        return folder.fills(page, size)

    def ended(self, run_id: str) -> ReplayView:
        """A replay that may be deleted; raises `BadInput` for an unknown one and for one that runs or waits."""
        view = self.view(run_id)
        if view.job.state in _RUNNING:
            raise BadInput(f"replay {run_id} is {view.job.state.value}; cancel it first, then delete it")
        return view

    def delete(self, run_id: str) -> None:
        """Remove the files and the job of a replay that has ended; raises `BadInput`, `CannotRecord`.

        The folder loses its name before its content, so that no half of a replay is ever listed.
        """
        folder = self.folder(self.ended(run_id).run_id).path
        gone = folder.with_name(f".{uuid4().hex}")
        if folder.exists():
            with recorded(folder):
                folder.rename(gone)
        if self._jobs.knows(run_id):
            self._jobs.forget(run_id)
        self._complete.pop(run_id, None)
        shutil.rmtree(gone, ignore_errors=True)

    def _view(self, run_id: str, job: JobView | None) -> ReplayView:
        known = self._complete.get(run_id)
        if known is not None:
            return known
        folder = self.folder(run_id)
        result = folder.result()
        request = folder.request()
        job = job or _remembered(run_id, request, result)
        facts = result or (folder.partial() if job.state in _RUNNING else None) or {}
        asked = request.get("request") or (self._jobs.order(run_id).arguments.get("request", {}))
        view = _made(run_id, job, asked, facts)
        if result is not None and job.state not in _RUNNING:
            self._complete[run_id] = view
        return view


def _made(run_id: str, job: JobView, asked: Mapping[str, Any], facts: Mapping[str, Any]) -> ReplayView:
    """``facts`` is a result, what a running replay published, or empty: then nothing is known of the outcome."""
    try:
        cash, final = _money(asked.get("cash")) or Decimal(0), _money(facts.get("final_equity"))
        return ReplayView(
            run_id=run_id,
            job=job,
            strategy=", ".join(sorted(asked.get("strategies", ()))),
            settings=json.dumps(facts.get("settings") or asked, sort_keys=True),
            instruments=tuple(sorted(str(name[0]) for name in asked.get("series", ()))),
            bars=int(facts.get("bars", 0)),
            trades=int(facts.get("trades", 0)),
            fills=int(facts.get("fills", 0)),
            final_equity=final,
            cash=cash,
            fees=_money(facts.get("fees")),
            digest=str(facts.get("digest", "")),
            bars_per_second=facts.get("bars_per_second"),
            curve=None,
            wins=None if facts.get("wins") is None else int(facts["wins"]),
            net_return=final / cash - 1 if final is not None and cash else None,
            max_drawdown=_money(facts.get("max_drawdown")),
            currency=str(facts.get("currency", "")),
        )
    except (TypeError, ValueError, LookupError, InvalidOperation) as error:
        raise StorageError(f"the files of replay {run_id} are damaged ({error}); delete its folder") from error


def _money(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _remembered(run_id: str, request: Mapping[str, Any], result: Mapping[str, Any] | None) -> JobView:
    """The job of a run that the list of jobs has forgotten."""
    started = request.get("started_at")
    started_at = utc_from_text(started) if isinstance(started, str) else datetime.fromtimestamp(0, UTC)
    seconds = float(result["seconds"]) if result is not None else 0.0
    state = JobState.DONE if result is not None else JobState.FAILED
    detail = "done" if result is not None else "it ended without a result"
    share = 1.0 if result is not None else 0.0
    return JobView(run_id, KIND, run_id, state, share, detail, started_at, seconds, None, "")
