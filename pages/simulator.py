"""Controls of a simulated market: its speed, and faults on demand."""

from __future__ import annotations

import streamlit as st

from engine.domain.commands import InjectFault, SetSpeed
from engine.domain.facade import ConsolePort
from engine.domain.portfolio import BookSnapshot
from pages import books, confirm
from pages.confirm import Look, Request

_SPEEDS = (1, 10, 60, 100, 300, 1000)


def draw(console: ConsolePort) -> None:
    """Draw the controls where the chosen book trades a simulated market."""
    book = books.current(console)
    if not book.simulated or book.speed is None:
        return
    st.subheader("Simulated market", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        speeds = sorted({*_SPEEDS, book.speed})
        speed = st.select_slider("Market seconds a wall second", speeds, value=book.speed, key="sim-speed", width=260)
        request = Request("speed", SetSpeed(book.name, int(speed)), f"speed {speed}")
        blocked = "" if speed != book.speed else f"It runs at {book.speed}x already"
        confirm.command_button(console, request, Look(f"Run at {speed}x", blocked=blocked))
        _faults(console, book)
    confirm.receipt_line(console, "speed")
    confirm.receipt_line(console, "fault")


def _faults(console: ConsolePort, book: BookSnapshot) -> None:
    venues = sorted({feed.venue for feed in book.feeds})
    if not venues:
        return
    venue = st.selectbox("Venue", venues, key="sim-venue", width=140)
    fault = st.selectbox("Fault", ["outage", "gap"], key="sim-fault", width=120)
    minutes = st.number_input("Market minutes", 1, 240, 5, key="sim-minutes", width=140)
    request = Request("fault", InjectFault(book.name, venue, fault, int(minutes)), f"{fault} asked for by hand")
    confirm.command_button(console, request, Look(f"Make an {fault}" if fault == "outage" else "Make a gap"))
