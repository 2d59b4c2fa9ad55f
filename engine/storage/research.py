"""The record of research: every study, every trial of it, and the one look at its holdout."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Row, Select, func, insert, literal, select

from engine.domain.errors import BadInput, CommandRefused, StorageError
from engine.domain.market import FloatArray, Timeframe
from engine.storage.base import Database
from engine.storage.database_file import DatabaseFile
from engine.storage.migrate import migrate_file
from engine.storage.research_looks import (
    HoldoutTouch,
    overlapping,
    require_untouched,
    searched,
    searched_before,
    seen,
    touch_of,
    touched_before,
)
from engine.storage.research_since import studies_that_tried, tried_after
from engine.storage.research_tables import studies, touches, trials
from engine.storage.research_tried import Tried, TriedDays, add_tried, canonical, days_of_study, tried_on

__all__ = [
    "HoldoutTouch",
    "ResearchStore",
    "StoredStudy",
    "Trial",
    "TrialStamp",
    "TrialState",
    "Tried",
    "TriedDays",
    "searched_before",
    "touched_before",
]

_YEAR_DAYS, _DAY_S = 365.0, 86_400


class TrialState(Enum):
    """How a trial ended."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Trial:
    """One set of settings and what came of it.

    Attributes
    ----------
    number : int
        From 0, without gaps.
    state : TrialState
        ``PRUNED`` trials were abandoned after some folds and count as looked at; ``REFUSED`` ones were never run.
    settings : mapping
        Those that were searched.
    value : float or None
        Objective, larger is better; of an abandoned trial that of the folds it ran.
    fold_scores : tuple of float
        Objective after each fold, of all folds so far.
    returns : float64[d]
        By day, after costs, of the folds it ran, joined.
    reason : str
        Why it was not completed.
    figures : mapping
        What else is told of it, as JSON values: results of a sweep's combination over all its days.
    """

    number: int
    state: TrialState
    settings: Mapping[str, Any]
    value: float | None
    fold_scores: tuple[float, ...]
    returns: FloatArray
    reason: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredStudy:
    """A study; ``definition`` is everything that decides its trials, as JSON values."""

    name: str
    strategy: str
    definition: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TrialStamp:
    """Which code ran trials, and when they ended."""

    revision: str
    ended_at: datetime


