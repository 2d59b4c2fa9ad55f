"""Strategies: what each is set to, how it is paid, what it wished last and why it was refused."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from engine.domain.commands import ConfigureStrategy, SetStrategy
from engine.domain.facade import ConsolePort
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import Refused
from engine.domain.portfolio import BookSnapshot, Idea, SleeveView
from engine.domain.views import StrategyForm
from engine.runtime.titles import place_of, title_of
from pages import (
    allocation,
    appearance,
    books,
    charts,
    confirm,
    desk,
    forms,
    opportunities,
    overview,
    parts,
    promotion,
    tables,
)
from pages import format as fmt
from pages.access import missing_role_for
from pages.confirm import Look, Question, Request
from pages.guard import guarded, live, tabs
from pages.tables import Column

CONFIGURE = "configure-strategy"
_CHOSEN = "strategies-chosen"
_POINTS = 600


def render(console: ConsolePort) -> None:
    """Draw the page."""
    st.header("Strategies", anchor=False)
    live(_attribution, every_s=10)(console)
    live(_table)(console)
    guarded(_one)(console)
    live(opportunities.panel)(console)
    st.subheader("Allocation", anchor=False)
    guarded(allocation.form)(console)
    st.subheader("Promotion", anchor=False)
    guarded(promotion.draw)(console)
    guarded(promotion.dialogs)(console)


def _attribution(console: ConsolePort) -> None:
    book = books.current(console)
    if not book.sleeves:
        parts.empty(
            "No strategy has traded in this book",
            "Choose one below, look at its settings, give it instruments and start it. It gets the share of the book's "
            "capital that Allocation says, and every order it wishes passes the risk gate.",
        )
        return
    curve = console.equity_curve(book.name, None, _POINTS)
    if not curve.sleeves or not len(curve.at_ms):
        parts.notice("The P&L curve of each strategy starts a minute after its first fill.")
        return
    named = [replace(series, name=title_of(series.name), unit=curve.currency) for series in curve.sleeves]
    places = [place_of(series.name) for series in curve.sleeves]
    charts.show(charts.lines(named, places=places), "strategies-attribution", "P&L by strategy over time")
    st.caption(f"P&L by strategy · {overview.basis(curve, book)}")


def _table(console: ConsolePort) -> None:
    book = books.current(console)
    if book.sleeves:
        tables.draw(overview.sleeve_columns(book), book.sleeves)
        st.html(parts.as_of(book, appearance.current(console).zone))


def _sleeve(book: BookSnapshot, name: str) -> SleeveView | None:
    return next((sleeve for sleeve in book.sleeves if sleeve.strategy == name), None)


def _one(console: ConsolePort) -> None:
    book = books.current(console)
    known = {form.name: form for form in console.strategies(book.name)}
    name = st.segmented_control(
        "Strategy",
        list(known),
        format_func=lambda key: known[key].title,
        default=next(iter(known), None),
        required=True,
        key=_CHOSEN,
        persist_state="session",
    )
    if name is None:
        parts.notice("This installation registers no strategy.")
        return
    form = known[str(name)]
    st.caption(form.summary)
    st.html(f'<div class="qd-dim">On the command line and in settings: {desk.mono(form.name)}</div>')
    live(_switch)(console, form)
    tabs(
        "strategies-tab",
        {
            "Settings": lambda: _settings(console, form, book),
            "Last ideas": lambda: live(_ideas)(console, form.name),
            "Refused": lambda: live(_refused)(console, form.name),
        },
    )


def _switch(console: ConsolePort, form: StrategyForm) -> None:
    book = books.current(console)
    sleeve = _sleeve(book, form.name)
    running = sleeve is not None and sleeve.running
    key = f"run-{form.name}"
    label = f"Pause {form.title.lower()}" if running else f"Start {form.title.lower()}"
    reason = "paused by hand" if running else "started by hand"
    request = Request(key, SetStrategy(book.name, form.name, not running), reason)
    with st.container(horizontal=True, vertical_alignment="center"):
        look = Look(label, "secondary" if running else "primary")
        confirm.command_button(console, request, look)
        st.caption(
            "Pausing stops new entries; its positions keep their stops."
            if running
            else "Started, it is asked for an idea at every candle close of its instruments; arbitrage at every quote."
        )
    confirm.receipt_line(console, key)


def _settings(console: ConsolePort, form: StrategyForm, book: BookSnapshot) -> None:
    blocked = missing_role_for(console.actor, ConfigureStrategy)
    sleeve = _sleeve(book, form.name)
    held = [str(key) for key in sleeve.instruments] if sleeve else []
    offered = list(dict.fromkeys([str(instrument.key) for instrument in book.instruments] + held))
    key = f"strategy-{book.name}-{form.name}"
    universe = st.multiselect(
        "Instruments it may trade",
        offered,
        default=held,
        format_func=fmt.instrument,
        key=f"{key}-universe",
        disabled=bool(blocked),
        persist_state="session",
        placeholder="none: it is never asked",
    )
    draft = forms.draw(key, form.fields, disabled=bool(blocked))
    changed = _with_universe(draft.changes, held, universe)
    for error in draft.errors:
        st.error(error)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Apply settings…",
            key=f"{key}-apply",
            type="primary",
            disabled=bool(blocked or draft.errors or not changed),
            help=blocked or ("Nothing differs from what is in force" if not changed else None),
            on_click=confirm.open_dialog,
            args=(CONFIGURE, form.name),
        )
        if changed:
            st.button("Undo changes", key=f"{key}-undo", on_click=_undo, args=(key, form))
            st.caption(f"{len(changed)} change{'' if len(changed) == 1 else 's'}, not applied")
    if confirm.dialog_subject(CONFIGURE) == form.name:
        body = ConfigureStrategy(book.name, form.name, draft.as_json, tuple(InstrumentKey(item) for item in universe))
        request = Request(CONFIGURE, body, "settings changed by hand", "configure-reason")
        lines = (
            *forms.differences(changed),
            "Applied at the next candle close; positions it holds are kept and judged by the new settings.",
        )
        question = Question(f"Apply to {form.title}", lines, request, Look("Apply these settings", "primary"))
        confirm.ask(console, question)


def _with_universe(
    changed: tuple[tuple[str, str, str], ...], held: list[str], universe: list[str]
) -> tuple[tuple[str, str, str], ...]:
    if set(held) == set(universe):
        return changed
    before, after = (", ".join(fmt.instrument(item) for item in items) or "none" for items in (held, universe))
    return (*changed, ("Instruments", before, after))


def _undo(key: str, form: StrategyForm) -> None:
    forms.reset(key, form.fields)
    st.session_state.pop(f"{key}-universe", None)


def _ideas(console: ConsolePort, strategy: str) -> None:
    sleeve = _sleeve(books.current(console), strategy)
    look = appearance.current(console)
    ideas = sorted(sleeve.ideas, key=lambda idea: idea.at, reverse=True) if sleeve else []
    columns: tuple[Column[Idea], ...] = (
        Column(f"Market time, {look.zone}", lambda row: look.moment(row.at)),
        Column("Instrument", lambda row: fmt.instrument(row.instrument)),
        Column(
            "Conviction, −1 to 1",
            lambda row: parts.directed(row.conviction, fmt.number(row.conviction, 2, signed=True)),
            numeric=True,
        ),
        Column("Stop distance, quote", lambda row: fmt.price(row.stop_distance), numeric=True),
        Column("Target, coins", lambda row: fmt.quantity(row.target, signed=True), numeric=True),
        Column("Held, coins", lambda row: fmt.quantity(row.held, signed=True), numeric=True),
        Column("What became of it", lambda row: row.outcome, wraps=True),
    )
    tables.draw(
        columns,
        ideas,
        "No idea yet. It is asked at the next candle close of an instrument it may trade, while it runs.",
    )


def _refused(console: ConsolePort, strategy: str) -> None:
    look = appearance.current(console)
    rows = [row for row in books.current(console).refused if row.sleeve == strategy]
    columns = refused_columns(look)
    tables.draw(
        columns, sorted(rows, key=lambda row: row.at, reverse=True), "Nothing of this strategy was refused lately."
    )


def refused_columns(look: appearance.Appearance) -> tuple[Column[Refused], ...]:
    """Refusals: the rule, the value and the limit."""
    return (
        Column(f"Market time, {look.zone}", lambda row: look.moment(row.at)),
        Column("Instrument", lambda row: fmt.instrument(row.instrument)),
        Column("Side", lambda row: fmt.NONE if row.side is None else desk.bought(row.side.value)),
        Column("Quantity", lambda row: f"{fmt.quantity(row.quantity)} {fmt.base_coin(row.instrument)}", numeric=True),
        Column("Rule", lambda row: row.rule),
        Column("Value", lambda row: row.value, numeric=True),
        Column("Limit", lambda row: row.limit, numeric=True),
        Column("Why", lambda row: fmt.named(row.detail), wraps=True),
    )
