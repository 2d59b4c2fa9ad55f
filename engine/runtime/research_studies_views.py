"""From the stored parts of a study to what faces draw; a part that does not hold together raises KeyError and such."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import fmean
from typing import Any

from engine.domain.codec import utc_from_text
from engine.domain.research import RunVerdict, Statistic, Unit
from engine.domain.studies import (
    FoldChoice,
    HoldoutLook,
    SettingValue,
    StudyBest,
    StudySetting,
    StudyTrial,
    StudyWindow,
    TrialEnd,
    WindowKind,
)
from engine.runtime.research_conditions import asked_conditions, series_conditions
from engine.runtime.research_studies_words import FIGURES, setting_title, with_setting_titles
from engine.runtime.research_views import remarks_of, verdict_of
from engine.runtime.research_words import ENGINES
from engine.runtime.research_words import FIGURES as RUN_FIGURES
from engine.simulation.study_layout import Layout
from engine.storage.research import HoldoutTouch, StoredStudy, Trial
from engine.strategies import BACKTESTS

Record = Mapping[str, Any]

_MIDNIGHT = "T00:00:00.000000Z"
"""Left out of a date on a form, which means it anyway."""
_LOOK_FIGURES = ("net_return", "sharpe", "max_drawdown", "trades", "win_rate")


@dataclass(frozen=True, slots=True)
class Searched:
    """The settings of a study and how to place their values, in one order."""

    strategy: str
    settings: tuple[StudySetting, ...]

    def values(self, settings: Record) -> tuple[SettingValue, ...]:
        """A trial's settings in order."""
        return tuple(settings[one.name] for one in self.settings)

    def places(self, settings: Record) -> tuple[float, ...]:
        """The same as 0 to 1 between the bounds."""
        return tuple(place_of(one, settings[one.name]) for one in self.settings)


def searched_of(study: StoredStudy) -> Searched:
    """The settings a study searched."""
    return Searched(study.strategy, tuple(_setting(study.strategy, one) for one in study.definition["space"]))


def _setting(strategy: str, body: Record) -> StudySetting:
    title, choices = setting_title(strategy, str(body["name"])), tuple(map(str, body.get("choices") or ()))
    if choices:
        return StudySetting(str(body["name"]), title, 0.0, len(choices) - 1.0, False, choices)
    low, high = float(body["low"]), float(body["high"])
    return StudySetting(str(body["name"]), title, low, high, bool(body["logarithmic"]), ())


def place_of(setting: StudySetting, value: SettingValue) -> float:
    """Where a value lies between the bounds, 0 to 1; by ratio where the search measures so.

    >>> place_of(StudySetting("x", "X", 1.0, 100.0, True, ()), 10)
    0.5
    """
    if setting.choices:
        return setting.choices.index(str(value)) / max(1, len(setting.choices) - 1)
    low, high, number = setting.low, setting.high, float(value)
    if setting.logarithmic:
        low, high, number = math.log(low), math.log(high), math.log(number)
    return (number - low) / (high - low) if high > low else 0.5


def trials_of(searched: Searched, added: Sequence[Trial], best: float | None) -> list[StudyTrial]:
    """Stored trials as faces draw them; ``best`` is the largest objective before them."""
    rows = []
    for one in added:
        end = TrialEnd(one.state.value)
        if end is TrialEnd.COMPLETE and one.value is not None:
            best = one.value if best is None else max(best, one.value)
        values, places = searched.values(one.settings), searched.places(one.settings)
        reason = with_setting_titles(one.reason, searched.strategy)
        rows.append(StudyTrial(one.number, end, one.value, best, one.fold_scores, values, places, reason))
    return rows


def best_trial(trials: Sequence[StudyTrial]) -> StudyTrial | None:
    """The complete trial with the largest objective, the earliest of equals."""
    complete = [one for one in trials if one.end is TrialEnd.COMPLETE]
    return max(complete, key=lambda one: (one.objective or 0.0, -one.number), default=None)


