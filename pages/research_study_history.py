"""Every study there was: its state, verdict and figures, what a person noted about it, and putting one away."""

from __future__ import annotations

import streamlit as st

from engine.domain.facade import ConsolePort
from engine.domain.research import MOST_NOTE_CHARACTERS, Standing
from engine.domain.studies import StudyRow, StudyState
from engine.runtime.titles import title_of
from pages import actions, appearance, parts, tables
from pages import format as fmt
from pages.actions import Act
from pages.format import Html, safe
from pages.guard import alone, live
from pages.tables import Column, Filter, Stored

MOST_OFFERED = 200
_TONES = {Standing.HOLDS: "accent", Standing.DOUBTFUL: "warn", Standing.FAILS: "stop"}
_STATES = {StudyState.DONE: "accent", StudyState.FAILED: "warn", StudyState.STOPPED: "warn"}


def draw(console: ConsolePort) -> None:
    """The table, and under it what can be done with one study."""
    live(_table, every_s=3)(console)
    alone(_one)(console)


def title(console: ConsolePort, row: StudyRow) -> str:
    """A study in a list of choices."""
    look = appearance.current(console)
    series = ", ".join(map(fmt.instrument, row.instruments)) or "no series"
    return f"{look.moment(row.created_at)} {look.zone} · {row.name} · {title_of(row.strategy)} · {series}"


def _table(console: ConsolePort) -> None:
    names = tuple(form.name for form in console.study_forms())
    tables.paged(
        Stored(
            key="study-history",
            columns=_columns(console),
            load=console.studies,
            nothing="No study matches. Start one under New study.",
            filters=(
                Filter("strategy", "Strategy", names, shows=title_of),
                Filter("text", "Name, instrument or note"),
                Filter("archived", "Put away", ("no", "yes")),
            ),
        )
    )


def _columns(console: ConsolePort) -> tuple[Column[StudyRow], ...]:
    look = appearance.current(console)
    return (
        Column(f"Begun, {look.zone}", lambda row: look.moment(row.created_at)),
        Column("Study", lambda row: row.name),
        Column("Strategy", lambda row: title_of(row.strategy)),
        Column("Instruments", lambda row: ", ".join(map(fmt.instrument, row.instruments)), wraps=True),
        Column("Candles", lambda row: row.timeframe),
        Column("State", _state),
        Column("Verdict", _verdict),
        Column("Trials", _trials, numeric=True),
        Column("Best objective", lambda row: fmt.number(row.best), numeric=True),
        Column("Holdout", _holdout),
        Column("Note", lambda row: "" if row.note is None else row.note.text, wraps=True),
        Column("Put away", lambda row: "yes" if row.archived else ""),
        Column("Started on", lambda row: "this page" if row.started_here else "the command line", shown=False),
    )


def _state(row: StudyRow) -> Html:
    badge = parts.badge(row.state.value, _STATES.get(row.state, "dim"))
    return Html(f"{badge} {safe(fmt.sentence(row.detail))}") if row.state is StudyState.FAILED else badge


def _verdict(row: StudyRow) -> Html:
    return safe(fmt.NONE) if row.verdict is None else parts.badge(row.verdict.level, _TONES[row.verdict.standing])


def _trials(row: StudyRow) -> str:
    return f"{row.measured:,}" if row.wanted in (None, row.measured) else f"{row.measured:,} of {row.wanted:,}"


def _holdout(row: StudyRow) -> str:
    return "untouched" if row.looked_at is None else f"looked at {row.looked_at:%Y-%m-%d}"


def _one(console: ConsolePort) -> None:
    rows = {row.name: row for row in console.studies(1, MOST_OFFERED, {}).rows}
    if not rows:
        return
    st.subheader("Note one, or put it away", anchor=False)
    chosen = st.selectbox(
        "Study",
        list(rows),
        format_func=lambda name: title(console, rows[name]) if name in rows else name,
        key="study-one",
        persist_state="session",
    )
    if chosen in rows:
        _note(console, rows[str(chosen)])


def _note(console: ConsolePort, row: StudyRow) -> None:
    key = f"study-note-{row.name}"
    text = "" if row.note is None else row.note.text
    st.text_area("Note", value=text, key=key, max_chars=MOST_NOTE_CHARACTERS, height=80, persist_state="session")
    if row.note is not None:
        look = appearance.current(console)
        st.caption(f"Last written by {row.note.by}, {look.moment(row.note.at)} {look.zone}")

    def keep() -> str:
        console.note_study(row.name, str(st.session_state.get(key, "")))
        return "The note is kept."

    def move() -> str:
        console.archive_study(row.name, not row.archived)
        return f"Study {row.name} is {'taken back' if row.archived else 'put away'}."

    with st.container(horizontal=True):
        actions.button(console, Act("study-note-keep", "Keep note", keep, slot=f"kept-{key}"))
        label = "Take back" if row.archived else "Put away"
        actions.button(console, Act("study-archive", label, move, slot=f"moved-{key}"))
    actions.outcome(f"kept-{key}")
    actions.outcome(f"moved-{key}")
    st.caption("Put away, a study is not offered under Result any more. Its trials and its look stay recorded.")
