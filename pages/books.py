"""Which book the person is looking at."""

from __future__ import annotations

import streamlit as st

from engine.domain.errors import NotRunning
from engine.domain.facade import ConsolePort
from engine.domain.portfolio import BookSnapshot, EngineSnapshot
from pages import parts
from pages.format import Html

SLOT = "book"
"""Key of the selector, and the name of the part of the address that holds the choice."""


def chosen(snapshot: EngineSnapshot) -> BookSnapshot:
    """The book chosen in the header, else the first; raises `NotRunning` while the engine has opened none."""
    if not snapshot.books:
        raise NotRunning("the engine has not opened a book yet; it is starting or recovering")
    name = st.session_state.get(SLOT)
    return next((book for book in snapshot.books if book.name == name), snapshot.books[0])


def current(console: ConsolePort) -> BookSnapshot:
    """The chosen book of the newest snapshot."""
    return chosen(console.snapshot())


def asked_for() -> str:
    """The book that the address names, running or not; "" where it names none. Ask before `choose` corrects it."""
    return str(st.query_params.get(SLOT, ""))


def choose(snapshot: EngineSnapshot) -> None:
    """Draw the selector; the choice stands in the address, so that it holds across pages, reloads and links.

    The first book is chosen where the address names none, or one that does not run.
    """
    names = [book.name for book in snapshot.books]
    if names:
        st.selectbox("Book", names, key=SLOT, label_visibility="collapsed", bind="query-params", width=130)


def say_missing(snapshot: EngineSnapshot, asked: str) -> None:
    """Say that the book of the address does not run, so that nobody takes another one's figures for its own."""
    names = [book.name for book in snapshot.books]
    if asked and names and asked not in names:
        why = dict(snapshot.absent).get(asked)
        parts.notice(
            f"No book named {asked[:40]} runs now{f' ({why})' if why else ''}: this is the {names[0]} book.", "warn"
        )


def say_absent(snapshot: EngineSnapshot) -> None:
    """Say which books do not run, and why; nothing where all do."""
    for name, why in snapshot.absent:
        parts.notice(f"The {name} book does not run: {why.rstrip('.')}.", "warn")


def absent_badges(snapshot: EngineSnapshot) -> Html:
    """A mark for each book that does not run, beside the choice; nothing where all do."""
    return Html("".join(parts.badge(f"{name} does not run", "warn") for name, _ in snapshot.absent))
