"""The best settings of a study: what they are, one run of them, a backtest with them, the one look at the holdout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from engine.domain.commands import Role
from engine.domain.facade import ConsolePort
from engine.domain.research import Statistic
from engine.domain.studies import SettingValue, StudyState, StudyView, WindowKind
from engine.domain.views import JobState, JobView
from pages import appearance, charts, confirm, jobs, parts, research_charts, tables
from pages import format as fmt
from pages.access import missing_role
from pages.confirm import Opener
from pages.guard import live
from pages.jobs import Start
from pages.parts import Card
from pages.research_inputs import CHOICES
from pages.research_result import figure, interval, meaning, verdict_notice
from pages.research_study_form import FOLLOW
from pages.tables import Column

LOOK = "look-at-holdout"
_WORKING = (JobState.QUEUED, JobState.RUNNING)
_RUN_CARDS = ("net_return", "sharpe", "max_drawdown", "trades", "win_rate")


def best(view: StudyView) -> None:
    """Its settings and one run of it over the days of all folds."""
    found = view.best
    if found is None:
        parts.notice("No trial is complete yet.")
        return
    left, right = st.columns([2, 3], gap="medium")
    with left:
        st.subheader(f"Settings of trial {found.number}", anchor=False)
        tables.draw(_SETTINGS, found.settings)
        if st.button("Use in a backtest", key="study-use", on_click=_fill, args=(found.backtest,)):
            st.rerun(scope="app")
        st.caption("Fills the form of a backtest with these settings and the days of the folds, without the holdout.")
    with right:
        st.subheader("One run over the days of all folds", anchor=False)
        if found.run is None:
            parts.notice("It is run once the study is judged.")
            return
        known = {item.key: item for item in found.run.statistics}
        st.html(parts.cards(_run_card(known[key], found.run.row.currency) for key in _RUN_CARDS if key in known))
        name = f"study-run-{view.row.name}"
        charts.show(research_charts.curve(found.run.curve), name, "Equity of the best settings over the folds' days")
        st.caption("These days chose the settings, so this run flatters them.")


def _run_card(item: Statistic, currency: str) -> Card:
    return Card(item.title, figure(item.value, item.unit, currency), item.reason or interval(item, currency))


def _fill(asked: Mapping[str, Any]) -> None:
    """Button callback: put a request into the form of a backtest, and open it."""
    state, strategy = st.session_state, asked["strategy"]
    state["research-strategy"] = strategy
    state["research-series"] = ["|".join(name) for name in asked["series"]]
    state.update({f"research-{strategy}-{name}": value for name, value in asked["settings"].items()})
    state["research-cash"] = int(float(asked["cash"]))
    state.update({f"research-{key}": asked[key] for key in ("from", "to", "engine", "costs")})
    state["research-impact"], state["research-detail"] = float(asked.get("impact", 0)), asked.get("detail", "")
    state["research-brake"] = asked["brake"] if asked["brake"] in CHOICES["brake"][1] else ""
    if asked["costs"] == "plain":
        state["research-fee"], state["research-slippage"] = float(asked["fee_bps"]), float(asked["slippage_bps"])
    if "funding" in asked:
        state["research-funding"] = asked["funding"]
    state["research-part"], state["research-tab"] = "Backtests", "New backtest"


def holdout(console: ConsolePort, view: StudyView) -> None:
    """The days that are kept for one look, the button that asks for it, or what was seen."""
    look = view.look
    if look is None:
        _untouched(view)
        blocked = missing_role(console.actor, Role.OPERATOR) or view.look_blocked
        tip = "Asks before anything is done; it can be done once"
        confirm.opener(Opener("study-look-open", "Look at the holdout…", LOOK, view.row.name, blocked, tip))
        return
    shown = appearance.current(console)
    days = _holdout_days(view)
    parts.notice(
        f"Looked at once, on {shown.moment(look.at)} {shown.zone}. The holdout was {days}. The study is ended."
    )
    verdict_notice(look.verdict)
    gain = f"from {fmt.money(look.cash, look.currency)}"
    st.html(parts.cards((Card("Final equity", fmt.money(look.final_equity, look.currency), gain),)))
    tables.draw(_figure_columns(look.currency), look.statistics)
    st.caption(f"With {', '.join(f'{name} {_shown(value)}' for name, value in look.settings)}, after all costs.")


def _untouched(view: StudyView) -> None:
    """Whether the one look can still be taken, and if not why."""
    days = _holdout_days(view)
    if view.row.state is StudyState.DONE and view.look_blocked:
        parts.notice(f"No look can be taken at the holdout, {days}. {view.look_blocked}.", "warn")
    else:
        parts.notice(
            f"This study has not looked at its holdout, {days}. One look at the very end says whether it holds."
        )


def _holdout_days(view: StudyView) -> str:
    kept = next((one for one in view.windows if one.kind is WindowKind.HOLDOUT), None)
    return "unknown" if kept is None else f"{kept.start:%Y-%m-%d} up to {kept.stop:%Y-%m-%d} UTC, {kept.days:,} days"


def dialogs(console: ConsolePort) -> None:
    """The question before the holdout is looked at, if it is open."""
    name = confirm.dialog_subject(LOOK)
    if name is not None:
        confirm.show_dialog("Look at the holdout, once", lambda: _dialog(console, name))


def _dialog(console: ConsolePort, name: str) -> None:
    view = console.study(name)
    _follow(name)
    working = _is_working(console, name)
    if view.look is not None or working:
        live(_came, every_s=2)(console, name)
    elif view.best is not None:
        st.html(parts.bullets(_lines(view, view.best.number)))
        start = Start(_key(name), "Look now, once", lambda identity: _look(console, identity, name))
        jobs.start_button(console, start)
    confirm.close_button(LOOK, view.look is not None or working)


def _follow(name: str) -> None:
    """Draw the page behind the window anew once a look has begun: from then on it follows by itself."""
    state, slot = st.session_state, f"followed:{_key(name)}"
    begun = state.get(f"begun:{_key(name)}", ())
    if begun and state.get(slot) != begun:
        state[slot] = begun
        st.rerun(scope="app")


def _is_working(console: ConsolePort, name: str) -> bool:
    begun = st.session_state.get(f"begun:{_key(name)}", ())
    return any(job.job_id in begun and job.state in _WORKING for job in console.jobs("study"))


def _came(console: ConsolePort, name: str) -> None:
    """What has become of a look that was asked for, or was there before."""
    working = _is_working(console, name)  # before the study is read: what ends in between is seen in it
    if console.study(name).look is not None:
        parts.notice("It was looked at; Holdout shows what was seen.", "good")
    elif working:
        parts.notice("It is under way. What is seen will stand under Holdout, with the date.", "good")
    else:
        parts.notice("It ended without a result; the page behind says why. Close this window to ask again.", "warn")


def _lines(view: StudyView, best_trial: int) -> tuple[str, ...]:
    return (
        f"The settings of trial {best_trial} are run on {_holdout_days(view)}.",
        "This can be done once. The day and the result are recorded for good before anything is shown.",
        f"Study {view.row.name} ends with it: no trial can be added afterwards.",
        "No later study of this strategy on these instruments can look at these days again.",
        "No order is sent, and no book is touched.",
    )


def _key(name: str) -> str:
    return f"study-look-{name}"


def _look(console: ConsolePort, identity: str, name: str) -> JobView:
    begun = console.look_at_holdout(identity, name)
    st.session_state[FOLLOW] = begun.job_id
    return begun


def _shown(value: SettingValue) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


_SETTINGS: tuple[Column[tuple[str, SettingValue]], ...] = (
    Column("Setting", lambda row: row[0], wraps=True),
    Column("Value", lambda row: _shown(row[1]), numeric=True),
)


def _figure_columns(unit: str) -> tuple[Column[Statistic], ...]:
    return (
        Column("Figure", lambda row: row.title),
        Column("Value", lambda row: figure(row.value, row.unit, unit), numeric=True),
        Column("95 % interval", lambda row: interval(row, unit) or fmt.NONE, numeric=True),
        Column("Buy and hold", lambda row: figure(row.hold, row.unit, unit), numeric=True),
        Column("What it means", meaning, wraps=True),
    )
