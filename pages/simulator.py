"""Controls of a simulated market: its speed, and faults on demand."""

from __future__ import annotations

import streamlit as st

from engine.domain.commands import InjectFault, SetSpeed
from engine.domain.facade import ConsolePort
from pages import books, confirm
from pages import format as fmt
from pages.confirm import Look, Request
from pages.guard import alone, live

_SPEEDS = (1, 10, 60, 100, 300, 1000)
_FAULTS = {"outage": "Make an outage", "gap": "Make a gap"}


def draw(console: ConsolePort) -> None:
    """Draw the controls where the chosen book trades a simulated market."""
    book = books.current(console)
    if not book.simulated or book.speed is None:
        return
    st.subheader("Simulated market", anchor=False)
    alone(_speed)(console, book.speed)
    venues = sorted({feed.venue for feed in book.feeds})
    if venues:
        alone(_faults)(console, venues)


def _speed(console: ConsolePort, present: int) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        speeds = sorted({*_SPEEDS, present})
        speed = st.select_slider("Market seconds a wall second", speeds, value=present, key="sim-speed", width=260)
        live(_run_at)(console, int(speed))
    live(_answer)(console, "speed")


def _run_at(console: ConsolePort, speed: int) -> None:
    book = books.current(console)
    request = Request("speed", SetSpeed(book.name, speed), f"speed {speed}")
    blocked = "" if speed != book.speed else f"It runs at {speed}x already"
    confirm.command_button(console, request, Look(f"Run at {speed}x", blocked=blocked))


def _faults(console: ConsolePort, venues: list[str]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        venue = st.selectbox("Venue", venues, key="sim-venue", width=140)
        fault = st.selectbox("Fault", list(_FAULTS), key="sim-fault", format_func=fmt.words, width=120)
        minutes = st.number_input("Market minutes", 1, 240, 5, key="sim-minutes", width=140)
        live(_make)(console, InjectFault(books.current(console).name, venue, fault, int(minutes)))
    live(_answer)(console, "fault")


def _make(console: ConsolePort, body: InjectFault) -> None:
    request = Request("fault", body, f"{body.fault} asked for by hand")
    confirm.command_button(console, request, Look(_FAULTS[body.fault]))


def _answer(console: ConsolePort, key: str) -> None:
    """What came of the button above; its place is kept free before, so that nothing below it jumps."""
    if confirm.is_sent(console, key):
        confirm.receipt_line(console, key)
    else:
        st.html('<div class="qd-notice" style="visibility:hidden" aria-hidden="true">&nbsp;</div>')