def windows_of(
    first: datetime,
    folds: Sequence[tuple[datetime, datetime]],
    holdout: tuple[datetime, datetime],
    embargo_days: int,
) -> tuple[StudyWindow, ...]:
    """History from ``first``, folds, the holdout, and what is left out before each of them."""
    embargo = timedelta(days=embargo_days)
    found = [_window(WindowKind.HISTORY, 0, min(first, folds[0][0] - embargo), folds[0][0] - embargo)]
    ended = folds[0][0] - embargo
    for number, (start, stop) in enumerate(folds, start=1):
        found += [_window(WindowKind.EMBARGO, 0, ended, start), _window(WindowKind.FOLD, number, start, stop)]
        ended = stop
    found += [_window(WindowKind.EMBARGO, 0, ended, holdout[0]), _window(WindowKind.HOLDOUT, 0, *holdout)]
    return tuple(one for one in found if one.stop > one.start)


def windows_of_layout(first: datetime, layout: Layout, embargo_days: int) -> tuple[StudyWindow, ...]:
    """The same of a layout."""
    folds = [(one.start, one.stop) for one in layout.folds]
    return windows_of(first, folds, (layout.holdout.start, layout.holdout.stop), embargo_days)


def windows_of_study(study: StoredStudy) -> tuple[StudyWindow, ...]:
    """The same of a stored study."""
    known = study.definition
    folds = [_span(one) for one in known["folds"]]
    first = max(utc_from_text(one["first"]) for one in known["series"])
    return windows_of(first, folds, _span(known["holdout"]), int(known["embargo_days"]))


def _span(body: Record) -> tuple[datetime, datetime]:
    return utc_from_text(body["from"]), utc_from_text(body["to"])


def _window(kind: WindowKind, number: int, start: datetime, stop: datetime) -> StudyWindow:
    return StudyWindow(kind, number, start, stop, (stop - start).days)


def choices_of(record: Record, windows: Sequence[StudyWindow], trials: Sequence[StudyTrial]) -> Iterator[FoldChoice]:
    """What the folds before each fold would have chosen; none where the record is of an older version."""
    folds = {one.number: one for one in windows if one.kind is WindowKind.FOLD}
    for body in record["selection"].get("choices") or ():
        trial = trials[int(body["trial"])]
        window, learned, unseen = folds[int(body["fold"])], float(body["learned"]), float(body["unseen"])
        yield FoldChoice(window, trial.number, trial.settings, learned, unseen)


def figures_of(record: Record) -> Iterator[Statistic]:
    """What weighs luck, overfitting and the plateau, each with why it is missing."""
    over, plateau = record["overfitting"], record["plateau"] or {}
    best = record["development"].get("overfitting") or {}
    selection = record["selection"]
    later = [float(one) for one in selection.get("walk_forward") or ()]
    filled = {
        "folds": ", ".join(f"{one:.2f}" for one in later).replace("-", "\N{MINUS SIGN}") or "nothing",
        "trials": f"{int(over['trials']):,}",
        "neighbours": f"{int(plateau.get('neighbours') or 0):,}",
    }
    known = {
        "deflated_sharpe": (best.get("deflated_sharpe"), best.get("reason")),
        "pbo": (over.get("pbo"), over.get("reason")),
        "walk_forward": (fmean(later) if later else None, selection.get("reason")),
        "k_fold": (selection.get("k_fold"), selection.get("reason")),
        "median_share": (plateau.get("median_share"), plateau.get("reason")),
        "worst_share": (plateau.get("worst_share"), plateau.get("reason")),
        "minimum_track_record_days": (best.get("minimum_track_record_days"), best.get("reason")),
        "trials": (over.get("trials"), ""),
    }
    for key, (value, reason) in known.items():
        words = FIGURES[key]
        missing = "" if value is not None else str(reason or "not measured")
        meaning = words.meaning.format(**filled)
        number = None if value is None else float(value)
        yield Statistic(key, words.title, words.unit, number, None, None, missing, meaning)


def cautions_of(record: Record | None, measured: int) -> Iterator[str]:
    """What the reader must know before the numbers."""
    if record is None:
        return
    yield from remarks_of(record["development"]["series"])
    judged = int(record["counts"]["measured"])
    if judged != measured:
        yield f"The verdict and the figures are of the first {judged:,} of {measured:,} trials; continue to judge all."
    if (record["plateau"] or {}).get("on_edge"):
        yield "A setting of the best lies at the edge of what was tried: the best may lie beyond."
    if len(record.get("revisions") or ()) > 1:
        yield (f"{len(record['revisions'])} versions of the program ran its trials, which may not be quite comparable.")


