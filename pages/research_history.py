"""Every backtest there was: its verdict and figures, what a person noted about it, and deleting one."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from engine.domain.commands import Role
from engine.domain.facade import ConsolePort
from engine.domain.research import MOST_NOTE_CHARACTERS, BacktestRow, Standing
from engine.domain.views import JobState
from engine.runtime.titles import title_of
from pages import actions, appearance, confirm, parts, tables
from pages import format as fmt
from pages.access import missing_role
from pages.actions import Act
from pages.confirm import Opener
from pages.format import Html, safe
from pages.guard import alone, live
from pages.tables import Column, Filter, Stored

DELETE = "delete-backtest"
_RUNNING = (JobState.QUEUED, JobState.RUNNING)
_TONES = {Standing.HOLDS: "accent", Standing.DOUBTFUL: "warn", Standing.FAILS: "stop"}
_STATES = {JobState.DONE: "accent", JobState.FAILED: "warn"}
_MOST_OFFERED = 200


def draw(console: ConsolePort) -> None:
    """The table, and under it what can be done with one run."""
    live(_table, every_s=3)(console)
    alone(_one)(console)


def dialogs(console: ConsolePort) -> None:
    """The question before a run is deleted, if it is open."""
    run_id = confirm.dialog_subject(DELETE)
    if run_id is not None:
        confirm.show_dialog("Delete a backtest", lambda: _dialog(console, run_id))


def _table(console: ConsolePort) -> None:
    names = tuple(form.name for form in console.backtest_strategies())
    tables.paged(
        Stored(
            key="research-history",
            columns=_columns(console),
            load=console.backtests,
            nothing="No backtest matches. Start one under New backtest.",
            filters=(Filter("strategy", "Strategy", names, shows=title_of), Filter("text", "Instrument, note or id")),
        )
    )


def _columns(console: ConsolePort) -> tuple[Column[BacktestRow], ...]:
    look = appearance.current(console)
    return (
        Column(f"Started, {look.zone}", lambda row: look.moment(row.job.started_at)),
        Column("Strategy", lambda row: title_of(row.strategy)),
        Column("Instruments", lambda row: ", ".join(map(fmt.instrument, row.instruments)), wraps=True),
        Column("Candles", lambda row: row.timeframe),
        Column("Verdict", _verdict),
        Column("Net return", lambda row: parts.profit_share(row.net_return), numeric=True),
        Column("Sharpe", lambda row: fmt.number(row.sharpe), numeric=True),
        Column("Drawdown", lambda row: fmt.percent(row.max_drawdown), numeric=True),
        Column("Trades", lambda row: fmt.number(row.trades, 0), numeric=True),
        Column("Final equity", _equity, numeric=True),
        Column("Note", lambda row: "" if row.note is None else row.note.text, wraps=True),
        Column("Engine", lambda row: row.engine, shown=False),
        Column("Took", lambda row: fmt.duration(row.job.seconds), numeric=True, shown=False),
        Column("Run", lambda row: row.run_id, shown=False),
    )


def _verdict(row: BacktestRow) -> Html:
    """The verdict; of a run without a result its state and what it said."""
    if row.verdict is not None:
        return parts.badge(row.verdict.level, _TONES[row.verdict.standing])
    state = parts.badge(row.job.state.value, _STATES.get(row.job.state, "dim"))
    return Html(f"{state} {safe(fmt.sentence(row.job.detail))}") if row.job.state not in _RUNNING else state


def _equity(row: BacktestRow) -> str:
    return fmt.NONE if row.final_equity is None else fmt.money(row.final_equity, row.currency)


def _one(console: ConsolePort) -> None:
    rows = {row.run_id: row for row in console.backtests(1, _MOST_OFFERED, {}).rows if row.job.state not in _RUNNING}
    if not rows:
        return
    st.subheader("Note or delete one", anchor=False)
    chosen = st.selectbox(
        "Ended backtest",
        list(rows),
        format_func=lambda run_id: _title(console, rows, run_id),
        key="research-one",
        persist_state="session",
    )
    if chosen in rows:
        _note(console, rows[str(chosen)])
        blocked = missing_role(console.actor, Role.OPERATOR)
        tip = "Asks before anything is gone"
        confirm.opener(Opener("research-delete-open", "Delete…", DELETE, str(chosen), blocked, tip))


def _note(console: ConsolePort, row: BacktestRow) -> None:
    key = f"research-note-{row.run_id}"
    text = "" if row.note is None else row.note.text
    st.text_area("Note", value=text, key=key, max_chars=MOST_NOTE_CHARACTERS, height=80, persist_state="session")
    if row.note is not None:
        look = appearance.current(console)
        st.caption(f"Last written by {row.note.by}, {look.moment(row.note.at)} {look.zone}")

    def keep() -> str:
        console.note_backtest(row.run_id, str(st.session_state.get(key, "")))
        return "The note is kept."

    actions.button(console, Act("research-note-keep", "Keep note", keep, slot=f"kept-{key}"))
    actions.outcome(f"kept-{key}")


def _title(console: ConsolePort, rows: Mapping[str, BacktestRow], run_id: str) -> str:
    row = rows.get(run_id)
    if row is None:
        return run_id
    look = appearance.current(console)
    series = ", ".join(map(fmt.instrument, row.instruments)) or "no series"
    when = f"{look.moment(row.job.started_at)} {look.zone}"
    return f"{when} · {run_id[-6:]} · {title_of(row.strategy)} · {series} · {row.job.state.value}"


def _dialog(console: ConsolePort, run_id: str) -> None:
    slot = f"{DELETE}-{run_id}"
    rows = {row.run_id: row for row in console.backtests(1, _MOST_OFFERED, {}).rows}
    row = rows.get(run_id)
    if row is not None:
        lines = (
            f"{_title(console, rows, run_id)}.",
            f"Its result ({_equity(row)}), curve, {row.trades or 0:,} trades and note are removed for good.",
            "Stored candles, other runs and every book stay as they are; the audit trail keeps who deleted it.",
        )
        st.html(parts.bullets(lines))
        deed = Act(
            "research-delete-now", "Delete this backtest", lambda: _deleted(console, run_id), slot=slot, kind="primary"
        )
        actions.button(console, deed)
    elif not actions.is_said(slot):
        parts.notice("This backtest is gone already; there is nothing to do.", "good")
    actions.outcome(slot)
    confirm.close_button(DELETE, row is None)


def _deleted(console: ConsolePort, run_id: str) -> str:
    console.delete_backtest(run_id)
    return f"Backtest {run_id} is deleted."
