"""Audit: what was decided and done, in order, and whether the record still holds."""

from __future__ import annotations

import streamlit as st

from engine.domain.commands import Role
from engine.domain.facade import ConsolePort
from engine.domain.trail_views import AuditRow, ChainView, JournalRow, LogRow
from engine.runtime.trail_words import ACTION_WORDS, KIND_WORDS, action_words, kind_words
from pages import actions, appearance, desk, parts, tables
from pages import format as fmt
from pages.access import missing_role
from pages.actions import Act
from pages.format import Html, safe
from pages.guard import guarded, live, tabs
from pages.tables import Column, Filter, Stored

_VERDICT = "chain-verdict"
_KINDS = tuple(sorted(KIND_WORDS, key=kind_words))
_LEVELS = ("info", "warning", "error")


def render(console: ConsolePort) -> None:
    """Draw the page."""
    st.header("Audit", anchor=False)
    guarded(_chains)(console)
    tabs(
        "audit-tab",
        {
            "Journal": lambda: tables.stored(console, journal_table, every_s=5),
            "Who did what": lambda: _people(console),
            "Log": lambda: _lines(console),
        },
    )


def _lines(console: ConsolePort) -> None:
    st.segmented_control(
        "Least level", _LEVELS, default="info", required=True, key="log-level", persist_state="session"
    )
    live(_log, every_s=3)(console)


def _chains(console: ConsolePort) -> None:
    st.caption(
        "Every row carries a keyed hash of the row before. Recomputing all shows whether one was changed or removed."
    )
    act = Act("verify", "Verify the chains", lambda: _verified(console), Role.VIEWER, kind="primary")
    actions.button(console, act)
    kept = st.session_state.get(_VERDICT)
    if isinstance(kept, tuple):
        for holds, words in kept:
            parts.notice(words, "good" if holds else "warn")
    else:
        actions.outcome("verify")


def _verified(console: ConsolePort) -> str:
    st.session_state.pop(_VERDICT, None)
    verdicts = tuple((chain.holds, verdict(chain)) for chain in console.verify_chains())
    st.session_state[_VERDICT] = verdicts
    return "Verified."


def verdict(chain: ChainView) -> str:
    """Whether a chain holds, in words."""
    if chain.holds:
        return f"The {chain.name} chain holds over {chain.rows:,} rows: {chain.detail}"
    return (
        f"The {chain.name} chain is BROKEN at row {chain.broken_at} of {chain.rows:,}: {chain.detail}. Stop trading, "
        "keep a copy of the data folder, and restore the last verified backup."
    )


def journal_table(console: ConsolePort) -> Stored[JournalRow]:
    """The journal of every book."""
    look = appearance.current(console)
    names = tuple(book.name for book in console.snapshot().books)
    columns: tuple[Column[JournalRow], ...] = (
        Column("Row", lambda row: f"{row.sequence:,}", numeric=True),
        Column(f"Market time, {look.zone}", lambda row: look.moment(row.market_time)),
        Column("Book", lambda row: row.book),
        Column("Kind", lambda row: parts.badge(kind_words(row.kind), "dim")),
        Column("What", lambda row: row.summary, wraps=True),
        Column(f"Wall time, {look.zone}", lambda row: look.moment(row.wall_time), shown=False),
        Column("Stored type", lambda row: desk.mono(row.kind), shown=False),
        Column("Payload", lambda row: desk.mono(row.payload), shown=False, wraps=True),
    )
    filters = (
        Filter("book", "Book", names),
        Filter("kind", "Kind", _KINDS, shows=kind_words),
        Filter("text", "Text"),
        Filter("since", "Since, UTC", is_date=True),
    )
    return Stored(
        "journal",
        columns,
        console.journal,
        "No journal row matches. Every fact is written here before it has an effect.",
        filters,
        "journal",
    )


def _people(console: ConsolePort) -> None:
    if not _hidden(console):
        tables.stored(console, people_table, every_s=5)


def people_table(console: ConsolePort) -> Stored[AuditRow]:
    """Who did what."""
    look = appearance.current(console)
    columns: tuple[Column[AuditRow], ...] = (
        Column("Row", lambda row: f"{row.sequence:,}", numeric=True),
        Column(f"Wall time, {look.zone}", lambda row: look.moment(row.at)),
        Column("Who", lambda row: row.actor),
        Column("From", lambda row: row.source),
        Column("Did", lambda row: action_words(row.action), wraps=True),
        Column("To", lambda row: row.target),
        Column("What and why", lambda row: fmt.sentence(row.detail), wraps=True),
        Column("Outcome", lambda row: fmt.sentence(row.outcome) if row.outcome else fmt.NONE, wraps=True),
        Column("Stored type", lambda row: desk.mono(row.action), shown=False),
    )
    actions_known = tuple(sorted(ACTION_WORDS, key=action_words))
    filters = (
        Filter("actor", "Who"),
        Filter("action", "Did", actions_known, shows=action_words),
        Filter("text", "Text"),
    )
    return Stored("audit", columns, console.audit, "Nobody has done anything that matches.", filters, "audit")


def _hidden(console: ConsolePort) -> bool:
    """Say so where the person may not read this."""
    reason = missing_role(console.actor, Role.OPERATOR)
    if reason:
        parts.notice(f"For operators and admins only: {reason}.", "warn")
    return bool(reason)


def _log(console: ConsolePort) -> None:
    if _hidden(console):
        return
    look = appearance.current(console)
    rows = console.log(str(st.session_state.get("log-level", "info")), tables.PAGE_SIZE * 2)
    columns: tuple[Column[LogRow], ...] = (
        Column(f"Wall time, {look.zone}", lambda row: look.moment(row.at)),
        Column("Level", _level),
        Column("Event", lambda row: row.event),
        Column("Detail", lambda row: Html(f'<span class="qd-mono">{safe(row.detail)}</span>'), wraps=True),
    )
    tables.draw(columns, rows, "No line of this level yet.")
    st.caption(f"The newest {len(rows)} lines; {fmt.moment(fmt.now(), look.zone, date=False)} {look.zone}")


def _level(row: LogRow) -> Html:
    return parts.badge(row.level, "warn" if row.level in {"warning", "error", "critical"} else "dim")
