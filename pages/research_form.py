"""The form of a new backtest: strategy from its configuration, candles, time, costs, capital, engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from engine.domain.errors import BadInput, QuarterdeckError
from engine.domain.facade import ConsolePort
from engine.domain.library_views import CoverageRow
from engine.domain.views import JobView, StrategyForm
from pages import forms, jobs, parts, research_inputs
from pages.guard import said
from pages.jobs import Start

_FOLLOW = "research-follow"
_SENT = "research-sent"
_FORM = "research"
"""What the keys of this form begin with."""
WAYS_OUT: Mapping[str, tuple[str, str]] = {
    "take_profit": (
        "Take-profit, x stop distance",
        "A target so far from the entry, as a multiple of the distance of its stop.",
    ),
    "trail": (
        "Trailing stop, x stop distance",
        "The stop stays so far behind the best price of completed candles since the entry; it never moves back.",
    ),
}
"""Settings of the section risk that a backtest may have of its own: label and what is said about it."""


def draw(console: ConsolePort) -> None:
    """Draw the form and the button that starts it."""
    stored = research_inputs.stored_series(console)
    if not stored:
        parts.notice("Import candles first on the Data page; then series can be chosen here.")
        return
    form = research_inputs.strategy(_FORM, {form.name: form for form in console.backtest_strategies()})
    research_inputs.series(_FORM, stored)
    with st.container():
        _settings(form)
    research_inputs.span(_FORM)
    research_inputs.conditions(_FORM, stored)
    _ways_out()
    with st.container():
        blocked = _blocked(console, research_inputs.chosen_series(_FORM, stored))
    jobs.start_button(
        console, Start("research", "Start backtest", lambda identity: _begin(console, identity), blocked=blocked)
    )


def _blocked(console: ConsolePort, chosen: Sequence[CoverageRow]) -> str:
    """Why it cannot be started, said before anybody tries; empty where it can."""
    if not chosen:
        reason = "Choose at least one series of candles"
        st.caption(f"{reason}.")
        return reason
    try:
        request = _request(console)
        _forget_refusal(request)
        console.check_backtest(request)
    except QuarterdeckError as error:
        parts.notice(f"This cannot be started. {said(error)}", "warn")
        return said(error)
    return ""


def _forget_refusal(request: Mapping[str, Any]) -> None:
    """Drop what was said of the last press where it was refused and the form says something else by now."""
    state = st.session_state
    match state.get("came:research"):
        case (False, _) if state.get(_SENT) != request:
            state.pop("came:research")


def awaited() -> str:
    """The run that was started here and not yet looked at; empty without one."""
    return str(st.session_state.get(_FOLLOW, ""))


def follow(done: Mapping[str, object]) -> None:
    """Choose the run that was started last, once it has a result; call before the choice is drawn."""
    if awaited() in done:
        st.session_state["research-chosen"] = awaited()
        st.session_state.pop(_FOLLOW)


def _begin(console: ConsolePort, identity: str) -> JobView:
    request = st.session_state[_SENT] = _request(console)
    begun = console.start_backtest(identity, request)
    st.session_state[_FOLLOW] = begun.job_id
    return begun


def _request(console: ConsolePort) -> dict[str, Any]:
    """What the form says at this instant; what was typed just before the click is in it."""
    state, known = st.session_state, {form.name: form for form in console.backtest_strategies()}
    form = known[str(state["research-strategy"])]
    draft = forms.entered(f"research-{form.name}", form.fields)
    if draft.errors:
        raise BadInput("; ".join(draft.errors))
    request = {"strategy": form.name, "settings": draft.values, **research_inputs.request(_FORM, console)}
    given = {name: value for name in WAYS_OUT if (value := state.get(f"research-{name}")) is not None}
    if given:
        request["risk"] = {name: f"{value:g}" for name, value in given.items()}
    return request


def _settings(form: StrategyForm) -> None:
    with st.expander(f"Settings of {form.title}", key=f"research-settings-{form.name}"):
        draft = forms.draw(f"research-{form.name}", form.fields)
        for error in draft.errors:
            st.error(error)


def _ways_out() -> None:
    """Target and trailing stop; where left empty, as the settings of the installation say."""
    slots = st.columns(3)
    for slot, (name, (label, tip)) in zip(slots, WAYS_OUT.items(), strict=False):
        slot.number_input(
            label, 0.01, 100.0, None, 0.1, key=f"research-{name}", persist_state="session",
            placeholder="as in Settings", help=f"{tip} A strategy without a stop has none.",
        )  # fmt: skip
