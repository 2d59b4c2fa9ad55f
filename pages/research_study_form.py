"""The form of a new study: each setting fixed or searched between two bounds, candles, days, costs, machines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from engine.domain.errors import BadInput, QuarterdeckError
from engine.domain.facade import ConsolePort
from engine.domain.studies import MOST_FORM_TRIALS, PlannedStudy, SearchField, StudyForm
from engine.domain.views import JobView
from pages import charts, forms, jobs, parts, research_inputs, research_study_charts
from pages import format as fmt
from pages.guard import said
from pages.jobs import Start

CHOSEN = "study-chosen"
FOLLOW = "study-follow"
_SEARCHED_FIRST = 2
"""Settings that are searched until a person chooses: a picture of two can be looked at."""
_VALUE_PX = 250
_TRIALS, _FOLDS, _EMBARGO = 100, 4, 1
_FORM = "study"
"""What the keys of this form begin with."""


def draw(console: ConsolePort) -> None:
    """Draw the form, what it would do, and the button that starts it."""
    stored = research_inputs.stored_series(console)
    if not stored:
        parts.notice("Import candles first on the Data page; then series can be chosen here.")
        return
    form = research_inputs.strategy(_FORM, {form.name: form for form in console.study_forms()})
    research_inputs.series(_FORM, stored)
    st.subheader("Settings", anchor=False)
    st.caption("What is switched on is searched between low and high; all else stays fixed.")
    with st.container():
        _settings(form)
    st.subheader("Days and costs", anchor=False)
    research_inputs.span(_FORM)
    research_inputs.conditions(_FORM, stored)
    st.subheader("Search", anchor=False)
    _search(console)
    with st.container():
        blocked = _preview(console)
    begin = Start("study", "Start study", lambda identity: _begin(console, identity), blocked=blocked)
    jobs.start_button(console, begin)


def _preview(console: ConsolePort) -> str:
    """What would be done; returns why it cannot be."""
    if not research_inputs.chosen_series(_FORM, research_inputs.stored_series(console)):
        reason = "Choose at least one series of candles"
        st.caption(f"{reason}.")
        return reason
    try:
        planned = console.plan_study(_request(console))
    except QuarterdeckError as error:
        parts.notice(f"This cannot be started. {said(error)}", "warn")
        return said(error)
    charts.show(research_study_charts.days(planned.windows), "study-preview", "What the days of this study are for")
    st.caption(_promise(planned))
    return ""


def _promise(planned: PlannedStudy) -> str:
    words = (
        "Numbered: the folds that settings are judged on. Before them lies history for the indicators, between them "
        "days are left out. The holdout is not looked at by the search."
    )
    if planned.goes_on:
        return f"Study {planned.name} exists with {planned.measured:,} trials of these settings: it goes on. {words}"
    return f"It will be called {planned.name}. {words}"


def _begin(console: ConsolePort, identity: str) -> JobView:
    request = _request(console)
    planned = console.plan_study(request)
    begun = console.start_study(identity, {**request, "study": planned.name})
    st.session_state[FOLLOW] = begun.job_id
    st.session_state[CHOSEN] = planned.name
    return begun


def _request(console: ConsolePort) -> dict[str, Any]:
    """What the form says at this instant; what was typed just before the click is in it."""
    state, known = st.session_state, {form.name: form for form in console.study_forms()}
    form = known[str(state["study-strategy"])]
    fixed, ranges = _entered(form)
    return {
        "strategy": form.name,
        "fixed": fixed,
        "ranges": ranges,
        "study": str(state.get("study-name", "")).strip(),
        **{name: int(state.get(f"study-{name}") or 0) for name in ("trials", "folds", "embargo_days", "seed")},
        "workers": int(state.get("study-workers") or 1),
        **research_inputs.request(_FORM, console),
    }


def _entered(form: StudyForm) -> tuple[dict[str, Any], dict[str, str]]:
    """Fixed values and searched ranges by setting; a choice that is searched is in neither: all of it is tried."""
    fixed: dict[str, Any] = {}
    ranges: dict[str, str] = {}
    state = st.session_state
    for place, one in enumerate(form.fields):
        key = f"study-{form.name}-{one.field.name}"
        if not state.get(f"{key}-searched", _is_searched_first(place, one)):
            draft = forms.entered(f"study-{form.name}", (one.field,))
            if draft.errors:
                raise BadInput(draft.errors[0])
            fixed |= draft.values
        elif one.low is not None:
            low, high = state.get(f"{key}-low", one.low), state.get(f"{key}-high", one.high)
            if low is None or high is None:
                raise BadInput(f"{one.field.label}: a bound is empty")
            ranges[one.field.name] = f"{low!r}:{high!r}"
    return fixed, ranges


def _settings(form: StudyForm) -> None:
    slots = [slot for _ in range(0, len(form.fields), 2) for slot in st.columns(2, gap="medium")]
    for place, (slot, one) in enumerate(zip(slots, form.fields, strict=False)):
        with slot:
            _setting(form.name, one, _is_searched_first(place, one))


def _is_searched_first(place: int, one: SearchField) -> bool:
    return place < _SEARCHED_FIRST and one.low is not None


def _setting(strategy: str, one: SearchField, searched_first: bool) -> None:
    key = f"study-{strategy}-{one.field.name}"
    searchable = one.low is not None or bool(one.field.choices) or one.field.kind == "boolean"
    with st.container(horizontal=True, vertical_alignment="center", border=True, key=f"{key}-row"):
        searched = st.toggle(
            one.field.label,
            value=searched_first,
            key=f"{key}-searched",
            disabled=not searchable,
            persist_state="session",
            width="stretch",
            help="On: searched between low and high. Off: fixed.",
        )
        if not searched:
            with st.container(width=_VALUE_PX):
                forms.draw(f"study-{strategy}", (replace(one.field, label="Fixed at"),), columns=1)
        elif one.low is None or one.high is None:
            st.caption(f"all of {', '.join(one.field.choices) or 'yes, no'}")
        else:
            _bound(f"{key}-low", "Low", one, one.low)
            _bound(f"{key}-high", "High", one, one.high)


def _bound(key: str, label: str, one: SearchField, first: float) -> None:
    whole = one.field.kind == "integer"
    low, high = (int(one.low or 0), int(one.high or 0)) if whole else (one.low, one.high)
    st.number_input(
        label,
        low,
        high,
        int(first) if whole else first,
        step=1 if whole else None,
        format="%d" if whole else "%.6g",
        key=key,
        persist_state="session",
        width=120,
        help=f"{one.field.label}: from {forms.shown(low)} to {forms.shown(high)}",
    )


def _search(console: ConsolePort) -> None:
    machines = console.study_machines()
    slots = st.columns(4)
    rows: tuple[tuple[str, str, int, int, int, str], ...] = (
        ("trials", "Trials", 0, MOST_FORM_TRIALS, _TRIALS, "Settings that are tried; each counts against the verdict"),
        ("folds", "Folds", 0, 50, _FOLDS, "Spans of days that settings are judged on, 2 to 50"),
        ("embargo_days", "Days left out between", 0, 366, _EMBARGO, "Before each fold and before the holdout"),
        ("seed", "Seed", 0, 2**32 - 1, 0, "The same seed on the same candles gives the same trials"),
    )
    for slot, (name, label, least, most, first, tip) in zip(slots, rows, strict=True):
        slot.number_input(label, least, most, first, key=f"study-{name}", help=tip, persist_state="session")
    left, right = st.columns(2)
    left.text_input(
        "Name", key="study-name", placeholder="made of the strategy and the request", persist_state="session"
    )
    with right:
        if machines.scheduler:
            st.caption(f"Trials run on the Dask cluster {machines.scheduler} (setting research.scheduler).")
        else:
            st.number_input(
                "Processes of this computer",
                1,
                machines.most_workers,
                1,
                key="study-workers",
                persist_state="session",
                help=f"At most {fmt.number(machines.most_workers, 0)} have something to do; the trials are the same",
            )
