"""Research: would this have worked after costs, and how likely is it luck? Backtests and studies as jobs."""

from __future__ import annotations

import streamlit as st

from engine.domain.facade import ConsolePort
from engine.domain.research import BacktestRow
from engine.domain.views import JobState
from engine.runtime.titles import title_of
from pages import (
    appearance,
    jobs,
    parts,
    research_compare,
    research_form,
    research_history,
    research_result,
    research_studies,
)
from pages import format as fmt
from pages.guard import guarded, live, tabs

_MOST_OFFERED = 200
_PARTS = ("Backtests", "Studies")


def render(console: ConsolePort) -> None:
    """Draw the page: backtests, or studies that search settings; only the chosen part is drawn."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header("Research", anchor=False, width="content")
        part = st.segmented_control(
            "What to look at",
            _PARTS,
            default=_PARTS[0],
            required=True,
            key="research-part",
            label_visibility="collapsed",
            persist_state="session",
        )
    if part == _PARTS[1]:
        research_studies.draw(console)
    else:
        _backtests(console)


def _backtests(console: ConsolePort) -> None:
    jobs.running(console, ("backtest",))
    live(_started, every_s=2)(console)
    guarded(_tabs)(console)
    research_history.dialogs(console)


def _started(console: ConsolePort) -> None:
    """What came of the run that was started here, while nobody has looked at its result."""
    awaited = research_form.awaited()
    job = next((job for job in console.jobs("backtest") if job.job_id == awaited), None)
    if job is None:
        return
    if job.state is JobState.DONE:
        parts.notice(f"Done. {fmt.sentence(job.detail)} See Result.", "good")
    elif job.state is JobState.FAILED:
        st.error(f"**The backtest failed.** {fmt.sentence(job.detail)}  \nNothing else was touched.")
    elif job.state is JobState.CANCELLED:
        parts.notice(f"The backtest was stopped: {job.detail}", "warn")


def _tabs(console: ConsolePort) -> None:
    tabs(
        "research-tab",
        {
            "Result": lambda: live(_result, every_s=4)(console),
            "History": lambda: research_history.draw(console),
            "Compare": lambda: live(_compare, every_s=10)(console),
            "New backtest": lambda: guarded(research_form.draw)(console),
        },
    )


def _result(console: ConsolePort) -> None:
    rows = _done(console)
    if not rows:
        _teach(console)
        return
    research_form.follow(rows)
    chosen = st.selectbox(
        "Backtest",
        list(rows),
        format_func=lambda run_id: _title(console, rows[run_id]) if run_id in rows else run_id,
        key="research-chosen",
        persist_state="session",
    )
    if chosen in rows:
        research_result.draw(console, console.backtest(str(chosen)))


def _compare(console: ConsolePort) -> None:
    rows = _done(console)
    research_compare.draw(console, {run_id: _title(console, row) for run_id, row in rows.items()})


def _done(console: ConsolePort) -> dict[str, BacktestRow]:
    """Runs with a result by id, newest first."""
    return {row.run_id: row for row in console.backtests(1, _MOST_OFFERED, {}).rows if row.is_done}


def _teach(console: ConsolePort) -> None:
    if any(job.state in (JobState.QUEUED, JobState.RUNNING) for job in console.jobs("backtest")):
        parts.empty(
            "The first backtest is under way",
            "Its result will stand here. The very first run also compiles the engine, once: that takes about a minute.",
        )
    elif console.coverage():
        parts.empty(
            "No backtest yet",
            "Under New backtest choose a strategy and stored candles. The result says first whether it can be told "
            "from luck, and only then how large it is.",
        )
    else:
        parts.empty(
            "Nothing to test yet",
            "A backtest needs stored candles. Import the files you have, then test a strategy over years of them here.",
            parts.Help("Import candles", "data"),
        )


def _title(console: ConsolePort, row: BacktestRow) -> str:
    """Time and id come first: on a telephone the end of a choice is cut off."""
    look = appearance.current(console)
    series = ", ".join(map(fmt.instrument, row.instruments))
    when = f"{look.moment(row.job.started_at)} {look.zone}"
    return f"{when} · {row.run_id[-6:]} · {title_of(row.strategy)} · {series} {row.timeframe}"
