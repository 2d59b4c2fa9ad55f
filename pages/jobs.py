"""Long work as a person sees it: a button that starts it once, progress, time left, cancel, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from engine.domain.commands import Role
from engine.domain.facade import ConsolePort
from engine.domain.views import JobState, JobView
from pages import actions, appearance, parts, tables
from pages import format as fmt
from pages.actions import Act
from pages.guard import live
from pages.tables import Column

_UNDER_WAY = {JobState.QUEUED, JobState.RUNNING}
_TONES = {JobState.DONE: "accent", JobState.FAILED: "warn", JobState.CANCELLED: "dim"}


@dataclass(frozen=True, slots=True)
class Start:
    """A button that starts a job, or several: ``begin`` gets an id, which stays the same for a double click."""

    key: str
    label: str
    begin: Callable[[str], JobView | tuple[JobView, ...]]
    needed: Role = Role.OPERATOR
    blocked: str = ""


def start_button(console: ConsolePort, start: Start) -> None:
    """Draw the button and what came of the last press."""
    slot = f"job:{start.key}"
    if slot not in st.session_state or st.session_state.get(f"came:{start.key}") is not None:
        st.session_state[slot] = console.new_command_id()
    identity = str(st.session_state[slot])

    def deed() -> str:
        st.session_state.pop(f"begun:{start.key}", None)
        given = start.begin(identity)
        begun = given if isinstance(given, tuple) else (given,)
        st.session_state[f"begun:{start.key}"] = tuple(job.job_id for job in begun)
        titles = ", ".join(job.title for job in begun)
        return f"Started: {fmt.named(titles)}. It goes on when you leave this page."

    act = Act(start.key, start.label, deed, start.needed, kind="primary", blocked=start.blocked)
    actions.button(console, act)
    live(_begun)(console, start.key)


def _begun(console: ConsolePort, key: str) -> None:
    """What came of the last press, as long as it is true: once the jobs have ended, their list says how."""
    ids = st.session_state.get(f"begun:{key}", ())
    states = {job.state for job in console.jobs() if job.job_id in ids} if ids else set()
    if not states or states & _UNDER_WAY:
        actions.outcome(key)
    elif JobState.FAILED in states:
        parts.notice("It failed; nothing goes on. The list of jobs says why.", "warn")


def panel(console: ConsolePort, kinds: tuple[str, ...]) -> None:
    """Running and finished jobs of these kinds, redrawn every second."""
    live(_panel)(console, kinds)


def running(console: ConsolePort, kinds: tuple[str, ...]) -> None:
    """Running jobs of these kinds alone, redrawn every second: for pages that list the ended ones themselves."""
    live(_only_running)(console, kinds)


def _only_running(console: ConsolePort, kinds: tuple[str, ...]) -> None:
    _all_running(console, kinds)


def _all_running(console: ConsolePort, kinds: tuple[str, ...]) -> list[JobView]:
    jobs = [job for job in console.jobs() if job.kind in kinds]
    for job in jobs:
        if job.state in (JobState.QUEUED, JobState.RUNNING):
            _running(console, job)
    return jobs


def _panel(console: ConsolePort, kinds: tuple[str, ...]) -> None:
    jobs = _all_running(console, kinds)
    ended = [job for job in jobs if job.state not in (JobState.QUEUED, JobState.RUNNING)][:10]
    if ended:
        tables.draw(_columns(console), ended)


def _running(console: ConsolePort, job: JobView) -> None:
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        left = "time left unknown" if job.seconds_left is None else f"{fmt.duration(job.seconds_left)} left"
        words = f"{fmt.sentence(job.kind)} {fmt.named(job.title)} · {fmt.percent(job.share, 0)} · {left} · "
        words += fmt.named(job.detail)
        st.progress(min(1.0, max(0.0, job.share)), text=words.replace("_", "\\_"))
        act = Act(f"cancel-{job.job_id}", "Cancel", lambda: _cancel(console, job.job_id))
        actions.button(console, act)
    actions.outcome(act.place)


def _cancel(console: ConsolePort, job_id: str) -> str:
    console.cancel_job(job_id)
    return "Asked to stop; what it had stored stays consistent."


def _columns(console: ConsolePort) -> tuple[Column[JobView], ...]:
    look = appearance.current(console)
    return (
        Column(f"Started, {look.zone}", lambda row: look.moment(row.started_at)),
        Column("Job", lambda row: fmt.named(fmt.sentence(f"{row.kind} {row.title}"))),
        Column("State", lambda row: parts.badge(row.state.value, _TONES.get(row.state, ""))),
        Column("Took", lambda row: fmt.duration(row.seconds), numeric=True),
        Column("What it said", lambda row: fmt.sentence(fmt.named(row.detail)), wraps=True),
    )
