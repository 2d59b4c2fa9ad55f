"""Finished and running replays as pages show them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from engine.domain.codec import utc_from_text
from engine.domain.errors import StorageError
from engine.domain.library_views import ReplayView
from engine.domain.views import FillRow, JobView, PageOf
from engine.runtime.job_shelf import ENDED
from engine.runtime.jobs import Jobs
from engine.runtime.research_views import remarks_of
from engine.runtime.run_shelf import RunShelf, require_page
from engine.simulation.run_files import RunFolder

KIND = "replay"
FOLDER = "replays"
CURVE_POINTS = 1500


class ReplayShelf:
    """The replays of a data folder: jobs that queue and run, and results that stay when their job is forgotten."""

    def __init__(self, data: Path, jobs: Jobs) -> None:
        self._shelf = RunShelf(data / FOLDER, jobs, KIND)
        self._complete: dict[str, ReplayView] = {}

    def folder(self, run_id: str) -> RunFolder:
        """Where a run lies; raises `BadInput` for what cannot be an id."""
        return RunFolder(self._shelf.path(run_id))

    def views(self) -> tuple[ReplayView, ...]:
        """Every replay, newest first, without curves; raises `StorageError` where they cannot be read."""
        found = [self._view(run_id, job) for run_id, job in self._shelf.runs().items()]
        return tuple(sorted(found, key=lambda view: (view.job.started_at, view.run_id), reverse=True))

    def view(self, run_id: str) -> ReplayView:
        """One replay with its curve; raises `BadInput` for an unknown one."""
        view, folder = self._view(run_id, self._shelf.job(run_id)), self.folder(run_id)
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
        require_page(page, size)
        self._shelf.job(run_id)
        return self.folder(run_id).fills(page, size)

    def ended(self, run_id: str) -> ReplayView:
        """A replay that may be deleted; raises `BadInput` for an unknown one and for one that runs or waits."""
        view = self.view(run_id)
        self._shelf.require_ended(view.job)
        return view

    def delete(self, run_id: str) -> None:
        """Remove the files and the job of a replay that has ended; raises `BadInput`, `CannotRecord`."""
        self._shelf.delete(self.ended(run_id).run_id)
        self._complete.pop(run_id, None)

    def _view(self, run_id: str, job: JobView | None) -> ReplayView:
        known = self._complete.get(run_id)
        if known is not None:
            return known
        folder = self.folder(run_id)
        result = folder.result()
        request = folder.request()
        job = job or self._shelf.remembered(run_id, _started_at(request), result)
        facts = result or (folder.partial() if job.state not in ENDED else None) or {}
        asked = self._shelf.asked(run_id, request)
        view = _made(run_id, job, asked, facts)
        if result is not None and job.state in ENDED:
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
            remarks=remarks_of(facts.get("series", ())),
        )
    except (TypeError, ValueError, LookupError, InvalidOperation) as error:
        raise StorageError(f"the files of replay {run_id} are damaged ({error}); delete its folder") from error


def _money(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _started_at(request: Mapping[str, Any]) -> datetime | None:
    text = request.get("started_at")
    return utc_from_text(text) if isinstance(text, str) else None
