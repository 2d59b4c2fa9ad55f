"""The console of one signed-in person: the one facade that pages and the HTTP API see."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.domain.commands import Actor, Role
from engine.domain.tax_views import TaxReport
from engine.domain.views import JobView
from engine.runtime.library import LibraryDesk
from engine.runtime.research import ResearchDesk
from engine.runtime.research_studies import StudyDesk
from engine.runtime.services import Services
from engine.runtime.stages import StageDesk
from engine.tax.export import csv_of

_PERPETUAL = re.compile(r"^[^-_]+_[^-_]+_[^-_]+-|-(futures|mark|funding)\b")
"""File names that say perpetual themselves; any other is taken for spot unless the form says otherwise."""


class Console(StageDesk, LibraryDesk, ResearchDesk, StudyDesk):
    """Everything of `engine.domain.facade.ConsolePort`, bound to who asks.

    Parameters
    ----------
    services : Services
    who : callable
        Who is asking, with the role as it is now.
    handle : str
        Name of the session; empty for the command line.
    """

    def __init__(self, services: Services, who: Callable[[], Actor], handle: str = "") -> None:
        StageDesk.__init__(self, services, who, handle)
        LibraryDesk.__init__(self, services, self.require)
        ResearchDesk.__init__(self, services, who, self.require)
        StudyDesk.__init__(self, services, who, self.require)

    def tax_report(self, book: str, year: int, zone: str) -> TaxReport:
        """Realised gains FIFO over the year."""
        return self._services.taxes.report(self.snapshot().book(book), year, zone)

    def tax_csv(self, book: str, year: int, zone: str) -> tuple[str, bytes]:
        """The same rows as CSV."""
        report = self._services.taxes.report(self.snapshot().book(book), year, zone, fresh=True)
        mark = "-SIMULATED" if report.simulated else ""
        return f"quarterdeck-tax-{book}-{year}-fifo{mark}.csv", csv_of(report)

    def start_import(self, job_id: str, file_name: str, content: bytes, options: Mapping[str, str]) -> JobView:
        """Import a candle file; who started it is audited."""
        self.require(Role.OPERATOR)
        self._audit_change("import_started", file_name, job_id)
        kind = options.get("kind") or ("" if _PERPETUAL.search(file_name) else "spot")
        return super().start_import(job_id, file_name, content, {**options, **({"kind": kind} if kind else {})})

    def start_download(self, job_id: str, options: Mapping[str, str]) -> JobView:
        """Download public candles; who started it is audited."""
        self.require(Role.OPERATOR)
        self._audit_change("download_started", options.get("symbol", ""), job_id)
        return super().start_download(job_id, options)

    def delete_replay(self, run_id: str) -> None:
        """Remove a replay that has ended; who did it is audited before its files go."""
        self.require(Role.OPERATOR)
        run = self._replay_shelf.ended(run_id)
        self._audit_change("replay_deleted", run_id, f"{run.strategy} on {', '.join(run.instruments)}")
        super().delete_replay(run_id)

    def start_backtest(self, job_id: str, request: Mapping[str, Any]) -> JobView:
        """Start a backtest; who started it is audited, a repeat of the same id is not."""
        self.require(Role.OPERATOR)
        known = self._services.jobs.knows(job_id)
        job = super().start_backtest(job_id, request)
        if not known:
            self._audit_change("backtest_started", job_id, job.title)
        return job

    def note_backtest(self, run_id: str, text: str) -> None:
        """Replace the note of a run; who wrote it is audited."""
        self.require(Role.OPERATOR)
        super().note_backtest(run_id, text)
        self._audit_change("backtest_noted", run_id, f"{len(text.strip())} characters")

    def delete_backtest(self, run_id: str) -> None:
        """Remove a run that has ended; who did it is audited before its files go."""
        self.require(Role.OPERATOR)
        run = self._research_shelf.ended(run_id)
        self._audit_change("backtest_deleted", run_id, f"{run.strategy} on {', '.join(run.instruments)}")
        super().delete_backtest(run_id)

    def start_study(self, job_id: str, request: Mapping[str, Any]) -> JobView:
        """Start a study; who started it is audited, a repeat of the same id is not."""
        begin = super().start_study
        return self._audited_start("study_started", job_id, lambda: begin(job_id, request))

    def continue_study(self, job_id: str, name: str, trials: int) -> JobView:
        """Go on with a study; audited like its start."""
        begin = super().continue_study
        return self._audited_start("study_continued", job_id, lambda: begin(job_id, name, trials))

    def look_at_holdout(self, job_id: str, name: str) -> JobView:
        """Look once at the holdout of a study; who did is audited."""
        begin = super().look_at_holdout
        return self._audited_start("holdout_looked_at", job_id, lambda: begin(job_id, name))

    def note_study(self, name: str, text: str) -> None:
        """Replace the note of a study; who wrote it is audited."""
        self.require(Role.OPERATOR)
        super().note_study(name, text)
        self._audit_change("study_noted", name, f"{len(text.strip())} characters")

    def archive_study(self, name: str, archived: bool) -> None:
        """Leave a study out of lists, or take it back; who did is audited."""
        self.require(Role.OPERATOR)
        super().archive_study(name, archived)
        self._audit_change("study_archived" if archived else "study_taken_back", name, "")

    def _audited_start(self, action: str, job_id: str, begin: Callable[[], JobView]) -> JobView:
        self.require(Role.OPERATOR)
        known = self._services.jobs.knows(job_id)
        job = begin()
        if not known:
            self._audit_change(action, job_id, job.title)
        return job

    def cancel_job(self, job_id: str) -> None:
        """Ask a job to stop; who asked is audited."""
        self.require(Role.OPERATOR)
        self._audit_change("job_cancelled", job_id, "")
        super().cancel_job(job_id)

    def start_backup(self, job_id: str) -> JobView:
        """Make a verified backup now."""
        self.require(Role.OPERATOR)
        self._audit_change("backup_started", job_id, "")
        return self._services.jobs.start_backup(job_id, Path(self._services.folder))
