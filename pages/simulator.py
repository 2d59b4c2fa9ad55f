"""Controls of a simulated market: its speed, and faults on demand."""

from __future__ import annotations

import streamlit as st

from engine.domain.commands import InjectFault, SetSpeed
from engine.domain.facade import ConsolePort
from pages import books, confirm
from pages.confirm import Look, Request
from pages.guard import alone, live

_SPEEDS = (1, 10, 60, 100, 300, 1000)


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


def _run_at(console: ConsolePort, speed: int) -> None:
    book = books.current(console)
    request = Request("speed", SetSpeed(book.name, speed), f"speed {speed}")
    blocked = "" if speed != book.speed else f"It runs at {speed}x already"
    confirm.command_button(console, request, Look(f"Run at {speed}x", blocked=blocked))
    confirm.receipt_line(console, "speed")


def _faults(console: ConsolePort, venues: list[str]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        venue = st.selectbox("Venue", venues, key="sim-venue", width=140)
        fault = st.selectbox("Fault", ["outage", "gap"], key="sim-fault", width=120)
        minutes = st.number_input("Market minutes", 1, 240, 5, key="sim-minutes", width=140)
        live(_make)(console, InjectFault(books.current(console).name, venue, fault, int(minutes)))


def _make(console: ConsolePort, body: InjectFault) -> None:
    request = Request("fault", body, f"{body.fault} asked for by hand")
    confirm.command_button(console, request, Look(f"Make {'an outage' if body.fault == 'outage' else 'a gap'}"))
    confirm.receipt_line(console, "fault")