def look_of(touch: HoldoutTouch) -> HoldoutLook:
    """The one look as it was recorded."""
    record = touch.record
    return HoldoutLook(
        at=touch.touched_at,
        settings=tuple((setting_title(touch.strategy, name), value) for name, value in touch.settings.items()),
        verdict=verdict_of(record["verdict"]),
        final_equity=Decimal(str(record["final_equity"])),
        cash=Decimal(str(record["cash"])),
        currency=str(record["currency"]),
        statistics=tuple(_look_figures(record)),
    )


def _look_figures(record: Record) -> Iterator[Statistic]:
    hold = record.get("buy_and_hold") or {}
    for key in _LOOK_FIGURES:
        body, words = record["metrics"].get(key), RUN_FIGURES[key]
        if body:
            beside = (hold.get(key) or {}).get("value")
            value, low, high = (_number(body.get(name)) for name in ("value", "low", "high"))
            missing = str(body.get("reason") or "")
            yield Statistic(key, words.title, words.unit, value, low, high, missing, words.meaning, _number(beside))
    deflated = (record.get("overfitting") or {}).get("deflated_sharpe")
    words = replace(FIGURES["deflated_sharpe"], meaning="The same test, with the number of trials of the study.")
    reason = str((record.get("overfitting") or {}).get("reason") or "")
    yield Statistic("deflated_sharpe", words.title, Unit.SHARE, _number(deflated), None, None, reason, words.meaning)


def best_of_study(study: StoredStudy, request: Record, trial: StudyTrial, searched: Searched) -> StudyBest:
    """The best trial with all its settings, and the request of a backtest of it on the days of the folds alone."""
    found = dict(zip((one.name for one in searched.settings), trial.settings, strict=True))
    settings = {**study.definition["fixed"], **found}
    order = BACKTESTS[study.strategy].config.model_fields if study.strategy in BACKTESTS else settings
    shown = tuple((setting_title(study.strategy, name), settings[name]) for name in order if name in settings)
    asked = _backtest(study, {name: settings[name] for name in order if name in settings})
    if request.get("funding"):
        asked["funding"] = request["funding"]
    assert trial.objective is not None, "a complete trial has an objective"
    return StudyBest(trial.number, trial.objective, shown, asked, None)


def _backtest(study: StoredStudy, settings: Record) -> dict[str, Any]:
    """Never the holdout: a backtest on it would be a look that nobody counts."""
    known = study.definition
    costs = known["costs"]
    asked: dict[str, Any] = {
        "strategy": study.strategy,
        "settings": dict(settings),
        "series": [(str(one["instrument"]), str(one["timeframe"])) for one in known["series"]],
        "cash": str(known["cash"]),
        "from": str(known["development"]["from"]).removesuffix(_MIDNIGHT),
        "to": str(known["development"]["to"]).removesuffix(_MIDNIGHT),
        "engine": str(known["engine"]),
        "brake": str(known["brake"]),
        "costs": str(costs["name"]),
        "impact": str(costs.get("impact", 0)),
        "detail": next((str(one["detail"]["timeframe"]) for one in known["series"] if "detail" in one), ""),
    }
    if asked["costs"] == "plain":
        asked |= {"fee_bps": str(costs["taker_bps"]), "slippage_bps": str(costs["slippage_bps"])}
    return asked


def conditions_of(study: StoredStudy, record: Record | None) -> Iterator[tuple[str, str]]:
    """What the trials rest on, as name and value."""
    known = study.definition
    yield "Objective", str(known["objective"])
    yield "Engine", ENGINES.get(str(known["engine"]), str(known["engine"]))
    yield "Seed of the search", str(known["seed"])
    yield "Days left out between folds", str(known["embargo_days"])
    yield from series_conditions(known["series"])
    yield from asked_conditions(known, study.strategy, known["fixed"])
    for revision in (record or {}).get("revisions") or ():
        yield "Version of the program", str(revision)


def verdict_in(record: Record | None) -> RunVerdict | None:
    """The verdict of a judged study."""
    return None if record is None else verdict_of(record["verdict"])


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
