"""Studies as faces draw them: what was searched, every trial, what may be claimed of the best, the one look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Protocol

from engine.domain.instruments import InstrumentKey
from engine.domain.research import BacktestView, RunNote, RunVerdict, Statistic
from engine.domain.views import FormField, JobView, PageOf

SettingValue = bool | int | float | str

MOST_FORM_TRIALS = 5_000
"""Trials that a page asks for at most; the command line takes more."""


class StudyState(Enum):
    """Where a study stands: its search waits, runs, ended early and can go on, failed, or is judged."""

    QUEUED = "queued"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    DONE = "done"


class TrialEnd(Enum):
    """How a trial ended: run on every fold, abandoned as one of the worse, or refused and never run."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    REFUSED = "refused"


class WindowKind(Enum):
    """What the days of a window are for."""

    HISTORY = "history"
    FOLD = "fold"
    EMBARGO = "embargo"
    HOLDOUT = "holdout"


@dataclass(frozen=True, slots=True)
class SearchField:
    """A setting on the form: its field, and the bounds a search may take; both None where it can only be fixed."""

    field: FormField
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class StudyForm:
    """A strategy whose settings can be searched."""

    name: str
    title: str
    summary: str
    fields: tuple[SearchField, ...]


@dataclass(frozen=True, slots=True)
class StudyMachines:
    """Who can run trials: a Dask scheduler's address ("" without one), and useful processes of this computer."""

    scheduler: str
    most_workers: int


@dataclass(frozen=True, slots=True)
class StudyWindow:
    """Days from ``start`` up to ``stop``, which is not in it; folds are numbered from 1, all else has 0."""

    kind: WindowKind
    number: int
    start: datetime
    stop: datetime
    days: int


@dataclass(frozen=True, slots=True)
class PlannedStudy:
    """What a request would do: the study's name, its windows, whether it goes on with one that is stored."""

    name: str
    windows: tuple[StudyWindow, ...]
    goes_on: bool
    measured: int


@dataclass(frozen=True, slots=True)
class StudySetting:
    """A setting that was searched from ``low`` to ``high``, by ratio where ``logarithmic``, or among ``choices``."""

    name: str
    title: str
    low: float
    high: float
    logarithmic: bool
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StudyTrial:
    """One set of settings and what came of it.

    ``objective`` is an annualised Sharpe ratio after costs: of all folds where complete, of those it ran where pruned,
    None where refused. ``best`` is the largest objective of a complete trial so far, this one included. ``settings``
    and ``places`` (0 to 1 between the bounds, as the search measures them) lie in the order of the study's settings.
    """

    number: int
    end: TrialEnd
    objective: float | None
    best: float | None
    fold_scores: tuple[float, ...]
    settings: tuple[SettingValue, ...]
    places: tuple[float, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class FoldChoice:
    """What the folds before a fold would have chosen, and what it did there; annualised Sharpe ratios."""

    window: StudyWindow
    trial: int
    settings: tuple[SettingValue, ...]
    learned: float
    unseen: float


@dataclass(frozen=True, slots=True)
class HoldoutLook:
    """The one look at the holdout: when, with which settings, and what was found."""

    at: datetime
    settings: tuple[tuple[str, SettingValue], ...]
    verdict: RunVerdict
    final_equity: Decimal
    cash: Decimal
    currency: str
    statistics: tuple[Statistic, ...]


@dataclass(frozen=True, slots=True)
class StudyRow:
    """A study in the history.

    ``job`` is the last one that worked on it, None where it is forgotten or the study was run on the command line;
    ``wanted`` the trials asked for (None if unknown), ``measured`` those that were run, ``best`` the largest objective.
    """

    name: str
    strategy: str
    instruments: tuple[InstrumentKey, ...]
    timeframe: str
    state: StudyState
    detail: str
    job: JobView | None
    created_at: datetime
    wanted: int | None
    measured: int
    complete: int
    pruned: int
    refused: int
    best: float | None
    verdict: RunVerdict | None
    looked_at: datetime | None
    note: RunNote | None
    archived: bool
    started_here: bool


@dataclass(frozen=True, slots=True)
class StudyBest:
    """The best complete trial, with its complete settings as label and value, and one run of it over all folds' days.

    ``backtest`` is what the form of a backtest takes to run it again on those days; ``run`` is None until judged.
    """

    number: int
    objective: float
    settings: tuple[tuple[str, SettingValue], ...]
    backtest: Mapping[str, Any]
    run: BacktestView | None


@dataclass(frozen=True, slots=True)
class StudyView:
    """Everything about a study but its table of trials.

    ``figures`` weigh luck, overfitting and the plateau; ``paths`` are Sharpe ratios of combinatorial purged
    cross-validation; ``cautions`` is what the reader must know before the numbers; ``continue_blocked`` and
    ``look_blocked`` say why it cannot go on or its holdout not be looked at, "" where it can.
    """

    row: StudyRow
    settings: tuple[StudySetting, ...]
    trials: tuple[StudyTrial, ...]
    windows: tuple[StudyWindow, ...]
    choices: tuple[FoldChoice, ...]
    choices_reason: str
    figures: tuple[Statistic, ...]
    paths: tuple[float, ...]
    best: StudyBest | None
    look: HoldoutLook | None
    cautions: tuple[str, ...]
    continue_blocked: str
    look_blocked: str
    conditions: tuple[tuple[str, str], ...]


class Studies(Protocol):
    """Searches for settings: asked for by operators, looked at by everybody."""

    def study_forms(self) -> tuple[StudyForm, ...]:
        """Every strategy that can be searched, with the bounds of its settings."""

    def study_machines(self) -> StudyMachines:
        """Who can run trials."""

    def plan_study(self, request: Mapping[str, Any]) -> PlannedStudy:
        """What a request would do, without doing it; `BadInput` says what cannot be used.

        Keys: ``series`` [(instrument, timeframe)], ``strategy``, ``fixed`` {setting: value}, ``ranges`` {setting:
        "LOW:HIGH"}, ``trials``, ``folds``, ``embargo_days``, ``study`` (a name or ""), ``workers``, ``seed``, and as
        for a backtest ``cash``, ``from``, ``to``, ``brake``, ``costs``, ``fee_bps``, ``slippage_bps``, ``engine``,
        ``funding``.
        """

    def start_study(self, job_id: str, request: Mapping[str, Any]) -> JobView:
        """Start the search as a job of its own; keys as `plan_study`."""

    def continue_study(self, job_id: str, name: str, trials: int) -> JobView:
        """Go on with a study up to so many measured trials in all; the stored ones are kept as they are."""

    def look_at_holdout(self, job_id: str, name: str) -> JobView:
        """Run the best settings on the holdout: once, for good; the study takes no trial afterwards."""

    def studies(self, page: int, size: int, filters: Mapping[str, str]) -> PageOf[StudyRow]:
        """History, newest first. Filters: ``strategy``, ``text`` (name, instrument, note), ``archived`` (yes, no)."""

    def study(self, name: str) -> StudyView:
        """One study; `BadInput` where there is none."""

    def study_trials(self, name: str, page: int, size: int, filters: Mapping[str, str]) -> PageOf[StudyTrial]:
        """Its trials. Filters: ``state`` and ``order``."""

    def note_study(self, name: str, text: str) -> None:
        """Replace the note of a study; empty text removes it."""

    def archive_study(self, name: str, archived: bool) -> None:
        """Put a study away, or take it back; nothing is removed."""

    def study_record(self, name: str) -> tuple[str, bytes]:
        """File name and bytes of the whole record as JSON; `BadInput` while it is not judged."""