class ResearchStore:
    """``research.sqlite`` of a data folder, made where it is missing; only ever added to.

    Parameters
    ----------
    folder : Path
        The data folder; created (mode 0700) if missing.

    Raises
    ------
    StorageError
        The file cannot be made, read or upgraded.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{folder} cannot be made: {error.strerror}; check the path and its rights") from error
        migrate_file(Database.RESEARCH, folder)
        self._file = DatabaseFile(Database.RESEARCH.path(folder), full_sync=True)

    def begin(self, study: StoredStudy) -> StoredStudy:
        """Store a study, or find the one of this name and definition.

        Raises
        ------
        BadInput
            There is one of this name with another definition; names what differs.
        CannotRecord
            Nothing was stored.
        """
        with self._file.write() as connection:
            row = connection.execute(select(studies).where(studies.c.name == study.name)).one_or_none()
            if row is None:
                values = {"name": study.name, "strategy": study.strategy, "definition": canonical(study.definition)}
                connection.execute(insert(studies), values | {"created_at": study.created_at})
                return study
        stored = _study(row)
        if canonical(stored.definition) != canonical(study.definition):
            raise BadInput(
                f"study {study.name} exists with another {_differing(stored.definition, study.definition)}; "
                "give the same values to go on with it, or another name"
            )
        return stored

    def study(self, name: str) -> StoredStudy | None:
        """The study of that name, or None."""
        with self._file.read() as connection:
            row = connection.execute(select(studies).where(studies.c.name == name)).one_or_none()
        return None if row is None else _study(row)

    def studies(self) -> tuple[StoredStudy, ...]:
        """Every study, newest first."""
        query = select(studies).order_by(studies.c.created_at.desc(), studies.c.name)
        with self._file.read() as connection:
            return tuple(_study(row) for row in connection.execute(query))

    def trials(self, study: str) -> tuple[Trial, ...]:
        """Every trial of a study, in order."""
        query = select(trials).where(trials.c.study == study).order_by(trials.c.number)
        with self._file.read() as connection:
            return tuple(_trial(row) for row in connection.execute(query))

    def pages(self, study: str, size: int) -> Iterator[tuple[Trial, ...]]:
        """Every trial of a study in order, at most ``size`` at once: a sweep may hold more than should be in memory."""
        number = 0
        while True:
            query = select(trials).where(trials.c.study == study, trials.c.number >= number)
            with self._file.read() as connection:
                page = tuple(_trial(row) for row in connection.execute(query.order_by(trials.c.number).limit(size)))
            if not page:
                return
            yield page
            number = page[-1].number + 1

    def outcomes(self, study: str, first: int = 0) -> tuple[Trial, ...]:
        """Trials from number ``first`` on, in order, without their returns: enough to show, not to judge."""
        columns: list[Any] = [column for column in trials.c if column.name != "returns"]
        query: Select[Any] = select(*columns, literal(b"").label("returns"))
        query = query.where(trials.c.study == study, trials.c.number >= first).order_by(trials.c.number)
        with self._file.read() as connection:
            return tuple(_trial(row) for row in connection.execute(query))

    def revisions(self, study: str) -> tuple[str, ...]:
        """The revisions of the code that ran its trials, sorted; more than one means they are not quite comparable."""
        query = select(trials.c.revision).where(trials.c.study == study).distinct().order_by(trials.c.revision)
        with self._file.read() as connection:
            return tuple(connection.execute(query).scalars())

    def add_trials(self, study: str, added: Sequence[Trial], stamp: TrialStamp) -> None:
        """Store the next trials in one transaction.

        Raises
        ------
        CommandRefused
            They are not the next ones (another process runs the same study), or its holdout was looked at.
        CannotRecord
            Nothing was stored.
        """
        if not added:
            return
        rows = [_trial_values(study, one) | {"revision": stamp.revision, "ended_at": stamp.ended_at} for one in added]
        with self._file.write() as connection:
            stored = connection.execute(select(func.count()).where(trials.c.study == study)).scalar_one()
            if [one.number for one in added] != list(range(stored, stored + len(added))):
                raise CommandRefused(
                    f"study {study} has {stored} trials and trial {added[0].number} is not the next: "
                    "another process runs it; wait for that one"
                )
            require_untouched(connection, study)
            connection.execute(insert(trials), rows)
            found = connection.execute(select(studies).where(studies.c.name == study)).one_or_none()
            if found is not None and (days := days_of_study(found.name, found.strategy, json.loads(found.definition))):
                fixed = json.loads(found.definition).get("fixed", {})
                runs = _tried(days, [one for one in added if one.state is not TrialState.REFUSED], fixed)
                add_tried(connection, days, runs, (stamp.revision, stamp.ended_at))

    def touch(self, touch: HoldoutTouch) -> None:
        """Record the one look at a holdout; to be durable before anybody sees what was found.

        Raises
        ------
        CommandRefused
            This holdout, or one of the same strategy and coins that overlaps it, was looked at; says when. Or another
            study searched days of it; says which.
        CannotRecord
            Nothing was stored, so nothing may be shown.
        """
        values = {
            "study": touch.study,
            "strategy": touch.strategy,
            "instruments": json.dumps(sorted(touch.instruments)),
            "start": touch.start,
            "stop": touch.stop,
            "touched_at": touch.touched_at,
            "settings": canonical(touch.settings),
            "record": json.dumps(touch.record),
        }
        with self._file.write() as connection:
            earlier = overlapping(connection, touch)
            if earlier is not None:
                raise touched_before(earlier)
            if (found := searched(connection, touch)) is not None:
                raise searched_before(found)
            connection.execute(insert(touches), values)

    def touched(self, study: str) -> HoldoutTouch | None:
        """The look at a study's holdout, or None."""
        with self._file.read() as connection:
            row = connection.execute(select(touches).where(touches.c.study == study)).one_or_none()
        return None if row is None else touch_of(row)

    def touched_like(self, asked: HoldoutTouch) -> HoldoutTouch | None:
        """The first look that forbids this one: of the same study, or of its strategy at the same candles."""
        with self._file.read() as connection:
            return overlapping(connection, asked)

    def searched_like(self, asked: HoldoutTouch) -> TriedDays | None:
        """The days of another study that forbid this look: its search saw days of the holdout."""
        with self._file.read() as connection:
            return searched(connection, asked)

    def seen_like(self, asked: HoldoutTouch) -> tuple[TriedDays, ...]:
        """Days of earlier backtests by hand that showed days of this holdout."""
        with self._file.read() as connection:
            return seen(connection, asked)

    def add_run(self, days: TriedDays, run: Tried, stamp: TrialStamp) -> None:
        """Store a run of its own as a trial of its strategy; raises `CannotRecord`."""
        with self._file.write() as connection:
            add_tried(connection, days, [run], (stamp.revision, stamp.ended_at))

    def tried(self, asked: TriedDays) -> tuple[Tried, ...]:
        """Every distinct setting of the strategy that was run on days of these coins in common, whatever ran it."""
        with self._file.read() as connection:
            return tried_on(connection, asked)

    def studies_of(self, asked: TriedDays, key: str) -> tuple[str, ...]:
        """Studies and sweeps that tried the settings of a key on days of these coins in common."""
        with self._file.read() as connection:
            return studies_that_tried(connection, asked, key)

    def tried_since(self, asked: TriedDays, at: datetime) -> int:
        """How many distinct settings were tried for the first time after a moment, on days in common."""
        with self._file.read() as connection:
            return tried_after(connection, asked, at)

    def close(self) -> None:
        """Give the connections back."""
        self._file.close()


