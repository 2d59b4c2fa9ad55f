"""Deleting a finished replay: which one, what goes with it, and a question before anything is gone."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from engine.domain.commands import Role
from engine.domain.facade import ConsolePort
from engine.domain.library_views import ReplayView
from engine.domain.views import JobState
from engine.runtime.titles import titles_of
from pages import actions, appearance, confirm, parts
from pages import format as fmt
from pages.access import missing_role
from pages.actions import Act
from pages.confirm import Opener
from pages.guard import live

DELETE = "delete-replay"
_RUNNING = (JobState.QUEUED, JobState.RUNNING)


def draw(console: ConsolePort) -> None:
    """The choice of a replay and the button that asks; the dialog if it is open."""
    live(_choice, every_s=3)(console)
    run_id = confirm.dialog_subject(DELETE)
    if run_id is not None:
        confirm.show_dialog("Delete a replay", lambda: _dialog(console, run_id))


def _ended(console: ConsolePort) -> Sequence[ReplayView]:
    return [run for run in console.replays() if run.job.state not in _RUNNING]


def _choice(console: ConsolePort) -> None:
    rows = {run.run_id: _title(console, run) for run in _ended(console)}
    if not rows:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Ended replay",
            list(rows),
            format_func=lambda run_id: rows.get(run_id, run_id),
            key="replay-to-delete",
            persist_state="session",
            width=560,
        )
        blocked = missing_role(console.actor, Role.OPERATOR)
        confirm.opener(Opener("delete-open", "Delete…", DELETE, str(chosen), blocked, "Asks before anything is gone"))


def _title(console: ConsolePort, run: ReplayView) -> str:
    look = appearance.current(console)
    series = ", ".join(map(fmt.instrument, run.instruments)) or "no series"
    return (
        f"{titles_of(run.strategy)} · {series} · {look.moment(run.job.started_at)} {look.zone} · {run.job.state.value}"
    )


def _dialog(console: ConsolePort, run_id: str) -> None:
    slot = f"{DELETE}-{run_id}"
    run = next((run for run in _ended(console) if run.run_id == run_id), None)
    if run is not None:
        kept = fmt.number(run.final_equity) if run.final_equity is not None else "none"
        lines = (
            f"{_title(console, run)}.",
            f"Its result (final equity {kept}), curve and {run.fills:,} fills are removed from the disk for good.",
            "Stored candles, other replays and every book stay as they are. The audit trail keeps who deleted it.",
        )
        st.html(parts.bullets(lines))
        act = Act("delete-now", "Delete this replay", lambda: _deleted(console, run_id), slot=slot, kind="primary")
        actions.button(console, act)
    elif not actions.is_said(slot):
        parts.notice("This replay is gone already; there is nothing to do.", "good")
    actions.outcome(slot)
    confirm.close_button(DELETE, run is None)


def _deleted(console: ConsolePort, run_id: str) -> str:
    console.delete_replay(run_id)
    return f"Replay {run_id} is deleted."
