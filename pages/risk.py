"""Risk: how much of each limit is used, what could be lost, and the switches that hold it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal

import streamlit as st

from engine.domain.commands import ConfigureRisk, Rearm, SetTrading, TradingState
from engine.domain.facade import ConsolePort
from engine.domain.orders import Refused
from engine.domain.portfolio import BookSnapshot, LimitUse
from engine.runtime.limit_words import position_limit_words, review_limits
from engine.runtime.titles import title_of
from pages import appearance, books, confirm, figures, forms, header, overview, parts, stop, strategies, tables
from pages import format as fmt
from pages.access import missing_role_for
from pages.confirm import Look, Opener, Proof, Question, Request
from pages.format import Html, safe
from pages.guard import guarded, live
from pages.parts import Card
from pages.tables import Column

LIMITS, REARM, STATE = "risk-limits", "rearm", "trading-state"
_NEAR = Decimal("0.8")
_SWITCHES = {
    TradingState.ACTIVE: "Strategies may open and close positions.",
    TradingState.CLOSE_ONLY: "No new risk: orders may only make positions smaller.",
    TradingState.HALTED: "No strategy order at all; protective stops stay at the venue.",
}
_MODES = {
    "conservative": "Conservative: 1 % of allocated equity at risk a trade.",
    "aggressive": (
        "Aggressive: 2 % at risk a trade up to 10,000 of equity, falling exponentially to 0.5 % at 100,000. Money at "
        "risk is not largest at the end: it peaks at 557.21 near an equity of 64,921 and falls to 500 at 100,000."
    ),
}


def render(console: ConsolePort) -> None:
    """Draw the page."""
    st.header("Risk", anchor=False)
    guarded(_limits_part)(console)
    live(_switches)(console)
    guarded(_dialogs)(console)
    live(_figures, every_s=10)(console)
    st.subheader("Limits and mode", anchor=False)
    guarded(_form)(console)
    st.subheader("Refused lately", anchor=False)
    live(_refused, every_s=3)(console)


def mode(book: BookSnapshot) -> str:
    """The book's risk mode as its limits say, empty where they do not."""
    try:
        stored = json.loads(book.risk)
    except ValueError:
        return ""
    return str(stored.get("mode", "")) if isinstance(stored, dict) else ""


def _limits_part(console: ConsolePort) -> None:
    fields = console.risk_form(books.current(console).name)
    live(_limits)(console, {field.name: re.split("[:,(]", field.label)[0].strip() for field in fields})


def _limits(console: ConsolePort, titles: Mapping[str, str]) -> None:
    book = books.current(console)
    over = [titled(limit, titles) for limit in book.limits if limit.used is not None and limit.used >= limit.limit]
    unknown = [titled(limit, titles) for limit in book.limits if limit.used is None]
    chosen = mode(book)
    state = header.state_badge(book, absent=bool(console.absence()))
    cards = parts.cards(
        (
            Card("Trading state", state, book.state_reason or "nothing holds it back"),
            Card("Mode", fmt.words(chosen) or "unknown", _MODES.get(chosen, "").partition(": ")[2]),
            overview.drawdown_card(book),
            Card("Limits reached", str(len(over)), _few(over) or "none", "warn" if over else ""),
            Card("Unknown", str(len(unknown)), _few(unknown) or "every limit is measured"),
        )
    )
    st.html(Html(cards + parts.as_of(book, appearance.current(console).zone)))
    tables.draw(limit_columns(titles), book.limits, "No limit is reported until the book has seen its first price.")


def titled(row: LimitUse, titles: Mapping[str, str]) -> str:
    """A limit under the name its form field has."""
    return titles.get(row.name) or fmt.words(row.name)


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def limit_columns(titles: Mapping[str, str]) -> tuple[Column[LimitUse], ...]:
    """Value, limit and use, the window it is measured over, and what happens at breach and when unknown."""
    return (
        Column("Limit", lambda row: titled(row, titles), wraps=True),
        Column("Use", use),
        Column("Now", lambda row: amount(row.used, row.unit), numeric=True),
        Column("Limit at", lambda row: amount(row.limit, row.unit), numeric=True),
        Column("Window", lambda row: row.window),
        Column("At breach", lambda row: row.at_breach, wraps=True),
        Column("When unknown", lambda row: row.when_unknown, wraps=True),
    )


def use(row: LimitUse) -> Html:
    """A bar and the share used, with a word where it is near or over."""
    share = None if row.used is None or not row.limit else row.used / row.limit
    if share is None:
        return Html(f'<div class="qd-use">{parts.bar(None)}<span class="qd-dim">unknown</span></div>')
    word, tone = ("reached", "warn") if share >= 1 else ("near", "warn") if share >= _NEAR else ("", "")
    return Html(f'<div class="qd-use">{parts.bar(share, tone)}<span>{fmt.percent(share, 0)} {word}</span></div>')


