"""The form of a new study: each setting fixed or searched between two bounds, candles, days, costs, machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from engine.domain.errors import BadInput, QuarterdeckError
from engine.domain.facade import ConsolePort
from engine.domain.library_views import CoverageRow, finer_timeframes
from engine.domain.studies import MOST_FORM_TRIALS, PlannedStudy, SearchField, StudyForm
from engine.domain.views import JobView
from pages import charts, forms, jobs, parts, research_study_charts
from pages import format as fmt
from pages.guard import said
from pages.jobs import Start
from pages.research_form import CHOICES, series_title

CHOSEN = "study-chosen"
FOLLOW = "study-follow"
_SEARCHED_FIRST = 2
"""Settings that are searched until a person chooses: a picture of two can be looked at."""
_VALUE_PX = 250
_IMPACT = 1.0
_CASH, _TRIALS, _FOLDS, _EMBARGO, _FEE_BPS, _SLIPPAGE_BPS = 10_000, 100, 4, 1, 10.0, 0.0


def draw(console: ConsolePort) -> None:
    """Draw the form, what it would do, and the button that starts it."""
    stored = _stored(console)
    if not stored:
        parts.notice("Import candles first on the Data page; then series can be chosen here.")
        return
    form = _strategy({form.name: form for form in console.study_forms()})
    st.multiselect(
        "Instruments and timeframe",
        list(stored),
        format_func=lambda key: series_title(stored[key]),
        key="study-series",
        persist_state="session",
    )
    st.subheader("Settings", anchor=False)
    st.caption("What is switched on is searched between low and high; all else stays fixed.")
    _settings(form)
    st.subheader("Days and costs", anchor=False)
    _range()
    _conditions(_has_perpetual(stored), finer_timeframes(console.coverage(), _chosen(stored)))
    st.subheader("Search", anchor=False)
    _search(console)
    blocked = _preview(console)
    begin = Start("study", "Start study", lambda identity: _begin(console, identity), blocked=blocked)
    jobs.start_button(console, begin)


def _preview(console: ConsolePort) -> str:
    """What would be done; returns why it cannot be."""
    if not _chosen(_stored(console)):
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
    form, stored = known[str(state["study-strategy"])], _stored(console)
    fixed, ranges = _entered(form)
    request: dict[str, Any] = {
        "strategy": form.name,
        "fixed": fixed,
        "ranges": ranges,
        "series": [(row.instrument, row.timeframe) for row in _chosen(stored)],
        "cash": str(state.get("study-cash", _CASH)),
        "from": str(state.get("study-from", "")).strip(),
        "to": str(state.get("study-to", "")).strip(),
        "study": str(state.get("study-name", "")).strip(),
        **{name: int(state.get(f"study-{name}") or 0) for name in ("trials", "folds", "embargo_days", "seed")},
        "workers": int(state.get("study-workers") or 1),
        **{key: state.get(f"study-{key}", "") for key in ("engine", "brake", "costs")},
    }
    request["impact"] = f"{state.get('study-impact', _IMPACT):g}"
    if (detail := state.get("study-detail", "")) in finer_timeframes(console.coverage(), _chosen(stored)):
        request["detail"] = detail
    if request["costs"] == "plain":
        request["fee_bps"] = f"{state.get('study-fee', _FEE_BPS):g}"
        request["slippage_bps"] = f"{state.get('study-slippage', _SLIPPAGE_BPS):g}"
    if _has_perpetual(stored):
        request["funding"] = state.get("study-funding", "stored")
    return request


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


def _stored(console: ConsolePort) -> dict[str, CoverageRow]:
    return {f"{row.instrument}|{row.timeframe}": row for row in console.coverage()}


def _chosen(stored: Mapping[str, CoverageRow]) -> list[CoverageRow]:
    return [stored[key] for key in st.session_state.get("study-series", ()) if key in stored]


def _has_perpetual(stored: Mapping[str, CoverageRow]) -> bool:
    return any(row.kind == "perpetual" for row in _chosen(stored))


def _strategy(known: Mapping[str, StudyForm]) -> StudyForm:
    name = st.selectbox(
        "Strategy",
        list(known),
        format_func=lambda key: known[key].title if key in known else key,
        key="study-strategy",
        persist_state="session",
    )
    form = known[str(name)]
    st.caption(form.summary)
    return form


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


def _range() -> None:
    slots = st.columns(3)
    slots[0].number_input(
        "Capital, in the quote coin", value=_CASH, step=1000, key="study-cash", persist_state="session"
    )
    for slot, key, label, hint in (
        (slots[1], "study-from", "From (ISO date, UTC)", "first candle"),
        (slots[2], "study-to", "To (ISO date, UTC)", "last candle"),
    ):
        slot.text_input(label, key=key, placeholder=hint, persist_state="session")


def _conditions(has_perpetual: bool, finer: Sequence[str]) -> None:
    for slot, key in zip(st.columns(3), ("engine", "brake", "costs"), strict=True):
        with slot:
            _choice(key)
    if st.session_state.get("study-costs") == "plain":
        slots = st.columns(3)
        for slot, key, label, first in (
            (slots[0], "study-fee", "Fee, basis points", _FEE_BPS),
            (slots[1], "study-slippage", "Slippage, basis points", _SLIPPAGE_BPS),
        ):
            slot.number_input(label, 0.0, 1000.0, first, 0.5, key=key, persist_state="session")
    slots = st.columns(3)
    slots[0].number_input(
        "Market impact, Y", 0.0, 10.0, _IMPACT, 0.1, key="study-impact", persist_state="session",
        help="An order pays Y x volatility x square root of its share of the candle's volume. 0 is none.",
    )  # fmt: skip
    slots[1].selectbox(
        "Detail timeframe", ["", *finer], format_func=lambda one: one or "none: assume the worse path",
        key="study-detail", persist_state="session",
        help="Stored candles of this length decide whether stop or target came first inside a candle.",
    )  # fmt: skip
    if has_perpetual:
        with slots[2]:
            _choice("funding")


def _choice(key: str) -> None:
    label, words = CHOICES[key]
    st.selectbox(label, list(words), format_func=words.__getitem__, key=f"study-{key}", persist_state="session")


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
