"""Studies on the Research page: what runs, the result of one, the history, and the form of a new one."""

from __future__ import annotations

import streamlit as st

from engine.domain.facade import ConsolePort
from engine.domain.studies import StudyRow
from engine.domain.views import JobState
from pages import format as fmt
from pages import (
    jobs,
    parts,
    research_study_best,
    research_study_form,
    research_study_history,
    research_study_result,
)
from pages.guard import guarded, live, tabs
from pages.research_study_form import CHOSEN, FOLLOW
from pages.research_study_history import MOST_OFFERED, title


def draw(console: ConsolePort) -> None:
    """Draw this part of the page."""
    jobs.running(console, ("study",))
    live(_started, every_s=2)(console)
    guarded(_tabs)(console)
    research_study_best.dialogs(console)


def _tabs(console: ConsolePort) -> None:
    tabs(
        "study-tab",
        {
            "Result": lambda: (live(_result, every_s=3) if _is_working(console) else guarded(_result))(console),
            "History": lambda: research_study_history.draw(console),
            "New study": lambda: guarded(research_study_form.draw)(console),
        },
    )


def _is_working(console: ConsolePort) -> bool:
    """Whether a study runs: only then is there something new to draw every few seconds."""
    return any(job.state in (JobState.QUEUED, JobState.RUNNING) for job in console.jobs("study"))


def _started(console: ConsolePort) -> None:
    """What came of the study that was started or continued here."""
    awaited = str(st.session_state.get(FOLLOW, ""))
    job = next((job for job in console.jobs("study") if job.job_id == awaited), None)
    if job is None:
        return
    if job.state is JobState.DONE:
        parts.notice(f"Done. {fmt.sentence(job.detail)} See Result.", "good")
    elif job.state is JobState.FAILED:
        st.error(f"**The study failed.** {fmt.sentence(job.detail)}  \nFinished trials are stored.")
    elif job.state is JobState.CANCELLED:
        parts.notice(f"The study was stopped: {job.detail}. Continue it under Result.", "warn")


def _result(console: ConsolePort) -> None:
    rows = {row.name: row for row in console.studies(1, MOST_OFFERED, {"archived": "no"}).rows}
    if not rows:
        _teach(console)
        return
    chosen = st.selectbox(
        "Study",
        list(rows),
        format_func=lambda name: _title(console, rows.get(name), name),
        key=CHOSEN,
        persist_state="session",
    )
    if chosen in rows:
        research_study_result.draw(console, console.study(str(chosen)))


def _title(console: ConsolePort, row: StudyRow | None, name: str) -> str:
    return name if row is None else f"{title(console, row)} · {row.state.value}"


def _teach(console: ConsolePort) -> None:
    if _is_working(console):
        parts.empty(
            "The first study is under way",
            "Its trials will stand here. The very first run also compiles the engine, once: that takes about a minute.",
        )
    elif console.coverage():
        parts.empty(
            "No study yet",
            "A study searches the settings of a strategy, keeps every trial, and says how much of the best one is the "
            "choosing. Under New study say which settings may vary, and between what.",
        )
    else:
        parts.empty(
            "Nothing to study yet",
            "A study needs stored candles. Import the files you have, then search the settings of a strategy here.",
            parts.Help("Import candles", "data"),
        )
