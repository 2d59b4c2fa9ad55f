"""Studies as a signed-in person may use them: plan, start, continue, look once at the holdout, note, put away."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from engine.domain.codec import utc_text
from engine.domain.commands import Actor, Role
from engine.domain.errors import BadInput
from engine.domain.market import to_ms
from engine.domain.research import RunNote
from engine.domain.studies import (
    MOST_FORM_TRIALS,
    PlannedStudy,
    SearchField,
    StudyForm,
    StudyMachines,
    StudyRow,
    StudyTrial,
    StudyView,
    TrialEnd,
)
from engine.domain.views import JobView, PageOf
from engine.runtime.forms import form_of
from engine.runtime.funding_shelf import FundingShelf
from engine.runtime.job_files import JobOrder
from engine.runtime.job_worker import task_name
from engine.runtime.replay_data import SeriesNames, read_detail, read_series_names
from engine.runtime.replay_request import limits_for, require_known
from engine.runtime.research import checked_note
from engine.runtime.research_studies_job import REQUEST_KEYS, checked_study, study_task
from engine.runtime.research_studies_shelf import KIND, WORKING, StudyShelf
from engine.runtime.research_studies_views import windows_of_layout
from engine.runtime.research_studies_words import in_form_words
from engine.runtime.run_shelf import paged
from engine.runtime.services import Services
from engine.runtime.studies import StudyRequest, definition_without_candles
from engine.runtime.study_run import name_of
from engine.runtime.titles import title_of
from engine.simulation.search_space import space_of
from engine.simulation.study import AT_ONCE
from engine.simulation.study_layout import Extent, layout_between
from engine.storage.candles import Coverage
from engine.strategies import BACKTESTS

_FILTERS = frozenset({"strategy", "text", "archived"})
_TRIAL_FILTERS = frozenset({"state", "order"})
_ORDERS: Mapping[str, tuple[Callable[[StudyTrial], Any], bool]] = {
    "newest": (lambda one: one.number, True),
    "oldest": (lambda one: one.number, False),
    "best": (lambda one: (one.end is TrialEnd.COMPLETE, one.objective or 0.0, -one.number), True),
    "worst": (lambda one: (one.end is not TrialEnd.COMPLETE, one.objective or 0.0, one.number), False),
}


class StudyDesk:
    """The part of the console about studies.

    Parameters
    ----------
    services : Services
    who : callable
        The person who asks.
    require : callable
        Raises `AccessDenied` unless the person has at least the role it is given.
    """

    def __init__(self, services: Services, who: Callable[[], Actor], require: Callable[[Role], None]) -> None:
        self._services = services
        self._who_studies = who
        self._require_role = require

    def study_forms(self) -> tuple[StudyForm, ...]:
        """Every strategy that can be searched, with the bounds of its settings."""
        return tuple(
            StudyForm(kind.name, kind.title, kind.summary, tuple(_fields(kind.config))) for kind in BACKTESTS.values()
        )

    def study_machines(self) -> StudyMachines:
        """Who can run trials: more processes than trials at once, or than processors, have nothing to do."""
        scheduler = self._services.settings.settings.research.scheduler
        return StudyMachines(scheduler, max(1, min(AT_ONCE, os.cpu_count() or 1)))

    def plan_study(self, request: Mapping[str, Any]) -> PlannedStudy:
        """What a request would do; raises `BadInput` that says what cannot be used."""
        return self._checked_plan(request)[1]

    def start_study(self, job_id: str, request: Mapping[str, Any]) -> JobView:
        """Start the search as a job of its own; the same id is carried out once.

        Raises
        ------
        BadInput
            Anything in the request that cannot be used; or the study runs already.
        """
        self._require_role(Role.OPERATOR)
        if self._services.jobs.knows(job_id):
            return self._services.jobs.view(job_id)
        asked, planned = self._checked_plan(request)
        if planned.goes_on:
            self._require_idle(self._study_shelf.row(planned.name))
        return self._begin_study(job_id, asked)

    def continue_study(self, job_id: str, name: str, trials: int) -> JobView:
        """Go on with a study up to so many measured trials in all.

        Raises
        ------
        BadInput
            It runs, ended with its holdout, was run on the command line, or has as many trials.
        """
        self._require_role(Role.OPERATOR)
        if self._services.jobs.knows(job_id):
            return self._services.jobs.view(job_id)
        view = self._study_shelf.view(name)
        if view.continue_blocked:
            raise BadInput(f"study {name} cannot go on. {view.continue_blocked}")
        if trials < view.row.measured:
            raise BadInput(f"study {name} has {view.row.measured:,} trials; {trials:,} in all would be fewer")
        return self._begin_study(job_id, {**self._study_shelf.folder(name).asked().request, "trials": trials})

    def look_at_holdout(self, job_id: str, name: str) -> JobView:
        """Run the best settings on the holdout, once for good.

        Raises
        ------
        BadInput
            The study is not judged, or its holdout was looked at; says when.
        """
        self._require_role(Role.OPERATOR)
        if self._services.jobs.knows(job_id):
            return self._services.jobs.view(job_id)
        view = self._study_shelf.view(name)
        if view.look_blocked:
            raise BadInput(f"the holdout of study {name} cannot be looked at. {view.look_blocked}")
        request = {**self._study_shelf.folder(name).asked().request, "trials": view.row.measured}
        return self._begin_study(job_id, request, look=True)

    def studies(self, page: int, size: int, filters: Mapping[str, str]) -> PageOf[StudyRow]:
        """History, newest first; raises `BadInput` for a filter there is none of."""
        _require_filters(filters, _FILTERS)
        strategy, text = filters.get("strategy", ""), filters.get("text", "").casefold()
        archived = filters.get("archived", "")
        rows = [
            row
            for row in self._study_shelf.rows()
            if strategy in ("", row.strategy) and _says(row, text) and _is_listed(row, archived)
        ]
        return paged(rows, page, size)

    def study(self, name: str) -> StudyView:
        """One study; raises `BadInput` where there is none."""
        return self._study_shelf.view(name)

    def study_trials(self, name: str, page: int, size: int, filters: Mapping[str, str]) -> PageOf[StudyTrial]:
        """Its trials, newest first unless ``order`` says otherwise; raises `BadInput` for what cannot be a filter."""
        _require_filters(filters, _TRIAL_FILTERS)
        order, state = filters.get("order") or "newest", filters.get("state", "")
        if order not in _ORDERS:
            raise BadInput(f"trials cannot be ordered by {order!r:.40}; by {', '.join(_ORDERS)}")
        if state and state not in {end.value for end in TrialEnd}:
            raise BadInput(f"state {state!r:.40} is not {', '.join(end.value for end in TrialEnd)}")
        key, descending = _ORDERS[order]
        self._study_shelf.row(name)
        rows = [one for one in self._study_shelf.trials(name) if state in ("", one.end.value)]
        return paged(sorted(rows, key=key, reverse=descending), page, size)

    def note_study(self, name: str, text: str) -> None:
        """Replace the note of a study; empty text removes it; raises `BadInput` for what cannot be kept."""
        self._require_role(Role.OPERATOR)
        kept = checked_note(text)
        self._study_shelf.row(name)
        note = RunNote(kept, self._who_studies().name, self._services.clock.now()) if kept else None
        self._study_shelf.folder(name).write_note(note)

    def archive_study(self, name: str, archived: bool) -> None:
        """Put a study away, or take it back: its trials stay, for every one of them counts."""
        self._require_role(Role.OPERATOR)
        row = self._study_shelf.row(name)
        if archived:
            self._require_idle(row)
        self._study_shelf.folder(name).archive(self._services.clock.now() if archived else None)

    def study_record(self, name: str) -> tuple[str, bytes]:
        """File name and bytes of the whole record as JSON; raises `BadInput` while it is not judged."""
        self._study_shelf.row(name)
        record = self._study_shelf.folder(name).record()
        if record is None:
            raise BadInput(f"study {name} is not judged yet; let it end first")
        return f"quarterdeck-study-{name}.json", json.dumps(record, allow_nan=False, indent=1).encode()

    # -- inside --------------------------------------------------------------------------------------------------

    @property
    def _study_shelf(self) -> StudyShelf:
        return self._services.studies

    def _require_idle(self, row: StudyRow) -> None:
        if row.state in WORKING:
            raise BadInput(f"study {row.name} is {row.state.value}; wait for it, or cancel it")

    def _begin_study(self, job_id: str, request: Mapping[str, Any], look: bool = False) -> JobView:
        name, scheduler = str(request["study"]), self._services.settings.settings.research.scheduler
        arguments = {
            "data": str(self._services.folder),
            "candles": str(self._services.candles.folder),
            "request": {**request, "scheduler": scheduler, "holdout_report": look},
        }
        instruments = ", ".join(str(key).partition(":")[2] for key, _ in request["series"])
        what = "holdout of " if look else ""
        title = f"{what}{name}: {title_of(str(request['strategy']))} on {instruments}"
        self._study_shelf.folder(name).write_request(request, job_id, self._services.clock.now())
        self._study_shelf.folder(name).archive(None)
        return self._services.jobs.start(job_id, JobOrder(KIND, title, task_name(study_task), arguments))

    def _checked_plan(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], PlannedStudy]:
        try:
            return self._planned_study(request)
        except BadInput as error:
            raise in_form_words(error, str(request.get("strategy", ""))) from error

    def _planned_study(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], PlannedStudy]:
        """The request complete, with its end pinned so that newer candles change nothing, and what it would do."""
        require_known(request, REQUEST_KEYS | {"risk"})
        risk = limits_for([request.get("strategy")], self._services.settings.settings.risk.model_dump(mode="json"))
        asked = {"risk": risk, **request}
        names = read_series_names(request.get("series"))
        rows = self._held_series(names)
        fine = read_detail(request.get("detail"), names)
        if fine is not None:
            self._held_series([(key, fine) for key, _ in names])
        instruments = [self._services.candles.instrument(key) for key, _ in names]
        if len({instrument.quote for instrument in instruments}) > 1:
            raise BadInput("the series are priced in different coins; study them apart")
        without = request.get("funding") == "none"
        FundingShelf(self._services.folder / "funding").funding_of(instruments, without=without)
        asked["series"] = [(key, str(length)) for key, length in names]
        asked["to"] = request.get("to") or utc_text(min(row.last + row.timeframe.delta for row in rows))
        checked = checked_study(asked)
        if checked.trials > MOST_FORM_TRIALS:
            raise BadInput(f"trials {checked.trials:,} are more than {MOST_FORM_TRIALS:,}; the command line takes more")
        asked |= {"cash": str(checked.backtest.replay.config.cash), "trials": checked.trials}
        asked["study"] = checked.name or _name_of(asked, rows)
        return asked, self._plan_of_study(str(asked["study"]), checked, rows)

    def _plan_of_study(self, name: str, checked: StudyRequest, rows: Sequence[Coverage]) -> PlannedStudy:
        replay = checked.backtest.replay
        extents = [Extent(to_ms(row.first), to_ms(row.last + row.timeframe.delta), row.timeframe.ms) for row in rows]
        layout = layout_between(extents, (replay.start, replay.stop), checked.layout)
        (strategy,) = replay.config.strategies
        space = space_of(BACKTESTS[strategy].config, checked.fixed, checked.ranges)
        stored = self._study_shelf.stored(name)
        if stored is not None:
            _require_same(name, stored.definition, definition_without_candles(checked, space, layout))
        measured = 0 if stored is None else self._study_shelf.row(name).measured
        first = max(row.first for row in rows)
        windows = windows_of_layout(max(first, replay.start or first), layout, checked.layout.embargo_days)
        return PlannedStudy(name, windows, stored is not None, measured)

    def _held_series(self, names: SeriesNames) -> list[Coverage]:
        held = {(row.instrument, row.timeframe): row for row in self._services.candles.coverage()}
        for key, length in names:
            if (key, length) not in held:
                self._services.candles.read(key, length)  # raises, and says what is held
        return [held[name] for name in names]


def _fields(config: type[BaseModel]) -> Iterable[SearchField]:
    for field in form_of(config, {}):
        others = {name: None for name in config.model_fields if name != field.name}
        try:
            (one,) = space_of(config, others)
        except BadInput:  # it can only be fixed
            yield SearchField(field, None, None)
            continue
        yield SearchField(field, *((None, None) if one.choices else (one.low, one.high)))


def _require_same(name: str, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    differing = sorted(key for key, value in asked.items() if stored.get(key) != value)
    if differing:
        words = ", ".join(key.replace("_", " ") for key in differing)
        raise BadInput(f"there is a study {name} with another {words}; give this one another name")


def _name_of(asked: Mapping[str, Any], rows: Sequence[Coverage]) -> str:
    """A name that is the same for the same request on the same candles."""
    given = {key: value for key, value in asked.items() if key not in ("trials", "workers", "study")}
    candles = [(row.instrument, str(row.first), str(row.last), row.rows) for row in rows]
    return name_of(str(asked["strategy"]), [given, candles])


def _require_filters(filters: Mapping[str, str], known: frozenset[str]) -> None:
    unknown = sorted(set(filters) - known)
    if unknown:
        raise BadInput(f"there is no filter {', '.join(unknown)}; there are {', '.join(sorted(known))}")


def _says(row: StudyRow, text: str) -> bool:
    words = " ".join((row.name, *row.instruments, row.note.text if row.note is not None else "")).casefold()
    return text in words


def _is_listed(row: StudyRow, archived: str) -> bool:
    if archived not in ("", "no", "yes"):
        raise BadInput(f"archived {archived!r:.40} is not yes or no")
    return not archived or row.archived is (archived == "yes")
