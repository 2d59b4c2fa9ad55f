"""The studies of a data folder: trials from the database, results and notes from their folders, state from jobs."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import InvalidOperation
from pathlib import Path
from typing import Any

from engine.domain.codec import utc_from_text
from engine.domain.errors import BadInput, StorageError
from engine.domain.instruments import InstrumentKey
from engine.domain.research import BacktestView
from engine.domain.studies import StudyBest, StudyRow, StudyState, StudyTrial, StudyView, TrialEnd
from engine.domain.views import JobState, JobView
from engine.runtime.jobs import Jobs
from engine.runtime.research_studies_files import Asked, StudyFolder, study_names
from engine.runtime.research_studies_views import (
    Searched,
    best_of_study,
    best_trial,
    cautions_of,
    choices_of,
    conditions_of,
    figures_of,
    look_of,
    searched_of,
    trials_of,
    verdict_in,
    windows_of_study,
)
from engine.runtime.research_views import row_of, trade_of, view_of
from engine.storage.base import Database
from engine.storage.research import HoldoutTouch, ResearchStore, StoredStudy

KIND = "study"
_BROKEN = (KeyError, IndexError, TypeError, ValueError, InvalidOperation)
_STATES = {JobState.QUEUED: StudyState.QUEUED, JobState.RUNNING: StudyState.RUNNING, JobState.FAILED: StudyState.FAILED}
WORKING = (StudyState.QUEUED, StudyState.RUNNING)


@dataclass(slots=True)
class _Known:
    """What was read of one study; trials are only ever added, a record is read again when it is written again."""

    study: StoredStudy
    searched: Searched
    trials: list[StudyTrial] = field(default_factory=list)
    recorded_ns: int = 0
    record: dict[str, Any] | None = None
    run: BacktestView | None = None
    touch: HoldoutTouch | None = None


class StudyShelf:
    """Reads every study; one object for a data folder, used by any thread, so that a trial is read once.

    Parameters
    ----------
    data : Path
        The data folder.
    jobs : Jobs
    """

    def __init__(self, data: Path, jobs: Jobs) -> None:
        self._data = data
        self._jobs = jobs
        self._store: ResearchStore | None = None
        self._known: dict[str, _Known] = {}
        self._lock = threading.RLock()

    def close(self) -> None:
        """Give the database back."""
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None

    def store(self) -> ResearchStore:
        """The database, made where it is missing."""
        with self._lock:
            if self._store is None:
                self._store = ResearchStore(self._data)
            return self._store

    def folder(self, name: str) -> StudyFolder:
        """Where the files of a study lie."""
        return StudyFolder(self._data, name)

    def rows(self) -> tuple[StudyRow, ...]:
        """Every study, newest first; one whose files are damaged is a failed one that says so.

        Raises `StorageError` where the database cannot be read.
        """
        with self._lock:
            stored = [one.name for one in self.store().studies()] if self._has_database() else []
            found = [self._listed(name) for name in {*stored, *study_names(self._data)}]
        return tuple(sorted(found, key=lambda row: (row.created_at, row.name), reverse=True))

    def row(self, name: str) -> StudyRow:
        """One study; raises `BadInput` for an unknown one."""
        with self._lock:
            if name not in study_names(self._data) and self._read(name) is None:
                raise BadInput(f"there is no study {name!r:.90}")
            return self._row(name)

    def stored(self, name: str) -> StoredStudy | None:
        """A study as the database has it, None before its search began."""
        known = self._read(name)
        return None if known is None else known.study

    def trials(self, name: str) -> Sequence[StudyTrial]:
        """Every trial so far, in order."""
        known = self._read(name)
        return () if known is None else tuple(known.trials)

    def view(self, name: str) -> StudyView:
        """Everything about a study; raises `BadInput` for an unknown one."""
        with self._lock:
            row, known, folder = self.row(name), self._read(name), self.folder(name)
            if known is None:
                return StudyView(row, (), (), (), (), "", (), (), None, None, (), _blocked(row), _not_begun(row), ())
            try:
                return self._view(row, known, folder)
            except _BROKEN as error:
                raise folder.damaged("record.json", error) from error

    def _view(self, row: StudyRow, known: _Known, folder: StudyFolder) -> StudyView:
        windows, record = windows_of_study(known.study), known.record
        selection = {} if record is None else record["selection"]
        return StudyView(
            row=row,
            settings=known.searched.settings,
            trials=tuple(known.trials),
            windows=windows,
            choices=() if record is None else tuple(choices_of(record, windows, known.trials)),
            choices_reason=str(selection.get("reason") or "the study is not judged yet"),
            figures=() if record is None else tuple(figures_of(record)),
            paths=tuple(map(float, selection.get("paths") or ())),
            best=self._best(known, folder),
            look=None if known.touch is None else look_of(known.touch),
            cautions=tuple(cautions_of(record, row.measured)),
            continue_blocked=_blocked(row),
            look_blocked=self._look_blocked(row, known.study),
            conditions=tuple(conditions_of(known.study, record)),
        )

    def _look_blocked(self, row: StudyRow, study: StoredStudy) -> str:
        """Why the holdout cannot be looked at; also by another study of the strategy, at the same candles."""
        if row.looked_at is not None:
            return f"It was looked at on {row.looked_at:%Y-%m-%d}"
        if row.state is not StudyState.DONE:
            return "The study is not judged yet; let it end first"
        start, stop = (utc_from_text(study.definition["holdout"][end]) for end in ("from", "to"))
        instruments = tuple(map(str, row.instruments))
        asked = HoldoutTouch(study.name, study.strategy, instruments, start, stop, row.created_at, {}, {})
        earlier = self.store().touched_like(asked)
        if earlier is not None:
            return f"Study {earlier.study} looked at these days on {earlier.touched_at:%Y-%m-%d}"
        if (searched := self.store().searched_like(asked)) is not None:
            return f"Study {searched.source} searched days up to {searched.stop:%Y-%m-%d}, some of them of this holdout"
        return _blocked(row)

    def _best(self, known: _Known, folder: StudyFolder) -> StudyBest | None:
        found = best_trial(known.trials)
        if found is None:
            return None
        best = best_of_study(known.study, folder.asked().request, found, known.searched)
        judged = (known.record or {}).get("best") or {}
        return replace(best, run=known.run if judged.get("number") == found.number else None)

    def _row(self, name: str) -> StudyRow:
        known, folder = self._read(name), self.folder(name)
        asked = folder.asked()
        request, job = asked.request, self._job(asked.job_id)
        trials = [] if known is None else known.trials
        ends = [one.end for one in trials]
        measured = len(ends) - ends.count(TrialEnd.REFUSED)
        state, detail = _standing(known, job, measured, request)
        best = best_trial(trials)
        return StudyRow(
            name=name,
            **_subject(known, request),
            state=state,
            detail=detail,
            job=job,
            created_at=_created(known, asked),
            wanted=int(request["trials"]) if "trials" in request else None,
            measured=measured,
            complete=ends.count(TrialEnd.COMPLETE),
            pruned=ends.count(TrialEnd.PRUNED),
            refused=ends.count(TrialEnd.REFUSED),
            best=None if best is None else best.objective,
            verdict=None if known is None else verdict_in(known.record),
            looked_at=None if known is None or known.touch is None else known.touch.touched_at,
            note=folder.note(),
            archived=folder.is_archived(),
            started_here=bool(request),
        )

    def _listed(self, name: str) -> StudyRow:
        """A study, or of a damaged one what the database knows: it must hide no other."""
        try:
            return self._row(name)
        except StorageError as error:
            known = self._known.get(name)
            ends = [] if known is None else [one.end for one in known.trials]
            refused = ends.count(TrialEnd.REFUSED)
            best = None if known is None else best_trial(known.trials)
            return StudyRow(
                name=name,
                **_subject(known, {}),
                state=StudyState.FAILED,
                detail=f"damaged: {error}",
                job=None,
                created_at=datetime.fromtimestamp(0, UTC) if known is None else known.study.created_at,
                wanted=None,
                measured=len(ends) - refused,
                complete=ends.count(TrialEnd.COMPLETE),
                pruned=ends.count(TrialEnd.PRUNED),
                refused=refused,
                best=None if best is None else best.objective,
                verdict=None,
                looked_at=None if known is None or known.touch is None else known.touch.touched_at,
                note=None,
                archived=False,
                started_here=False,
            )

    def _job(self, job_id: str) -> JobView | None:
        return self._jobs.view(job_id) if job_id and self._jobs.knows(job_id) else None

    def _has_database(self) -> bool:
        return Database.RESEARCH.path(self._data).exists()

    def _read(self, name: str) -> _Known | None:
        """What is known of a study, brought up to date; None where the database has none of that name."""
        with self._lock:
            known = self._known.get(name)
            if known is None:
                study = self.store().study(name) if self._has_database() else None
                if study is None:
                    return None
                known = self._known[name] = _Known(study, searched_of(study))
            best = known.trials[-1].best if known.trials else None
            added = self.store().outcomes(name, len(known.trials))
            known.trials += trials_of(known.searched, added, best)
            known.touch = known.touch or self.store().touched(name)
            self._read_record(name, known)
            return known

    def _read_record(self, name: str, known: _Known) -> None:
        folder = self.folder(name)
        recorded_ns = folder.recorded_ns()
        if recorded_ns == known.recorded_ns:
            return
        known.record, known.run = folder.record(), None
        try:
            if known.record is not None:
                known.run = _run(name, known.record, folder)
        except _BROKEN as error:
            raise folder.damaged("record.json", error) from error
        known.recorded_ns = recorded_ns


def _run(name: str, record: Mapping[str, Any], folder: StudyFolder) -> BacktestView:
    """The run of the best settings over all folds' days."""
    body, best = record["development"], folder.best
    made_at = datetime.fromisoformat(str(body["made_at"]))
    job = JobView(name, KIND, name, JobState.DONE, 1.0, "done", made_at, float(record["seconds"]), None, "")
    trades = [trade_of(number, one) for number, one in enumerate(best.trades(), start=1)]
    return view_of(body, row_of(body, job, None), best.curve(), trades)


