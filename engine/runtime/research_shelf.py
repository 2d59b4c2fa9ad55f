"""The backtests of a data folder: jobs that queue and run, and results that stay when their job is forgotten."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import InvalidOperation
from pathlib import Path
from typing import Any
from uuid import uuid4

from engine.domain.errors import BadInput
from engine.domain.research import BacktestRow, BacktestView, RunNote, RunTrade
from engine.domain.views import JobState, JobView, PageOf
from engine.runtime.job_files import checked_job_id
from engine.runtime.jobs import Jobs
from engine.runtime.research_files import ResearchFolder
from engine.runtime.research_views import asked_row, row_of, trade_of, view_of
from engine.simulation.run_files import recorded

KIND = "backtest"
FOLDER = "research"
MAX_PAGE = 10_000
_RUNNING = (JobState.QUEUED, JobState.RUNNING)
_BROKEN = (KeyError, IndexError, TypeError, ValueError, InvalidOperation)


class ResearchShelf:
    """Reads, notes and deletes runs; a complete one is read from the disk once, but for its note."""

    def __init__(self, data: Path, jobs: Jobs) -> None:
        self._folder = data / FOLDER
        self._jobs = jobs
        self._rows: dict[str, BacktestRow] = {}
        self._trades: dict[str, tuple[RunTrade, ...]] = {}

    def folder(self, run_id: str) -> ResearchFolder:
        """Where a run lies; raises `BadInput` for what cannot be an id."""
        return ResearchFolder(self._folder / checked_job_id(run_id))

    def rows(self) -> tuple[BacktestRow, ...]:
        """Every run, newest first; raises `StorageError` where they cannot be read."""
        jobs = {job.job_id: job for job in self._jobs.views(KIND)}
        stored = [path.name for path in self._folder.glob("[!.]*") if path.is_dir()] if self._folder.exists() else []
        found = [self._row(run_id, jobs.get(run_id)) for run_id in {*jobs, *stored}]
        return tuple(sorted(found, key=lambda row: (row.job.started_at, row.run_id), reverse=True))

    def row(self, run_id: str) -> BacktestRow:
        """One run; raises `BadInput` for an unknown one."""
        job = self._jobs.view(run_id) if self._jobs.knows(run_id) else None
        if not self.folder(run_id).path.exists() and (job is None or job.kind != KIND):
            raise BadInput(f"there is no backtest {run_id!r}")
        return self._row(run_id, job)

    def done(self, run_id: str) -> BacktestRow:
        """One run with a result; raises `BadInput` where it has none."""
        row = self.row(run_id)
        if not row.is_done:
            raise BadInput(f"backtest {run_id} is {row.job.state.value} and has no result: {row.job.detail}")
        return row

    def view(self, run_id: str) -> BacktestView:
        """Everything about a run but its trades; raises as `done`."""
        row, folder = self.done(run_id), self.folder(run_id)
        record = folder.result() or {}
        trades = self.trades(run_id)
        try:
            return view_of(record, row, folder.curve(), trades)
        except _BROKEN as error:
            raise folder.damaged("result.json", error) from error

    def record(self, run_id: str) -> dict[str, Any]:
        """The stored record of a run that is done, without its trades."""
        self.done(run_id)
        return self.folder(run_id).result() or {}

    def trades(self, run_id: str) -> tuple[RunTrade, ...]:
        """Trades of a run that is done, by exit; the last run's are kept, since tables page through them."""
        known = self._trades.get(run_id)
        if known is not None:
            return known
        self.done(run_id)
        folder = self.folder(run_id)
        try:
            made = tuple(trade_of(number, body) for number, body in enumerate(folder.trades(), start=1))
        except _BROKEN as error:
            raise folder.damaged("trades.jsonl", error) from error
        self._trades = {run_id: made}
        return made

    def note(self, run_id: str, note: RunNote | None) -> None:
        """Replace the note of a run; None removes it. Raises `BadInput` for a run that has no folder yet."""
        self.row(run_id)
        folder = self.folder(run_id)
        if not folder.path.exists():
            raise BadInput(f"backtest {run_id} has not begun; note it once it runs")
        folder.write_note(note)

    def ended(self, run_id: str) -> BacktestRow:
        """A run that may be deleted; raises `BadInput` for an unknown one and for one that runs or waits."""
        row = self.row(run_id)
        if row.job.state in _RUNNING:
            raise BadInput(f"backtest {run_id} is {row.job.state.value}; cancel it first, then delete it")
        return row

    def delete(self, run_id: str) -> None:
        """Remove the files and the job of a run that has ended; raises `BadInput`, `CannotRecord`.

        The folder loses its name before its content, so that no half of a run is ever listed.
        """
        folder = self.folder(self.ended(run_id).run_id).path
        gone = folder.with_name(f".{uuid4().hex}")
        if folder.exists():
            with recorded(folder):
                folder.rename(gone)
        if self._jobs.knows(run_id):
            self._jobs.forget(run_id)
        self._rows.pop(run_id, None)
        self._trades.pop(run_id, None)
        shutil.rmtree(gone, ignore_errors=True)

    def _row(self, run_id: str, job: JobView | None) -> BacktestRow:
        folder = self.folder(run_id)
        note, known = folder.note(), self._rows.get(run_id)
        if known is not None:
            return replace(known, note=note)
        result = folder.result()
        job = job or _remembered(folder, result)
        try:
            if result is None:
                return asked_row(run_id, job, self._asked(folder), note)
            row = row_of(result, job, note)
        except _BROKEN as error:
            raise folder.damaged("result.json", error) from error
        if job.state not in _RUNNING:
            self._rows[run_id] = row
        return row

    def _asked(self, folder: ResearchFolder) -> Mapping[str, Any]:
        request = folder.request().get("request")
        if isinstance(request, Mapping):
            return request
        asked = self._jobs.order(folder.run_id).arguments.get("request") if self._jobs.knows(folder.run_id) else {}
        return asked if isinstance(asked, Mapping) else {}


def paged(rows: Sequence[Any], page: int, size: int) -> PageOf[Any]:
    """One page of rows; raises `BadInput` for a page below 1 or a size outside 1 to 10,000."""
    if page < 1 or not 1 <= size <= MAX_PAGE:
        raise BadInput(f"page {page} of {size} rows: pages count from 1 and hold 1 to {MAX_PAGE:,} rows")
    return PageOf(tuple(rows[(page - 1) * size : page * size]), len(rows), page, size)


def _remembered(folder: ResearchFolder, result: Mapping[str, Any] | None) -> JobView:
    """The job of a run that the list of jobs has forgotten."""
    started_at = folder.started_at() or datetime.fromtimestamp(0, UTC)
    done = result is not None
    return JobView(
        job_id=folder.run_id,
        kind=KIND,
        title=folder.run_id,
        state=JobState.DONE if done else JobState.FAILED,
        share=1.0 if done else 0.0,
        detail="done" if done else "it ended without a result",
        started_at=started_at,
        seconds=float((result or {}).get("seconds") or 0.0),
        seconds_left=None,
        result="",
    )
