"""Entry script of the console: who is asking, then the frame around the page."""

from __future__ import annotations

import streamlit as st

from engine.domain.facade import ConsolePort
from engine.runtime.host import console_for
from pages import frame
from pages.guard import guarded


def current_console() -> ConsolePort:
    """The console bound to the signed-in person, as the session gate in front of Streamlit named them."""
    return console_for(dict(st.user.to_dict()))


def draw() -> None:
    """Draw the page the address asks for; who cannot be named sees why, and nothing else."""
    frame.run(current_console())


st.set_page_config(page_title="Quarterdeck", page_icon=frame.ICON, layout="wide", initial_sidebar_state=208)
guarded(draw)()