def amount(value: Decimal | None, unit: str) -> str:
    """A limit's value in its own unit."""
    if value is None:
        return "unknown"
    if unit == "share":
        return fmt.percent(value)
    return f"{fmt.quantity(round(value, 4))} {unit.removesuffix('s') if value == 1 else unit}"


def _figures(console: ConsolePort) -> None:
    book = books.current(console)
    view = console.risk(book.name)
    st.subheader("What could be lost", anchor=False)
    figures.draw(view, book.base_currency)
    st.caption(
        f"{parts.source_of(book)} · {view.observations:,} observations · in {book.base_currency} · losses negative"
    )


def _refused(console: ConsolePort) -> None:
    rows = sorted(books.current(console).refused, key=lambda row: row.at, reverse=True)[: tables.PAGE_SIZE]
    by: Column[Refused] = Column("Strategy", lambda row: title_of(row.sleeve))
    columns = (by, *strategies.refused_columns(appearance.current(console)))
    tables.draw(columns, rows, "Nothing was refused lately. A refusal names the rule, the value and the limit.")


def _switches(console: ConsolePort) -> None:
    book = books.current(console)
    if book.latched:
        _latched(console, book)
    else:
        _states(console, book)


def _states(console: ConsolePort, book: BookSnapshot) -> None:
    blocked = missing_role_for(console.actor, SetTrading)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.html("<b>Trading state</b>", width="content")
        for state, words in _SWITCHES.items():
            present = "It is in this state" if state is book.state else ""
            name = state.value
            confirm.opener(Opener(f"state-{name}", name, STATE, name, blocked or present, words))


def _latched(console: ConsolePort, book: BookSnapshot) -> None:
    reason = safe(book.state_reason or "stopped")
    parts.notice(Html(f"<b>Latched:</b> {reason}. Only a re-arm releases it."), "stop")
    if book.stop is not None:
        parts.panel(stop.progress(book, book.stop, appearance.current(console).zone))
    blocked = missing_role_for(console.actor, Rearm)
    tip = "Release the latch; a deliberate act that asks for the password again"
    confirm.opener(Opener("rearm-open", "Re-arm…", REARM, "", blocked, tip))


def _dialogs(console: ConsolePort) -> None:
    book = books.current(console)
    wished = confirm.dialog_subject(STATE)
    if wished is not None:
        state = TradingState(wished)
        lines = (f"The {book.name} book moves from {book.state.value} to {wished}.", _SWITCHES[state])
        request = Request(STATE, SetTrading(book.name, state), f"set to {wished} by hand", "state-reason")
        confirm.ask(console, Question("Change the trading state", lines, request, Look(f"Set {wished}", "primary")))
    consequences = (
        f"The latch of the {book.name} book is released: {book.state_reason or 'stopped'}.",
        "Running strategies may open positions again at their next candle close.",
        "It is refused unless the stop was VERIFIED FLAT.",
    )
    request = Request(REARM, Rearm(book.name), "re-armed by hand", "rearm-reason")
    confirm.ask(console, Question("Re-arm the book", consequences, request, Look("Re-arm", "primary"), Proof.ALWAYS))


def _form(console: ConsolePort) -> None:
    book = books.current(console)
    fields = console.risk_form(book.name)
    blocked = missing_role_for(console.actor, ConfigureRisk)
    key = f"risk-{book.name}"
    draft = forms.draw(key, fields, disabled=bool(blocked))
    note = _MODES.get(str(draft.values.get("mode", "")))
    if note:
        st.caption(note)
    st.caption(position_limit_words(book))
    for error in draft.errors:
        st.error(error)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Apply limits…",
            key="risk-apply",
            type="primary",
            disabled=bool(blocked or draft.errors or not draft.changes),
            help=blocked or ("Nothing differs from what is in force" if not draft.changes else None),
            on_click=confirm.open_dialog,
            args=(LIMITS,),
        )
        if draft.changes:
            st.button("Undo changes", key="risk-undo", on_click=forms.reset, args=(key, fields))
            st.caption(f"{len(draft.changes)} change{'' if len(draft.changes) == 1 else 's'}, not applied")
    if confirm.dialog_subject(LIMITS) is not None:
        confirm.show_dialog("Apply new limits", lambda: _limits_dialog(console, book, draft))


def _limits_dialog(console: ConsolePort, book: BookSnapshot, draft: forms.Draft) -> None:
    """What the new limits do to the book as it stands; only looser ones ask for the password."""
    review = review_limits(book, draft.as_json)
    lines = (*forms.differences(draft.changes), *review.consequences)
    request = Request(LIMITS, ConfigureRisk(book.name, draft.as_json), "limits changed by hand", "limits-reason")
    look = Look("Apply these limits", "primary")
    confirm.ask_inside(console, Question("", lines, request, look, Proof.ALWAYS if review.looser else Proof.NEVER))