def _differing(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    keys = {*stored, *asked}
    return ", ".join(sorted(key for key in keys if stored.get(key) != asked.get(key)))


def _study(row: Row[Any]) -> StoredStudy:
    return StoredStudy(row.name, row.strategy, json.loads(row.definition), row.created_at)


def _trial_values(study: str, trial: Trial) -> dict[str, Any]:
    return {
        "study": study,
        "number": trial.number,
        "state": trial.state.value,
        "settings": canonical(trial.settings),
        "value": trial.value,
        "fold_scores": json.dumps(list(trial.fold_scores)),
        "returns": np.ascontiguousarray(trial.returns, dtype="<f8").tobytes(),
        "reason": trial.reason,
        "figures": canonical(trial.figures),
    }


def _tried(days: TriedDays, run: Sequence[Trial], fixed: Mapping[str, Any]) -> list[Tried]:
    """Trials of a study among all settings that were tried; of an abandoned one what the folds it ran gave."""
    period = max([1.0, *(Timeframe.parse(timeframe).seconds / _DAY_S for _, timeframe, _ in days.series)])
    whole = (days.stop - days.start).total_seconds() / _DAY_S
    key_of, made = days.keys(), []
    for one in run:
        settings = {**fixed, **one.settings}
        # a very large sweep keeps no returns; its combinations are of all its days
        length = len(one.returns) * period or whole
        made.append(Tried(key_of(settings), (one.value or 0.0) / math.sqrt(_YEAR_DAYS), length, settings))
    return made


def _trial(row: Row[Any]) -> Trial:
    returns = np.frombuffer(row.returns, dtype="<f8").astype(np.float64)
    scores = tuple(json.loads(row.fold_scores))
    figures = json.loads(row.figures)
    return Trial(
        row.number, TrialState(row.state), json.loads(row.settings), row.value, scores, returns, row.reason, figures
    )