def _subject(known: _Known | None, request: Mapping[str, Any]) -> dict[str, Any]:
    if known is not None:
        series = [(one["instrument"], one["timeframe"]) for one in known.study.definition["series"]]
        strategy = known.study.strategy
    else:
        series, strategy = request.get("series") or [("", "")], str(request.get("strategy", ""))
    instruments = tuple(sorted(InstrumentKey(str(key)) for key, _ in series if key))
    return {"strategy": strategy, "instruments": instruments, "timeframe": str(series[0][1])}


def _created(known: _Known | None, asked: Asked) -> datetime:
    if known is not None:
        return known.study.created_at
    return asked.at or datetime.fromtimestamp(0, UTC)


def _standing(
    known: _Known | None, job: JobView | None, measured: int, request: Mapping[str, Any]
) -> tuple[StudyState, str]:
    if job is not None and job.state in (JobState.QUEUED, JobState.RUNNING):
        return _STATES[job.state], job.detail
    record = None if known is None else known.record
    if record is not None and int(record["counts"]["measured"]) == measured:
        return StudyState.DONE, str(record["verdict"]["line"])
    wanted = f" of {int(request['trials']):,}" if "trials" in request else ""
    stored = f"{measured:,}{wanted} trials are stored"
    if job is not None and job.state is JobState.FAILED:
        return StudyState.FAILED, f"{job.detail}; {stored}"
    if not request:
        return StudyState.STOPPED, f"not judged; {stored}, and a search on the command line may still run"
    return StudyState.STOPPED, f"it was stopped; {stored}"


def _blocked(row: StudyRow) -> str:
    """Why a study cannot go on."""
    if row.state in WORKING:
        return f"It is {row.state.value}"
    if row.looked_at is not None:
        return f"It ended on {row.looked_at:%Y-%m-%d}, when its holdout was looked at"
    return "" if row.started_here else "It was run on the command line, which goes on with it"


def _not_begun(row: StudyRow) -> str:
    return f"Nothing was found yet: {row.detail}"
