"""The backtests of a data folder: jobs that queue and run, and results that stay when their job is forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from decimal import InvalidOperation
from pathlib import Path
from typing import Any

from engine.domain.errors import BadInput, StorageError
from engine.domain.instruments import InstrumentKey
from engine.domain.market import Timeframe
from engine.domain.research import BacktestRow, BacktestView, RunNote, RunTrade
from engine.domain.views import JobState, JobView, TradeChart
from engine.runtime.job_shelf import ENDED
from engine.runtime.jobs import Jobs
from engine.runtime.latest import Latest
from engine.runtime.research_files import ResearchFolder
from engine.runtime.research_views import asked_row, row_of, trade_of, view_of
from engine.runtime.run_shelf import RunShelf
from engine.runtime.trial_count import tried_since
from engine.storage.backup_research import RESEARCH_FOLDER
from engine.storage.base import Database
from engine.storage.research import ResearchStore

KIND = "backtest"
FOLDER = RESEARCH_FOLDER
_KEPT = 6
"""Runs of which everything is kept in memory: as many as are compared at once, and one."""
ChartKey = tuple[InstrumentKey, Timeframe, datetime, datetime, str]
"""What a chart of candles is of: instrument, length of a candle, from, to, and the hash of what was stored."""
_BROKEN = (KeyError, IndexError, TypeError, ValueError, InvalidOperation)


class ResearchShelf:
    """Reads, notes and deletes runs; one object for a data folder, used by any thread.

    A complete run never changes, so it is read from the disk once, but for its note. Of the rows all are kept, of the
    rest, which is large, what was asked for last; ``charts`` keeps candles that were drawn.

    Parameters
    ----------
    data : Path
        The data folder.
    jobs : Jobs
    """

    def __init__(self, data: Path, jobs: Jobs) -> None:
        self._shelf = RunShelf(data / FOLDER, jobs, KIND)
        self._data = data
        self._rows: dict[str, BacktestRow] = {}
        self._trades: Latest[str, tuple[RunTrade, ...]] = Latest(_KEPT)
        self.charts: Latest[ChartKey, TradeChart] = Latest(_KEPT)
        self._views: Latest[str, tuple[Mapping[str, Any], BacktestView]] = Latest(_KEPT)

    def folder(self, run_id: str) -> ResearchFolder:
        """Where a run lies; raises `BadInput` for what cannot be an id."""
        return ResearchFolder(self._shelf.path(run_id))

    def rows(self) -> tuple[BacktestRow, ...]:
        """Every run, newest first; one whose files are damaged is a failed one that says so."""
        found = [self._listed(run_id, job) for run_id, job in self._shelf.runs().items()]
        return tuple(sorted(found, key=lambda row: (row.job.started_at, row.run_id), reverse=True))

    def row(self, run_id: str) -> BacktestRow:
        """One run; raises `BadInput` for an unknown one."""
        return self._row(run_id, self._shelf.job(run_id))

    def done(self, run_id: str) -> BacktestRow:
        """One run with a result; raises `BadInput` where it has none."""
        row = self.row(run_id)
        if not row.is_done:
            raise BadInput(f"backtest {run_id} is {row.job.state.value} and has no result: {row.job.detail}")
        return row

    def view(self, run_id: str) -> BacktestView:
        """Everything about a run but its trades; raises as `done`."""
        row = self.done(run_id)
        record, view = self._views.get(run_id) or self._viewed(row)
        try:
            return replace(view, row=row, tried_since=self._tried_since(record))
        except _BROKEN as error:
            raise self.folder(run_id).damaged("result.json", error) from error

    def _viewed(self, row: BacktestRow) -> tuple[Mapping[str, Any], BacktestView]:
        folder = self.folder(row.run_id)
        record = folder.result() or {}
        try:
            found = record, view_of(record, row, folder.curve(), self.trades(row.run_id))
        except _BROKEN as error:
            raise folder.damaged("result.json", error) from error
        self._views.put(row.run_id, found)
        return found

    def _tried_since(self, record: Mapping[str, Any]) -> int | None:
        """Settings tried since the verdict, None where the record of trials or the run's times cannot be read."""
        if not Database.RESEARCH.path(self._data).exists() or not record.get("made_at"):
            return None
        try:
            with closing(ResearchStore(self._data)) as store:
                return tried_since(store, record)
        except StorageError:
            return None

    def record(self, run_id: str) -> dict[str, Any]:
        """The stored record of a run that is done, without its trades."""
        self.done(run_id)
        return self.folder(run_id).result() or {}

    def trades(self, run_id: str) -> tuple[RunTrade, ...]:
        """Trades of a run that is done, by exit."""
        known = self._trades.get(run_id)
        if known is not None:
            return known
        self.done(run_id)
        folder = self.folder(run_id)
        try:
            made = tuple(trade_of(number, body) for number, body in enumerate(folder.trades(), start=1))
        except _BROKEN as error:
            raise folder.damaged("trades.jsonl", error) from error
        self._trades.put(run_id, made)
        return made

    def note(self, run_id: str, note: RunNote | None) -> None:
        """Replace the note of a run; None removes it. Raises `BadInput` for a run that has no folder yet."""
        self.row(run_id)
        folder = self.folder(run_id)
        if not folder.path.exists():
            raise BadInput(f"backtest {run_id} has not begun; note it once it runs")
        folder.write_note(note)

    def ended(self, run_id: str) -> BacktestRow:
        """A run that may be deleted, also a damaged one; raises `BadInput` for one that is unknown, runs or waits."""
        row = self._listed(run_id, self._shelf.job(run_id))
        self._shelf.require_ended(row.job)
        return row

    def delete(self, run_id: str) -> None:
        """Remove the files and the job of a run that has ended; raises `BadInput`, `CannotRecord`."""
        self._shelf.delete(self.ended(run_id).run_id)
        self._rows.pop(run_id, None)
        self._trades.drop(run_id)
        self._views.drop(run_id)

    def _listed(self, run_id: str, job: JobView | None) -> BacktestRow:
        """A run, or of a damaged one what is known without its files: it must hide no other, and can be deleted."""
        try:
            return self._row(run_id, job)
        except StorageError as error:
            job = job or self._shelf.remembered(run_id, None, None)
            state = JobState.FAILED if job.state is JobState.DONE else job.state
            return asked_row(run_id, replace(job, state=state, detail=f"damaged: {error}"), {}, None)

    def _row(self, run_id: str, job: JobView | None) -> BacktestRow:
        folder = self.folder(run_id)
        note, known = folder.note(), self._rows.get(run_id)
        if known is not None:
            return replace(known, note=note)
        result = folder.result()
        job = job or self._shelf.remembered(run_id, folder.started_at(), result)
        try:
            if result is None:
                return asked_row(run_id, job, self._shelf.asked(run_id, folder.request()), note)
            row = row_of(result, job, note)
        except _BROKEN as error:
            raise folder.damaged("result.json", error) from error
        if job.state in ENDED:
            self._rows[run_id] = row
        return row
