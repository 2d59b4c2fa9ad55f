"""Promotion: what each strategy has shown in a book, the rule, and the step to the next book or back."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from engine.domain.commands import Demote, Promote
from engine.domain.facade import ConsolePort
from engine.domain.facts import Evidence, Promotion
from engine.domain.portfolio import BookSnapshot
from engine.domain.stage_views import CandidateView
from engine.runtime.titles import title_of
from pages import appearance, confirm, parts, tables
from pages import format as fmt
from pages.access import missing_role_for
from pages.appearance import Appearance
from pages.confirm import Look, Opener, Proof, Question, Request
from pages.format import Html
from pages.guard import live
from pages.tables import Column

PROMOTE, DEMOTE = "promote-strategy", "demote-strategy"
BOOKS = ("paper", "testnet", "live")
"""Books that a strategy is promoted into, in the order of the stages."""


def draw(console: ConsolePort) -> None:
    """Draw who might be promoted where, and what was."""
    into = st.segmented_control(
        "Promote into", list(BOOKS), default="paper", required=True, key="promotion-into", persist_state="session"
    )
    live(_candidates, every_s=5)(console, str(into or BOOKS[0]))
    live(_promoted, every_s=5)(console)


def dialogs(console: ConsolePort) -> None:
    """The question before a strategy is promoted or demoted, if one is open."""
    subject = confirm.dialog_subject(PROMOTE)
    if subject is not None:
        _ask_promotion(console, subject)
    subject = confirm.dialog_subject(DEMOTE)
    if subject is not None:
        _ask_demotion(console, subject)


def _candidates(console: ConsolePort, into: str) -> None:
    rows = console.candidates(into)
    columns: tuple[Column[CandidateView], ...] = (
        Column("Strategy", lambda row: row.title),
        Column("From", lambda row: f"{row.from_book} book"),
        Column("Trades", lambda row: _known(row.evidence, lambda told: f"{told.trades:,}"), numeric=True),
        Column("Days", lambda row: _known(row.evidence, lambda told: f"{told.days:,}"), numeric=True),
        Column("Result after costs", lambda row: _result(row.evidence), numeric=True),
        Column("Largest fall", lambda row: _fall(row.evidence), numeric=True),
        Column("Verdict", _verdict, wraps=True),
    )
    nothing = f"No strategy trades in a book before {into}. Start one there first and let it show what it does."
    tables.draw(columns, rows, nothing)
    for rule in dict.fromkeys(row.rule for row in rows):
        st.caption(f"The rule for the {into} book: {rule}. Counted since it was last set up in the book it comes from.")
    if rows:
        _choose(console, {_name(row): row for row in rows})


def _choose(console: ConsolePort, known: dict[str, CandidateView]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Strategy",
            list(known),
            format_func=lambda name: f"{known[name].title}, from {known[name].from_book}",
            key="promotion-chosen",
            width=320,
        )
        row = known[chosen] if chosen in known else next(iter(known.values()))
        refused = row.refusal and f"Refused by the rule: {row.refusal}"
        blocked = missing_role_for(console.actor, Promote) or refused
        label = f"Promote to {row.to_book}…"
        confirm.opener(Opener("promote-open", label, PROMOTE, _name(row), blocked))
    if row.refusal:
        st.caption(f"{row.title} may not go to {row.to_book} yet: {row.refusal}.")


def _name(row: CandidateView) -> str:
    return f"{row.strategy}|{row.from_book}|{row.to_book}"


def _verdict(row: CandidateView) -> Html:
    if row.refusal:
        return Html(f"{parts.badge('not yet', 'warn')} {fmt.safe(fmt.sentence(row.refusal))}")
    return parts.badge("may be promoted", "accent")


def _known(told: Evidence | None, shown: Callable[[Evidence], str]) -> str:
    return fmt.NONE if told is None else shown(told)


def _result(told: Evidence | None) -> Html:
    return parts.profit_share(None if told is None else told.net_return)


def _fall(told: Evidence | None) -> str:
    return fmt.NONE if told is None or told.drawdown is None else fmt.percent(-told.drawdown)


def shown_evidence(told: Evidence | None, look: Appearance) -> str:
    """What a strategy has shown, in one line."""
    if told is None:
        return "nothing was recorded"
    return (
        f"{told.trades:,} trades on {told.days:,} days since {look.moment(told.since)}, result after costs "
        f"{fmt.percent(told.net_return, signed=True)}, largest fall {_fall(told)}"
    )


def _promoted(console: ConsolePort) -> None:
    rows = [(book, told) for book in console.snapshot().books for told in book.promotions if told.promoted]
    if not rows:
        return
    look = appearance.current(console)
    columns: tuple[Column[tuple[BookSnapshot, Promotion]], ...] = (
        Column("Strategy", lambda row: title_of(row[1].strategy)),
        Column("Book", lambda row: f"{row[0].name} book"),
        Column("From", lambda row: f"{row[1].from_book} book"),
        Column("By", lambda row: row[1].by),
        Column(f"When, {look.zone}", lambda row: look.moment(row[1].at)),
        Column("What it rested on", lambda row: shown_evidence(row[1].evidence, look), wraps=True),
    )
    st.html('<div class="qd-label">Promoted strategies</div>')
    tables.draw(columns, rows)
    known = {f"{told.strategy}|{book.name}": told for book, told in rows}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox("Promoted strategy", list(known), format_func=_place, key="demotion-chosen", width=320)
        blocked = missing_role_for(console.actor, Demote)
        confirm.opener(Opener("demote-open", "Take its place back…", DEMOTE, chosen or "", blocked))


def _place(name: str) -> str:
    strategy, _, book = name.partition("|")
    return f"{title_of(strategy)} in {book}"


def _ask_promotion(console: ConsolePort, subject: str) -> None:
    strategy, from_book, to_book = subject.split("|")
    row = next((row for row in console.candidates(to_book) if _name(row) == subject), None)
    look = appearance.current(console)
    lines = [
        f"{title_of(strategy)} gets a place in the {to_book} book, with the settings it has in {from_book}.",
        "It gets a share of that book's capital by Allocation, and every order passes that book's own limits.",
    ]
    if row is not None:
        lines += [f"Shown so far: {shown_evidence(row.evidence, look)}.", f"The rule: {row.rule}."]
        if row.refusal:
            lines.append(f"The engine will refuse it now: {row.refusal}.")
    request = Request(PROMOTE, Promote(strategy, from_book, to_book), "promoted by hand", "promote-reason")
    look_of = Look(f"Promote to {to_book}", "primary")
    confirm.ask(console, Question("Promote a strategy", tuple(lines), request, look_of, Proof.ALWAYS))


def _ask_demotion(console: ConsolePort, subject: str) -> None:
    strategy, _, book = subject.partition("|")
    lines = (
        f"{title_of(strategy)} is paused in the {book} book and may not be started there again before it is promoted.",
        "Its positions there keep their stops; close them on the Positions page if you do not want them.",
    )
    request = Request(DEMOTE, Demote(strategy, book), "taken back by hand", "demote-reason")
    confirm.ask(console, Question("Take a place back", lines, request, Look("Take it back", "primary")))
