"""The runs of one kind in a data folder: jobs that queue and run, and folders that stay when their job is forgotten."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from engine.domain.errors import BadInput
from engine.domain.views import JobState, JobView, PageOf
from engine.runtime.job_files import checked_job_id
from engine.runtime.job_shelf import ENDED
from engine.runtime.jobs import Jobs
from engine.storage.record_folder import recorded

MAX_PAGE = 10_000
_DELETED = re.compile(r"\.[0-9a-f]{32}")
"""What `RunShelf.delete` calls a folder before it goes."""
_Row = TypeVar("_Row")


class RunShelf:
    """Finds and deletes the runs of one kind; what a run says is read by those who know its files.

    Parameters
    ----------
    folder : Path
        Of the runs, one folder each; it need not exist.
    jobs : Jobs
    kind : str
        Of their jobs; messages call a run so.
    """

    def __init__(self, folder: Path, jobs: Jobs, kind: str) -> None:
        self._folder = folder
        self._jobs = jobs
        self._kind = kind

    def path(self, run_id: str) -> Path:
        """Where a run lies; raises `BadInput` for what cannot be an id."""
        return self._folder / checked_job_id(run_id)

    def runs(self) -> dict[str, JobView | None]:
        """Every run with its job, None where the list of jobs has forgotten it."""
        jobs = {job.job_id: job for job in self._jobs.views(self._kind)}
        stored = [path.name for path in self._folder.glob("[!.]*") if path.is_dir()] if self._folder.exists() else []
        return {run_id: jobs.get(run_id) for run_id in {*jobs, *stored}}

    def job(self, run_id: str) -> JobView | None:
        """The job of a run, None where it is forgotten; raises `BadInput` for an unknown run."""
        job = self._jobs.view(run_id) if self._jobs.knows(run_id) else None
        if not self.path(run_id).exists() and (job is None or job.kind != self._kind):
            raise BadInput(f"there is no {self._kind} {run_id!r}")
        return job

    def asked(self, run_id: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """What was asked for: of the stored request, or of the job while it has not begun; else empty."""
        asked = request.get("request")
        if not isinstance(asked, Mapping):
            asked = self._jobs.order(run_id).arguments.get("request") if self._jobs.knows(run_id) else {}
        return asked if isinstance(asked, Mapping) else {}

    def require_ended(self, job: JobView) -> None:
        """Raise `BadInput` for a run that runs or waits: it may not be deleted."""
        if job.state not in ENDED:
            raise BadInput(f"{self._kind} {job.job_id} is {job.state.value}; cancel it first, then delete it")

    def delete(self, run_id: str) -> None:
        """Remove the files and the job of a run; raises `CannotRecord`.

        The folder loses its name before its content, so that no half of a run is ever listed.
        """
        folder = self.path(run_id)
        gone = folder.with_name(f".{uuid4().hex}")
        if folder.exists():
            with recorded(folder):
                folder.rename(gone)
        if self._jobs.knows(run_id):
            self._jobs.forget(run_id)
        shutil.rmtree(gone, ignore_errors=True)

    def remembered(self, run_id: str, started_at: datetime | None, result: Mapping[str, Any] | None) -> JobView:
        """The job of a run that the list of jobs has forgotten: done where it has a result, else failed."""
        done = result is not None
        return JobView(
            job_id=run_id,
            kind=self._kind,
            title=run_id,
            state=JobState.DONE if done else JobState.FAILED,
            share=1.0 if done else 0.0,
            detail="done" if done else "it ended without a result",
            started_at=started_at or datetime.fromtimestamp(0, UTC),
            seconds=float((result or {}).get("seconds") or 0.0),
            seconds_left=None,
            result="",
        )


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


def require_page(page: int, size: int) -> None:
    """Raise `BadInput` for a page below 1 or a size outside 1 to 10,000."""
    if page < 1 or not 1 <= size <= MAX_PAGE:
        raise BadInput(f"page {page} of {size} rows: pages count from 1 and hold 1 to {MAX_PAGE:,} rows")


def paged(rows: Sequence[_Row], page: int, size: int) -> PageOf[_Row]:
    """One page of rows; raises as `require_page`."""
    require_page(page, size)
    return PageOf(tuple(rows[(page - 1) * size : page * size]), len(rows), page, size)
