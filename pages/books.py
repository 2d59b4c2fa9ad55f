"""Which book the person is looking at."""

from __future__ import annotations

import streamlit as st

from engine.domain.errors import NotRunning
from engine.domain.facade import ConsolePort
from engine.domain.portfolio import BookSnapshot, EngineSnapshot

SLOT = "book"


def chosen(snapshot: EngineSnapshot) -> BookSnapshot:
    """The book chosen in the header, else the first; raises `NotRunning` while the engine has opened none."""
    if not snapshot.books:
        raise NotRunning("the engine has not opened a book yet; it is starting or recovering")
    name = st.session_state.get(SLOT)
    return next((book for book in snapshot.books if book.name == name), snapshot.books[0])


def current(console: ConsolePort) -> BookSnapshot:
    """The chosen book of the newest snapshot."""
    return chosen(console.snapshot())


def choose(snapshot: EngineSnapshot) -> None:
    """Draw the selector; the choice holds across pages for this session."""
    names = [book.name for book in snapshot.books]
    if names and st.session_state.get(SLOT) not in names:
        st.session_state[SLOT] = names[0]
    st.selectbox("Book", names, key=SLOT, label_visibility="collapsed", persist_state="session", width=130)
