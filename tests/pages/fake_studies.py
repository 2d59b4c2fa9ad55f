"""Studies of the stand-in console: made from a definition, trials and a record written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from engine.domain.commands import Role
from engine.domain.errors import BadInput
from engine.domain.instruments import InstrumentKey
from engine.domain.research import RunNote
from engine.domain.studies import (
    PlannedStudy,
    SearchField,
    StudyForm,
    StudyMachines,
    StudyRow,
    StudyState,
    StudyTrial,
    StudyView,
    StudyWindow,
)
from engine.domain.views import FormField, JobState, JobView, PageOf
from engine.runtime.research_studies_views import (
    best_of_study,
    best_trial,
    cautions_of,
    choices_of,
    conditions_of,
    figures_of,
    look_of,
    searched_of,
    trials_of,
    windows_of_study,
)
from engine.runtime.research_views import row_of, trade_of, verdict_of, view_of
from engine.storage.research import HoldoutTouch, StoredStudy, Trial, TrialState
from tests.pages import fake_records as made
from tests.pages.fake_base import FakeBase
from tests.research_record import curve, record

NOTE = "narrow the slow one <b>& see"
STATES = {"s-1": StudyState.DONE, "s-2": StudyState.STOPPED, "s-3": StudyState.FAILED, "s-4": StudyState.RUNNING}


def stored() -> StoredStudy:
    """A study of two settings and a fixed one."""
    first = datetime(2023, 1, 1, tzinfo=UTC)

    def span(begin: int, end: int) -> dict[str, str]:
        return {"from": _text(first + timedelta(days=begin)), "to": _text(first + timedelta(days=end))}

    definition = {
        "strategy": "sma_cross", "objective": "annualised Sharpe ratio", "fixed": {}, "embargo_days": 1,
        "space": [{"name": "fast_bars", "low": 2, "high": 40, "logarithmic": False},
                  {"name": "slow_bars", "low": 10, "high": 1000, "logarithmic": True}],
        "folds": [span(61, 120), span(121, 180), span(181, 240)], "development": span(61, 240),
        "holdout": span(241, 300), "seed": 7, "at_once": 4, "engine": "kernel",
        "series": [{"instrument": "binance:BTC/USDT", "timeframe": "1h", "first": _text(first), "bars": 7200}],
        "cash": "10000", "costs": {"name": "plain", "taker_bps": "7.5", "slippage_bps": "0"},
        "risk": {"mode": "conservative"}, "brake": "off",
    }  # fmt: skip
    return StoredStudy("s-1", "sma_cross", definition, made.MARKET_NOW)


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def trials(count: int = 30) -> list[StudyTrial]:
    """Every sixth abandoned, every tenth refused, the best is number 16."""
    found = []
    for number in range(count):
        settings = {"fast_bars": 2 + number, "slow_bars": 20 + 30 * number}
        value = 0.1 * number if number <= 16 else 0.4
        state = TrialState.PRUNED if number % 6 == 5 else TrialState.COMPLETE
        scores = (value,) if state is TrialState.PRUNED else (value - 0.1, value + 0.1, value)
        reason = "below the median" if state is TrialState.PRUNED else ""
        one = Trial(number, state, settings, value, scores, np.empty(0), reason)
        if number % 10 == 9:
            one = replace(one, state=TrialState.REFUSED, value=None, fold_scores=(), reason="fast <i> must be shorter")
        found.append(one)
    return trials_of(searched_of(stored()), found, None)


def study_record(measured: int) -> dict[str, Any]:
    """What was found."""
    development = record(strategy="sma_cross", **{"from": "", "to": ""})
    return {
        "counts": {"measured": measured},
        "best": {"number": 16},
        "overfitting": {"trials": measured, "pbo": 0.31, "reason": ""},
        "plateau": {"neighbours": 4, "median_share": 0.8, "worst_share": None, "reason": "no neighbour is worse",
                    "on_edge": True},
        "selection": {"walk_forward": [0.5, -0.2], "k_fold": 0.22, "paths": [0.1, -0.3], "reason": "",
                      "choices": [{"fold": 2, "trial": 3, "learned": 1.4, "unseen": 0.5},
                                  {"fold": 3, "trial": 16, "learned": 1.6, "unseen": -0.2}]},
        "revisions": ["0.1.0+1a", "0.1.0+2b"],
        "development": development,
        "verdict": development["verdict"],
    }  # fmt: skip


def touch() -> HoldoutTouch:
    """A look at the holdout of s-1."""
    study = stored()
    span = datetime(2023, 8, 30, tzinfo=UTC), datetime(2023, 10, 28, tzinfo=UTC)
    settings = {"fast_bars": 18, "slow_bars": 500}
    return HoldoutTouch(study.name, study.strategy, ("binance:BTC/USDT",), *span, made.MARKET_NOW, settings, record())


class FakeStudies(FakeBase):
    """`engine.domain.studies.Studies`."""

    def study_forms(self) -> tuple[StudyForm, ...]:
        self._fail("study_forms")
        fast = FormField("fast_bars", "Fast average (bars)", "integer", 20, 20, 1.0, 999.0, ())
        slow = FormField("slow_bars", "Slow average (bars)", "integer", 100, 100, 2.0, 1000.0, ())
        share = FormField("share", "Share", "choice", "5%", "5%", None, None, ("1%", "5%"))
        fields = (SearchField(fast, 1.0, 999.0), SearchField(slow, 2.0, 1000.0), SearchField(share, None, None))
        stop = FormField("stop_atr", "Stop (multiple of ATR)", "number", 3.0, 3.0, 0.5, 10.0, ())
        searched = {"sma_cross": fields, "momentum": (*fields, SearchField(stop, 0.5, 10.0))}
        names = (("sma_cross", "Crossing of two averages"), ("momentum", "Trend momentum"))
        return tuple(StudyForm(name, title, f"{title} in a sentence.", searched[name]) for name, title in names)

    def study_machines(self) -> StudyMachines:
        return StudyMachines(self.scheduler, 4)

    def plan_study(self, request: Mapping[str, Any]) -> PlannedStudy:
        self._fail("plan_study")
        self.calls.append(("plan_study", (dict(request),)))
        if not request["ranges"]:
            raise BadInput("every setting is fixed, so there is nothing to search")
        return PlannedStudy(request["study"] or "sma_cross-ab12", self._windows(), request["study"] == "s-1", 26)

    def start_study(self, job_id: str, request: Mapping[str, Any]) -> JobView:
        self._need(Role.OPERATOR)
        self._fail("start_study")
        return self._job(job_id, "study", "sma_cross-ab12", (dict(request),))

    def continue_study(self, job_id: str, name: str, trials: int) -> JobView:
        self._need(Role.OPERATOR)
        return self._job(job_id, "study", name, ("continue", name, trials))

    def look_at_holdout(self, job_id: str, name: str) -> JobView:
        self._need(Role.OPERATOR)
        return self._job(job_id, "study", name, ("look", name))

    def studies(self, page: int, size: int, filters: Mapping[str, str]) -> PageOf[StudyRow]:
        self._fail("studies")
        self.calls.append(("studies", (page, size, dict(filters))))
        rows = () if self.empty else tuple(self._study_row(name) for name in STATES)
        return PageOf(rows, len(rows), page, size)

    def study(self, name: str) -> StudyView:
        self._fail("study")
        row, study = self._study_row(name), stored()
        if name == "s-3":
            return StudyView(row, (), (), (), (), "", (), (), None, None, (), "", "not judged", ())
        found, searched = trials()[: 30 if name == "s-1" else 12], searched_of(study)
        judged = study_record(row.measured) if name == "s-1" else None
        best = best_trial(found)
        assert best is not None
        shown = best_of_study(study, {}, best, searched)
        windows = self._windows()
        if judged is not None:
            done = JobView(name, "study", name, JobState.DONE, 1.0, "done", made.MARKET_NOW, 1.0, None, "")
            runs = tuple(trade_of(number, body) for number, body in enumerate(record()["trades"], start=1))
            run = view_of(judged["development"], row_of(judged["development"], done, None), curve(), runs)
            shown = replace(shown, run=run)
        return StudyView(
            row, searched.settings, tuple(found), windows,
            () if judged is None else tuple(choices_of(judged, windows, found)), "the study is not judged yet",
            () if judged is None else tuple(figures_of(judged)), (0.1, -0.3), shown,
            look_of(touch()) if self.looked else None, tuple(cautions_of(judged, row.measured)),
            "", "" if name == "s-1" else "The study is not judged yet; let it end first",
            tuple(conditions_of(study, judged)),
        )  # fmt: skip

    def study_trials(self, name: str, page: int, size: int, filters: Mapping[str, str]) -> PageOf[StudyTrial]:
        self.calls.append(("study_trials", (name, page, size, dict(filters))))
        rows = [one for one in trials() if filters.get("state") in (None, one.end.value)]
        return PageOf(tuple(rows[(page - 1) * size : page * size]), len(rows), page, size)

    def note_study(self, name: str, text: str) -> None:
        self._act("note_study", Role.OPERATOR, name, text)

    def archive_study(self, name: str, archived: bool) -> None:
        self._act("archive_study", Role.OPERATOR, name, archived)

    def study_record(self, name: str) -> tuple[str, bytes]:
        return f"quarterdeck-study-{name}.json", b"{}"

    def _windows(self) -> tuple[StudyWindow, ...]:
        return windows_of_study(stored())

    def _study_row(self, name: str) -> StudyRow:
        state = STATES[name]
        done = state is StudyState.DONE
        measured = {"s-1": 27, "s-3": 0}.get(name, 11)
        details = {"s-2": "it was stopped; 11 of 30 trials are stored", "s-3": "40 candles are too few"}
        return StudyRow(
            name=name, strategy="sma_cross", instruments=(InstrumentKey("binance:BTC/USDT"),), timeframe="1h",
            state=state, detail=details.get(name, "so far"), job=None, created_at=made.MARKET_NOW,
            wanted=27 if done else 30, measured=measured, complete=measured and measured - 4,
            pruned=min(4, measured), refused=min(3, measured),
            best=1.6 if done else None, verdict=verdict_of(record()["verdict"]) if done else None,
            looked_at=made.MARKET_NOW if done and self.looked else None,
            note=RunNote(NOTE, "sam", made.MARKET_NOW) if done else None, archived=False, started_here=True,
        )  # fmt: skip
